import { assert, describe, it } from "@effect/vitest"
import { AccountNotFound, InvalidRequest, Unauthorized, Unavailable } from "@rekindle/core"
import { Effect } from "effect"
import { Command, Flag } from "effect/cli"
import { CommandFailed } from "#cli/commands/exit.ts"
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
const hostile = Command.make("hostile", {}, () => Output.record({}, [["alias", "a\u001b[2Jb\nc\u202ed"]]))
const remove = Command.make("remove", { yes: Output.yes }, (options) =>
  Effect.andThen(Output.confirm("Remove it?", options), Output.print({ removed: true }, "removed"))
)
const failing = (name: string, failure: Effect.Effect<never, unknown>) => Command.make(name, {}, () => failure)

const root = Command.make("tool").pipe(
  Command.withSubcommands([
    list,
    hostile,
    remove,
    Command.make("number", { n: Flag.Int("n") }, () => Effect.void),
    failing("absent", Effect.fail(new AccountNotFound({ message: "no connected account ca_12345678" }))),
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
    })
  )
})

describe("the end of a command", () => {
  it.effect("is a sentence and what to do, with a code for each kind of failure", () =>
    Effect.gen(function* () {
      assert.deepEqual(yield* tool(["absent"]), {
        code: 1,
        stdout: "",
        stderr: "error: no connected account ca_12345678\n"
      })
      assert.deepInclude(yield* tool(["stranger"]), {
        code: 1,
        stderr: "error: the key is unknown\nwhat to do: use a valid one\n"
      })
      assert.deepInclude(yield* tool(["wrong"]), {
        code: 1,
        stderr: "error: not a config\n  - hosts: missing\nwhat to do: correct the fields in `errors`\n"
      })
      assert.deepInclude(yield* tool(["left"]), { code: 3, stderr: "error: 2 are left\nwhat to do: run it again\n" })
      assert.deepInclude(yield* tool(["busy"]), {
        code: 4,
        stderr: "error: the provider is busy\nwhat to do: send it again after Retry-After\n"
      })
    })
  )

  it.effect("is JSON on standard error with --json", () =>
    Effect.gen(function* () {
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
      for (const args of [["number"], ["number", "--n", "x"], ["list", "--nonsense"], ["nonsense"]]) {
        const { code, stderr, stdout } = yield* tool(args)
        assert.strictEqual(code, 2, args.join(" "))
        assert.strictEqual(stdout, "")
        assert.match(stderr, /what to do: see tool.* --help/)
      }
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
