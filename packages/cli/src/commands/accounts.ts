/**
 * `rekindle accounts`: lists, shows, refreshes, links, enables, disables, revokes and removes connected accounts.
 *
 * @module
 */
import {
  ConnectedAccount,
  ConnectedAccountId,
  ConnectedAccounts,
  Connections,
  KnownStatus,
  RefreshOutcome
} from "@rekindle/core"
import { DateTime, Effect, Schema } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { CommandFailed } from "./failure.ts"
import * as Output from "./output.ts"
import * as Target from "./target.ts"

const target = Target.flags

/** The argument that names an account. */
const id = Argument.String("id").pipe(
  Argument.withDescription("The account, such as ca_4CkFF_cKATwg"),
  Argument.withSchema(ConnectedAccountId)
)

const several = (name: string, description: string) =>
  Flag.String(name).pipe(Flag.withDescription(`${description}; may be repeated`), Flag.atLeast(0))

const encode = Schema.encodeEffect(Schema.toCodecJson(ConnectedAccount))
const asJson = (account: ConnectedAccount) => Effect.orDie(encode(account))

const reason = ({ statusReason }: ConnectedAccount) => statusReason

const columns: ReadonlyArray<Output.Column<ConnectedAccount>> = [
  { title: "id", of: ({ id }) => id },
  { title: "status", of: ({ status }) => status },
  { title: "toolkit", of: ({ toolkit }) => toolkit.slug },
  { title: "config", of: ({ authConfig }) => authConfig.id },
  { title: "user", atMost: 40, of: ({ userId }) => userId },
  { title: "updated", of: ({ updatedAt }) => DateTime.formatIso(updatedAt) },
  { title: "reason", of: reason }
]

const list = Command.make(
  "list",
  {
    target,
    user: several("user", "Accounts of this user"),
    config: several("config", "Accounts of this auth config"),
    toolkit: several("toolkit", "Accounts of this toolkit"),
    status: Flag.Literals("status", KnownStatus.literals).pipe(
      Flag.withDescription("Accounts with this status; may be repeated"),
      Flag.atLeast(0)
    ),
    limit: Output.limit("Accounts on a page"),
    cursor: Flag.String("cursor").pipe(
      Flag.withDescription("The cursor of the next page, as the page before printed it"),
      Flag.optional
    )
  },
  ({ config, cursor, limit, status, target, toolkit, user }) =>
    Effect.gen(function* () {
      const some = <A>(values: ReadonlyArray<A>) => (values.length === 0 ? undefined : values)
      const page = yield* Connections.use(({ list }) =>
        list({
          userIds: some(user),
          authConfigIds: some(config),
          toolkits: some(toolkit),
          statuses: some(status),
          limit,
          cursor: cursor._tag === "Some" ? cursor.value : undefined
        })
      )
      yield* Output.list({
        json: { items: yield* Effect.forEach(page.items, asJson), next_cursor: page.nextCursor ?? null },
        items: page.items,
        columns,
        none: "no accounts"
      })
      if (page.nextCursor !== undefined) yield* Output.note(`more: --cursor ${page.nextCursor}`)
    }).pipe(Effect.provide(Target.layer(target)))
).pipe(Command.withDescription("Lists accounts, the newest first"))

const show = Command.make("show", { target, id }, ({ id, target }) =>
  Effect.gen(function* () {
    const account = yield* ConnectedAccounts.use(({ get }) => get(id))
    yield* Output.record(yield* asJson(account), [
      ["id", account.id],
      ["status", account.status],
      ["reason", account.statusReason],
      ["toolkit", account.toolkit.slug],
      ["config", account.authConfig.id],
      ["user", account.userId],
      ["alias", account.alias],
      ["scheme", account.state.authScheme],
      ["created", DateTime.formatIso(account.createdAt)],
      ["updated", DateTime.formatIso(account.updatedAt)],
      ...Object.entries(account.state.val).map(
        ([name, value]) => [name, typeof value === "string" ? value : JSON.stringify(value)] as const
      )
    ])
  }).pipe(Effect.provide(Target.layer(target)))
).pipe(Command.withDescription("Shows one account; its secrets are masked"))

const redirectUrl = Flag.String("redirect-url").pipe(
  Flag.withDescription("Where the browser goes after consent"),
  Flag.optional
)

const refresh = Command.make(
  "refresh",
  {
    target,
    id,
    redirectUrl,
    validate: Flag.Boolean("validate").pipe(
      Flag.withDescription("Test a credential at the provider that cannot be renewed, such as an API key"),
      Flag.withDefault(false)
    )
  },
  ({ id, redirectUrl, target, validate }) =>
    Effect.gen(function* () {
      const outcome = yield* ConnectedAccounts.use(({ refresh }) =>
        refresh(id, {
          redirectUrl: redirectUrl._tag === "Some" ? redirectUrl.value : undefined,
          validateCredentials: validate
        })
      )
      const { status, url } = RefreshOutcome.match(outcome, {
        Ready: () => ({ status: "ACTIVE", url: null }),
        RedirectRequired: ({ redirectUrl, status }) => ({ status: String(status), url: redirectUrl }),
        NotReady: ({ status }) => ({ status: String(status), url: null })
      })
      yield* Output.print(
        { id, status, redirect_url: url },
        url === null ? `${id} is ${status}` : `${id} is ${status}; a person has to consent at\n${url}`
      )
      if (outcome._tag === "Ready") return
      return yield* new CommandFailed({
        message: url === null ? `${id} is not usable` : `${id} needs the consent of a person`,
        fix: url === null ? `rekindle accounts show ${id}` : "show the person the link",
        exit: "attention"
      })
    }).pipe(Effect.provide(Target.layer(target)))
).pipe(Command.withDescription("Renews the credential, or prints the link that a person has to visit (exit code 3)"))

const link = Command.make("link", { target, id, redirectUrl }, ({ id, redirectUrl, target }) =>
  Effect.gen(function* () {
    const { openUntil, status, url } = yield* Connections.use(({ link }) =>
      link(id, { redirectUrl: redirectUrl._tag === "Some" ? redirectUrl.value : undefined })
    )
    const until = DateTime.formatIso(openUntil)
    yield* Output.print({ id, status, redirect_url: url, expires_at: until }, url)
    yield* Output.note(`a person can consent there until ${until}`)
  }).pipe(Effect.provide(Target.layer(target)))
).pipe(Command.withDescription("Makes a link to consent, whatever the state of the credential"))

/** A command that changes an account and has nothing else to say. */
const change = (name: "enable" | "disable", description: string, done: string) =>
  Command.make(name, { target, id }, ({ id, target }) =>
    Connections.use((connections) => connections[name](id)).pipe(
      Effect.andThen(ConnectedAccounts.use(({ get }) => get(id))),
      Effect.flatMap(({ status }) => Output.print({ id, status }, `${id} ${done}`)),
      Effect.provide(Target.layer(target))
    )
  ).pipe(Command.withDescription(description))

const revoke = Command.make("revoke", { target, id, yes: Output.yes }, ({ id, target, yes }) =>
  Effect.gen(function* () {
    const { words } = yield* Target.CurrentTarget
    yield* Output.confirm(`Revoke ${id} (${words}) for good?`, { yes })
    const { answer, withdrawn } = yield* Connections.use(({ revoke }) => revoke(id))
    const text = {
      confirmed: `${id} is revoked, and its credential no longer works at the provider`,
      unsupported: `${id} is revoked; the provider cannot withdraw the credential, which works there until it expires`,
      pending: `${id} is revoked here; the provider has not confirmed the withdrawal (${answer ?? "no answer"})`
    }[withdrawn]
    yield* Output.print({ id, withdrawn, answer }, text)
    if (withdrawn !== "pending") return
    return yield* new CommandFailed({
      message: "the credential may still work at the provider",
      fix: "a server repeats the withdrawal until it is confirmed; without one, run the command again",
      exit: "attention"
    })
  }).pipe(Effect.provide(Target.layer(target)))
).pipe(Command.withDescription("Withdraws the credential at the provider and erases it; the account stays, REVOKED"))

const remove = Command.make("remove", { target, id, yes: Output.yes }, ({ id, target, yes }) =>
  Effect.gen(function* () {
    const { words } = yield* Target.CurrentTarget
    yield* Output.confirm(`Erase ${id} (${words})? The provider is not told.`, { yes })
    yield* Connections.use(({ remove }) => remove(id))
    yield* Output.print({ id, removed: true }, `${id} is erased`)
  }).pipe(Effect.provide(Target.layer(target)))
).pipe(
  Command.withDescription("Erases the account; revoke it first if the credential must stop working at the provider")
)

export const accounts = Command.make("accounts").pipe(
  Command.withDescription("Connected accounts"),
  Command.withSubcommands([
    list,
    show,
    refresh,
    link,
    change("enable", "Puts an INACTIVE account back into service", "is in service again"),
    change("disable", "Takes an account out of service; its credential is kept and not renewed", "is out of service"),
    revoke,
    remove
  ])
)
