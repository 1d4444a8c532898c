/**
 * A SQLite database with accounts of a real authorization server, and `rekindle` on it.
 *
 * @module
 */
import { type AuthConfig, type ConnectedAccounts, Connections } from "@rekindle/core"
import { CredentialVault, Engine } from "@rekindle/engine"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { ConfigProvider, Context, DateTime, Effect, Layer, Logger, Option, Record, Redacted } from "effect"
import * as Server from "#cli/server/Server.ts"
import * as Setting from "#cli/settings/Setting.ts"
import * as Settings from "#cli/settings/settings.ts"
import { randomBytes } from "node:crypto"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { AuthorizationServer } from "../../../engine/test/support/AuthorizationServer.ts"
import { runRekindle, type Surroundings } from "./commandLine.ts"

export { AuthorizationServer }

/** A server on the database, in the process of the test. Returns its address. It stops with the scope. */
const serve = Effect.fnUntraced(
  function* () {
    const given = Record.map(Settings.serve, () => Option.none<string>())
    const settings = yield* Setting.read(Settings.all, Settings.serve, given, Option.none())
    const services = yield* Layer.build(Server.layer(settings))
    return Context.get(services, Server.Service).address
  },
  Effect.provide(NodeServices.layer),
  Effect.provideService(Logger.CurrentLoggers, new Set())
)

/** The key of the server. */
export const serverKey = "the-key-of-a-test"

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
    /** Starts a server on the database. Returns its address. */
    serve: Effect.provideService(
      serve(),
      ConfigProvider.ConfigProvider,
      ConfigProvider.fromUnknown({ ...env, REKINDLE_API_KEY: serverKey, REKINDLE_PORT: "0" })
    ),
    server,
    use,
    /** Runs `rekindle` on the database. */
    rekindle: (args: ReadonlyArray<string>, surroundings: Surroundings = {}) =>
      runRekindle(args, { ...surroundings, env: { ...env, ...surroundings.env } })
  }
})
