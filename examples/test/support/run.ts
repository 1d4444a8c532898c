/**
 * Runs programs in processes of their own, as a user does.
 *
 * @module
 */
import { execFile } from "node:child_process"
import { tmpdir } from "node:os"
import { join } from "node:path"

/** The output and the exit code of a run. */
export interface Run {
  readonly code: number | string
  readonly stdout: string
  readonly stderr: string
}

// A short run spends most of its time on stripping and compiling sources, so the results are cached between runs.
const env = { ...process.env, NODE_COMPILE_CACHE: join(tmpdir(), "node-compile-cache") }

/** Runs a program with these arguments. */
export const execute = (program: string, ...args: ReadonlyArray<string>): Promise<Run> =>
  new Promise((resolve) => {
    execFile(program, args, { env }, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : (error.code ?? error.signal ?? "unknown"), stdout, stderr })
    )
  })

/** Runs node with these arguments. */
export const node = (...args: ReadonlyArray<string>): Promise<Run> => execute(process.execPath, ...args)
