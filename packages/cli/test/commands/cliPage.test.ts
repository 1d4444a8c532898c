import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { exitCodes } from "#cli/commands/exit.ts"
import { runRekindle } from "../support/commandLine.ts"

const page = readFileSync(join(import.meta.dirname, "../../../../docs/cli.md"), "utf8")

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
