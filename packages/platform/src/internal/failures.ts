/**
 * The last word on every answer: a failure leaves with an envelope and a request id, whoever produced it.
 *
 * Handlers already answer envelopes. What they never see is what this is for: unknown routes, wrong methods, bodies that are too large,
 * unsupported content types, defects, shutdowns. Inside `/api/v3` it speaks for everybody; outside, where the application may have
 * routes of its own, only for those who said nothing.
 *
 * @module
 */
import { ErrorEnvelope } from "@rekindle/core"
import { ByteSize, Cause, Effect, identity, Option, Random, Schema } from "effect"
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

/** Every answer gets the request id; a failure gets it in its envelope too, and an envelope if it has none. */
const finish = (
  response: HttpServerResponse.HttpServerResponse,
  requestId: string,
  inApi: boolean,
  failure: Failure = known[response.status] ?? unknown(response.status)
): HttpServerResponse.HttpServerResponse => {
  const answer = HttpServerResponse.setHeader(response, requestIdHeader, requestId)
  if (response.status < 400) return answer
  const written = inApi ? envelopeIn(response) : undefined
  if (written !== undefined) {
    return withBody(answer, { error: { ...written.error, request_id: requestId } })
  }
  // Whoever wrote a page of their own has said what they had to say.
  const bare = response.body._tag === "Empty" || (inApi && response.body.contentType?.startsWith("text/plain"))
  return bare
    ? withBody(answer, {
        error: { ...failure, code: response.status * 100, status: response.status, request_id: requestId }
      })
    : answer
}

const withBody = (response: HttpServerResponse.HttpServerResponse, body: ErrorEnvelope) =>
  HttpServerResponse.setBody(response, HttpBody.jsonUnsafe(body))

const isClientAbort = (cause: Cause.Cause<unknown>): boolean =>
  cause.reasons.some((reason) => reason.annotations.has(HttpServerError.ClientAbort.key))

const isUnreadableId = (cause: Cause.Cause<unknown>, path: string): boolean =>
  cause.reasons.some(
    (reason) =>
      reason._tag === "Fail" &&
      HttpServerError.isHttpServerError(reason.error) &&
      reason.error.reason._tag === "RouteNotFound" &&
      // The router describes this one case: a parameter longer than it takes.
      (reason.error.reason.description !== undefined || unescaped(path) === undefined)
  )

/** Adds the envelope and the request id to everything the router answers. */
export const layer = HttpRouter.middleware(
  (app) =>
    Effect.gen(function* () {
      const request = yield* HttpServerRequest.HttpServerRequest
      const requestId = yield* requestIdOf(request)
      const path = pathOf(request)
      const inApi = withinApi(path)
      return yield* app.pipe(
        inApi ? Effect.provideService(HttpServerRequest.MaxBodySize, maxBodySize) : identity,
        Effect.map((response) => finish(response, requestId, inApi)),
        Effect.catchCause((cause) => {
          if (Cause.hasInterruptsOnly(cause)) {
            return isClientAbort(cause)
              ? Effect.failCause(cause)
              : Effect.succeed(finish(HttpServerResponse.empty({ status: 500 }), requestId, inApi, interrupted))
          }
          if (inApi && isUnreadableId(cause, path)) {
            return Effect.succeed(finish(HttpServerResponse.empty({ status: 400 }), requestId, inApi, invalidId))
          }
          return Effect.flatMap(HttpServerError.causeResponse(cause), ([response]) =>
            Effect.as(
              response.status >= 500 ? Effect.logError("A request failed", cause) : Effect.void,
              finish(response, requestId, inApi)
            )
          )
        }),
        Effect.annotateLogs("request_id", requestId)
      )
    }),
  { global: true }
)
