/**
 * Runs many seeds, in parts, by as many processes as asked. What an earlier run of the same sources did is not done again.
 *
 * @module
 */
import { Clock, Effect } from "effect"
import * as Progress from "./progress.ts"
import { count, missing, parts, type Range } from "./ranges.ts"
import { makeWorker } from "./workers.ts"

/** The seeds of a part. A run that is stopped loses at most one part of each process. */
const partSize = 50

/** A run ends when this many of its seeds have failed. */
const mostFailed = 10

/** The figures of a run, also while it runs. */
export interface Figures {
  /** The sources that it ran. */
  readonly version: string
  readonly from: number
  readonly seeds: number
  /** The seeds of these that were run, now or earlier. */
  readonly done: number
  /** The seeds that were run now. */
  readonly ran: number
  readonly steps: number
  readonly seconds: number
  /** Those of these seeds that failed, now or earlier. */
  readonly failed: ReadonlyArray<Progress.FailedSeed>
  /** All distinct seeds that were ever run on this version, and how many of them failed. */
  readonly total: number
  readonly totalFailed: number
}

/** Runs the seeds. `onPart` gets the figures after each part. */
export const runMany = ({
  folder,
  from,
  jobs,
  onPart,
  seeds
}: {
  readonly from: number
  readonly seeds: number
  readonly jobs: number
  /** Where the progress is noted. */
  readonly folder?: string | undefined
  readonly onPart: (figures: Figures) => void
}): Effect.Effect<Figures, Progress.NotKept> =>
  Effect.gen(function* () {
    const asked: Range = [from, from + seeds]
    const version = Progress.version()
    const file = Progress.open(version, folder)
    const todo = parts(missing(file.read().ran, asked), partSize)
    const startedAt = yield* Clock.currentTimeMillis
    let ran = 0
    let steps = 0
    let next = 0

    const figures = (progress: Progress.Progress, now: number): Figures => ({
      version,
      from,
      seeds,
      done: seeds - count(missing(progress.ran, asked)),
      ran,
      steps,
      seconds: (now - startedAt) / 1000,
      failed: progress.failed.filter(({ seed }) => seed >= asked[0] && seed < asked[1]),
      total: count(progress.ran),
      totalFailed: progress.failed.length
    })
    // Told before the first part has been run in vain.
    let last = figures(yield* file.keep(file.read()), startedAt)

    const work = Effect.gen(function* () {
      const run = yield* makeWorker()
      while (last.failed.length < mostFailed) {
        const part = todo[next++]
        if (part === undefined) return
        for (let [at, end] = part; at < end;) {
          const done = yield* Effect.orDie(run({ range: [at, end], stopsAtFirst: false }))
          at = done.range[1]
          ran += done.range[1] - done.range[0]
          steps += done.steps
          last = figures(yield* file.add(done.range, done.failed), yield* Clock.currentTimeMillis)
          onPart(last)
        }
      }
    })
    yield* Effect.all(
      Array.from({ length: Math.min(jobs, todo.length) }, () => Effect.scoped(work)),
      { concurrency: "unbounded", discard: true }
    )
    return last
  })
