/** The journal over a disk in memory: the disk behaves as the real one, and a process may end within any call. */
import { assert, describe, it } from "@effect/vitest"
import { ConnectedAccountId } from "@rekindle/core"
import { Journal, type JournalDisk, Sealed } from "@rekindle/engine"
import { Effect } from "effect"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { open } from "#engine/renewal/journalFiles.ts"
import { openDirectory } from "#engine/renewal/nodeDisk.ts"
import * as ModelDisk from "./ModelDisk.ts"

const bytes = (text: string) => new TextEncoder().encode(text)
const text = (content: Uint8Array) => new TextDecoder().decode(content).replace(/\0+$/, "")

const record = (text: string) => ({
  accountId: ConnectedAccountId.make("ca_journaljournal"),
  sealed: Sealed.make(`v2.k.${text}`)
})

const sealedIn = ({ records }: ReturnType<ReturnType<typeof open>["takeOver"]>) =>
  records.map(({ record }) => record.sealed.slice("v2.k.".length))

/** What the journal relies on. `mount` is the disk as another process would have it. */
const contract = (name: string, withDisk: (use: (mount: () => JournalDisk) => void) => void) =>
  it(`${name} keeps the contract of a journal's disk`, () =>
    withDisk((mount) => {
      const [disk, other] = [mount(), mount()]
      const file = disk.create("a")
      assert.throws(() => disk.create("a"), /EEXIST/)
      assert.strictEqual(disk.idOf("a"), file.id)
      assert.isUndefined(disk.idOf("b"))
      assert.throws(() => disk.read("b"), /ENOENT/)
      file.zero(10_000)
      assert.strictEqual(text(other.read("a")), "")
      assert.strictEqual(file.write(bytes("hello"), 0), 5)
      assert.strictEqual(file.write(bytes("world"), 5), 5)
      assert.strictEqual(text(other.read("a")), "helloworld")
      file.zero(5)
      assert.strictEqual(text(other.read("a")), "\0\0\0\0\0world")
      file.sync()
      disk.sync()
      other.remove("a")
      other.remove("a")
      assert.isUndefined(disk.idOf("a"))
      file.write(bytes("lost"), 0)
      const again = disk.create("a")
      assert.strictEqual(other.idOf("a"), again.id)
      assert.strictEqual(text(other.read("a")), "")
      for (const each of [file, again]) each.close()
      disk.create("l").close()
      const lock = disk.lock("l")
      assert.isUndefined(other.lock("l"), "while its owner is there")
      lock?.release()
      other.lock("l")?.release()
      assert.sameMembers([...disk.names()], ["a", "l"])
      other.lock("made")?.release()
      assert.include(disk.names(), "made")
      const content = disk.create("c")
      content.write(bytes("no lock".padEnd(4096)), 0)
      assert.throws(() => other.lock("c"))
      content.close()
    }))

describe("a disk of the journal", () => {
  contract("in memory", (use) => {
    const disk = ModelDisk.make()
    use(() => disk.mount().disk)
  })

  contract("on node:fs", (use) => {
    const folder = mkdtempSync(join(tmpdir(), "rekindle-disk-"))
    try {
      use(() => openDirectory(join(folder, "journal")))
    } finally {
      rmSync(folder, { recursive: true })
    }
  })
})

/** A process that stores two answers, settles the first, and closes. Returns the answers that it knows to be stored and not settled. */
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

describe("the journal of a process that ends within a call", () => {
  it("has every answer whose write had returned, whichever call it was and however far it got", () => {
    let calls = 0
    const all = ModelDisk.make().mount({ meets: () => void calls++ })
    work(all.disk, new Set())
    assert.isAbove(calls, 10)
    for (let last = 0; last < calls; last++) {
      for (const share of [0, 0.5, 1]) {
        const disk = ModelDisk.make()
        let made = 0
        const stored = new Set<string>()
        const process = disk.mount({ meets: () => (made++ === last ? { _tag: "Dies", share } : undefined) })
        try {
          work(process.disk, stored)
        } catch (error) {
          assert.instanceOf(error, ModelDisk.ProcessEnded)
        }
        assert.isTrue(process.isDead())
        const next = open(disk.mount().disk, "process", "second")
        const left = next.takeOver()
        const found = new Set(sealedIn(left))
        for (const each of stored) assert.isTrue(found.has(each), `call ${last}, ${share} of it: ${each} is lost`)
        assert.deepStrictEqual(left.damaged, [], `call ${last}, ${share} of it`)
        for (const { segment } of left.records) next.settle(segment)
        next.close()
        assert.deepStrictEqual([...disk.files().keys()], [], `call ${last}, ${share} of it: files stay for ever`)
      }
    }
  })

  it("is not taken over while it is only slow, and is once it has ended", () => {
    const disk = ModelDisk.make()
    const first = disk.mount()
    const files = open(first.disk, "process", "first")
    files.reserve()
    files.write(record("left"))
    const second = open(disk.mount().disk, "process", "second")
    assert.deepStrictEqual(sealedIn(second.takeOver()), [])
    first.kill()
    assert.deepStrictEqual(sealedIn(second.takeOver()), ["left"])
    assert.throws(() => files.write(record("late")), ModelDisk.ProcessEnded)
  })
})

describe("the journal on a disk that fails", () => {
  it("refuses an answer's space while the disk is full, and stores in the space that it has", () => {
    const disk = ModelDisk.make(1024 * 1024)
    const files = open(disk.mount().disk, "process", "first")
    files.reserve()
    disk.capacity = 0
    for (let taken = 1; taken < 32; taken++) files.reserve()
    assert.throws(() => files.reserve(), /ENOSPC/)
    files.write(record("kept"))
    disk.capacity = 2 * 1024 * 1024
    files.reserve()
    assert.lengthOf(
      [...disk.files().keys()].filter((name) => name.endsWith(".segment")),
      2
    )
  })

  it("is closed where a file cannot be removed: its locks are free, and the next process has its answers", () => {
    const shared = ModelDisk.make()
    let closing = false
    const { disk } = shared.mount({
      meets: ({ operation }) => (closing && operation === "remove" ? { _tag: "Fails", code: "EIO" } : undefined)
    })
    const files = open(disk, "process", "one")
    files.reserve()
    files.write(record("kept"))
    for (let made = 0; made < 64; made++) files.reserve()
    closing = true
    assert.throws(() => files.close(), /EIO/)
    assert.deepStrictEqual(sealedIn(open(shared.mount().disk, "process", "two").takeOver()), ["kept"])
  })

  it("goes on where a write was short", () => {
    const disk = ModelDisk.make()
    let isShort = false
    const mounted = disk.mount({
      meets: ({ operation }) => (isShort && operation === "write" ? { _tag: "Short", share: 0.3 } : undefined)
    })
    const files = open(mounted.disk, "process", "first")
    files.reserve()
    isShort = true
    files.write(record("whole"))
    mounted.kill()
    assert.deepStrictEqual(sealedIn(open(disk.mount().disk, "process", "second").takeOver()), ["whole"])
  })

  it.effect("has an answer after a loss of power once its append has returned, where power may fail", () =>
    Effect.gen(function* () {
      for (const durability of ["process", "power"] as const) {
        const disk = ModelDisk.make()
        const ends: Array<() => void> = []
        const mounted = disk.mount({ later: (end) => void ends.push(end) })
        yield* Effect.gen(function* () {
          const journal = yield* Journal
          yield* journal.room
          const appended = yield* Effect.forEach(["a", "b", "c"], (text) => journal.append(record(text)), {
            concurrency: "unbounded"
          }).pipe(Effect.forkChild({ startImmediately: true }))
          // The answers that came during the first flush share the second.
          while (appended.pollUnsafe() === undefined) {
            const end = ends.shift()
            if (end === undefined) yield* Effect.yieldNow
            else end()
          }
          disk.losePower()
        }).pipe(Effect.provide(Journal.layerDisk(mounted.disk, { durability })), Effect.scoped, Effect.ignoreCause)
        const left = sealedIn(open(disk.mount().disk, "process", "second").takeOver())
        assert.deepStrictEqual(left, durability === "power" ? ["a", "b", "c"] : [])
      }
    })
  )
})
