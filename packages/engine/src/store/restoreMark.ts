/**
 * Detects that a SQLite database was restored from an older snapshot.
 *
 * The database counts its leases. The file `<file>.mark` beside it holds the count of the last lease under which a request may have been sent.
 * A database whose count is lower than its mark was restored, and its refresh tokens may be spent.
 *
 * **Gotchas**
 *
 * Without a mark, or with the mark of another database, a restore is not detected. Move a database and its mark together. A restored Postgres
 * cannot be detected locally. There, and if the mark was restored too, run `rekindle restored`.
 *
 * @module
 */
import * as fs from "node:fs"

/** The identity of a database, and its count of leases. */
export interface Mark {
  readonly databaseId: string
  readonly leases: number
}

const form = /^([0-9a-f]{32}) (\d{20})\n$/

/** Reads a mark. Undefined if there is none. Throws the errors of `node:fs`. */
export const read = (path: string): Mark | undefined => {
  if (!fs.existsSync(path)) return undefined
  const [, databaseId, leases] = form.exec(fs.readFileSync(path, "latin1")) ?? []
  return databaseId === undefined ? undefined : { databaseId, leases: Number(leases) }
}

/** Whether the mark counts more leases than the database. */
export const isBehind = (database: Mark, mark: Mark | undefined): boolean =>
  mark === undefined ? database.leases > 0 : mark.databaseId !== database.databaseId || mark.leases > database.leases

/**
 * Opens the mark for writing, and creates it if it is missing. A mark is set by one small write over the same bytes, which takes
 * microseconds and needs no disk space after the first. All functions may throw the errors of `node:fs`.
 */
export const open = (path: string) => {
  const isNew = !fs.existsSync(path)
  const fd = fs.openSync(path, fs.constants.O_CREAT | fs.constants.O_WRONLY, 0o600)
  let last = -1
  return {
    /** Sets the mark. A lower count than the last one is ignored, because a later lease has already been noted. */
    set: ({ databaseId, leases }: Mark): void => {
      if (leases <= last) return
      fs.writeSync(fd, `${databaseId} ${String(leases).padStart(20, "0")}\n`, 0, "latin1")
      if (isNew && last === -1) fs.fsyncSync(fd)
      last = leases
    },
    close: (): void => fs.closeSync(fd)
  }
}
