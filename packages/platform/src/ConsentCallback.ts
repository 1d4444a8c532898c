/**
 * Where a provider sends the user's browser back after consent: the one address of the server that people visit.
 *
 * It is a layer of its own. What completes a consent is the engine's affair, which knows nothing of HTTP servers, so an application
 * wires the two together by providing {@link ConsentCallback}.
 *
 * The query carries an authorization code. No answer may be cached or leak it as a referrer, and a `HEAD` (link previews, virus
 * scanners) must not spend it.
 *
 * @module
 */
import type { ConnectedAccountId, ConnectedAccountStatus } from "@rekindle/core"
import { Context, Effect, Layer, Schema } from "effect"
import { HttpRouter, type HttpServerRequest, HttpServerResponse, UrlParams } from "effect/http"
import { envelopeOf } from "./internal/envelope.ts"
import { allowOnly } from "./internal/methods.ts"

/** Why a consent could not be completed, in words for the person in front of the browser. Never holds a secret. */
export class ConsentCallbackError extends Schema.TaggedError<ConsentCallbackError>(
  "@rekindle/platform/ConsentCallbackError"
)("ConsentCallbackError", {
  /** `invalid`: unknown or lapsed state, or one of another browser; start over. `unavailable`: try the same link again. */
  reason: Schema.Literals(["invalid", "unavailable"]),
  message: Schema.String
}) {}

/** How a consent ended. */
export interface ConsentResult {
  readonly accountId: ConnectedAccountId
  /** Whether it led to a new credential. Not the same as ACTIVE: who says no to a new consent leaves a working account as it was. */
  readonly succeeded: boolean
  /** What the account is now. */
  readonly status: ConnectedAccountStatus
  /** Where the application asked for the user to land; undefined for a plain page here. */
  readonly redirectUrl: string | undefined
}

/** Completes a consent from the query the provider sent back (`code`, `state`, `error`, …). */
export class ConsentCallback extends Context.Service<
  ConsentCallback,
  {
    /** `session` is what {@link ConsentSession} reads from the request. */
    readonly complete: (
      query: URLSearchParams,
      session: string | undefined
    ) => Effect.Effect<ConsentResult, ConsentCallbackError>
  }
>()("@rekindle/platform/ConsentCallback") {}

/**
 * Reads from the callback the value that its link was bound to when the consent was started, such as a cookie:
 * `Layer.succeed(ConsentSession, ({ cookies }) => cookies["consent"])`. By default there is none.
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

/** Appends to the query of an address. What the application wrote keeps its bytes; only what no header can carry is escaped. */
const withQuery = (address: string, query: string): string => {
  const [, base = "", fragment = ""] = /^([^#]*)(.*)$/.exec(address) ?? []
  const separator = !base.includes("?") ? "?" : /[?&]$/.test(base) ? "" : "&"
  return `${base}${separator}${query}${fragment}`.replace(/[^\x21-\x7e]+/g, encodeURIComponent)
}

const answer = ({ accountId, redirectUrl, status, succeeded }: ConsentResult) => {
  if (redirectUrl === undefined) {
    return succeeded
      ? page(200, "Connected", "The account is connected. You can close this window.")
      : page(200, "Not connected", `Nothing was connected; the account is ${status}. You can close this window.`)
  }
  const said = `status=${succeeded ? "success" : "failed"}&connected_account_id=${accountId}`
  return HttpServerResponse.redirect(withQuery(redirectUrl, said), { headers: privately })
}

/** A browser that fetches ahead shows nobody anything. It takes a 503 for a refusal and asks again when somebody goes there. */
const isPrefetch = ({ headers }: HttpServerRequest.HttpServerRequest): boolean =>
  [headers["sec-purpose"], headers["purpose"], headers["x-moz"]].some((purpose) =>
    /^pre(?:fetch|view|render)/i.test(purpose ?? "")
  )

/** A page for a browser, the envelope for anything else. */
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
 * `GET /api/v3/callback`, without an API key: it is the one-use `state` in the query that authorizes it.
 *
 * `HttpRouter.serve` of it does not compile without {@link layerRedacted} around it, or the decision to do without.
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
        // A browser that is closed early must not leave a code spent and its tokens lost.
        { uninterruptible: true }
      )
    })
  ),
  allowOnly(path, ["GET"])
)

/** Whether what the provider sends back is kept out of the spans and log lines of requests. */
export class ConsentCallbackPrivacy extends Context.Service<ConsentCallbackPrivacy, "redacted" | "recorded">()(
  "@rekindle/platform/ConsentCallbackPrivacy"
) {}

/**
 * Keeps the authorization code and the state out of the spans and log lines of requests. The server makes those outside of every route,
 * so this goes around the server: `HttpRouter.serve(routes).pipe(Layer.provide(layerRedacted))`.
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

/** Records the whole query of the callback: for a development machine. A code in a trace can be redeemed by whoever reads it first. */
export const layerRecorded: Layer.Layer<ConsentCallbackPrivacy> = Layer.succeed(ConsentCallbackPrivacy, "recorded")
