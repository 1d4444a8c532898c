/**
 * The route to which providers redirect a person's browser after consent.
 *
 * It requires core's `ConsentCallback`, which every engine provides: give the routes the engine's layer, and they are joined.
 *
 * The query contains an authorization code. So no answer may be cached or leak the query as a referrer, and a `HEAD` request (link previews,
 * virus scanners) must not spend the code.
 *
 * @module
 */
import { type ConnectedAccountId, ConsentCallback, type ConsentCallbackError, type ConsentResult } from "@rekindle/core"
import { Context, Effect, Layer } from "effect"
import { HttpRouter, type HttpServerRequest, HttpServerResponse, UrlParams } from "effect/http"
import { envelopeOf } from "./internal/envelope.ts"
import { allowOnly } from "./internal/methods.ts"

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

const policy = "content-security-policy"

const privately = {
  "cache-control": "no-store",
  "referrer-policy": "no-referrer",
  "x-frame-options": "DENY",
  [policy]: "default-src 'none'; frame-ancestors 'none'"
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

/** The application's address with the result in its query: `status` (`success` or `failed`) and `connected_account_id`. */
export const resultUrl = (
  redirectUrl: string,
  { accountId, succeeded }: { readonly accountId: ConnectedAccountId; readonly succeeded: boolean }
): string => withQuery(redirectUrl, `status=${succeeded ? "success" : "failed"}&connected_account_id=${accountId}`)

/** What a person is shown who is not sent on to the application. */
export interface Landing {
  /** How the consent ended; `undefined` if there was none to complete. */
  readonly result: ConsentResult | undefined
  /** The page's status, title and text as they are by default. */
  readonly status: 200 | 400 | 503
  readonly title: string
  readonly text: string
}

/**
 * The page that a person lands on who is not sent on to the application. Replace it with one of your own:
 * `Layer.succeed(ConsentLanding, ({ title, text }) => HttpServerResponse.html(…))`. Its headers against caching, referrers and framing are set
 * afterwards. Without a `content-security-policy` of its own, it may load nothing, not even a style. Escape what you put into it.
 */
export const ConsentLanding = Context.Reference<(landing: Landing) => HttpServerResponse.HttpServerResponse>(
  "@rekindle/platform/ConsentLanding",
  {
    defaultValue:
      () =>
      ({ status, text, title }) =>
        page(status, title, text)
  }
)

type Show = (landing: Landing) => HttpServerResponse.HttpServerResponse

const answer = (show: Show) => (result: ConsentResult) => {
  const { accountId, failure, redirectUrl, status } = result
  const succeeded = failure === undefined
  if (redirectUrl === undefined) {
    return show({
      result,
      status: 200,
      title: succeeded ? "Connected" : "Not connected",
      text: succeeded
        ? "The account is connected. You can close this window."
        : `The account was not connected and is ${status}. You can close this window.`
    })
  }
  return HttpServerResponse.redirect(resultUrl(redirectUrl, { accountId, succeeded }), { headers: privately })
}

/** Whether a browser only prefetches the page. It treats a 503 as a refusal and requests the page again when the person visits it. */
const isPrefetch = ({ headers }: HttpServerRequest.HttpServerRequest): boolean =>
  [headers["sec-purpose"], headers["purpose"], headers["x-moz"]].some((purpose) =>
    /^pre(?:fetch|view|render)/i.test(purpose ?? "")
  )

const refusals = {
  invalid: { status: 400, slug: "consent_invalid" },
  unavailable: { status: 503, slug: "consent_unavailable" }
} as const

/** Answers a browser with a page, and any other client with the envelope. */
const refuse = (
  show: Show,
  request: HttpServerRequest.HttpServerRequest,
  { message, reason }: ConsentCallbackError
) => {
  const { slug, status } = refusals[reason]
  return request.headers["accept"]?.includes("text/html")
    ? show({ result: undefined, status, title: "Not connected", text: message })
    : HttpServerResponse.jsonUnsafe(envelopeOf(status, { message, code: status * 100, slug }), {
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
      const landing = yield* ConsentLanding
      const show: Show = (shown) => {
        const page = landing(shown)
        return HttpServerResponse.setHeaders(page, {
          ...privately,
          [policy]: page.headers[policy] ?? privately[policy]
        })
      }
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
            onSuccess: answer(show),
            onFailure: (error) => refuse(show, request, error)
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
