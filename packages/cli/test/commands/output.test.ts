import { assert, describe, it } from "@effect/vitest"
import { AccountNotFound, InvalidRequest, Unauthorized, Unavailable } from "@rekindle/core"
import { StoreError } from "@rekindle/engine"
import { Effect, PlatformError } from "effect"
import { Command, Flag } from "effect/cli"
import { SqlError } from "effect/sql"
import { CommandFailed } from "#cli/commands/failure.ts"
import * as Output from "#cli/commands/output.ts"
import { runCommand } from "../support/commandLine.ts"

const people = [
  { name: "Ann", age: 41 },
  { name: "李小龍", age: null }
]

const list = Command.make("list", {}, () =>
  Output.list({
    json: { items: people },
    items: people,
    columns: [
      { title: "name", of: ({ name }) => name },
      { title: "age", of: ({ age }) => age }
    ],
    none: "nobody"
  })
)
const none = Command.make("none", {}, () =>
  Output.list({ json: { items: [] }, items: [], columns: [], none: "nobody" })
)
const wide = Command.make("wide", {}, () =>
  Output.list({
    json: {},
    items: ["小".repeat(40), "short"],
    columns: [
      { title: "name", atMost: 10, of: (name) => name },
      { title: "end", of: () => "|" }
    ],
    none: ""
  })
)
const hostile = Command.make("hostile", {}, () => Output.record({}, [["alias", "a\u001b[2Jb\nc\u202ed"]]))
const remove = Command.make("remove", { yes: Output.yes }, (options) =>
  Effect.andThen(Output.confirm("Remove it?", options), Output.print({ removed: true }, "removed"))
)
const failing = (name: string, failure: Effect.Effect<never, unknown>) => Command.make(name, {}, () => failure)

const root = Command.make("tool").pipe(
  Command.withSubcommands([
    list,
    none,
    wide,
    hostile,
    Command.make("hostile-text", {}, () =>
      Effect.andThen(Output.note("a\u001b[2J\u009bb\nc"), Output.print({ alias: "\u009b2J\u202e" }, "a\u001b[2J\tb\nc"))
    ),
    remove,
    Command.make("number", { n: Flag.Int("n") }, () => Effect.void),
    Command.make("page", { limit: Output.limit("People") }, () => Effect.void),
    failing(
      "absent",
      Effect.fail(
        new AccountNotFound({ message: "no connected account ca_12345678", slug: "connected_account_not_found" })
      )
    ),
    failing(
      "mean",
      Effect.fail(new CommandFailed({ message: "the provider says \u001b[2J\u009b1m\nerror: all is lost" }))
    ),
    failing(
      "locked",
      Effect.fail(
        new StoreError({
          message: "the statement failed: database is locked",
          cause: new SqlError.SqlError({ reason: new SqlError.LockTimeoutError({ cause: undefined }) })
        })
      )
    ),
    failing(
      "forbidden",
      Effect.fail(
        PlatformError.systemError({
          _tag: "PermissionDenied",
          module: "FileSystem",
          method: "open",
          pathOrDescriptor: "/etc/rekindle"
        })
      )
    ),
    failing("stranger", Effect.fail(new Unauthorized({ message: "the key is unknown", slug: "unknown_api_key" }))),
    failing("busy", Effect.fail(new Unavailable({ message: "the provider is busy", slug: "provider_busy" }))),
    failing(
      "wrong",
      Effect.fail(
        new InvalidRequest({ message: "not a config", slug: "invalid_auth_config", errors: ["hosts: missing"] })
      )
    ),
    failing("left", Effect.fail(new CommandFailed({ message: "2 are left", fix: "run it again", exit: "attention" }))),
    failing("broken", Effect.die(new Error("postgres://user:hunter2@db")))
  ]),
  Command.withGlobalFlags([Output.Json])
)

const tool = (args: ReadonlyArray<string>, terminal = false) => runCommand(root, args, { terminal })

describe("the output of a command", () => {
  it.effect("is an aligned table on a terminal", () =>
    Effect.gen(function* () {
      assert.deepEqual(yield* tool(["list"], true), {
        code: 0,
        stdout: "NAME    AGE\nAnn     41\n李小龍  -\n",
        stderr: ""
      })
    })
  )

  it.effect("is fields separated by tabs in a pipe", () =>
    Effect.gen(function* () {
      assert.strictEqual((yield* tool(["list"])).stdout, "Ann\t41\n李小龍\t-\n")
    })
  )

  it.effect("is one line of JSON in a pipe with --json, before or after the command", () =>
    Effect.gen(function* () {
      const expected = `${JSON.stringify({ items: people })}\n`
      assert.strictEqual((yield* tool(["list", "--json"])).stdout, expected)
      assert.strictEqual((yield* tool(["--json", "list"])).stdout, expected)
    })
  )

  it.effect("does not let a text of somebody else control the terminal", () =>
    Effect.gen(function* () {
      assert.strictEqual((yield* tool(["hostile"], true)).stdout, "alias  a [2Jb c d\n")
      assert.deepInclude(yield* tool(["hostile-text"], true), { stdout: "a [2J\tb\nc\n", stderr: "a [2J b\nc\n" })
      const { stdout } = yield* tool(["hostile-text", "--json"])
      assert.strictEqual(stdout, '{"alias":"\\u009b2J\\u202e"}\n')
      assert.strictEqual((yield* tool(["mean"])).stderr, "error: the provider says  [2J 1m error: all is lost\n")
      assert.notMatch((yield* tool(["mean", "--json"])).stderr, /\p{Cc}(?!$)/u)
    })
  )

  it.effect("says on standard error that a list is empty, where a pipe gets no line", () =>
    Effect.gen(function* () {
      assert.deepEqual(yield* tool(["none"]), { code: 0, stdout: "", stderr: "nobody\n" })
      assert.deepEqual(yield* tool(["none"], true), { code: 0, stdout: "nobody\n", stderr: "" })
      assert.deepEqual(yield* tool(["none", "--json"]), { code: 0, stdout: '{"items":[]}\n', stderr: "" })
    })
  )

  it.effect("shows the beginning of a wide text on a terminal, and all of it in a pipe", () =>
    Effect.gen(function* () {
      assert.strictEqual(
        (yield* tool(["wide"], true)).stdout,
        ["NAME       END", "小小小小…  |", "short      |", ""].join("\n")
      )
      assert.include((yield* tool(["wide"])).stdout, "小".repeat(40))
    })
  )
})

describe("the end of a command", () => {
  it.effect("is a sentence and what to do, with a code for each kind of failure", () =>
    Effect.gen(function* () {
      assert.deepEqual(yield* tool(["absent"]), {
        code: 1,
        stdout: "",
        stderr: "error: no connected account ca_12345678\nwhat to do: rekindle accounts list shows the ids\n"
      })
      assert.deepInclude(yield* tool(["stranger"]), {
        code: 1,
        stderr: "error: the key is unknown\nwhat to do: log in with a valid key: rekindle login, or REKINDLE_API_KEY\n"
      })
      const wrong = yield* tool(["wrong"])
      assert.strictEqual(wrong.code, 2)
      assert.match(wrong.stderr, /^error: not a config\n  - hosts: missing\nwhat to do: correct what is named, .*\n$/)
      assert.deepInclude(yield* tool(["left"]), { code: 3, stderr: "error: 2 are left\nwhat to do: run it again\n" })
      assert.deepInclude(yield* tool(["busy"]), {
        code: 4,
        stderr: "error: the provider is busy\nwhat to do: wait a moment, and type the command again\n"
      })
      assert.deepInclude(yield* tool(["locked"]), {
        code: 4,
        stderr:
          "error: the statement failed: database is locked\nwhat to do: try again, and end the other process if it hangs\n"
      })
      assert.deepInclude(yield* tool(["forbidden"]), {
        code: 1,
        stderr: "error: cannot use /etc/rekindle: this user may not\nwhat to do: give this user access to it\n"
      })
    })
  )

  it.effect("is JSON on standard error with --json", () =>
    Effect.gen(function* () {
      assert.strictEqual((yield* tool(["left", "--json=true"])).stderr, (yield* tool(["left", "--json"])).stderr)
      const { code, stderr, stdout } = yield* tool(["left", "--json"])
      assert.strictEqual(code, 3)
      assert.strictEqual(stdout, "")
      assert.deepEqual(JSON.parse(stderr), {
        error: { message: "2 are left", exit: 3, suggested_fix: "run it again", errors: [] }
      })
    })
  )

  it.effect("after a wrong call is 2, with a line and not a page of help", () =>
    Effect.gen(function* () {
      const wrong = [
        ["number"],
        ["number", "--n", "secret"],
        ["number", "--n", "1", "secret"],
        ["list", "--nonsense"],
        ["list", "--nonsense=secret"],
        ["page", "--limit", "0"],
        ["page", "--limit", "501"],
        ["nonsense"]
      ]
      for (const args of wrong) {
        const { code, stderr, stdout } = yield* tool(args)
        assert.strictEqual(code, 2, args.join(" "))
        assert.strictEqual(stdout, "")
        assert.match(stderr, /^error: .*\nwhat to do: see tool.* --help\n$/)
        assert.notInclude(stderr, "secret")
        const asJson = yield* tool([...args, "--json"])
        assert.deepInclude(JSON.parse(asJson.stderr).error, { exit: 2, errors: [] })
      }
      assert.include((yield* tool(["lst"])).stderr, "what to do: did you mean list? see tool --help")
    })
  )

  it.effect("after a defect shows neither a stack nor what the defect says", () =>
    Effect.gen(function* () {
      const { code, stderr } = yield* tool(["broken"])
      assert.strictEqual(code, 1)
      assert.notInclude(stderr, "hunter2")
      assert.notMatch(stderr, /\n\s+at /)
      assert.include((yield* tool(["broken", "--log-level", "debug"])).stderr, "hunter2")
    })
  )

  it.effect("without a terminal to ask on needs --yes", () =>
    Effect.gen(function* () {
      const { code, stderr } = yield* tool(["remove"])
      assert.strictEqual(code, 2)
      assert.include(stderr, "--yes")
      assert.deepInclude(yield* tool(["remove", "--yes"]), { code: 0, stdout: "removed\n" })
    })
  )

  it.effect("is explained by --help of every command", () =>
    Effect.gen(function* () {
      assert.include((yield* tool(["--help"])).stdout, "EXIT CODES")
      assert.include((yield* tool(["list", "--help"])).stdout, "EXIT CODES")
    })
  )
})
