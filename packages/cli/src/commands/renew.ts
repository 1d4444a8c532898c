/**
 * `rekindle renew`: renews the credentials of many accounts now, at the pace of each provider.
 *
 * A server renews in the background what is due. This command is for the days when that is not enough: after an outage, before a
 * maintenance, or after an auth config was corrected.
 *
 * @module
 */
import { ConnectedAccounts, type ConnectionsError, type RefreshOutcome } from "@rekindle/core"
import { Effect } from "effect"
import { Command } from "effect/cli"
import * as Campaign from "../campaign/Campaign.ts"
import { CommandFailed } from "./failure.ts"
import * as Output from "./output.ts"
import * as Selection from "./selection.ts"
import * as Target from "./target.ts"

interface Row {
  readonly member: Campaign.Member
  /** `consent`: a person has to consent. */
  readonly result: "ready" | "consent" | "not usable" | "failed"
  readonly detail: string | null
}

const rowOf = (
  member: Campaign.Member,
  result: { readonly value: RefreshOutcome } | { readonly error: ConnectionsError }
): Row => {
  if ("error" in result) return { member, result: "failed", detail: result.error.message }
  switch (result.value._tag) {
    case "Ready":
      return { member, result: "ready", detail: null }
    case "RedirectRequired":
      return { member, result: "consent", detail: result.value.redirectUrl }
    case "NotReady":
      return { member, result: "not usable", detail: result.value.status }
  }
}

export const renew = Command.make(
  "renew",
  { target: Target.flags, selection: Selection.flags },
  ({ selection: given, target }) =>
    Effect.gen(function* () {
      const { refresh } = yield* ConnectedAccounts
      const selection = yield* Selection.selectionOf(given, target.project)
      const members = yield* Campaign.select({ ...selection, statuses: ["ACTIVE"] })
      const rows: Array<Row> = []
      const show = Effect.suspend(() => {
        const ready = rows.filter(({ result }) => result === "ready").length
        return Output.list({
          json: {
            counts: { selected: members.length, ready, left: members.length - rows.length },
            items: rows.map(({ detail, member: { account, provider }, result }) => ({
              id: account.id,
              user_id: account.userId ?? null,
              auth_config_id: account.authConfig.id,
              provider: provider.name,
              result,
              detail
            }))
          },
          // A person looks for what did not go well.
          items: rows.filter(({ result }) => result !== "ready"),
          columns: [
            { title: "id", of: ({ member }) => member.account.id },
            { title: "user", of: ({ member }) => member.account.userId },
            { title: "config", of: ({ member }) => member.account.authConfig.id },
            { title: "result", of: ({ result }) => result },
            { title: "detail", of: ({ detail }) => detail }
          ],
          none: `${ready} of ${members.length} accounts are ready`
        })
      })
      yield* Effect.gen(function* () {
        const progress = yield* Output.progress
        yield* Campaign.run(
          members,
          ({ account }) => refresh(account.id),
          (member, result) => {
            rows.push(rowOf(member, result))
            return progress(`renewing: ${rows.length} of ${members.length}`)
          }
        )
      }).pipe(
        Effect.scoped,
        Effect.onExit(() => show)
      )
      const bad = rows.filter(({ result }) => result !== "ready").length
      if (bad === 0) return
      return yield* new CommandFailed({
        message: `${bad} of ${members.length} accounts are not ready`,
        fix: "show people the links of the accounts that need consent; rekindle accounts refresh says what is wrong with the others",
        exit: "attention"
      })
    }).pipe(Effect.provide(Target.layer(target)))
).pipe(
  Command.withDescription(
    "Renews the credentials of ACTIVE accounts now, at the pace of each provider. Prints those that could not be renewed, with the link to consent where a person is needed"
  ),
  Command.withShortDescription("Renews the credentials of many accounts now"),
  Command.withExamples([
    { command: "rekindle renew --all", description: "Every account of the project" },
    { command: "rekindle renew --config github", description: "The accounts of one auth config" }
  ])
)
