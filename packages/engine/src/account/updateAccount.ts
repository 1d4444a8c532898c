/**
 * The compare-and-set that changes an account: decide on the row, and write it. If the stored row is newer, read it and decide again.
 *
 * @module
 */
import { Clock, Effect, Option } from "effect"
import { type Account, type StatusEvent, transition, type Transition } from "./Account.ts"
import type { AccountStore, ConsentAttempt, StoreError } from "./AccountStore.ts"

/**
 * The result of a change. `Left`: `when` returned false. `Gone`: the account no longer exists, and `account` is the row that was last seen.
 */
export type Updated = { readonly _tag: "Written" | "Left" | "Gone"; readonly account: Account }

/** A change to an account. It is decided again for each row that it is tried on. */
export interface AccountUpdate<E = never, R = never> {
  /** Further changes, given the row, the transition that the event leads to, and the time. */
  readonly patch?: ((from: Account, next: Transition, now: number) => Effect.Effect<Partial<Account>, E, R>) | undefined
  /** Whether to change the row. Default: always. */
  readonly when?: ((from: Account) => boolean) | undefined
  /** A consent attempt that is added in the same transaction. */
  readonly attempt?: ConsentAttempt | undefined
  /** Ends the lease of this epoch. If it is not the last epoch that was given out, nothing is written. */
  readonly endLease?: number | undefined
}

/**
 * Applies an event to an account, starting with the row that the caller has. Without an event the status stays.
 *
 * `updatedAt` becomes the time of the event, except for an account that stays in service with the same credential. Callers that wait for a
 * new credential compare that time.
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
