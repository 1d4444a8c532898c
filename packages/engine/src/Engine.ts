/**
 * The engine, put together: everything that keeps accounts alive, on one database.
 *
 * `layerSqlite` is the whole of it in one process. `layer` is the same on any `SqlClient`, for Postgres and many processes. Users who
 * want other parts (a scheme, a store, a vault of their own) compose the layers themselves; this file shows how.
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
  /** Where providers send people back to, and where people may be sent afterwards. */
  readonly consent: ConsentOptions
  /** How long renewals and their callers wait, and how many run at once. */
  readonly coordinator?: CoordinatorOptions | undefined
  /** How a new credential gets into a store that does not answer. */
  readonly commit?: TokenCommitOptions | undefined
  /** Which hosts requests may go to, and for how long. */
  readonly egress?: EgressOptions | undefined
  /**
   * For how long an access token that was read is handed out again without looking. Default 5 seconds; 0 looks each time. What this process
   * does to an account ends it at once. A revocation or disabling by another process is noticed after this long at most.
   */
  readonly accessTokensFor?: Duration.Input | undefined
  /** How the journal of {@link layerSqlite} keeps answers. */
  readonly journal?: JournalOptions | undefined
  /** What is kept besides accounts, and for how long. */
  readonly retention?: Retention.RetentionOptions | undefined
  /** Strategies for schemes of your own; one for a scheme the engine knows replaces the engine's. */
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

/** What an engine provides: the service, its management, and the parts that applications build on. */
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

/** The engine on any account store, vault, journal and egress: the part that does not care where things are kept. */
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
    // Everything above writes through the store that drops tokens at hand.
    Layer.provideMerge(CredentialCache.layer(options.accessTokensFor)),
    // Before anything is sealed or opened: the keys are those of this database.
    Layer.provide(Layer.effectDiscard(KeyRotation.verify))
  )

/** The engine on whatever database is there, over Node's HTTP client. Give it a vault whose keys outlive the process, and a journal on disk. */
export const layer = (
  options: EngineOptions
): Layer.Layer<
  Provided,
  Config.ConfigError | Migrator.MigrationError | SqlError.SqlError | StoreError | VaultError,
  SqlClient.SqlClient | CredentialVault | Journal
> => layerNoDeps(options).pipe(Layer.provideMerge(SqlAccountStore.layer), Layer.provide(Egress.layer(options.egress)))

/** The engine on SQLite. A file has its journal in the directory `<file>.journal` beside it; `:memory:` keeps everything in memory. */
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
