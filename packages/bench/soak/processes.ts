/**
 * The processes of a soak run: `rekindle serve` from its sources, on one database. They are killed, stopped and started again, and their
 * memory is watched.
 *
 * @module
 */
import { Effect, type Scope } from "effect"
import { execFile } from "node:child_process"
import { readFile } from "node:fs/promises"
import { promisify } from "node:util"
import { fromSources, type Program, serve, type ServeProcess } from "../../cli/test/support/serveProcess.ts"
import type { Row } from "../report.ts"

/** One process, from its start to its end. */
export interface Process {
  readonly name: string
  readonly url: string
  /** `ending` from just before it gets a signal. */
  state: "up" | "ending"
}

interface Incarnation extends Process {
  readonly server: ServeProcess
  /** Its resident megabytes, and when, in seconds since the start of the run. */
  readonly memory: Array<readonly [at: number, megabytes: number]>
}

/**
 * The resident memory of a process in megabytes; nothing if it is gone. On Linux it is without pages of files, such as the program itself, which the
 * kernel takes back and reads again as it likes: that would hide a leak.
 */
const resident = async (pid: number): Promise<number | undefined> => {
  const kilobytes = await readFile(`/proc/${pid}/status`, "utf8").then(
    (status) => /RssAnon:\s+(\d+)/.exec(status)?.[1],
    () =>
      promisify(execFile)("ps", ["-o", "rss=", "-p", String(pid)]).then(
        ({ stdout }) => stdout.trim(),
        () => undefined
      )
  )
  return kilobytes === undefined ? undefined : Number(kilobytes) / 1024
}

/** The command from its sources. */
const program = (onOutput: (text: string) => void): Program => ({ ...fromSources, onOutput })

/** The slope of a line through points, by least squares. */
const slope = (points: ReadonlyArray<readonly [number, number]>): number => {
  const mean = (of: (point: readonly [number, number]) => number) =>
    points.reduce((sum, point) => sum + of(point), 0) / points.length
  const [x0, y0] = [mean(([x]) => x), mean(([, y]) => y)]
  return mean(([x, y]) => (x - x0) * (y - y0)) / mean(([x]) => (x - x0) ** 2)
}

/**
 * How far the peak of the second half of a process's life may be above that of its first half, as a share. Between two garbage collections memory
 * rises and falls by more, so that a line through a few minutes says nothing.
 */
export const mostGrowth = 0.15

/** A life too short to tell growth from a start, in seconds. */
const tooShort = 100

/** Starts the processes, all at once on a new database, and begins to watch them. */
export const start = Effect.fnUntraced(function* (
  env: Readonly<Record<string, string>>,
  count: number,
  onError: (line: string) => void
): Effect.fn.Return<Processes, never, Scope.Scope> {
  const startedAt = performance.now()
  const all: Array<Incarnation> = []
  const current: Array<Incarnation> = []
  const lives: Array<number> = []

  /** Finds the lines that say that something is wrong in the service. */
  const watchLog = (name: string) => {
    let begun = ""
    return (text: string) => {
      const lines = (begun + text).split("\n")
      begun = lines.pop() ?? ""
      for (const line of lines) if (/"level":"(?:ERROR|FATAL)"/i.test(line)) onError(`${name}: ${line}`)
    }
  }

  const startAt = Effect.fnUntraced(function* (index: number) {
    lives[index] = (lives[index] ?? 0) + 1
    const name = `${index + 1}.${lives[index]}`
    const server = yield* serve(env, [], program(watchLog(name)))
    const made: Incarnation = { name, url: server.url, state: "up", server, memory: [] }
    all.push(made)
    current[index] = made
  })
  yield* Effect.forEach(
    Array.from({ length: count }, (_, index) => index),
    startAt,
    {
      concurrency: "unbounded",
      discard: true
    }
  )

  const watch = Effect.gen(function* () {
    for (const { memory, server, state } of current) {
      const megabytes = yield* Effect.promise(() => resident(server.pid))
      if (megabytes !== undefined && state === "up") memory.push([(performance.now() - startedAt) / 1000, megabytes])
    }
  })
  yield* Effect.forkScoped(Effect.forever(Effect.andThen(watch, Effect.sleep(2000))))

  const end = Effect.fnUntraced(function* (index: number, signal: "SIGKILL" | "SIGTERM") {
    const victim = current[index]
    if (victim === undefined) return "there is no such process"
    victim.state = "ending"
    victim.server.signal(signal)
    return yield* victim.server.ended
  })

  return {
    up: () => current.filter(({ state }) => state === "up"),
    end,
    startAgain: startAt,
    resident: () => current.map(({ memory }) => Math.round(memory.at(-1)?.[1] ?? 0)),
    memory: () =>
      all.map(({ memory, name }) => {
        const last = memory.at(-1) ?? [0, 0]
        const middle = ((memory[0]?.[0] ?? 0) + last[0]) / 2
        const half = memory.filter(([at]) => at >= middle)
        const lived = last[0] - (memory[0]?.[0] ?? 0)
        const peak = (points: typeof memory) => Math.max(1, ...points.map(([, megabytes]) => megabytes))
        const growth = lived < tooShort ? 0 : peak(half) / peak(memory.slice(0, -half.length)) - 1
        return {
          name: `serve ${name}`,
          "s lived": Math.round(lived),
          "MB at first": Math.round(memory[0]?.[1] ?? 0),
          "MB in the middle": Math.round(half[0]?.[1] ?? 0),
          "MB at last": Math.round(last[1]),
          "MB at most": Math.round(Math.max(0, ...memory.map(([, megabytes]) => megabytes))),
          "MB/min in the second half": lived < tooShort ? "too short" : Number((slope(half) * 60).toFixed(2)),
          growth: Number(growth.toFixed(3))
        }
      })
  }
})

/** Running processes. */
export interface Processes {
  readonly up: () => ReadonlyArray<Process>
  /** Ends a process with a signal. Returns how it ended. */
  readonly end: (index: number, signal: "SIGKILL" | "SIGTERM") => Effect.Effect<number | string>
  readonly startAgain: (index: number) => Effect.Effect<void, never, Scope.Scope>
  /** The resident megabytes of those that run now. */
  readonly resident: () => ReadonlyArray<number>
  /** A row for each process. `growth` is how far the peak of the second half of its life is above that of the first, as a share. */
  readonly memory: () => ReadonlyArray<Row & { readonly growth: number }>
}
