/**
 * What an answer means: read it, within bounds, and tell an outcome, a failure of the contract, and everything else apart.
 *
 * Nothing in here trusts the other side. It may be a proxy with an error page, a newer server with fields we do not know, or no server
 * of ours at all.
 *
 * @module
 */
import {
  AccountNotFound,
  ConnectedAccount,
  type ConnectedAccountId,
  ErrorEnvelope,
  Forbidden,
  InvalidRequest,
  RateLimited,
  RefreshFailed,
  type RefreshOutcome,
  RefreshOutcomeFromWire,
  RefreshUnsupported,
  type StatusError,
  Unauthorized,
  Unavailable,
  UnexpectedResponse
} from "@rekindle/core"
import { Clock, Effect, Exit, Schema, Stream } from "effect"
import type { Headers, HttpClientError, HttpClientResponse } from "effect/http"
import { fieldsOf, routeNotFound } from "./envelope.ts"
import { parseRetryAfter } from "./retryAfter.ts"

/** Answers larger than this are not read to the end; no answer of the contract comes near it. */
const maxResponseSize = 1024 * 1024

/** An answer, its body read. */
export interface Answer {
  readonly status: number
  readonly headers: Headers.Headers
  readonly text: string
}

/** The body as text, of which at most {@link maxResponseSize} is read. What is cut off there does not decode. */
export const read = (
  response: HttpClientResponse.HttpClientResponse
): Effect.Effect<Answer, HttpClientError.HttpClientError> => {
  const { headers, status } = response
  // Quicker than the stream, and safe where the size is known: a compressed body is larger than it says.
  const known = Number(headers["content-length"]) <= maxResponseSize && headers["content-encoding"] === undefined
  return Effect.map(known ? response.text : readBounded(response), (text) => ({ headers, status, text }))
}

const readBounded = (response: HttpClientResponse.HttpClientResponse) =>
  Effect.suspend(() => {
    const decoder = new TextDecoder()
    let size = 0
    let text = ""
    return response.stream.pipe(
      Stream.runForEachWhile((chunk) =>
        Effect.sync(() => {
          size += chunk.length
          text += decoder.decode(chunk, { stream: true })
          return size < maxResponseSize
        })
      ),
      Effect.catch((error) => (error.reason._tag === "EmptyBodyError" ? Effect.void : Effect.fail(error))),
      Effect.map(() => text)
    )
  })

const decodeOutcome = Schema.decodeUnknownExit(RefreshOutcomeFromWire)
const decodeAccount = Schema.decodeUnknownExit(ConnectedAccount)
const decodeEnvelope = Schema.decodeUnknownExit(ErrorEnvelope)

const parse = (text: string, reviver?: (key: string, value: unknown) => unknown): unknown => {
  try {
    return JSON.parse(text, reviver)
  } catch {
    return undefined
  }
}

/** Many servers write an optional field that they have no value for as null. */
const withoutNull = (_: string, value: unknown) => value ?? undefined

const decodeWith = <A>(decode: (input: unknown) => Exit.Exit<A, Schema.SchemaError>, json: unknown): A | undefined => {
  const exit = decode(json)
  return Exit.isSuccess(exit) ? exit.value : undefined
}

const unexpected = ({ status, text }: Answer): UnexpectedResponse =>
  new UnexpectedResponse({
    message:
      status === 200
        ? "The server's answer is not of the contract"
        : `The server answered ${status} outside the contract`,
    status,
    excerpt: excerptOf(text)
  })

/** Enough to fill an excerpt, and little enough for any pattern. */
const maxMasked = 16 * 1024

/**
 * The beginning of a foreign body, without what opens doors: links, the values of queries and forms, and whatever is long and mixed like
 * a token. A consent link in a log can be followed by whoever reads the log first. The `/` of a link may be escaped, as in JSON and URLs.
 */
const excerptOf = (text: string): string =>
  text
    .slice(0, maxMasked)
    .replace(/\b[a-z][a-z0-9+.-]{1,15}(?::|%3a)(?:\\?\/|\\u002f|%2f){2}[^\s"'<>]*/gi, "<link>")
    .replace(/\b([\w.%-]{1,64})=[^\s"'<>&]+/g, "$1=<redacted>")
    .replace(/[\w+/=.~%-]{20,}/g, (run) => (/\d|[a-z][A-Z]/.test(run) ? "<redacted>" : run))
    .slice(0, UnexpectedResponse.excerptLimit)

/** The answer nearly every call gets, told apart without the codec, which costs as much as the rest of the decoding. */
const isReady = (json: unknown, id: ConnectedAccountId): boolean =>
  typeof json === "object" &&
  json !== null &&
  "id" in json &&
  json.id === id &&
  "status" in json &&
  json.status === "ACTIVE" &&
  "redirect_url" in json &&
  json.redirect_url === null

/** The outcome an answer to the refresh of `id` states, if it states one. */
export const outcomeIn = ({ status, text }: Answer, id: ConnectedAccountId): RefreshOutcome | undefined => {
  if (status !== 200) return undefined
  const json = parse(text)
  return isReady(json, id) ? { _tag: "Ready", id } : decodeWith(decodeOutcome, json)
}

/** The account an answer to a read shows, if it shows one. */
export const accountIn = (answer: Answer): ConnectedAccount | undefined =>
  answer.status === 200 ? decodeWith(decodeAccount, parse(answer.text)) : undefined

/** The failure any other answer stands for. */
export const refused = (answer: Answer): Effect.Effect<never, StatusError | UnexpectedResponse> =>
  Effect.flatMap(Clock.currentTimeMillis, (now) => Effect.fail(statusErrorOf(answer, now) ?? unexpected(answer)))

/**
 * The same for a read. An account that does not decode leaves no excerpt: fields we could not read are fields we cannot know to be
 * masked.
 */
export const unread = (answer: Answer): Effect.Effect<never, StatusError | UnexpectedResponse> =>
  refused(answer.status === 200 ? { ...answer, text: "" } : answer)

/**
 * Reads a failure of the contract: a status of it, and the envelope. Without the envelope even a 429 or a 503 is not one: a proxy that
 * answers a bare 503 may have passed the request on before it gave up.
 */
const statusErrorOf = ({ headers, status, text }: Answer, now: number): StatusError | undefined => {
  const envelope = decodeWith(decodeEnvelope, parse(text, withoutNull))
  if (envelope === undefined) return undefined
  const requestId = envelope.error.request_id ?? headers["x-request-id"]
  const fields = { ...fieldsOf(envelope), ...(requestId !== undefined && { requestId }) }
  const retryAfter = parseRetryAfter(headers["retry-after"], now)
  const retryFields = { ...fields, ...(retryAfter !== undefined && { retryAfter }) }
  switch (status) {
    case 400:
      return new InvalidRequest(fields)
    case 401:
      return new Unauthorized(fields)
    case 403:
      return new Forbidden(fields)
    case 404:
      // Every account would look deleted to a client that is told the wrong base URL.
      return fields.slug === routeNotFound ? undefined : new AccountNotFound(fields)
    case 429:
      return new RateLimited(retryFields)
    case 500:
      return new RefreshFailed(fields)
    case 501:
      return new RefreshUnsupported(fields)
    case 503:
      return new Unavailable(retryFields)
    default:
      return undefined
  }
}
