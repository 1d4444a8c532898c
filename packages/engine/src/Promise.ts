/**
 * The engine for applications that are not written in Effect: `ConnectedAccounts` and `Connections` as Promises.
 *
 * ```ts
 * import { Providers } from "@rekindle/engine"
 * import { engine, secret } from "@rekindle/engine/Promise"
 * import assert from "node:assert/strict"
 *
 * await using rekindle = await engine({ sqlite: ":memory:", callbackUrl: "https://app.example.com/callback" })
 *
 * await rekindle.authConfigs.register(
 *   Providers.google.authConfig({ id: "gmail", clientId: "1234.apps.googleusercontent.com", clientSecret: "GOCSPX-…", scopes: ["email"] })
 * )
 * const { id } = await rekindle.create({ authConfigId: "gmail", userId: "ada" })
 *
 * // The call fails with the link whenever Ada has to consent. `rekindle.fetchAs(id)` calls the API without showing the token.
 * const error = await rekindle.withRefresh(id, () => rekindle.accessToken(id)).catch((error) => error)
 * assert.equal(error._tag, "ConsentRequired")
 * assert.equal(new URL(error.redirectUrl).host, "accounts.google.com")
 *
 * // A credential that the application already has is brought in.
 * const brought = await rekindle.create({ authConfigId: "gmail", userId: "bob", secrets: { access_token: secret("ya29.a0") } })
 * assert.equal(brought.status, "ACTIVE")
 * ```
 *
 * @module
 */
import { type Connections, type ConnectedAccounts, type ConsentCallback } from "@rekindle/core"
import { type Application, makeApplication, secret } from "@rekindle/core/Promise"
import { Layer } from "effect"
import type { SqlClient } from "effect/sql"
import type { ConsentOptions } from "./consent/Consent.ts"
import { type EngineOptions, layer, layerSqlite } from "./Engine.ts"
import { Journal } from "./renewal/Journal.ts"
import { Renewer, type RenewerOptions } from "./renewal/Renewer.ts"
import { CredentialVault } from "./vault/CredentialVault.ts"

export {
  type AllAccounts,
  type CallContext,
  Disposed,
  reveal,
  secret,
  type WithRefreshOptions
} from "@rekindle/core/Promise"

/** The database of an engine. */
export type Storage =
  /** A SQLite file, for one machine. Its journal is in `<file>.journal`. `:memory:` keeps everything in memory. */
  | { readonly sqlite: string; readonly sql?: undefined; readonly journalDirectory?: undefined }
  /**
   * Any database that `effect/sql` has a client for, such as `PgClient.layer({ url: secret(url) })` of `@effect/sql-pg`, with a directory for the
   * journal.
   */
  | {
      readonly sqlite?: undefined
      readonly sql: Layer.Layer<SqlClient.SqlClient, unknown>
      /** The directory of the journal, which holds answers until they are committed. It must be on a disk that outlives the process. */
      readonly journalDirectory: string
    }

/** A key that seals secrets. */
export interface Key {
  readonly id: string
  /** 32 random bytes, base64: `openssl rand -base64 32`. */
  readonly key: string
}

/** The options of an engine. */
export type Options = Storage &
  Omit<EngineOptions, "consent"> &
  Omit<ConsentOptions, "callbackUrl"> & {
    /** The callback address, to which providers redirect people. Register it with each provider. */
    readonly callbackUrl: string
    /** The keys that seal secrets, newest first. Default: `REKINDLE_KEYS`. For `:memory:`, the default is a random key. */
    readonly keys?: ReadonlyArray<Key> | undefined
    /**
     * How this process renews tokens before they expire. `false`: tokens are renewed only when a caller asks. Default: the renewer's
     * defaults.
     */
    readonly renewer?: RenewerOptions | false | undefined
  }

/** The engine as Promises. */
export type Engine = Application<ConnectedAccounts | Connections | ConsentCallback>

const vaultOf = ({ keys, sqlite }: Options) =>
  keys !== undefined
    ? CredentialVault.layer(keys.map(({ id, key }) => ({ id, key: secret(key) })))
    : sqlite === ":memory:"
      ? CredentialVault.layerEphemeral
      : CredentialVault.layerConfig()

/** Opens an engine. Rejects if the database, the keys or the journal cannot be used. */
export const engine = (options: Options): Promise<Engine> => {
  const settings: EngineOptions = { ...options, consent: options }
  const accounts =
    options.sqlite === undefined
      ? layer(settings).pipe(
          Layer.provide(options.sql),
          Layer.provide(Journal.layerDirectory(options.journalDirectory, options.journal))
        )
      : layerSqlite(options.sqlite, settings)
  const renewing = options.renewer === false ? accounts : Layer.provideMerge(Renewer.layer(options.renewer), accounts)
  return makeApplication(Layer.provide(renewing, vaultOf(options)))
}
