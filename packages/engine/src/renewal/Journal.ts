/**
 * Stores every answer from the moment it was read until it is committed.
 *
 * A rotated token exists only in the answer that brought it. So the complete raw answer is sealed and appended to a local journal in one
 * write, before it is parsed or judged. Only then the commit begins. One write survives `kill -9` and the kernel's out-of-memory kill.
 * `durability: "power"` also flushes it to disk. Answers that arrive together share a flush. The commit does not wait for it: a disk that
 * stalls would hold the answer back until the lease is over and another process sends the spent token.
 *
 * A record is not marked when it is committed. When a process starts, and before an account is renewed, the records in the journal are
 * offered to the commit, which drops those that a newer lease or grant has overtaken. The same mechanism serves a slow store, a store that
 * is down, and a process that died.
 *
 * @module
 */
import { type ConnectedAccountId, MonotonicClock } from "@rekindle/core"
import { Context, Duration, Effect, Layer, Schema, type Scope } from "effect"
import { SecureRandom } from "effect/crypto"
import type { JournalDisk } from "./journalDisk.ts"
import {
  type Durability,
  type JournalFiles,
  type JournalRecord,
  open,
  type OwnSegment,
  type Segment
} from "./journalFiles.ts"
import { openDirectory } from "./nodeDisk.ts"

export type { DiskFile, DiskLock, JournalDisk } from "./journalDisk.ts"
export type { Durability, JournalRecord } from "./journalFiles.ts"

/** A record whose answer is not committed or dropped yet. */
export interface JournalEntry extends JournalRecord {
  /** The file that has the record. Undefined while the record is only in the memory of this process. */
  readonly segment: Segment | undefined
}

/** The journal has no room, or cannot be reached. */
export class JournalError extends Schema.TaggedError<JournalError>("@rekindle/engine/JournalError")("JournalError", {
  message: Schema.String,
  cause: Schema.optionalKey(Schema.Defect())
}) {}

/** The options of a journal. */
export interface JournalOptions {
  /**
   * `process`: the end of the process, including `kill -9`. `power`: also a loss of power, at the cost of a disk flush, which answers that
   * arrive together share. The commit to the store goes on meanwhile. Default `process`.
   */
  readonly durability?: Durability | undefined
}

/** Stores answers until they are committed. */
export class Journal extends Context.Service<
  Journal,
  {
    /** Reserves disk space for one more answer while the scope is open. Fails if there is none. */
    readonly room: Effect.Effect<void, JournalError, Scope.Scope>
    /**
     * Appends a record. It cannot fail: a record that the disk does not take is kept in memory, logged, and written again until the disk has
     * it. Meanwhile `isOnDisk` returns false for it. It does not wait for the flush.
     */
    readonly append: (record: JournalRecord) => Effect.Effect<JournalEntry>
    /** Whether a record is on disk now, where the next process will find it. With `durability: "power"`: whether it is flushed. */
    readonly isOnDisk: (entry: JournalEntry) => Effect.Effect<boolean>
    /** Removes a record that is committed, was overtaken by a newer one, or has nothing to commit. */
    readonly settle: (entry: JournalEntry) => Effect.Effect<void>
    /** The records of one account, oldest first. They are read from memory, so the check before each renewal is cheap. */
    readonly entriesOf: (id: ConnectedAccountId) => Effect.Effect<ReadonlyArray<JournalEntry>>
    readonly all: Effect.Effect<ReadonlyArray<JournalEntry>>
    /** Takes over the records of processes that have ended, and returns them. The directory is checked at most once a second. */
    readonly takeOver: Effect.Effect<ReadonlyArray<JournalEntry>>
  }
>()("@rekindle/engine/Journal") {
  /** Keeps records in memory only. For an in-memory store, which does not survive the process either. */
  static readonly layerMemory: Layer.Layer<Journal> = Layer.sync(Journal, () => make(undefined))

  /**
   * Keeps records in files in a directory on this machine's own disk. The directory is created, readable by this user only; its parent
   * directory must exist. Any number of processes can use one directory, because each writes its own files.
   */
  static readonly layerDirectory = (
    directory: string,
    options: JournalOptions = {}
  ): Layer.Layer<Journal, JournalError> => onDisk(directory, () => openDirectory(directory), options)

  /** Keeps records in files on any disk, such as a simulated one. */
  static readonly layerDisk = (disk: JournalDisk, options: JournalOptions = {}): Layer.Layer<Journal, JournalError> =>
    onDisk(disk.pathOf(), () => disk, options)
}

const onDisk = (
  directory: string,
  disk: () => JournalDisk,
  { durability = "process" }: JournalOptions
): Layer.Layer<Journal, JournalError> =>
  Layer.effect(
    Journal,
    Effect.gen(function* () {
      const random = yield* SecureRandom.SecureRandom
      const id = yield* random.uuidV4()
      const files = yield* Effect.acquireRelease(
        Effect.try({ try: () => open(disk(), durability, id), catch: failure(directory) }),
        (files) =>
          Effect.try({ try: () => files.close(), catch: failure(directory) }).pipe(
            Effect.catch(({ message }) => Effect.logWarning("the journal could not be closed cleanly", { message }))
          )
      )
      return make({ files, directory, flushes: durability === "power", scope: yield* Effect.scope })
    })
  ).pipe(Layer.provide(SecureRandom.layerWebCrypto))

const failure = (directory: string) => (cause: unknown) =>
  new JournalError({
    message: `the journal directory ${directory} cannot be used: ${cause instanceof Error ? cause.message : "unknown"}`,
    cause
  })

/** The shortest interval between two checks for files of processes that have ended, in milliseconds. */
const checkInterval = Duration.toMillis("1 second")

interface Disk {
  readonly files: JournalFiles
  readonly directory: string
  /** Whether records are flushed. */
  readonly flushes: boolean
  /** The scope of what goes on in the background. */
  readonly scope: Scope.Scope
}

interface Kept extends JournalEntry {
  segment: Segment | undefined
}

/** After how long a record that the disk did not take is written again. Most faults of a disk pass, and the process may end until then. */
const writeAgainAfter = Duration.millis(250)

const make = (disk: Disk | undefined): Journal["Service"] => {
  const entries = new Map<ConnectedAccountId, Array<JournalEntry>>()
  let failing = false
  let checkedAt = Number.NEGATIVE_INFINITY

  const add = (entry: Kept): Kept => {
    const others = entries.get(entry.accountId)
    if (others === undefined) entries.set(entry.accountId, [entry])
    else others.push(entry)
    return entry
  }

  /** The records that a loss of power could still cost. */
  const unflushed = new Set<JournalEntry>()

  /** Writes a record. A place that it had before may be damaged. */
  const write = ({ directory, files, flushes }: Disk, entry: Kept) =>
    Effect.try({
      try: () => {
        const before = entry.segment
        const segment = files.write(entry)
        entry.segment = segment
        if (flushes) unflushed.add(entry)
        if (before !== undefined) files.settle(before)
        return segment
      },
      catch: failure(directory)
    })

  const flush = ({ directory, flushes }: Disk, entry: Kept, { flush }: OwnSegment) =>
    flushes
      ? Effect.callback<void, JournalError>((resume) =>
          flush((error) => resume(error === undefined ? Effect.void : Effect.fail(failure(directory)(error))))
        ).pipe(Effect.tap(() => Effect.sync(() => unflushed.delete(entry))))
      : Effect.void

  const isLeft = (entry: JournalEntry): boolean => entries.get(entry.accountId)?.includes(entry) === true

  /** Writes a record again until the disk has it. A record that was settled meanwhile is not needed. */
  const keepWriting = (disk: Disk, entry: Kept, { message }: JournalError): Effect.Effect<void> => {
    const { accountId } = entry
    const again = Effect.suspend(() =>
      isLeft(entry) ? Effect.flatMap(write(disk, entry), (segment) => flush(disk, entry, segment)) : Effect.void
    )
    return Effect.logError("an answer could not be written to the journal; it is only in the memory of this process", {
      accountId,
      message
    }).pipe(
      Effect.andThen(Effect.eventually(Effect.delay(again, writeAgainAfter))),
      Effect.andThen(
        Effect.suspend(() =>
          isLeft(entry)
            ? Effect.logInfo("the journal has the answer that could not be written", { accountId })
            : Effect.void
        )
      )
    )
  }

  const append = (disk: Disk, record: JournalRecord): Effect.Effect<JournalEntry> => {
    const entry = add({ ...record, segment: undefined })
    const inBackground = (effect: Effect.Effect<void>) =>
      Effect.asVoid(Effect.forkIn(effect, disk.scope, { startImmediately: true }))
    const flushed = (segment: OwnSegment) =>
      Effect.matchEffect(flush(disk, entry, segment), {
        // A record that was settled meanwhile needs no flush.
        onFailure: (error) => (isLeft(entry) ? keepWriting(disk, entry, error) : Effect.void),
        onSuccess: () => Effect.void
      })
    return Effect.matchEffect(write(disk, entry), {
      onFailure: (error) => inBackground(keepWriting(disk, entry, error)),
      onSuccess: (segment) => (disk.flushes ? inBackground(flushed(segment)) : Effect.void)
    }).pipe(Effect.as(entry))
  }

  const takeOver = Effect.fnUntraced(function* ({ directory, files }: Disk) {
    const { damaged, records, torn } = yield* Effect.try({ try: () => files.takeOver(), catch: failure(directory) })
    for (const path of torn) yield* Effect.logWarning("the last record of a journal file was cut short", { path })
    for (const path of damaged) {
      yield* Effect.logError("a journal file has a line that is not a record; the file is left in place", { path })
    }
    return records.map(({ record, segment }) => add({ ...record, segment }))
  })

  /** Reserves space for one answer. Logs the first failure, and when there is space again. */
  const reserve = ({ directory, files }: Disk) =>
    Effect.try({ try: () => files.reserve(), catch: failure(directory) }).pipe(
      Effect.tap(() => {
        if (!failing) return Effect.void
        failing = false
        return Effect.logInfo("the journal has space again", { directory })
      }),
      Effect.tapError(({ message }) => {
        if (failing) return Effect.void
        failing = true
        return Effect.logError("the journal has no space; nothing is renewed until it has", { message })
      })
    )

  return Journal.of({
    room:
      disk === undefined
        ? Effect.void
        : Effect.acquireRelease(reserve(disk), () => Effect.sync(() => disk.files.release())),
    append: (record) =>
      Effect.suspend(() =>
        disk === undefined ? Effect.succeed(add({ ...record, segment: undefined })) : append(disk, record)
      ),
    isOnDisk: (entry) =>
      Effect.sync(
        () => entry.segment !== undefined && !unflushed.has(entry) && disk?.files.isInPlace(entry.segment) === true
      ),
    settle: (entry) =>
      Effect.suspend(() => {
        const left = entries.get(entry.accountId)?.filter((each) => each !== entry) ?? []
        if (left.length === (entries.get(entry.accountId)?.length ?? 0)) return Effect.void
        if (left.length === 0) entries.delete(entry.accountId)
        else entries.set(entry.accountId, left)
        unflushed.delete(entry)
        const { segment } = entry
        return disk === undefined || segment === undefined
          ? Effect.void
          : Effect.try({ try: () => disk.files.settle(segment), catch: failure(disk.directory) }).pipe(
              Effect.catch(({ message }) => Effect.logWarning("a journal file could not be emptied", { message }))
            )
      }),
    entriesOf: (id) => Effect.sync(() => entries.get(id) ?? []),
    all: Effect.sync(() => [...entries.values()].flat()),
    takeOver:
      disk === undefined
        ? Effect.succeed([])
        : Effect.flatMap(MonotonicClock.millis, (now) => {
            if (now - checkedAt < checkInterval) return Effect.succeed([])
            checkedAt = now
            return takeOver(disk).pipe(
              Effect.catch(({ message }) =>
                Effect.as(Effect.logWarning("the journal directory cannot be read", { message }), [])
              )
            )
          })
  })
}
