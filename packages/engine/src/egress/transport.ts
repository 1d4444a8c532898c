/**
 * The parts that the transports share: their request, and the report of its outcome.
 *
 * A transport sends once and follows no redirect. It reports "not sent" only if the connection was never made.
 *
 * @module
 */
import { ConnectionFailure } from "@rekindle/core"
import { Clock, type Duration, Effect, Predicate } from "effect"
import { lookup as lookupName, type LookupAddress } from "node:dns"
import type { LookupFunction } from "node:net"
import { brotliDecompressSync, gunzipSync, inflateSync } from "node:zlib"
import type { Environment } from "./environment.ts"
import { noAnswer, notSent, type Observation, refused } from "../answer/Verdict.ts"

/** A request that obeys the egress rules. */
export interface Permitted {
  readonly url: URL
  readonly method: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | undefined
  /** Called at the last moment before the request is sent. Returns why it must not be sent, or undefined. */
  readonly refusal: () => string | undefined
}

/** Sends once. Never fails: every outcome is an observation. */
export type Transport = (request: Permitted) => Effect.Effect<Observation>

/** The options of a transport that opens its own sockets. */
export interface TransportOptions extends Environment {
  /** A longer body, after decompression too, makes the answer oversized. */
  readonly maxBodyBytes: number
  /** The limit of connecting, shorter than the request's: a request that is given up while connecting was provably not sent. */
  readonly connectTimeout: Duration.Duration
  /** Whether the host of a url may resolve to an internal address. */
  readonly mayBeInternal: (url: URL) => boolean
  /** Whether a name must not resolve to this address. */
  readonly refuses: (address: string) => boolean
  /** The setting that allows such an address. */
  readonly setting: string
}

/** The outcome of an answer with a body over the limit. */
export const oversized = (status: number): Observation => noAnswer("body_too_large", status)

/** The reason for refusing an internal address, with the setting that allows it. */
export const privateAddress = (host: string, setting: string) =>
  `private_address: ${host} is not on the public internet; ${setting} can allow it`

/** The reason for refusing plain http, with the setting that allows it. */
export const plainHttp = (host: string, setting: string) =>
  `plain_http: ${host} would be reached over plain http; ${setting} can allow it`

/** Headers as a transport receives them. A repeated header may be a list. */
export type IncomingHeaders = Readonly<Record<string, string | ReadonlyArray<string> | undefined>>

/**
 * The outcome of a request that failed.
 *
 * @param began whether sending had begun, from a transport that knows. Without it, the error's code decides.
 * @param status the status of an answer whose headers had arrived.
 */
export const failure = (url: URL, cause: unknown, began?: boolean, status?: number): Observation => {
  if (cause instanceof RefusedAddress) return refused(privateAddress(url.host, cause.setting))
  const { code, neverSent, stage } = ConnectionFailure.fromCause(cause)
  const withCode = (step: string) => (code === undefined ? step : `${step} ${code}`)
  if (began ?? !neverSent) return noAnswer(withCode("connection_lost"), status)
  // A request that cannot be built now cannot be built later.
  return stage === "build"
    ? refused(withCode("request_malformed"))
    : notSent(withCode(stage === "lost" ? "connect_failed" : `${stage}_failed`))
}

class RefusedAddress extends Error {
  readonly setting: string

  constructor(setting: string) {
    super("the address is internal")
    this.setting = setting
  }
}

/**
 * Resolves a name and fails if any of its addresses is refused. It runs when a socket connects and the socket uses its result, so a name
 * server cannot change its answer in between (DNS rebinding).
 */
export const guardedLookup =
  ({ refuses, setting }: Pick<TransportOptions, "refuses" | "setting">): LookupFunction =>
  (hostname, options, callback) =>
    lookupName(hostname, { ...options, all: true }, (error, addresses: ReadonlyArray<LookupAddress>) => {
      const refused = error === null && addresses.some(({ address }) => refuses(address))
      const failure = refused ? new RefusedAddress(setting) : error
      if (options.all === true) callback(failure, [...(addresses ?? [])])
      else callback(failure, addresses?.[0]?.address ?? "", addresses?.[0]?.family)
    })

/** The observation of a complete answer, decoded and dated. */
export const answered = (
  status: number,
  incoming: IncomingHeaders,
  chunks: ReadonlyArray<Uint8Array>,
  maxBodyBytes: number
): Effect.Effect<Observation> =>
  Effect.map(Clock.currentTimeMillis, (receivedAt) => {
    const headers = flat(incoming)
    const body = decoded(Buffer.concat(chunks), headers["content-encoding"], maxBodyBytes)
    return body === undefined ? oversized(status) : answer(status, headers, utf8.decode(body), receivedAt)
  })

/** The observation of a complete answer whose body is text. */
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

/** Also drops a byte order mark, which JSON does not allow and some servers send. */
const utf8 = new TextDecoder()

const decoders = new Map([
  ["gzip", gunzipSync],
  ["x-gzip", gunzipSync],
  ["deflate", inflateSync],
  ["br", brotliDecompressSync]
])

/**
 * The body without its content coding. A server may use one without being asked (RFC 9110 §12.5.3). Undefined if the decoded body is larger
 * than the limit.
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

/** Each header as one string. Repeated headers are joined (RFC 9110 §5.3). */
const flat = (headers: IncomingHeaders): Record<string, string> => {
  const flattened: Record<string, string> = {}
  for (const name in headers) {
    const value = headers[name]
    if (value !== undefined) flattened[name] = typeof value === "string" ? value : value.join(", ")
  }
  return flattened
}
