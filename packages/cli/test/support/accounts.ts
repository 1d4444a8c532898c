/**
 * A SQLite database with accounts of a real authorization server, and `rekindle` on it.
 *
 * @module
 */
import { type AuthConfig, type ConnectedAccounts, Connections } from "@rekindle/core"
import { CredentialVault, Engine } from "@rekindle/engine"
import { DateTime, Effect, Layer, Redacted } from "effect"
import { randomBytes } from "node:crypto"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { AuthorizationServer } from "../../../engine/test/support/AuthorizationServer.ts"
import { runRekindle, type Surroundings } from "./commandLine.ts"

export { AuthorizationServer }

/** A database with the auth config `oidc`. It is removed with the scope. */
export const makeDatabase = Effect.gen(function* () {
  const server = yield* AuthorizationServer
  const directory = yield* Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "rekindle-cli-"))),
    (directory) => Effect.sync(() => rmSync(directory, { recursive: true }))
  )
  const file = join(directory, "accounts.db")
  const key = randomBytes(32).toString("base64")
  const engine = Engine.layerSqlite(file, {
    consent: { callbackUrl: "https://app.example.com/callback" },
    egress: { privateHosts: ["*"] }
  }).pipe(Layer.provide(CredentialVault.layer([{ id: "k1", key: Redacted.make(key) }])))

  /** Runs a program with an engine on the database. */
  const use = <A, E>(program: Effect.Effect<A, E, Connections | ConnectedAccounts | AuthorizationServer>) =>
    program.pipe(Effect.provide(engine), Effect.provideService(AuthorizationServer, server), Effect.orDie)

  const env = {
    HOME: directory,
    REKINDLE_DATABASE: file,
    REKINDLE_KEYS: `k1:${key}`,
    REKINDLE_PRIVATE_HOSTS: "*"
  }

  /** An account with a working refresh token, made without consent. */
  const connect = Effect.fnUntraced(function* (
    userId: string,
    options: { readonly authConfigId?: string; readonly expired?: boolean } = {}
  ) {
    const { authConfigId = "oidc", expired = false } = options
    const { grantId, refreshToken } = yield* server.mintRefreshToken(userId)
    const { id } = yield* Connections.use(({ create }) =>
      create({
        authConfigId,
        userId,
        secrets: { access_token: Redacted.make("at-imported"), refresh_token: Redacted.make(refreshToken) },
        expiresAt: expired ? DateTime.makeUnsafe(0) : undefined
      })
    )
    return { id, grantId, refreshToken }
  })

  const register = (overrides?: Partial<AuthConfig>) =>
    Connections.use(({ authConfigs }) => authConfigs.register(server.authConfig(overrides)))

  yield* use(register())
  return {
    connect,
    directory,
    env,
    file,
    register,
    server,
    use,
    /** Runs `rekindle` on the database. */
    rekindle: (args: ReadonlyArray<string>, surroundings: Surroundings = {}) =>
      runRekindle(args, { ...surroundings, env: { ...env, ...surroundings.env } })
  }
})
