/**
 * How a command ends: exit codes that scripts can trust, and failures in plain words with what to do next.
 *
 * Handlers fail with the errors of the services that they use. This file says each of them in one sentence. No stack and no cause is
 * printed: a cause may hold what another program sent. `--log-level debug` prints the causes of defects.
 *
 * @module
 */
import { Failures } from "@rekindle/core"
import { Cause, Console, Data, Effect, Logger, Option, Predicate, Runtime, Schema, Stdio } from "effect"
import { CliError, CliOutput, Command, TerminalCapabilities } from "effect/cli"

/** The exit codes of every command. */
export const exitCodes = {
  /** All that was asked is done. */
  done: 0,
  /** It failed, and would fail again until something is corrected. */
  failed: 1,
  /** The command, a flag or a setting is wrong. Nothing was done. */
  usage: 2,
  /** The command ran to its end, and something is left that needs attention. The output names it. */
  attention: 3,
  /** The server, the database or a provider is busy or cannot be reached. The same command may succeed later. */
  tryAgain: 4
} as const

/** How a failed command ends. */
export type FailedExit = Exclude<keyof typeof exitCodes, "done">

/** A failure of a command itself. The failures of services need no wrapping. */
export class CommandFailed extends Schema.TaggedError<CommandFailed>("@rekindle/cli/CommandFailed")("CommandFailed", {
  message: Schema.String,
  /** What to do next. */
  fix: Schema.optionalKey(Schema.String),
  /** Details, such as each wrong field. */
  errors: Schema.optionalKey(Schema.Array(Schema.String)),
  exit: Schema.Literals(["failed", "usage", "attention", "tryAgain"]).pipe(
    Schema.withConstructorDefault(Effect.succeed("failed" as const))
  )
}) {}

/** A failure as it is printed. */
export interface Explained {
  readonly exit: FailedExit
  readonly message: string
  /** Details, such as each wrong field. */
  readonly errors: ReadonlyArray<string>
  /** What to do next. */
  readonly fix: string | undefined
  readonly slug: string | undefined
  readonly requestId: string | undefined
}

const defect: Explained = {
  exit: "failed",
  message: "rekindle met a defect of its own",
  errors: [],
  fix: "run the command again with --log-level debug and report what it says",
  slug: undefined,
  requestId: undefined
}

/** The errors after which the same command may succeed later. */
const transient = new Set(["RateLimited", "Unavailable", "RefusedLocally", "TransportError", "DeadlineExceeded"])

/** What to do after an error that does not say so itself, by its tag. */
const fixes: Readonly<Record<string, string>> = {
  Unauthorized: "log in with a valid key: rekindle login",
  Forbidden: "use a key with the scope that the command needs",
  TransportError: "check the address, and that the server runs: rekindle doctor",
  VaultError: "check REKINDLE_KEYS: rekindle doctor",
  StoreError: "check the database: rekindle doctor",
  SqlError: "check the database: rekindle doctor"
}

const field = (error: object, name: string): string | undefined => {
  const value: unknown = Reflect.get(error, name)
  return typeof value === "string" && value !== "" ? value : undefined
}

const actionOf = (slug: string | undefined): string | undefined => {
  const table: Readonly<Record<string, { readonly action: string }>> = Failures.bySlug
  return slug !== undefined && Object.hasOwn(table, slug) ? table[slug]?.action : undefined
}

/** Says a failure in plain words. */
export const explain = (error: unknown): Explained => {
  if (!Predicate.isObjectKeyword(error) || !("_tag" in error) || typeof error._tag !== "string") return defect
  const slug = field(error, "slug")
  const errors: unknown = Reflect.get(error, "errors")
  return {
    exit:
      error instanceof CommandFailed
        ? error.exit
        : transient.has(error._tag)
          ? "tryAgain"
          : error._tag === "ConfigError"
            ? "usage"
            : "failed",
    message: field(error, "message") ?? error._tag,
    errors: Array.isArray(errors) ? errors.filter(Predicate.isString) : [],
    fix: field(error, "fix") ?? field(error, "suggestedFix") ?? actionOf(slug) ?? fixes[error._tag],
    slug,
    requestId: field(error, "requestId")
  }
}

const sentences = ({ errors, fix, message, requestId }: Explained): string =>
  [
    `error: ${message}`,
    ...errors.filter((error) => !message.includes(error)).map((error) => `  - ${error}`),
    ...(fix === undefined ? [] : [`what to do: ${fix}`]),
    ...(requestId === undefined ? [] : [`request id: ${requestId}`])
  ].join("\n")

const asJson = ({ errors, exit, fix, message, requestId, slug }: Explained): string =>
  JSON.stringify({ error: { message, exit: exitCodes[exit], slug, suggested_fix: fix, errors, request_id: requestId } })

/** The exit codes, for `--help`. */
const codesInHelp = `EXIT CODES
  0  done
  1  failed
  2  wrong command, flag or setting; nothing was done
  3  done, and something needs attention
  4  busy or out of reach; try again later`

/** Help on standard output ends with the exit codes. A wrong call is two lines on standard error and not a page of help. */
const presenter: CliOutput.Presenter = {
  present: Effect.fnUntraced(function* (event) {
    if (event._tag === "Version") return yield* CliOutput.defaultPresenter.present(event)
    const { canColor } = yield* TerminalCapabilities.TerminalCapabilities
    const formatter = CliOutput.defaultFormatter({ colors: canColor })
    if (event._tag === "Help")
      return yield* Console.log(`${formatter.formatHelpDoc(event.helpDoc).trimEnd()}\n\n${codesInHelp}`)
    yield* Console.error(formatter.formatErrors(event.errors).trim())
    yield* Console.error(`what to do: see ${event.commandPath.join(" ")} --help`)
  })
}

/** Whether the arguments ask for the lines of a debugger. The handler that `--log-level` is for has ended. */
const isDebugging = (args: ReadonlyArray<string>): boolean =>
  /(?:^| )--log-level[ =](?:all|trace|debug)(?: |$)/.test(args.join(" "))

/** Prints a failure, and returns the exit code. */
const report = Effect.fnUntraced(function* <E>(cause: Cause.Cause<E>, args: ReadonlyArray<string>) {
  if (Cause.hasInterruptsOnly(cause)) return yield* Effect.interrupt
  const error = Option.getOrUndefined(Cause.findErrorOption(cause))
  // Effect has presented a wrong call.
  if (CliError.isCliError(error)) return exitCodes.usage
  const explained = error === undefined ? defect : explain(error)
  if (explained === defect && isDebugging(args)) yield* Console.error(Cause.pretty(cause))
  yield* Console.error(args.includes("--json") ? asJson(explained) : sentences(explained))
  return exitCodes[explained.exit]
})

/** Runs a command with arguments. Failures are printed. Returns the exit code. */
export const run = <Name extends string, Input, E, R, ContextInput>(
  command: Command.Command<Name, Input, ContextInput, E, R>,
  options: { readonly version: string }
): ((args: ReadonlyArray<string>) => Effect.Effect<number, never, R | Command.Environment>) => {
  const running = Command.runWith(command, options)
  return (args) =>
    running(args).pipe(
      Effect.as<number>(exitCodes.done),
      Effect.catchCause((cause) => report(cause, args)),
      Effect.provideService(CliOutput.Presenter, presenter),
      Effect.provideService(Logger.LogToStderr, true)
    )
}

/** A command that failed and has said so. */
class Ended extends Data.TaggedError("Ended")<{ readonly code: number }> {
  override readonly [Runtime.errorExitCode] = this.code
  override readonly [Runtime.errorReported] = false
}

/** Runs a command with the arguments of the process, for `runMain`. The process ends with the command's exit code. */
export const main = <Name extends string, Input, E, R, ContextInput>(
  command: Command.Command<Name, Input, ContextInput, E, R>,
  options: { readonly version: string }
): Effect.Effect<void, Ended, R | Command.Environment> =>
  Stdio.Stdio.use(({ args }) => args).pipe(
    Effect.flatMap(run(command, options)),
    Effect.flatMap((code) => (code === exitCodes.done ? Effect.void : Effect.fail(new Ended({ code }))))
  )
