/** Findings of the chaos runs about the time in which an answer is only in this process, on virtual time. */
import { assert, describe, it } from "@effect/vitest"
import { ConnectedAccounts } from "@rekindle/core"
import { Journal, StoreError } from "@rekindle/engine"
import { Effect } from "effect"
import { connected, elapse, type Options, refused, scenario, stored, summary } from "../support/ScriptedEngine.ts"

interface Trouble {
  before: Effect.Effect<void, StoreError>
}

/** A store that runs `trouble` before it writes a new credential. */
const troubled = (trouble: Trouble): Options => ({
  store: (store) => ({
    ...store,
    write: (change) =>
      change.to.generation === change.from.generation
        ? store.write(change)
        : Effect.andThen(
            Effect.suspend(() => trouble.before),
            store.write(change)
          )
  })
})

describe("an answer that the store does not take", () => {
  it.effect("is committed within a second of the store's return, with nobody asking", () => {
    const trouble: Trouble = { before: Effect.fail(new StoreError({ message: "gone" })) }
    return Effect.gen(function* () {
      const { id } = yield* connected()
      assert.strictEqual((yield* refused(id))._tag, "DeadlineExceeded")
      // Longer than the lease. Another process may take the account as soon as the store is back.
      yield* elapse("5 minutes")
      assert.deepInclude(summary(yield* stored(id)), { generation: 1, intent: "open" })
      trouble.before = Effect.void
      yield* elapse("1 second", "100 millis")
      assert.deepInclude(summary(yield* stored(id)), { generation: 2, intent: "closed", leased: false })
      assert.deepStrictEqual(yield* (yield* Journal).all, [])
    }).pipe(scenario(troubled(trouble)))
  })

  it.effect("is in the journal at once, also when the store cannot be interrupted", () =>
    Effect.gen(function* () {
      const accounts = yield* ConnectedAccounts
      const { id } = yield* connected()
      yield* Effect.forkChild(accounts.refresh(id))
      yield* elapse("100 millis", "100 millis")
      assert.strictEqual((yield* (yield* Journal).all).length, 1)
      yield* elapse("5 seconds", "100 millis")
      assert.strictEqual((yield* stored(id)).generation, 2)
      assert.deepStrictEqual(yield* (yield* Journal).all, [])
    }).pipe(scenario(troubled({ before: Effect.uninterruptible(Effect.sleep("5 seconds")) })))
  )
})
