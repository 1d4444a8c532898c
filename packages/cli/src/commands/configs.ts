/**
 * `rekindle configs`: adds, lists, shows, enables, disables and removes auth configs.
 *
 * @module
 */
import { AuthConfig, Connections, Expected, ProviderProfile, type RegisteredAuthConfig } from "@rekindle/core"
import { Toolkits } from "@rekindle/platform"
import { DateTime, Effect, FileSystem, Option, Record, Redacted, Schema, Struct } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import * as ToolkitsOfEngine from "../toolkits/Toolkits.ts"
import { CommandFailed, faultOf } from "./failure.ts"
import * as Output from "./output.ts"
import * as Secrets from "./secrets.ts"
import * as Target from "./target.ts"

const target = Target.flags
const id = Argument.String("id").pipe(Argument.withDescription("The auth config's id"))

const usage = (message: string, fix: string) => new CommandFailed({ message, fix, exit: "usage" })

const encodeProfile = Schema.encodeSync(ProviderProfile)

/** A config as JSON, with the names of its secrets and not the secrets. */
const asJson = (config: RegisteredAuthConfig): Schema.Json => ({
  ...Struct.omit(config, ["profile", "createdAt", "updatedAt", "allowAnotherIdentity", "apiHosts", "name"]),
  name: config.name ?? null,
  profile: encodeProfile(config.profile),
  apiHosts: config.apiHosts ?? null,
  allowAnotherIdentity: config.allowAnotherIdentity ?? false,
  createdAt: DateTime.formatIso(config.createdAt),
  updatedAt: DateTime.formatIso(config.updatedAt)
})

const state = ({ isDisabled }: RegisteredAuthConfig) => (isDisabled ? "disabled" : "enabled")

const list = Command.make(
  "list",
  {
    target,
    limit: Output.limit("Auth configs on a page"),
    cursor: Flag.String("cursor").pipe(
      Flag.withDescription("The cursor of the next page, as the page before printed it"),
      Flag.optional
    )
  },
  ({ cursor, limit, target }) =>
    Effect.gen(function* () {
      const { items, nextCursor } = yield* Connections.use(({ authConfigs }) =>
        authConfigs.list({ limit, cursor: Option.getOrUndefined(cursor) })
      )
      yield* Output.list({
        json: { items: items.map(asJson), next_cursor: nextCursor ?? null },
        items,
        columns: [
          { title: "id", of: ({ id }) => id },
          { title: "state", of: state },
          { title: "toolkit", of: ({ toolkit }) => toolkit },
          { title: "scheme", of: ({ scheme }) => scheme },
          { title: "name", atMost: 40, of: ({ name }) => name },
          { title: "updated", of: ({ updatedAt }) => DateTime.formatIso(updatedAt) }
        ],
        none: "no auth configs; add one with rekindle configs add"
      })
      if (nextCursor !== undefined) yield* Output.note(`more: --cursor ${nextCursor}`)
    }).pipe(Effect.provide(Target.layer(target)))
).pipe(Command.withDescription("Lists auth configs"))

const showConfig = (config: RegisteredAuthConfig) =>
  Output.record(asJson(config), [
    ["id", config.id],
    ["state", state(config)],
    ["name", config.name],
    ["toolkit", config.toolkit],
    ["scheme", config.scheme],
    ["hosts", config.hosts.join(", ")],
    ["API hosts", (config.apiHosts ?? config.hosts).join(", ")],
    ["provider", `${config.profile.name} (${config.profile.rotation})`],
    ["secrets", config.secretNames.map((name) => `${name} (sealed)`).join(", ")],
    ...Object.entries(config.settings).map(
      ([name, value]) => [name, typeof value === "string" ? value : JSON.stringify(value)] as const
    )
  ])

/** Finds a config. */
const find = (id: string) =>
  Effect.flatMap(
    Connections.use(({ authConfigs }) => authConfigs.get(id)),
    Option.match({
      onNone: () =>
        Effect.fail(new CommandFailed({ message: `no auth config ${id}`, fix: "rekindle configs list names them" })),
      onSome: Effect.succeed
    })
  )

const show = Command.make("show", { target, id }, ({ id, target }) =>
  Effect.flatMap(find(id), showConfig).pipe(Effect.provide(Target.layer(target)))
).pipe(Command.withDescription("Shows one auth config and the names of its secrets"))

const FileContent = Schema.fromJsonString(Schema.Record(Schema.String, Schema.Json))
const decodeFile = Schema.decodeUnknownOption(FileContent)
const isRecord = Schema.is(Schema.Record(Schema.String, Schema.Json))
const decodeConfig = Schema.decodeUnknownEffect(AuthConfig, { errors: "all", onExcessProperty: "error" })

/** The cautious profile, with what the file says of the provider. */
const profileOf = (toolkit: Schema.Json | undefined, given: Schema.Json | undefined) => ({
  ...encodeProfile(ProviderProfile.make({ name: String(toolkit ?? "unknown"), rotation: "single-use" })),
  ...(isRecord(given) ? given : {})
})

/** What `show` prints of a config besides what can be registered. */
const shownAlone = ["secretNames", "isDisabled", "createdAt", "updatedAt"]

/** Reads a config from a file. An absent profile is the cautious one, and a given one replaces its fields. */
const fromFile = Effect.fnUntraced(function* (path: string, id: Option.Option<string>) {
  const fs = yield* FileSystem.FileSystem
  const text = yield* Effect.mapError(fs.readFileString(path), (error) =>
    usage(`cannot read ${path}: ${faultOf(error)}`, "correct --file")
  )
  const content = decodeFile(text)
  if (Option.isNone(content)) return yield* usage(`${path} is not a JSON object`, `correct ${path}`)
  const { profile, secrets, ...rest } = Record.filter(
    content.value,
    (value, name) => value !== null && !shownAlone.includes(name)
  )
  const config = {
    settings: {},
    projectId: "",
    ...rest,
    ...Option.match(id, { onNone: () => ({}), onSome: (id) => ({ id }) }),
    profile: profileOf(rest["toolkit"], profile),
    secrets: secrets ?? {}
  }
  return yield* Effect.mapError(
    decodeConfig(config),
    ({ issue }) =>
      new CommandFailed({
        message: `${path} is not an auth config`,
        fix: `correct ${path}`,
        // No line repeats a value, which may be a secret.
        errors: Expected.mistakes(issue, Object.keys(AuthConfig.fields)).map(Expected.line),
        exit: "usage"
      })
  )
})

const add = Command.make(
  "add",
  {
    target,
    id: Argument.String("id").pipe(
      Argument.withDescription("The id for the auth config. Default: the id in the file, or the toolkit"),
      Argument.optional
    ),
    file: Flag.File("file").pipe(
      Flag.withDescription("An auth config as JSON, as configs show --json prints it"),
      Flag.optional
    ),
    toolkit: Flag.String("toolkit").pipe(
      Flag.withDescription("A provider that Rekindle knows, such as google; rekindle configs toolkits lists them"),
      Flag.optional
    ),
    set: Flag.KeyValuePair("set").pipe(
      Flag.withDescription("A setting of the toolkit, such as client_id=… or scopes=a,b; may be repeated"),
      Flag.withDefault({})
    ),
    name: Flag.String("name").pipe(Flag.withDescription("A name for people"), Flag.optional),
    secrets: Secrets.flags,
    yes: Output.yes
  },
  ({ file, id, name, secrets, set, target, toolkit, yes }) =>
    Effect.gen(function* () {
      const { authConfigs } = yield* Connections
      const { project } = yield* projectOf
      const config = yield* Option.isSome(file) && Option.isNone(toolkit)
        ? Effect.flatMap(fromFile(file.value, id), (config) =>
            Effect.map(Secrets.read(secrets, []), (given) => ({ ...config, secrets: { ...config.secrets, ...given } }))
          )
        : Option.isSome(toolkit) && Option.isNone(file)
          ? fromToolkit({ toolkit: toolkit.value, id, set, secrets })
          : usage("an auth config comes from a file or a toolkit", "give --file or --toolkit")
      const before = yield* authConfigs.get(config.id)
      const lost = Option.match(before, {
        onNone: () => [],
        onSome: ({ secretNames }) => secretNames.filter((name) => !(name in config.secrets))
      })
      if (lost.length > 0)
        yield* Output.confirm(`Replace ${config.id}, and erase the secrets that are not given: ${lost.join(", ")}?`, {
          yes
        })
      const registered = yield* authConfigs.register({
        ...config,
        projectId: project,
        ...Option.match(name, { onNone: () => ({}), onSome: (name) => ({ name }) })
      })
      yield* showConfig(registered)
    }).pipe(Effect.provide(Target.layer(target)))
).pipe(
  Command.withDescription("Adds an auth config, or replaces the one with the same id"),
  Command.withExamples([
    {
      command: "rekindle configs add google --toolkit google --set client_id=1234.apps.googleusercontent.com",
      description: "Asks for the client secret"
    },
    {
      command: "rekindle configs add --file crm.json --secret-env client_secret=CRM_SECRET",
      description: "From a file"
    }
  ])
)

/** The project of the target. A server puts its key's project in its place. */
const projectOf = Effect.map(Target.CurrentTarget, (target) => ({
  project: target._tag === "Local" ? target.project : "default"
}))

/** Makes a config from a toolkit's preset. Its secret fields are secrets; `--set` takes the others. */
function fromToolkit(given: {
  readonly toolkit: string
  readonly id: Option.Option<string>
  readonly set: Readonly<Record<string, string>>
  readonly secrets: { readonly secretEnv: Readonly<Record<string, string>>; readonly secretsStdin: boolean }
}) {
  return Effect.gen(function* () {
    const toolkits = yield* Toolkits
    const found = yield* toolkits.get(given.toolkit)
    const [scheme] = Option.match(found, { onNone: () => [], onSome: ({ schemes }) => schemes })
    if (scheme === undefined)
      return yield* usage(
        `no toolkit is called ${given.toolkit}`,
        "rekindle configs toolkits lists them; or give --file"
      )
    const secretFields = scheme.configFields.filter(({ isSecret }) => isSecret)
    const exposed = secretFields.find(({ name }) => name in given.set)
    if (exposed !== undefined)
      return yield* usage(`${exposed.name} is a secret and no value of a flag`, "give --secret-env or --secrets-stdin")
    const secrets = yield* Secrets.read(given.secrets, secretFields)
    return yield* toolkits.authConfig({
      id: Option.getOrElse(given.id, () => given.toolkit),
      toolkit: given.toolkit,
      scheme: scheme.scheme,
      credentials: { ...given.set, ...Record.map(secrets, (secret) => Redacted.value(secret)) }
    })
  }).pipe(Effect.provide(ToolkitsOfEngine.layer))
}

const toolkits = Command.make("toolkits", {}, () =>
  Effect.gen(function* () {
    const items = (yield* Toolkits.use(({ list }) => list)).flatMap(({ name, schemes, slug }) =>
      schemes.map(({ configFields, scheme }) => ({ slug, name, scheme, fields: configFields }))
    )
    yield* Output.list({
      json: {
        items: items.map(({ fields, ...item }) => ({
          ...item,
          fields: fields.map(({ isRequired, isSecret, name }) => ({ name, required: isRequired, secret: isSecret }))
        }))
      },
      items,
      columns: [
        { title: "toolkit", of: ({ slug }) => slug },
        { title: "provider", of: ({ name }) => name },
        { title: "scheme", of: ({ scheme }) => scheme },
        {
          title: "settings",
          of: ({ fields }) =>
            fields
              .map(({ isRequired, isSecret, name }) => `${name}${isSecret ? " (secret)" : isRequired ? "" : "?"}`)
              .join(" ")
        }
      ],
      none: "no toolkits"
    })
  }).pipe(Effect.provide(ToolkitsOfEngine.layer))
).pipe(Command.withDescription("Lists the providers that Rekindle knows, and what an auth config for each needs"))

const change = (name: "enable" | "disable", description: string, done: string) =>
  Command.make(name, { target, id }, ({ id, target }) =>
    Connections.use(({ authConfigs }) => authConfigs[name](id)).pipe(
      Effect.andThen(Output.print({ id, is_disabled: name === "disable" }, `${id} ${done}`)),
      Effect.provide(Target.layer(target))
    )
  ).pipe(Command.withDescription(description))

const remove = Command.make("remove", { target, id, yes: Output.yes }, ({ id, target, yes }) =>
  Effect.gen(function* () {
    const { words } = yield* Target.CurrentTarget
    yield* find(id)
    yield* Output.confirm(`Erase the auth config ${id} and its secrets (${words})?`, { yes })
    yield* Connections.use(({ authConfigs }) => authConfigs.remove(id))
    yield* Output.print({ id, removed: true }, `${id} is erased`)
  }).pipe(Effect.provide(Target.layer(target)))
).pipe(Command.withDescription("Erases an auth config that has no accounts"))

export const configs = Command.make("configs").pipe(
  Command.withDescription("Auth configs: how accounts connect to a service"),
  Command.withSubcommands([
    list,
    show,
    add,
    toolkits,
    change("enable", "Puts the accounts of an auth config back into service", "is in service again"),
    change("disable", "Takes the accounts of an auth config out of service", "is out of service, with its accounts"),
    remove
  ])
)
