/** The way to the store: what the invariants are told about whether a node reaches it. */
import { assert, describe, it } from "@effect/vitest"
import { Simulation } from "@rekindle/testing"
import { Clock, Effect, Exit, Fiber } from "effect"
import { account } from "../store/storeContract.ts"
import type { Fact } from "./Facts.ts"
import * as ModelStore from "./ModelStore.ts"
import * as StoreWay from "./StoreWay.ts"

/** Runs a world with one node on the way to a store, and returns what was told of whether the node reaches it. */
const told = async (
  act: (way: StoreWay.Way, node: Simulation.Node<void>) => Effect.Effect<unknown>
): Promise<ReadonlyArray<boolean>> => {
  const reaches: Array<boolean> = []
  const outcome = await Simulation.run({ seed: 0, faults: [], promises: false }, (world) => {
    const tell = (fact: Fact) => void (fact._tag === "Reaches" && reaches.push(fact.store))
    const perform: StoreWay.Perform = (effect, _, clock) => Effect.provideService(effect, Clock.Clock, clock)
    const store = world.node("store", () => Effect.succeed(perform), { faults: false })
    const way = StoreWay.make({ world, tell, model: ModelStore.make(), node: store }, { name: "n0" })
    const node = world.node("n0", () => Effect.void, { changed: way.follow })
    return act(way, node)
  })
  assert.isUndefined(outcome.failure, Simulation.report(outcome))
  return reaches
}

const row = account()

describe("the way to the store", () => {
  it("is open again for the process after one that was killed while the store was slow", async () => {
    const reaches = await told((way, node) =>
      Effect.gen(function* () {
        way.holdUp(10_000)
        const writing = node.call(() => way.service.write({ from: row, to: row, announce: [] }))
        yield* Effect.forkScoped(Effect.exit(writing))
        yield* Effect.sleep(1_000)
        yield* node.kill
        yield* node.restart
      }).pipe(Effect.scoped)
    )
    assert.deepStrictEqual(reaches, [false, true])
  })

  it("stays closed to a process that is frozen while the store is slow, and closes the next time too", async () => {
    const reaches = await told((way, node) =>
      Effect.gen(function* () {
        const slowly = Effect.suspend(() => {
          way.holdUp(10_000)
          return Effect.exit(node.call(() => way.service.write({ from: row, to: row, announce: [] })))
        })
        const writing = yield* Effect.forkScoped(slowly)
        yield* Effect.sleep(1_000)
        yield* node.freeze
        yield* Effect.sleep(1_000)
        yield* node.thaw
        yield* Fiber.join(writing)
        yield* slowly
      }).pipe(Effect.scoped)
    )
    assert.deepStrictEqual(reaches, [false, true, false, true])
  })

  it("takes no commits for a while, and everything else", async () => {
    await told((way, node) =>
      Effect.gen(function* () {
        const writes = Effect.exit(node.call(() => way.service.write({ from: row, to: row, announce: [] })))
        way.refuseCommits(10_000)
        assert.isTrue(Exit.isFailure(yield* writes))
        assert.isTrue(Exit.isSuccess(yield* Effect.exit(node.call(() => way.service.find(row.id)))))
        yield* Effect.sleep(10_000)
        assert.isTrue(Exit.isSuccess(yield* writes))
      })
    )
  })
})
