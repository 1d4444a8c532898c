/**
 * The pages on an engine in memory, as a web handler for tests without a browser.
 *
 * @module
 */
import { Connections, Unauthorized } from "@rekindle/core"
import { CredentialVault, Engine, Journal, SqliteClient } from "@rekindle/engine"
import { ApiKeys, type ApiPrincipal, ConsentCallback, RekindleServer } from "@rekindle/platform"
import { Context, Effect, Layer, Redacted } from "effect"
import { HttpRouter, HttpServer } from "effect/http"
import * as Pages from "#cli/pages/Pages.ts"
import { migrate } from "#cli/store/migrations.ts"
import * as Toolkits from "#cli/toolkits/Toolkits.ts"
import { Provider } from "./provider.ts"

/** The address of the pages in browsers. */
export const publicUrl = "http://127.0.0.1:9"

type Options = Partial<Pages.PagesOptions>

const complete = (options: Options): Pages.PagesOptions => ({ publicUrl, ...options })

const callbackOf = (options: Options): string => complete(options).publicUrl + ConsentCallback.path

/** The engine and the pages' services on an empty database. */
export const services = (options: Options = {}) =>
  Pages.layer(complete(options)).pipe(
    Layer.provideMerge(Layer.effectDiscard(migrate)),
    Layer.provideMerge(
      Engine.layer({ consent: { callbackUrl: callbackOf(options) }, egress: { privateHosts: ["*"] } })
    ),
    Layer.provideMerge(
      Layer.mergeAll(SqliteClient.layer(":memory:"), CredentialVault.layerEphemeral, Journal.layerMemory)
    )
  )

/** {@link services}, and a provider whose configs are registered. */
export const withProvider = (options: Options = {}) =>
  Layer.effectDiscard(
    Effect.gen(function* () {
      const { authConfigs } = yield* Connections
      for (const config of (yield* Provider).configs) yield* authConfigs.register(config)
    })
  ).pipe(Layer.provideMerge(services(options)), Layer.provideMerge(Provider.layer(callbackOf(options))))

/** Keys by name: an admin's, one that only reads, and an admin's of another project. */
const principals: Readonly<Record<string, ApiPrincipal["Service"]>> = {
  admin: { projectId: "default" },
  reader: { projectId: "default", scopes: ["read"] },
  stranger: { projectId: "another" }
}

const keys = Layer.succeed(ApiKeys, {
  check: (key) => {
    const principal = principals[Redacted.value(key)]
    return principal === undefined
      ? Effect.fail(new Unauthorized({ message: "The API key is unknown", slug: "unknown_api_key" }))
      : Effect.succeed(principal)
  }
})

/** Everything that serves the pages. */
export const routes = (options: Options = {}) =>
  Layer.mergeAll(
    Pages.routes(complete(options)),
    ConsentCallback.routes,
    RekindleServer.layerWith({ docs: false })
  ).pipe(Layer.provide([keys, Toolkits.layer]))

const privacy = Context.make(ConsentCallback.ConsentCallbackPrivacy, "recorded")

/** Answers requests with the services of the test. It keeps the cookies of one browser. */
export const browser = (options: Options = {}) =>
  Effect.gen(function* () {
    const context = yield* Effect.context<Layer.Success<ReturnType<typeof services>>>()
    const handler = yield* Effect.acquireRelease(
      Effect.sync(() =>
        HttpRouter.toWebHandler(
          routes(options).pipe(Layer.provide([Layer.succeedContext(context), HttpServer.layerServices])),
          { disableLogger: true }
        )
      ),
      ({ dispose }) => Effect.promise(dispose)
    )
    /** A browser with cookies of its own. */
    return () => {
      const cookies = new Map<string, string>()
      const send = (url: string, init: RequestInit = {}) =>
        Effect.promise(async () => {
          const headers = new Headers(init.headers)
          headers.set("accept", "text/html")
          headers.set("cookie", Array.from(cookies, (cookie) => cookie.join("=")).join("; "))
          const response = await handler.handler(new Request(new URL(url, publicUrl), { ...init, headers }), privacy)
          for (const cookie of response.headers.getSetCookie()) {
            const [, name = "", value = ""] = /^([^=]+)=([^;]*)/.exec(cookie) ?? []
            cookies.set(name, value)
          }
          return { status: response.status, headers: response.headers, text: await response.text() }
        })
      const hidden = (text: string, name: string) => new RegExp(`name="${name}" value="([^"]*)"`).exec(text)?.[1] ?? ""
      return {
        cookies,
        open: (url: string, init?: RequestInit) => send(url, init),
        /** Sends the form of a page, with further fields. */
        submit: (text: string, fields: Readonly<Record<string, string>> = {}) =>
          send("/connect", {
            method: "POST",
            body: new URLSearchParams({ token: hidden(text, "token"), proof: hidden(text, "proof"), ...fields })
          })
      }
    }
  })
