/**
 * Completes every answer of the API: a failure gets the envelope and a request id, and no answer is cached or sniffed by a browser.
 *
 * Handlers already answer with envelopes. This middleware is for the failures that no handler sees: wrong methods, bodies that are too large or
 * too slow, unsupported content types, defects, shutdowns. It applies to `/api/v3` and to the given pages. Routes of the application keep their
 * own answers. An address without any route is answered here.
 *
 * @module
 */
import { ErrorEnvelope } from "@rekindle/core"
import { ByteSize, Cause, Effect, Option, Random, Schema } from "effect"
import { HttpBody, HttpRouter, HttpServerError, HttpServerRequest, HttpServerResponse } from "effect/http"
import { routeNotFound } from "./envelope.ts"

/** Far more than any refresh request needs. */
const maxBodySize = ByteSize.kibibytes(64)

const requestIdHeader = "x-request-id"

interface Failure {
  readonly slug: string
  readonly message: string
}

const known: Readonly<Record<number, Failure>> = {
  400: { slug: "bad_request", message: "The request could not be understood" },
  404: { slug: routeNotFound, message: "There is nothing at this address" },
  405: { slug: "method_not_allowed", message: "This address does not support this method" },
  408: { slug: "body_too_slow", message: "The body did not arrive in time; nothing was done" },
  413: { slug: "body_too_large", message: `The body is larger than ${ByteSize.format(maxBodySize)}` },
  415: { slug: "unsupported_media_type", message: "The body must be application/json" },
  500: { slug: "internal_error", message: "An internal error occurred; the server's log has it under the request id" }
}

const unknown = (status: number): Failure => ({
  slug: `http_${status}`,
  message: `The request failed with status ${status}`
})

/** For an id so long, or so badly escaped, that the router rejects it before any handler. */
const invalidId: Failure = { slug: "invalid_id", message: "The connected account id is malformed" }

/** For a request that a shutdown interrupted. It is no 503, because a request already sent to a provider may take effect. */
const interrupted: Failure = {
  slug: "interrupted",
  message: "The server is shutting down; the outcome of the request is unknown"
}

/** The path as the router sees it. The target may be a whole URL (RFC 9112, section 3.2.2), even one with an invalid host. */
const pathOf = ({ url }: HttpServerRequest.HttpServerRequest): string =>
  url.replace(/^https?:\/\/[^/]*/, "").replace(/[?;#].*/s, "")

/** The decoded path; `undefined` if it is malformed, which the router rejects too. */
const unescaped = (path: string): string | undefined => {
  try {
    return decodeURI(path)
  } catch {
    return undefined
  }
}

/** Matches as the router does: `/%61pi/v3` equals `/api/v3`. */
const withinApi = (path: string): boolean => /^\/+api\/+v3(?:\.1)?(?:\/|$)/i.test(unescaped(path) ?? path)

/** The caller's request id if it is safe in a log line, otherwise a new one. */
const requestIdOf = (request: HttpServerRequest.HttpServerRequest): Effect.Effect<string> => {
  const given = request.headers[requestIdHeader]
  return given !== undefined && /^[\w.:-]{1,128}$/.test(given)
    ? Effect.succeed(given)
    : Effect.map(
        Random.Random,
        (random) => `req_${hex48(random.nextDoubleUnsafe())}${hex48(random.nextDoubleUnsafe())}`
      )
}

interface RequestOfOurs {
  readonly method: string
  readonly path: string
  readonly requestId: string
}

const hex48 = (fraction: number): string =>
  Math.floor(fraction * 2 ** 48)
    .toString(16)
    .padStart(12, "0")

/** What an envelope has besides `error` belongs to the failure, and stays. */
const Envelope = Schema.StructWithRest(ErrorEnvelope, [Schema.Record(Schema.String, Schema.Json)])

const decodeEnvelope = Schema.decodeUnknownOption(Schema.fromJsonString(Envelope))

/** The envelope that a handler has written, if any. */
const envelopeIn = ({ body }: HttpServerResponse.HttpServerResponse): typeof Envelope.Type | undefined =>
  body._tag === "Uint8Array" && body.contentType === "application/json"
    ? Option.getOrUndefined(decodeEnvelope(body.text))
    : undefined

/** The headers of every answer with account data or about it. */
const privately = { "x-content-type-options": "nosniff", "cache-control": "no-store" }

/** Statuses that say that nothing was done and that the request may be repeated. */
const repeatable = new Set([408, 429, 503])

/**
 * The official clients repeat every 5xx and 409 unless a header forbids it. A refresh is not idempotent, and a refused request is refused
 * again.
 */
const mustNotRepeat = (status: number, reads: boolean): boolean =>
  status >= 400 && !repeatable.has(status) && !(reads && status === 500)

/** Adds the request id to an answer. A failure gets it in its envelope too, and an envelope if it has none. */
const finish = (
  response: HttpServerResponse.HttpServerResponse,
  { method, requestId }: RequestOfOurs,
  failure: Failure = known[response.status] ?? unknown(response.status)
): HttpServerResponse.HttpServerResponse => {
  const { status } = response
  const answer = HttpServerResponse.setHeaders(response, {
    ...privately,
    [requestIdHeader]: requestId,
    ...(status === 401 && { "www-authenticate": 'ApiKey header="x-api-key"' }),
    ...(mustNotRepeat(status, method === "GET" || method === "HEAD") && { "x-should-retry": "false" })
  })
  if (status < 400) return answer
  const written = envelopeIn(response)
  if (written !== undefined) {
    return withBody(answer, { ...written, error: { ...written.error, request_id: requestId } })
  }
  // A failure with a page of its own keeps it.
  const bare = response.body._tag === "Empty" || response.body.contentType?.startsWith("text/plain")
  return bare ? withBody(answer, { error: { ...failure, code: status * 100, status, request_id: requestId } }) : answer
}

const withBody = (response: HttpServerResponse.HttpServerResponse, body: ErrorEnvelope) =>
  HttpServerResponse.setBody(response, HttpBody.jsonUnsafe(body))

const isClientAbort = (cause: Cause.Cause<unknown>): boolean =>
  cause.reasons.some((reason) => reason.annotations.has(HttpServerError.ClientAbort.key))

/** The router's failure if there is no route for the request. */
const routeNotFoundIn = (cause: Cause.Cause<unknown>): HttpServerError.RouteNotFound | undefined => {
  for (const reason of cause.reasons) {
    if (reason._tag === "Fail" && HttpServerError.isHttpServerError(reason.error)) {
      if (reason.error.reason._tag === "RouteNotFound") return reason.error.reason
    }
  }
  return undefined
}

const isUnreadableId = (cause: Cause.Cause<unknown>, path: string): boolean => {
  const reason = routeNotFoundIn(cause)
  // The router adds a description only if a parameter is too long.
  return reason !== undefined && (reason.description !== undefined || unescaped(path) === undefined)
}

const answerFailure = (cause: Cause.Cause<unknown>, request: RequestOfOurs) =>
  Effect.suspend(() => {
    if (Cause.hasInterruptsOnly(cause)) {
      return isClientAbort(cause)
        ? Effect.failCause(cause)
        : Effect.succeed(finish(HttpServerResponse.empty({ status: 500 }), request, interrupted))
    }
    if (withinApi(request.path) && isUnreadableId(cause, request.path)) {
      return Effect.succeed(finish(HttpServerResponse.empty({ status: 400 }), request, invalidId))
    }
    return Effect.flatMap(HttpServerError.causeResponse(cause), ([response]) =>
      Effect.as(
        response.status >= 500 ? Effect.logError("A request failed", cause) : Effect.void,
        finish(response, request)
      )
    )
  })

/** Adds the envelope, the request id and the headers to answers under the contract's prefixes and on `pages`. */
export const layer = (pages: ReadonlyArray<string>) =>
  HttpRouter.middleware(
    (app) =>
      Effect.gen(function* () {
        const request = yield* HttpServerRequest.HttpServerRequest
        const path = pathOf(request)
        const inApi = withinApi(path)
        const ours = { method: request.method, path, requestId: yield* requestIdOf(request) }
        if (inApi) {
          return yield* app.pipe(
            Effect.provideService(HttpServerRequest.MaxBodySize, maxBodySize),
            Effect.map((response) => finish(response, ours)),
            Effect.catchCause((cause) => answerFailure(cause, ours)),
            Effect.annotateLogs("request_id", ours.requestId)
          )
        }
        return yield* Effect.matchCauseEffect(app, {
          onSuccess: (response) =>
            Effect.succeed(response.status >= 400 && pages.includes(path) ? finish(response, ours) : response),
          onFailure: (cause) =>
            pages.includes(path) || routeNotFoundIn(cause) !== undefined
              ? answerFailure(cause, ours)
              : Effect.failCause(cause)
        })
      }),
    { global: true }
  )
