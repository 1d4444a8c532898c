/**
 * A whole engine against a real authorization server, and accounts in every situation of the contract.
 *
 * @module
 */
import { ConnectedAccountId, Connections } from "@rekindle/core"
import { AccountStore, Consent, CredentialVault, Engine } from "@rekindle/engine"
import { Fixtures } from "@rekindle/testing/ConnectedAccountsContract"
import { DateTime, Effect, Layer, Option, Redacted } from "effect"
import { AuthorizationServer, type AuthorizationServerOptions, callbackUrl } from "./AuthorizationServer.ts"

/** The engine on an in-memory database, allowed to talk to loopback. */
export const memory = (options?: Partial<Engine.EngineOptions>) =>
  Engine.layerSqlite(":memory:", {
    consent: { callbackUrl },
    egress: { privateHosts: ["*"] },
    ...options
  }).pipe(Layer.provide(CredentialVault.layerEphemeral))

/** The engine and its authorization server. */
export const withServer = (
  options?: AuthorizationServerOptions & { readonly engine?: Partial<Engine.EngineOptions> }
) => Layer.provideMerge(memory(options?.engine), AuthorizationServer.layer(options))

/** An account with a working refresh token, made without consent. `expired` says whether its access token has expired. */
export const connected = Effect.fnUntraced(function* (
  authConfigId: string,
  options?: { readonly userId?: string; readonly expired?: boolean }
) {
  const server = yield* AuthorizationServer
  const connections = yield* Connections
  const userId = options?.userId ?? "person"
  const { grantId, refreshToken } = yield* server.mintRefreshToken(userId)
  const { id } = yield* connections.create({
    authConfigId,
    userId,
    secrets: { access_token: Redacted.make("at-imported"), refresh_token: Redacted.make(refreshToken) },
    expiresAt: options?.expired === true ? DateTime.makeUnsafe(0) : undefined
  })
  return { id, grantId, refreshToken }
})

/** The contract's situations, on an engine. */
export const fixtures = Layer.effect(
  Fixtures,
  Effect.gen(function* () {
    const server = yield* AuthorizationServer
    const connections = yield* Connections
    const store = yield* AccountStore
    const context = yield* Effect.context<AuthorizationServer | Connections>()
    yield* connections.authConfigs.register(server.authConfig())
    yield* connections.authConfigs.register(server.authConfig({ id: "none", scheme: "NO_AUTH", settings: {} }))
    const made: Array<string> = []
    const connect = (expired: boolean) =>
      connected("oidc", { expired }).pipe(
        Effect.tap(({ refreshToken }) => Effect.sync(() => made.push(refreshToken))),
        Effect.provideContext(context),
        Effect.orDie
      )
    const account = connect(false)
    return {
      renewable: Effect.map(account, ({ id }) => id),
      dead: Effect.flatMap(connect(true), ({ grantId, id }) => Effect.as(server.revokeGrant(grantId), id)),
      expiring: Effect.flatMap(account, ({ grantId, id }) => Effect.as(server.revokeGrant(grantId), id)),
      consentOnActive: Effect.orDie(
        Effect.map(
          connections.create({
            authConfigId: "oidc",
            userId: "u",
            secrets: { access_token: Redacted.make("only-access") }
          }),
          ({ id }) => id
        )
      ),
      inactive: Effect.flatMap(account, ({ id }) => Effect.orDie(Effect.as(connections.disable(id), id))),
      unsupported: Effect.orDie(Effect.map(connections.create({ authConfigId: "none", userId: "u" }), ({ id }) => id)),
      busy: Effect.gen(function* () {
        const { id } = yield* account
        const held = Option.getOrThrow(yield* store.find(id))
        yield* store.begin({
          account: held,
          owner: "somebody else",
          leaseMillis: 60_000,
          now: Date.now()
        })
        return id
      }).pipe(Effect.orDie),
      unknown: Effect.succeed(ConnectedAccountId.make("ca_nobodynobody")),
      secrets: Effect.sync(() => [...made, "only-access", "at-imported"])
    }
  })
)

/** Completes the consent of a link at the server, as a person would. */
export const completeConsent = Effect.fnUntraced(function* (url: string) {
  const server = yield* AuthorizationServer
  const consent = yield* Consent
  const callback = yield* server.consent(url)
  return yield* consent.complete(callback.searchParams)
})
