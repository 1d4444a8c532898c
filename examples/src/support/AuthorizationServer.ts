/**
 * Somebody else's authorization server: a real `oidc-provider` on a free loopback port, which rotates the refresh token at every use.
 *
 * It revokes the whole grant if a refresh token is sent twice. A program whose tokens work at the end has therefore spent none twice. Consent needs
 * no browser: see `Person.ts`.
 *
 * @module
 */
import { AuthConfig, ProviderProfile } from "@rekindle/core"
import { Context, Effect, Layer, Redacted } from "effect"
import { generateKeyPairSync, randomBytes } from "node:crypto"
import type { IncomingMessage, ServerResponse } from "node:http"
import { setTimeout as sleep } from "node:timers/promises"
import OidcProvider, { type Adapter, type AdapterPayload } from "oidc-provider"
import { listen } from "./listen.ts"

/** The header in which `Person.ts` names the person to the login page. */
export const personHeader = "x-person"

/** A running authorization server. */
export class AuthorizationServer extends Context.Service<
  AuthorizationServer,
  {
    /** Where it listens. The userinfo endpoint is at `/me`. */
    readonly origin: string
    /** An auth config for this server, ready to be registered. */
    readonly authConfig: (overrides?: Partial<AuthConfig>) => AuthConfig
    /** How many refresh tokens were spent, by the server's own count. */
    readonly spent: () => number
    /** The status of the userinfo endpoint for an access token: 200 if it works, 401 if it does not. */
    readonly userinfo: (accessToken: Redacted.Redacted) => Effect.Effect<number>
    /** Invalidates every access token. The refresh tokens still work. */
    readonly forgetAccessTokens: Effect.Effect<void>
    /** A person withdraws their consent, as in the provider's account settings. */
    readonly revoke: (person: string) => Effect.Effect<void>
    /** Runs `effect` while the token endpoint delays its answers until the condition holds. */
    readonly slowly: <A, E, R>(until: () => boolean, effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
    /** Every secret that the server has seen, for tests that search for leaks. */
    readonly secrets: () => ReadonlyArray<string>
  }
>()("examples/AuthorizationServer") {
  /** A server that accepts only `callbackUrl` as its redirect URI. */
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
    origin: issuer,
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

/** Stores the provider's records in a map. The provider's own adapter warns that it is for development only. */
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
