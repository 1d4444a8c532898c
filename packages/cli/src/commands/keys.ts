/**
 * `rekindle keys`: makes, lists and revokes API keys.
 *
 * @module
 */
import { ApiKeyScope } from "@rekindle/platform"
import { Duration, Effect, Option } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { Administration } from "../administration/Administration.ts"
import type { ApiKey } from "../administration/forms.ts"
import * as Target from "./administration.ts"
import * as Output from "./output.ts"

const columns: ReadonlyArray<Output.Column<ApiKey>> = [
  { title: "id", of: ({ id }) => id },
  { title: "project", of: ({ project_id }) => project_id },
  { title: "name", atMost: 40, of: ({ name }) => name },
  { title: "scopes", of: ({ scopes }) => scopes.join(",") },
  { title: "created by", of: ({ created_by }) => created_by },
  { title: "last used", of: ({ last_used_at }) => last_used_at },
  { title: "expires", of: ({ expires_at }) => expires_at },
  { title: "revoked", of: ({ revoked_at }) => revoked_at }
]

const list = Command.make("list", { target: Target.flags, project: Target.project }, ({ project, target }) =>
  Effect.gen(function* () {
    const items = yield* Administration.use(({ listKeys }) => listKeys(Option.getOrUndefined(project)))
    yield* Output.list({ json: { items }, items, columns, none: "There are no API keys." })
  }).pipe(Effect.provide(Target.layer(target)))
).pipe(Command.withDescription("Lists API keys, without the keys themselves"))

const create = Command.make(
  "create",
  {
    target: Target.flags,
    project: Target.project,
    name: Argument.String("name").pipe(Argument.withDescription("What the key is for, such as deploy")),
    scope: Flag.Literals("scope", ApiKeyScope.literals).pipe(
      Flag.withDescription("What the key may do; may be repeated. Default: read and refresh"),
      Flag.atLeast(0)
    ),
    days: Flag.Int("days").pipe(
      Flag.withDescription("How many days it is valid. Default: until it is revoked"),
      Flag.optional
    )
  },
  ({ days, name, project, scope, target }) =>
    Effect.gen(function* () {
      const scopes: ReadonlyArray<ApiKeyScope> = scope.length === 0 ? ["read", "refresh"] : scope
      const made = yield* Administration.use(({ createKey }) =>
        createKey({
          name,
          scopes,
          ...(Option.isSome(project) && { project_id: project.value }),
          ...(Option.isSome(days) && { valid_for_seconds: Duration.toSeconds(Duration.days(days.value)) })
        })
      )
      yield* Output.note(
        `${made.id} for project ${made.project_id} may ${made.scopes.join(", ")}. The key is shown this once:`
      )
      yield* Output.print(made, made.key)
    }).pipe(Effect.provide(Target.layer(target)))
).pipe(Command.withDescription("Makes an API key and prints it, once"))

const revoke = Command.make(
  "revoke",
  {
    target: Target.flags,
    id: Argument.String("id").pipe(Argument.withDescription("The key's id, such as key_0123456789ab")),
    yes: Output.yes
  },
  ({ id, target, yes }) =>
    Effect.gen(function* () {
      yield* Output.confirm(`Revoke ${id} for good?`, { yes })
      const key = yield* Administration.use(({ revokeKey }) => revokeKey(id))
      yield* Output.print(key, `${key.id} is revoked`)
    }).pipe(Effect.provide(Target.layer(target)))
).pipe(Command.withDescription("Revokes an API key for good; every process refuses it within seconds"))

export const keys = Command.make("keys").pipe(
  Command.withDescription("API keys: who may call, and what each key may do"),
  Command.withSubcommands([list, create, revoke])
)
