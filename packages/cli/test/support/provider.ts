/**
 * The provider of the pages' tests: `oidc-provider` with a page on which a person chooses who they are, or refuses; and an API that takes one key.
 *
 * @module
 */
import { AuthConfig, ProviderProfile } from "@rekindle/core"
import { Context, Duration, Effect, Layer, Redacted } from "effect"
import { generateKeyPairSync } from "node:crypto"
import { once } from "node:events"
import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import OidcProvider from "oidc-provider"

/** The key that the API takes. */
export const goodKey = "key-that-works"

/** A running provider. */
export class Provider extends Context.Service<Provider, Effect.Success<ReturnType<typeof make>>>()(
  "@rekindle/cli/test/Provider"
) {
  static readonly layer = (callbackUrl: string) => Layer.effect(Provider, make(callbackUrl))
}

/** Starts the provider for a service at `callbackUrl`. It stops with the scope. */
const make = Effect.fnUntraced(function* (callbackUrl: string) {
  const http = yield* Effect.acquireRelease(
    Effect.promise(async () => {
      const http = createServer()
      await once(http.listen(0, "127.0.0.1"), "listening")
      return http
    }),
    (http) =>
      Effect.promise(async () => {
        http.closeAllConnections()
        await once(http.close(), "close")
      })
  )
  const address = http.address()
  if (address === null || typeof address === "string") return yield* Effect.die(new Error("no port"))
  const host = `127.0.0.1:${address.port}`
  const issuer = `http://${host}`

  const oidc = new OidcProvider(issuer, {
    clients: [
      {
        client_id: "pages",
        client_secret: "secret",
        redirect_uris: [callbackUrl],
        grant_types: ["authorization_code", "refresh_token"]
      }
    ],
    clientDefaults: { id_token_signed_response_alg: "ES256" },
    jwks: { keys: [generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey.export({ format: "jwk" })] },
    cookies: { keys: ["pages"] },
    features: { devInteractions: { enabled: false } },
    findAccount: (_, accountId) => ({ accountId, claims: () => ({ sub: accountId }) }),
    interactions: { url: (_, { uid }) => `/interaction/${uid}` },
    issueRefreshToken: () => true,
    rotateRefreshToken: true,
    scopes: ["openid", "offline_access"],
    ttl: { AccessToken: 3600, Grant: 86_400, IdToken: 3600, Interaction: 600, RefreshToken: 86_400, Session: 3600 }
  })

  /** Logs in whoever the address names, and agrees. Without a name it is the page that asks. */
  const interaction = async (request: IncomingMessage, response: ServerResponse) => {
    const { params, prompt, session } = await oidc.interactionDetails(request, response)
    const person = new URL(request.url ?? "/", issuer).searchParams.get("as")
    if (prompt.name === "login") {
      if (person === null) {
        response
          .writeHead(200, { "content-type": "text/html" })
          .end(["Ann", "Bob", "nobody"].map((name) => `<p><a href="?as=${name}">${name}</a></p>`).join(""))
        return
      }
      return oidc.interactionFinished(
        request,
        response,
        person === "nobody" ? { error: "access_denied" } : { login: { accountId: person, remember: false } }
      )
    }
    const grant = new oidc.Grant({ accountId: session?.accountId, clientId: String(params["client_id"]) })
    grant.addOIDCScope(String(params["scope"]))
    return oidc.interactionFinished(request, response, { consent: { grantId: await grant.save() } })
  }

  let withdrawn = false
  const serve = oidc.callback()
  http.on("request", (request, response) => {
    const path = request.url ?? "/"
    if (path.startsWith("/api")) {
      response.writeHead(request.headers["authorization"] === goodKey ? 200 : 401).end("{}")
      return
    }
    if (withdrawn && path === "/token") {
      response.writeHead(400, { "content-type": "application/json" }).end(JSON.stringify({ error: "invalid_grant" }))
      return
    }
    const handled = path.startsWith("/interaction/") ? interaction(request, response) : serve(request, response)
    Promise.resolve(handled).catch((error: unknown) => {
      console.error("provider", error)
      response.destroy()
    })
  })

  /** Acts as a person who comes with that address. Returns the address to which the provider sends the browser back. */
  const visit = (start: string, as: "Ann" | "Bob" | "nobody") =>
    Effect.promise(async () => {
      const cookies = new Map<string, string>()
      for (let url = new URL(start), hops = 0; hops < 20; hops++) {
        if (url.origin !== issuer) return url.href
        if (url.pathname.startsWith("/interaction/")) url.searchParams.set("as", as)
        const cookie = Array.from(cookies, (pair) => pair.join("=")).join("; ")
        const response = await fetch(url, { redirect: "manual", headers: { cookie } })
        for (const cookie of response.headers.getSetCookie()) {
          const [, name = "", value = ""] = /^([^=]+)=([^;]*)/.exec(cookie) ?? []
          cookies.set(name, value)
        }
        url = new URL(response.headers.get("location") ?? `${issuer}/no-location`, url)
      }
      throw new Error("too many redirects")
    })

  return {
    issuer,
    visit,
    /** Everybody withdraws their consent in the provider's settings. */
    withdraw: Effect.sync(() => {
      withdrawn = true
    }),
    configs: [
      AuthConfig.make({
        id: "oidc",
        toolkit: "notes",
        scheme: "OAUTH2",
        profile: ProviderProfile.make({ name: "notes", rotation: "single-use", accessTokenTtl: Duration.hours(1) }),
        settings: {
          clientId: "pages",
          authorizationEndpoint: `${issuer}/auth`,
          tokenEndpoint: `${issuer}/token`,
          scopes: ["openid", "offline_access"],
          authorizationParameters: { prompt: "login consent" }
        },
        secrets: { client_secret: Redacted.make("secret") },
        hosts: [host]
      }),
      AuthConfig.make({
        id: "key",
        toolkit: "mailer",
        scheme: "API_KEY",
        settings: { probeUrl: `${issuer}/api` },
        hosts: [host]
      }),
      AuthConfig.make({ id: "password", toolkit: "billing", scheme: "BASIC", hosts: [host] }),
      AuthConfig.make({
        id: "down",
        toolkit: "archive",
        scheme: "S2S_OAUTH2",
        settings: { tokenEndpoint: "http://127.0.0.1:1/token" },
        hosts: ["127.0.0.1:1"]
      }),
      AuthConfig.make({ id: "service", toolkit: "service", scheme: "NO_AUTH", hosts: [host] })
    ]
  }
})
