import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { globSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { exitCodes } from "#cli/commands/failure.ts"
import { runRekindle } from "../support/commandLine.ts"

const root = join(import.meta.dirname, "../../../..")
const page = readFileSync(join(root, "docs/cli.md"), "utf8")

/** The lines of shells in a document that run `rekindle`: the words behind it, to the end of the command. */
const linesOf = (text: string): ReadonlyArray<ReadonlyArray<string>> =>
  Array.from(text.matchAll(/```sh\n([^]*?)```/g), ([, body = ""]) => body)
    .flatMap((body) => body.replaceAll(/\\\n/g, " ").split("\n"))
    .flatMap((line) => {
      const [, rest] = /^(?:\w+=\S+ +)*rekindle +([^|>#)]*)/.exec(line) ?? []
      return rest === undefined ? [] : [rest.trim().split(/\s+/)]
    })

describe("the documents", () => {
  it.effect("type only commands and flags that there are", () =>
    Effect.gen(function* () {
      const documents = globSync(["README.md", "docs/*.md", "packages/*/README.md"], { cwd: root })
      const lines = documents.flatMap((file) =>
        linesOf(readFileSync(join(root, file), "utf8")).map((words) => [file, words] as const)
      )
      assert.isAbove(lines.length, 25)
      const helps = new Map<string, string>()
      for (const [file, words] of lines) {
        const typed = `${file}: rekindle ${words.join(" ")}`
        const end = words.findIndex((word) => word.startsWith("-"))
        const path = words.slice(0, end === -1 ? undefined : end)
        let help = ""
        // The words of the command come first, and then its arguments.
        for (let length = path.length; length > 0 && help === ""; length--) {
          const command = path.slice(0, length)
          const known = helps.get(command.join(" "))
          const { code, stdout } =
            known === undefined ? yield* runRekindle([...command, "--help"]) : { code: 0, stdout: known }
          if (code === 0) helps.set(command.join(" "), (help = stdout))
        }
        if (path.length > 0) assert.notStrictEqual(help, "", typed)
        else continue
        assert.isFalse(help.includes("<subcommand>"), typed)
        for (const flag of words.filter((word) => word.startsWith("--")))
          assert.match(help, new RegExp(`^ +${flag.split("=")[0]}\\b`, "m"), typed)
      }
    })
  )
})

describe("docs/cli.md", () => {
  it.effect("names only commands and subcommands that there are", () =>
    Effect.gen(function* () {
      const rows = [...page.matchAll(/^\| `rekindle (\w+)` +\| (.*?) *\|$/gm)]
      assert.isAbove(rows.length, 6)
      for (const [, command = "", text = ""] of rows) {
        const { code, stdout } = yield* runRekindle([command, "--help"])
        assert.strictEqual(code, 0, command)
        if (!stdout.includes("SUBCOMMANDS")) continue
        for (const [, subcommand = ""] of text.matchAll(/`(\w+)`/g))
          assert.match(stdout, new RegExp(`^ +${subcommand} `, "m"))
      }
    })
  )

  it.effect("has every command", () =>
    Effect.gen(function* () {
      const { stdout } = yield* runRekindle(["--help"])
      const [, commands = ""] = /SUBCOMMANDS\n([^]*?)\n\n/.exec(stdout) ?? []
      for (const [, command = ""] of commands.matchAll(/^ +([\w-]+) /gm))
        assert.match(page, new RegExp(`\\| \`rekindle ${command}\` |\`${command}\` removes`), command)
    })
  )

  it("has every exit code", () => {
    const codes = [...page.matchAll(/^\| (\d+) +\|/gm)].map(([, code]) => Number(code))
    assert.sameMembers(codes, [...Object.values(exitCodes), 130])
  })

  it.effect("completes commands and flags in every shell", () =>
    Effect.gen(function* () {
      for (const shell of ["bash", "zsh", "fish", "powershell"]) {
        const { code, stdout } = yield* runRekindle(["--completions", shell])
        assert.strictEqual(code, 0)
        for (const word of ["accounts", "revoke", "dry-run"]) assert.include(stdout, word, shell)
      }
    })
  )
})
