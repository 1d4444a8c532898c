/**
 * The compare-and-set that changes an account: decide on the row, write, and where the row has moved on meanwhile, read it and decide anew.
 *
 * @module
 */
import { Clock, Effect, Option } from "effect"
import { type Account, type StatusEvent, transition, type Transition } from "./Account.ts"
import type { AccountStore, ConsentAttempt, StoreError } from "./AccountStore.ts"

/** What became of a change. `Left`: `when` said no. `Gone`: the account does not exist any more; `account` is the row last seen. */
export type Updated = { readonly _tag: "Written" | "Left" | "Gone"; readonly account: Account }

/** A change to an account, decided for each row that it is tried on. */
export interface AccountUpdate<E = never, R = never> {
  /** What else changes, given the row, what the event makes of its status, and the time. */
  readonly patch?: ((from: Account, next: Transition, now: number) => Effect.Effect<Partial<Account>, E, R>) | undefined
  /** Whether the change is called for. Default: always. */
  readonly when?: ((from: Account) => boolean) | undefined
  /** A consent attempt that is added with the change. */
  readonly attempt?: ConsentAttempt | undefined
  /** Ends the lease of this epoch; unless it is the last one given out, nothing is written. */
  readonly endLease?: number | undefined
}

/**
 * Applies an event to an account, beginning with the row as the caller has it. Without an event the status is not concerned.
 *
 * `updatedAt` becomes the time of the event, except for an account that stays in service with its credential: whoever waits for a new one
 * goes by that time.
 */
export const updateAccount = Effect.fnUntraced(function* <E = never, R = never>(
  store: Pick<AccountStore["Service"], "find" | "write">,
  seen: Account,
  event: StatusEvent | undefined,
  { attempt, endLease, patch, when }: AccountUpdate<E, R> = {}
): Effect.fn.Return<Updated, E | StoreError, R> {
  let from = seen
  while (true) {
    if (when?.(from) === false) return { _tag: "Left", account: from }
    const now = yield* Clock.currentTimeMillis
    const next: Transition = event === undefined ? { ...from, announce: [] } : transition(from, event)
    const changes = patch === undefined ? {} : yield* patch(from, next, now)
    const { generation = from.generation } = changes
    const inService = from.status === "ACTIVE" && next.status === "ACTIVE"
    const unmoved = event === undefined || (inService && generation === from.generation)
    const to: Account = {
      ...from,
      status: next.status,
      statusReason: next.statusReason,
      updatedAt: unmoved ? from.updatedAt : now,
      ...changes
    }
    const written = yield* store.write({ from, to, announce: next.announce, at: now, attempt, endLease })
    if (Option.isSome(written)) return { _tag: "Written", account: written.value }
    const current = yield* store.find(from.id)
    if (Option.isNone(current)) return { _tag: "Gone", account: from }
    from = current.value
  }
})
