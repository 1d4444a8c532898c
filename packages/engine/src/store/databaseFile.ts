/**
 * The file of a SQLite database: whether only its user can read and replace it, and whether it is still the file that was opened.
 *
 * SQLite gives the files that it makes beside a database (`-wal`, `-shm`) the mode of the database.
 *
 * @module
 */
import * as fs from "node:fs"
import { dirname, resolve } from "node:path"

/** An opened file, identified by device and inode. */
export interface DatabaseFile {
  readonly path: string
  readonly device: bigint
  readonly inode: bigint
}

const hasModes = process.platform !== "win32"

const octal = (mode: number): string => (mode & 0o7777).toString(8)

/** Whether SQLite treats a name specially: a database in memory, a temporary database, or a URI. */
const isSpecial = (filename: string): boolean =>
  filename === "" || filename === ":memory:" || filename.startsWith("file:")

const closeToOthers = (path: string): void => {
  try {
    fs.chmodSync(path, 0o600)
  } catch {
    throw new Error("it belongs to another user; open it as that user")
  }
}

/**
 * Prepares a file to be opened as a database. Afterwards the file exists, no other user can read it, and no other user can replace it.
 * Throws an error that names the problem. Returns undefined for a name that is not a plain file name.
 */
export const prepare = (filename: string, create: boolean): DatabaseFile | undefined => {
  if (isSpecial(filename)) return undefined
  const named = resolve(filename)
  const path = fs.existsSync(named) ? fs.realpathSync(named) : named
  const directory = dirname(path)
  const folder = fs.statSync(directory, { throwIfNoEntry: false })
  if (folder === undefined) throw new Error(`the directory ${directory} does not exist`)
  // The sticky bit keeps other users from removing the file. It does not keep them from creating its `-wal` or `-journal` first.
  if (hasModes && (folder.mode & 0o002) !== 0) {
    throw new Error(
      `other users can write to the directory ${directory} (mode ${octal(folder.mode)}); use one that is this user's alone`
    )
  }
  if (!fs.existsSync(path)) {
    if (!create) throw new Error("there is no such file")
    fs.closeSync(fs.openSync(path, "a", 0o600))
  }
  if (hasModes) {
    for (const each of [path, `${path}-wal`, `${path}-shm`]) {
      const mode = fs.statSync(each, { throwIfNoEntry: false })?.mode
      if (mode !== undefined && (mode & 0o077) !== 0) closeToOthers(each)
    }
  }
  const { dev, ino } = fs.statSync(path, { bigint: true })
  return { path, device: dev, inode: ino }
}

/** Whether the path still leads to the file that was opened. */
export const isInPlace = ({ device, inode, path }: DatabaseFile): boolean => {
  const now = fs.statSync(path, { bigint: true, throwIfNoEntry: false })
  return now !== undefined && now.dev === device && now.ino === inode
}
