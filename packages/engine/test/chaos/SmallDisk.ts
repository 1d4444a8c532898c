/**
 * A small file system that can be filled to the last byte, and that nothing else uses.
 *
 * **Gotchas**
 *
 * Only root can mount it. Where that is not allowed, tests that need it fail with this reason.
 *
 * @module
 */
import { Effect, type Scope } from "effect"
import { execFile } from "node:child_process"
import * as fs from "node:fs"
import { mkdtemp, rmdir } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"

const run = promisify(execFile)

/** A small file system. */
export interface SmallDisk {
  readonly folder: string
  /** Fills it to the last byte. */
  readonly fill: () => void
  /** Removes the filling. */
  readonly free: () => void
}

/** The size in megabytes: for a database and the journals of a few processes. */
const size = 32

/** Mounts a file system. It is removed with the scope. */
export const make: Effect.Effect<SmallDisk, never, Scope.Scope> = Effect.acquireRelease(
  Effect.promise(async () => {
    const folder = await mkdtemp(join(tmpdir(), "rekindle-disk-"))
    await run("mount", ["-t", "tmpfs", "-o", `size=${size}m,mode=0700`, "tmpfs", folder]).catch((cause: unknown) => {
      throw new Error("a small disk has to be mounted (tmpfs, by mount): run it on Linux, as root", { cause })
    })
    return folder
  }),
  (folder) =>
    Effect.promise(async () => {
      await run("umount", ["-l", folder])
      await rmdir(folder)
    })
).pipe(
  Effect.map((folder) => {
    const ballast = join(folder, "ballast")
    return {
      folder,
      fill: () => {
        const fd = fs.openSync(ballast, "a")
        for (const bytes of [1024 * 1024, 4096, 1]) append(fd, Buffer.alloc(bytes))
        fs.closeSync(fd)
      },
      free: () => fs.rmSync(ballast, { force: true })
    }
  })
)

/** Appends the same bytes until the disk is full. */
const append = (fd: number, bytes: Buffer): void => {
  try {
    while (fs.writeSync(fd, bytes) === bytes.length);
  } catch (cause) {
    if (!(cause instanceof Error && "code" in cause && cause.code === "ENOSPC")) throw cause
  }
}
