/**
 * `ConnectedAccounts` from a script, for unit tests. A test says which accounts exist and what each call answers, and reads the calls
 * afterwards. Nothing is sent.
 *
 * **Gotchas**
 *
 * - Each call takes the next answer, and **the last answer repeats**. End a list with {@link exhausted} to make any further call a defect.
 * - An account without answers follows the contract, as the engine does: `INACTIVE` and `REVOKED` answer 400, `NO_AUTH` answers 501, and
 *   `ACTIVE` answers `Ready`. Any other status asks for consent, or answers `NotReady` if the scheme has no consent (an API key). An
 *   ACTIVE account with a `statusReason` cannot be renewed any more: it asks for consent too, and is not ACTIVE once its token is refused.
 *   {@link byContract} is that answer. It can be used inside a list too.
 * - The record that `get` reads follows the outcomes: `Ready` makes it ACTIVE, and the other two give it their status. An error changes
 *   nothing.
 * - Dates default to the day before `TestClock`'s zero, so that the first renewal changes `updatedAt` even at time zero.
 *
 * @module
 */
import {
  AccountNotFound,
  type AuthScheme,
  type ConnectedAccount,
  ConnectedAccountId,
  ConnectedAccounts,
  type ConnectedAccountStatus,
  InvalidRequest,
  NotReady,
  type ReadError,
  Ready,
  RedirectRequired,
  type RefreshError,
  type RefreshOptions,
  RefreshUnsupported,
  type RefreshOutcome
} from "@rekindle/core"
import { Context, DateTime, Effect, type Exit, Layer, Schema } from "effect"

/** What an answer can depend on: the call, and the account's present record. */
export interface ScriptedCall {
  readonly id: ConnectedAccountId
  readonly options: RefreshOptions | undefined
  readonly account: ConnectedAccount
  /** The number of calls of this kind for this account, including this one. */
  readonly count: number
}

/** One answer of `refresh`: an outcome, an error, another effect, or a function of the call that returns one of these. */
export type ScriptedRefresh =
  | ValueOrEffect<RefreshOutcome, RefreshError>
  | ((asked: ScriptedCall) => ValueOrEffect<RefreshOutcome, RefreshError>)

/** One answer of `get`, in the same forms. */
export type ScriptedRead =
  | ValueOrEffect<ConnectedAccount, ReadError>
  | ((asked: ScriptedCall) => ValueOrEffect<ConnectedAccount, ReadError>)

/** A tagged error is an effect too: it fails with itself. */
type ValueOrEffect<A, E> = A | Effect.Effect<A, E>

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
export class ScriptedAccounts extends Context.Service<
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
    /** Changes what an account's record says, and keeps its answers. An unknown id is a defect. */
    readonly edit: (id: string, change: (record: ConnectedAccount) => ConnectedAccount) => Effect.Effect<void>
    /** The accounts as they are now. */
    readonly records: Effect.Effect<ReadonlyArray<ConnectedAccount>>
    /** Removes an account from the script. Further calls for it fail with `AccountNotFound`. */
    readonly remove: (id: string) => Effect.Effect<void>
    /** Sets an account's status, as when its user completes consent in a browser. An unknown id is a defect. */
    readonly setStatus: (id: string, status: ConnectedAccountStatus, reason?: string) => Effect.Effect<void>
    /** Restores the script as it was given, without calls and changes. */
    readonly reset: Effect.Effect<void>
  }
>()("@rekindle/testing/ScriptedAccounts") {}

/** The usable outcome. */
export const ready = ({ id }: ScriptedCall): RefreshOutcome => Ready.make({ id })

/**
 * Consent is needed. By default the link is `https://consent.test/<id>`, and `status` follows the contract: an ACTIVE account stays ACTIVE, any
 * other becomes INITIATED.
 */
export const redirectRequired =
  (redirectUrl?: string, status?: ConnectedAccountStatus) =>
  ({ account, id }: ScriptedCall): RefreshOutcome =>
    RedirectRequired.make({
      id,
      redirectUrl: redirectUrl ?? `https://consent.test/${id}`,
      status: status ?? (account.status === "ACTIVE" ? "ACTIVE" : "INITIATED")
    })

/** The account is neither usable nor waiting for consent. */
export const notReady =
  (status: ConnectedAccountStatus) =>
  ({ id }: ScriptedCall): RefreshOutcome =>
    NotReady.make({ id, status })

/** The answer of the contract for the account's present record. An account without answers gives this. Errors carry the engine's slugs. */
export const byContract = (asked: ScriptedCall): RefreshOutcome | InvalidRequest | RefreshUnsupported => {
  const { status, state, statusReason } = asked.account
  if (status === "INACTIVE" || status === "REVOKED") {
    return new InvalidRequest({
      message: `An account that is ${status} cannot be refreshed`,
      slug: "account_not_refreshable"
    })
  }
  if (state.authScheme === "NO_AUTH") {
    return new RefreshUnsupported({ message: "NO_AUTH has nothing to refresh", slug: "scheme_unsupported" })
  }
  const refused = status === "ACTIVE" && statusReason !== null && asked.options?.tokenRefused === true
  const consents = !withoutConsent.has(state.authScheme)
  if (status === "ACTIVE" && !refused && (statusReason === null || !consents)) return ready(asked)
  return consents
    ? redirectRequired(undefined, refused ? "INITIATED" : undefined)(asked)
    : notReady(refused ? "EXPIRED" : status)(asked)
}
/** Schemes without consent. */
const withoutConsent: ReadonlySet<AuthScheme> = new Set([
  "API_KEY",
  "BEARER_TOKEN",
  "BASIC",
  "BASIC_WITH_JWT",
  "S2S_OAUTH2",
  "GOOGLE_SERVICE_ACCOUNT"
])

/** Ends a list of answers. A call that reaches it is a defect, which names the account and the number of the call. */
export const exhausted = ({ count, id }: ScriptedCall): Effect.Effect<never> =>
  Effect.die(new Error(`The script of ${id} has no answer for call ${count}`))

/** Reads the record with another status, for polls: `reads: [reading("INITIATED"), reading("ACTIVE")]`. The record is unchanged. */
export const reading =
  (status: ConnectedAccountStatus) =>
  ({ account }: ScriptedCall): ConnectedAccount =>
    under(account, status)

/** The account with a status and the matching `isDisabled`. */
const under = (account: ConnectedAccount, status: ConnectedAccountStatus): ConnectedAccount => ({
  ...account,
  status,
  isDisabled: status === "INACTIVE"
})

const recorded: ScriptedRead = ({ account }) => account
const dayBefore = DateTime.makeUnsafe("1969-12-31T00:00:00Z")

/**
 * An account for the script. Only the id is required. By default it is an ACTIVE OAUTH2 account. `isDisabled` follows from the status.
 *
 * Throws if the id is malformed.
 */
export const account = (
  options: Partial<Omit<ConnectedAccount, "id" | "state">> & {
    readonly id: string
    readonly authScheme?: AuthScheme
    /** Masked credential fields, as `get` shows them. */
    readonly val?: ConnectedAccount["state"]["val"]
    readonly answers?: ReadonlyArray<ScriptedRefresh>
    readonly reads?: ReadonlyArray<ScriptedRead>
  }
): ScriptedAccount => {
  const { answers = [], authScheme = "OAUTH2", id, reads = [], val = {}, ...fields } = options
  return {
    answers,
    reads,
    record: {
      status: "ACTIVE",
      statusReason: null,
      toolkit: { slug: "scripted" },
      authConfig: { id: "ac_scripted" },
      userId: "user_scripted",
      isDisabled: fields.status === "INACTIVE",
      createdAt: dayBefore,
      updatedAt: dayBefore,
      ...fields,
      id: ConnectedAccountId.make(id),
      state: { authScheme, val }
    }
  }
}

/**
 * Provides `ConnectedAccounts` and {@link ScriptedAccounts} from a list of accounts.
 *
 * An id that is not listed fails with `AccountNotFound`. A malformed id, which only a cast can produce, fails with `InvalidRequest`.
 *
 * ```ts
 * import assert from "node:assert/strict"
 * import { ConnectedAccountId, ConnectedAccounts, Unavailable } from "@rekindle/core"
 * import { account, layer, ready, ScriptedAccounts } from "@rekindle/testing/ScriptedAccounts"
 * import { Effect } from "effect"
 *
 * const gmail = ConnectedAccountId.make("ca_4CkFF_cKATwg")
 *
 * const program = Effect.gen(function* () {
 *   const accounts = yield* ConnectedAccounts
 *   const outcome = yield* Effect.retry(accounts.refresh(gmail), { times: 1 })
 *   assert.equal(outcome._tag, "Ready")
 *   assert.equal((yield* (yield* ScriptedAccounts).callsFor(gmail)).length, 2)
 * })
 *
 * const busyOnce = layer([account({ id: gmail, answers: [new Unavailable({ message: "busy" }), ready] })])
 * await Effect.runPromise(Effect.provide(program, busyOnce))
 * ```
 */
export const layer = (script: ReadonlyArray<ScriptedAccount> = []): Layer.Layer<ConnectedAccounts | ScriptedAccounts> =>
  Layer.effectContext(Effect.sync(() => make(script)))

/** Returns the given items one by one, and then repeats the last one. Without items it returns the fallback. */
const repeatLast = <A>(given: ReadonlyArray<A>, fallback: A) => {
  const items = [...given]
  let taken = 0
  let count = 0
  return {
    push: (more: ReadonlyArray<A>): void => void items.push(...more),
    next: (): { readonly item: A; readonly count: number } => {
      if (taken < items.length) taken++
      return { item: items[taken - 1] ?? fallback, count: ++count }
    }
  }
}

const open = (script: ScriptedAccount) => ({
  record: script.record,
  answers: repeatLast(script.answers, byContract),
  reads: repeatLast(script.reads, recorded)
})
type Entry = ReturnType<typeof open>

const isId = Schema.is(ConnectedAccountId)

const find = Effect.fnUntraced(function* (entries: ReadonlyMap<string, Entry>, id: ConnectedAccountId) {
  if (!isId(id)) {
    return yield* new InvalidRequest({ message: "Malformed connected account id", slug: "invalid_id" })
  }
  const entry = entries.get(id)
  return (
    entry ??
    (yield* new AccountNotFound({ message: `No connected account ${id}`, slug: "connected_account_not_found" }))
  )
})

const settle = (entry: Entry, outcome: RefreshOutcome, now: DateTime.Utc): void => {
  const status = outcome._tag === "Ready" ? "ACTIVE" : outcome.status
  if (outcome._tag === "Ready" || status !== entry.record.status) {
    entry.record = { ...under(entry.record, status), statusReason: null, updatedAt: now }
  }
}

const make = (script: ReadonlyArray<ScriptedAccount>): Context.Context<ConnectedAccounts | ScriptedAccounts> => {
  const entries = new Map<string, Entry>()
  const calls: Array<RecordedCall> = []
  const put = (account: ScriptedAccount): void => void entries.set(account.record.id, open(account))
  script.forEach(put)

  const known = (id: string): Effect.Effect<Entry> =>
    Effect.suspend(() => {
      const entry = entries.get(id)
      return entry === undefined ? Effect.die(new Error(`The script has no account ${id}`)) : Effect.succeed(entry)
    })

  const record = Effect.fnUntraced(function* <A extends RefreshOutcome | ConnectedAccount, E extends RefreshError>(
    asked: Pick<RecordedCall, "operation" | "id" | "options">,
    answer: Effect.Effect<A, E>
  ) {
    const call: { -readonly [K in keyof RecordedCall]: RecordedCall[K] } = {
      ...asked,
      at: yield* DateTime.now,
      exit: undefined
    }
    calls.push(call)
    return yield* Effect.onExit(answer, (exit) => Effect.sync(() => void (call.exit = exit)))
  })

  const accounts = ConnectedAccounts.of({
    refresh: (id, options) =>
      record(
        { operation: "refresh", id, options },
        Effect.gen(function* () {
          const entry = yield* find(entries, id)
          const { count, item } = entry.answers.next()
          const answer = typeof item === "function" ? item({ id, options, account: entry.record, count }) : item
          const outcome = Effect.isEffect(answer) ? yield* answer : answer
          settle(entry, outcome, yield* DateTime.now)
          return outcome
        })
      ),
    get: (id) =>
      record(
        { operation: "get", id, options: undefined },
        Effect.gen(function* () {
          const entry = yield* find(entries, id)
          const { count, item } = entry.reads.next()
          const answer =
            typeof item === "function" ? item({ id, options: undefined, account: entry.record, count }) : item
          return Effect.isEffect(answer) ? yield* answer : answer
        })
      )
  })

  const control = ScriptedAccounts.of({
    calls: Effect.sync(() => calls.map((call) => ({ ...call }))),
    callsFor: (id) => Effect.sync(() => calls.filter((call) => call.id === id).map((call) => ({ ...call }))),
    push: (id, ...answers) => Effect.map(known(id), (entry) => entry.answers.push(answers)),
    put: (account) => Effect.sync(() => put(account)),
    edit: (id, change) => Effect.map(known(id), (entry) => void (entry.record = change(entry.record))),
    records: Effect.sync(() => Array.from(entries.values(), ({ record }) => record)),
    remove: (id) => Effect.sync(() => void entries.delete(id)),
    setStatus: Effect.fnUntraced(function* (id, status, reason) {
      const entry = yield* known(id)
      entry.record = { ...under(entry.record, status), statusReason: reason ?? null, updatedAt: yield* DateTime.now }
    }),
    reset: Effect.sync(() => {
      entries.clear()
      calls.length = 0
      script.forEach(put)
    })
  })

  return Context.make(ConnectedAccounts, accounts).pipe(Context.add(ScriptedAccounts, control))
}
