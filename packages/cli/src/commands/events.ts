/**
 * `rekindle events`: what happens to the accounts of a project, line by line.
 *
 * @module
 */
import { type ConnectionEvent, Connections } from "@rekindle/core"
import { Console, DateTime, Effect, Option, Stream } from "effect"
import { Command, Flag } from "effect/cli"
import * as Output from "./output.ts"
import { clean, cleanJson } from "./printable.ts"
import * as Target from "./target.ts"

const json = ({ accountId, at, sequence, status, statusReason, type }: ConnectionEvent) => ({
  sequence,
  account_id: accountId,
  type,
  status,
  status_reason: statusReason,
  at: DateTime.formatIso(at)
})

/** One event on one line: fields with tabs between them, or a JSON object. */
const line = (event: ConnectionEvent, asJson: boolean): string => {
  const shown = json(event)
  return asJson
    ? cleanJson(JSON.stringify(shown))
    : [shown.sequence, shown.at, shown.account_id, shown.type, shown.status, shown.status_reason ?? "-"]
        .map((field) => clean(String(field)))
        .join("\t")
}

const tail = Command.make(
  "tail",
  {
    target: Target.flags,
    after: Flag.Int("after").pipe(
      Flag.withDescription("The sequence of the last event that you have seen. Default: the oldest event comes first"),
      Flag.optional
    ),
    follow: Flag.Boolean("follow").pipe(
      Flag.withDescription("Whether to wait for further events; --no-follow ends with the last one"),
      Flag.withDefault(true)
    )
  },
  ({ after, follow, target }) =>
    Effect.gen(function* () {
      const { events } = yield* Connections
      const asJson = yield* Output.Json
      yield* Stream.runForEach(events({ after: Option.getOrUndefined(after), follow }), (event) =>
        Console.log(line(event, asJson))
      )
    }).pipe(Effect.provide(Target.layer(target)))
).pipe(
  Command.withDescription(
    "Prints events as they happen: sequence, time, account, type, status and reason. With --json, one object a line"
  ),
  Command.withShortDescription("Prints events as they happen")
)

export const events = Command.make("events").pipe(
  Command.withDescription("What happens to accounts"),
  Command.withSubcommands([tail])
)
