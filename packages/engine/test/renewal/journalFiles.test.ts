/** The journal's files: their owner, what survives their process, and the space that is reserved in advance. */
import { assert, describe, it } from "@effect/vitest"
import { ConnectedAccountId } from "@rekindle/core"
import { Journal, Sealed } from "@rekindle/engine"
import { Effect, Option } from "effect"
import { fork } from "node:child_process"
import { randomUUID } from "node:crypto"
import { once } from "node:events"
import { mkdir, readdir, rm, stat, writeFile } from "node:fs/promises"
import { join } from "node:path"
import * as JournalFiles from "#engine/renewal/journalFiles.ts"
import { openDirectory } from "#engine/renewal/nodeDisk.ts"
import { temporary } from "../support/StoreTrouble.ts"

const record = (text: string) => ({
  accountId: ConnectedAccountId.make("ca_journaljournal"),
  sealed: Sealed.make(`v2.k.${text}`)
})

const open = (directory: string) => JournalFiles.open(openDirectory(directory), "process", randomUUID())

const opened = (directory: string) =>
  Effect.acquireRelease(
    Effect.sync(() => open(directory)),
    (files) => Effect.sync(() => files.close())
  )

const directoryOf = Effect.map(temporary, (folder) => join(folder, "journal"))

const sealedIn = (leftovers: ReturnType<ReturnType<typeof open>["takeOver"]>) =>
  leftovers.records.map(({ record }) => record.sealed)

/** The files of a directory. */
const kindsIn = (directory: string) =>
  Effect.map(
    Effect.promise(() => readdir(directory)),
    (names) => names.map((name) => name.slice(name.lastIndexOf(".") + 1)).toSorted()
  )

describe("the files of a journal", () => {
  it.effect("are not taken over while their owner is there, and are when it is gone", () =>
    Effect.gen(function* () {
      const directory = yield* directoryOf
      const one = open(directory)
      const two = yield* opened(directory)
      one.reserve()
      one.write(record("left"))
      two.reserve()
      two.write(record("mine"))
      assert.deepStrictEqual(sealedIn(two.takeOver()), [])
      one.close()
      const leftovers = two.takeOver()
      assert.deepStrictEqual(sealedIn(leftovers), [record("left").sealed])
      assert.deepStrictEqual(sealedIn(two.takeOver()), [], "once")
      for (const { segment } of leftovers.records) two.settle(segment)
      assert.deepStrictEqual(yield* kindsIn(directory), ["lock", "segment"], "of the one that is there")
    }).pipe(Effect.scoped)
  )

  it.live("survive kill -9, and leave no lock behind", () =>
    Effect.gen(function* () {
      const directory = yield* directoryOf
      const child = fork(join(import.meta.dirname, "journalWriter.ts"), [directory], { execArgv: [] })
      yield* Effect.promise(() => once(child, "message"))
      const files = yield* opened(directory)
      assert.deepStrictEqual(sealedIn(files.takeOver()), [])
      child.kill("SIGKILL")
      yield* Effect.promise(() => once(child, "exit"))
      assert.deepStrictEqual(sealedIn(files.takeOver()), ["v2.k.written", "v2.k.again"])
    }).pipe(Effect.scoped)
  )

  it.effect("have a lock that needs no space: a process can start, and take over, while the disk is full", () =>
    Effect.gen(function* () {
      const directory = yield* directoryOf
      yield* opened(directory)
      const names = yield* Effect.promise(() => readdir(directory))
      const sizes = yield* Effect.promise(() => Promise.all(names.map((name) => stat(join(directory, name)))))
      assert.deepStrictEqual(
        sizes.map(({ size }) => size),
        [0],
        names.join(" ")
      )
    }).pipe(Effect.scoped)
  )

  it.effect("have their space before a record is written: it takes no new block of the disk", () =>
    Effect.gen(function* () {
      const directory = yield* directoryOf
      const files = yield* opened(directory)
      files.reserve()
      const blocks = Effect.promise(async () => {
        const names = (await readdir(directory)).filter((name) => name.endsWith(".segment"))
        const stats = await Promise.all(names.map((name) => stat(join(directory, name))))
        return stats.map(({ blocks, size }) => ({ blocks, size }))
      })
      const before = yield* blocks
      assert.isAtLeast((before[0]?.blocks ?? 0) * 512, 1024 * 1024, "real blocks, no hole")
      files.write(record("x".repeat(20_000)))
      assert.deepStrictEqual(yield* blocks, before)
    }).pipe(Effect.scoped)
  )

  it.effect("grow with the answers that are awaited, and shrink when they are settled", () =>
    Effect.gen(function* () {
      const directory = yield* directoryOf
      const files = yield* opened(directory)
      const segments = Effect.map(
        Effect.promise(() => readdir(directory)),
        (names) => names.filter((name) => name.endsWith(".segment")).length
      )
      for (let request = 0; request < 100; request++) files.reserve()
      assert.strictEqual(yield* segments, 4)
      const written = Array.from({ length: 100 }, (_, index) => files.write(record(`${index}`.padStart(30_000, "x"))))
      for (const segment of written) {
        files.release()
        files.settle(segment)
      }
      assert.strictEqual(yield* segments, 1)
    }).pipe(Effect.scoped)
  )

  it.effect("are taken over beside a file that is not a lock, which is reported once and left in place", () =>
    Effect.gen(function* () {
      const directory = yield* directoryOf
      const files = yield* opened(directory)
      const foreign = join(directory, "0.lock")
      yield* Effect.promise(() => writeFile(foreign, "no database".padEnd(4096)))
      const gone = open(directory)
      gone.reserve()
      gone.write(record("left"))
      gone.close()
      const leftovers = files.takeOver()
      assert.deepStrictEqual(sealedIn(leftovers), [record("left").sealed])
      assert.deepStrictEqual(leftovers.damaged, [foreign])
      assert.deepStrictEqual(files.takeOver().damaged, [], "once")
      assert.include(yield* Effect.promise(() => readdir(directory)), "0.lock")
    }).pipe(Effect.scoped)
  )

  it.effect("are made again when the directory is back, even after a failed attempt", () =>
    Effect.gen(function* () {
      const directory = yield* directoryOf
      const files = yield* opened(directory)
      yield* Effect.promise(async () => {
        await rm(directory, { recursive: true })
        await writeFile(directory, "a file in its place")
      })
      assert.throws(() => files.reserve(), /ENOTDIR/)
      yield* Effect.promise(async () => {
        await rm(directory)
        await mkdir(directory)
      })
      files.reserve()
      files.write(record("kept"))
      assert.deepStrictEqual(yield* kindsIn(directory), ["lock", "segment"])
    }).pipe(Effect.scoped)
  )

  it.effect("are closed when their directory was removed", () =>
    Effect.gen(function* () {
      const directory = yield* directoryOf
      const files = yield* opened(directory)
      const descriptors = Effect.map(
        Effect.promise(() => readdir("/dev/fd")),
        (names) => names.length
      )
      files.reserve()
      const before = yield* descriptors
      for (let times = 0; times < 30; times++) {
        yield* Effect.promise(async () => {
          await rm(directory, { recursive: true })
          await mkdir(directory)
        })
        files.reserve()
      }
      assert.isBelow((yield* descriptors) - before, 30)
    }).pipe(Effect.scoped)
  )

  it.live("are flushed meanwhile, where power may fail", () =>
    Effect.gen(function* () {
      const directory = yield* directoryOf
      yield* Effect.gen(function* () {
        const journal = yield* Journal
        const append = (text: string) => Effect.scoped(Effect.andThen(journal.room, journal.append(record(text))))
        const entries = yield* Effect.forEach(["a", "b", "c"], append, { concurrency: "unbounded" })
        const flushed = Effect.forEach(entries, (entry) =>
          Effect.repeat(Effect.delay(journal.isOnDisk(entry), "1 millis"), { until: (isOnDisk) => isOnDisk })
        )
        assert.isTrue(Option.isSome(yield* Effect.timeoutOption(flushed, "10 seconds")))
        assert.lengthOf(yield* journal.all, 3)
        yield* Effect.forEach(entries, journal.settle)
        assert.deepStrictEqual(yield* journal.all, [])
      }).pipe(Effect.provide(Journal.layerDirectory(directory, { durability: "power" })))
      assert.deepStrictEqual(yield* Effect.promise(() => readdir(directory)), [])
    }).pipe(Effect.scoped)
  )
})
