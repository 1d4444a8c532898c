/**
 * The route to which providers redirect a person's browser after consent.
 *
 * It is a layer of its own. An engine completes the consent and has no HTTP server, so an application joins the two by providing
 * {@link ConsentCallback}.
 *
 * The query contains an authorization code. So no answer may be cached or leak the query as a referrer, and a `HEAD` request (link previews,
 * virus scanners) must not spend the code.
 *
 * @module
 */
import type { ConnectedAccountId, ConnectedAccountStatus } from "@rekindle/core"
import { Context, Effect, Layer, Schema } from "effect"
import { HttpRouter, type HttpServerRequest, HttpServerResponse, UrlParams } from "effect/http"
import { envelopeOf } from "./internal/envelope.ts"
import { allowOnly } from "./internal/methods.ts"

/** Why a consent could not be completed. The message is for the person at the browser and never holds a secret. */
export class ConsentCallbackError extends Schema.TaggedError<ConsentCallbackError>(
  "@rekindle/platform/ConsentCallbackError"
)("ConsentCallbackError", {
  /** `invalid`: the state is unknown, expired, or of another browser; start again. `unavailable`: try the same link again. */
  reason: Schema.Literals(["invalid", "unavailable"]),
  message: Schema.String
}) {}

/** How a consent ended. */
export interface ConsentResult {
  readonly accountId: ConnectedAccountId
  /** Whether there is a new credential. An account that was ACTIVE stays ACTIVE even if the person refused the new consent. */
  readonly succeeded: boolean
  /** The account's status now. */
  readonly status: ConnectedAccountStatus
  /** Where the browser goes next, as the application asked; `undefined` for a plain page of this server. */
  readonly redirectUrl: string | undefined
}

/** Completes a consent from the query that the provider sent back (`code`, `state`, `error`, …). */
export class ConsentCallback extends Context.Service<
  ConsentCallback,
  {
    /** `session` is the value that {@link ConsentSession} reads from the request. */
    readonly complete: (
      query: URLSearchParams,
      session: string | undefined
    ) => Effect.Effect<ConsentResult, ConsentCallbackError>
  }
>()("@rekindle/platform/ConsentCallback") {}

/**
 * Reads the session value from the callback request, such as a cookie: `Layer.succeed(ConsentSession, ({ cookies }) => cookies["consent"])`. It
 * has to be the value that the link was bound to when the consent was started. By default there is none.
 */
export const ConsentSession = Context.Reference<(request: HttpServerRequest.HttpServerRequest) => string | undefined>(
  "@rekindle/platform/ConsentSession",
  { defaultValue: () => () => undefined }
)

/** The path to register with providers as the redirect URI. */
export const path = "/api/v3/callback"

const privately = {
  "cache-control": "no-store",
  "referrer-policy": "no-referrer",
  "content-security-policy": "default-src 'none'; frame-ancestors 'none'"
}

const entities: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;"
}

const escape = (text: string): string => text.replace(/[&<>"']/g, (character) => entities[character] ?? character)

const page = (status: number, title: string, text: string) =>
  HttpServerResponse.text(
    `<!doctype html><html lang="en"><meta charset="utf-8"><title>${escape(title)}</title><h1>${escape(title)}</h1><p>${escape(text)}</p></html>`,
    { status, contentType: "text/html; charset=utf-8", headers: privately }
  )

/** Appends to the query of a URL. The application's part is unchanged, except that characters that no header can carry are escaped. */
const withQuery = (address: string, query: string): string => {
  const [, base = "", fragment = ""] = /^([^#]*)(.*)$/.exec(address) ?? []
  const separator = !base.includes("?") ? "?" : /[?&]$/.test(base) ? "" : "&"
  return `${base}${separator}${query}${fragment}`.replace(/[^\x21-\x7e]+/g, encodeURIComponent)
}

const answer = ({ accountId, redirectUrl, status, succeeded }: ConsentResult) => {
  if (redirectUrl === undefined) {
    return succeeded
      ? page(200, "Connected", "The account is connected. You can close this window.")
      : page(200, "Not connected", `The account was not connected and is ${status}. You can close this window.`)
  }
  const said = `status=${succeeded ? "success" : "failed"}&connected_account_id=${accountId}`
  return HttpServerResponse.redirect(withQuery(redirectUrl, said), { headers: privately })
}

/** Whether a browser only prefetches the page. It treats a 503 as a refusal and requests the page again when the person visits it. */
const isPrefetch = ({ headers }: HttpServerRequest.HttpServerRequest): boolean =>
  [headers["sec-purpose"], headers["purpose"], headers["x-moz"]].some((purpose) =>
    /^pre(?:fetch|view|render)/i.test(purpose ?? "")
  )

/** Answers a browser with a page, and any other client with the envelope. */
const refuse = (request: HttpServerRequest.HttpServerRequest, { message, reason }: ConsentCallbackError) => {
  const status = reason === "invalid" ? 400 : 503
  return request.headers["accept"]?.includes("text/html")
    ? page(status, "Not connected", message)
    : HttpServerResponse.jsonUnsafe(envelopeOf(status, { message, code: status * 100, slug: `consent_${reason}` }), {
        status,
        headers: privately
      })
}

/**
 * `GET /api/v3/callback`. It needs no API key: the one-use `state` in the query authorizes the request.
 *
 * `HttpRouter.serve` of these routes compiles only with {@link layerRedacted} or {@link layerRecorded} around it.
 */
export const routes: Layer.Layer<
  never,
  never,
  ConsentCallback | HttpRouter.HttpRouter | HttpRouter.Request.From<"Requires", ConsentCallbackPrivacy>
> = Layer.merge(
  HttpRouter.use(
    Effect.fnUntraced(function* (router) {
      const consent = yield* ConsentCallback
      const sessionOf = yield* ConsentSession
      yield* router.add(
        "GET",
        path,
        (request) => {
          if (request.method !== "GET") {
            return Effect.succeed(HttpServerResponse.empty({ status: 405, headers: { allow: "GET" } }))
          }
          if (isPrefetch(request)) return Effect.succeed(HttpServerResponse.empty({ status: 503, headers: privately }))
          const [, query] = /\?([^#]*)/.exec(request.url) ?? []
          const completed = consent.complete(new URLSearchParams(query), sessionOf(request))
          return Effect.match(Effect.andThen(ConsentCallbackPrivacy, completed), {
            onSuccess: answer,
            onFailure: (error) => refuse(request, error)
          })
        },
        // Otherwise a browser that is closed early could leave a code spent and its tokens lost.
        { uninterruptible: true }
      )
    })
  ),
  allowOnly(path, ["GET"])
)

/** Whether the callback's query is redacted in the spans and log lines of requests. */
export class ConsentCallbackPrivacy extends Context.Service<ConsentCallbackPrivacy, "redacted" | "recorded">()(
  "@rekindle/platform/ConsentCallbackPrivacy"
) {}

/**
 * Redacts the authorization code and the state in the spans and log lines of requests. The server writes those outside of all routes, so
 * this layer is provided to the server: `HttpRouter.serve(routes).pipe(Layer.provide(layerRedacted))`.
 */
export const layerRedacted: Layer.Layer<ConsentCallbackPrivacy> = Layer.merge(
  Layer.succeed(ConsentCallbackPrivacy, "redacted"),
  Layer.effect(
    UrlParams.CurrentRedactedNames,
    Effect.map(UrlParams.CurrentRedactedNames, (names) => [
      ...names,
      "code",
      "state",
      "access_token",
      "id_token",
      "oauth_token",
      "oauth_verifier",
      "denied"
    ])
  )
)

/** Records the whole query of the callback. Use it only in development: a reader of the trace could redeem the code. */
export const layerRecorded: Layer.Layer<ConsentCallbackPrivacy> = Layer.succeed(ConsentCallbackPrivacy, "recorded")
