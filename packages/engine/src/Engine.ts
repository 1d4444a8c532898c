/**
 * The complete engine on one database.
 *
 * `layerSqlite` runs in one process. `layer` runs on any `SqlClient`, for Postgres and many processes. To use another part (a scheme, a
 * store, a vault of your own), compose the layers yourself, as this file does.
 *
 * @module
 */
import type { ConnectedAccounts, Connections as CoreConnections, ConsentCallback } from "@rekindle/core"
import { type Config, type Duration, type Effect, Layer } from "effect"
import type { Migrator, SqlClient, SqlError } from "effect/sql"
import type { AccountStore, StoreError } from "./account/AccountStore.ts"
import { AuthConfigs } from "./strategies/AuthConfigs.ts"
import { AuthStrategies, type AuthStrategy } from "./strategies/AuthStrategy.ts"
import * as Connections from "./Connections.ts"
import { Consent, type ConsentOptions, layerCallback } from "./consent/Consent.ts"
import type { CredentialVault, VaultError } from "./vault/CredentialVault.ts"
import { Egress, type EgressOptions } from "./egress/Egress.ts"
import { Journal, type JournalError, type JournalOptions } from "./renewal/Journal.ts"
import { type CoordinatorOptions, RefreshCoordinator } from "./renewal/RefreshCoordinator.ts"
import { CredentialCache } from "./renewal/CredentialCache.ts"
import * as Retention from "./renewal/Retention.ts"
import * as KeyRotation from "./store/KeyRotation.ts"
import * as SqlAccountStore from "./store/SqlAccountStore.ts"
import * as SqliteClient from "./store/SqliteClient.ts"
import * as BasicWithJwt from "./strategies/BasicWithJwt.ts"
import * as GoogleServiceAccount from "./strategies/GoogleServiceAccount.ts"
import * as OAuth1 from "./strategies/OAuth1.ts"
import * as OAuth2 from "./strategies/OAuth2.ts"
import * as S2SOAuth2 from "./strategies/S2SOAuth2.ts"
import * as StaticCredential from "./strategies/StaticCredential.ts"
import { TokenCommit, type TokenCommitOptions } from "./renewal/TokenCommit.ts"

/** The options of an engine. */
export interface EngineOptions {
  /** The callback address, and the addresses where people may land after consent. */
  readonly consent: ConsentOptions
  /** Time limits of renewals and of their callers, and how many renewals run at once. */
  readonly coordinator?: CoordinatorOptions | undefined
  /** How a new credential is committed while the store does not answer. */
  readonly commit?: TokenCommitOptions | undefined
  /** The hosts that requests may go to, and the limits of a request. */
  readonly egress?: EgressOptions | undefined
  /**
   * How long an access token that was read is served from memory. Default 5 seconds. With 0 every read goes to the store. A change of the
   * account by this process removes the entry at once. A revocation or disabling by another process takes effect after this time at most.
   */
  readonly accessTokensFor?: Duration.Input | undefined
  /** The options of the journal of {@link layerSqlite}. */
  readonly journal?: JournalOptions | undefined
  /** How long records besides accounts are kept. */
  readonly retention?: Retention.RetentionOptions | undefined
  /** Strategies for custom schemes. A strategy for a built-in scheme replaces the built-in one. */
  readonly strategies?: ReadonlyArray<Effect.Effect<AuthStrategy, never, Egress>> | undefined
}

/** The strategies that ship with the engine. */
export const builtInStrategies: ReadonlyArray<Effect.Effect<AuthStrategy, never, Egress>> = [
  OAuth2.make,
  S2SOAuth2.make,
  OAuth1.make,
  GoogleServiceAccount.make,
  BasicWithJwt.make,
  StaticCredential.apiKey,
  StaticCredential.bearerToken,
  StaticCredential.basic
]

/** The services that an engine provides: the two interfaces, and the parts that applications build on. */
export type Provided =
  | ConnectedAccounts
  | CoreConnections
  | ConsentCallback
  | Consent
  | AuthConfigs
  | AuthStrategies
  | RefreshCoordinator
  | TokenCommit
  | AccountStore

/** The engine on any account store, vault, journal and egress. */
export const layerNoDeps = (
  options: EngineOptions
): Layer.Layer<
  Exclude<Provided, AccountStore>,
  Config.ConfigError | StoreError | VaultError,
  AccountStore | CredentialVault | Egress | Journal
> =>
  Layer.mergeAll(Connections.layer, layerCallback, Retention.layer(options.retention)).pipe(
    Layer.provideMerge(Layer.mergeAll(Consent.layer(options.consent), RefreshCoordinator.layer(options.coordinator))),
    Layer.provideMerge(TokenCommit.layer(options.commit)),
    Layer.provideMerge(AuthConfigs.layer),
    Layer.provideMerge(AuthStrategies.layer([...builtInStrategies, ...(options.strategies ?? [])])),
    // All parts above write through the cache's store, which removes the cached credential of a changed account.
    Layer.provideMerge(CredentialCache.layer(options.accessTokensFor)),
    // Before any value is sealed or opened: verifies that the keys belong to this database.
    Layer.provide(Layer.effectDiscard(KeyRotation.verify))
  )

/** The engine on any SQL database, over Node's HTTP client. It needs a vault whose keys outlive the process, and a journal on disk. */
export const layer = (
  options: EngineOptions
): Layer.Layer<
  Provided,
  Config.ConfigError | Migrator.MigrationError | SqlError.SqlError | StoreError | VaultError,
  SqlClient.SqlClient | CredentialVault | Journal
> => layerNoDeps(options).pipe(Layer.provideMerge(SqlAccountStore.layer), Layer.provide(Egress.layer(options.egress)))

/** The engine on SQLite. The journal of a file is in the directory `<file>.journal` beside it. `:memory:` keeps everything in memory. */
export const layerSqlite = (
  filename: string,
  options: EngineOptions
): Layer.Layer<
  Provided,
  Config.ConfigError | Migrator.MigrationError | SqlError.SqlError | StoreError | VaultError | JournalError,
  CredentialVault
> =>
  layer(options).pipe(
    Layer.provide(SqliteClient.layer(filename)),
    Layer.provide(
      filename === ":memory:" ? Journal.layerMemory : Journal.layerDirectory(`${filename}.journal`, options.journal)
    )
  )
