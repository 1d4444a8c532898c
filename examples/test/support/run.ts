/**
 * Runs programs in processes of their own, as a user does.
 *
 * @module
 */
import { execFile } from "node:child_process"

/** The output and the exit code of a run. */
export interface Run {
  readonly code: number | string
  readonly stdout: string
  readonly stderr: string
}

/** Runs a program with these arguments. */
export const execute = (program: string, ...args: ReadonlyArray<string>): Promise<Run> =>
  new Promise((resolve) => {
    execFile(program, args, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : (error.code ?? error.signal ?? "unknown"), stdout, stderr })
    )
  })

/** Runs node with these arguments. */
export const node = (...args: ReadonlyArray<string>): Promise<Run> => execute(process.execPath, ...args)
