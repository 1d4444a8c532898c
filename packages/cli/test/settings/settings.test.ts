/** Settings: one precedence, one page, and values that are refused without being repeated. */
import { assert, describe, it } from "@effect/vitest"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { ConfigProvider, Effect, Option, Record } from "effect"
import { globSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Setting from "#cli/settings/Setting.ts"
import * as Settings from "#cli/settings/settings.ts"
import { file as pageFile, servePage } from "../docs/servePage.ts"
import { runRekindle } from "../support/commandLine.ts"

const home = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "rekindle-settings-"))),
  (directory) => Effect.sync(() => rmSync(directory, { recursive: true }))
)

interface Sources {
  readonly flags?: Readonly<Record<string, string>>
  readonly env?: Readonly<Record<string, string>>
  readonly file?: unknown
}

const read = Effect.fnUntraced(function* ({ env = {}, file, flags = {} }: Sources) {
  const path = join(yield* home, "settings.json")
  if (file !== undefined) writeFileSync(path, typeof file === "string" ? file : JSON.stringify(file))
  const given = Record.map(Settings.serve, (_, name) => Option.fromUndefinedOr(flags[name]))
  return yield* Setting.read(
    Settings.all,
    Settings.serve,
    given,
    file === undefined ? Option.none() : Option.some(path)
  ).pipe(
    Effect.provide(NodeServices.layer),
    Effect.provideService(ConfigProvider.ConfigProvider, ConfigProvider.fromEnvRecord(env))
  )
})

describe("a setting", () => {
  it.effect("is taken from its flag, its variable, the file and its default, in that order", () =>
    Effect.gen(function* () {
      const file = { port: 3, privateHosts: ["a.internal", "b.internal"], renewer: false }
      const env = { REKINDLE_PORT: "2" }
      assert.strictEqual((yield* read({ flags: { port: "1" }, env, file })).port, 1)
      assert.strictEqual((yield* read({ env, file })).port, 2)
      const fromFile = yield* read({ file })
      assert.deepEqual(
        [fromFile.port, fromFile.privateHosts, fromFile.renewer],
        [3, ["a.internal", "b.internal"], false]
      )
      assert.strictEqual((yield* read({})).port, 8080)
    })
  )

  it.effect("with a wrong value is named with its place and form, and the value is not repeated", () =>
    Effect.gen(function* () {
      const secret = "mysql://root:hunter2@db/x"
      for (const [sources, place] of [
        [{ flags: { database: secret } }, "--database"],
        [{ env: { REKINDLE_DATABASE: secret } }, "REKINDLE_DATABASE"],
        [{ file: { database: secret } }, "database in"]
      ] as const) {
        const { message } = yield* Effect.flip(read(sources))
        assert.include(message, place)
        assert.include(message, "is not a SQLite file, or postgres://")
        assert.notInclude(message, "hunter2")
      }
    })
  )

  it.effect("that the file names wrongly is no setting", () =>
    Effect.gen(function* () {
      const { fix, message } = yield* Effect.flip(read({ file: { prot: 80 } }))
      assert.include(message, 'has "prot", which is no setting')
      assert.include(fix ?? "", "port")
      assert.include((yield* Effect.flip(read({ file: "{" }))).message, "is not a JSON object")
    })
  )

  it.effect("of every kind reads what its form says, and nothing else", () =>
    Effect.gen(function* () {
      const good = {
        database: "postgres://u:p@db/x",
        databaseConnections: "20",
        host: "::1",
        port: "0",
        publicUrl: "https://rekindle.example.com/base/",
        renewer: "true",
        logFormat: "json",
        shutdownTimeout: "5 seconds",
        otlpEndpoint: "http://collector:4318"
      }
      const { publicUrl } = yield* read({ flags: good })
      assert.strictEqual(publicUrl, "https://rekindle.example.com/base")
      for (const [name, value] of Object.entries({
        databaseConnections: "0",
        host: "",
        port: "65536",
        publicUrl: "rekindle.example.com",
        renewer: "perhaps",
        logFormat: "xml",
        shutdownTimeout: "soon",
        otlpEndpoint: "http://user:secret@collector"
      })) {
        yield* Effect.flip(read({ flags: { [name]: value } }))
      }
    })
  )

  it.effect("is in --help and on the page", () =>
    Effect.gen(function* () {
      const { stdout } = yield* runRekindle(["serve", "--help"])
      for (const { name, variable } of [Setting.config, ...Object.values(Settings.serve)]) {
        assert.include(stdout, `--${name} `)
        assert.include(stdout, variable)
      }
      assert.include(stdout, `--${Settings.logLevel.name} `)
      assert.strictEqual(readFileSync(pageFile, "utf8"), servePage())
    })
  )
})

describe("docs/operation.md", () => {
  it("says when to act on each metric", () => {
    const packages = join(import.meta.dirname, "../../..")
    const names = globSync("{cli,core,engine,platform}/src/**/*.ts", { cwd: packages }).flatMap((path) =>
      Array.from(
        readFileSync(join(packages, path), "utf8").matchAll(/Metric\.\w+\(\s*"([\w.]+)"/g),
        ([, name = ""]) => name
      )
    )
    assert.isAbove(names.length, 15)
    const page = readFileSync(join(packages, "../docs/operation.md"), "utf8")
    const rows = Array.from(page.matchAll(/^\| `(rekindle_\w+)` +\|/gm), ([, name]) => name)
    assert.sameMembers(rows, [...new Set(names.map((name) => name.replaceAll(".", "_")))])
  })
})

describe("rekindle init", () => {
  it.live("writes settings and a key file for this user alone, says the next command, and overwrites nothing", () =>
    Effect.gen(function* () {
      const directory = yield* home
      const path = join(directory, "settings.json")
      const database = join(directory, "rekindle.db")
      const args = ["init", "--config", path, "--database", database, "--public-url", "https://r.example.com"]
      const first = yield* runRekindle(args)
      assert.strictEqual(first.code, 0)
      assert.include(first.stdout, `rekindle serve --config ${path}`)
      assert.deepEqual(JSON.parse(readFileSync(path, "utf8")), {
        database,
        port: "8080",
        publicUrl: "https://r.example.com"
      })
      for (const file of [path, join(directory, "rekindle.keys")])
        assert.strictEqual(statSync(file).mode & 0o777, 0o600, file)
      const keys = readFileSync(join(directory, "rekindle.keys"), "utf8")
      const again = yield* runRekindle(args)
      assert.strictEqual(again.code, 1)
      assert.include(again.stderr, `${path} exists; nothing was done`)
      rmSync(path)
      assert.include((yield* runRekindle(args)).stdout, "exists and is kept")
      assert.strictEqual(readFileSync(join(directory, "rekindle.keys"), "utf8"), keys)
      assert.strictEqual((yield* runRekindle(["init", "--config", join(directory, "x"), "--port", "x"])).code, 2)
    })
  )
})
