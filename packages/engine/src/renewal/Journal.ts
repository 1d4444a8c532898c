/**
 * Keeps every answer from the moment it was read until it is committed.
 *
 * A rotated token exists nowhere but in the answer that brought it. So the complete raw answer, sealed, is written to a local append-only
 * journal in one write before it is parsed or judged, and only then the commit begins. One write survives `kill -9` and the kernel's
 * out-of-memory kill; `durability: "power"` flushes it too, many at once.
 *
 * No record is marked when it is committed. When a process starts, and before an account is renewed, what is in the journal is offered to
 * the commit, where a newer lease or grant drops it. That makes one mechanism for a slow store, a dead store and a dead process.
 *
 * @module
 */
import type { ConnectedAccountId } from "@rekindle/core"
import { Context, Duration, Effect, Layer, Schema, type Scope } from "effect"
import { monotonicMillis } from "../egress/timeLimit.ts"
import {
  type Durability,
  isInPlace,
  type JournalFiles,
  type JournalRecord,
  open,
  type Segment
} from "./journalFiles.ts"

export type { Durability, JournalRecord } from "./journalFiles.ts"

/** A record whose answer is not settled yet. */
export interface JournalEntry extends JournalRecord {
  /** The file that holds it. Undefined while it is only in the memory of this process. */
  readonly segment: Segment | undefined
}

/** The journal has no room, or cannot be reached. */
export class JournalError extends Schema.TaggedError<JournalError>("@rekindle/engine/JournalError")("JournalError", {
  message: Schema.String,
  cause: Schema.optionalKey(Schema.Defect())
}) {}

/** What a record has to survive. */
export interface JournalOptions {
  /**
   * `process`: the end of the process, also by `kill -9`. `power`: the loss of power as well, at the price of a flush of the disk, which
   * answers that arrive together share. Default `process`.
   */
  readonly durability?: Durability | undefined
}

/** Keeps answers until they are committed. */
export class Journal extends Context.Service<
  Journal,
  {
    /** Holds room on disk for one more answer as long as the scope is open. Fails if there is none. */
    readonly room: Effect.Effect<void, JournalError, Scope.Scope>
    /** Appends a record. It does not fail. A record that cannot be written is kept in memory and logged, and `isOnDisk` is false for it. */
    readonly append: (record: JournalRecord) => Effect.Effect<JournalEntry>
    /** Whether a record is on disk now, where the next process will find it. */
    readonly isOnDisk: (entry: JournalEntry) => Effect.Effect<boolean>
    /** Removes a record: it is committed, was overtaken by a newer one, or has nothing to commit. */
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
   * Keeps records in files in a directory on this machine's own disk. The directory is made, readable by this user alone; the one above it
   * has to be there. Any number of processes can use one directory: each writes files of its own.
   */
  static readonly layerDirectory = (
    directory: string,
    options: JournalOptions = {}
  ): Layer.Layer<Journal, JournalError> =>
    Layer.effect(
      Journal,
      Effect.acquireRelease(
        Effect.try({ try: () => open(directory, options.durability ?? "process"), catch: failure(directory) }),
        (files) => Effect.sync(() => files.close())
      ).pipe(Effect.map((files) => make({ files, directory, flushes: options.durability === "power" })))
    )
}

const failure = (directory: string) => (cause: unknown) =>
  new JournalError({
    message: `the journal directory ${directory} cannot be used: ${cause instanceof Error ? cause.message : "unknown"}`,
    cause
  })

/** The shortest interval between two checks for files of processes that have ended, in milliseconds. */
const lookAgainAfter = Duration.toMillis("1 second")

interface Disk {
  readonly files: JournalFiles
  readonly directory: string
  readonly flushes: boolean
}

const make = (disk: Disk | undefined): Journal["Service"] => {
  const entries = new Map<ConnectedAccountId, Array<JournalEntry>>()
  let failing = false
  let lookedAt = Number.NEGATIVE_INFINITY

  const add = (entry: JournalEntry): JournalEntry => {
    const others = entries.get(entry.accountId)
    if (others === undefined) entries.set(entry.accountId, [entry])
    else others.push(entry)
    return entry
  }

  /** Writes a record to disk. Undefined if that failed. */
  const write = ({ directory, files, flushes }: Disk, record: JournalRecord): Effect.Effect<Segment | undefined> =>
    Effect.try({ try: () => files.write(record), catch: failure(directory) }).pipe(
      Effect.tap((segment) =>
        flushes
          ? Effect.tapError(Effect.tryPromise({ try: () => segment.flush(), catch: failure(directory) }), () =>
              Effect.sync(() => files.settle(segment))
            )
          : Effect.void
      ),
      Effect.catch(({ message }) =>
        Effect.as(
          Effect.logError("an answer could not be written to the journal; this process alone holds it", {
            accountId: record.accountId,
            message
          }),
          undefined
        )
      )
    )

  const takeOver = Effect.fnUntraced(function* ({ directory, files }: Disk) {
    const { damaged, records, torn } = yield* Effect.try({ try: () => files.takeOver(), catch: failure(directory) })
    for (const path of torn) yield* Effect.logWarning("the last record of a journal file was cut short", { path })
    for (const path of damaged) {
      yield* Effect.logError("a journal file holds something that is no record; the file is left in place", { path })
    }
    return records.map(({ record, segment }) => add({ ...record, segment }))
  })

  /** Holds room. The first failure is logged, and so is the moment when there is room again. */
  const reserve = ({ directory, files }: Disk) =>
    Effect.try({ try: () => files.reserve(), catch: failure(directory) }).pipe(
      Effect.tap(() => {
        if (!failing) return Effect.void
        failing = false
        return Effect.logInfo("the journal has room again", { directory })
      }),
      Effect.tapError(({ message }) => {
        if (failing) return Effect.void
        failing = true
        return Effect.logError("the journal has no room; until it has, nothing is renewed", { message })
      })
    )

  return Journal.of({
    room:
      disk === undefined
        ? Effect.void
        : Effect.acquireRelease(reserve(disk), () => Effect.sync(() => disk.files.release())),
    append: (record) =>
      Effect.map(disk === undefined ? Effect.succeed(undefined) : write(disk, record), (segment) =>
        add({ ...record, segment })
      ),
    isOnDisk: ({ segment }) => Effect.sync(() => segment !== undefined && isInPlace(segment)),
    settle: (entry) =>
      Effect.suspend(() => {
        const left = entries.get(entry.accountId)?.filter((each) => each !== entry) ?? []
        if (left.length === (entries.get(entry.accountId)?.length ?? 0)) return Effect.void
        if (left.length === 0) entries.delete(entry.accountId)
        else entries.set(entry.accountId, left)
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
        : Effect.flatMap(monotonicMillis, (now) => {
            if (now - lookedAt < lookAgainAfter) return Effect.succeed([])
            lookedAt = now
            return takeOver(disk).pipe(
              Effect.catch(({ message }) =>
                Effect.as(Effect.logWarning("the journal directory cannot be read", { message }), [])
              )
            )
          })
  })
}
