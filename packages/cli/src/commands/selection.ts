/**
 * The flags that select accounts for a campaign: `revoke` and `renew`.
 *
 * @module
 */
import { DateTime, Effect, Option, Schema } from "effect"
import { type Command, Flag } from "effect/cli"
import type * as Campaign from "../campaign/Campaign.ts"
import { CommandFailed } from "./failure.ts"

const several = (name: string, description: string) =>
  Flag.String(name).pipe(Flag.withDescription(`${description}; may be repeated`), Flag.atLeast(0))

/** The flags. */
export const flags = {
  all: Flag.Boolean("all").pipe(Flag.withDescription("All accounts of the project"), Flag.withDefault(false)),
  config: several("config", "Accounts of this auth config"),
  user: several("user", "Accounts of this user"),
  since: Flag.String("since").pipe(
    Flag.withDescription('Accounts created since a time (2026-11-26T10:00:00Z) or a while ago ("2 hours")'),
    Flag.optional
  )
}

/** The values of the flags. */
export type Flags = Command.Command.Config.Infer<typeof flags>

const decodeDuration = Schema.decodeOption(Schema.DurationFromString)

const parseSince = Effect.fnUntraced(function* (text: string) {
  const ago = decodeDuration(text)
  if (Option.isSome(ago)) return DateTime.subtractDuration(yield* DateTime.now, ago.value)
  const at = DateTime.make(text)
  if (Option.isSome(at)) return DateTime.toUtc(at.value)
  return yield* new CommandFailed({
    message: "--since is neither a time nor a duration",
    fix: 'give a time such as 2026-11-26T10:00:00Z, or a while ago such as "2 hours"',
    exit: "usage"
  })
})

/** The selection that the flags describe. Fails if none is given: a campaign for all accounts is asked for in so many words. */
export const selectionOf = Effect.fnUntraced(function* (
  { all, config, since, user }: Flags,
  project: Option.Option<string>
): Effect.fn.Return<Campaign.Selection, CommandFailed> {
  if (!all && config.length === 0 && user.length === 0 && Option.isNone(since) && Option.isNone(project)) {
    return yield* new CommandFailed({
      message: "no accounts are selected",
      fix: "give --project, --config, --user or --since, or --all for every account of the project",
      exit: "usage"
    })
  }
  const some = (values: ReadonlyArray<string>) => (values.length === 0 ? undefined : values)
  return {
    authConfigIds: some(config),
    userIds: some(user),
    since: Option.isNone(since) ? undefined : yield* parseSince(since.value)
  }
})
