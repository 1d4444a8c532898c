/**
 * Reads an answer, within bounds, and decodes it: an outcome, a failure of the contract, or an unexpected answer.
 *
 * It does not trust the other side, which may be a proxy with an error page, a newer server with unknown fields, or a different service.
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
import type { Collected } from "./untraced.ts"

/** The largest answer about one account that is read to the end. Answers of the contract are far smaller. */
const maxResponseSize = 1024 * 1024

/** An answer whose body has been read. */
export interface RawResponse {
  readonly status: number
  readonly headers: Headers.Headers
  readonly text: string
}

/** An answer with its body. Its headers are decoded when they are read, because only those of a failure are. */
class Answer implements RawResponse {
  readonly #response: HttpClientResponse.HttpClientResponse
  readonly text: string

  constructor(response: HttpClientResponse.HttpClientResponse, text: string) {
    this.#response = response
    this.text = text
  }

  get status(): number {
    return this.#response.status
  }

  get headers(): Headers.Headers {
    return this.#response.headers
  }
}

/** Like {@link read}, for an answer whose body has arrived. It is read at once, unless it was cut off or is too long. */
export const readCollected = (
  response: Collected,
  maxSize = maxResponseSize
): Effect.Effect<RawResponse, HttpClientError.HttpClientError> => {
  const text = response.wholeText(maxSize)
  return text === undefined ? read(response, maxSize) : Effect.succeed(new Answer(response, text))
}

/** Reads the body as text, at most `maxSize` bytes of it. A body that is cut off does not decode. */
export const read = (
  response: HttpClientResponse.HttpClientResponse,
  maxSize = maxResponseSize
): Effect.Effect<RawResponse, HttpClientError.HttpClientError> => {
  const { headers } = response
  // Faster than the stream, and safe if the size is known. A compressed body is larger than its content-length.
  const known = Number(headers["content-length"]) <= maxSize && headers["content-encoding"] === undefined
  return Effect.map(known ? response.text : readBounded(response, maxSize), (text) => new Answer(response, text))
}

const readBounded = (response: HttpClientResponse.HttpClientResponse, maxSize: number) =>
  Effect.suspend(() => {
    const decoder = new TextDecoder()
    let size = 0
    let text = ""
    return response.stream.pipe(
      Stream.runForEachWhile((chunk) =>
        Effect.sync(() => {
          size += chunk.length
          text += decoder.decode(chunk, { stream: true })
          return size < maxSize
        })
      ),
      Effect.catch((error) => (error.reason._tag === "EmptyBodyError" ? Effect.void : Effect.fail(error))),
      Effect.map(() => text)
    )
  })

const decodeOutcome = Schema.decodeUnknownExit(RefreshOutcomeFromWire)
const decodeAccount = Schema.decodeUnknownExit(ConnectedAccount)
const decodeEnvelope = Schema.decodeUnknownExit(ErrorEnvelope)

/** Parses JSON; `undefined` for a text that is none. */
export const parse = (text: string, reviver?: (key: string, value: unknown) => unknown): unknown => {
  try {
    return JSON.parse(text, reviver)
  } catch {
    return undefined
  }
}

/** Many servers write `null` for an optional field without a value. */
const withoutNull = (_: string, value: unknown) => value ?? undefined

/** What a decoder finds in JSON; `undefined` if it does not decode. */
export const decodeWith = <A>(
  decode: (input: unknown) => Exit.Exit<A, Schema.SchemaError>,
  json: unknown
): A | undefined => {
  const exit = decode(json)
  return Exit.isSuccess(exit) ? exit.value : undefined
}

const unexpected = ({ status, text }: RawResponse, excerpt: boolean): UnexpectedResponse =>
  new UnexpectedResponse({
    message:
      status === 200
        ? "The server's answer is outside the contract"
        : `The server answered ${status} outside the contract`,
    status,
    excerpt: excerpt ? excerptOf(text) : ""
  })

/** Enough to fill an excerpt, and short enough for the patterns below. */
const maxMasked = 16 * 1024

/**
 * The beginning of a foreign body without possible secrets: links, values of queries and forms, and long strings that look like tokens. A
 * consent link is one, because a reader of the log could follow it. The `/` of a link may be escaped, as in JSON and URLs.
 */
const excerptOf = (text: string): string =>
  text
    .slice(0, maxMasked)
    .replace(/\b[a-z][a-z0-9+.-]{1,15}(?::|%3a)(?:\\?\/|\\u002f|%2f){2}[^\s"'<>]*/gi, "<link>")
    .replace(/\b([\w.%-]{1,64})=[^\s"'<>&]+/g, "$1=<redacted>")
    .replace(/[\w+/=.~%-]{20,}/g, (run) => (/\d|[a-z][A-Z]/.test(run) ? "<redacted>" : run))
    .slice(0, UnexpectedResponse.excerptLimit)

/** Recognises the most frequent answer without the codec, which costs as much as the rest of the decoding. */
const isReady = (json: unknown, id: ConnectedAccountId): boolean =>
  typeof json === "object" &&
  json !== null &&
  "id" in json &&
  json.id === id &&
  "status" in json &&
  json.status === "ACTIVE" &&
  "redirect_url" in json &&
  json.redirect_url === null

/** The outcome in the answer to a refresh of `id`; `undefined` if there is none. */
export const outcomeIn = ({ status, text }: RawResponse, id: ConnectedAccountId): RefreshOutcome | undefined => {
  if (status !== 200) return undefined
  const json = parse(text)
  return isReady(json, id) ? { _tag: "Ready", id } : decodeWith(decodeOutcome, json)
}

/** The account in the answer to a read; `undefined` if there is none. */
export const accountIn = (answer: RawResponse): ConnectedAccount | undefined =>
  answer.status === 200 ? decodeWith(decodeAccount, parse(answer.text)) : undefined

/** The failure in any other answer. `excerpt: false` is for a body that may hold a secret which no pattern recognises. */
export const refused = (
  answer: RawResponse,
  { excerpt } = { excerpt: true }
): Effect.Effect<never, StatusError | UnexpectedResponse> =>
  Effect.flatMap(Clock.currentTimeMillis, (now) =>
    Effect.fail(statusErrorOf(answer, now) ?? unexpected(answer, excerpt))
  )

/**
 * The same for a read. An account that does not decode leaves no excerpt, because its fields may not be masked.
 */
export const unread = (answer: RawResponse): Effect.Effect<never, StatusError | UnexpectedResponse> =>
  refused(answer, { excerpt: answer.status !== 200 })

/**
 * Decodes a failure of the contract: one of its statuses, with the envelope. A bare 429 or 503 without the envelope is not one, because a proxy
 * may have forwarded the request before it answered.
 */
const statusErrorOf = ({ headers, status, text }: RawResponse, now: number): StatusError | undefined => {
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
      // With a wrong base URL, every account would look removed.
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
