/** How long a lease has been observed by one process. */
import { assert, describe, it } from "@effect/vitest"
import { ConnectedAccountId } from "@rekindle/core"
import { makeLeaseWatch } from "#engine/renewal/leaseWatch.ts"
import { Effect } from "effect"
import { TestClock } from "effect/testing"

const account = (name: string, epoch: number | null) => ({
  id: ConnectedAccountId.make(`ca_${name}`),
  epoch: epoch ?? 0,
  lease: epoch === null ? null : { owner: "somebody", epoch, until: 0 }
})

describe("the watch on leases", () => {
  it.effect("counts from the first look at a lease, anew for the next lease", () =>
    Effect.gen(function* () {
      const { standsFor } = makeLeaseWatch()
      assert.strictEqual(yield* standsFor(account("one_account", 1)), 0)
      yield* TestClock.adjust("50 minutes")
      assert.strictEqual(yield* standsFor(account("one_account", 1)), 3_000_000)
      yield* TestClock.adjust("50 minutes")
      assert.strictEqual(yield* standsFor(account("one_account", 1)), 6_000_000)
      assert.strictEqual(yield* standsFor(account("one_account", 2)), 0)
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(yield* standsFor(account("one_account", null)), 0)
      assert.strictEqual(yield* standsFor(account("one_account", 2)), 0)
    })
  )

  it.effect("does not grow with the accounts that were once seen under a lease", () =>
    Effect.gen(function* () {
      const { size, standsFor } = makeLeaseWatch()
      for (let n = 0; n < 1_000; n++) yield* standsFor(account(`gone_account${n}`, 1))
      yield* TestClock.adjust("30 minutes")
      yield* standsFor(account("gone_account0", 1))
      yield* TestClock.adjust("31 minutes")
      yield* standsFor(account("new_account", 1))
      assert.strictEqual(size(), 2)
    })
  )
})
