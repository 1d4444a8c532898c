/**
 * The files of the journal: segments with preallocated space, and a lock that shows whether their owner is alive.
 *
 * A record is one line. It is written in one `write` over existing blocks, so it is there even after `kill -9`, or if the disk has filled
 * up meanwhile. Records are not marked later. A segment is emptied when all of its records are settled.
 *
 * A process writes its own files, named after a lock that it holds. A process that gets the lock of other files knows that their owner is
 * gone, and takes over their records.
 *
 * **Gotchas**
 *
 * On a copy-on-write file system (btrfs, ZFS) and on some network file systems a write over existing blocks needs new blocks. There the
 * preallocated space makes a full disk unlikely to lose a record, but does not rule it out.
 *
 * @module
 */
import { ConnectedAccountId } from "@rekindle/core"
import { Schema } from "effect"
import { Sealed } from "../vault/CredentialVault.ts"
import type { DiskFile, DiskLock, JournalDisk } from "./journalDisk.ts"

/** One answer. The account id is in plain text, so that the account can be found. Everything else is sealed. */
export const JournalRecord = Schema.Struct({ accountId: ConnectedAccountId, sealed: Sealed })
export type JournalRecord = typeof JournalRecord.Type

/** A file of records. */
export interface Segment {
  readonly name: string
  /** The {@link DiskFile.id} of the file that the records were written to. */
  readonly id: bigint
  /** The number of records that are not settled. */
  live: number
}

/** A segment of this process. */
export interface OwnSegment extends Segment {
  readonly file: DiskFile
  readonly size: number
  /** The position of the next record. */
  end: number
  /** Calls `done` when everything written before the call is on the disk, or with the error. */
  readonly flush: DiskFile["flush"]
}

/** The records and files of processes that have ended. */
export interface Leftovers {
  readonly records: ReadonlyArray<{ readonly record: JournalRecord; readonly segment: Segment }>
  /** Files whose last record was cut short, because their process ended during the write. */
  readonly torn: ReadonlyArray<string>
  /** Files with lines that are not records, files that cannot be read, and lock files that are not locks. They are left in place. */
  readonly damaged: ReadonlyArray<string>
}

/** Whether an answer has to survive the end of the process (including `kill -9`), or also a loss of power. */
export type Durability = "process" | "power"

/** The space that is reserved for one answer, in bytes. Sealing makes an answer a third larger than it was on the wire. */
const room = 32 * 1024
const segmentSize = 1024 * 1024
const segmentSuffix = ".segment"
const lockSuffix = ".lock"

const writeAll = (file: DiskFile, bytes: Uint8Array, position: number): void => {
  // A disk that has just filled up writes fewer bytes. The next write then reports the error.
  for (let written = 0; written < bytes.length;) {
    written += file.write(bytes.subarray(written), position + written)
  }
}

/** Flushes for a group of callers. Callers that arrive during a flush share the next one. */
const grouped = (flush: DiskFile["flush"]): DiskFile["flush"] => {
  let waiting: Array<(error: unknown) => void> | undefined
  const run = (callers: ReadonlyArray<(error: unknown) => void>): void => {
    waiting = []
    flush((error) => {
      const next = waiting ?? []
      waiting = undefined
      if (next.length > 0) run(next)
      for (const done of callers) done(error)
    })
  }
  return (done) => {
    if (waiting === undefined) run([done])
    else waiting.push(done)
  }
}

const isRecord = Schema.is(JournalRecord)

/** The records of a segment, up to the first byte that was never written. */
const parse = (bytes: Uint8Array) => {
  const written = bytes.indexOf(0)
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, written === -1 ? bytes.length : written).toString("latin1")
  const lines = text.split("\n")
  // A record ends with a line break, so a last line that is not empty was cut short.
  const torn = lines.pop() !== ""
  const found = lines.map((line) => {
    const [accountId, sealed] = line.split(" ")
    return { accountId, sealed }
  })
  const records = found.filter(isRecord)
  return { records, torn, isDamaged: records.length < found.length }
}

/**
 * Opens the files of this process on a disk. `id` distinguishes this process from all others that ever use the disk.
 *
 * A record is a few kilobytes into the page cache, which takes microseconds and has to happen before anything else. All functions may throw
 * the errors of the disk.
 */
export const open = (disk: JournalDisk, durability: Durability, id: string) => {
  let locks = 0
  const takeOwnLock = () => {
    while (true) {
      const owner = locks++ === 0 ? id : `${id}-${locks}`
      const name = owner + lockSuffix
      disk.create(name).close()
      const lock = disk.lock(name)
      const fileId = disk.idOf(name)
      // Another process may have taken the new lock for a left one, before it was locked.
      if (lock !== undefined && fileId !== undefined) return { owner, name, fileId, lock, count: 0 }
      lock?.release()
    }
  }
  let home = takeOwnLock()
  let segments: Array<OwnSegment> = []
  let held = 0

  const places = (among: ReadonlyArray<OwnSegment>): number =>
    among.reduce((sum, { end, size }) => sum + Math.floor((size - end) / room), 0)

  const grow = (size: number): OwnSegment => {
    const name = `${home.owner}.${home.count++}${segmentSuffix}`
    const file = disk.create(name)
    try {
      file.zero(size)
      if (durability === "power") {
        file.sync()
        disk.sync()
      }
    } catch (cause) {
      file.close()
      disk.remove(name)
      throw cause
    }
    const segment = { name, id: file.id, file, size, end: 0, live: 0, flush: grouped(file.flush) }
    segments.push(segment)
    return segment
  }

  /** Whether a segment is still the file that its records were written to. */
  const isInPlace = ({ id, name }: Segment): boolean => disk.idOf(name) === id

  /** Reserves space for one more answer. */
  const reserve = (): void => {
    if (disk.idOf(home.name) !== home.fileId) {
      // The directory or its content was removed, and the records in it are gone.
      const next = takeOwnLock()
      home.lock.release()
      home = next
      for (const { file } of segments) file.close()
      segments = []
    }
    while (places(segments) <= held) grow(segmentSize)
    held++
  }

  const release = (): void => {
    held--
  }

  /** Writes a record, and returns its segment. */
  const write = ({ accountId, sealed }: JournalRecord): OwnSegment => {
    const line = Buffer.from(`${accountId} ${sealed}\n`, "latin1")
    const segment =
      segments.find((segment) => segment.end + line.length <= segment.size && isInPlace(segment)) ??
      grow(Math.max(segmentSize, line.length))
    writeAll(segment.file, line, segment.end)
    segment.end += line.length
    segment.live++
    return segment
  }

  // --- files of other processes --------------------------------------------------------------------------------------------------

  /** Processes that are gone: their lock, how many of their segments have records, and the segments that were not read yet. */
  interface Gone {
    readonly lock: DiskLock
    files: number
    readonly unread: Set<string>
  }
  const takenOver = new Map<string, Gone>()
  /** The files that could not be opened or read, and were reported. */
  const unusable = new Set<string>()

  const ownerOf = (name: string): string => name.split(".")[0] ?? ""

  /** Removes a file that nobody needs. If that fails, whoever takes over its owner's files next tries again. */
  const removeIfPossible = (name: string): void => {
    try {
      disk.remove(name)
    } catch {
      // What has to be read must not wait for it.
    }
  }

  const releaseLock = (owner: string, lock: DiskLock): void => {
    removeIfPossible(owner + lockSuffix)
    lock.release()
    takenOver.delete(owner)
  }

  /** Takes over the files of processes that are gone. What cannot be read now is read by a later call. */
  const takeOver = (): Leftovers => {
    const records: Array<Leftovers["records"][number]> = []
    const torn: Array<string> = []
    const damaged: Array<string> = []
    const report = (name: string): void => {
      if (!unusable.has(name)) damaged.push(disk.pathOf(name))
      unusable.add(name)
    }
    /** One damaged file must not prevent the others from being taken over. */
    const attempt = <A>(name: string, use: () => A): A | undefined => {
      try {
        return use()
      } catch {
        report(name)
        return undefined
      }
    }
    const segmentsOf = new Map<string, Array<string>>()
    for (const name of disk.names()) {
      const isSegment = name.endsWith(segmentSuffix)
      if (!isSegment && !name.endsWith(lockSuffix)) continue
      const owner = ownerOf(name)
      const others = segmentsOf.get(owner) ?? []
      segmentsOf.set(owner, others)
      if (isSegment) others.push(name)
    }
    for (const [owner, names] of segmentsOf) {
      if (owner === home.owner) continue
      const lockName = owner + lockSuffix
      let gone = takenOver.get(owner)
      if (gone === undefined) {
        const lock = attempt(lockName, () => disk.lock(lockName))
        if (lock === undefined) continue
        gone = { lock, files: 0, unread: new Set(names) }
        takenOver.set(owner, gone)
      }
      for (const name of gone.unread) {
        const read = attempt(name, () => ({ id: disk.idOf(name), found: parse(disk.read(name)) }))
        if (read === undefined) continue
        gone.unread.delete(name)
        const { found, id = 0n } = read
        if (found.torn) torn.push(disk.pathOf(name))
        if (found.isDamaged) report(name)
        // A damaged line counts as a record that is never settled, so its file stays.
        const live = found.records.length + (found.isDamaged ? 1 : 0)
        if (live === 0) {
          removeIfPossible(name)
          continue
        }
        gone.files++
        const segment: Segment = { name, id, live }
        for (const record of found.records) records.push({ record, segment })
      }
      if (gone.files === 0 && gone.unread.size === 0) releaseLock(owner, gone.lock)
    }
    return { records, torn, damaged }
  }

  /** Settles one record of a segment. With its last record, the segment is emptied, and empty segments that are not needed are removed. */
  const settle = (segment: Segment): void => {
    segment.live--
    if (segment.live > 0) return
    if (!segments.some((each) => each === segment)) {
      removeIfPossible(segment.name)
      const owner = ownerOf(segment.name)
      const gone = takenOver.get(owner)
      if (gone !== undefined && --gone.files === 0 && gone.unread.size === 0) releaseLock(owner, gone.lock)
      return
    }
    for (const empty of segments.filter(({ live }) => live === 0)) {
      const others = segments.filter((each) => each !== empty)
      if (places(others) > held) {
        segments = others
        empty.file.close()
        disk.remove(empty.name)
      } else if (empty.end > 0) {
        empty.file.zero(empty.end)
        empty.end = 0
      }
    }
  }

  /**
   * Closes the files. The next process takes over records that are not settled, and files that cannot be removed here. A lock that stayed would
   * keep it from doing so for as long as this process lives.
   */
  const close = (): void => {
    const empty = segments.filter(({ live }) => live === 0).map(({ name }) => name)
    try {
      for (const { file, live } of segments) {
        // What was written last may not be flushed yet.
        if (live > 0 && durability === "power") file.sync()
        file.close()
      }
      for (const name of empty) disk.remove(name)
      if (empty.length === segments.length) disk.remove(home.name)
    } finally {
      for (const { lock } of [home, ...takenOver.values()]) lock.release()
    }
  }

  return { reserve, release, write, isInPlace, settle, takeOver, close }
}

/** The files of one process on one disk. */
export type JournalFiles = ReturnType<typeof open>
