/**
 * What a command works on: a database of this machine, or a server. It provides core's `Connections` and `ConnectedAccounts` for either, so
 * that a command is written once.
 *
 * The first of these that is given decides: `--database` or `--server`; `REKINDLE_DATABASE` or `REKINDLE_BASE_URL`; the server of
 * `rekindle login`; `rekindle.db` in the current directory, where `rekindle serve` keeps its accounts by default.
 *
 * ```
 * const count = Command.make("count", { target: Target.flags }, ({ target }) =>
 *   Effect.provide(Connections.use(({ count }) => count()), Target.layer(target))
 * )
 * ```
 *
 * @module
 */
import { CurrentProject } from "@rekindle/core"
import { CredentialVault, Egress, Engine, Journal, SqliteClient } from "@rekindle/engine"
import { ConsentCallback } from "@rekindle/platform"
import { Config, Context, Effect, FileSystem, Layer, Option, Redacted, References } from "effect"
import { type Command, Flag, GlobalFlag } from "effect/cli"
import * as LoginFile from "../login/LoginFile.ts"
import { CommandFailed } from "./exit.ts"

/** The flags of every command that works on accounts. */
export const flags = {
  database: Flag.String("database").pipe(
    Flag.withDescription("Work on this database: a SQLite file or postgres://… (REKINDLE_DATABASE)"),
    Flag.optional
  ),
  server: Flag.String("server").pipe(
    Flag.withDescription(
      "Work on this server, with the key in REKINDLE_API_KEY or of rekindle login (REKINDLE_BASE_URL)"
    ),
    Flag.optional
  ),
  project: Flag.String("project").pipe(
    Flag.withDescription("The project, on a database; on a server the key decides. Default: default"),
    Flag.optional
  )
}

/** The values of the flags. */
export type Flags = Command.Command.Config.Infer<typeof flags>

/** A database of this machine. */
export interface Local {
  readonly _tag: "Local"
  /** A SQLite file, or the address of a Postgres. */
  readonly database: Redacted.Redacted
  readonly project: string
  /** The target in words, without a secret. */
  readonly words: string
}

/** A server. */
export interface Remote {
  readonly _tag: "Remote"
  readonly server: string
  readonly key: Redacted.Redacted
  /** The target in words, without a secret. */
  readonly words: string
}

/** What a command works on. */
export type Target = Local | Remote

/** The target of the command that runs. */
export class CurrentTarget extends Context.Service<CurrentTarget, Target>()("@rekindle/cli/CurrentTarget") {}

const usage = (message: string, fix: string) => new CommandFailed({ message, fix, exit: "usage" })

const isPostgres = (database: string) => /^postgres(?:ql)?:\/\//i.test(database)

const local = (database: string, { project }: Flags): Local => {
  const name = Option.getOrElse(project, () => CurrentProject.defaultValue())
  const url = isPostgres(database) ? URL.parse(database) : null
  const place = isPostgres(database) ? `Postgres ${url?.host ?? ""}${url?.pathname ?? ""}` : database
  return { _tag: "Local", database: Redacted.make(database), project: name, words: `project ${name} in ${place}` }
}

const remote = Effect.fnUntraced(function* (server: string, { project }: Flags) {
  if (Option.isSome(project)) return yield* usage("a server's key decides the project", "leave out --project")
  const fromEnvironment = yield* Config.option(Config.Redacted("REKINDLE_API_KEY"))
  const login = Option.filter(yield* LoginFile.read, (login) => login.server === server)
  const key = Option.orElse(fromEnvironment, () => Option.map(login, ({ key }) => key))
  if (Option.isNone(key))
    return yield* usage(`there is no key for ${server}`, "rekindle login, or set REKINDLE_API_KEY")
  return { _tag: "Remote", server, key: key.value, words: server } satisfies Remote
})

/** Where `rekindle serve` keeps its accounts by default. */
const defaultDatabase = "rekindle.db"

/** Finds the target. */
export const resolve = Effect.fnUntraced(function* (flags: Flags) {
  const { database, server } = flags
  const given = { database, server }
  const environment = {
    database: yield* Config.option(Config.String("REKINDLE_DATABASE")),
    server: yield* Config.option(Config.String("REKINDLE_BASE_URL"))
  }
  for (const { database, server } of [given, environment]) {
    if (Option.isSome(database) && Option.isSome(server))
      return yield* usage("both a database and a server are given", "give --database or --server")
    if (Option.isSome(database)) return local(database.value, flags)
    if (Option.isSome(server)) return yield* remote(server.value.replace(/\/+$/, ""), flags)
  }
  const login = yield* LoginFile.read
  if (Option.isSome(login)) return yield* remote(login.value.server, flags)
  const fs = yield* FileSystem.FileSystem
  if (yield* fs.exists(defaultDatabase)) return local(defaultDatabase, flags)
  return yield* usage(
    "there is nothing to work on",
    "rekindle login to work on a server, or --database to work on a database"
  )
})

/** A client of the target's database. A missing file is an error and is not created. */
export const sqlClient = ({ database }: Local) => {
  const place = Redacted.value(database)
  return isPostgres(place)
    ? Layer.unwrap(
        // A command on SQLite does not load the client of Postgres.
        Effect.map(
          Effect.promise(() => import("@effect/sql-pg/PgClient")),
          ({ layer }) => layer({ url: database, applicationName: "rekindle" })
        )
      )
    : SqliteClient.layer(place, { create: false })
}

const journal = ({ database }: Local) => {
  const place = Redacted.value(database)
  return Journal.layerDirectory(isPostgres(place) ? "rekindle.journal" : `${place}.journal`)
}

/** The address to which providers send people back after consent. */
export const callbackUrl = Effect.map(
  Config.String("REKINDLE_PUBLIC_URL").pipe(Config.withDefault("http://127.0.0.1:8080")),
  (url) => `${url.replace(/\/+$/, "")}${ConsentCallback.path}`
)

const egressOptions = Effect.map(Config.String("REKINDLE_PRIVATE_HOSTS").pipe(Config.withDefault("")), (hosts) => ({
  privateHosts: hosts.split(",").flatMap((host) => host.trim() || [])
}))

/** What a tool on a database needs besides the engine: the client, the journal, the key ring, and the way out. */
const localParts = (target: Local) =>
  Layer.mergeAll(
    sqlClient(target),
    journal(target),
    CredentialVault.layerConfig(),
    Layer.unwrap(Effect.map(egressOptions, Egress.layer)),
    Layer.succeed(CurrentProject, target.project),
    Layer.succeed(CurrentTarget, target)
  )

const localEngine = (target: Local) =>
  Layer.unwrap(
    Effect.map(Effect.all({ callback: callbackUrl, egress: egressOptions }), ({ callback, egress }) =>
      Engine.layer({ consent: { callbackUrl: callback }, egress })
    )
  ).pipe(Layer.provideMerge(localParts(target)))

/** Lines of the engine below a warning would stand between the lines of a table. `--log-level` decides otherwise. */
const quiet = Layer.effect(
  References.MinimumLogLevel,
  Effect.map(GlobalFlag.LogLevel, (level) => Option.getOrElse(level, () => "Warn" as const))
)

const onDatabase = Effect.fnUntraced(function* (flags: Flags) {
  const target = yield* resolve(flags)
  return target._tag === "Local"
    ? target
    : yield* usage(
        "this command works on a database and not on a server",
        "run it where the database is, with --database"
      )
})

/** The engine on a database, for a command that cannot work on a server. */
export const engine = (flags: Flags) =>
  Layer.unwrap(Effect.map(onDatabase(flags), localEngine)).pipe(Layer.provideMerge(quiet))

/** Both services of core, on a database or a server. */
export const layer = (flags: Flags) =>
  Layer.unwrap(
    Effect.gen(function* () {
      const target = yield* resolve(flags)
      if (target._tag === "Local") return localEngine(target)
      // The client of a server provides `ConnectedAccounts` alone so far.
      return yield* usage("this command does not work on a server yet", "run it where the database is, with --database")
    })
  ).pipe(Layer.provideMerge(quiet))
