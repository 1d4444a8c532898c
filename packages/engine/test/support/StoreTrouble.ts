/**
 * A store that fails, and engines that are closed and started again on the same files.
 *
 * @module
 */
import { ConnectedAccounts, type ConnectedAccountId } from "@rekindle/core"
import { Journal, StoreError } from "@rekindle/engine"
import { ScriptedProvider } from "@rekindle/testing"
import { type Duration, Effect } from "effect"
import { TestClock } from "effect/testing"
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join as path } from "node:path"
import { beginning, type Options, rest, type Services, settle, start } from "./ScriptedEngine.ts"

/** A store that fails or hangs when a new credential is written. */
export const trouble = () => {
  const state: { failures: number; hangs: boolean; slow: Duration.Input } = { failures: 0, hangs: false, slow: 0 }
  const options: Options = {
    store: (store) => ({
      ...store,
      write: (change) => {
        if (change.to.generation === change.from.generation) return store.write(change)
        if (state.hangs) return Effect.never
        if (state.slow !== 0) return Effect.delay(store.write(change), state.slow)
        return state.failures-- > 0 ? Effect.fail(new StoreError({ message: "the disk is full" })) : store.write(change)
      }
    })
  }
  return { state, options }
}

/** A directory that is removed with the scope. */
export const temporary = Effect.acquireRelease(
  Effect.promise(() => mkdtemp(path(tmpdir(), "rekindle-journal-"))),
  (directory) => Effect.promise(() => rm(directory, { recursive: true, force: true }))
)

/** The lines of a journal's files, one for each record. */
export const recordsIn = (directory: string) =>
  Effect.promise(async () => {
    const names = (await readdir(directory)).filter((name) => name.endsWith(".segment"))
    const texts = await Promise.all(names.map((name) => readFile(path(directory, name), "latin1")))
    return texts.flatMap((text) =>
      text
        .slice(0, text.indexOf("\0"))
        .split("\n")
        .filter((line) => line !== "")
    )
  })

/** A refresh in small steps of the clock. */
export const refreshSlowly = (id: ConnectedAccountId) =>
  Effect.flatMap(ConnectedAccounts, (accounts) => settle(accounts.refresh(id), "10 millis"))

/**
 * An engine on files is started, left with an answer in the journal, and stopped. Then `after` runs in a new engine on the same files,
 * whose store still fails.
 */
export const restarted = <A, E, E2>(
  before: (state: { failures: number }) => Effect.Effect<A, E, Services>,
  after: (left: A, directory: string, state: { failures: number }) => Effect.Effect<void, E2, Services>,
  between: (directory: string) => Promise<void> = () => Promise.resolve()
) =>
  Effect.gen(function* () {
    yield* TestClock.setTime(beginning)
    const folder = yield* temporary
    const directory = path(folder, "journal")
    const files = {
      filename: path(folder, "accounts.db"),
      journal: Journal.layerDirectory(directory),
      sharedProvider: yield* ScriptedProvider.make()
    }
    const { options, state } = trouble()
    const first = yield* start({ ...files, ...options })
    const left = yield* Effect.provideContext(before(state), first.context)
    yield* settle(first.stop, "1 second")
    yield* Effect.promise(() => between(directory))
    const second = yield* start({ ...files, ...options })
    // The engine tries once by itself, without success.
    yield* rest
    yield* Effect.provideContext(after(left, directory, state), second.context)
    yield* settle(second.stop, "1 second")
  })
