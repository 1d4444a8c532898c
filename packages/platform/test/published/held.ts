/**
 * Holds every answer of the service in the tests of the workspace to the published schemas, whoever asked for it: a test, the official clients,
 * or Rekindle's own. The test during which an answer came that is not as published fails.
 *
 * It listens to what undici, which `fetch` is made of, tells of its requests. Answers of the service have a request id.
 *
 * **Gotchas**
 *
 * Requests by `node:http` or a socket, and handlers that are called without a connection, are not seen.
 *
 * @module
 */
import { subscribe, unsubscribe } from "node:diagnostics_channel"
import type { DiagnosticsChannel } from "undici"
import { afterAll, afterEach } from "vitest"
import type { Answer } from "./published.ts"

const arriving = new WeakMap<object, { readonly answer: Omit<Answer, "body">; readonly chunks: Array<Uint8Array> }>()
const arrived: Array<Answer> = []

const isOurs = (headers: DiagnosticsChannel.Response["headers"]): boolean =>
  (Array.isArray(headers) ? headers.map(String) : Object.keys(headers)).some(
    (name) => name.toLowerCase() === "x-request-id"
  )

const onHeaders = ({ request, response }: DiagnosticsChannel.RequestHeadersMessage) => {
  if (!isOurs(response.headers)) return
  const { method = "GET", origin = "", path } = request
  arriving.set(request, { answer: { method, url: `${origin}${path}`, status: response.statusCode }, chunks: [] })
}

const onChunk = ({ chunk, request }: DiagnosticsChannel.RequestBodyChunkReceivedMessage) =>
  void arriving.get(request)?.chunks.push(chunk)

const onEnd = ({ request }: DiagnosticsChannel.RequestTrailersMessage) => {
  const whole = arriving.get(request)
  if (whole !== undefined) arrived.push({ ...whole.answer, body: Buffer.concat(whole.chunks).toString() })
}

// A channel has the messages that undici documents for it.
const listeners = Object.entries({
  "undici:request:headers": onHeaders,
  "undici:request:bodyChunkReceived": onChunk,
  "undici:request:trailers": onEnd
} as Readonly<Record<string, (message: unknown) => void>>)

for (const [channel, listener] of listeners) subscribe(channel, listener)
afterAll(() => {
  for (const [channel, listener] of listeners) unsubscribe(channel, listener)
})

afterEach(async () => {
  if (arrived.length === 0) return
  const { faultOf } = await import("./published.ts")
  const faults = arrived.splice(0).map(faultOf)
  const found = faults.filter((fault) => fault !== "")
  if (found.length > 0) throw new Error(`answers are not as published:\n${[...new Set(found)].join("\n")}`)
})
