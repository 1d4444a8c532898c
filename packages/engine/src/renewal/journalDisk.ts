/**
 * The port to the disk of the journal: one directory of files, and locks that show whether their owner is alive.
 *
 * All functions but `flush` are synchronous, because a record has to be written before anything else happens. All functions but `flush` and
 * `close` may throw, with an error whose message says what failed. A process may end within any of them.
 *
 * @module
 */

/** A file that this process writes. */
export interface DiskFile {
  /** Identifies the file itself. A file that is created later under the same name has another id. */
  readonly id: bigint
  /** Writes at a position, and returns how many bytes were written. A disk that has just filled up writes fewer than all. */
  readonly write: (bytes: Uint8Array, position: number) => number
  /** Overwrites the first `length` bytes with zeros. The space is then allocated, so that later writes over it need none. */
  readonly zero: (length: number) => void
  /** Returns when the file and its content survive a loss of power. */
  readonly sync: () => void
  /** Calls `done` once everything written before the call survives a loss of power, or with the error. It never throws. */
  readonly flush: (done: (error: unknown) => void) => void
  readonly close: () => void
}

/** A lock that this process holds. It ends with `release`, and when the process ends in any way. */
export interface DiskLock {
  readonly release: () => void
}

/** The disk as one process sees it. Files are named within the directory. */
export interface JournalDisk {
  /** The path of the directory, or of a file in it, for messages. */
  readonly pathOf: (name?: string) => string
  readonly names: () => ReadonlyArray<string>
  /** The content of a file. Zeros at its end may be left out. */
  readonly read: (name: string) => Uint8Array
  /** The {@link DiskFile.id} of the file that has the name now. Undefined if there is none. */
  readonly idOf: (name: string) => bigint | undefined
  /** Creates an empty file. Throws if there is one. */
  readonly create: (name: string) => DiskFile
  /** Removes a file, if there is one. */
  readonly remove: (name: string) => void
  /** Returns when the names of the files survive a loss of power. */
  readonly sync: () => void
  /**
   * Takes the lock of an empty file, which is created if it is missing. Undefined while somebody holds it, who is therefore alive. Throws if
   * the file has content, and so cannot be a lock.
   * No other function may open the file, because closing it can drop the lock.
   */
  readonly lock: (name: string) => DiskLock | undefined
}
