/**
 * What a failure is to the person or script that runs a command: a sentence, what to do next, and an exit code.
 *
 * Handlers fail with the errors of the services that they use, and need not wrap them: {@link explain} knows each. No cause is part of what is
 * said, because it may hold what another program sent.
 *
 * @module
 */
import { Failures } from "@rekindle/core"
import { Effect, PlatformError, Predicate, Schema } from "effect"
import { SqlError } from "effect/sql"

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

/** What is said of a defect. */
export const defect: Explained = {
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

/** Says a failure in plain words. */
export const explain = (error: unknown): Explained => {
  if (!isTagged(error)) return defect
  const slug = field(error, "slug")
  const given: unknown = Reflect.get(error, "errors")
  const errors = Array.isArray(given) ? given.filter(Predicate.isString) : []
  return {
    exit: exitOf(error),
    message: messageOf(error),
    errors,
    fix: fixOf(error, slug),
    slug,
    requestId: field(error, "requestId")
  }
}
