/**
 * Runs programs in processes of their own, as a user does.
 *
 * @module
 */
import { execFile } from "node:child_process"
import { tmpdir } from "node:os"
import { join } from "node:path"

/** What a run said, and how it ended. */
export interface Run {
  readonly code: number | string
  readonly stdout: string
  readonly stderr: string
}

// Stripped and compiled sources are kept from one run to the next: most of a short run is spent on them.
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
