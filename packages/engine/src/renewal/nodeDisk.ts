/**
 * The disk of the journal on `node:fs`.
 *
 * A lock is an exclusive transaction on an empty SQLite database. The operating system drops it when the process ends in any way, so there
 * are no stale locks and no process ids to compare.
 *
 * @module
 */
import * as fs from "node:fs"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import type { DiskFile, DiskLock, JournalDisk } from "./journalDisk.ts"

/** SQLITE_BUSY: another process holds the lock. */
const busy = 5

const lock = (path: string): DiskLock | undefined => {
  const database = new DatabaseSync(path, { timeout: 0 })
  try {
    // A rollback journal on disk would need space, and the disk may be full.
    database.exec("PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE")
    return { release: () => database.close() }
  } catch (cause) {
    database.close()
    if (cause instanceof Error && "errcode" in cause && cause.errcode === busy) return undefined
    throw cause
  }
}

/** Shared by all files, because allocating a megabyte for each costs more than the write. */
const zeros = Buffer.alloc(1024 * 1024)

const create = (path: string): DiskFile => {
  const fd = fs.openSync(path, "wx", 0o600)
  const write = (bytes: Uint8Array, position: number) => fs.writeSync(fd, bytes, 0, bytes.length, position)
  return {
    id: fs.fstatSync(fd, { bigint: true }).ino,
    write,
    zero: (length) => {
      for (let at = 0; at < length;) at += write(zeros.subarray(0, length - at), at)
    },
    sync: () => fs.fsyncSync(fd),
    flush: (done) => fs.fdatasync(fd, (error) => done(error ?? undefined)),
    close: () => fs.closeSync(fd)
  }
}

/** Opens a directory, and creates it if only the directory itself is missing. */
export const openDirectory = (directory: string): JournalDisk => {
  if (!fs.existsSync(directory)) fs.mkdirSync(directory, { mode: 0o700 })
  if (process.platform !== "win32" && (fs.statSync(directory).mode & 0o002) !== 0) {
    throw new Error("other users can write to it")
  }
  const pathOf = (name = "") => join(directory, name)
  return {
    pathOf,
    names: () => fs.readdirSync(directory),
    read: (name) => fs.readFileSync(pathOf(name)),
    idOf: (name) => fs.statSync(pathOf(name), { bigint: true, throwIfNoEntry: false })?.ino,
    create: (name) => create(pathOf(name)),
    remove: (name) => fs.rmSync(pathOf(name), { force: true }),
    sync: () => {
      const folder = fs.openSync(directory, "r")
      fs.fsyncSync(folder)
      fs.closeSync(folder)
    },
    lock: (name) => lock(pathOf(name))
  }
}
