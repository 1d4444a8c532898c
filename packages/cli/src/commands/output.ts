/**
 * What a command says to the person or script that runs it: tables or JSON on standard output, progress and errors on standard error.
 *
 * On a terminal a list is a table with a heading. In a pipe it is lines of fields separated by tabs, so that `cut` and `awk` can read it.
 * With `--json` it is JSON, whose fields keep their names from release to release.
 *
 * @module
 */
import { Console, Effect, type Schema, Stdio, Stream } from "effect"
import { CliOutput, Flag, GlobalFlag, Prompt, TerminalCapabilities } from "effect/cli"
import { CommandFailed } from "./failure.ts"
import { clean, cleanJson, cleanLines, cut } from "./printable.ts"

/** `--json`, a flag of every command. `rekindle` provides its value. */
export const Json = GlobalFlag.Setting("json")({
  flag: Flag.Boolean("json").pipe(
    Flag.withDescription("Print JSON instead of tables and sentences"),
    Flag.withDefault(false)
  )
})

/** One column of a table. */
export interface Column<A> {
  readonly title: string
  /** On a terminal a wider text is cut at this many columns. Default: it is shown whole. */
  readonly atMost?: number
  readonly of: (item: A) => string | number | null | undefined
}

const cell = (value: string | number | null | undefined): string =>
  value === null || value === undefined || value === "" ? "-" : clean(String(value))

/** A table with aligned columns. */
export const table = <A>(items: ReadonlyArray<A>, columns: ReadonlyArray<Column<A>>): string => {
  const rows = [
    columns.map(({ title }) => title.toUpperCase()),
    ...items.map((item) => columns.map(({ atMost = Infinity, of }) => cut(cell(of(item)), atMost)))
  ]
  const widths = columns.map((_, index) => Math.max(...rows.map((row) => CliOutput.displayWidth(row[index] ?? ""))))
  return rows
    .map((row) =>
      row
        .map((text, index) => text + " ".repeat((widths[index] ?? 0) - CliOutput.displayWidth(text)))
        .join("  ")
        .trimEnd()
    )
    .join("\n")
}

const isTerminal = Stdio.Stdio.use(({ stdoutIsTerminal }) => stdoutIsTerminal)

/** Prints a value with `--json`, and the text without. */
export const print = Effect.fnUntraced(function* (json: Schema.Json, text: Effect.Effect<string> | string) {
  if (yield* Json) return yield* Console.log(cleanJson(JSON.stringify(json, null, (yield* isTerminal) ? 2 : 0)))
  const shown = typeof text === "string" ? text : yield* text
  if (shown !== "") yield* Console.log(cleanLines(shown))
})

/** Prints a list. `json` is the whole list as JSON, and `none` what a person reads if there is nothing in it. */
export const list = Effect.fnUntraced(function* <A>(options: {
  readonly json: Schema.Json
  readonly items: ReadonlyArray<A>
  readonly columns: ReadonlyArray<Column<A>>
  readonly none: string
}) {
  const { columns, items, json, none } = options
  const onTerminal = yield* isTerminal
  // A pipe gets no line, and whoever reads the log of a script sees why.
  if (items.length === 0 && !onTerminal && none !== "") yield* note(none)
  yield* print(
    json,
    !onTerminal
      ? items.map((item) => columns.map(({ of }) => cell(of(item))).join("\t")).join("\n")
      : items.length === 0
        ? none
        : table(items, columns)
  )
})

/** Prints the fields of one thing, one on a line. */
export const record = Effect.fnUntraced(function* (
  json: Schema.Json,
  fields: ReadonlyArray<readonly [name: string, value: string | number | null | undefined]>
) {
  const width = Math.max(...fields.map(([name]) => name.length))
  yield* print(json, fields.map(([name, value]) => `${name.padEnd(width)}  ${cell(value)}`).join("\n"))
})

/** Says something to a person that does not belong to the result: on standard error, and not with `--json`. */
export const note = Effect.fnUntraced(function* (text: string) {
  if (!(yield* Json)) yield* Console.error(cleanLines(text))
})

/** Shows how far a long piece of work is, on one line of a terminal. Elsewhere it says nothing. The line is erased when the scope ends. */
export const progress = Effect.gen(function* () {
  const stdio = yield* Stdio.Stdio
  if (!(yield* stdio.stderrIsTerminal)) return (_text: string) => Effect.void
  const write = (text: string) => Effect.ignore(Stream.run(Stream.make(text), stdio.stderr()))
  const eraseLine = "\r\u001b[2K"
  yield* Effect.addFinalizer(() => write(eraseLine))
  return (text: string) => write(eraseLine + clean(text))
})

/** `--limit` of a list. */
export const limit = (what: string) =>
  Flag.Int("limit").pipe(
    Flag.withDescription(`${what}, 1 to 500`),
    Flag.filter(
      (limit) => limit >= 1 && limit <= 500,
      () => "a number from 1 to 500"
    ),
    Flag.withDefault(50)
  )

/** `--yes`. */
export const yes = Flag.Boolean("yes").pipe(
  Flag.withAlias("y"),
  Flag.withDescription("Do not ask; needed where there is no terminal to ask on"),
  Flag.withDefault(false)
)

/** Asks on a terminal before something that cannot be undone. Elsewhere, and with `--json`, `--yes` is needed. */
export const confirm = Effect.fnUntraced(function* (question: string, options: { readonly yes: boolean }) {
  if (options.yes) return
  const { canPrompt } = yield* TerminalCapabilities.TerminalCapabilities
  if (!canPrompt || (yield* Json)) {
    return yield* new CommandFailed({
      message: `${question} Nothing was done`,
      fix: "there is no terminal to ask on; add --yes if you mean it",
      exit: "usage"
    })
  }
  if (yield* Prompt.Confirm({ message: clean(question) })) return
  return yield* new CommandFailed({ message: "nothing was done", exit: "failed" })
})
