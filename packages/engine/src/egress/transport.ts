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
import type { Observation } from "../answer/Verdict.ts"

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
export interface TransportOptions {
  readonly maxBodyBytes: number
  /** How long connecting may take. Given up then, a request was never sent, which nobody could say of it afterwards. */
  readonly connectTimeout: Duration.Duration
  /** Whether a host (with port) may be on an internal address. */
  readonly mayBeInternal: (host: string) => boolean
  /** Whether an address is one that a name must not resolve to. */
  readonly refuses: (address: string) => boolean
}

export const notSent = (reason: string): Observation => ({ _tag: "NotSent", reason })
export const noAnswer = (reason: string): Observation => ({ _tag: "NoAnswer", reason })
export const oversized = noAnswer("the body is too large")

/** Header values as they come over the wire; those given twice may be lists. */
export type IncomingHeaders = Readonly<Record<string, string | ReadonlyArray<string> | undefined>>

/** The fate of a request that failed, from a transport that knows whether it began to leave. */
export const failure = (cause: unknown, began: boolean): Observation => {
  const { code = "the connection failed" } = connectionFailure(cause)
  return began ? noAnswer(code) : notSent(code)
}

class RefusedAddress extends Error {
  readonly code = "REFUSED_ADDRESS"
}

/**
 * Looks a name up and refuses it if any of its addresses is refused. Asked at the moment of connecting, so that a second, different answer
 * of the name server gains nothing (DNS rebinding).
 */
export const guardedLookup =
  (refuses: (address: string) => boolean): LookupFunction =>
  (hostname, options, callback) =>
    lookupName(hostname, { ...options, all: true }, (error, addresses: ReadonlyArray<LookupAddress>) => {
      const refused = error === null && addresses.some(({ address }) => refuses(address))
      const failure = refused ? new RefusedAddress(`${hostname} resolves to an internal address`) : error
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
