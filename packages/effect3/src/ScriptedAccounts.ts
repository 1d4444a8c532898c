/**
 * `ConnectedAccounts` from a script, for unit tests. A test says which accounts exist and what each call answers, and reads the calls
 * afterwards. Nothing is sent.
 *
 * **Gotchas**
 *
 * - Each call takes the next answer, and **the last answer repeats**. End a list with {@link exhausted} to make any further call a defect.
 * - An account without answers follows the contract, as an engine does.
 *
 * @module
 */
import { ConnectedAccounts as ConnectedAccounts4 } from "@rekindle/core"
import { ScriptedAccounts as Script4 } from "@rekindle/testing"
import { Context, type DateTime, Effect, type Exit, Layer } from "effect"
import { Context as Context4 } from "effect4"
import type {
  AuthScheme,
  ConnectedAccount,
  ConnectedAccountId,
  ConnectedAccountStatus,
  RefreshOutcome
} from "./ConnectedAccount.ts"
import { ConnectedAccounts, type RefreshOptions } from "./ConnectedAccounts.ts"
import type { RefreshError } from "./Errors.ts"
import { accountsToThree } from "./internal/accounts.ts"
import { build, infallible } from "./internal/bridge.ts"
import { controls, scriptToFour } from "./internal/script.ts"
import {
  accountToFour,
  accountToThree,
  errorToThree,
  idToFour,
  outcomeToThree,
  refreshOptionsToFour,
  schemeToFour,
  statusToFour
} from "./internal/values.ts"

/** What an answer can depend on: the call, and the account's present record. */
export interface ScriptedCall {
  readonly id: ConnectedAccountId
  readonly options: RefreshOptions | undefined
  readonly account: ConnectedAccount
  /** The number of calls of this kind for this account, including this one. */
  readonly count: number
}

/** One answer: a value, an error, an effect, or a function of the call that returns one of these. A tagged error fails with itself. */
type Answer<A> =
  | A
  | RefreshError
  | Effect.Effect<A, RefreshError>
  | ((asked: ScriptedCall) => A | RefreshError | Effect.Effect<A, RefreshError>)

/** One answer of `refresh`: an outcome, an error, an effect, or a function of the call that returns one of these. */
export type ScriptedRefresh = Answer<RefreshOutcome>

/** One answer of `get`, in the same forms. */
export type ScriptedRead = Answer<ConnectedAccount>

/** An account of the script: its first record, and what its calls answer. */
export interface ScriptedAccount {
  readonly record: ConnectedAccount
  readonly answers: ReadonlyArray<ScriptedRefresh>
  readonly reads: ReadonlyArray<ScriptedRead>
}

/** A recorded call. */
export interface RecordedCall {
  readonly operation: "refresh" | "get"
  readonly id: ConnectedAccountId
  /** Always undefined for `get`. */
  readonly options: RefreshOptions | undefined
  readonly at: DateTime.Utc
  /** Undefined while the call is in flight. */
  readonly exit: Exit.Exit<RefreshOutcome | ConnectedAccount, RefreshError> | undefined
}

/** Controls the script from a test: reads the recorded calls, and changes accounts and answers. */
export class ScriptedAccounts extends Context.Tag("@rekindle/effect3/ScriptedAccounts")<
  ScriptedAccounts,
  {
    /** Every call so far, in the order of arrival. */
    readonly calls: Effect.Effect<ReadonlyArray<RecordedCall>>
    /** The calls for one account, in the order of arrival. */
    readonly callsFor: (id: string) => Effect.Effect<ReadonlyArray<RecordedCall>>
    /** Adds answers after the remaining ones. An unknown id is a mistake of the test, and therefore a defect. */
    readonly push: (id: string, ...answers: ReadonlyArray<ScriptedRefresh>) => Effect.Effect<void>
    /** Adds an account, or replaces one with its whole script. */
    readonly put: (account: ScriptedAccount) => Effect.Effect<void>
    /** The accounts as they are now. */
    readonly records: Effect.Effect<ReadonlyArray<ConnectedAccount>>
    /** Takes an account out of the script: from now on it is `AccountNotFound`. */
    readonly remove: (id: string) => Effect.Effect<void>
    /** Sets an account's status, as when its user completes consent in a browser. An unknown id is a defect. */
    readonly setStatus: (id: string, status: ConnectedAccountStatus, reason?: string) => Effect.Effect<void>
    /** Restores the script as it was given, without calls and changes. */
    readonly reset: Effect.Effect<void>
  }
>() {}

const callToFour = ({ account, count, id, options }: ScriptedCall): Script4.ScriptedCall => ({
  id: idToFour(id),
  options: options === undefined ? undefined : refreshOptionsToFour(options),
  account: accountToFour(account),
  count
})

/** The usable outcome. */
export const ready = (asked: ScriptedCall): RefreshOutcome => outcomeToThree(Script4.ready(callToFour(asked)))

/** Consent is needed. By default the link is `https://consent.test/<id>`, and an account that is not ACTIVE becomes INITIATED. */
export const redirectRequired =
  (redirectUrl?: string, status?: ConnectedAccountStatus) =>
  (asked: ScriptedCall): RefreshOutcome =>
    outcomeToThree(
      Script4.redirectRequired(redirectUrl, status === undefined ? undefined : statusToFour(status))(callToFour(asked))
    )

/** The account is neither usable nor waiting for consent. */
export const notReady =
  (status: ConnectedAccountStatus) =>
  (asked: ScriptedCall): RefreshOutcome =>
    outcomeToThree(Script4.notReady(statusToFour(status))(callToFour(asked)))

/** The answer of the contract for the account's present record. An account without answers gives this. */
export const byContract = (asked: ScriptedCall): RefreshOutcome | RefreshError => {
  const answer = Script4.byContract(callToFour(asked))
  return answer instanceof Error ? errorToThree(answer) : outcomeToThree(answer)
}

/** Ends a list of answers. A call that reaches it is a defect, which names the account and the number of the call. */
export const exhausted = ({ count, id }: ScriptedCall): Effect.Effect<never> =>
  Effect.die(new Error(`The script of ${id} has no answer for call ${count}`))

/** Reads the record with another status, for polls. The record is unchanged. */
export const reading =
  (status: ConnectedAccountStatus) =>
  (asked: ScriptedCall): ConnectedAccount =>
    accountToThree(Script4.reading(statusToFour(status))(callToFour(asked)))

/** Settings of an account of the script. */
export interface AccountOptions extends Partial<Omit<ConnectedAccount, "id" | "state">> {
  readonly id: string
  /** Default `OAUTH2`. */
  readonly authScheme?: AuthScheme | undefined
  /** Masked credential fields, as `get` shows them. Default: none. */
  readonly val?: ConnectedAccount["state"]["val"] | undefined
  /** What `refresh` answers. Default: by the contract. */
  readonly answers?: ReadonlyArray<ScriptedRefresh> | undefined
  /** What `get` answers. Default: the record. */
  readonly reads?: ReadonlyArray<ScriptedRead> | undefined
}

/** An account for the script. Only the id is required. By default it is an ACTIVE OAUTH2 account. Throws if the id is malformed. */
export const account = ({
  answers = [],
  authScheme = "OAUTH2",
  id,
  reads = [],
  val = {},
  ...fields
}: AccountOptions): ScriptedAccount => {
  const record = accountToThree(Script4.account({ id, authScheme: schemeToFour(authScheme), val }).record)
  return { answers, reads, record: { ...record, isDisabled: fields.status === "INACTIVE", ...fields } }
}

/**
 * Provides `ConnectedAccounts` and {@link ScriptedAccounts} from a list of accounts.
 *
 * An id that is not listed fails with `AccountNotFound`.
 */
export const layer = (script: ReadonlyArray<ScriptedAccount> = []): Layer.Layer<ConnectedAccounts | ScriptedAccounts> =>
  Layer.scopedContext(
    Effect.map(build(Script4.layer(script.map(scriptToFour)), infallible), (context) =>
      Context.make(ConnectedAccounts, accountsToThree(Context4.get(context, ConnectedAccounts4))).pipe(
        Context.add(ScriptedAccounts, controls(Context4.get(context, Script4.ScriptedAccounts)))
      )
    )
  )
