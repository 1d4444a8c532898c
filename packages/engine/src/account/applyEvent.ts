/**
 * Applies a status event to a stored account, whatever else happens to its row meanwhile.
 *
 * @module
 */
import type { ConnectedAccountId } from "@rekindle/core"
import { Clock, Effect, Option } from "effect"
import { type Account, type StatusEvent, transition } from "./Account.ts"
import type { AccountStore, StoreError } from "./AccountStore.ts"

/**
 * An account in service is as it was while its credential is: whoever waits for a consent, or looks into a lost answer, goes by this time.
 */
export const movedAt = (from: Account, to: Pick<Account, "status" | "generation">, now: number): number =>
  from.status === "ACTIVE" && to.status === "ACTIVE" && to.generation === from.generation ? from.updatedAt : now

/** Makes it. What it gives is the account as written, or as found where the event does not apply; none if there is no such account. */
export const makeApplyEvent = (store: AccountStore["Service"]) =>
  Effect.fnUntraced(function* (
    id: ConnectedAccountId,
    event: StatusEvent,
    {
      applies = () => true,
      changes = () => Effect.succeed({})
    }: {
      /** Asked of the row as it is each time it is read. */
      readonly applies?: (from: Account) => boolean
      /** What else changes with the status. */
      readonly changes?: (from: Account) => Effect.Effect<Partial<Account>>
    } = {}
  ): Effect.fn.Return<Option.Option<Account>, StoreError> {
    while (true) {
      const found = yield* store.find(id)
      if (Option.isNone(found) || !applies(found.value)) return found
      const from = found.value
      const { announce, status, statusReason } = transition(from, event)
      const changed: Account = { ...from, ...(yield* changes(from)), status, statusReason }
      const at = yield* Clock.currentTimeMillis
      const to = { ...changed, updatedAt: movedAt(from, changed, at) }
      if (yield* store.write({ from, to, announce, at })) return Option.some({ ...to, revision: from.revision + 1 })
    }
  })

export type ApplyEvent = ReturnType<typeof makeApplyEvent>
