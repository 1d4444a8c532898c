/**
 * `Connections` in memory, for unit tests: auth configs, accounts and credentials behave as in an engine, and nothing is sent. It comes with
 * the script of {@link ScriptedAccounts}, which answers `refresh` and `get` for the same accounts.
 *
 * **Gotchas**
 *
 * - A credential that a test or the program gave is handed out until the account is renewed. Every other token is `token-<n>-of-<id>`, where
 *   `n` counts the renewals, so a test sees which token a call was made with.
 * - `consentTo` is the person: it completes the pending consent of an account.
 * - Settings of auth configs are not checked; only an engine knows its schemes. An account of the script whose auth config is not registered
 *   may be used with every host. Signatures are not real.
 * - There is one project, whatever `CurrentProject` says.
 *
 * @module
 */
import {
  type AccountChanges,
  type AccountFilter,
  AccountNotFound,
  type AuthConfig,
  type AuthConfigFilter,
  type ConnectedAccount,
  ConnectedAccountId,
  ConnectedAccounts,
  Connections,
  type ConnectionEvent,
  type ConnectionEventType,
  type ConnectionsError,
  type CredentialInUse,
  InvalidRequest,
  KnownStatus,
  type ListOptions,
  type Page,
  type PageOptions,
  type RegisteredAuthConfig,
  RefreshUnsupported,
  Resilience
} from "@rekindle/core"
import {
  Context,
  DateTime,
  Duration,
  Effect,
  Layer,
  Option,
  Order,
  Record,
  Redacted,
  Schema,
  Stream,
  Struct
} from "effect"
import { Base64Url } from "effect/encoding"
import * as ScriptedAccounts from "./ScriptedAccounts.ts"

/** The initial state of the script. */
export interface Script {
  readonly authConfigs?: ReadonlyArray<AuthConfig> | undefined
  /** Accounts that are there already, as {@link ScriptedAccounts.account} makes them. */
  readonly accounts?: ReadonlyArray<ScriptedAccounts.ScriptedAccount> | undefined
}

/** An operation of `Connections`; those of the auth configs as `authConfigs.register`. */
export type Operation =
  | Exclude<keyof Connections["Service"], "authConfigs">
  | `authConfigs.${keyof Connections["Service"]["authConfigs"]}`

/** Controls the script from a test. */
export class ScriptedConnections extends Context.Service<
  ScriptedConnections,
  {
    /** The operations so far, in the order of arrival. */
    readonly operations: Effect.Effect<ReadonlyArray<Operation>>
    /** Makes the next call of an operation fail. Called several times, it makes as many calls fail. */
    readonly failNext: (operation: Operation, error: ConnectionsError) => Effect.Effect<void>
    /** Completes the pending consent of an account, as a person would. An unknown id is a mistake of the test, and therefore a defect. */
    readonly consentTo: (id: string) => Effect.Effect<void>
    /** Adds an event. Starting and completing a consent add theirs by themselves. */
    readonly announce: (id: string, type: ConnectionEventType) => Effect.Effect<void>
    /** Sets the credential that is handed out until the account is renewed. */
    readonly setCredential: (id: string, credential: CredentialInUse) => Effect.Effect<void>
  }
>()("@rekindle/testing/ScriptedConnections") {}

/**
 * Provides `Connections`, `ConnectedAccounts`, and what controls both.
 *
 * ```ts
 * import assert from "node:assert/strict"
 * import { ConnectedAccountId, Connections } from "@rekindle/core"
 * import { account } from "@rekindle/testing/ScriptedAccounts"
 * import { layer, ScriptedConnections } from "@rekindle/testing/ScriptedConnections"
 * import { Effect, Redacted } from "effect"
 *
 * const gmail = ConnectedAccountId.make("ca_4CkFF_cKATwg")
 *
 * const test = Effect.gen(function* () {
 *   const connections = yield* Connections
 *   assert.equal((yield* Effect.flip(connections.accessToken(gmail)))._tag, "ConnectionNotReady")
 *   yield* (yield* ScriptedConnections).consentTo(gmail)
 *   assert.equal(Redacted.value(yield* connections.accessToken(gmail)), `token-1-of-${gmail}`)
 * })
 *
 * await Effect.runPromise(Effect.provide(test, layer({ accounts: [account({ id: gmail, status: "EXPIRED" })] })))
 * ```
 */
export const layer = (
  script: Script = {}
): Layer.Layer<Connections | ConnectedAccounts | ScriptedConnections | ScriptedAccounts.ScriptedAccounts> =>
  Layer.effectContext(make(script)).pipe(Layer.provideMerge(ScriptedAccounts.layer(script.accounts)))

const lifetimeOfLinks = Duration.minutes(10)
const defaultLimit = 50
const largestLimit = 500

const isId = Schema.is(ConnectedAccountId)
const isKnownStatus = Schema.is(KnownStatus)

const latestFirst = (by: "createdAt" | "updatedAt") =>
  Order.mapInput(
    Order.flip(Order.Tuple([Order.Number, Order.String])),
    (account: ConnectedAccount) => [account[by].epochMilliseconds, account.id] as const
  )

const withoutPerson: ReadonlySet<string> = new Set([
  "API_KEY",
  "BEARER_TOKEN",
  "BASIC",
  "BASIC_WITH_JWT",
  "S2S_OAUTH2",
  "GOOGLE_SERVICE_ACCOUNT",
  "NO_AUTH"
])

/** A page of a list. The cursor is the order and the index of the next item, which is enough for a script. */
const paged = Effect.fnUntraced(function* <A>(
  items: ReadonlyArray<A>,
  { cursor, limit = defaultLimit }: PageOptions,
  order = ""
): Effect.fn.Return<Page<A>, InvalidRequest> {
  if (!Number.isInteger(limit) || limit < 1 || limit > largestLimit)
    return yield* new InvalidRequest({ message: "limit has to be from 1 to 500", slug: "invalid_limit" })
  const text =
    cursor === undefined ? `${order} 0` : Option.getOrElse(Option.getSuccess(Base64Url.decodeString(cursor)), () => "")
  const index = text.slice(order.length + 1)
  if (!text.startsWith(`${order} `) || !/^\d+$/.test(index))
    return yield* new InvalidRequest({ message: "the cursor is not one of this list", slug: "invalid_cursor" })
  const start = Number(index)
  const end = start + limit
  return {
    items: items.slice(start, end),
    nextCursor: end < items.length ? Base64Url.encode(`${order} ${end}`) : undefined
  }
})

interface Kept {
  readonly config: AuthConfig
  readonly isDisabled: boolean
  readonly createdAt: DateTime.Utc
  readonly updatedAt: DateTime.Utc
}

const shown = ({ config, ...kept }: Kept): RegisteredAuthConfig => ({
  ...Struct.omit(config, ["projectId", "secrets"]),
  secretNames: Object.keys(config.secrets),
  ...kept
})

const aliasTaken = (alias: string) =>
  new InvalidRequest({ message: `another account of the person has the alias ${alias}`, slug: "alias_taken" })

const notFound = (id: string) =>
  new AccountNotFound({ message: `No connected account ${id}`, slug: "connected_account_not_found" })
const noConfig = (id: string) =>
  new InvalidRequest({ message: `auth config ${id} is not registered`, slug: "auth_config_not_found" })
const notRefreshable = (status: string) =>
  new InvalidRequest({ message: `the account is ${status}`, slug: "account_not_refreshable" })

const secretOf = (secrets: Readonly<Record<string, Redacted.Redacted<string>>>, name: string) =>
  secrets[name] ?? Redacted.make("")

/** The credential in use for these secrets, by the scheme of the config. */
const credentialOf = (
  { scheme, settings }: AuthConfig,
  secrets: Readonly<Record<string, Redacted.Redacted<string>>>,
  expiresAt: DateTime.Utc | undefined
): CredentialInUse => {
  switch (scheme) {
    case "API_KEY": {
      const { keyHeader = "authorization", keyParameter, keyPrefix = "" } = settings
      return {
        _tag: "ApiKey",
        key: secretOf(secrets, "api_key"),
        placement:
          keyParameter === undefined
            ? { in: "header", name: String(keyHeader), prefix: String(keyPrefix) }
            : { in: "query", name: String(keyParameter) }
      }
    }
    case "BASIC": {
      const username = Redacted.value(secretOf(secrets, "username"))
      return { _tag: "Basic", username, password: secretOf(secrets, "password") }
    }
    case "OAUTH1":
      return {
        _tag: "OAuth1",
        consumerKey: String(settings["consumerKey"]),
        token: secretOf(secrets, "access_token"),
        tokenSecret: secretOf(secrets, "oauth_token_secret")
      }
    default: {
      const token = secrets["access_token"] ?? secrets["token"]
      return token === undefined
        ? { _tag: "Custom", scheme, secrets }
        : { _tag: "AccessToken", token, tokenType: "Bearer", expiresAt }
    }
  }
}

/** A credential that is handed out until the account is renewed. */
interface Given {
  readonly credential: CredentialInUse
  readonly renewals: number
  readonly secrets: Readonly<Record<string, Redacted.Redacted<string>>>
}

const make = Effect.fnUntraced(function* (script: Script) {
  const accounts = yield* ScriptedAccounts.ScriptedAccounts
  const scripted = yield* ConnectedAccounts
  const began = yield* DateTime.now
  const configs = new Map<string, Kept>(
    script.authConfigs?.map((config) => [config.id, { config, isDisabled: false, createdAt: began, updatedAt: began }])
  )
  /** Credentials that the test or the program gave, each with the number of renewals before it. */
  const given = new Map<string, Given>()
  const operations: Array<Operation> = []
  const failures = new Map<Operation, Array<ConnectionsError>>()
  const told: Array<ConnectionEvent> = []
  let made = 0

  /** An unknown id is a mistake of the test. */
  const announce = Effect.fnUntraced(function* (id: string, type: ConnectionEventType) {
    const record = (yield* accounts.records).find((each) => each.id === id)
    if (record === undefined) return yield* Effect.die(new Error(`The script has no account ${id}`))
    const { status, statusReason } = record
    told.push({ sequence: told.length + 1, accountId: record.id, type, status, statusReason, at: yield* DateTime.now })
  })

  const call = <A, E>(operation: Operation, answer: Effect.Effect<A, E>): Effect.Effect<A, E | ConnectionsError> =>
    Effect.suspend((): Effect.Effect<A, E | ConnectionsError> => {
      operations.push(operation)
      const failure = failures.get(operation)?.shift()
      return failure === undefined ? answer : Effect.fail(failure)
    })

  const configOf = (id: string) => {
    const kept = configs.get(id)
    return kept === undefined ? Effect.fail(noConfig(id)) : Effect.succeed(kept)
  }
  /** Fails if the auth config is disabled. An account of the script need not have a registered one. */
  const inService = (id: string) =>
    configs.get(id)?.isDisabled === true
      ? Effect.fail(new InvalidRequest({ message: `auth config ${id} is switched off`, slug: "auth_config_disabled" }))
      : Effect.void

  const find = Effect.fnUntraced(function* (id: ConnectedAccountId) {
    if (!isId(id)) return yield* new InvalidRequest({ message: "Malformed connected account id", slug: "invalid_id" })
    const record = (yield* accounts.records).find((each) => each.id === id)
    return record ?? (yield* notFound(id))
  })

  const renewalsOf = (id: string) =>
    Effect.map(
      accounts.callsFor(id),
      (calls) =>
        calls.filter(({ exit }) => exit?._tag === "Success" && "_tag" in exit.value && exit.value._tag === "Ready")
          .length
    )

  const give = (id: string, credential: CredentialInUse, secrets: Given["secrets"] = {}) =>
    Effect.map(renewalsOf(id), (renewals) => void given.set(id, { credential, renewals, secrets }))

  /** Fails if another account of the person and toolkit has the alias. */
  const checkAlias = Effect.fnUntraced(function* (
    alias: string | null | undefined,
    { id, toolkit, userId }: Pick<ConnectedAccount, "id" | "toolkit" | "userId">
  ) {
    if (alias === undefined || alias === null) return
    if (alias.length < 1 || alias.length > 255)
      return yield* new InvalidRequest({ message: "an alias has 1 to 255 characters", slug: "invalid_alias" })
    const others = (yield* accounts.records).filter((other) => other.id !== id && other.alias === alias)
    if (others.some((other) => other.userId === userId && other.toolkit.slug === toolkit.slug))
      return yield* aliasTaken(alias)
  })

  const put = (record: ConnectedAccount) => accounts.put({ record, answers: [], reads: [] })

  const update = Effect.fnUntraced(function* (record: ConnectedAccount, status: KnownStatus, reason?: string) {
    if (record.status !== status) yield* accounts.setStatus(record.id, status, reason)
  })

  const select = (filter: AccountFilter) =>
    Effect.map(accounts.records, (records) =>
      records
        .filter(
          ({ authConfig, id, status, toolkit, userId }) =>
            (filter.userIds === undefined || filter.userIds.some((each) => each === userId)) &&
            (filter.authConfigIds === undefined || filter.authConfigIds.includes(authConfig.id)) &&
            (filter.toolkits === undefined || filter.toolkits.includes(toolkit.slug)) &&
            (filter.ids === undefined || filter.ids.includes(id)) &&
            (filter.statuses === undefined || (isKnownStatus(status) && filter.statuses.includes(status)))
        )
        .toSorted(latestFirst("createdAt"))
    )

  const selectConfigs = ({ isDisabled, ...filter }: AuthConfigFilter) =>
    [...configs.values()]
      .filter((kept) => (isDisabled ?? kept.isDisabled) === kept.isDisabled && Connections.selects(filter, kept.config))
      .map(shown)
      .toSorted((one, other) => (one.id < other.id ? -1 : 1))

  const credential = Effect.fnUntraced(function* (id: ConnectedAccountId) {
    const { authConfig, state, status } = yield* find(id)
    if (status === "INACTIVE" || status === "REVOKED") return yield* notRefreshable(status)
    yield* inService(authConfig.id)
    if (status !== "ACTIVE") return yield* new Resilience.ConnectionNotReady({ accountId: id, status })
    const renewals = yield* renewalsOf(id)
    const own = given.get(id)
    if (own !== undefined && (own.renewals === renewals || own.credential._tag !== "AccessToken")) return own.credential
    const token = Redacted.make(`token-${renewals + 1}-of-${id}`, { label: "access_token" })
    const inUse: CredentialInUse =
      state.authScheme === "API_KEY"
        ? { _tag: "ApiKey", key: token, placement: { in: "header", name: "authorization", prefix: "" } }
        : { _tag: "AccessToken", token, tokenType: "Bearer", expiresAt: undefined }
    return inUse
  })

  const connections = Connections.of({
    authConfigs: {
      register: (config) =>
        call(
          "authConfigs.register",
          Effect.gen(function* () {
            const before = configs.get(config.id)
            const now = yield* DateTime.now
            const { createdAt = now, isDisabled = false } = before ?? {}
            const kept = { config, isDisabled, createdAt, updatedAt: now }
            configs.set(config.id, kept)
            return shown(kept)
          })
        ),
      get: (id) =>
        call(
          "authConfigs.get",
          Effect.sync(() => Option.map(Option.fromUndefinedOr(configs.get(id)), shown))
        ),
      list: ({ cursor, limit, ...filter } = {}) =>
        call(
          "authConfigs.list",
          Effect.suspend(() => paged(selectConfigs(filter), { cursor, limit }))
        ),
      count: (filter = {}) =>
        call(
          "authConfigs.count",
          Effect.sync(() => selectConfigs(filter).length)
        ),
      update: (id, changes) =>
        call(
          "authConfigs.update",
          Effect.gen(function* () {
            const kept = yield* configOf(id)
            const next = { ...kept, config: Connections.changed(kept.config, changes), updatedAt: yield* DateTime.now }
            configs.set(id, next)
            return shown(next)
          })
        ),
      enable: (id) =>
        call(
          "authConfigs.enable",
          Effect.map(configOf(id), (kept) => void configs.set(id, { ...kept, isDisabled: false }))
        ),
      disable: (id) =>
        call(
          "authConfigs.disable",
          Effect.map(configOf(id), (kept) => void configs.set(id, { ...kept, isDisabled: true }))
        ),
      remove: (id) =>
        call(
          "authConfigs.remove",
          Effect.gen(function* () {
            yield* configOf(id)
            if ((yield* select({ authConfigIds: [id] })).length > 0)
              return yield* new InvalidRequest({
                message: `auth config ${id} has accounts`,
                slug: "auth_config_in_use"
              })
            configs.delete(id)
          })
        )
    },
    create: ({ alias, attributes = {}, authConfigId, expiresAt, id, secrets, userId }) =>
      call(
        "create",
        Effect.gen(function* () {
          if (id !== undefined && !isId(id))
            return yield* new InvalidRequest({ message: "Malformed connected account id", slug: "invalid_id" })
          const { config } = yield* configOf(authConfigId)
          yield* inService(authConfigId)
          const own = id ?? ConnectedAccountId.make(`ca_scripted-${++made}`)
          if ((yield* accounts.records).some((record) => record.id === own))
            return yield* new InvalidRequest({ message: `the id ${own} is taken`, slug: "id_taken" })
          const toolkit = { slug: config.toolkit }
          yield* checkAlias(alias, { id: own, toolkit, userId })
          const now = yield* DateTime.now
          const record: ConnectedAccount = {
            id: own,
            alias: alias ?? null,
            status: secrets === undefined && config.scheme !== "NO_AUTH" ? "INITIALIZING" : "ACTIVE",
            statusReason: null,
            toolkit,
            authConfig: { id: authConfigId },
            userId,
            isDisabled: false,
            createdAt: now,
            updatedAt: now,
            state: {
              authScheme: config.scheme,
              val: {
                ...attributes,
                ...Object.fromEntries(Object.keys(secrets ?? {}).map((name) => [name, "********"]))
              }
            }
          }
          yield* put(record)
          if (secrets !== undefined) yield* give(own, credentialOf(config, secrets, expiresAt), secrets)
          return record
        })
      ),
    find: ({ authConfigId, userId }) =>
      call(
        "find",
        Effect.map(select({ authConfigIds: [authConfigId], userIds: [userId] }), (found) =>
          Option.fromUndefinedOr(found.find(({ status }) => status === "ACTIVE") ?? found[0])
        )
      ),
    list: ({ cursor, direction = "desc", limit, orderBy = "createdAt", ...filter }: ListOptions = {}) =>
      call(
        "list",
        Effect.flatMap(select(filter), (found) => {
          const latest = found.toSorted(latestFirst(orderBy))
          const items = direction === "desc" ? latest : latest.toReversed()
          return paged(items, { cursor, limit }, `${orderBy} ${direction}`)
        })
      ),
    count: (filter = {}) =>
      call(
        "count",
        Effect.map(select(filter), (found) => found.length)
      ),
    link: (id) =>
      call(
        "link",
        Effect.gen(function* () {
          const record = yield* find(id)
          if (record.status === "INACTIVE" || record.status === "REVOKED") return yield* notRefreshable(record.status)
          yield* inService(record.authConfig.id)
          if (withoutPerson.has(record.state.authScheme))
            return yield* new RefreshUnsupported({ message: "the scheme has no consent", slug: "scheme_unsupported" })
          const status = record.status === "ACTIVE" ? "ACTIVE" : "INITIATED"
          yield* update(record, status)
          yield* announce(id, "consent_started")
          return {
            url: `https://consent.test/${id}`,
            openUntil: DateTime.addDuration(yield* DateTime.now, lifetimeOfLinks),
            status
          }
        })
      ),
    update: (id, { alias, attributes, secrets }: AccountChanges) =>
      call(
        "update",
        Effect.gen(function* () {
          const record = yield* find(id)
          yield* checkAlias(alias, record)
          if (record.status === "REVOKED" && (secrets !== undefined || attributes !== undefined))
            return yield* new InvalidRequest({ message: "the account is REVOKED", slug: "account_revoked" })
          const brings = Object.values(secrets ?? {}).some((secret) => secret !== null)
          if (secrets !== undefined && Object.keys(secrets).length > 0) {
            const { config } = yield* configOf(record.authConfig.id)
            const all = Connections.merged(given.get(id)?.secrets ?? {}, secrets)
            yield* give(id, credentialOf(config, all, undefined), all)
            if (brings && record.status !== "INACTIVE") yield* update(record, "ACTIVE")
          }
          const masks = Record.map(secrets ?? {}, (secret) => (secret === null ? null : "********"))
          yield* accounts.edit(id, (record) => ({
            ...record,
            ...(alias === undefined ? {} : { alias }),
            state: {
              ...record.state,
              val: Connections.merged<Schema.Json>(record.state.val, { ...attributes, ...masks })
            }
          }))
          return yield* find(id)
        })
      ),
    replaceSecrets: (id, secrets) =>
      call(
        "replaceSecrets",
        Effect.gen(function* () {
          const record = yield* find(id)
          if (record.status === "REVOKED")
            return yield* new InvalidRequest({ message: "the account is REVOKED", slug: "account_revoked" })
          const { config } = yield* configOf(record.authConfig.id)
          yield* give(id, credentialOf(config, secrets, undefined), secrets)
          if (record.status !== "INACTIVE") yield* update(record, "ACTIVE")
        })
      ),
    enable: (id) =>
      call(
        "enable",
        Effect.flatMap(find(id), (record) => (record.status === "INACTIVE" ? update(record, "ACTIVE") : Effect.void))
      ),
    disable: (id) =>
      call(
        "disable",
        Effect.flatMap(find(id), (record) =>
          record.status === "ACTIVE" ? update(record, "INACTIVE", "disabled") : Effect.void
        )
      ),
    revoke: (id) =>
      call(
        "revoke",
        Effect.flatMap(find(id), (record) => {
          given.delete(id)
          return Effect.as(update(record, "REVOKED", "revoked"), { withdrawn: "confirmed", answer: null } as const)
        })
      ),
    remove: (id) =>
      call(
        "remove",
        Effect.flatMap(find(id), () => {
          given.delete(id)
          return accounts.remove(id)
        })
      ),
    accessToken: (id) =>
      call(
        "accessToken",
        Effect.flatMap(credential(id), (credential) =>
          credential._tag === "AccessToken"
            ? Effect.succeed(credential.token)
            : Effect.fail(
                new RefreshUnsupported({ message: "the scheme has no access token", slug: "scheme_unsupported" })
              )
        )
      ),
    credential: (id) => call("credential", credential(id)),
    authorization: (id, { url }) =>
      call(
        "authorization",
        Effect.gen(function* () {
          const inUse = yield* credential(id)
          const { authConfig, state } = yield* find(id)
          const config = configs.get(authConfig.id)?.config
          if (config !== undefined && !Connections.isApiAddress(config, state.val, url))
            return yield* new InvalidRequest({ message: "the address is on no API host", slug: "host_not_declared" })
          return (
            Connections.present(inUse) ?? {
              headers: { authorization: Redacted.make(`${inUse._tag} signature`) },
              parameters: {}
            }
          )
        })
      ),
    events: ({ after = 0, follow = true, pollInterval = "1 second" } = {}) =>
      Stream.unwrap(
        call(
          "events",
          Effect.succeed(
            Stream.paginate(after, (done) => {
              const next = told.filter(({ sequence }) => sequence > done)
              const page = [
                next,
                next.length > 0 || follow ? Option.some(next.at(-1)?.sequence ?? done) : Option.none()
              ] as const
              return next.length === 0 && follow ? Effect.as(Effect.sleep(pollInterval), page) : Effect.succeed(page)
            })
          )
        )
      )
  })

  const control = ScriptedConnections.of({
    operations: Effect.sync(() => [...operations]),
    failNext: (operation, error) =>
      Effect.sync(() => void failures.set(operation, [...(failures.get(operation) ?? []), error])),
    announce,
    consentTo: (id) => Effect.andThen(accounts.setStatus(id, "ACTIVE"), announce(id, "consent_completed")),
    setCredential: (id, credential) => give(id, credential)
  })

  return Context.make(Connections, connections).pipe(
    Context.add(ScriptedConnections, control),
    Context.add(
      ConnectedAccounts,
      ConnectedAccounts.of({
        ...scripted,
        refresh: (id, options) =>
          Effect.flatMap(accounts.records, (records) => {
            const record = records.find((each) => each.id === id)
            const allowed = record === undefined ? Effect.void : inService(record.authConfig.id)
            return Effect.andThen(allowed, scripted.refresh(id, options))
          })
      })
    )
  )
})
