/** The journal over a simulated disk: the disk behaves as the real one, and the process may end within any write. */
import { assert, describe, it } from "@effect/vitest"
import { ConnectedAccountId } from "@rekindle/core"
import { type DiskFile, Journal, type JournalDisk, Sealed } from "@rekindle/engine"
import { Simulation } from "@rekindle/testing"
import { Effect, Logger } from "effect"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { open } from "#engine/renewal/journalFiles.ts"
import { openDirectory } from "#engine/renewal/nodeDisk.ts"

const bytes = (text: string) => new TextEncoder().encode(text)
const text = (content: Uint8Array) => new TextDecoder().decode(content).replace(/\0+$/, "")

const record = (text: string) => ({
  accountId: ConnectedAccountId.make("ca_journaljournal"),
  sealed: Sealed.make(`v2.k.${text}`)
})

const sealedIn = ({ records }: ReturnType<ReturnType<typeof open>["takeOver"]>) =>
  records.map(({ record }) => record.sealed.slice("v2.k.".length))

/** Runs each life of one machine, of which the first may end early. The last life is the one that follows. */
const live = async (
  lives: ReadonlyArray<(machine: Simulation.Machine) => Effect.Effect<void>>,
  faults: Simulation.FaultPlan = []
) => {
  let begun = 0
  const outcome = await Simulation.run({ seed: 1, faults, promises: false }, (world) =>
    Effect.gen(function* () {
      const node = world.node("a", (machine) => Effect.suspend(() => lives[begun++]?.(machine) ?? Effect.void))
      yield* Effect.sleep("2 minutes")
      while (begun < lives.length) {
        yield* node.restart
        yield* Effect.sleep("1 second")
      }
    })
  )
  assert.isUndefined(outcome.failure, Simulation.report(outcome))
  return outcome
}

/** What the journal relies on. */
const keepsContract = (disk: JournalDisk) => {
  const file = disk.create("a")
  assert.throws(() => disk.create("a"))
  assert.strictEqual(disk.idOf("a"), file.id)
  assert.isUndefined(disk.idOf("b"))
  assert.throws(() => disk.read("b"))
  file.zero(10_000)
  assert.strictEqual(text(disk.read("a")), "")
  assert.strictEqual(file.write(bytes("hello"), 0), 5)
  assert.strictEqual(file.write(bytes("world"), 5), 5)
  assert.strictEqual(text(disk.read("a")), "helloworld")
  file.zero(5)
  assert.strictEqual(text(disk.read("a")), "\0\0\0\0\0world")
  file.sync()
  disk.sync()
  disk.remove("a")
  disk.remove("a")
  assert.isUndefined(disk.idOf("a"))
  file.write(bytes("lost"), 0)
  const again = disk.create("a")
  assert.strictEqual(disk.idOf("a"), again.id)
  assert.strictEqual(text(disk.read("a")), "")
  for (const each of [file, again]) each.close()
  disk.create("l").close()
  const lock = disk.lock("l")
  assert.isUndefined(disk.lock("l"), "while somebody holds it")
  lock?.release()
  disk.lock("l")?.release()
  assert.sameMembers([...disk.names()], ["a", "l"])
  disk.lock("made")?.release()
  assert.include(disk.names(), "made")
  const content = disk.create("c")
  content.write(bytes("no lock".padEnd(4096)), 0)
  assert.throws(() => disk.lock("c"))
  content.close()
}

describe("the contract of a journal's disk is kept", () => {
  it("on node:fs", () => {
    const folder = mkdtempSync(join(tmpdir(), "rekindle-disk-"))
    try {
      assert.doesNotThrow(() => keepsContract(openDirectory(join(folder, "journal"))))
    } finally {
      rmSync(folder, { recursive: true })
    }
  })

  it("in a simulation", async () => {
    const { failure } = await live([({ disk }) => Effect.sync(() => keepsContract(disk))])
    assert.isUndefined(failure)
  })
})

/** A life that stores two answers, settles the first, and closes. `stored` has the answers that are stored and not settled. */
const work = (disk: JournalDisk, stored: Set<string>) => {
  const files = open(disk, "process", "first")
  const write = (text: string) => {
    files.reserve()
    const segment = files.write(record(text))
    stored.add(text)
    files.release()
    return segment
  }
  const one = write("one")
  write("two")
  files.takeOver()
  stored.delete("one")
  files.settle(one)
  files.close()
}

describe("the journal of a process that ends", () => {
  /** Ends a life within one of its writes, and starts the next. False if the first life does not write so often. */
  const tornAt = async (at: number, amount: number) => {
    const told = `write ${at}, ${amount} of it`
    const stored = new Set<string>()
    let isWhole = false
    let names: ReadonlyArray<string> | undefined
    await live(
      [
        ({ disk }) =>
          Effect.sync(() => {
            work(disk, stored)
            isWhole = true
          }),
        ({ disk }) =>
          Effect.sync(() => {
            const files = open(disk, "process", "second")
            const left = files.takeOver()
            assert.includeMembers(sealedIn(left), [...stored], told)
            assert.deepStrictEqual(left.damaged, [], told)
            for (const { segment } of left.records) files.settle(segment)
            files.close()
            names = disk.names()
          })
      ],
      [{ site: "disk a write", at, what: "disk-torn", amount }]
    )
    if (!isWhole) assert.deepStrictEqual(names, [], told)
    return !isWhole
  }

  it("within a write, whichever and however far it got, has every answer whose write had returned, and leaves no file", async () => {
    let writes = 0
    while (await tornAt(writes, 0)) {
      for (const amount of [0.5, 0.999]) assert.isTrue(await tornAt(writes, amount))
      writes++
    }
    assert.isAbove(writes, 4)
  })

  /** Whether an answer that was on the disk is gone after the power failed. */
  const loses = async (seed: number, durability: "process" | "power") => {
    const appended: Array<string> = []
    let found: ReadonlyArray<string> | undefined
    const append = (text: string) =>
      Effect.gen(function* () {
        const journal = yield* Journal
        const entry = yield* Effect.scoped(Effect.andThen(journal.room, journal.append(record(text))))
        yield* Effect.repeat(Effect.delay(journal.isOnDisk(entry), 1), { until: (isOnDisk) => isOnDisk })
        appended.push(text)
      })
    const answers = Effect.forEach(["a", "b", "c", "d"], append, { concurrency: "unbounded" })
    const outcome = await Simulation.run({ seed, promises: false }, (world) =>
      Effect.gen(function* () {
        let isFirst = true
        const node = world.node("a", ({ disk }) => {
          const before = Effect.provide(answers, Journal.layerDisk(disk, { durability }))
          const after = Effect.sync(() => {
            found = sealedIn(open(disk, "process", "second").takeOver())
          })
          return Effect.suspend(() => (isFirst ? Effect.asVoid(Effect.orDie(before)) : after))
        })
        yield* world.until("two answers", "1 second", () => appended.length >= 2)
        isFirst = false
        yield* node.losePower
        yield* node.restart
        yield* world.until("the next life", "1 second", () => found !== undefined)
      })
    )
    assert.isUndefined(outcome.failure, Simulation.report(outcome))
    return appended.some((text) => found?.includes(text) === false)
  }

  it("by a loss of power has every answer that was on the disk, where it is flushed", async () => {
    const seeds = Array.from({ length: 20 }, (_, seed) => seed)
    assert.notInclude(await Promise.all(seeds.map((seed) => loses(seed, "power"))), true)
    assert.include(await Promise.all(seeds.map((seed) => loses(seed, "process"))), true)
  })
})

/** A disk on which some calls of its files end otherwise. */
const altered = (disk: JournalDisk, file: (file: DiskFile) => Partial<DiskFile>): JournalDisk => ({
  ...disk,
  create: (name) => {
    const made = disk.create(name)
    return { ...made, ...file(made) }
  }
})

describe("the journal on a disk that fails", () => {
  it("refuses an answer's space while the disk is full, and stores in the space that it has", () =>
    live([
      ({ disk }) =>
        Effect.sync(() => {
          disk.capacity = 1024 * 1024
          const files = open(disk, "process", "first")
          for (let taken = 0; taken < 32; taken++) files.reserve()
          assert.throws(() => files.reserve(), /no space/)
          files.write(record("kept"))
          disk.capacity = 2 * 1024 * 1024
          files.reserve()
          assert.lengthOf(
            disk.names().filter((name) => name.endsWith(".segment")),
            2
          )
        })
    ]))

  it("goes on where a write was short", () =>
    live([
      ({ disk }) =>
        Effect.sync(() => {
          const short = altered(disk, ({ write }) => ({
            write: (bytes, position) => write(bytes.subarray(0, Math.ceil(bytes.length / 3)), position)
          }))
          const files = open(short, "process", "first")
          files.reserve()
          files.write(record("whole"))
        }),
      ({ disk }) =>
        Effect.sync(() => assert.deepStrictEqual(sealedIn(open(disk, "process", "second").takeOver()), ["whole"]))
    ]))

  const failing = (disk: JournalDisk, operation: "read" | "remove", fails: () => boolean): JournalDisk => ({
    ...disk,
    [operation]: (name: string) => {
      if (fails()) throw new Error("EIO")
      return disk[operation](name)
    }
  })

  for (const operation of ["remove", "read"] as const) {
    it(`has every answer of a process that is gone, although it cannot ${operation} a file at first`, () =>
      live([
        ({ disk }) =>
          Effect.sync(() => {
            const files = open(disk, "process", "first")
            for (let made = 0; made < 64; made++) files.reserve()
            files.write(record("kept"))
          }),
        ({ disk }) =>
          Effect.sync(() => {
            let fails = true
            const files = open(
              failing(disk, operation, () => fails),
              "process",
              "second"
            )
            const [first, again] = [files.takeOver(), files.takeOver()]
            fails = false
            const last = files.takeOver()
            assert.deepStrictEqual([first, again, last].flatMap(sealedIn), ["kept"], "once")
            assert.deepStrictEqual(again.damaged, [], "it is told once")
          })
      ]))
  }

  for (const [durability, operation] of [
    ["process", "write"],
    ["power", "write"],
    ["power", "flush"]
  ] as const) {
    it(`has an answer that a disk did not take at first (${operation}, durability ${durability}), once it takes it`, () => {
      let failures = 3
      const eio = new Error("EIO")
      return live([
        ({ disk }) => {
          const bad = altered(disk, ({ flush, write }) => ({
            write: (bytes, position) => {
              if (operation === "write" && failures-- > 0) throw eio
              return write(bytes, position)
            },
            flush: (done) => (operation === "flush" && failures-- > 0 ? done(eio) : flush(done))
          }))
          return Effect.gen(function* () {
            const journal = yield* Journal
            yield* Effect.scoped(journal.room)
            const entry = yield* journal.append(record("kept"))
            assert.isFalse(yield* journal.isOnDisk(entry))
            yield* Effect.sleep("2 seconds")
            assert.isTrue(yield* journal.isOnDisk(entry))
            assert.strictEqual(failures, -1)
            return yield* Effect.never
          }).pipe(Effect.provide(Journal.layerDisk(bad, { durability })), Effect.orDie)
        },
        ({ disk }) =>
          Effect.gen(function* () {
            const journal = yield* Journal
            const found = yield* journal.takeOver
            // A record whose flush failed may be there more than once. The commit takes it once.
            assert.isAtLeast(found.length, 1)
            for (const { sealed } of found) assert.strictEqual(sealed, record("kept").sealed)
          }).pipe(Effect.provide(Journal.layerDisk(disk, { durability })), Effect.orDie)
      ])
    })
  }

  it("does not write an answer again that was committed meanwhile", () => {
    let failures = 1
    return live([
      ({ disk }) =>
        Effect.gen(function* () {
          const journal = yield* Journal
          const entry = yield* journal.append(record("committed"))
          yield* journal.settle(entry)
          yield* Effect.sleep("2 seconds")
          assert.isFalse(yield* journal.isOnDisk(entry))
          assert.isTrue(disk.names().every((name) => !new TextDecoder().decode(disk.read(name)).includes("committed")))
        }).pipe(
          Effect.provide(
            Journal.layerDisk(
              altered(disk, ({ write }) => ({
                write: (bytes, position) => {
                  if (failures-- > 0) throw new Error("EIO")
                  return write(bytes, position)
                }
              }))
            )
          ),
          Effect.orDie
        )
    ])
  })

  it("is closed where a file cannot be removed: its locks are free, and the next process has its answers", () =>
    live([
      ({ disk }) =>
        Effect.sync(() => {
          const stuck: JournalDisk = {
            ...disk,
            remove: () => {
              throw new Error("EIO")
            }
          }
          const files = open(stuck, "process", "first")
          for (let made = 0; made < 64; made++) files.reserve()
          files.write(record("kept"))
          assert.throws(() => files.close(), /EIO/)
          assert.deepStrictEqual(sealedIn(open(disk, "process", "second").takeOver()), ["kept"])
        })
    ]))

  it("is closed with a warning where a file cannot be removed, and not with a defect", async () => {
    const logged: Array<unknown> = []
    await live([
      ({ disk }) =>
        Effect.flatMap(Journal, ({ room }) => Effect.scoped(room)).pipe(
          Effect.provide(Journal.layerDisk(failing(disk, "remove", () => true))),
          Effect.orDie,
          Effect.provideService(
            Logger.CurrentLoggers,
            new Set([Logger.make(({ logLevel, message }) => void logged.push(logLevel, message))])
          )
        )
    ])
    assert.include(JSON.stringify(logged), '"Warn",["the journal could not be closed cleanly"')
    assert.include(JSON.stringify(logged), "EIO")
  })
})
