/**
 * What the ways out have in common: the request that the rules let pass, and how its fate is told.
 *
 * A transport sends once and follows no redirect. It says "not sent" only of a request whose connection was never made.
 *
 * @module
 */
import { connectionFailure } from "@rekindle/core"
import { Clock, type Duration, Effect, Predicate } from "effect"
import { lookup as lookupName, type LookupAddress } from "node:dns"
import type { LookupFunction } from "node:net"
import { brotliDecompressSync, gunzipSync, inflateSync } from "node:zlib"
import type { Environment } from "./environment.ts"
import { noAnswer, notSent, type Observation, refused } from "../answer/Verdict.ts"

/** A request that the rules let pass. */
export interface Permitted {
  readonly url: URL
  readonly method: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | undefined
  /** Asked at the last moment before the request leaves: why it may not leave, if so. */
  readonly refusal: () => string | undefined
}

/** Sends once. Never fails: whatever happened is an observation. */
export type Transport = (request: Permitted) => Effect.Effect<Observation>

/** What a transport of sockets is given. */
export interface TransportOptions extends Environment {
  readonly maxBodyBytes: number
  /** How long connecting may take. Given up then, a request was never sent, which nobody could say of it afterwards. */
  readonly connectTimeout: Duration.Duration
  /** Whether a url may lead to an internal address. */
  readonly mayBeInternal: (url: URL) => boolean
  /** Whether an address is one that a name must not resolve to. */
  readonly refuses: (address: string) => boolean
}

export const oversized = noAnswer("body_too_large")

/** A rule of the egress that a host breaks, and the setting that allows it. */
export const privateAddress = (host: string) =>
  `private_address: ${host} is not on the public internet; egress.privateHosts can allow it`

/** Header values as they come over the wire; those given twice may be lists. */
export type IncomingHeaders = Readonly<Record<string, string | ReadonlyArray<string> | undefined>>

/** The fate of a request that failed. `began`: whether it began to leave, from a transport that knows; otherwise its error tells. */
export const failure = (url: URL, cause: unknown, began?: boolean): Observation => {
  if (cause instanceof RefusedAddress) return refused(privateAddress(url.host))
  const { code, neverSent, stage } = connectionFailure(cause)
  const told = (step: string) => (code === undefined ? step : `${step} ${code}`)
  if (began ?? !neverSent) return noAnswer(told("connection_lost"))
  // What cannot be built cannot be built the next time either.
  return stage === "build"
    ? refused(told("request_malformed"))
    : notSent(told(stage === "lost" ? "connect_failed" : `${stage}_failed`))
}

class RefusedAddress extends Error {}

/**
 * Looks a name up and refuses it if any of its addresses is refused. Asked at the moment of connecting, so that a second, different answer
 * of the name server gains nothing (DNS rebinding).
 */
export const guardedLookup =
  (refuses: (address: string) => boolean): LookupFunction =>
  (hostname, options, callback) =>
    lookupName(hostname, { ...options, all: true }, (error, addresses: ReadonlyArray<LookupAddress>) => {
      const refused = error === null && addresses.some(({ address }) => refuses(address))
      const failure = refused ? new RefusedAddress() : error
      if (options.all === true) callback(failure, [...(addresses ?? [])])
      else callback(failure, addresses?.[0]?.address ?? "", addresses?.[0]?.family)
    })

/** An answer as it came over the wire, at the time at which it was complete. Undefined stands for a body over the limit. */
export const answered = (
  status: number,
  incoming: IncomingHeaders,
  chunks: ReadonlyArray<Uint8Array>,
  maxBodyBytes: number
): Effect.Effect<Observation> =>
  Effect.map(Clock.currentTimeMillis, (receivedAt) => {
    const headers = flat(incoming)
    const body = decoded(Buffer.concat(chunks), headers["content-encoding"], maxBodyBytes)
    return body === undefined ? oversized : answer(status, headers, utf8.decode(body), receivedAt)
  })

export const answer = (
  status: number,
  headers: Readonly<Record<string, string>>,
  body: string,
  receivedAt: number
): Observation => ({
  _tag: "Answer",
  status,
  contentType: headers["content-type"],
  retryAfter: headers["retry-after"],
  body,
  receivedAt,
  headers
})

/** Drops a byte order mark, which JSON does not allow and some servers send. */
const utf8 = new TextDecoder()

const decoders = new Map([
  ["gzip", gunzipSync],
  ["x-gzip", gunzipSync],
  ["deflate", inflateSync],
  ["br", brotliDecompressSync]
])

/**
 * The body without its content coding: a server may use one although it was not asked to (RFC 9110 §12.5.3), and there are tokens in it.
 * Undefined when it is over the limit.
 */
const decoded = (body: Buffer, coding: string | undefined, maxOutputLength: number): Buffer | undefined => {
  const decode = decoders.get(coding?.toLowerCase() ?? "")
  if (decode === undefined) return body
  try {
    return decode(body, { maxOutputLength })
  } catch (error) {
    return Predicate.hasProperty(error, "code") && error.code === "ERR_BUFFER_TOO_LARGE" ? undefined : body
  }
}

/** Header values as one string each; those given twice are joined, as RFC 9110 §5.3 allows. */
const flat = (headers: IncomingHeaders): Record<string, string> => {
  const flattened: Record<string, string> = {}
  for (const name in headers) {
    const value = headers[name]
    if (value !== undefined) flattened[name] = typeof value === "string" ? value : value.join(", ")
  }
  return flattened
}
