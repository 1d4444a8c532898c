/**
 * Installs the packed package beside `effect` 3 alone, in a folder outside of the workspace, and compiles, bundles and runs `program.ts`
 * there against Rekindle's routes. `pnpm check:packages` runs it once the tarballs are made.
 *
 * @module
 */
import * as Core from "@rekindle/core"
import { ScriptedAccounts } from "@rekindle/testing"
import { Effect, type Scope } from "effect"
import { build } from "esbuild"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { globSync, realpathSync } from "node:fs"
import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import { accountId, apiKey, serve } from "../support/server.ts"

const root = resolve(import.meta.dirname, "../../../..")
/** The Effect 3 of this workspace. */
const effect = join(import.meta.dirname, "../../node_modules/effect/package.json")
const [tarball, ...others] = globSync(join(root, ".packed/rekindle-effect3-*.tgz"))
if (tarball === undefined || others.length > 0) throw new Error("Expected one tarball: run `pnpm check:packages`")

const folder: Effect.Effect<string, never, Scope.Scope> = Effect.acquireRelease(
  Effect.promise(() => mkdtemp(join(realpathSync(tmpdir()), "rekindle-packed-"))),
  (folder) => Effect.promise(() => rm(folder, { recursive: true, maxRetries: 5 }))
)

const run = (cwd: string, command: string, ...args: ReadonlyArray<string>) =>
  Effect.promise(async () => {
    const [code] = await once(spawn(command, args, { cwd, stdio: ["ignore", "inherit", "inherit"] }), "exit")
    if (code !== 0) throw new Error(`${command} ${args.join(" ")} exited with ${code}`)
  })

const writeJson = (file: string, value: unknown) => Effect.promise(() => writeFile(file, JSON.stringify(value)))

const compilerOptions = {
  target: "ES2024",
  lib: ["ES2024", "DOM", "DOM.Iterable"],
  module: "NodeNext",
  types: [],
  strict: true,
  exactOptionalPropertyTypes: true,
  noEmit: true
}

await Effect.runPromise(
  Effect.scoped(
    Effect.gen(function* () {
      const home = yield* folder
      const { version } = JSON.parse(yield* Effect.promise(() => readFile(effect, "utf8")))
      yield* writeJson(join(home, "package.json"), {
        private: true,
        type: "module",
        dependencies: { "@rekindle/effect3": `file:${tarball}`, effect: version }
      })
      yield* writeJson(join(home, "tsconfig.json"), { compilerOptions, files: ["program.ts"] })
      yield* Effect.promise(() => cp(join(import.meta.dirname, "program.ts"), join(home, "program.ts")))
      yield* run(home, "npm", "install", "--strict-peer-deps", "--ignore-scripts", "--no-audit", "--no-fund")
      yield* run(home, join(root, "node_modules/.bin/tsc"), "-p", home)
      yield* Effect.promise(() =>
        build({
          absWorkingDir: home,
          entryPoints: ["program.ts"],
          outdir: home,
          bundle: true,
          format: "esm",
          platform: "node"
        })
      )
      for (const program of ["program.ts", "program.js"]) {
        const origin = yield* serve(new Core.Unavailable({ message: "busy" }), ScriptedAccounts.ready)
        yield* run(home, process.execPath, program, origin, apiKey, accountId)
      }
    })
  )
)
console.log("@rekindle/effect3 works beside effect 3 alone")
