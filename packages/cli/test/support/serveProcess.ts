/**
 * `rekindle serve` in a process of its own.
 *
 * @module
 */
import { Effect, type Scope } from "effect"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { fileURLToPath } from "node:url"
import { version } from "#cli/version.ts"
import { bundle } from "../../../engine/test/support/bundle.ts"

// It reads its version from the manifest beside it, unless it has it inside.
const bin = await bundle(fileURLToPath(new URL("../../src/bin.ts", import.meta.url)), {
  REKINDLE_VERSION: JSON.stringify(version)
})

/** A running server. */
export interface ServeProcess {
  readonly pid: number
  /** Where it listens. */
  readonly url: string
  /** What it has written so far, the last million characters of it at least. */
  readonly stdout: () => string
  readonly stderr: () => string
  /** The key of a first start. */
  readonly adminKey: () => string
  /** Waits until standard output or error has a text. Fails if the process ends before. */
  readonly said: (text: string) => Effect.Effect<void>
  /** Reads standard output no longer, as a log's reader that ended. */
  readonly stopReading: () => void
  readonly signal: (signal: "SIGTERM" | "SIGKILL") => void
  /** Waits for its end: the exit code, or the signal that ended it. */
  readonly ended: Effect.Effect<number | string>
}

/** What is run, and where. */
export interface Program {
  readonly command: readonly [program: string, ...args: ReadonlyArray<string>]
  readonly cwd?: string
  readonly env: Readonly<Record<string, string>>
  /** Gets what it writes on standard output, piece by piece. */
  readonly onOutput?: (text: string) => void
}

/** A server that runs for long writes more than anybody reads. */
const kept = 1_000_000

const { NODE_COMPILE_CACHE = "", PATH = "" } = process.env

/** The command from its sources, as one file. */
export const fromSources: Program = { command: [process.execPath, bin], env: { NODE_COMPILE_CACHE, PATH } }

/** Starts a server on a free port, and waits until it listens. It is killed with the scope. */
export const serve = Effect.fnUntraced(function* (
  env: Readonly<Record<string, string>>,
  args: ReadonlyArray<string> = [],
  { command: [program, ...before], cwd, env: ambient, onOutput }: Program = fromSources
): Effect.fn.Return<ServeProcess, never, Scope.Scope> {
  const child = yield* Effect.acquireRelease(
    Effect.sync(() =>
      spawn(program, [...before, "serve", "--port", "0", ...args], {
        stdio: ["ignore", "pipe", "pipe"],
        env: { ...ambient, ...env },
        ...(cwd !== undefined && { cwd })
      })
    ),
    (child) =>
      Effect.promise(async () => {
        if (child.exitCode !== null || child.signalCode !== null) return
        child.kill("SIGKILL")
        await once(child, "exit")
      })
  )
  const ended = once(child, "close").then(([code, signal]) => code ?? signal)
  const written = { stdout: "", stderr: "" }
  const waiting = new Set<() => void>()
  for (const name of ["stdout", "stderr"] as const) {
    child[name].setEncoding("utf8").on("data", (text: string) => {
      written[name] += text
      if (written[name].length > 2 * kept) written[name] = written[name].slice(-kept)
      for (const look of waiting) look()
    })
  }
  if (onOutput !== undefined) child.stdout.on("data", onOutput)
  const said = (text: string) =>
    Effect.promise(
      () =>
        new Promise<void>((resolve, reject) => {
          const look = () => {
            if (!(written.stdout + written.stderr).includes(text)) return
            waiting.delete(look)
            resolve()
          }
          waiting.add(look)
          look()
          void ended.then((code) => reject(new Error(`serve ended with ${code}: ${written.stderr}`)))
        })
    )
  yield* said('"listening"')
  // The two outputs are two pipes.
  if (written.stdout.includes("the first admin key")) yield* said("shown this once")
  const [, url = ""] = /"address":"([^"]*)"/.exec(written.stdout) ?? []
  return {
    pid: child.pid ?? 0,
    url,
    stdout: () => written.stdout,
    stderr: () => written.stderr,
    adminKey: () => /admin key, shown this once: (\S+)/.exec(written.stderr)?.[1] ?? "",
    said,
    stopReading: () => void child.stdout.destroy(),
    signal: (signal) => void child.kill(signal),
    ended: Effect.promise(() => ended)
  }
})
