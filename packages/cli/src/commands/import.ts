/**
 * `rekindle import`: brings the connections of Nango, better-auth or Auth.js, out of their database or an export.
 *
 * **Gotchas**
 *
 * Two programs that renew the same account spend each other's refresh tokens. A dry run may be made while the other project runs. Stop what
 * renews there before `--apply`.
 *
 * @module
 */
import { Config, Effect, Option, Stream } from "effect"
import { Command, Flag } from "effect/cli"
import * as Authjs from "../import/authjs.ts"
import * as BetterAuth from "../import/betterAuth.ts"
import type { Found } from "../import/Connection.ts"
import * as Nango from "../import/nango.ts"
import * as Plan from "../import/plan.ts"
import * as Source from "../import/Source.ts"
import { CommandFailed } from "./failure.ts"
import * as Output from "./output.ts"
import * as Target from "./target.ts"

const from = Flag.Redacted("from").pipe(
  Flag.withDescription(
    "The other project's database (postgres://… or a SQLite file) or an export of it (.json, .jsonl). Give a password by the variable REKINDLE_IMPORT_FROM"
  ),
  Flag.withFallbackConfig(Config.Redacted("REKINDLE_IMPORT_FROM"))
)

const configs = Flag.KeyValuePair("config").pipe(
  Flag.withDescription("provider=id: the auth config here for a provider there; may be repeated"),
  Flag.withDefault({})
)

const apply = Flag.Boolean("apply").pipe(
  Flag.withDescription("Create the accounts. Without it, nothing is changed and the report says what would be"),
  Flag.withDefault(false)
)

const schema = Flag.String("schema").pipe(
  Flag.withDescription("The schema of a Postgres that has the tables"),
  Flag.optional
)

const table = Flag.String("table").pipe(
  Flag.withDescription("The table of accounts, if it has another name than the project gives it"),
  Flag.optional
)

const common = { target: Target.flags, from, configs, apply, schema }

type Common = Command.Command.Config.Infer<typeof common>

const words: Readonly<Record<Plan.Action, string>> = {
  import: "comes over",
  consent: "needs a new consent",
  present: "is here already",
  leave: "stays there"
}

const columns: ReadonlyArray<Output.Column<Plan.Line>> = [
  { title: "connection", of: ({ name }) => name },
  { title: "what", of: ({ action }) => words[action] },
  { title: "account", of: ({ id }) => id },
  { title: "config", of: ({ authConfigId }) => authConfigId },
  { title: "user", of: ({ userId }) => userId },
  { title: "why", of: ({ reason }) => reason }
]

const asJson = ({ action, authConfigId, id, name, reason, userId }: Plan.Line) => ({
  name,
  action,
  id: id ?? null,
  auth_config_id: authConfigId ?? null,
  user_id: userId ?? null,
  reason: reason ?? null
})

/** Reads the source, and prints the report. */
const importing = (
  { apply, configs, from, schema, target }: Common,
  schemas: ReadonlyArray<string>,
  found: (source: Source.Source) => Stream.Stream<Found, CommandFailed | Config.ConfigError>
) =>
  Effect.gen(function* () {
    const source = yield* Source.open(from, Option.match(schema, { onNone: () => schemas, onSome: (name) => [name] }))
    const show = yield* Output.progress
    let done = 0
    const lines = yield* Plan.run(found(source), { applies: apply, configs }).pipe(
      Stream.tap(() => show(`${++done} connections`)),
      Stream.runCollect
    )
    const counts = Plan.countsOf(lines)
    yield* Output.list({
      json: { dry_run: !apply, counts, connections: lines.map(asJson) },
      items: lines,
      columns,
      none: "no connections"
    })
    const { consent, leave, present } = counts
    const summary = `${counts.import} come over, ${consent} need a new consent, ${present} are here already, ${leave} stay there`
    if (!apply) {
      yield* Output.note(`${summary}. Nothing was changed.`)
      return yield* Output.note("Stop what renews in the other project, then run it again with --apply")
    }
    yield* Output.note(summary)
    if (consent + leave > 0)
      return yield* new CommandFailed({
        message: `${consent + leave} connections need attention`,
        fix: "show people the links of rekindle accounts link, and see the reasons of the others",
        exit: "attention"
      })
  }).pipe(Effect.scoped, Effect.provide(Target.layer(target)))

const nango = Command.make(
  "nango",
  {
    ...common,
    environment: Flag.String("environment").pipe(
      Flag.withDescription("The environment in Nango. Default: the only one, or prod"),
      Flag.optional
    )
  },
  ({ environment, ...flags }) => importing(flags, Nango.schemas, (source) => Nango.connections(source, { environment }))
).pipe(Command.withDescription("Connections of a self-hosted Nango; its key is read from NANGO_ENCRYPTION_KEY"))

const betterAuth = Command.make("better-auth", { ...common, table }, ({ table, ...flags }) =>
  importing(flags, ["public"], (source) => BetterAuth.connections(source, { table }))
).pipe(
  Command.withDescription(
    "Accounts of better-auth; sealed tokens are opened with BETTER_AUTH_SECRET or BETTER_AUTH_SECRETS"
  )
)

const authjs = Command.make("authjs", { ...common, table }, ({ table, ...flags }) =>
  importing(flags, ["public"], (source) => Authjs.connections(source, { table }))
).pipe(Command.withDescription("Accounts of Auth.js (NextAuth), from any of its adapters"))

export const imports = Command.make("import").pipe(
  Command.withDescription("Brings connections of another project; without --apply it only says what would come over"),
  Command.withSubcommands([nango, betterAuth, authjs])
)
