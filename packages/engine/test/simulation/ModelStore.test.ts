/** The model of the account store: it keeps the contract, and what a world does with it. */
import { assert, describe, it } from "@effect/vitest"
import { type AccountStore, StoreError } from "@rekindle/engine"
import { Clock, Effect, Layer, Option } from "effect"
import { account, configRef, startOn, Stores, suite, take } from "../store/storeContract.ts"
import * as ModelStore from "./ModelStore.ts"

const stores = (connected: (store: AccountStore["Service"]) => AccountStore["Service"]) =>
  Layer.sync(Stores, () => {
    const model = ModelStore.make()
    const clear = model.snapshot()
    return {
      connect: Effect.sync(() => connected(model.store)),
      clear: Effect.sync(clear),
      dateIntents: (since, id) =>
        Effect.sync(() => {
          for (const each of id === undefined ? [...model.accounts().keys()] : [id]) {
            model.edit(each, (row) => (row.intent === null ? row : { ...row, intent: { ...row.intent, since } }))
          }
        })
    }
  })

suite(
  "the account store as a model",
  stores((store) => store)
)

suite(
  "the account store as a model, reached on a way on which everything takes its turn",
  stores((store) =>
    ModelStore.reachedOn(store, (_, effect) =>
      Effect.yieldNow.pipe(
        Effect.andThen(effect),
        Effect.tap(() => Effect.yieldNow)
      )
    )
  )
)

const started = Effect.suspend(() => {
  const model = ModelStore.make()
  return Effect.map(startOn(model.store), (start) => ({ model, ...start }))
})

/** Runs with a clock that is that many milliseconds ahead. */
const ahead =
  (millis: number) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>) =>
    Clock.clockWith((clock) =>
      Effect.provideService(effect, Clock.Clock, {
        ...clock,
        sleep: (duration) => clock.sleep(duration),
        currentTimeMillis: Effect.map(clock.currentTimeMillis, (now) => now + millis)
      })
    )

describe("the model of the account store", () => {
  it.effect("comes back as it was remembered, as often as asked, and goes on from there", () =>
    Effect.gen(function* () {
      const { added, model, reread, store } = yield* started
      const one = yield* added({ alias: "work", renewAt: 1 })
      const restore = model.snapshot()
      for (let times = 0; times < 2; times++) {
        yield* take(store, one)
        const to = { ...one, generation: 4, alias: "home", renewAt: 2 }
        assert.isTrue(Option.isSome(yield* store.write({ from: one, to, announce: ["renewed"] })))
        yield* store.remove(yield* added({ alias: "work" }), 1)
        restore()
        assert.deepStrictEqual(yield* reread(one.id), one)
        assert.deepStrictEqual(model.events(), [])
        assert.isFalse(yield* store.insert(account({ alias: "work" })))
        assert.lengthOf(yield* store.claimDue({ config: configRef, now: 1, nextLook: 1, limit: 9 }), 1)
      }
    })
  )

  it.effect("with a clock of its own: nobody's clock takes a lease that holds, and each is told in its own time", () =>
    Effect.gen(function* () {
      const model = ModelStore.make({ clock: () => 1_000_000 })
      const { added, store } = yield* startOn(model.store)
      const begin = (now: number, held = one) => store.begin({ account: held, owner: "o", leaseMillis: 60, now })
      const one = yield* added()
      const held = Option.getOrThrow(yield* begin(5))
      assert.deepStrictEqual([held.lease?.until, held.intent?.since], [65, 5])
      assert.isTrue(Option.isNone(yield* begin(9_000_000, held)))
      const now = yield* Clock.currentTimeMillis
      const { intent, lease } = Option.getOrThrow(yield* ahead(500)(store.find(one.id)))
      assert.deepStrictEqual([lease?.until, intent?.since], [now + 560, now + 500])
    })
  )

  it.effect("every operation passes the way, and what is lost there is not done", () =>
    Effect.gen(function* () {
      const { model } = yield* started
      const passed: Array<string> = []
      const lost = ModelStore.reachedOn(model.store, (operation) => {
        passed.push(operation)
        return Effect.fail(new StoreError({ message: "lost" }))
      })
      const one = account()
      const { doubtAll, forgottenThrough, insert, listCanaries } = lost
      yield* Effect.flip(insert(one))
      yield* Effect.flip(Effect.asVoid(doubtAll))
      yield* Effect.flip(Effect.asVoid(forgottenThrough))
      yield* Effect.flip(Effect.asVoid(listCanaries))
      assert.sameMembers(passed, ["insert", "doubtAll", "forgottenThrough", "listCanaries"])
      assert.sameMembers(Object.keys(lost), Object.keys(model.store))
      assert.isFalse(model.accounts().has(one.id))
    })
  )
})
