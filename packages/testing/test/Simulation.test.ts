import { assert, describe, it } from "@effect/vitest"
import { Simulation } from "@rekindle/testing"
import { Clock, Deferred, Effect, Random } from "effect"
import { WebCrypto } from "effect/crypto"

const seeds = Array.from({ length: 300 }, (_, seed) => seed)

/** Clients that add to a counter, which reads, waits and writes. */
const counting = (world: Simulation.World) =>
  Effect.gen(function* () {
    const disk = { count: 0 }
    const counter = world.node("counter", () =>
      Effect.succeed({
        add: Effect.gen(function* () {
          const before = disk.count
          yield* Effect.yieldNow
          disk.count = before + 1
          world.note(`counts ${disk.count}`)
          return disk.count
        })
      })
    )
    const clients = world.size("clients", 1, 4)
    yield* Effect.forEach(
      Array.from({ length: clients }, (_, index) => index),
      (index) =>
        Effect.gen(function* () {
          const chosen = yield* Deferred.make<number>()
          world.node(
            `client ${index}`,
            () =>
              Effect.gen(function* () {
                yield* Effect.sleep(yield* Random.nextIntBetween(0, 1000))
                const crypto = yield* WebCrypto.WebCrypto
                world.note(crypto.randomUUID())
                const count = yield* counter.call(({ add }) => add).pipe(Effect.timeout("10 seconds"), Effect.option)
                world.note(`hears ${count._tag} at ${yield* Clock.currentTimeMillis}`)
                yield* Deferred.succeed(chosen, 1)
              }),
            { faults: false }
          )
          return yield* Deferred.await(chosen)
        }),
      { concurrency: "unbounded" }
    )
    return disk.count
  })

const faults: Simulation.FaultRates = {
  kill: 0.02,
  freeze: 0.02,
  "clock-jump": 0.02,
  refuse: 0.1,
  "drop-request": 0.1,
  "drop-answer": 0.1,
  duplicate: 0.1,
  delay: 0.1,
  partition: 0.1
}

describe("a world", () => {
  it("is the same whenever it is run", async () => {
    const prints = new Set<number>()
    for (const seed of seeds) {
      const once = await Simulation.run({ seed, faults }, counting)
      const again = await Simulation.run({ seed, faults }, counting)
      assert.deepStrictEqual(again, once)
      assert.isUndefined(once.failure, JSON.stringify(once.failure))
      prints.add(once.fingerprint)
    }
    assert.isAbove(prints.size, 290)
  })

  it("tells what becomes of a node, and when everything has been done", async () => {
    const { failure, value } = await Simulation.run({ seed: 1 }, (world) =>
      Effect.gen(function* () {
        const changes: Array<string> = []
        const node = world.node("a", () => Effect.succeed({}), { changed: (to) => changes.push(to) })
        const rests = world.rests()
        yield* Effect.sleep(1000)
        assert.isAtLeast(world.now(), 1000)
        assert.isAbove(world.rests(), rests)
        yield* node.freeze
        yield* node.thaw
        yield* node.kill
        yield* node.restart
        return changes
      })
    )
    assert.isUndefined(failure)
    assert.deepStrictEqual(value, ["running", "frozen", "running", "ended", "running"])
  })
})
