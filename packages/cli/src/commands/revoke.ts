/**
 * `rekindle revoke`, the kill switch: withdraws the credentials of many accounts at their providers.
 *
 * Each account is REVOKED first, so nothing here uses its credential any more, and then the provider is asked. If the command is killed,
 * the same command goes on where it ended: an account whose withdrawal is confirmed answers from the database, and a pending one is asked
 * for again. So the last run's report covers all accounts.
 *
 * @module
 */
import { Connections, type ConnectionsError, KnownStatus, type Withdrawn } from "@rekindle/core"
import { Effect } from "effect"
import { Command, Flag } from "effect/cli"
import * as Campaign from "../campaign/Campaign.ts"
import { CommandFailed } from "./failure.ts"
import * as Output from "./output.ts"
import * as Selection from "./selection.ts"
import * as Target from "./target.ts"

/** One line of the report. */
interface Row {
  readonly member: Campaign.Member
  /** `none`: the account had no credential. `failed`: it is not revoked. `waiting`: its turn had not come. */
  readonly result: Withdrawn["withdrawn"] | "none" | "failed" | "waiting"
  /** The provider's answer, or why the account is not revoked. */
  readonly answer: string | null
}

const rowOf = (
  member: Campaign.Member,
  result: { readonly value: Withdrawn } | { readonly error: ConnectionsError }
): Row => {
  if ("error" in result) return { member, result: "failed", answer: result.error.message }
  const { answer, withdrawn } = result.value
  const hadNone = !member.hasCredential && member.account.status !== "REVOKED"
  return { member, result: hadNone ? "none" : withdrawn, answer }
}

const results = ["confirmed", "unsupported", "none", "pending", "failed", "waiting"] as const

const countsOf = (rows: ReadonlyArray<Row>) => {
  const count = (wanted: Row["result"]) => rows.filter(({ result }) => result === wanted).length
  return {
    confirmed: count("confirmed"),
    unsupported: count("unsupported"),
    none: count("none"),
    pending: count("pending"),
    failed: count("failed"),
    waiting: count("waiting")
  }
}

const columns: ReadonlyArray<Output.Column<Row>> = [
  { title: "id", of: ({ member }) => member.account.id },
  { title: "user", of: ({ member }) => member.account.userId },
  { title: "config", of: ({ member }) => member.account.authConfig.id },
  { title: "provider", of: ({ member }) => member.provider.name },
  { title: "was", of: ({ member }) => member.account.status },
  { title: "withdrawn", of: ({ result }) => result },
  { title: "answer", of: ({ answer }) => answer }
]

const report = Effect.fnUntraced(function* (rows: ReadonlyArray<Row>, target: string) {
  const counts = countsOf(rows)
  yield* Output.list({
    json: {
      target,
      counts,
      items: rows.map(({ answer, member: { account, provider }, result }) => ({
        id: account.id,
        user_id: account.userId ?? null,
        auth_config_id: account.authConfig.id,
        provider: provider.name,
        was: account.status,
        withdrawn: result,
        answer
      }))
    },
    items: rows,
    columns,
    none: "no accounts are selected"
  })
  const said = results.filter((result) => counts[result] > 0).map((result) => `${counts[result]} ${result}`)
  if (said.length > 0) yield* Output.note(said.join(", "))
})

/** How many accounts of which provider, for the question. */
const outline = (members: ReadonlyArray<Campaign.Member>) =>
  Array.from(
    Map.groupBy(members, ({ account, provider }) => `${provider.name} (${account.authConfig.id})`),
    ([name, { length }]) => `${length} of ${name}`
  ).join(", ")

/** Accounts that work come first. Withdrawals that were begun before come last, because nothing here uses those credentials. */
const urgency: Readonly<Record<string, number>> = { ACTIVE: 0, REVOKED: 2 }
const byUrgency = (members: ReadonlyArray<Campaign.Member>) =>
  members.toSorted((left, right) => (urgency[left.account.status] ?? 1) - (urgency[right.account.status] ?? 1))

const notRevoked = KnownStatus.literals.filter((status) => status !== "REVOKED")

/** Consents that were pending may complete while the campaign runs, and bring accounts. It looks again this many times. */
const looks = 3

const attention = (rows: ReadonlyArray<Row>) => {
  const { failed, pending } = countsOf(rows)
  return pending + failed === 0
    ? Effect.void
    : new CommandFailed({
        message: `${pending} withdrawals are not confirmed and ${failed} accounts are not revoked`,
        fix: "run the same command again; a server repeats unconfirmed withdrawals by itself. If a provider keeps refusing, revoke in its own console",
        exit: "attention"
      })
}

export const revoke = Command.make(
  "revoke",
  {
    target: Target.flags,
    selection: Selection.flags,
    dryRun: Flag.Boolean("dry-run").pipe(
      Flag.withDescription("Say which accounts are selected, and do nothing"),
      Flag.withDefault(false)
    ),
    yes: Output.yes
  },
  ({ dryRun, selection: given, target, yes }) =>
    Effect.gen(function* () {
      const { words } = yield* Target.CurrentTarget
      const { revoke } = yield* Connections
      const selection = yield* Selection.selectionOf(given, target.project)
      const members = byUrgency(yield* Campaign.select(selection))
      const rows = new Map<string, Row>(
        members.map((member) => [member.account.id, { member, result: "waiting", answer: null }])
      )
      const show = Effect.suspend(() => report([...rows.values()], words))
      if (dryRun || members.length === 0) return yield* show
      yield* Output.confirm(
        `Withdraw the credentials of ${members.length} accounts for good (${words}): ${outline(members)}?`,
        { yes }
      )

      const withdraw = Effect.fnUntraced(function* (members: ReadonlyArray<Campaign.Member>) {
        const progress = yield* Output.progress
        let left = members.length
        for (const member of members) rows.set(member.account.id, { member, result: "waiting", answer: null })
        yield* Campaign.run(
          members,
          ({ account }) => revoke(account.id),
          (member, result) => {
            rows.set(member.account.id, rowOf(member, result))
            left--
            return progress(`withdrawing: ${left} of ${members.length} are left`)
          }
        )
      }, Effect.scoped)

      yield* Effect.gen(function* () {
        yield* withdraw(members)
        for (let look = 0; look < looks; look++) {
          const found = yield* Campaign.select({ ...selection, statuses: notRevoked })
          const fresh = found.filter(({ account }) => !rows.has(account.id))
          if (fresh.length === 0) return
          yield* withdraw(fresh)
        }
      }).pipe(Effect.onExit(() => show))
      yield* attention([...rows.values()])
    }).pipe(Effect.provide(Target.layer(target)))
).pipe(
  Command.withDescription(
    "Withdraws the credentials of many accounts at their providers and erases them, for good. Run it again after a kill: it goes on where it ended"
  ),
  Command.withShortDescription("The kill switch: withdraws the credentials of many accounts"),
  Command.withExamples([
    { command: "rekindle revoke --config github --dry-run", description: "Which accounts would be revoked" },
    {
      command: 'rekindle revoke --since "2 hours" --yes',
      description: "All accounts that were created in the last two hours"
    }
  ])
)
