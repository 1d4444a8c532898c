import { assert, describe, it } from "@effect/vitest"
import { Simulation } from "@rekindle/testing"
import { Clock, Console, Deferred, Effect, Exit, HashMap, Option, Random, Ref, type Scope, Semaphore } from "effect"
import { WebCrypto } from "effect/crypto"
import { randomUUID } from "node:crypto"
import { lookup } from "node:dns"
import { connect } from "node:net"
import { Worker } from "node:worker_threads"

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

  it("is the same beside other worlds, and after them", async () => {
    const alone = new Array<Simulation.Outcome>()
    for (const seed of seeds.slice(0, 20)) alone.push(await Simulation.run({ seed, faults }, counting))
    const others = seeds.slice(0, 20).map((seed) => Simulation.run({ seed, faults }, counting))
    assert.deepStrictEqual(await Promise.all(others), alone)
  })

  it("is the same in what Effect itself draws: the ids of spans and the hashes of objects", async () => {
    const keys = Array.from({ length: 50 }, (_, index) => () => index)
    const run = () =>
      Simulation.run({ seed: 1 }, () =>
        Effect.gen(function* () {
          const inner = Effect.withSpan(Effect.orDie(Effect.currentSpan), "inner")
          const [outerTrace, { spanId, traceId }] = yield* Effect.withSpan(
            Effect.zip(
              Effect.map(Effect.orDie(Effect.currentSpan), ({ traceId }) => traceId),
              inner
            ),
            "outer"
          )
          assert.strictEqual(traceId, outerTrace)
          let map = HashMap.empty<() => number, number>()
          for (const key of keys) map = HashMap.set(map, key, key())
          for (const key of Array.from({ length: 9 }, (_, index) => () => index))
            map = HashMap.set(map, key, 100 + key())
          yield* Effect.logWarning("it is", { so: true })
          return [spanId, traceId, ...HashMap.values(map)]
        })
      )
    const once = await run()
    assert.isUndefined(once.failure, once.failure?.message)
    assert.deepStrictEqual(await run(), once)
    assert.match(String(once.value?.[0]), /^[0-9a-f]{16}$/)
    assert.match(String(once.value?.[1]), /^[0-9a-f]{32}$/)
    assert.strictEqual(once.story[0]?.what, 'logs WARN it is {"so":true}')
  })

  it("waits for the promises of Web Crypto in the order of the calls", async () => {
    const run = (seed: number) =>
      Simulation.run({ seed, schedule: "calm" }, (world) =>
        Effect.gen(function* () {
          const { subtle } = yield* WebCrypto.WebCrypto
          const digest = (size: number) =>
            Effect.andThen(
              Effect.promise(() => subtle.digest("SHA-256", new Uint8Array(size))),
              Effect.sync(() => world.note(`has digested ${size}`))
            )
          yield* Effect.all([digest(500_000), digest(1), digest(20_000), Effect.sleep(1)], {
            concurrency: "unbounded"
          })
        })
      )
    for (const seed of seeds.slice(0, 8)) {
      const once = await run(seed)
      assert.isUndefined(once.failure, once.failure?.message)
      assert.deepStrictEqual(await run(seed), once)
      // No time has passed before the longest of them was ready.
      assert.deepStrictEqual(
        once.story.map(({ time, what }) => `${what} at ${time}`),
        [500_000, 1, 20_000].map((size) => `has digested ${size} at 0`)
      )
    }
  })

  it("waits for a promise also while there is always something to do", async () => {
    const promised = Effect.promise(() => Promise.resolve().then(() => 1))
    assert.strictEqual(await valueOf(() => Effect.race(Effect.forever(Effect.yieldNow), promised)), 1)
  })

  it("takes steps in every order: a read and a write are parted, and locks are taken crosswise", async () => {
    const readAndWrite = Effect.gen(function* () {
      const ref = yield* Ref.make(0)
      const add = Effect.flatMap(Ref.get(ref), (count) => Ref.set(ref, count + 1))
      yield* Effect.all([add, add], { concurrency: "unbounded" })
      return yield* Ref.get(ref)
    })
    const crosswise = Effect.gen(function* () {
      const one = Semaphore.withPermits(yield* Semaphore.make(1), 1)
      const other = Semaphore.withPermits(yield* Semaphore.make(1), 1)
      yield* Effect.all([one(other(Effect.void)), other(one(Effect.void))], { concurrency: "unbounded" })
    })
    const counts = new Set<number | undefined>()
    const ends = new Set<string | undefined>()
    for (const seed of seeds.slice(0, 50)) {
      counts.add((await Simulation.run({ seed }, () => readAndWrite)).value)
      ends.add((await Simulation.run({ seed }, () => crosswise)).failure?.kind)
    }
    assert.sameMembers([...counts], [1, 2])
    assert.sameMembers([...ends], [undefined, "stalled"])
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

/** A world that ends well, or the failure. */
const valueOf = async <A>(
  program: (world: Simulation.World) => Effect.Effect<A, unknown, Scope.Scope>,
  settings: Partial<Simulation.Settings> = {}
): Promise<A | undefined> => {
  const { failure, value } = await Simulation.run({ seed: 1, ...settings }, program)
  assert.isUndefined(failure, failure?.message)
  return value
}

const failureOf = async (
  program: (world: Simulation.World) => Effect.Effect<unknown, unknown, Scope.Scope>,
  settings: Partial<Simulation.Settings> = {}
): Promise<Simulation.Failure> => {
  const { failure, value } = await Simulation.run({ seed: 1, ...settings }, program)
  assert.isUndefined(value)
  return failure ?? assert.fail("the world did not fail")
}

describe("the time of a world", () => {
  it("passes on every node, and monotonic time never jumps", () =>
    valueOf((world) =>
      Effect.gen(function* () {
        const read = Effect.all([Clock.currentTimeMillis, Clock.monotonicTimeNanos])
        const node = world.node("a", () => Effect.succeed({ read }))
        const [wall, monotonic] = yield* node.call(({ read }) => read)
        node.wallClock.skew = -3_600_000
        yield* Effect.sleep("10 minutes")
        const [wallLater, monotonicLater] = yield* node.call(({ read }) => read)
        assert.approximately(wallLater - wall, -3_000_000, 100)
        assert.approximately(Number(monotonicLater - monotonic) / 1e6, 600_000, 100)
      })
    ))

  it("does not wait for a sleep that was interrupted", async () => {
    const outcome = await Simulation.run({ seed: 1 }, () =>
      Effect.andThen(Effect.race(Effect.sleep("1 hour"), Effect.sleep("1 second")), Effect.never)
    )
    assert.strictEqual(outcome.failure?.kind, "stalled")
    assert.isBelow(outcome.time, 2000)
  })

  it("wakes sleepers in the order of their time", () =>
    valueOf(
      () =>
        Effect.gen(function* () {
          const woken = new Array<readonly [time: number, place: number]>()
          const times = yield* Effect.replicateEffect(Random.nextIntBetween(1, 300), 1000)
          yield* Effect.forEach(
            times,
            (time, place) =>
              Effect.andThen(
                Effect.sleep(time),
                Effect.sync(() => woken.push([time, place]))
              ),
            { concurrency: "unbounded" }
          )
          assert.deepStrictEqual(
            woken,
            times.map((time, place) => [time, place] as const).toSorted(([one], [other]) => one - other)
          )
        }),
      { schedule: "calm" }
    ))
})

describe("a killed node", () => {
  /** Runs a program that holds a file open on the node, and does something to the node in the middle. */
  const left =
    (act: (node: Simulation.Node<{ readonly work: Effect.Effect<void> }>) => Effect.Effect<void>) =>
    (world: Simulation.World) =>
      Effect.gen(function* () {
        const log = new Array<string>()
        const node = world.node("a", () =>
          Effect.gen(function* () {
            log.push("starts")
            yield* Effect.addFinalizer(() => Effect.sync(() => log.push("finalizer")))
            yield* Effect.forkScoped(
              Effect.andThen(
                Effect.sleep(1000),
                Effect.sync(() => log.push("timer"))
              )
            )
            return {
              work: Effect.ensuring(
                Effect.sleep(2000),
                Effect.sync(() => log.push("work ends"))
              )
            }
          })
        )
        const call = yield* Effect.forkChild(
          Effect.match(
            node.call(({ work }) => work),
            { onFailure: ({ reason }) => reason, onSuccess: () => "answered" }
          )
        )
        yield* Effect.sleep(500)
        yield* act(node)
        yield* Effect.sleep(10_000)
        log.push(node.isRunning() ? "runs" : "is gone")
        const exit = call.pollUnsafe()
        log.push(exit === undefined ? "no answer" : Exit.isSuccess(exit) ? exit.value : "died")
        return log
      })

  it("runs no finalizer, no timer and no task any more, and its callers see a reset", async () => {
    assert.deepStrictEqual(await valueOf(left((node) => node.kill)), ["starts", "is gone", "reset"])
  })
  it("runs nothing of the step in which it killed itself", () =>
    valueOf((world) =>
      Effect.gen(function* () {
        let isAfter = false
        world.node("a", (node) =>
          Effect.gen(function* () {
            yield* Effect.ensuring(
              node.kill,
              Effect.sync(() => (isAfter = true))
            )
            isAfter = true
          })
        )
        yield* Effect.sleep(1000)
        assert.isFalse(isAfter)
      })
    ))
  it("does not go on when another node completes what it waits for", () =>
    valueOf((world) =>
      Effect.gen(function* () {
        const shared = yield* Deferred.make<void>()
        let isAfter = false
        const node = world.node("a", () =>
          Effect.ensuring(
            Deferred.await(shared),
            Effect.sync(() => (isAfter = true))
          )
        )
        yield* Effect.sleep(1000)
        yield* node.kill
        yield* Deferred.succeed(shared, undefined)
        yield* Effect.sleep(1000)
        assert.isFalse(isAfter)
      })
    ))
  it("starts again with what is outside of its program", async () => {
    assert.deepStrictEqual(await valueOf(left((node) => node.restart)), ["starts", "starts", "timer", "runs", "reset"])
  })
  it("tells nobody if it loses power", async () => {
    assert.deepStrictEqual(await valueOf(left((node) => node.losePower)), ["starts", "is gone", "no answer"])
  })
  it("runs its finalizers if it is stopped", async () => {
    assert.deepStrictEqual(await valueOf(left((node) => node.stop)), ["starts", "finalizer", "is gone", "reset"])
  })
  it("goes on late if it is frozen and thawed", async () => {
    const pause = (node: Simulation.Node<{ readonly work: Effect.Effect<void> }>) =>
      Effect.gen(function* () {
        yield* node.freeze
        yield* Effect.sleep("1 minute")
        yield* node.thaw
      })
    assert.sameMembers((await valueOf(left(pause))) ?? [], ["starts", "timer", "work ends", "runs", "answered"])
  })
  it("does nothing while it is frozen", async () => {
    assert.deepStrictEqual(await valueOf(left((node) => node.freeze)), ["starts", "runs", "no answer"])
  })
  it("is started again after a kill, although somebody thaws it while it is down", async () => {
    const kill = { site: "node a", at: 0, what: "kill", amount: 0.5 }
    const outcome = await Simulation.run({ seed: 1, faults: [kill] }, (world) =>
      Effect.gen(function* () {
        const node = world.node("a", () => Effect.yieldNow)
        yield* Effect.sleep(10)
        assert.isFalse(node.isRunning())
        yield* node.thaw
        yield* Effect.sleep("1 minute")
        return node.isRunning()
      })
    )
    assert.strictEqual(outcome.failure, undefined)
    assert.isTrue(outcome.value)
  })
  it("refuses calls until its program has returned its service", () =>
    valueOf((world) =>
      Effect.gen(function* () {
        const node = world.node("a", () => Effect.as(Effect.sleep(1000), { answer: Effect.succeed(1) }))
        const early = yield* Effect.flip(node.call(({ answer }) => answer))
        assert.deepStrictEqual(early, new Simulation.NetworkError({ reason: "refused" }))
        yield* Effect.sleep(2000)
        assert.strictEqual(yield* node.call(({ answer }) => answer), 1)
      })
    ))
})

describe("a network", () => {
  it("brings no answer to the life after the one that asked", () =>
    valueOf((world) =>
      Effect.gen(function* () {
        const answered = new Array<number>()
        let lives = 0
        const slow = world.node("slow", () => Effect.succeed({ answer: Effect.as(Effect.sleep(1000), 1) }))
        const node = world.node("a", () =>
          Effect.gen(function* () {
            const life = ++lives
            yield* Effect.sleep(10)
            yield* Effect.ignore(slow.call(({ answer }) => answer))
            answered.push(life)
          })
        )
        yield* Effect.sleep(500)
        yield* node.restart
        yield* Effect.sleep(10_000)
        assert.deepStrictEqual(answered, [2])
      })
    ))

  it("carries nothing between two nodes that are cut off from each other", () =>
    valueOf((world) =>
      Effect.gen(function* () {
        const store = world.node("store", () => Effect.succeed({ answer: Effect.succeed(1) }))
        const ask = Effect.option(
          Effect.timeout(
            store.call(({ answer }) => answer),
            1000
          )
        )
        const node = world.node("a", () => Effect.succeed({ ask }))
        yield* Effect.sleep(10)
        yield* world.partition(node, store, "1 minute")
        assert.isTrue(Option.isNone(yield* node.call(({ ask }) => ask)))
        assert.isTrue(Option.isSome(yield* ask))
        yield* Effect.sleep("1 minute")
        assert.isTrue(Option.isSome(yield* node.call(({ ask }) => ask)))
      })
    ))

  it("tells a caller of each fault what a real one tells", async () => {
    const heard = new Map<string, Set<string>>()
    for (const seed of seeds) {
      const rates = Object.fromEntries(
        ["refuse", "drop-request", "drop-answer", "duplicate", "delay", "partition"].map((kind) => [kind, 0.5])
      )
      const outcome = await Simulation.run({ seed, faults: rates }, (world) =>
        Effect.gen(function* () {
          let carriedOut = 0
          const store = world.node("store", () => Effect.succeed({ add: Effect.sync(() => ++carriedOut) }))
          yield* Effect.sleep(10)
          const answer = yield* Effect.match(
            Effect.timeoutOption(
              store.call(({ add }) => add),
              "5 minutes"
            ),
            {
              onFailure: ({ reason }) => reason,
              onSuccess: (answer) => (Option.isSome(answer) ? "answered" : "silence")
            }
          )
          return `${answer}, done ${carriedOut}`
        })
      )
      const what = outcome.faults[0]?.what ?? "nothing"
      heard.set(what, (heard.get(what) ?? new Set()).add(outcome.value ?? ""))
    }
    assert.deepStrictEqual(
      Object.fromEntries(Array.from(heard, ([what, answers]) => [what, [...answers].toSorted()])),
      {
        nothing: ["answered, done 1"],
        refuse: ["refused, done 0"],
        "drop-request": ["reset, done 0", "silence, done 0"],
        "drop-answer": ["reset, done 1", "silence, done 1"],
        duplicate: ["answered, done 1", "answered, done 2"],
        delay: ["answered, done 1"],
        partition: ["silence, done 0"]
      }
    )
  })
})

describe("a disk", () => {
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes)
  const bytes = (text: string) => new TextEncoder().encode(text)

  it("keeps what was written when the process is killed, and what was synced when power is lost", async () => {
    const found = new Set<string>()
    for (const seed of seeds) {
      const kept = await valueOf(
        (world) =>
          Effect.gen(function* () {
            const node = world.node("a", () => Effect.succeed({}))
            const { disk } = node
            const file = disk.create("log")
            file.write(bytes("one\n"), 0)
            file.sync()
            disk.sync()
            file.write(bytes("two\n"), 4)
            file.write(bytes("ONE\n"), 0)
            disk.create("new")
            disk.rename("log", "renamed")
            disk.rename("renamed", "log")
            disk.remove("new")
            yield* node.kill
            assert.strictEqual(text(disk.read("log")), "ONE\ntwo\n")
            yield* node.losePower
            const log = disk.names().find((name) => name === "log" || name === "renamed") ?? ""
            return `${JSON.stringify(text(disk.read(log)))} ${disk.names().toSorted().join()}`
          }),
        { seed }
      )
      found.add(kept ?? "")
    }
    const contents = ["one\n", "one\nt", "one\ntw", "one\ntwo", "one\ntwo\n", "One\ntwo\n", "ONe\ntwo\n", "ONE\ntwo\n"]
    const names = ["log", "log,new", "new,renamed", "renamed"]
    assert.deepStrictEqual(
      [...new Set(Array.from(found, (kept) => kept.split(" ")[1] ?? ""))].toSorted(),
      names.slice(0, 3)
    )
    assert.deepStrictEqual(
      [...new Set(Array.from(found, (kept) => kept.split(" ")[0] ?? ""))].toSorted(),
      contents.map((content) => JSON.stringify(content)).toSorted()
    )
  })

  it("has on it what was written before a flush that has ended, and not what was written since", async () => {
    const found = new Set<string>()
    for (const seed of seeds.slice(0, 50)) {
      await valueOf(
        (world) =>
          Effect.gen(function* () {
            const flushed = yield* Deferred.make<void>()
            const node = world.node("a", ({ disk }) =>
              Effect.gen(function* () {
                const file = disk.create("log")
                disk.sync()
                file.write(bytes("12"), 0)
                yield* Effect.callback<void>((resume) => {
                  file.flush(() => resume(Effect.void))
                  file.write(bytes("34"), 2)
                })
                yield* Deferred.succeed(flushed, undefined)
              })
            )
            yield* Deferred.await(flushed)
            yield* node.losePower
            found.add(text(node.disk.read("log")))
          }),
        { seed }
      )
    }
    assert.sameMembers([...found], ["12", "123", "1234"])
  })

  it("is full: what is reserved can still be written", () =>
    valueOf((world) =>
      Effect.sync(() => {
        const { disk } = world.node("a", () => Effect.succeed({}))
        disk.capacity = 10
        const file = disk.create("log")
        file.zero(8)
        assert.throws(() => disk.create("other").zero(3), /no space/)
        disk.remove("other")
        assert.strictEqual(file.write(bytes("12345678"), 0), 8)
        assert.strictEqual(file.write(bytes("12345678abcdef"), 0), 10)
        assert.throws(() => file.write(bytes("abc"), 10), /no space/)
      })
    ))

  it("lets go of a lock when its process ends", () =>
    valueOf((world) =>
      Effect.gen(function* () {
        const node = world.node("a", (node) =>
          Effect.sync(() => ({ lock: Effect.sync(() => node.disk.lock("lock") !== undefined) }))
        )
        yield* Effect.sleep(10)
        const lock = node.call(({ lock }) => lock)
        assert.isTrue(yield* lock)
        assert.isFalse(yield* lock)
        // The name of the file is free, and its lock is still held by whoever has the file.
        node.disk.remove("lock")
        assert.isTrue(yield* lock)
        assert.isFalse(yield* lock)
        yield* node.restart
        yield* Effect.sleep(10)
        assert.isTrue(yield* lock)
      })
    ))

  it("ends the process within a write, and fails, by the faults of the world", async () => {
    const ends = new Set<string>()
    for (const seed of seeds) {
      const outcome = await Simulation.run(
        { seed, faults: { "disk-torn": 0.1, "disk-fails": 0.1, "disk-full": 0.1, "disk-slow": 0.1 } },
        (world) =>
          Effect.gen(function* () {
            const seen = new Set<string>()
            let wrong = ""
            const node = world.node("a", ({ disk, isRunning }) =>
              Effect.gen(function* () {
                const file = disk.names().includes("log")
                  ? disk.open("log")
                  : yield* Effect.sync(() => disk.create("log")).pipe(Effect.retry({ times: 3 }))
                for (let write = 0; write < 5; write++) {
                  const size = file.size()
                  yield* Effect.try(() => file.write(bytes("record\n"), size)).pipe(
                    Effect.tap((written) => Effect.sync(() => seen.add(written === 7 ? "written" : "in part"))),
                    Effect.catch((error) =>
                      Effect.sync(() =>
                        seen.add(error.cause instanceof Simulation.DiskError ? error.cause.reason : "?")
                      )
                    )
                  )
                  if (!isRunning()) wrong = "a killed process went on"
                }
              }).pipe(Effect.catchDefect(() => Effect.void))
            )
            yield* Effect.sleep("10 minutes")
            assert.isTrue(node.isRunning())
            return [wrong, ...seen]
          })
      )
      assert.isUndefined(outcome.failure, outcome.failure?.message)
      for (const end of outcome.value ?? []) ends.add(end)
      for (const fault of outcome.faults) ends.add(fault.what)
    }
    assert.sameMembers(
      [...ends],
      ["", "written", "in part", "failed", "full", "disk-torn", "disk-fails", "disk-full", "disk-slow"]
    )
  })
})

describe("a run fails", () => {
  it("if its program fails or dies", async () => {
    const failed = await failureOf(() => Effect.fail(new Simulation.NetworkError({ reason: "reset" })))
    assert.deepInclude(failed, { kind: "program", name: "world", message: "NetworkError: the connection was reset" })
    const died = await failureOf(() => Effect.die("broken"))
    assert.deepInclude(died, { kind: "program", name: "world", message: "broken" })
    const thrown = await failureOf(() => {
      throw new RangeError("thrown")
    })
    assert.deepInclude(thrown, { kind: "program", name: "world", message: "RangeError: thrown" })
  })
  it("if the program of a node dies", async () => {
    const failure = await failureOf((world) =>
      Effect.andThen(
        Effect.sync(() => world.node("a", () => Effect.die(new Error("no")))),
        Effect.never
      )
    )
    assert.deepInclude(failure, { kind: "program", name: "a", message: "Error: no" })
  })
  it("if what it is told of a step throws, and if two nodes have one name", async () => {
    const invariant = await failureOf((world) =>
      Effect.sync(() =>
        world.invariant("broken", () => {
          throw new Error("in an invariant")
        })
      )
    )
    assert.deepInclude(invariant, { kind: "program", message: "Error: in an invariant" })
    const twice = await failureOf((world) =>
      Effect.sync(() => {
        world.node("a", () => Effect.void)
        world.node("a", () => Effect.void)
      })
    )
    assert.deepInclude(twice, { kind: "misuse", message: "there is a node a already" })
  })
  it("if it never ends: in steps, or in time, and names who was busy", async () => {
    const busy = await failureOf(
      (world) =>
        Effect.gen(function* () {
          world.node("a", () => Effect.forever(Effect.yieldNow))
          return yield* Effect.never
        }),
      { maxSteps: 1000 }
    )
    assert.deepInclude(busy, { kind: "endless", step: 1000 })
    assert.match(busy.message, /^the program has not ended after \d+ ms and 1000 steps: 99\d of a, \d of world$/)
    const asleep = await failureOf(() => Effect.forever(Effect.sleep("1 day")))
    assert.strictEqual(asleep.kind, "endless")
    assert.isBelow(asleep.step, 100)
  })
  it("if nothing is left to do, and names who waits for what", async () => {
    const wait = Effect.fn("theWait")(function* () {
      return yield* Effect.promise(() => new Promise(() => {}))
    })
    const promise = await failureOf(() => wait())
    assert.strictEqual(promise.kind, "stalled")
    assert.match(
      promise.message,
      /^nothing is left to do.*\nworld waits for a promise of the real world in theWait \(.*Simulation\.test\.ts:\d+:\d+\)$/
    )
    const deferred = await failureOf((world) =>
      Effect.gen(function* () {
        const node = world.node("a", () => Effect.succeed({ wait: Effect.withSpan(Effect.never, "work") }))
        yield* Effect.sleep(1)
        return yield* node.call(({ wait }) => wait)
      })
    )
    const [, caller, handler] = deferred.message.split("\n")
    assert.strictEqual(
      caller,
      "world waits for an answer of a in code without a name: Effect.fn and Effect.withSpan give it one"
    )
    assert.match(handler ?? "", /^a waits for something in work \(.*Simulation\.test\.ts:\d+:\d+\)$/)
  })
  it("if an invariant does not hold after a step", async () => {
    const failure = await failureOf((world) =>
      Effect.gen(function* () {
        let balance = 10
        world.invariant("nobody owes", () => (balance < 0 ? `the balance is ${balance}` : undefined))
        while (true) {
          yield* Effect.sleep(10)
          balance -= 4
        }
      })
    )
    assert.deepInclude(failure, { kind: "invariant", name: "nobody owes", message: "the balance is -2" })
  })
  it("if what is waited for does not come in time", async () => {
    const failure = await failureOf((world) => world.until("peace", "1 hour", () => false))
    assert.deepInclude(failure, { kind: "liveness", name: "peace", message: "did not come within 1h" })
    await valueOf((world) =>
      world
        .until("an hour", "2 hours", () => world.now() > 3_600_000)
        .pipe(Effect.race(Effect.forever(Effect.sleep(60_000))))
    )
  })
  it.each<[string, () => unknown]>([
    ["Date.now", () => Date.now()],
    ["Date", () => new Date()],
    ["performance.now", () => performance.now()],
    ["process.hrtime.bigint", () => process.hrtime.bigint()],
    ["Math.random", () => Math.random()],
    ["crypto.randomUUID", () => crypto.randomUUID()],
    ["crypto.getRandomValues", () => crypto.getRandomValues(new Uint8Array(1))],
    ["node:crypto randomUUID", () => randomUUID()],
    ["setTimeout", () => setTimeout(() => {}, 0)],
    ["setImmediate", () => setImmediate(() => {})],
    ["fetch", () => fetch("http://127.0.0.1:1")],
    ["node:net Socket.connect", () => connect(1)],
    ["node:worker_threads Worker", () => new Worker("", { eval: true })],
    ["node:dns lookup", () => lookup("localhost", () => {})],
    ["setImmediate", () => Effect.runFork(Effect.yieldNow)]
  ])("if a step uses %s, and names the line", async (name, use) => {
    const failure = await failureOf(() => Effect.sync(use))
    assert.deepInclude(failure, { kind: "tripwire", name })
    assert.match(failure.message, /^world used .* in .*Simulation\.test\.ts:\d+:\d+/)
  })
  it("not by what is outside of its steps, nor by a time that is given", async () => {
    const later = setImmediate
    const turn = () => new Promise<void>((resolve) => void later(resolve))
    await turn()
    const { random } = Math
    assert.isUndefined((await Simulation.run({ seed: 1 }, () => Effect.void)).failure)
    // Somebody else, such as the setup of a test, takes the place of a tripwire between two worlds.
    const other = () => 1
    Math.random = other
    assert.strictEqual((await failureOf(() => Effect.sync(() => Math.random()))).kind, "tripwire")
    await turn()
    assert.strictEqual(Math.random, other)
    Math.random = random
    const { Date: Before } = globalThis
    await valueOf((world) =>
      Effect.gen(function* () {
        yield* Effect.promise(() => Promise.resolve().then(() => void Date.now()))
        world.note(new Date(0).toISOString())
        assert.instanceOf(new Date(0), Date)
      })
    )
    await turn()
    assert.strictEqual(Math.random, random)
    assert.strictEqual(globalThis.Date, Before)
  })
})

describe("what makes no sense fails the run as misuse", () => {
  const fault = { site: "node a", at: 1, what: "kill", amount: 0.5 }
  it.each<[string, Partial<Simulation.Settings>]>([
    ["the seed is NaN", { seed: Number.NaN }],
    ["the seed is 1.5", { seed: 1.5 }],
    ["the schedule is 0.5", { schedule: 0.5 }],
    ["maxSteps is NaN", { maxSteps: Number.NaN }],
    ["maxTime is -1", { maxTime: -1 }],
    ["the size nodes is 0.5", { sizes: { nodes: 0.5 } }],
    ["the rate of kill is 3", { faults: { kill: 3 } }],
    ["the rate of kill is NaN", { faults: { kill: Number.NaN } }],
    ["from 0 to 1", { faults: [{ ...fault, amount: 7 }] }],
    ["a whole number from 0 on", { faults: [{ ...fault, at: -1 }] }]
  ])("%s", async (message, settings) => {
    const failure = await failureOf(() => Effect.die("it was run"), settings)
    assert.deepInclude(failure, { kind: "misuse", name: "settings", step: 0 })
    assert.include(failure.message, message)
  })
  it.each<[string, (world: Simulation.World) => unknown]>([
    ["the size nodes is from 5 to 2", (world) => world.size("nodes", 5, 2)],
    ["the size nodes is from 0.5 to 2", (world) => world.size("nodes", 0.5, 2)],
    ['no node can have the name "world"', (world) => world.node("world", () => Effect.void)]
  ])("%s", async (message, use) => {
    const failure = await failureOf((world) => Effect.sync(() => use(world)))
    assert.strictEqual(failure.kind, "misuse")
    assert.include(failure.message, message)
  })
  it("a fault that its site does not have, which was taken for a jump of the clock", async () => {
    const program = (world: Simulation.World) =>
      Effect.andThen(
        Effect.sync(() => world.node("a", () => Effect.void)),
        Effect.sleep("1 second")
      )
    const failure = await failureOf(program, { faults: [{ ...fault, what: "kil" }] })
    assert.deepInclude(failure, { kind: "misuse", name: "faults" })
    assert.match(failure.message, /^the site node a has no fault kil, only kill, power-loss/)
  })
  it("a call from outside of the world, which was never answered", async () => {
    let node: Simulation.Node<number> | undefined
    await valueOf((world) => Effect.sync(() => (node = world.node("a", () => Effect.succeed(1)))))
    const exit = await Effect.runPromiseExit(node?.call(Effect.succeed) ?? Effect.void)
    assert.include(String(exit), "a is called from outside of its world")
  })
})

describe("the story", () => {
  it("has fibers that die beside their program, and what is printed with Effect's Console", async () => {
    const { failure, story } = await Simulation.run({ seed: 1 }, (world) =>
      Effect.gen(function* () {
        world.node("worker", () =>
          Effect.forkScoped(Effect.andThen(Console.log("starts", { jobs: 2 }), Effect.die(new Error("no job"))))
        )
        yield* Effect.sleep("1 second")
      })
    )
    assert.isUndefined(failure)
    assert.deepStrictEqual(
      story.map(({ node, what }) => `${node} ${what}`),
      ['worker prints starts {"jobs":2}', "worker has a fiber that died: Error: no job"]
    )
  })
})

/** A node that forgets what it was told by the second kill after the third call. The other faults do no harm. */
const forgetful = (world: Simulation.World) =>
  Effect.gen(function* () {
    let kept = 0
    const bystanders = world.size("bystanders", 2, 9)
    for (let index = 0; index < bystanders; index++) world.node(`bystander ${index}`, () => Effect.succeed({}))
    const node = world.node("a", () => Effect.succeed({ add: Effect.sync(() => void kept++) }), {
      changed: (to) => {
        if (to === "ended") kept = Math.max(0, kept - 100)
      }
    })
    for (let told = 1; told <= 10; told++) {
      yield* Effect.sleep(70_000)
      if (node.isRunning())
        yield* Effect.timeout(
          node.call(({ add }) => add),
          5000
        ).pipe(Effect.ignore)
      if (told > 3 && kept === 0) return yield* Effect.die("it forgot")
    }
  })

describe("faults that are given", () => {
  const at = (place: number, what: string, amount = 0.5, site = "node a") => ({ site, at: place, what, amount })

  it("strike in any order in which they are given, and no more once the world is healed", async () => {
    const plan = [at(9, "freeze"), at(3, "clock-jump"), at(6, "clock-jump"), at(400, "kill", 1)]
    const outcome = await Simulation.run({ seed: 1, faults: plan }, (world) =>
      Effect.gen(function* () {
        const node = world.node("a", () => Effect.forkScoped(Effect.forever(Effect.sleep(10))))
        yield* world.until("frozen", "1 minute", () => world.now() > 1000)
        node.wallClock.skew += 5
        yield* world.heal
        assert.strictEqual(node.wallClock.skew, 0)
        yield* Effect.sleep("1 minute")
        assert.isTrue(node.isRunning())
      })
    )
    assert.isUndefined(outcome.failure, outcome.failure?.message)
    assert.deepStrictEqual(
      outcome.faults.map(({ at }) => at),
      [3, 6, 9]
    )
  })

  it("end what they did themselves, and nothing else", () =>
    // Killed for a minute, started again by hand after half of it, and killed for a minute once more.
    valueOf(
      (world) =>
        Effect.gen(function* () {
          const node = world.node("a", () => Effect.forkScoped(Effect.forever(Effect.sleep(10))))
          const isRunning = new Array<boolean>()
          yield* Effect.sleep(30_000)
          isRunning.push(node.isRunning())
          yield* node.restart
          yield* Effect.sleep(10_000)
          isRunning.push(node.isRunning())
          yield* Effect.sleep(30_000)
          isRunning.push(node.isRunning())
          yield* Effect.sleep(30_000)
          isRunning.push(node.isRunning())
          assert.deepStrictEqual(isRunning, [false, false, false, true])
        }),
      { faults: [at(0, "kill", 1), at(9, "kill", 1)] }
    ))

  it("are told if a finalizer dies while its node is stopped", async () => {
    const failure = await failureOf((world) =>
      Effect.gen(function* () {
        const node = world.node("a", () => Effect.addFinalizer(() => Effect.die("cannot close")))
        yield* Effect.sleep(10)
        yield* node.stop
        return yield* Effect.never
      })
    )
    assert.deepInclude(failure, { kind: "program", name: "a", message: "cannot close" })
  })
})

// In the suite itself, as an application has it.
Simulation.makeMethods(it).simulate("a count is counted in every world", { seeds: 20, faults }, counting)

describe("a failed run", () => {
  const rates = { ...faults, kill: 0.1 }
  const again = (settings: Simulation.Settings) => Simulation.run(settings, forgetful)

  it("fails again with its faults given, and with fewer of them", async () => {
    let reduced = 0
    for (let seed = 0; reduced < 4; seed++) {
      const failed = await again({ seed, faults: rates })
      if (failed.failure === undefined) continue
      assert.deepStrictEqual(await again(failed), failed)
      const shrunk = await Simulation.shrink(
        failed,
        async (settings) => {
          const tried = await again(settings)
          // What does not fail as soon is not waited for.
          assert.isAtMost(tried.steps, Math.max(1000, 4 * failed.steps))
          return tried
        },
        { maxRuns: 200 }
      )
      assert.strictEqual(shrunk.failure?.message, "it forgot")
      assert.isAbove(failed.faults.length, 2)
      assert.isBelow(shrunk.faults.length, failed.faults.length)
      assert.isBelow(shrunk.steps, failed.steps)
      assert.deepStrictEqual(shrunk.sizes, { bystanders: 2 })
      assert.deepStrictEqual(await again(shrunk), shrunk)
      reduced++
    }
  })
  it("is printed with its story and how to repeat it", async () => {
    const failed = await Simulation.run({ seed: 7 }, (world) =>
      Effect.sync(() => world.note("is here")).pipe(
        Effect.andThen(Effect.sleep(1500)),
        Effect.andThen(Effect.die(new Error("too late")))
      )
    )
    const lines = Simulation.report(failed).split("\n")
    assert.match(lines[0] ?? "", /^ +0\.\d{3} s +#\d  world  is here$/)
    assert.match(lines.at(-2) ?? "", /^in .*Simulation\.test\.ts:\d+:\d+/)
    assert.deepStrictEqual(lines.toSpliced(-2, 1).slice(-2), [
      "Error: too late",
      'repeat it with {"seed":7,"schedule":0,"sizes":{},"faults":[]}'
    ])
  })
  it("is the message of it.simulate", async () => {
    let test = async () => {}
    const { simulate } = Simulation.makeMethods((_name: string, run: () => Promise<void>) => {
      test = run
    })
    simulate("never forgets", { seeds: 100, faults: rates }, forgetful)
    const error = await test().then(
      () => assert.fail("it passed"),
      (error: unknown) => {
        // Not the `Cause` of Effect: vitest prints the stack of an error only.
        assert.strictEqual(error instanceof Error ? error.cause : undefined, "it forgot")
        return String(error)
      }
    )
    assert.match(error, /^Error: seed \d+ fails\n\n/)
    assert.match(error, /a +is killed for/)
    let runs = 0
    simulate("is decided by the seed", { seeds: 1 }, () => Effect.andThen(Effect.sleep(++runs), Effect.die("too late")))
    assert.include(await test().then(String, String), "seed 0 fails, and is not the same in a second run")
    simulate("has no seed", { seeds: 0 }, forgetful)
    assert.include(await test().then(String, String), "seeds is 0")
    simulate("has a fault that is misspelt", { seeds: 3, faults: { kil: 0.1, "disk-full": 0.1 } }, () => Effect.void)
    assert.include(await test().then(String, String), "no world has a site with the fault kil:")
    simulate("forgets nothing when nothing goes wrong", { seeds: 10 }, forgetful)
    await test()
  })
})

it("a world that waits for no promise runs in one go, and what waits for one in it stands still", async () => {
  let isOver = false
  const program = Effect.map(Effect.sleep("1 hour"), () => {
    isOver = true
  })
  const running = Simulation.run({ seed: 1, promises: false }, () => program)
  assert.isTrue(isOver)
  await running
  const stalled = await Simulation.run({ seed: 1, promises: false }, () => Effect.promise(() => Promise.resolve()))
  assert.strictEqual(stalled.failure?.kind, "stalled")
})
