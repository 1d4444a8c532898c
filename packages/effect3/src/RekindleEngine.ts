/**
 * The engine that keeps accounts alive, in this process.
 *
 * @module
 */
import * as Core from "@rekindle/core"
import { CredentialVault, Engine, Renewer } from "@rekindle/engine"
import { Context, type Duration, Effect, Layer, type Redacted, Schema } from "effect"
import { Context as Context4, Effect as Effect4, Layer as Layer4 } from "effect4"
import { ConnectedAccounts } from "./ConnectedAccounts.ts"
import { Connections } from "./Connections.ts"
import { ConsentCallback } from "./ConsentCallback.ts"
import { accountsToThree } from "./internal/accounts.ts"
import { build } from "./internal/bridge.ts"
import { callbackToThree, connectionsToThree } from "./internal/connections.ts"
import { durationIfGiven, secretToFour } from "./internal/values.ts"

/** A key that seals secrets. */
export interface Key {
  /** Up to 40 letters, digits, `-` and `_`. */
  readonly id: string
  /** 32 random bytes, base64: `openssl rand -base64 32`. */
  readonly key: Redacted.Redacted<string>
}

/** How tokens are renewed before they are due. */
export interface RenewerOptions {
  /** How often it looks for auth configs with due accounts. Default 5 seconds, jittered. */
  readonly pollInterval?: Duration.DurationInput | undefined
  /** Renewals at the same time, over all providers. One provider gets half of them, so that there is room for another. Default 32. */
  readonly concurrency?: number | undefined
  /** Accounts of one auth config claimed at the same time. Default 100. */
  readonly maxClaimed?: number | undefined
  /** How long a claim keeps others away. Default 2 minutes. */
  readonly claimFor?: Duration.DurationInput | undefined
  /** How often it looks for what a crash left behind. Default 15 seconds. */
  readonly recoveryInterval?: Duration.DurationInput | undefined
}

/** The options of an engine. */
export interface Options {
  /** The address of the application that providers send people back to (RFC 6749 §3.1.2). Register it with each provider. */
  readonly callbackUrl: string
  /** The origins that people of a project may be sent to after consent. Undefined, or absent: every address that is well formed. */
  readonly redirectOrigins?: ((projectId: string) => ReadonlyArray<string> | undefined) | undefined
  /** How long a link to consent may be used. Default 10 minutes. */
  readonly lifetime?: Duration.DurationInput | undefined
  /** The keys that seal secrets, the newest first. Default: `REKINDLE_KEYS` of the environment; for `:memory:` a key of its own. */
  readonly keys?: ReadonlyArray<Key> | undefined
  /** How tokens are renewed before they are due, in this process. `false`: only when somebody asks. Default: as the renewer's defaults. */
  readonly renewer?: RenewerOptions | false | undefined
  /** How long a caller without a deadline waits. Default 40 seconds. */
  readonly patience?: Duration.DurationInput | undefined
  /** For how long an access token that was read is handed out again without looking. Default 5 seconds; 0 looks each time. */
  readonly accessTokensFor?: Duration.DurationInput | undefined
  /** Which hosts requests may go to, and for how long. */
  readonly egress?:
    | {
        /** Hosts that may be private or loopback, and be reached over plain http. `*` allows every host. */
        readonly privateHosts?: ReadonlyArray<string> | undefined
        /** The limit of one request, from connecting to the end of its answer. Default 8 seconds. */
        readonly timeout?: Duration.DurationInput | undefined
        /** The largest body that is read, in bytes. A larger one counts as no answer. Default 1 MiB. */
        readonly maxBodyBytes?: number | undefined
      }
    | undefined
  /** What the journal of answers survives: `process`, the end of the process; `power`, the loss of power as well. Default `process`. */
  readonly durability?: "process" | "power" | undefined
}

/** The engine could not be opened. The message says why, and holds nothing secret. */
export class EngineError extends Schema.TaggedError<EngineError>("@rekindle/effect3/EngineError")("EngineError", {
  message: Schema.String,
  /**
   * - `ConfigError`: a setting is wrong
   * - `VaultError`: the keys are malformed, or not those of this database
   * - `JournalError`: the journal's directory cannot be used
   * - `MigrationError`, `SqlError`, `StoreError`: the database cannot be used
   */
  reason: Schema.Literal("ConfigError", "JournalError", "MigrationError", "SqlError", "StoreError", "VaultError")
}) {}

const vaultOf = (filename: string, keys: ReadonlyArray<Key> | undefined) =>
  keys !== undefined
    ? CredentialVault.layer(keys.map(({ id, key }) => ({ id, key: secretToFour(key) })))
    : filename === ":memory:"
      ? CredentialVault.layerEphemeral
      : CredentialVault.layerConfig()

/**
 * Provides the services from an engine on a SQLite file, for one machine. Its journal is in the directory `<file>.journal` beside it; `:memory:`
 * keeps everything in memory.
 *
 * When the scope closes, the engine waits for renewals in flight, stores their tokens, and closes the file.
 */
export const layerSqlite = (
  filename: string,
  options: Options
): Layer.Layer<ConnectedAccounts | Connections | ConsentCallback, EngineError> => {
  const { callbackUrl, egress, keys, redirectOrigins, renewer } = options
  const accounts = Engine.layerSqlite(filename, {
    consent: {
      callbackUrl,
      redirectOrigins: redirectOrigins && ((projectId) => Effect4.sync(() => redirectOrigins(projectId))),
      lifetime: durationIfGiven(options.lifetime)
    },
    coordinator: { patience: durationIfGiven(options.patience) },
    accessTokensFor: durationIfGiven(options.accessTokensFor),
    egress: egress === undefined ? undefined : { ...egress, timeout: durationIfGiven(egress.timeout) },
    journal: { durability: options.durability }
  })
  const renewing =
    renewer === false
      ? accounts
      : Layer4.provideMerge(
          Renewer.layer({
            ...renewer,
            pollInterval: durationIfGiven(renewer?.pollInterval),
            claimFor: durationIfGiven(renewer?.claimFor),
            recoveryInterval: durationIfGiven(renewer?.recoveryInterval)
          }),
          accounts
        )
  return Layer.scopedContext(
    Effect.map(
      build(
        Layer4.provide(renewing, vaultOf(filename, keys)),
        ({ _tag, message }) => new EngineError({ message, reason: _tag })
      ),
      (context) =>
        Context.make(ConnectedAccounts, accountsToThree(Context4.get(context, Core.ConnectedAccounts))).pipe(
          Context.add(Connections, connectionsToThree(Context4.get(context, Core.Connections))),
          Context.add(ConsentCallback, callbackToThree(Context4.get(context, Core.ConsentCallback)))
        )
    )
  )
}
