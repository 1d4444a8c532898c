/**
 * Makes `.binary/rekindle`: the command as one executable file, with Node inside (a single executable application). It is for the system and the
 * processor that it is made on, and needs nothing of the machine but its C library.
 *
 * `pnpm build:binary` runs it, on the pinned Node, which is also the Node inside.
 *
 * @module
 */
import { execFileSync } from "node:child_process"
import { chmodSync, copyFileSync, mkdirSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

const folder = join(import.meta.dirname, "../../.binary")
const program = join(folder, "rekindle.cjs")
const config = join(folder, "sea.json")
const blob = join(folder, "rekindle.blob")
const executable = join(folder, process.platform === "win32" ? "rekindle.exe" : "rekindle")

rmSync(folder, { recursive: true, force: true })
mkdirSync(folder)
const node = (...args: ReadonlyArray<string>) => execFileSync(process.execPath, args, { stdio: "inherit" })
node(join(import.meta.dirname, "build.ts"), "--one-file", program)

// The code cache is compiled code of the whole program: a start compiles nothing.
const settings = { main: program, output: blob, useCodeCache: true, disableExperimentalSEAWarning: true }
writeFileSync(config, JSON.stringify(settings))
node("--experimental-sea-config", config)

copyFileSync(process.execPath, executable)
chmodSync(executable, 0o755)
const isMac = process.platform === "darwin"
if (isMac) execFileSync("codesign", ["--remove-signature", executable])
node(
  fileURLToPath(import.meta.resolve("postject/dist/cli.js")),
  ...[executable, "NODE_SEA_BLOB", blob],
  // Where Node looks for a program inside itself.
  ...["--sentinel-fuse", "NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2"],
  ...(isMac ? ["--macho-segment-name", "NODE_SEA"] : [])
)
if (isMac) execFileSync("codesign", ["--sign", "-", executable])
for (const file of [program, config, blob]) rmSync(file)
