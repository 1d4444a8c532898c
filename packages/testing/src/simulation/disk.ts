/**
 * The disk of a node: one directory of files. What was written survives the end of the process. What was not synced may not survive a loss of
 * power: of the writes to a file the first ones stay, the next one is cut short, and the others are gone; the same holds for names.
 *
 * All functions but `flush` are synchronous, as a program needs them that has to write before anything else happens. They throw a
 * {@link DiskError}.
 *
 * @module
 */
import { Schema } from "effect"
import { Chance } from "./chance.ts"
import { type Fault, kindsOfSync, kindsOfWrite, scaled, type Site } from "./faults.ts"
import { current, type Process } from "./process.ts"
import type { Core } from "./world.ts"

/** A disk that does not do what it is asked. */
export class DiskError extends Schema.TaggedError<DiskError>()("DiskError", {
  /**
   * - `full`: no space is left.
   * - `missing`: no file has the name.
   * - `exists`: a file has the name.
   * - `failed`: the disk reports an error.
   * - `killed`: the process ended in the middle of it. Nobody should see this, since nothing of the process runs any more.
   */
  reason: Schema.Literals(["full", "missing", "exists", "failed", "killed"]),
  message: Schema.String
}) {}

/** A file of a {@link Disk}. */
export interface DiskFile {
  /** Identifies the file itself. A file that is made later under the same name has another id. */
  readonly id: bigint
  readonly size: () => number
  /** Writes at a position and returns how many bytes were written. A disk that has just become full writes fewer than all. */
  readonly write: (bytes: Uint8Array, position: number) => number
  /** Overwrites the first `length` bytes with zeros. Later writes there need no further space. */
  readonly zero: (length: number) => void
  /** Returns when everything written so far survives a loss of power. */
  readonly sync: () => void
  /** As `sync`, without a wait. Calls `done` at the end, with the error if there was one. */
  readonly flush: (done: (error: unknown) => void) => void
  readonly close: () => void
}

/** A lock. It also ends with its process. */
export interface DiskLock {
  readonly release: () => void
}

/** The disk of a node. */
export interface Disk {
  readonly pathOf: (name?: string) => string
  readonly names: () => ReadonlyArray<string>
  readonly read: (name: string) => Uint8Array
  /** The {@link DiskFile.id} of the file with this name. Undefined if there is none. */
  readonly idOf: (name: string) => bigint | undefined
  /** Makes an empty file. */
  readonly create: (name: string) => DiskFile
  readonly open: (name: string) => DiskFile
  /** Takes the place of a file that has the name already. */
  readonly rename: (from: string, to: string) => void
  /** Removes the file, if there is one. */
  readonly remove: (name: string) => void
  /** Returns when all names given and taken so far survive a loss of power. */
  readonly sync: () => void
  /** Locks a file, which is made if it is missing. Undefined while a living process holds the lock. Throws if the file has content. */
  readonly lock: (name: string) => DiskLock | undefined
  /** How many bytes fit on it. Default unlimited. */
  capacity: number
}

/** What happens to the process that uses the disk. */
export interface Consequences {
  /** The process ends within the call. */
  readonly kill: (amount: number) => void
  /** The call takes long, and the process waits for it. */
  readonly pause: (amount: number) => void
}

/** A write that a loss of power can undo. */
interface Unsynced {
  readonly order: number
  readonly position: number
  readonly length: number
  readonly before: Uint8Array
  readonly sizeBefore: number
}

/** The content of a file. Zeros behind the last written byte are only counted. */
class Content {
  readonly id: bigint
  size = 0
  unsynced = new Array<Unsynced>()
  private bytes = new Uint8Array(0)
  private writes = 0

  constructor(id: bigint) {
    this.id = id
  }

  read(): Uint8Array {
    const all = new Uint8Array(this.size)
    all.set(this.bytes.subarray(0, this.size))
    return all
  }

  write(bytes: Uint8Array, position: number): void {
    const end = position + bytes.length
    const before = this.bytes.slice(position, Math.min(end, this.bytes.length))
    this.unsynced.push({ order: this.writes++, position, length: bytes.length, before, sizeBefore: this.size })
    if (end > this.bytes.length) {
      const grown = new Uint8Array(Math.max(end, 2 * this.bytes.length))
      grown.set(this.bytes)
      this.bytes = grown
    }
    this.bytes.set(bytes, position)
    this.size = Math.max(this.size, end)
  }

  zero(length: number): void {
    const before = this.bytes.slice(0, Math.min(length, this.bytes.length))
    this.unsynced.push({ order: this.writes++, position: 0, length, before, sizeBefore: this.size })
    this.bytes.fill(0, 0, length)
    this.size = Math.max(this.size, length)
  }

  /** Makes everything written so far safe, once the result is called. */
  syncing(): () => void {
    const until = this.writes
    return () => {
      this.unsynced = this.unsynced.filter(({ order }) => order >= until)
    }
  }

  losePower(chance: Chance): void {
    const kept = chance.below(this.unsynced.length + 1)
    for (let lost = this.unsynced.pop(); lost !== undefined; lost = this.unsynced.pop()) {
      if (this.unsynced.length < kept) break
      const { before, length, position, sizeBefore } = lost
      const stays = this.unsynced.length === kept ? chance.below(length) : 0
      this.bytes.fill(0, position + stays, position + length)
      this.bytes.set(before.subarray(stays), position + Math.min(stays, before.length))
      this.size = Math.max(sizeBefore, stays > 0 ? position + stays : 0)
    }
    this.unsynced = []
  }
}

/** The disk of one node. */
export class SimulatedDisk implements Disk {
  capacity = Number.POSITIVE_INFINITY
  private readonly core: Core
  private readonly node: string
  private readonly chance: Chance
  private readonly consequences: Consequences
  private readonly hasFaults: boolean
  private readonly writes: Site
  private readonly syncs: Site
  private readonly files = new Map<string, Content>()
  /** How to take back what was done to the names since the last `sync`. */
  private readonly unsynced = new Array<() => void>()
  /** Whether somebody holds the lock of a file. A file that is made later under the same name has a lock of its own. */
  private readonly locks = new Map<Content, () => boolean>()
  private fullUntil = 0
  private made = 0n

  constructor(core: Core, node: string, hasFaults: boolean, consequences: Consequences) {
    this.core = core
    this.node = node
    this.chance = new Chance(core.seed, `disk ${node}`)
    this.hasFaults = hasFaults
    this.consequences = consequences
    this.writes = core.faults.site(`disk ${node} write`, kindsOfWrite)
    this.syncs = core.faults.site(`disk ${node} sync`, kindsOfSync)
  }

  heal(): void {
    this.fullUntil = 0
  }

  /** What was not synced is lost, in part. */
  losePower(): void {
    const kept = this.chance.below(this.unsynced.length + 1)
    while (this.unsynced.length > kept) this.unsynced.pop()?.()
    this.unsynced.length = 0
    for (const content of this.files.values()) content.losePower(this.chance)
  }

  readonly pathOf = (name?: string): string => (name === undefined ? `/${this.node}` : `/${this.node}/${name}`)

  readonly names = (): ReadonlyArray<string> => [...this.files.keys()]

  readonly read = (name: string): Uint8Array => this.find(name).read()

  readonly idOf = (name: string): bigint | undefined => this.files.get(name)?.id

  readonly open = (name: string): DiskFile => this.handle(this.find(name))

  readonly create = (name: string): DiskFile => {
    if (this.files.has(name)) throw new DiskError({ reason: "exists", message: `${this.pathOf(name)} exists` })
    this.strike(this.writes)
    const content = new Content(++this.made)
    this.files.set(name, content)
    this.unsynced.push(() => this.files.delete(name))
    return this.handle(content)
  }

  readonly rename = (from: string, to: string): void => {
    const content = this.find(from)
    this.strike(this.writes)
    const replaced = this.files.get(to)
    this.files.delete(from)
    this.files.set(to, content)
    this.unsynced.push(() => {
      this.restore(to, replaced)
      this.restore(from, content)
    })
  }

  readonly remove = (name: string): void => {
    const content = this.files.get(name)
    if (content === undefined) return
    this.strike(this.writes)
    this.files.delete(name)
    this.unsynced.push(() => this.restore(name, content))
  }

  readonly sync = (): void => {
    this.strike(this.syncs)
    this.unsynced.length = 0
  }

  readonly lock = (name: string): DiskLock | undefined => {
    const owner = this.enter()
    if (!this.files.has(name)) this.create(name)
    const content = this.find(name)
    if (this.locks.get(content)?.() === true) return undefined
    if (content.size > 0) throw new DiskError({ reason: "failed", message: `${this.pathOf(name)} is not a lock` })
    let isReleased = false
    this.locks.set(content, () => !isReleased && owner.state !== "ended")
    return {
      release: () => {
        isReleased = true
      }
    }
  }

  private find(name: string): Content {
    const content = this.files.get(name)
    if (content === undefined) throw new DiskError({ reason: "missing", message: `${this.pathOf(name)} is missing` })
    return content
  }

  private restore(name: string, content: Content | undefined): void {
    if (content === undefined) this.files.delete(name)
    else this.files.set(name, content)
  }

  private handle(content: Content): DiskFile {
    return {
      id: content.id,
      size: () => content.size,
      write: (bytes, position) =>
        this.put(content, position, bytes.length, (part) => content.write(bytes.subarray(0, part), position)),
      zero: (length) => {
        const zeroed = this.put(content, 0, length, (part) => content.zero(part))
        if (zeroed < length) throw this.isFull()
      },
      sync: () => {
        this.strike(this.syncs)
        content.syncing()()
      },
      flush: (done) => this.flush(content, done),
      close: () => {}
    }
  }

  /** Changes as much of `length` bytes as there is room for. */
  private put(content: Content, position: number, length: number, change: (part: number) => void): number {
    this.enter()
    const wasFull = this.core.now < this.fullUntil
    const fault = this.hasFaults ? this.writes.strike() : undefined
    if (fault !== undefined && fault.what !== "disk-torn") this.suffer(fault)
    // The write that fills the disk gets the last of its space.
    const free = wasFull ? 0 : fault?.what === "disk-full" ? Math.floor(fault.amount * length) : this.free()
    const part = Math.min(length, content.size - position + free)
    if (part <= 0 && length > 0) throw this.isFull()
    if (fault?.what === "disk-torn") {
      change(Math.min(part, Math.floor(fault.amount * length)))
      this.suffer(fault)
    }
    change(part)
    return part
  }

  private flush(content: Content, done: (error: unknown) => void): void {
    const process = this.enter()
    const fault = this.hasFaults ? this.syncs.strike() : undefined
    const fails = fault?.what === "disk-fails"
    if (fault !== undefined) this.core.note(this.node, `flushes its disk: ${fault.what}`)
    const synced = content.syncing()
    const takes = fault?.what === "disk-slow" ? scaled(fault.amount, 10, 60_000) : this.chance.nextDoubleUnsafe() * 5
    this.core.startTimer(takes, process, () => {
      if (fails) return done(new DiskError({ reason: "failed", message: `${this.pathOf()} failed` }))
      synced()
      done(undefined)
    })
  }

  private strike(site: Site): void {
    this.enter()
    const fault = this.hasFaults ? site.strike() : undefined
    if (fault === undefined) return
    this.suffer(fault)
    if (fault.what === "disk-full") throw this.isFull()
  }

  /** What is left of a step after its process has ended changes nothing. */
  private enter(): Process {
    const process = current()
    if (process === undefined) throw new DiskError({ reason: "killed", message: "the process has ended" })
    return process
  }

  private suffer({ amount, what }: Fault): void {
    this.core.note(this.node, `uses its disk: ${what}`)
    switch (what) {
      case "disk-full":
        this.fullUntil = this.core.now + scaled(amount, 10, 120_000)
        return
      case "disk-slow":
        return this.consequences.pause(amount)
      case "disk-torn":
        this.consequences.kill(amount)
        this.enter()
        return
      case "disk-fails":
        throw new DiskError({ reason: "failed", message: `${this.pathOf()} failed` })
    }
  }

  private free(): number {
    if (this.core.now < this.fullUntil) return 0
    if (this.capacity === Number.POSITIVE_INFINITY) return this.capacity
    let used = 0
    for (const content of this.files.values()) used += content.size
    return Math.max(0, this.capacity - used)
  }

  private isFull(): DiskError {
    return new DiskError({ reason: "full", message: `no space is left on ${this.pathOf()}` })
  }
}
