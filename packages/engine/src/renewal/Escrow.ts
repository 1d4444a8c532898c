/**
 * Where an answer waits that the store could not take yet.
 *
 * Between the provider's answer and our commit a rotated token exists nowhere but in this process. When the commit is slow or fails, the
 * sealed answer is written here, on this machine's own disk and flushed, so that neither a dead database nor a dead process loses it.
 * It is committed later with the same compare-and-set as any other: an entry that has been overtaken is dropped.
 *
 * @module
 */
import { ConnectedAccountId } from "@rekindle/core"
import { Context, Effect, Layer, Schema } from "effect"
import { mkdir, open, readdir, readFile, rename, rm } from "node:fs/promises"
import { join } from "node:path"
import { Sealed } from "../vault/CredentialVault.ts"

/** One waiting answer. `sealed` holds the answer itself, bound to the account id. */
export const EscrowEntry = Schema.Struct({
  accountId: ConnectedAccountId,
  event: Schema.Literals(["Renewed", "ConsentCompleted"]),
  /** The grant that the answer belongs to. */
  grantId: Schema.String,
  /** The grant that was in place when it came: another one after consent. */
  heldGrantId: Schema.String,
  /** The epoch of the lease that it was asked for under, or after consent the last one given out. */
  epoch: Schema.Int,
  /** Epoch milliseconds. */
  receivedAt: Schema.Int,
  sealed: Sealed
})
export type EscrowEntry = typeof EscrowEntry.Type

const EntryJson = Schema.fromJsonString(EscrowEntry)

/** Neither the store nor the escrow could keep an answer: the one failure in which a token may be lost. */
export class EscrowError extends Schema.TaggedError<EscrowError>("@rekindle/engine/EscrowError")("EscrowError", {
  message: Schema.String,
  cause: Schema.optionalKey(Schema.Defect())
}) {}

/** Keeps answers until they are committed. */
export class Escrow extends Context.Service<
  Escrow,
  {
    /** Returns when the entry is on disk. A failure leaves it in memory only. */
    readonly put: (entry: EscrowEntry) => Effect.Effect<void, EscrowError>
    readonly remove: (entry: EscrowEntry) => Effect.Effect<void, EscrowError>
    /** The entries of one account, oldest first. Answers from memory: asking before each renewal costs nothing. */
    readonly entriesOf: (id: ConnectedAccountId) => Effect.Effect<ReadonlyArray<EscrowEntry>>
    readonly all: Effect.Effect<ReadonlyArray<EscrowEntry>>
  }
>()("@rekindle/engine/Escrow") {
  /** Keeps entries in memory only: for an in-memory store, which would not survive the process either. */
  static readonly layerMemory: Layer.Layer<Escrow> = Layer.sync(Escrow, () =>
    make([], { put: () => Effect.void, remove: () => Effect.void })
  )

  /** Keeps entries as files in a directory, which is made if it is not there. Files that do not decode are left alone and logged. */
  static readonly layerDirectory = (directory: string): Layer.Layer<Escrow, EscrowError> =>
    Layer.effect(
      Escrow,
      Effect.gen(function* () {
        const attempt = <A>(run: () => Promise<A>) =>
          Effect.tryPromise({
            try: run,
            catch: (cause) => new EscrowError({ message: "the escrow directory failed", cause })
          })
        yield* attempt(() => mkdir(directory, { recursive: true, mode: 0o700 }))
        const names = yield* attempt(() => readdir(directory))
        const found: Array<EscrowEntry> = []
        for (const name of names.filter((name) => name.endsWith(suffix))) {
          const text = yield* attempt(() => readFile(join(directory, name), "utf8"))
          yield* Schema.decodeEffect(EntryJson)(text).pipe(
            Effect.matchEffect({
              onSuccess: (entry) => Effect.sync(() => found.push(entry)),
              onFailure: () => Effect.logError("an escrow file does not decode; it is left in place", { name })
            })
          )
        }
        const pathOf = (entry: EscrowEntry) => join(directory, nameOf(entry) + suffix)
        return make(found, {
          put: (entry) =>
            Effect.flatMap(Effect.orDie(Schema.encodeEffect(EntryJson)(entry)), (text) =>
              attempt(() => writeDurably(directory, pathOf(entry), text))
            ),
          remove: (entry) => attempt(() => rm(pathOf(entry), { force: true }))
        })
      })
    )
}

const suffix = ".escrow.json"
const nameOf = (entry: EscrowEntry) => `${entry.accountId}.${entry.event}.${entry.epoch}.${entry.receivedAt}`

// Written beside, flushed, renamed, and the directory flushed too: a crash leaves the whole entry or none (POSIX fsync(2), rename(2)).
const writeDurably = async (directory: string, path: string, text: string): Promise<void> => {
  const file = await open(`${path}.part`, "w", 0o600)
  try {
    await file.writeFile(text)
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(`${path}.part`, path)
  const folder = await open(directory, "r")
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}

const make = (
  initial: ReadonlyArray<EscrowEntry>,
  disk: Pick<Escrow["Service"], "put" | "remove">
): Escrow["Service"] => {
  const entries = new Map(initial.map((entry) => [nameOf(entry), entry]))
  const sorted = () => [...entries.values()].sort((a, b) => a.receivedAt - b.receivedAt)
  return {
    // In memory first: an answer that the disk does not take is settled too, as long as the process lives.
    put: (entry) =>
      Effect.andThen(
        Effect.sync(() => entries.set(nameOf(entry), entry)),
        disk.put(entry)
      ),
    remove: (entry) => Effect.tap(disk.remove(entry), () => Effect.sync(() => entries.delete(nameOf(entry)))),
    entriesOf: (id) =>
      Effect.sync(() => (entries.size === 0 ? [] : sorted().filter((entry) => entry.accountId === id))),
    all: Effect.sync(sorted)
  }
}
