/**
 * Somebody else's authorization server: a real `oidc-provider` on a free loopback port, rotating refresh tokens on every use.
 *
 * With rotation on it is a strict judge. A refresh token that is presented twice takes the whole grant with it, so a program that comes
 * out with working tokens cannot have spent one twice. Consent needs no browser: see `Person.ts`.
 *
 * @module
 */
import { AuthConfig, ProviderProfile } from "@rekindle/engine"
import { Context, Effect, Layer, Redacted } from "effect"
import { generateKeyPairSync, randomBytes } from "node:crypto"
import type { IncomingMessage, ServerResponse } from "node:http"
import { setTimeout as sleep } from "node:timers/promises"
import OidcProvider, { type Adapter, type AdapterPayload } from "oidc-provider"
import { listen } from "./listen.ts"

/** The header by which `Person.ts` tells the login page who is sitting there. */
export const personHeader = "x-person"

/** A running authorization server. */
export class AuthorizationServer extends Context.Service<
  AuthorizationServer,
  {
    /** How accounts connect here: an auth config, ready to be registered with the engine. */
    readonly authConfig: (overrides?: Partial<AuthConfig>) => AuthConfig
    /** Refresh tokens spent so far, by the server's own count. */
    readonly spent: () => number
    /** Asks the userinfo endpoint with an access token and gives the status: 200 for one that works, 401 for one that does not. */
    readonly userinfo: (accessToken: Redacted.Redacted) => Effect.Effect<number>
    /** Every access token stops working; the refresh tokens still do. */
    readonly forgetAccessTokens: Effect.Effect<void>
    /** A person withdraws what they granted, as in the provider's account settings. */
    readonly revoke: (person: string) => Effect.Effect<void>
    /** Runs `effect` while the token endpoint keeps everybody waiting until that is so, as providers do on a bad day. */
    readonly slowly: <A, E, R>(until: () => boolean, effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
    /** Everything secret that has passed through here, for tests that search for it where it must not be. */
    readonly secrets: () => ReadonlyArray<string>
  }
>()("examples/AuthorizationServer") {
  /** Sends people back to `callbackUrl`, and nowhere else. */
  static readonly layer = (callbackUrl: string): Layer.Layer<AuthorizationServer> =>
    Layer.effect(AuthorizationServer, make(callbackUrl))
}

const make = Effect.fnUntraced(function* (callbackUrl: string) {
  const { host, http, origin: issuer } = yield* listen
  const clientSecret = randomBytes(24).toString("base64url")
  const storage = new Map<string, AdapterPayload>()
  const provider = new OidcProvider(issuer, {
    adapter: (model: string) => adapter(storage, model),
    clients: [
      {
        client_id: "rekindle",
        client_secret: clientSecret,
        redirect_uris: [callbackUrl],
        grant_types: ["authorization_code", "refresh_token"]
      }
    ],
    clientDefaults: { id_token_signed_response_alg: "ES256" },
    jwks: { keys: [generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey.export({ format: "jwk" })] },
    cookies: { keys: [randomBytes(16).toString("hex")] },
    features: { devInteractions: { enabled: false } },
    findAccount: (_ctx, accountId) => ({ accountId, claims: () => ({ sub: accountId }) }),
    interactions: { url: (_ctx, { uid }) => `/interaction/${uid}` },
    issueRefreshToken: () => true,
    rotateRefreshToken: true,
    scopes: ["openid", "offline_access"],
    ttl: { AccessToken: 3600, Grant: 86_400, IdToken: 3600, Interaction: 600, RefreshToken: 86_400, Session: 3600 }
  })

  let spent = 0
  const secrets = new Set([clientSecret])
  provider.on("grant.success", ({ body, oidc }) => {
    if (oidc.params?.["grant_type"] === "refresh_token") spent++
    const tokens: Record<string, unknown> = { ...Object(body), ...oidc.params }
    for (const name of ["access_token", "refresh_token", "id_token", "code", "code_verifier"]) {
      if (typeof tokens[name] === "string") secrets.add(tokens[name])
    }
  })

  /** The login and consent pages, with a person who agrees to everything. */
  const interaction = async (request: IncomingMessage, response: ServerResponse) => {
    const { params, prompt, session } = await provider.interactionDetails(request, response)
    if (prompt.name === "login") {
      const login = { accountId: String(request.headers[personHeader]) }
      return provider.interactionFinished(request, response, { login })
    }
    const grant = new provider.Grant({ accountId: session?.accountId, clientId: String(params["client_id"]) })
    grant.addOIDCScope(String(params["scope"]))
    return provider.interactionFinished(request, response, { consent: { grantId: await grant.save() } })
  }
  const serve = provider.callback()
  const atOnce = () => true
  let mayAnswer = atOnce
  http.on("request", (request, response) => {
    const answer = async () => {
      if (request.url?.startsWith("/interaction/")) return interaction(request, response)
      while (request.url === "/token" && !mayAnswer()) await sleep(10)
      return serve(request, response)
    }
    answer().catch(() => response.destroy())
  })

  return AuthorizationServer.of({
    authConfig: (overrides) =>
      AuthConfig.make({
        id: "calendar",
        toolkit: "calendar",
        scheme: "OAUTH2",
        profile: ProviderProfile.make({ name: "example", rotation: "single-use" }),
        settings: {
          clientId: "rekindle",
          authorizationEndpoint: `${issuer}/auth`,
          tokenEndpoint: `${issuer}/token`,
          scopes: ["openid", "offline_access"]
        },
        secrets: { client_secret: Redacted.make(clientSecret) },
        hosts: [host],
        ...overrides
      }),
    spent: () => spent,
    userinfo: (accessToken) =>
      Effect.promise(async () => {
        const response = await fetch(`${issuer}/me`, {
          headers: { authorization: `Bearer ${Redacted.value(accessToken)}` }
        })
        await response.arrayBuffer()
        return response.status
      }),
    revoke: (person) =>
      Effect.sync(() => {
        for (const [key, payload] of storage) if (payload.accountId === person) storage.delete(key)
      }),
    forgetAccessTokens: Effect.sync(() => {
      for (const key of storage.keys()) if (key.startsWith("AccessToken:")) storage.delete(key)
    }),
    slowly: (until, effect) =>
      Effect.acquireUseRelease(
        Effect.sync(() => void (mayAnswer = until)),
        () => effect,
        () => Effect.sync(() => void (mayAnswer = atOnce))
      ),
    secrets: () => [...secrets]
  })
})

/** Keeps what the provider stores in a map; the one it ships with warns that it is for development only. */
const adapter = (storage: Map<string, AdapterPayload>, model: string): Adapter => {
  const key = (id: string) => `${model}:${id}`
  const findBy = async (field: "uid" | "userCode", value: string) =>
    [...storage].find(([id, payload]) => id.startsWith(key("")) && payload[field] === value)?.[1]
  return {
    upsert: async (id, payload) => void storage.set(key(id), payload),
    find: async (id) => storage.get(key(id)),
    findByUid: (uid) => findBy("uid", uid),
    findByUserCode: (userCode) => findBy("userCode", userCode),
    consume: async (id) => {
      const payload = storage.get(key(id))
      if (payload !== undefined) storage.set(key(id), { ...payload, consumed: Math.floor(Date.now() / 1000) })
    },
    destroy: async (id) => void storage.delete(key(id)),
    revokeByGrantId: async (grantId) => {
      for (const [id, payload] of storage) if (payload.grantId === grantId) storage.delete(id)
    }
  }
}
