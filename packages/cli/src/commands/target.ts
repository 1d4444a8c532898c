/**
 * What a command works on: a database of this machine, or a server. It provides core's `Connections` and `ConnectedAccounts` for either, so
 * that a command is written once.
 *
 * A flag decides before the environment and the file of settings, these before the server of `rekindle login`, and that before `rekindle.db`
 * in the current directory, where `rekindle serve` keeps its accounts by default.
 *
 * ```
 * const count = Command.make("count", { target: Target.flags }, ({ target }) =>
 *   Effect.provide(Connections.use(({ count }) => count()), Target.layer(target))
 * )
 * ```
 *
 * @module
 */
import { type ConnectedAccounts, type Connections, CurrentProject } from "@rekindle/core"
import { Egress, Engine, Journal, SqlAccountStore } from "@rekindle/engine"
import { ConsentCallback, RekindleClient } from "@rekindle/platform"
import {
  Config,
  Context,
  Effect,
  FileSystem,
  Layer,
  Option,
  type Path,
  type PlatformError,
  type Redacted,
  References
} from "effect"
import { type Command, Flag, GlobalFlag } from "effect/cli"
import { FetchHttpClient } from "effect/http"
import * as LoginFile from "../login/LoginFile.ts"
import * as Setting from "../settings/Setting.ts"
import * as Settings from "../settings/settings.ts"
import * as Database from "../store/Database.ts"
import * as KeyRing from "../store/KeyRing.ts"
import { CommandFailed } from "./failure.ts"

/** Where `rekindle serve` keeps its accounts by default. */
const defaultFile = "rekindle.db"

/** The settings that decide what a command works on. Those without a flag come from the environment or the file. */
const settings = {
  database: Setting.make<Settings.DatabasePlace | undefined>({
    ...Settings.database.database,
    description: "Work on this database. Give a password by the variable or the file.",
    fallback: undefined,
    fallbackText: "see --server"
  }),
  server: Setting.make<string | undefined>({
    ...Settings.serve.publicUrl,
    name: "server",
    variable: "REKINDLE_BASE_URL",
    description: "Work on this server, with the key in REKINDLE_API_KEY or of rekindle login.",
    fallbackText: `the server of rekindle login, else the database ${defaultFile}`
  }),
  keyFile: Settings.database.keyFile,
  journal: Settings.database.journal,
  databaseConnections: Settings.database.databaseConnections,
  host: Settings.serve.host,
  port: Settings.serve.port,
  publicUrl: Settings.serve.publicUrl,
  privateHosts: Settings.serve.privateHosts,
  webhookPrivateHosts: Settings.serve.webhookPrivateHosts
}

/** The flags of a command that works on a whole database, and not on a server. */
export const databaseFlags = Setting.flags({
  database: Settings.database.database,
  keyFile: Settings.database.keyFile
})

/** The values of these flags. */
export type DatabaseFlags = Command.Command.Config.Infer<typeof databaseFlags>

/** The flags of every command that works on accounts. */
export const flags = {
  ...Setting.flags({ database: settings.database, server: settings.server, keyFile: settings.keyFile }),
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
  readonly database: Settings.DatabasePlace
  readonly project: string
  readonly settings: Setting.Values<typeof settings>
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

const remote = Effect.fnUntraced(function* (server: string, { project }: Flags) {
  if (Option.isSome(project)) return yield* usage("a server's key decides the project", "leave out --project")
  const fromEnvironment = yield* Config.option(Config.Redacted("REKINDLE_API_KEY"))
  const login = Option.filter(yield* LoginFile.read, (login) => login.server === server)
  const key = Option.orElse(fromEnvironment, () => Option.map(login, ({ key }) => key))
  if (Option.isNone(key))
    return yield* usage(`there is no key for ${server}`, "rekindle login, or set REKINDLE_API_KEY")
  return { _tag: "Remote", server, key: key.value, words: server } satisfies Remote
})

/** Finds the target. */
export const resolve = Effect.fnUntraced(function* (
  flags: Flags
): Effect.fn.Return<
  Target,
  CommandFailed | Config.ConfigError | PlatformError.PlatformError,
  FileSystem.FileSystem | Path.Path
> {
  const { database, keyFile, server } = flags
  const none = Option.none<string>()
  const values = yield* Setting.read(
    Settings.all,
    settings,
    {
      database,
      server,
      keyFile,
      journal: none,
      databaseConnections: none,
      host: none,
      port: none,
      publicUrl: none,
      privateHosts: none,
      webhookPrivateHosts: none
    },
    // `--config` is the auth config of a command for accounts. `REKINDLE_CONFIG` names another file of settings.
    none
  )
  const local = (database: Settings.DatabasePlace): Local => {
    const project = Option.getOrElse(flags.project, () => CurrentProject.defaultValue())
    const words = `project ${project}, ${Database.describe(database)}`
    return { _tag: "Local", database, project, settings: values, words }
  }
  const isGiven = { database: Option.isSome(database), server: Option.isSome(server) }
  const place = isGiven.server ? undefined : values.database
  const address = isGiven.database ? undefined : values.server
  if ((isGiven.database && isGiven.server) || (place !== undefined && address !== undefined))
    return yield* usage("both a database and a server are given", "give --database or --server")
  if (place !== undefined) return local(place)
  if (address !== undefined) return yield* remote(address, flags)
  const login = yield* LoginFile.read
  if (Option.isSome(login)) return yield* remote(login.value.server, flags)
  const fs = yield* FileSystem.FileSystem
  if (yield* fs.exists(defaultFile)) return local({ _tag: "Sqlite", file: defaultFile })
  return yield* usage(
    "there is nothing to work on",
    "rekindle login to work on a server, or --database to work on a database"
  )
})

/** A client of the target's database. A missing file is an error and is not created. */
export const sqlClient = ({ database, settings }: Local) =>
  Database.layer(database, { create: false, connections: settings.databaseConnections })

/** The address to which providers send people back after consent. */
export const callbackUrl = ({ settings: { host, port, publicUrl } }: Local): string =>
  `${publicUrl ?? `http://${host}:${port}`}${ConsentCallback.path}`

/** The journal of the target. */
export const journal = ({ database, settings }: Local) => {
  const directory = settings.journal ?? Database.defaultJournal(database)
  return directory === undefined ? Journal.layerMemory : Journal.layerDirectory(directory)
}

/** The engine on the target, with the way out that it uses. */
export const engineOn = (target: Local) => {
  const { database, project, settings } = target
  const egress = Settings.privateHosts("privateHosts", settings.privateHosts)
  return Engine.layer({ consent: { callbackUrl: callbackUrl(target) }, egress }).pipe(
    // A directory for the journal is not made for a database that does not open.
    Layer.provideMerge(journal(target)),
    Layer.provideMerge(
      Layer.mergeAll(
        sqlClient(target),
        KeyRing.layer({ database, keyFile: settings.keyFile, create: false }),
        Egress.layer(egress),
        Layer.succeed(CurrentProject, project),
        Layer.succeed(CurrentTarget, target)
      )
    )
  )
}

/** Lines of the engine below a warning would stand between the lines of a table. `--log-level` decides otherwise. */
export const quiet = Layer.effect(
  References.MinimumLogLevel,
  Effect.map(GlobalFlag.LogLevel, (level) => Option.getOrElse(level, () => "Warn" as const))
)

const wholeDatabase = {
  database: Settings.database.database,
  keyFile: Settings.database.keyFile,
  databaseConnections: Settings.database.databaseConnections
}

const readDatabase = (flags: DatabaseFlags) =>
  Setting.read(Settings.all, wholeDatabase, { ...flags, databaseConnections: Option.none() }, Option.none())

/** The account store of a database, and the client. A missing file is an error and is not created. */
export const accountStore = (flags: DatabaseFlags) =>
  Layer.unwrap(
    Effect.map(readDatabase(flags), ({ database, databaseConnections }) =>
      Layer.provideMerge(
        SqlAccountStore.layer,
        Database.layer(database, { create: false, connections: databaseConnections })
      )
    )
  ).pipe(Layer.provideMerge(quiet))

/** The vault of a database, from its key ring. */
export const vault = (flags: DatabaseFlags) =>
  Layer.unwrap(
    Effect.map(readDatabase(flags), ({ database, keyFile }) => KeyRing.layer({ database, keyFile, create: false }))
  )

/** The settings of a client of a server, for the layers of `RekindleClient`. */
export const clientConfig = (server: string, key: Redacted.Redacted) => ({
  baseUrl: Config.succeed(server),
  apiKey: Config.succeed(key),
  allowInsecureHttp: Config.Boolean("REKINDLE_ALLOW_INSECURE_HTTP").pipe(Config.withDefault(false))
})

const client = (target: Remote) =>
  RekindleClient.layerConnectionsConfig(clientConfig(target.server, target.key)).pipe(
    Layer.provide(FetchHttpClient.layer),
    Layer.merge(Layer.succeed(CurrentTarget, target))
  )

type OnDatabase = ReturnType<typeof engineOn>
type OnServer = ReturnType<typeof client>

const servicesOf = (
  target: Target
): Layer.Layer<
  ConnectedAccounts | Connections | CurrentTarget,
  Layer.Error<OnDatabase> | Layer.Error<OnServer>,
  Layer.Services<OnDatabase>
> => (target._tag === "Local" ? engineOn(target) : client(target))

/** Both services of core, on a database or a server. */
export const layer = (flags: Flags) =>
  Layer.unwrap(Effect.map(resolve(flags), servicesOf)).pipe(Layer.provideMerge(quiet))
