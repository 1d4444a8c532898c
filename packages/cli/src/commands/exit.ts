/**
 * How a command ends: exit codes that scripts can trust, and failures in plain words with what to do next.
 *
 * No stack and no cause is printed: a cause may hold what another program sent. `--log-level debug` prints the causes of defects.
 *
 * @module
 */
import { Cause, Console, Data, Effect, Logger, Option, Runtime, Stdio } from "effect"
import { CliError, CliOutput, Command, TerminalCapabilities } from "effect/cli"
import { defect, exitCodes, explain, type Explained } from "./failure.ts"
import { clean, cleanJson } from "./printable.ts"

const sentences = ({ errors, fix, message, requestId }: Explained): string =>
  [
    `error: ${message}`,
    ...errors.filter((error) => !message.includes(error)).map((error) => `  - ${error}`),
    ...(fix === undefined ? [] : [`what to do: ${fix}`]),
    ...(requestId === undefined ? [] : [`request id: ${requestId}`])
  ]
    .map(clean)
    .join("\n")

const asJson = ({ errors, exit, fix, message, requestId, slug }: Explained): string =>
  cleanJson(
    JSON.stringify({
      error: { message, exit: exitCodes[exit], slug, suggested_fix: fix, errors, request_id: requestId }
    })
  )

/** Whether the arguments ask for JSON. Where they cannot be parsed, `Json` has no value. */
const isJson = (args: ReadonlyArray<string>): boolean =>
  args.some((arg) => /^--json(?:=(?:true|yes|on|1|y))?$/.test(arg))

/** Prints a failure on standard error. */
const say = (explained: Explained, args: ReadonlyArray<string>) =>
  Console.error(isJson(args) ? asJson(explained) : sentences(explained))

/** The exit codes, for `--help`. */
const codesInHelp = `EXIT CODES
  0  done
  1  failed
  2  wrong command, flag or setting; nothing was done
  3  done, and something needs attention
  4  busy or out of reach; try again later`

/** The sentence of a wrong call. It does not repeat a value, which may be a secret in the wrong place. */
const mistakeOf = (error: CliError.CliError): string => {
  if (error._tag === "InvalidValue") return error.message.replace(`: "${error.value}"`, "")
  if (error._tag === "UnexpectedArgument") return "There are more arguments than the command takes"
  return error.message.split("\n")[0] ?? error.message
}

/** What a wrong call may have meant. */
const meantBy = (error: CliError.CliError): ReadonlyArray<string> => ("suggestions" in error ? error.suggestions : [])

/** Help on standard output ends with the exit codes. A wrong call is two lines on standard error and not a page of help. */
const presenter = (args: ReadonlyArray<string>): CliOutput.Presenter => ({
  present: Effect.fnUntraced(function* (event) {
    if (event._tag === "Version") return yield* CliOutput.defaultPresenter.present(event)
    if (event._tag === "Help") {
      const { canColor } = yield* TerminalCapabilities.TerminalCapabilities
      const formatter = CliOutput.defaultFormatter({ colors: canColor })
      return yield* Console.log(`${formatter.formatHelpDoc(event.helpDoc).trimEnd()}\n\n${codesInHelp}`)
    }
    const meant = event.errors.flatMap(meantBy)
    yield* say(
      {
        exit: "usage",
        message: event.errors.map(mistakeOf).join("; "),
        errors: [],
        fix: `${meant.length === 0 ? "" : `did you mean ${meant.join(" or ")}? `}see ${event.commandPath.join(" ")} --help`,
        slug: undefined,
        requestId: undefined
      },
      args
    )
  })
})

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
  yield* say(explained, args)
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
      Effect.provideService(CliOutput.Presenter, presenter(args)),
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
