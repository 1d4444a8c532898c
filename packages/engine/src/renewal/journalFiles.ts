/**
 * The files of the journal: segments with preallocated space, and a lock that shows whether their owner is alive.
 *
 * A record is one line. It is written in one `write` over existing blocks, so it is there even after `kill -9`, or if the disk has filled
 * up meanwhile. Records are not marked later. A segment is emptied when all of its records are settled.
 *
 * A process writes its own files, named after a lock that it holds. The lock is an exclusive transaction on an empty SQLite database. The
 * operating system drops it when the process ends in any way, so there are no stale locks and no process ids to compare. A process that
 * gets the lock of other files knows that their owner is gone, and takes over their records.
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
import { randomUUID } from "node:crypto"
import * as fs from "node:fs"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import { promisify } from "node:util"
import { Sealed } from "../vault/CredentialVault.ts"

/** One answer. The account id is in plain text, so that the account can be found. Everything else is sealed. */
export const JournalRecord = Schema.Struct({ accountId: ConnectedAccountId, sealed: Sealed })
export type JournalRecord = typeof JournalRecord.Type

/** A file of records. */
export interface Segment {
  readonly path: string
  readonly inode: bigint
  /** The number of records that are not settled. */
  live: number
}

/** A segment of this process. */
interface OwnSegment extends Segment {
  readonly fd: number
  readonly size: number
  /** The position of the next record. */
  end: number
  /** Returns when everything written before the call is on the disk. */
  readonly flush: () => Promise<void>
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

/** SQLITE_BUSY: another process holds the lock. */
const busy = 5

/** Takes a lock. Undefined while its owner is alive. Only SQLite may open the file, because closing it in another way drops the lock. */
const lock = (path: string): DatabaseSync | undefined => {
  const database = new DatabaseSync(path, { timeout: 0 })
  try {
    // A rollback journal on disk would need space, and the disk may be full.
    database.exec("PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE")
    return database
  } catch (cause) {
    database.close()
    if (cause instanceof Error && "errcode" in cause && cause.errcode === busy) return undefined
    throw cause
  }
}

const inodeOf = (path: string): bigint | undefined => fs.statSync(path, { bigint: true, throwIfNoEntry: false })?.ino

/** Whether a segment is still the file that its records were written to. */
export const isInPlace = ({ inode, path }: Segment): boolean => inodeOf(path) === inode

const remove = (path: string): void => fs.rmSync(path, { force: true })

const writeAt = (fd: number, bytes: Uint8Array, position: number): void => {
  let written = fs.writeSync(fd, bytes, 0, bytes.length, position)
  // A disk that has just filled up writes fewer bytes. The next write then reports the error.
  while (written < bytes.length) {
    written += fs.writeSync(fd, bytes, written, bytes.length - written, position + written)
  }
}

/** Shared by all segments, because allocating a megabyte for each costs more than the write. */
const zeros = Buffer.alloc(segmentSize)

const writeZeros = (fd: number, length: number): void => {
  for (let at = 0; at < length; at += zeros.length) {
    writeAt(fd, zeros.subarray(0, Math.min(zeros.length, length - at)), at)
  }
}

/** Runs `work` for a group of callers. Callers that arrive during a run share the next one. */
const grouped = (work: () => Promise<void>): (() => Promise<void>) => {
  let running = Promise.resolve()
  let next: Promise<void> | undefined
  return () =>
    (next ??= running
      .catch(() => {})
      .then(() => {
        next = undefined
        running = work()
        return running
      }))
}

const isRecord = Schema.is(JournalRecord)

/** The records of a segment, up to the first byte that was never written. */
const parse = (bytes: Buffer) => {
  const written = bytes.indexOf(0)
  const lines = bytes.toString("latin1", 0, written === -1 ? bytes.length : written).split("\n")
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
 * Opens a directory for this process, and creates it if only the directory itself is missing.
 *
 * All functions but `flush` are synchronous. A record is a few kilobytes into the page cache, which takes microseconds and has to happen
 * before anything else. All functions may throw the errors of `node:fs`.
 */
export const open = (directory: string, durability: Durability) => {
  if (!fs.existsSync(directory)) fs.mkdirSync(directory, { mode: 0o700 })
  if (process.platform !== "win32" && (fs.statSync(directory).mode & 0o002) !== 0) {
    throw new Error("other users can write to it")
  }

  const takeOwnLock = () => {
    while (true) {
      const owner = randomUUID()
      const path = join(directory, owner + lockSuffix)
      fs.closeSync(fs.openSync(path, "wx", 0o600))
      const database = lock(path)
      const inode = inodeOf(path)
      // Another process may have taken the new lock for a left one, before it was locked.
      if (database !== undefined && inode !== undefined) return { owner, path, inode, database, count: 0 }
      database?.close()
    }
  }
  let home = takeOwnLock()
  let segments: Array<OwnSegment> = []
  let held = 0

  const places = (among: ReadonlyArray<OwnSegment>): number =>
    among.reduce((sum, { end, size }) => sum + Math.floor((size - end) / room), 0)

  const grow = (size: number): OwnSegment => {
    const path = join(directory, `${home.owner}.${home.count++}${segmentSuffix}`)
    const fd = fs.openSync(path, "wx", 0o600)
    try {
      writeZeros(fd, size)
      if (durability === "power") {
        fs.fsyncSync(fd)
        const folder = fs.openSync(directory, "r")
        fs.fsyncSync(folder)
        fs.closeSync(folder)
      }
    } catch (cause) {
      fs.closeSync(fd)
      remove(path)
      throw cause
    }
    const { ino } = fs.fstatSync(fd, { bigint: true })
    const flush = grouped(() => promisify(fs.fdatasync)(fd))
    const segment = { path, fd, size, inode: ino, end: 0, live: 0, flush }
    segments.push(segment)
    return segment
  }

  /** Reserves space for one more answer. */
  const reserve = (): void => {
    if (inodeOf(home.path) !== home.inode) {
      // The directory or its content was removed, and the records in it are gone.
      fs.statSync(directory)
      const next = takeOwnLock()
      home.database.close()
      home = next
      for (const { fd } of segments) fs.closeSync(fd)
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
    writeAt(segment.fd, line, segment.end)
    segment.end += line.length
    segment.live++
    return segment
  }

  // --- files of other processes --------------------------------------------------------------------------------------------------

  /** The locks of processes that are gone, with the number of their segments that have records. */
  const takenOver = new Map<string, { readonly database: DatabaseSync; files: number }>()
  /** The locks that could not be opened and were reported. */
  const unusable = new Set<string>()

  const ownerOf = (path: string): string => path.slice(directory.length + 1).split(".")[0] ?? ""
  const segmentsOf = (owner: string): ReadonlyArray<string> =>
    fs
      .readdirSync(directory)
      .filter((name) => name.startsWith(`${owner}.`) && name.endsWith(segmentSuffix))
      .map((name) => join(directory, name))

  const releaseLock = (owner: string, database: DatabaseSync): void => {
    remove(join(directory, owner + lockSuffix))
    database.close()
    takenOver.delete(owner)
  }

  /** Takes over the files of processes that are gone. */
  const takeOver = (): Leftovers => {
    const records: Array<Leftovers["records"][number]> = []
    const torn: Array<string> = []
    const damaged: Array<string> = []
    const owners = new Set(
      fs
        .readdirSync(directory)
        .filter((name) => name.endsWith(segmentSuffix) || name.endsWith(lockSuffix))
        .map((name) => ownerOf(join(directory, name)))
    )
    for (const owner of owners) {
      if (owner === home.owner || takenOver.has(owner)) continue
      const path = join(directory, owner + lockSuffix)
      let database: DatabaseSync | undefined
      try {
        database = lock(path)
      } catch {
        // A damaged lock file must not prevent the others from being taken over.
        if (!unusable.has(path)) damaged.push(path)
        unusable.add(path)
      }
      if (database === undefined) continue
      const theirs = { database, files: 0 }
      takenOver.set(owner, theirs)
      for (const path of segmentsOf(owner)) {
        let found: ReturnType<typeof parse>
        try {
          found = parse(fs.readFileSync(path))
        } catch {
          found = { records: [], torn: false, isDamaged: true }
        }
        if (found.torn) torn.push(path)
        if (found.isDamaged) damaged.push(path)
        // A damaged line counts as a record that is never settled, so its file stays.
        const live = found.records.length + (found.isDamaged ? 1 : 0)
        if (live === 0) {
          remove(path)
          continue
        }
        theirs.files++
        const segment: Segment = { path, inode: inodeOf(path) ?? 0n, live }
        for (const record of found.records) records.push({ record, segment })
      }
      if (theirs.files === 0) releaseLock(owner, database)
    }
    return { records, torn, damaged }
  }

  /** Settles one record of a segment. With its last record, the segment is emptied, and empty segments that are not needed are removed. */
  const settle = (segment: Segment): void => {
    segment.live--
    if (segment.live > 0) return
    if (!segments.some((each) => each === segment)) {
      remove(segment.path)
      const owner = ownerOf(segment.path)
      const theirs = takenOver.get(owner)
      if (theirs !== undefined && --theirs.files === 0) releaseLock(owner, theirs.database)
      return
    }
    for (const empty of segments.filter(({ live }) => live === 0)) {
      const others = segments.filter((each) => each !== empty)
      if (places(others) > held) {
        segments = others
        fs.closeSync(empty.fd)
        remove(empty.path)
      } else if (empty.end > 0) {
        writeZeros(empty.fd, empty.end)
        empty.end = 0
      }
    }
  }

  /** Closes the files. The next process takes over records that are not settled. */
  const close = (): void => {
    for (const { fd, live, path } of segments) {
      fs.closeSync(fd)
      if (live === 0) remove(path)
    }
    if (segments.every(({ live }) => live === 0)) remove(home.path)
    home.database.close()
    for (const { database } of takenOver.values()) database.close()
  }

  return { reserve, release, write, settle, takeOver, close }
}

/** The files of one process in one directory. */
export type JournalFiles = ReturnType<typeof open>
