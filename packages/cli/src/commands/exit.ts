/**
 * How a command ends: exit codes that scripts can trust, and failures in plain words with what to do next.
 *
 * Handlers fail with the errors of the services that they use. This file says each of them in one sentence. No stack and no cause is
 * printed: a cause may hold what another program sent. `--log-level debug` prints the causes of defects.
 *
 * @module
 */
import { Failures } from "@rekindle/core"
import { Cause, Console, Data, Effect, Logger, Option, PlatformError, Predicate, Runtime, Schema, Stdio } from "effect"
import { CliError, CliOutput, Command, TerminalCapabilities } from "effect/cli"
import { SqlError } from "effect/sql"
import { clean, cleanJson } from "./printable.ts"

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

/** The same, among the reasons of a database. */
const transientReasons = new Set(["LockTimeoutError", "DeadlockError", "SerializationError", "StatementTimeoutError"])

/** What to do after an error that does not say so itself, by its tag. */
const fixes: Readonly<Record<string, string>> = {
  Unauthorized: "log in with a valid key: rekindle login",
  Forbidden: "use a key with the scope that the command needs",
  TransportError: "check the address, and that the server runs: rekindle doctor",
  VaultError: "check the key file or REKINDLE_KEYS: rekindle doctor",
  StoreError: "check the database: rekindle doctor",
  SqlError: "check the database: rekindle doctor",
  JournalError: "give this user a directory on a disk of this machine, with --journal",
  PlatformError: "give this user access to it"
}

/** What to do about an error that passes. A person does not see Retry-After. */
const waits = new Set(["RateLimited", "Unavailable", "RefusedLocally"])

/** What to do in a shell, where the table of failures speaks to a program that calls the endpoint. */
const inShell: Readonly<Record<string, string>> = {
  api_key_not_found: "rekindle keys list shows the ids",
  auth_config_not_found: "rekindle configs list shows the ids",
  connected_account_not_found: "rekindle accounts list shows the ids",
  expired_api_key: "log in with a valid key: rekindle login, or REKINDLE_API_KEY",
  invalid_api_key_request: "correct it, and type the command again",
  invalid_auth_config: "correct what is named, with --set, --secret-env or in the file, and type the command again",
  invalid_cursor: "leave out --cursor, to begin with the first page",
  invalid_project: "correct it, and type the command again",
  invalid_redirect_url: "give an address at one of the project's origins: rekindle projects list",
  missing_scope: "use a key with this scope: rekindle keys create makes one",
  project_not_found: "rekindle projects list shows the ids",
  revoked_api_key: "log in with a valid key: rekindle login, or REKINDLE_API_KEY",
  unknown_api_key: "log in with a valid key: rekindle login, or REKINDLE_API_KEY",
  unknown_event_type: "rekindle webhooks create --help names them",
  webhook_subscription_not_found: "rekindle webhooks list shows the ids"
}

const fileFaults: Readonly<Record<string, string>> = {
  AlreadyExists: "it exists",
  NotFound: "there is no such file or directory",
  PermissionDenied: "this user may not",
  BadResource: "it is not a file"
}

/** Why a file cannot be used, in words. */
export const faultOf = ({ reason }: PlatformError.PlatformError): string => fileFaults[reason._tag] ?? reason.message

const field = (error: object, name: string): string | undefined => {
  const value: unknown = Reflect.get(error, name)
  return typeof value === "string" && value !== "" ? value : undefined
}

const actionOf = (slug: string | undefined): string | undefined => {
  const table: Readonly<Record<string, { readonly action: string }>> = Failures.bySlug
  return slug !== undefined && Object.hasOwn(table, slug) ? table[slug]?.action : undefined
}

interface Tagged {
  readonly _tag: string
}

const isTagged = (error: unknown): error is Tagged =>
  Predicate.hasProperty(error, "_tag") && Predicate.isString(error._tag)

/** Whether a database failed for a reason that passes. */
const isBusy = (error: unknown): boolean =>
  SqlError.isSqlError(error)
    ? transientReasons.has(error.reason._tag)
    : Predicate.hasProperty(error, "cause") && isBusy(error.cause)

const exitOf = (error: Tagged): FailedExit => {
  if (error instanceof CommandFailed) return error.exit
  if (transient.has(error._tag) || isBusy(error)) return "tryAgain"
  return error._tag === "ConfigError" || field(error, "slug")?.startsWith("invalid_") === true ? "usage" : "failed"
}

/** The sentence of an error. A failed access of a file names the file. */
const messageOf = (error: Tagged): string => {
  if (!(error instanceof PlatformError.PlatformError)) return field(error, "message") ?? error._tag
  const path = "pathOrDescriptor" in error.reason ? error.reason.pathOrDescriptor : undefined
  return path === undefined ? faultOf(error) : `cannot use ${path}: ${faultOf(error)}`
}

/** A database that does not open. The client says why. */
const isClosed = (error: Tagged): boolean => SqlError.isSqlError(error) && error.reason.operation === "open"

const fixOf = (error: Tagged, slug: string | undefined): string | undefined =>
  field(error, "fix") ??
  (slug === undefined ? undefined : inShell[slug]) ??
  (waits.has(error._tag) ? "wait a moment, and type the command again" : undefined) ??
  field(error, "suggestedFix") ??
  actionOf(slug) ??
  (isBusy(error)
    ? "try again, and end the other process if it hangs"
    : isClosed(error)
      ? "name the database with --database; rekindle serve makes a new one"
      : fixes[error._tag])

/** The egress names an option of the engine. The setting of commands is in the file. */
const permission = (texts: ReadonlyArray<string>): string =>
  texts.some((text) => text.includes("egress.privateHosts"))
    ? "; privateHosts in rekindle.json permits hosts of your own network"
    : ""

/** Says a failure in plain words. */
export const explain = (error: unknown): Explained => {
  if (!isTagged(error)) return defect
  const slug = field(error, "slug")
  const given: unknown = Reflect.get(error, "errors")
  const errors = Array.isArray(given) ? given.filter(Predicate.isString) : []
  const message = messageOf(error)
  const fix = fixOf(error, slug)
  return {
    exit: exitOf(error),
    message,
    errors,
    fix: fix === undefined ? undefined : fix + permission([message, ...errors]),
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
  ]
    .map(clean)
    .join("\n")

const asJson = ({ errors, exit, fix, message, requestId, slug }: Explained): string =>
  cleanJson(
    JSON.stringify({
      error: { message, exit: exitCodes[exit], slug, suggested_fix: fix, errors, request_id: requestId }
    })
  )

/** Prints a failure on standard error. */
const say = (explained: Explained, args: ReadonlyArray<string>) =>
  Console.error(args.includes("--json") ? asJson(explained) : sentences(explained))

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
