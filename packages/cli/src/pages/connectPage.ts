/**
 * The page of a link: which application asks for what, and how the account is connected. A provider that has a page of its own is visited;
 * otherwise the page takes the credential.
 *
 * **Gotchas**
 *
 * - Only the form changes something. Previews, scanners and `HEAD` requests read the page and spend nothing.
 * - The form carries a proof that its page was opened in the same browser: the hash of the token and of a value in a cookie. No other site can
 *   read either, so none can send the form.
 * - The same value binds the consent to the browser. A link that somebody opened and passed on is refused.
 *
 * @module
 */
import {
  type ConnectedAccount,
  ConnectedAccounts,
  Connections,
  type ConnectionsError,
  ConsentCallback as CoreConsentCallback,
  CurrentProject,
  type RegisteredAuthConfig
} from "@rekindle/core"
import { AuthStrategies, type AuthStrategy } from "@rekindle/engine"
import { ConsentCallback, Toolkits } from "@rekindle/platform"
import { ByteSize, Effect, Layer, Option, Redacted } from "effect"
import { SecureRandom } from "effect/crypto"
import { Base64Url } from "effect/encoding"
import { HttpRouter, HttpServerRequest, type HttpServerResponse as Response, HttpServerResponse } from "effect/http"
import { createHash, timingSafeEqual } from "node:crypto"
import { type Field, fieldsOf } from "./fields.ts"
import { type Content, html, type Html, page, sendOn } from "./html.ts"
import { type Link, Links, type OpenLink, path, tokenParameter } from "./Links.ts"
import { serviceName } from "./serviceName.ts"

/** How the connect page names things. */
export interface ConnectPageOptions {
  /** The address of this service in browsers. Cookies are for https alone if it is https. */
  readonly publicUrl: string
  /** The name of the application that asks, for people. Default: the host that the person returns to. */
  readonly applicationName?: ((projectId: string) => Effect.Effect<string | undefined>) | undefined
}

/** Far more than any credential needs. */
const maxBodySize = ByteSize.kibibytes(64)

/** A browser takes a cookie with this prefix only over https and for this host alone. */
const cookieOf = (publicUrl: string): string =>
  publicUrl.startsWith("https:") ? "__Host-rekindle_browser" : "rekindle_browser"

const isBrowserValue = (value: string | undefined): value is string => value !== undefined && /^[\w-]{43}$/.test(value)

/** Reads the value that a consent is bound to. */
export const layerSession = ({ publicUrl }: ConnectPageOptions): Layer.Layer<never> =>
  Layer.succeed(ConsentCallback.ConsentSession, ({ cookies }) => {
    const value = cookies[cookieOf(publicUrl)]
    return isBrowserValue(value) ? value : undefined
  })

/** Spends the links of an account whose consent was completed. */
export const layerCallback: Layer.Layer<CoreConsentCallback, never, CoreConsentCallback | Links> = Layer.effect(
  CoreConsentCallback,
  Effect.gen(function* () {
    const { complete } = yield* CoreConsentCallback
    const links = yield* Links
    return {
      complete: (query, session) =>
        Effect.tap(complete(query, session), ({ accountId, failure }) =>
          failure === undefined && session !== undefined
            ? links
                .spend(accountId, session)
                .pipe(
                  Effect.catch(({ message }) => Effect.logWarning("a link could not be spent", { accountId, message }))
                )
            : Effect.void
        )
    }
  })
)

const proofOf = (browser: string, token: string): string =>
  createHash("sha256").update(`${browser}.${token}`).digest("base64url")

const isProof = (given: string | null, browser: string, token: string): boolean => {
  const expected = Buffer.from(proofOf(browser, token))
  const actual = Buffer.from(given ?? "")
  return actual.length === expected.length && timingSafeEqual(actual, expected)
}

const message = (status: number, title: string, text: Content) =>
  page({
    status,
    title,
    tone: status < 400 ? "good" : "bad",
    body: html`<h1>${title}</h1>
      <p>${text}</p>`
  })

const askAgain = "Go back to the application and ask for a new link."

const closed: Readonly<Record<Exclude<Link["_tag"], "Open">, Response.HttpServerResponse>> = {
  Gone: message(410, "This link does not work any more", `It is too old, or not complete. ${askAgain}`),
  Spent: message(
    200,
    "Already connected",
    "This link was used, and the account is connected. You can close this window."
  ),
  Taken: message(
    403,
    "This link is in use",
    `It was opened in another browser first. Go on there. If that was not you: ${askAgain}`
  )
}

const wrongBrowser = message(
  403,
  "Please open the link again",
  "The form was not sent by this page, or the browser has not kept its cookie. Allow cookies for this page, and open the link again."
)

const sendAgain = "This page was open more than once. Please send it once more."

/** The page of a failure. What the engine says is for the people who run the application. */
const failurePage = (error: ConnectionsError) => {
  switch (error._tag) {
    case "AccountNotFound":
      return closed.Gone
    case "Unavailable":
    case "RateLimited":
      return message(
        503,
        "Please try again",
        "The account could not be connected just now. Wait a moment, then go back and try again."
      )
    default:
      return message(
        500,
        "This account cannot be connected now",
        html`The application is not set up correctly for this service. Please tell the people who run it:
          <code>${("slug" in error ? error.slug : undefined) ?? error._tag}</code>`
      )
  }
}

const inputOf = ({ isRequired, kind, label, name }: Field, isWrong: boolean): Html => {
  const id = `secret-${name}`
  const required = isRequired ? html` required` : undefined
  const wrong = isWrong ? html` aria-invalid="true" aria-describedby="problem"` : undefined
  const field =
    kind === "document"
      ? html`<textarea
          id="${id}"
          name="secret.${name}"
          autocomplete="off"
          spellcheck="false"
          ${required}${wrong}
        ></textarea>`
      : html`<input
          id="${id}"
          name="secret.${name}"
          type="${kind}"
          autocomplete="off"
          autocapitalize="off"
          spellcheck="false"
          ${required}${wrong}
        />`
  return html`<label for="${id}">${label}</label>${field}`
}

interface Opened {
  readonly token: string
  readonly browser: string
  readonly link: OpenLink
  readonly account: ConnectedAccount
  readonly config: RegisteredAuthConfig
  readonly strategy: AuthStrategy
  /** The name of the application. */
  readonly application: string
  /** The name of the service that the account is at. */
  readonly service: string
}

const scopesOf = ({ settings }: RegisteredAuthConfig): ReadonlyArray<string> => {
  const { scopes } = settings
  return Array.isArray(scopes) ? scopes.filter((scope) => typeof scope === "string") : []
}

/** The page with the form. `problem` says what was wrong with the last one. */
const connectPage = (
  { account, application, browser, config, link, service, strategy, token }: Opened,
  problem?: string,
  status = problem === undefined ? 200 : 422
) => {
  const scopes = scopesOf(config)
  const fields = strategy.consent === undefined ? fieldsOf(strategy) : []
  const title = `Connect ${service}`
  const rows: ReadonlyArray<readonly [string, Content]> = [
    ...(account.userId === undefined ? [] : [["Your id in the application", account.userId] as const]),
    ...(typeof account.alias === "string" ? [["Name", account.alias] as const] : []),
    ...(scopes.length === 0
      ? []
      : [
          [
            "It asks for",
            html`<ul class="plain">
              ${scopes.map((scope) => html`<li><code>${scope}</code></li>`)}
            </ul>`
          ] as const
        ]),
    ...(link.callbackUrl === undefined
      ? []
      : [["Afterwards", `You return to ${new URL(link.callbackUrl).host}`] as const])
  ]
  return page({
    status,
    tone: problem === undefined ? "neutral" : "bad",
    title: problem === undefined ? title : `Not connected: ${title}`,
    body: html`<h1>${title}</h1>
      <p><strong>${application}</strong> asks to use your ${service} account.</p>
      <dl>
        ${rows.map(
          ([name, value]) =>
            html`<dt>${name}</dt>
              <dd>${value}</dd>`
        )}
      </dl>
      ${problem === undefined ? undefined : html`<p role="alert" id="problem">${problem}</p>`}
      <form method="post" action="${path}">
        <input type="hidden" name="${tokenParameter}" value="${token}" />
        <input type="hidden" name="proof" value="${proofOf(browser, token)}" />
        ${fields.map((field) => inputOf(field, problem !== undefined))}
        <button type="submit">${fields.length === 0 ? `Continue to ${service}` : "Connect"}</button>
      </form>
      <p class="soft">
        ${
          fields.length === 0
            ? `You sign in at ${service} itself. Your password is not shown to the application.`
            : "It is kept encrypted, and the application uses it to act for you. Nobody can read it here again."
        }
        If you did not ask for this, close the page.
      </p>`
  })
}

/** The wrong fields in words. The engine names them as `secrets.<name>`, and never repeats a value. */
const inWords = (errors: ReadonlyArray<string>, fields: ReadonlyArray<Field>): string =>
  `Please correct this. ${errors
    .map((error) => fields.reduce((text, { label, name }) => text.replace(`secrets.${name}`, label), error))
    .join("; ")}.`

const make = Effect.fnUntraced(function* ({ applicationName, publicUrl }: ConnectPageOptions) {
  const accounts = yield* ConnectedAccounts
  const connections = yield* Connections
  const links = yield* Links
  const random = yield* SecureRandom.SecureRandom
  const strategies = yield* AuthStrategies
  const toolkits = yield* Toolkits
  const cookie = cookieOf(publicUrl)

  const newBrowser = Effect.map(random.randomBytes(32), Base64Url.encode)

  const hostOf = (address: string | undefined) => (address === undefined ? undefined : new URL(address).host)

  /** The link with everything that its page shows. */
  const opened = Effect.fnUntraced(function* (token: string, browser: string, link: OpenLink) {
    const account = yield* accounts.get(link.accountId)
    const config = yield* connections.authConfigs.get(account.authConfig.id)
    const strategy = strategies.get(account.state.authScheme)
    if (Option.isNone(config) || strategy === undefined) return undefined
    const named = applicationName === undefined ? undefined : yield* applicationName(link.projectId)
    const application = named ?? hostOf(link.callbackUrl) ?? "An application"
    const service = yield* serviceName(toolkits, account.toolkit.slug)
    return { token, browser, link, account, config: config.value, strategy, application, service } satisfies Opened
  })

  const show = Effect.fnUntraced(function* (token: string, browser: string, problem?: string) {
    const link = yield* links.find(token, browser)
    if (link._tag !== "Open") return closed[link._tag]
    const shown = yield* Effect.provideService(opened(token, browser, link), CurrentProject, link.projectId)
    if (shown === undefined) return closed.Gone
    return problem === undefined ? connectPage(shown) : connectPage(shown, problem, 403)
  })

  const connected = ({ account, link }: Opened) =>
    link.callbackUrl === undefined
      ? message(200, "Connected", "The account is connected. You can close this window.")
      : sendOn(
          ConsentCallback.resultUrl(link.callbackUrl, { accountId: account.id, succeeded: true }),
          "Connected. You are taken back to the application."
        )

  /** Whether the provider accepts the credential. Where it cannot be tried, it counts as accepted. */
  const isAccepted = ({ account }: Opened) =>
    accounts.refresh(account.id, { validateCredentials: true }).pipe(
      Effect.map(({ _tag }) => _tag === "Ready"),
      Effect.catch((error) =>
        error._tag === "InvalidRequest" || error._tag === "AccountNotFound" ? Effect.fail(error) : Effect.succeed(true)
      )
    )

  const takeSecrets = Effect.fnUntraced(function* (shown: Opened, form: URLSearchParams) {
    const fields = fieldsOf(shown.strategy)
    const secrets = Object.fromEntries(
      fields.flatMap(({ isRequired, name }) => {
        const value = form.get(`secret.${name}`) ?? ""
        return value === "" && !isRequired ? [] : [[name, Redacted.make(value, { label: name })] as const]
      })
    )
    const mistakes = yield* connections.update(shown.account.id, { secrets }).pipe(
      Effect.as(undefined),
      Effect.catchTag("InvalidRequest", (error) =>
        error.slug === "invalid_secrets" ? Effect.succeed(error.errors ?? []) : Effect.fail(error)
      )
    )
    if (mistakes !== undefined) return connectPage(shown, inWords(mistakes, fields))
    if (!(yield* isAccepted(shown))) {
      return connectPage(shown, `${shown.service} did not accept this. Please check it and try again.`)
    }
    yield* links.spend(shown.account.id, shown.browser)
    return connected(shown)
  })

  const submit = Effect.fnUntraced(function* (form: URLSearchParams, browser: string) {
    const token = form.get(tokenParameter) ?? ""
    const link = yield* links.claim(token, browser)
    if (link._tag !== "Open") return closed[link._tag]
    return yield* Effect.gen(function* () {
      const shown = yield* opened(token, browser, link)
      if (shown === undefined) return closed.Gone
      if (shown.strategy.consent === undefined) return yield* takeSecrets(shown, form)
      const { url } = yield* connections.link(link.accountId, { redirectUrl: link.callbackUrl, session: browser })
      return sendOn(url, `You are taken to ${shown.service}`)
    }).pipe(Effect.provideService(CurrentProject, link.projectId))
  })

  const answer = <R>(shown: Effect.Effect<HttpServerResponse.HttpServerResponse, ConnectionsError, R>) =>
    shown.pipe(
      Effect.catch((error) => Effect.as(Effect.logWarning("a connect page failed", error), failurePage(error)))
    )

  return {
    get: (request: HttpServerRequest.HttpServerRequest) =>
      Effect.gen(function* () {
        const [, query] = /\?([^#]*)/.exec(request.url) ?? []
        const token = new URLSearchParams(query).get(tokenParameter) ?? ""
        const known = request.cookies[cookie]
        const browser = isBrowserValue(known) ? known : yield* newBrowser
        const response = yield* answer(show(token, browser))
        return known === browser
          ? response
          : HttpServerResponse.setCookieUnsafe(response, cookie, browser, {
              httpOnly: true,
              path: "/",
              sameSite: "lax",
              secure: publicUrl.startsWith("https:")
            })
      }),

    post: (request: HttpServerRequest.HttpServerRequest) =>
      request.text.pipe(
        Effect.provideService(HttpServerRequest.MaxBodySize, maxBodySize),
        Effect.matchEffect({
          onFailure: () => Effect.succeed(wrongBrowser),
          onSuccess: (body) => {
            const form = new URLSearchParams(body)
            const token = form.get(tokenParameter) ?? ""
            const browser = request.cookies[cookie]
            if (!isBrowserValue(browser)) return Effect.succeed(wrongBrowser)
            // Two tabs that were opened at once made two values, of which the browser kept one. Nothing was taken from the form.
            if (!isProof(form.get("proof"), browser, token)) return answer(show(token, browser, sendAgain))
            return answer(submit(form, browser))
          }
        })
      )
  }
})

/** `GET` and `POST` of the connect page. */
export const routes = (
  options: ConnectPageOptions
): Layer.Layer<
  never,
  never,
  AuthStrategies | ConnectedAccounts | Connections | HttpRouter.HttpRouter | Links | Toolkits
> =>
  HttpRouter.use(
    Effect.fnUntraced(function* (router) {
      const { get, post } = yield* make(options)
      yield* router.add("GET", path, get)
      // A browser that is closed early must not leave a link half used.
      yield* router.add("POST", path, post, { uninterruptible: true })
    })
  ).pipe(Layer.provide(SecureRandom.layerWebCrypto))
