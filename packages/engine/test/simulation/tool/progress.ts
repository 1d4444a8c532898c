/**
 * Which seeds were run on this version of the sources, in a file. So a long run can be stopped and goes on later, and no seed counts twice.
 *
 * A version is a hash of everything that a world is made of. After a change of the engine or of the simulation, counting begins anew.
 *
 * @module
 */
import { Data, Effect, Schema } from "effect"
import { createHash } from "node:crypto"
import { globSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { add, type Range } from "./ranges.ts"

const root = join(import.meta.dirname, "../../../../..")

/** The sources that decide what a seed does. */
const sources = [
  "packages/core/src/**/*.ts",
  "packages/engine/src/**/*.ts",
  "packages/testing/src/**/*.ts",
  "packages/engine/test/simulation/*.ts",
  "pnpm-lock.yaml"
]

/** A seed whose world failed, and what was wrong. */
export const FailedSeed = Schema.Struct({ seed: Schema.Int, name: Schema.String, message: Schema.String })
export type FailedSeed = typeof FailedSeed.Type

/** What was run. */
const Progress = Schema.Struct({
  ran: Schema.Array(Schema.Tuple([Schema.Int, Schema.Int])),
  failed: Schema.Array(FailedSeed)
})
export type Progress = typeof Progress.Type

/** The progress cannot be kept: the folder or the disk does not take it. */
export class NotKept extends Data.TaggedError("NotKept")<{ readonly message: string }> {}

const decode = Schema.decodeUnknownSync(Schema.fromJsonString(Progress))

/** Hashes the sources. */
export const version = (): string => {
  const hash = createHash("sha256")
  for (const file of globSync(sources, { cwd: root })
    .filter((file) => !file.endsWith(".test.ts"))
    .sort()) {
    hash
      .update(file)
      .update("\0")
      .update(readFileSync(join(root, file)))
      .update("\0")
  }
  return hash.digest("hex").slice(0, 12)
}

/** The progress file of a version. */
export const open = (version: string, folder = join(root, ".simulation")) => {
  const path = join(folder, `${version}.json`)
  const read = (): Progress => {
    try {
      return decode(readFileSync(path, "utf8"))
    } catch {
      return { ran: [], failed: [] }
    }
  }
  /** The file is replaced as a whole, so a run that is stopped leaves the old one or the new one. */
  const keep = (progress: Progress): Effect.Effect<Progress, NotKept> =>
    Effect.try({
      try: () => {
        mkdirSync(folder, { recursive: true })
        writeFileSync(`${path}.new`, JSON.stringify(progress))
        renameSync(`${path}.new`, path)
        return progress
      },
      catch: (error) => new NotKept({ message: `the progress cannot be kept in ${path}: ${String(error)}` })
    })
  return {
    path,
    read,
    keep,
    /** Adds a part. */
    add: (range: Range, failed: ReadonlyArray<FailedSeed>): Effect.Effect<Progress, NotKept> => {
      const before = read()
      const known = new Set(failed.map(({ seed }) => seed))
      return keep({
        ran: add(before.ran, range),
        failed: [...before.failed.filter(({ seed }) => !known.has(seed)), ...failed].sort(
          (one, other) => one.seed - other.seed
        )
      })
    }
  }
}
