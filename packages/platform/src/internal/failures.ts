/**
 * The last word on every answer of ours: a failure leaves with an envelope and a request id, and no answer is kept by a cache or taken
 * by a browser for what it is not.
 *
 * Handlers already answer envelopes. What they never see is what this is for: wrong methods, bodies that are too large or too slow,
 * unsupported content types, defects, shutdowns. It speaks for `/api/v3` and for {@link pages}. Every other route is the application's,
 * and keeps its own answers; only an address where nobody has a route at all is answered here.
 *
 * @module
 */
import { ErrorEnvelope } from "@rekindle/core"
import { ByteSize, Cause, Effect, Option, Random, Schema } from "effect"
import { HttpBody, HttpRouter, HttpServerError, HttpServerRequest, HttpServerResponse } from "effect/http"
import { routeNotFound } from "./envelope.ts"

/** Enough for any refresh request; more is a mistake or an attack. */
const maxBodySize = ByteSize.kibibytes(64)

const requestIdHeader = "x-request-id"

interface Failure {
  readonly slug: string
  readonly message: string
}

const known: Readonly<Record<number, Failure>> = {
  400: { slug: "bad_request", message: "The request could not be understood" },
  404: { slug: routeNotFound, message: "There is nothing at this address" },
  405: { slug: "method_not_allowed", message: "This address does not answer to this method" },
  408: { slug: "body_too_slow", message: "The body did not arrive in time; nothing was done" },
  413: { slug: "body_too_large", message: `The body is larger than ${ByteSize.format(maxBodySize)}` },
  415: { slug: "unsupported_media_type", message: "The body has to be application/json" },
  500: { slug: "internal_error", message: "Something went wrong here; the request id finds it in our logs" }
}

const unknown = (status: number): Failure => ({
  slug: `http_${status}`,
  message: `The request failed with status ${status}`
})

/** An id so long, or so badly escaped, that the router does not let anything look at it. */
const invalidId: Failure = { slug: "invalid_id", message: "The connected account id is malformed" }

/** A server that is closing stopped a request in flight. Not a 503: what it had already sent to a provider may take effect. */
const interrupted: Failure = {
  slug: "interrupted",
  message: "The server is shutting down; what became of this is unknown"
}

/** The path as the router splits it off: also off a whole URL (RFC 9112, section 3.2.2), even one with no valid host. */
const pathOf = ({ url }: HttpServerRequest.HttpServerRequest): string =>
  url.replace(/^https?:\/\/[^/]*/, "").replace(/[?;#].*/s, "")

/** `undefined` for a path the router cannot read either. */
const unescaped = (path: string): string | undefined => {
  try {
    return decodeURI(path)
  } catch {
    return undefined
  }
}

/** As the router matches: `/%61pi/v3` is `/api/v3` to it. */
const withinApi = (path: string): boolean => /^\/+api\/+v3(?:\.1)?(?:\/|$)/i.test(unescaped(path) ?? path)

/** The caller's own id if it can go into a log line as it is, else a new one. */
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

const decodeEnvelope = Schema.decodeUnknownOption(Schema.fromJsonString(ErrorEnvelope))

/** The envelope a handler has already written, if it has. */
const envelopeIn = ({ body }: HttpServerResponse.HttpServerResponse): ErrorEnvelope | undefined =>
  body._tag === "Uint8Array" && body.contentType === "application/json"
    ? Option.getOrUndefined(decodeEnvelope(body.text))
    : undefined

/** What an answer with account data, or one about it, carries whatever it says. */
const privately = { "x-content-type-options": "nosniff", "cache-control": "no-store" }

/** Where a repeat is in order: the answer says that nothing was done, and that asking again may help. */
const repeatable = new Set([408, 429, 503])

/**
 * The official clients repeat every 5xx and 409 unless they are told not to. A refresh is not idempotent; and what is refused once is
 * refused again.
 */
const mustNotRepeat = (status: number, reads: boolean): boolean =>
  status >= 400 && !repeatable.has(status) && !(reads && status === 500)

/** Every answer gets the request id; a failure gets it in its envelope too, and an envelope if it has none. */
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
    return withBody(answer, { error: { ...written.error, request_id: requestId } })
  }
  // Whoever wrote a page of their own has said what they had to say.
  const bare = response.body._tag === "Empty" || response.body.contentType?.startsWith("text/plain")
  return bare ? withBody(answer, { error: { ...failure, code: status * 100, status, request_id: requestId } }) : answer
}

const withBody = (response: HttpServerResponse.HttpServerResponse, body: ErrorEnvelope) =>
  HttpServerResponse.setBody(response, HttpBody.jsonUnsafe(body))

const isClientAbort = (cause: Cause.Cause<unknown>): boolean =>
  cause.reasons.some((reason) => reason.annotations.has(HttpServerError.ClientAbort.key))

/** The router's own failure, if there is no route for the request. */
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
  // The router describes this one case: a parameter longer than it takes.
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

/** Adds the envelope, the request id and the headers to what is answered under the contract's prefixes and on `pages`. */
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
