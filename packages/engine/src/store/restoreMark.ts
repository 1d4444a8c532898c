/**
 * How a SQLite database is known to have been put back from an older snapshot.
 *
 * The database counts its leases. Beside it, in `<file>.mark`, stands the count of the last lease under which a request may have been sent. A
 * database that has counted less than its mark says is an older one, and the refresh tokens in it may be spent.
 *
 * **Gotchas**
 *
 * A mark that is missing, or is another database's, says as little as an older one, so it counts as one: a database and its mark move
 * together. Nothing local can tell a Postgres that was restored. There, and wherever the mark was restored too, somebody has to say so
 * (`rekindle-restored`).
 *
 * @module
 */
import * as fs from "node:fs"

/** Which database it is, and how many leases it has given out. */
export interface Mark {
  readonly databaseId: string
  readonly leases: number
}

const form = /^([0-9a-f]{32}) (\d{20})\n$/

/** Reads a mark; undefined where there is none. Throws what `node:fs` throws. */
export const read = (path: string): Mark | undefined => {
  if (!fs.existsSync(path)) return undefined
  const [, databaseId, leases] = form.exec(fs.readFileSync(path, "latin1")) ?? []
  return databaseId === undefined ? undefined : { databaseId, leases: Number(leases) }
}

/** Whether the database has given out leases that it does not know of. */
export const isBehind = (database: Mark, mark: Mark | undefined): boolean =>
  mark === undefined ? database.leases > 0 : mark.databaseId !== database.databaseId || mark.leases > database.leases

/**
 * Opens the mark for writing, made if it is not there. One small write over the same bytes: it takes microseconds, and needs no room on the
 * disk after the first. Everything may throw what `node:fs` throws.
 */
export const open = (path: string) => {
  const isNew = !fs.existsSync(path)
  const fd = fs.openSync(path, fs.constants.O_CREAT | fs.constants.O_WRONLY, 0o600)
  let last = -1
  return {
    /** Sets the mark; a smaller count than the last is another lease that was faster. */
    set: ({ databaseId, leases }: Mark): void => {
      if (leases <= last) return
      fs.writeSync(fd, `${databaseId} ${String(leases).padStart(20, "0")}\n`, 0, "latin1")
      if (isNew && last === -1) fs.fsyncSync(fd)
      last = leases
    },
    close: (): void => fs.closeSync(fd)
  }
}
