/**
 * A script instead of the engine, for unit tests of applications that are not written in Effect.
 *
 * ```ts
 * import { ConnectedAccountId } from "@rekindle/core"
 * import { ScriptedAccounts } from "@rekindle/testing"
 * import { reveal, script } from "@rekindle/testing/Promise"
 * import assert from "node:assert/strict"
 *
 * const id = ConnectedAccountId.make("ca_4CkFF_cKATwg")
 * await using rekindle = await script({ accounts: [ScriptedAccounts.account({ id, status: "EXPIRED" })] })
 *
 * const error = await rekindle.withRefresh(id, () => rekindle.accessToken(id)).catch((error) => error)
 * assert.equal(error._tag, "ConsentRequired")
 * await rekindle.script.consentTo(id)
 * assert.equal(reveal(await rekindle.accessToken(id)), `token-1-of-${id}`)
 * ```
 *
 * @module
 */
import type {
  ConnectedAccounts,
  ConnectedAccountStatus,
  ConnectionEventType,
  Connections,
  ConnectionsError,
  CredentialInUse
} from "@rekindle/core"
import { type Application, makeApplication } from "@rekindle/core/Promise"
import { Effect } from "effect"
import * as ScriptedAccounts from "./ScriptedAccounts.ts"
import * as ScriptedConnections from "./ScriptedConnections.ts"

export {
  type AllAccounts,
  type CallContext,
  Disposed,
  reveal,
  secret,
  type WithRefreshOptions
} from "@rekindle/core/Promise"

type Provided =
  | ConnectedAccounts
  | Connections
  | ScriptedAccounts.ScriptedAccounts
  | ScriptedConnections.ScriptedConnections

/** The controls of `ScriptedConnections` and `ScriptedAccounts`, as Promises. */
export interface Controls {
  /** Completes the pending consent of an account, as a person would. */
  readonly consentTo: (id: string) => Promise<void>
  /** Sets the status of an account, as when its grant dies. */
  readonly setStatus: (id: string, status: ConnectedAccountStatus, reason?: string) => Promise<void>
  /** Adds answers of `refresh` for an account. */
  readonly push: (id: string, ...answers: ReadonlyArray<ScriptedAccounts.ScriptedRefresh>) => Promise<void>
  /** Makes the next call of an operation fail. */
  readonly failNext: (operation: ScriptedConnections.Operation, error: ConnectionsError) => Promise<void>
  /** Sets the credential that is handed out until the account is renewed. */
  readonly setCredential: (id: string, credential: CredentialInUse) => Promise<void>
  /** Adds an event. */
  readonly announce: (id: string, type: ConnectionEventType) => Promise<void>
  /** The calls of `refresh` and `get` so far. */
  readonly calls: () => Promise<ReadonlyArray<ScriptedAccounts.RecordedCall>>
  /** The operations of `Connections` so far. */
  readonly operations: () => Promise<ReadonlyArray<ScriptedConnections.Operation>>
}

/** A script, and its controls. */
export interface Script extends Application<Provided> {
  readonly script: Controls
}

/** Starts a script. */
export const script = async (begin: ScriptedConnections.Script = {}): Promise<Script> => {
  const application: Application<Provided> = await makeApplication(ScriptedConnections.layer(begin))
  const accounts = <A>(use: (accounts: ScriptedAccounts.ScriptedAccounts["Service"]) => Effect.Effect<A>) =>
    Effect.runPromise(Effect.provide(ScriptedAccounts.ScriptedAccounts.use(use), application.layer))
  const connections = <A>(use: (connections: ScriptedConnections.ScriptedConnections["Service"]) => Effect.Effect<A>) =>
    Effect.runPromise(Effect.provide(ScriptedConnections.ScriptedConnections.use(use), application.layer))
  return {
    ...application,
    script: {
      consentTo: (id) => connections(({ consentTo }) => consentTo(id)),
      setStatus: (id, status, reason) => accounts(({ setStatus }) => setStatus(id, status, reason)),
      push: (id, ...answers) => accounts(({ push }) => push(id, ...answers)),
      failNext: (operation, error) => connections(({ failNext }) => failNext(operation, error)),
      setCredential: (id, credential) => connections(({ setCredential }) => setCredential(id, credential)),
      announce: (id, type) => connections(({ announce }) => announce(id, type)),
      calls: () => accounts(({ calls }) => calls),
      operations: () => connections(({ operations }) => operations)
    }
  }
}
