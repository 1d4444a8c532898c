/**
 * A real authorization server, `oidc-provider`, on a free loopback port. It is the strictest check of "exactly one grant per renewal". With
 * rotation, presenting a refresh token twice revokes the whole grant, including the newest tokens. It has no reuse window.
 *
 * It runs in the process of the test, on the real clock in whole seconds, and counts spent and revoked grants. Consent needs no browser:
 * {@link AuthorizationServer.consent} acts as the person. Faults of the token endpoint can be switched on while it runs.
 *
 * All of its data are in one unbounded map, because the adapter of `oidc-provider` drops all but the last thousand entries.
 *
 * @module
 */
import { AuthConfig } from "@rekindle/core"
import { ProviderProfile } from "@rekindle/core"
import { Context, Duration, Effect, Layer, Redacted, type Scope } from "effect"
import { generateKeyPairSync, randomBytes } from "node:crypto"
import { once } from "node:events"
import type { IncomingMessage, ServerResponse } from "node:http"
import { setTimeout as sleep } from "node:timers/promises"
import OidcProvider, {
  type Adapter,
  type AdapterPayload,
  type ClientMetadata,
  type Configuration,
  type KoaContextWithOIDC
} from "oidc-provider"
import { callbackUrl } from "./callback.ts"
import { listen } from "./listen.ts"

/** A misbehaviour of the token endpoint. */
export type Fault =
  /** The request is dropped unread. Nothing was spent, and the caller cannot know. */
  | { readonly _tag: "LoseRequest" }
  /** The request is carried out and its answer dropped. The refresh token is spent, and the caller cannot know. */
  | { readonly _tag: "LoseAnswer" }
  /** Answered without being carried out. */
  | {
      readonly _tag: "Answer"
      readonly status: number
      readonly body?: string
      readonly headers?: Readonly<Record<string, string>>
    }

/** The counts of the token endpoint. Grants are counted by id, so a grant that is revoked twice counts once. */
export interface Tally {
  /** Token requests that arrived, carried out or not. */
  readonly requests: number
  /** Refresh tokens spent: renewals that were carried out. */
  readonly spent: number
  /** Codes exchanged for tokens. */
  readonly exchanged: number
  /** Refused token requests, by error code. */
  readonly refused: Readonly<Record<string, number>>
  /** Refresh tokens presented again after they were spent. */
  readonly replays: number
  /** Ids of the grants that the server revoked, after a replay or on request. */
  readonly revoked: ReadonlyArray<string>
  /** For each of them, when its token requests arrived and their results, for people to read. */
  readonly stories: ReadonlyArray<string>
}

/** The options of the server. */
export interface AuthorizationServerOptions {
  /** Whether every use of a refresh token replaces it. Default true. */
  readonly rotateRefreshToken?: boolean
  /** Lifetimes, in whole seconds. Default one hour and 14 days. */
  readonly ttl?: { readonly accessToken?: Duration.Input; readonly refreshToken?: Duration.Input }
  /** Further clients beside {@link clientId}. */
  readonly clients?: ReadonlyArray<ClientMetadata>
  /** The time that each token request takes, to make overlaps likely. Default none. */
  readonly latency?: Duration.Input
  /** Asks for a nonce in every DPoP proof (RFC 9449 §8). Default false. */
  readonly dpopNonce?: boolean
}

export { callbackUrl }

/** The client that always exists. It is confidential, authenticates with Basic, and may use every grant. */
export const clientId = "rekindle"
export const clientSecret = "s+cret/with:odd=characters%20"

/** A refresh token that was made without consent, and its grant. */
export interface MintedGrant {
  readonly grantId: string
  readonly refreshToken: string
}

/** A running authorization server. */
export class AuthorizationServer extends Context.Service<
  AuthorizationServer,
  {
    readonly issuer: string
    /** Host and port: what an auth config declares, and what the egress must be allowed. */
    readonly host: string
    readonly endpoints: {
      readonly authorization: string
      readonly token: string
      readonly revocation: string
      readonly pushedAuthorizationRequest: string
    }
    /** An OAUTH2 auth config for this server, with explicit endpoints and single-use rotation unless `overrides` say otherwise. */
    readonly authConfig: (overrides?: Partial<AuthConfig>) => AuthConfig
    /** The counts so far. */
    readonly tally: () => Tally
    /** Logs in, agrees to everything, and returns the callback url of the person's browser. */
    readonly consent: (authorizationUrl: string, accountId?: string) => Effect.Effect<URL>
    /** Denies the consent, and returns the callback url. */
    readonly deny: (authorizationUrl: string) => Effect.Effect<URL>
    /** Makes a grant and its refresh token without consent, for tests that need many accounts. */
    readonly mintRefreshToken: (accountId: string, client?: string) => Effect.Effect<MintedGrant>
    /** Revokes a grant, or all of them, as a person does in the provider's settings. These are not counted. */
    readonly revokeGrant: (grantId: string | "all") => Effect.Effect<void>
    /** Whether an API would accept this access token now. */
    readonly isAccessTokenAlive: (accessToken: string) => Effect.Effect<boolean>
    /** Whether this refresh token could be used now. The check does not spend it. */
    readonly isRefreshTokenAlive: (refreshToken: string) => Effect.Effect<boolean>
    /** Makes the next `times` token requests fail. Without it, all of them, until {@link calm}. */
    readonly disturb: (fault: Fault, times?: number) => Effect.Effect<void>
    /** Ends every fault. */
    readonly calm: Effect.Effect<void>
  }
>()("@rekindle/engine/test/AuthorizationServer") {
  static readonly layer = (options: AuthorizationServerOptions = {}): Layer.Layer<AuthorizationServer> =>
    Layer.effect(AuthorizationServer, make(options))
}

const seconds = (input: Duration.Input): number => Math.max(1, Math.round(Duration.toSeconds(input)))

/** The headers by which {@link AuthorizationServer.consent} tells the login page the person and their decision. */
const personHeader = "x-person"
const denyHeader = "x-deny"

/** Starts a server. It stops with the scope. */
export const make = Effect.fnUntraced(function* (
  options: AuthorizationServerOptions = {}
): Effect.fn.Return<AuthorizationServer["Service"], never, Scope.Scope> {
  const { host, http, origin: issuer } = yield* listen

  const storage = makeStorage()
  const provider = new OidcProvider(issuer, configuration(options, storage.adapter))

  const tally = { requests: 0, spent: 0, exchanged: 0, replays: 0 }
  const refused: Record<string, number> = {}
  const revoked = new Set<string>()

  const startedAt = performance.now()
  const sinceStart = () => Math.round(performance.now() - startedAt)
  const arrivals = new WeakMap<ServerResponse, number>()
  const stories = new Map<string, Array<string>>()
  const tell = ({ oidc, res }: KoaContextWithOIDC, what: string) => {
    const grantId = oidc.entities.RefreshToken?.grantId
    if (grantId === undefined) return
    const story = stories.get(grantId) ?? []
    stories.set(grantId, story)
    story.push(`arrived ${arrivals.get(res)}, ${what} ${sinceStart()}`)
    res.once("close", () => {
      if (!res.writableFinished) story.push(`its answer was not taken ${sinceStart()}`)
    })
  }
  provider.on("grant.success", (ctx) => {
    if (ctx.oidc.params?.["grant_type"] === "refresh_token") tally.spent++
    if (ctx.oidc.params?.["grant_type"] === "authorization_code") tally.exchanged++
    tell(ctx, "spent")
  })
  provider.on("grant.error", (ctx, error) => {
    refused[error.error] = (refused[error.error] ?? 0) + 1
    if (error.error_detail === "refresh token already used") tally.replays++
    tell(ctx, error.error_detail ?? error.error)
  })
  provider.on("grant.revoked", (_ctx, grantId) => void revoked.add(grantId))
  provider.on("server_error", (_ctx, error) => console.error("authorization server", error))

  let faults: Array<{ readonly fault: Fault; times: number }> = []
  const nextFault = (): Fault | undefined => {
    const next = faults[0]
    if (next === undefined) return undefined
    if (--next.times <= 0) faults.shift()
    return next.fault
  }
  const serve = provider.callback()
  const latency = Duration.toMillis(options.latency ?? 0)

  const token = async (request: IncomingMessage, response: ServerResponse) => {
    tally.requests++
    arrivals.set(response, sinceStart())
    const fault = nextFault()
    if (latency > 0) await sleep(latency)
    switch (fault?._tag) {
      case "LoseRequest":
        return void request.socket.destroy()
      case "LoseAnswer":
        response.end = () => response.destroy()
        return void serve(request, response)
      case "Answer":
        // the body is read first: a server that answers earlier makes some clients see a broken pipe instead of the answer
        await once(request.resume(), "end")
        response.writeHead(fault.status, { "content-type": "application/json", ...fault.headers })
        return void response.end(fault.body ?? "")
      case undefined:
        return void serve(request, response)
    }
  }

  const interaction = async (request: IncomingMessage, response: ServerResponse) => {
    const { grantId, params, prompt, session } = await provider.interactionDetails(request, response)
    const person = String(request.headers[personHeader] ?? "person")
    if (request.headers[denyHeader] !== undefined) {
      return provider.interactionFinished(request, response, { error: "access_denied" })
    }
    if (prompt.name === "login") {
      return provider.interactionFinished(request, response, { login: { accountId: person } })
    }
    const known = grantId === undefined ? undefined : await provider.Grant.find(grantId)
    const grant = known ?? new provider.Grant({ accountId: session?.accountId, clientId: String(params["client_id"]) })
    grant.addOIDCScope(String(params["scope"] ?? "openid"))
    return provider.interactionFinished(request, response, { consent: { grantId: await grant.save() } })
  }

  http.on("request", (request, response) => {
    const path = request.url?.split("?")[0] ?? "/"
    const handled =
      path === "/token"
        ? token(request, response)
        : path.startsWith("/interaction/")
          ? interaction(request, response)
          : Promise.resolve(serve(request, response))
    handled.catch((error: unknown) => {
      console.error("authorization server", error)
      response.destroy()
    })
  })

  /** Follows redirects with cookies, as a browser does, until they leave this server. */
  const browse = (start: string, headers: Record<string, string>) =>
    Effect.promise(async () => {
      const cookies = new Map<string, string>()
      for (let url = new URL(start), hops = 0; hops < 20; hops++) {
        if (url.origin !== issuer) return url
        const response = await fetch(url, {
          redirect: "manual",
          headers: { ...headers, cookie: Array.from(cookies, ([name, value]) => `${name}=${value}`).join("; ") }
        })
        for (const cookie of response.headers.getSetCookie()) {
          const [, name = "", value = ""] = /^([^=]+)=([^;]*)/.exec(cookie) ?? []
          cookies.set(name, value)
        }
        const location = response.headers.get("location")
        if (location === null) throw new Error(`${url.pathname} answered ${response.status}: ${await response.text()}`)
        url = new URL(location, url)
      }
      throw new Error("too many redirects")
    })

  const revokeGrant = async (grantId: string) => {
    await provider.AccessToken.revokeByGrantId(grantId)
    await provider.RefreshToken.revokeByGrantId(grantId)
    await provider.Grant.adapter.destroy(grantId)
  }
  const hasGrant = async (grantId: string | undefined) =>
    grantId !== undefined && (await provider.Grant.find(grantId)) !== undefined

  const endpoints = {
    authorization: `${issuer}/auth`,
    token: `${issuer}/token`,
    revocation: `${issuer}/token/revocation`,
    pushedAuthorizationRequest: `${issuer}/request`
  }

  return AuthorizationServer.of({
    issuer,
    host,
    endpoints,
    authConfig: (overrides) =>
      AuthConfig.make({
        id: "oidc",
        toolkit: "oidc",
        scheme: "OAUTH2",
        profile: ProviderProfile.make({
          name: host,
          rotation: options.rotateRefreshToken === false ? "none" : "single-use",
          accessTokenTtl: Duration.hours(1)
        }),
        settings: {
          clientId,
          authorizationEndpoint: endpoints.authorization,
          tokenEndpoint: endpoints.token,
          revocationEndpoint: endpoints.revocation,
          scopes: ["openid", "offline_access"]
        },
        secrets: { client_secret: Redacted.make(clientSecret) },
        hosts: [host],
        ...overrides
      }),
    tally: () => ({
      ...tally,
      refused: { ...refused },
      revoked: [...revoked],
      stories: Array.from(revoked, (grantId) => `${grantId}: ${stories.get(grantId)?.join("; ") ?? "no request"}`)
    }),
    consent: (authorizationUrl, accountId = "person") => browse(authorizationUrl, { [personHeader]: accountId }),
    deny: (authorizationUrl) => browse(authorizationUrl, { [denyHeader]: "yes" }),
    mintRefreshToken: (accountId, of = clientId) =>
      Effect.promise(async () => {
        const client = await provider.Client.find(of)
        if (client === undefined) throw new Error(`no client ${of}`)
        const scope = "openid offline_access"
        const grant = new provider.Grant({ accountId, clientId: of })
        grant.addOIDCScope(scope)
        const grantId = await grant.save()
        const token = new provider.RefreshToken({ accountId, client, grantId, gty: "authorization_code", scope })
        return { grantId, refreshToken: await token.save() }
      }),
    revokeGrant: (grantId) =>
      Effect.promise(async () => {
        await Promise.all((grantId === "all" ? storage.ids("Grant") : [grantId]).map(revokeGrant))
      }),
    isAccessTokenAlive: (accessToken) =>
      Effect.promise(async () => hasGrant((await provider.AccessToken.find(accessToken))?.grantId)),
    isRefreshTokenAlive: (refreshToken) =>
      Effect.promise(async () => {
        const found = await provider.RefreshToken.find(refreshToken)
        return found !== undefined && found.isValid && hasGrant(found.grantId)
      }),
    disturb: (fault, times = Number.POSITIVE_INFINITY) => Effect.sync(() => void faults.push({ fault, times })),
    calm: Effect.sync(() => {
      faults = []
    })
  })
})

const configuration = (options: AuthorizationServerOptions, adapter: (model: string) => Adapter): Configuration => ({
  adapter,
  clients: [
    {
      client_id: clientId,
      client_secret: clientSecret,
      redirect_uris: [callbackUrl],
      grant_types: ["authorization_code", "refresh_token", "client_credentials"]
    },
    ...(options.clients ?? [])
  ],
  // elliptic keys are made in a millisecond
  clientDefaults: { id_token_signed_response_alg: "ES256" },
  jwks: {
    keys: [generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey.export({ format: "jwk" })]
  },
  clientAuthMethods: ["client_secret_basic", "client_secret_post", "private_key_jwt", "none"],
  cookies: { keys: [randomBytes(16).toString("hex")] },
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    dPoP: { enabled: true, nonceSecret: randomBytes(32), requireNonce: () => options.dpopNonce === true },
    pushedAuthorizationRequests: { enabled: true },
    revocation: { enabled: true, allowedPolicy: (_ctx, client, token) => token.clientId === client.clientId }
  },
  findAccount: (_ctx, accountId) => ({ accountId, claims: () => ({ sub: accountId }) }),
  interactions: { url: (_ctx, interaction) => `/interaction/${interaction.uid}` },
  issueRefreshToken: () => true,
  rotateRefreshToken: options.rotateRefreshToken ?? true,
  scopes: ["openid", "offline_access", "api"],
  ttl: {
    AccessToken: seconds(options.ttl?.accessToken ?? "1 hour"),
    ClientCredentials: seconds(options.ttl?.accessToken ?? "1 hour"),
    Grant: seconds("30 days"),
    IdToken: seconds("1 hour"),
    Interaction: seconds("10 minutes"),
    RefreshToken: seconds(options.ttl?.refreshToken ?? "14 days"),
    Session: seconds("1 hour")
  }
})

/** What `oidc-provider` stores, by model and id. Expiry is checked by the provider itself. */
const makeStorage = () => {
  const models = new Map<string, Map<string, AdapterPayload>>()
  const grants = new Map<string, Array<() => void>>()

  const adapter = (model: string): Adapter => {
    const entries = new Map<string, AdapterPayload>()
    models.set(model, entries)
    const findBy = async (field: "uid" | "userCode", value: string) =>
      [...entries.values()].find((payload) => payload[field] === value)
    return {
      upsert: async (id, payload) => {
        entries.set(id, payload)
        if (payload.grantId === undefined || model === "Interaction") return
        const members = grants.get(payload.grantId) ?? []
        grants.set(payload.grantId, members)
        members.push(() => void entries.delete(id))
      },
      find: async (id) => entries.get(id),
      findByUid: (uid) => findBy("uid", uid),
      findByUserCode: (userCode) => findBy("userCode", userCode),
      consume: async (id) => {
        const payload = entries.get(id)
        if (payload !== undefined) entries.set(id, { ...payload, consumed: Math.floor(Date.now() / 1000) })
      },
      destroy: async (id) => void entries.delete(id),
      revokeByGrantId: async (grantId) => {
        for (const remove of grants.get(grantId) ?? []) remove()
        grants.delete(grantId)
      }
    }
  }
  return { adapter, ids: (model: string): ReadonlyArray<string> => [...(models.get(model)?.keys() ?? [])] }
}
