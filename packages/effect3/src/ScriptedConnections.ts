/**
 * `Connections` in memory, for unit tests: auth configs, accounts and credentials behave as in an engine, and nothing is sent. It comes with
 * the script of `ScriptedAccounts`, which answers `refresh` and `get` for the same accounts.
 *
 * **Gotchas**
 *
 * - A credential that a test or the program gave is handed out until the account is renewed. Every other token is `token-<n>-of-<id>`, where
 *   `n` counts the renewals, so a test sees which token a call was made with.
 * - There is one project, whatever `CurrentProject` says.
 *
 * @module
 */
import * as Core from "@rekindle/core"
import { ScriptedAccounts as Accounts4, ScriptedConnections as Script4 } from "@rekindle/testing"
import { Context, Effect, identity, Layer } from "effect"
import { Context as Context4, type Effect as Effect4 } from "effect4"
import type { AuthConfig } from "./AuthConfig.ts"
import { ConnectedAccounts } from "./ConnectedAccounts.ts"
import { Connections, type ConnectionEventType, type ConnectionsError, type CredentialInUse } from "./Connections.ts"
import { accountsToThree } from "./internal/accounts.ts"
import { build, infallible, toThree } from "./internal/bridge.ts"
import { configToFour, connectionsToThree, credentialToFour } from "./internal/connections.ts"
import { controls, scriptToFour } from "./internal/script.ts"
import { errorToFour } from "./internal/values.ts"
import { type ScriptedAccount, ScriptedAccounts } from "./ScriptedAccounts.ts"

/** What the script begins with. */
export interface Script {
  readonly authConfigs?: ReadonlyArray<AuthConfig> | undefined
  /** Accounts that are there already, as `ScriptedAccounts.account` makes them. */
  readonly accounts?: ReadonlyArray<ScriptedAccount> | undefined
}

/** An operation of `Connections`; those of the auth configs as `authConfigs.register`. */
export type Operation =
  | Exclude<keyof Connections["Type"], "authConfigs">
  | `authConfigs.${keyof Connections["Type"]["authConfigs"]}`

/** Controls the script from a test. */
export class ScriptedConnections extends Context.Tag("@rekindle/effect3/ScriptedConnections")<
  ScriptedConnections,
  {
    /** The operations so far, in the order of arrival. */
    readonly operations: Effect.Effect<ReadonlyArray<Operation>>
    /** Makes the next call of an operation fail. Called several times, it makes as many calls fail. */
    readonly failNext: (operation: Operation, error: ConnectionsError) => Effect.Effect<void>
    /** Completes the pending consent of an account, as a person would. An unknown id is a mistake of the test, and therefore a defect. */
    readonly consentTo: (id: string) => Effect.Effect<void>
    /** Adds an event. Starting and completing a consent add theirs by themselves. */
    readonly announce: (id: string, type: ConnectionEventType) => Effect.Effect<void>
    /** Sets the credential that is handed out until the account is renewed. */
    readonly setCredential: (id: string, credential: CredentialInUse) => Effect.Effect<void>
  }
>() {}

const controlsToThree = (script: Script4.ScriptedConnections["Service"]): ScriptedConnections["Type"] => {
  const run = <A>(effect: Effect4.Effect<A>) => toThree(effect, infallible, identity)
  return {
    operations: run(script.operations),
    failNext: (operation, error) => run(script.failNext(operation, errorToFour(error))),
    consentTo: (id) => run(script.consentTo(id)),
    announce: (id, type) => run(script.announce(id, type)),
    setCredential: (id, credential) => run(script.setCredential(id, credentialToFour(credential)))
  }
}

/** Provides `Connections`, `ConnectedAccounts`, and what controls both. */
export const layer = ({ accounts = [], authConfigs = [] }: Script = {}): Layer.Layer<
  Connections | ConnectedAccounts | ScriptedConnections | ScriptedAccounts
> =>
  Layer.scopedContext(
    Effect.map(
      build(
        Script4.layer({ accounts: accounts.map(scriptToFour), authConfigs: authConfigs.map(configToFour) }),
        infallible
      ),
      (context) =>
        Context.make(ConnectedAccounts, accountsToThree(Context4.get(context, Core.ConnectedAccounts))).pipe(
          Context.add(Connections, connectionsToThree(Context4.get(context, Core.Connections))),
          Context.add(ScriptedAccounts, controls(Context4.get(context, Accounts4.ScriptedAccounts))),
          Context.add(ScriptedConnections, controlsToThree(Context4.get(context, Script4.ScriptedConnections)))
        )
    )
  )
