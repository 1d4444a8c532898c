/**
 * `rekindle audit`: lists who did what, and verifies that the log is whole.
 *
 * @module
 */
import { Effect, Option } from "effect"
import { Command, Flag } from "effect/cli"
import { Administration } from "../administration/Administration.ts"
import type { AuditEntryForm } from "../administration/forms.ts"
import * as Target from "./administration.ts"
import { CommandFailed } from "./failure.ts"
import * as Output from "./output.ts"

const columns: ReadonlyArray<Output.Column<AuditEntryForm>> = [
  { title: "no", of: ({ sequence }) => sequence },
  { title: "at", of: ({ at }) => at },
  { title: "project", of: ({ project_id }) => project_id },
  { title: "who", of: ({ actor }) => actor },
  { title: "what", of: ({ action }) => action },
  { title: "to what", of: ({ target }) => target },
  { title: "details", of: ({ details }) => (Object.keys(details).length === 0 ? null : JSON.stringify(details)) }
]

const list = Command.make(
  "list",
  {
    target: Target.flags,
    project: Target.project,
    actor: Flag.String("actor").pipe(
      Flag.withDescription("What this key or user did, such as key_0123456789ab or cli:ann"),
      Flag.optional
    ),
    before: Flag.Int("before").pipe(Flag.withDescription("Entries before this number"), Flag.optional),
    limit: Output.limit("How many entries")
  },
  ({ actor, before, limit, project, target }) =>
    Effect.gen(function* () {
      const items = yield* Administration.use(({ listAudit }) =>
        listAudit({
          actor: Option.getOrUndefined(actor),
          before: Option.getOrUndefined(before),
          projectId: Option.getOrUndefined(project),
          limit
        })
      )
      yield* Output.list({ json: { items }, items, columns, none: "The audit log is empty." })
    }).pipe(Effect.provide(Target.layer(target)))
).pipe(Command.withDescription("Lists who did what, the newest first"))

/** A head as `verify` prints it. */
const headOf = Effect.fnUntraced(function* (text: string) {
  const [, sequence, hash] = /^(\d{1,15}):([0-9a-f]{64})$/.exec(text) ?? []
  if (sequence === undefined || hash === undefined) {
    return yield* new CommandFailed({
      message: "--head is not a head",
      fix: "give the head that rekindle audit verify printed, such as 12:9f86d0…",
      exit: "usage"
    })
  }
  return { sequence: Number(sequence), hash }
})

const verify = Command.make(
  "verify",
  {
    target: Target.flags,
    head: Flag.String("head").pipe(
      Flag.withDescription("A head that was printed before: detects a log that was written anew since"),
      Flag.optional
    )
  },
  ({ head, target }) =>
    Effect.gen(function* () {
      const noted = Option.isSome(head) ? yield* headOf(head.value) : undefined
      const verdict = yield* Administration.use(({ verifyAudit }) => verifyAudit(noted))
      const { broken, intact } = verdict
      if (broken !== null) {
        yield* Output.print(verdict, "")
        return yield* new CommandFailed({
          message: `the audit log is broken at entry ${broken.sequence}: ${broken.problem}. ${intact} entries before it are intact`,
          fix: "compare it with a backup, and find out who can write to the database",
          exit: "attention"
        })
      }
      const { hash, sequence } = verdict.head
      yield* Output.print(
        verdict,
        sequence === 0
          ? "The audit log is empty."
          : `${intact} entries are intact. Note this head elsewhere, and verify against it the next time:\n${sequence}:${hash}`
      )
    }).pipe(Effect.provide(Target.layer(target)))
).pipe(Command.withDescription("Verifies the chain of the audit log, and names the first broken entry"))

export const audit = Command.make("audit").pipe(
  Command.withDescription("The audit log: who did what"),
  Command.withSubcommands([list, verify])
)
