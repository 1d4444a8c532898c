/**
 * One contract for every provider of `Connections`: an engine, an HTTP client in front of a server, the script for unit tests.
 *
 * The layer under test also provides `ConnectedAccounts` for the same accounts, and {@link Fixtures}, which describe the provider. If a
 * provider cannot do something, leave it out of the fixtures and name it in `gaps`: its clauses are then listed as skipped.
 *
 * This module imports vitest, so it is not part of the package's index.
 *
 * @module
 */
import { assert, layer } from "@effect/vitest"
import {
  type AuthConfig,
  type AuthConfigFilter,
  ConnectedAccount,
  ConnectedAccountId,
  ConnectedAccounts,
  Connections,
  type ConnectionsError,
  CurrentProject,
  type NewAccount,
  Resilience
} from "@rekindle/core"
import { Context, type Duration, Effect, type Layer, Option, Record, Redacted, Schema, Stream } from "effect"
import { malformedIds } from "./internal/malformedIds.ts"

/** What a provider may leave out. */
export type Gap = "mistaken" | "consent"

/** The auth configs and the person that the suite uses. */
export class Fixtures extends Context.Service<
  Fixtures,
  {
    /**
     * An OAUTH2 config that is not registered yet, and a working credential for an account of it. Each clause gives the config another id.
     */
    readonly oauth: AuthConfig
    readonly secrets: Effect.Effect<{
      readonly access_token: Redacted.Redacted<string>
      readonly refresh_token: Redacted.Redacted<string>
    }>
    /** An API_KEY config whose requests carry the key in the header `x-key`, and a BASIC config; the API of both is `api.contract.test`. */
    readonly apiKey: AuthConfig
    readonly basic: AuthConfig
    /** A config with a mistake in the named setting. */
    readonly mistaken?: { readonly config: AuthConfig; readonly field: string }
    /** Follows a link as a person does, until the account is connected. */
    readonly consent?: (url: string, id: ConnectedAccountId) => Effect.Effect<void, unknown>
  }
>()("@rekindle/testing/ConnectionsContract/Fixtures") {}

/** One sentence of the contract. It holds if the effect succeeds. */
export interface Clause {
  readonly name: string
  readonly needs: ReadonlyArray<Gap>
  readonly holds: Effect.Effect<void, unknown, Connections | ConnectedAccounts | Fixtures>
}

/**
 * Registers a vitest suite that checks every clause against the provider.
 *
 * By default it runs on `TestClock`, where real waits never end. `clock: "live"` is for providers with sockets, files or waits of their own.
 * `timeout` limits building and closing the layer.
 */
export const suite = <E>(
  name: string,
  provider: Layer.Layer<Connections | ConnectedAccounts | Fixtures, E>,
  options?: {
    readonly gaps?: ReadonlyArray<Gap> | undefined
    readonly clock?: "test" | "live" | undefined
    readonly timeout?: Duration.Input | undefined
  }
): void => {
  const gaps = options?.gaps ?? []
  const settings = {
    excludeTestServices: options?.clock === "live",
    ...(options?.timeout === undefined ? {} : { timeout: options.timeout })
  }
  layer(provider, settings)(`${name} keeps the contract of Connections`, (it) => {
    for (const clause of clauses) {
      const missing = clause.needs.filter((need) => gaps.includes(need))
      const title = missing.length === 0 ? clause.name : `${clause.name} (gap: ${missing.join(", ")})`
      it.effect.skipIf(missing.length > 0)(title, () => clause.holds)
    }
    it.effect("a gap that is named is really one", () =>
      Effect.map(Fixtures, (fixtures) => {
        assert.deepStrictEqual(
          gaps.filter((gap) => fixtures[gap] !== undefined),
          []
        )
      })
    )
  })
}

let made = 0
/** Makes a name that no other clause has, so that clauses do not see each other's accounts. */
const fresh = (prefix: string) => `${prefix}-${++made}`

type Scheme = "oauth" | "apiKey" | "basic"

/** Registers a config of the scheme under an id of its own. */
const registered = Effect.fnUntraced(function* (scheme: Scheme = "oauth") {
  const { authConfigs } = yield* Connections
  const config = { ...(yield* Fixtures)[scheme], id: fresh("contract"), projectId: yield* CurrentProject }
  yield* authConfigs.register(config)
  return config
})

/** Creates an account with a living credential. */
const connected = Effect.fnUntraced(function* ({
  authConfigId,
  userId = fresh("user"),
  ...rest
}: Pick<NewAccount, "authConfigId"> & Partial<NewAccount>) {
  const secrets = yield* (yield* Fixtures).secrets
  const account = yield* (yield* Connections).create({ authConfigId, userId, secrets, ...rest })
  return { id: account.id, userId, secrets, account }
})

const get = (id: ConnectedAccountId) => Effect.flatMap(ConnectedAccounts, (accounts) => accounts.get(id))
const statusOf = (id: ConnectedAccountId) => Effect.map(get(id), ({ status }) => status)
const refresh = (id: ConnectedAccountId) => Effect.flatMap(ConnectedAccounts, (accounts) => accounts.refresh(id))

/** What an account shows of itself. An HTTP server repeats the status there. */
const valOf = ({ state }: ConnectedAccount) => Record.remove(state.val, "status")

const idsOf = (items: ReadonlyArray<ConnectedAccount>) => items.map(({ id }) => id)

/** Checks how a call fails. */
const refused = Effect.fnUntraced(function* (
  call: Effect.Effect<unknown, ConnectionsError | Resilience.ConnectionNotReady, ConnectedAccounts>,
  tag: ConnectionsError["_tag"],
  slug: string
) {
  const error = yield* Effect.flip(call)
  assert.deepStrictEqual([error._tag, "slug" in error ? error.slug : undefined], [tag, slug])
})

const accountCalls = Effect.map(
  Effect.all([Connections, Fixtures]),
  ([connections, fixtures]) =>
    (id: ConnectedAccountId) => ({
      link: connections.link(id),
      update: connections.update(id, { alias: "alias" }),
      replaceSecrets: Effect.flatMap(fixtures.secrets, (secrets) => connections.replaceSecrets(id, secrets)),
      enable: connections.enable(id),
      disable: connections.disable(id),
      revoke: connections.revoke(id),
      remove: connections.remove(id),
      accessToken: connections.accessToken(id),
      credential: connections.credential(id)
    })
)

/** The contract itself, for runners other than vitest and for tests of the suite. */
export const clauses: ReadonlyArray<Clause> = [
  {
    name: "a registered auth config is shown without its secrets, and replaced by one with its id",
    needs: [],
    holds: Effect.gen(function* () {
      const { authConfigs } = yield* Connections
      const config = yield* registered()
      const secret = Redacted.make("contract-secret-value")
      const shown = yield* authConfigs.register({
        ...config,
        toolkit: "replaced",
        secrets: { ...config.secrets, client_secret: secret }
      })
      assert.deepStrictEqual(yield* authConfigs.get(config.id), Option.some(shown))
      assert.deepInclude(shown, { id: config.id, toolkit: "replaced", scheme: config.scheme, isDisabled: false })
      assert.include(shown.secretNames, "client_secret")
      assert.notInclude(JSON.stringify(shown), Redacted.value(secret))
      assert.isTrue(Option.isNone(yield* authConfigs.get(fresh("nobodys"))))
    })
  },
  {
    name: "an auth config with a mistake is refused with the field named, and nothing changes",
    needs: ["mistaken"],
    holds: Effect.gen(function* () {
      const { authConfigs } = yield* Connections
      const { mistaken } = yield* Fixtures
      if (mistaken === undefined) return assert.fail("no mistaken config")
      const config = { ...mistaken.config, id: fresh("mistaken"), projectId: yield* CurrentProject }
      const error = yield* Effect.flip(authConfigs.register(config))
      if (error._tag !== "InvalidRequest") return assert.fail(error._tag)
      assert.strictEqual(error.slug, "invalid_auth_config")
      assert.isTrue(error.errors?.some((line) => line.startsWith(`${mistaken.field}: `)))
      assert.isTrue(Option.isNone(yield* authConfigs.get(config.id)))
    })
  },
  {
    name: "auth configs are listed page by page, each once",
    needs: [],
    holds: Effect.gen(function* () {
      const { authConfigs } = yield* Connections
      const mine = yield* Effect.forEach([1, 2, 3], () => Effect.map(registered(), ({ id }) => id))
      const seen: Array<string> = []
      let cursor: string | undefined
      do {
        const page = yield* authConfigs.list({ cursor, limit: 2 })
        assert.isAtMost(page.items.length, 2)
        seen.push(...page.items.map(({ id }) => id))
        cursor = page.nextCursor
      } while (cursor !== undefined)
      assert.strictEqual(new Set(seen).size, seen.length)
      assert.includeMembers(seen, mine)
      yield* refused(authConfigs.list({ cursor: "%%%" }), "InvalidRequest", "invalid_cursor")
      for (const limit of [0, 501, 1.5]) yield* refused(authConfigs.list({ limit }), "InvalidRequest", "invalid_limit")
    })
  },
  {
    name: "auth configs are selected by toolkit, name or id, and whether they are in service, and counted alike",
    needs: [],
    holds: Effect.gen(function* () {
      const { authConfigs } = yield* Connections
      const toolkit = fresh("toolkit")
      const [one, other] = [yield* registered(), yield* registered()]
      for (const config of [one, other]) yield* authConfigs.register({ ...config, toolkit })
      yield* authConfigs.update(one.id, { name: `The One of ${toolkit}` })
      yield* authConfigs.disable(other.id)
      const selected = Effect.fnUntraced(function* (filter: AuthConfigFilter) {
        const found: Array<string> = []
        let cursor: string | undefined
        do {
          const page = yield* authConfigs.list({ ...filter, cursor, limit: 1 })
          found.push(...page.items.map(({ id }) => id))
          cursor = page.nextCursor
        } while (cursor !== undefined)
        assert.strictEqual(yield* authConfigs.count(filter), found.length)
        return found.filter((id) => id === one.id || id === other.id)
      })
      assert.deepStrictEqual(yield* selected({ toolkits: [toolkit] }), [one.id, other.id].toSorted())
      assert.deepStrictEqual(yield* selected({ toolkits: [fresh("toolkit")] }), [])
      assert.deepStrictEqual(yield* selected({ search: `the one of ${toolkit}` }), [one.id])
      assert.deepStrictEqual(yield* selected({ search: other.id.toUpperCase() }), [other.id])
      assert.deepStrictEqual(yield* selected({ isDisabled: true }), [other.id])
      assert.deepStrictEqual(yield* selected({ isDisabled: false, toolkits: [toolkit] }), [one.id])
    })
  },
  {
    name: "an auth config is changed field by field: what a change does not name stays",
    needs: [],
    holds: Effect.gen(function* () {
      const { authConfigs } = yield* Connections
      const config = yield* registered()
      const before = Option.getOrThrow(yield* authConfigs.get(config.id))
      const secret = Redacted.make("contract-secret-value")
      const scopes = ["one", "two"]
      const changed = yield* authConfigs.update(config.id, {
        name: "Work",
        settings: { scopes },
        secrets: { client_secret: secret },
        apiHosts: ["api.contract.test"],
        allowAnotherIdentity: true
      })
      const { createdAt, updatedAt } = changed
      assert.deepStrictEqual(changed, {
        ...before,
        name: "Work",
        settings: { ...before.settings, scopes },
        secretNames: [...new Set([...before.secretNames, "client_secret"])],
        apiHosts: ["api.contract.test"],
        allowAnotherIdentity: true,
        updatedAt
      })
      assert.deepStrictEqual(createdAt, before.createdAt)
      assert.deepStrictEqual(yield* authConfigs.get(config.id), Option.some(changed))
      // Changes at the same time keep each other.
      yield* Effect.all(
        [
          authConfigs.update(config.id, { name: null, apiHosts: null }),
          authConfigs.update(config.id, { settings: { scopes: null } }),
          authConfigs.update(config.id, { allowAnotherIdentity: false })
        ],
        { concurrency: "unbounded" }
      )
      const last = Option.getOrThrow(yield* authConfigs.get(config.id))
      assert.deepStrictEqual(
        [last.name, last.apiHosts, last.settings["scopes"], last.allowAnotherIdentity, last.secretNames],
        [undefined, undefined, undefined, false, changed.secretNames]
      )
      yield* refused(authConfigs.update(fresh("nobodys"), {}), "InvalidRequest", "auth_config_not_found")
    })
  },
  {
    name: "a change with a mistake leaves the auth config as it was",
    needs: ["mistaken"],
    holds: Effect.gen(function* () {
      const { authConfigs } = yield* Connections
      const { mistaken, oauth } = yield* Fixtures
      if (mistaken === undefined) return assert.fail("no mistaken config")
      const config = yield* registered()
      const before = yield* authConfigs.get(config.id)
      const settings = { ...oauth.settings, ...mistaken.config.settings }
      const { hosts, secrets } = mistaken.config
      yield* refused(
        authConfigs.update(config.id, { settings, hosts, secrets }),
        "InvalidRequest",
        "invalid_auth_config"
      )
      assert.deepStrictEqual(yield* authConfigs.get(config.id), before)
    })
  },
  {
    name: "a disabled auth config takes its accounts out of service, and they are unchanged when it is enabled",
    needs: [],
    holds: Effect.gen(function* () {
      const { accessToken, authConfigs, create, credential, link } = yield* Connections
      const { id: authConfigId } = yield* registered()
      const { id } = yield* connected({ authConfigId })
      const token = yield* accessToken(id)
      yield* authConfigs.disable(authConfigId)
      assert.isTrue((yield* authConfigs.get(authConfigId)).pipe(Option.exists(({ isDisabled }) => isDisabled)))
      for (const call of [
        accessToken(id),
        credential(id),
        link(id),
        refresh(id),
        create({ authConfigId, userId: "u" })
      ]) {
        yield* refused(call, "InvalidRequest", "auth_config_disabled")
      }
      assert.strictEqual(yield* statusOf(id), "ACTIVE")
      yield* authConfigs.enable(authConfigId)
      assert.strictEqual(Redacted.value(yield* accessToken(id)), Redacted.value(token))
    })
  },
  {
    name: "an auth config is removed once it has no accounts",
    needs: [],
    holds: Effect.gen(function* () {
      const { authConfigs, create, remove } = yield* Connections
      const { id: authConfigId } = yield* registered()
      const { id } = yield* connected({ authConfigId })
      yield* refused(authConfigs.remove(authConfigId), "InvalidRequest", "auth_config_in_use")
      yield* remove(id)
      yield* authConfigs.remove(authConfigId)
      assert.isTrue(Option.isNone(yield* authConfigs.get(authConfigId)))
      const { disable, enable, remove: removeAgain } = authConfigs
      for (const call of [
        disable(authConfigId),
        enable(authConfigId),
        removeAgain(authConfigId),
        create({ authConfigId, userId: "u" })
      ]) {
        yield* refused(call, "InvalidRequest", "auth_config_not_found")
      }
    })
  },
  {
    name: "an account with a credential is ACTIVE, one without waits for a person, and ids are unique",
    needs: [],
    holds: Effect.gen(function* () {
      const { create } = yield* Connections
      const { id: authConfigId } = yield* registered()
      const id = ConnectedAccountId.make(`ca_${fresh("contract")}`)
      const { account, userId } = yield* connected({ authConfigId, id, attributes: { shop: "acme" } })
      assert.deepInclude(account, { id, status: "ACTIVE", userId })
      assert.strictEqual(account.authConfig.id, authConfigId)
      assert.deepStrictEqual(account.state.val["shop"], "acme")
      assert.deepStrictEqual(yield* get(id), account)
      yield* refused(create({ authConfigId, id, userId: "another" }), "InvalidRequest", "id_taken")
      const waiting = yield* create({ authConfigId, userId })
      assert.strictEqual(waiting.status, "INITIALIZING")
      assert.strictEqual((yield* refresh(waiting.id))._tag, "RedirectRequired")
    })
  },
  {
    name: "the account of a person is found by auth config: an ACTIVE one before others",
    needs: [],
    holds: Effect.gen(function* () {
      const { create, disable, find } = yield* Connections
      const { id: authConfigId } = yield* registered()
      const { id: elsewhere } = yield* registered()
      const userId = fresh("user")
      assert.isTrue(Option.isNone(yield* find({ authConfigId, userId })))
      yield* connected({ authConfigId: elsewhere, userId })
      const { id } = yield* connected({ authConfigId, userId })
      yield* create({ authConfigId, userId })
      const found = find({ authConfigId, userId })
      assert.deepStrictEqual(
        Option.map(yield* found, (account) => account.id),
        Option.some(id)
      )
      yield* disable(id)
      assert.isTrue(Option.isSome(yield* found))
    })
  },
  {
    name: "accounts are listed newest first, page by page, each once, and filters keep what they name",
    needs: [],
    holds: Effect.gen(function* () {
      const { count, create, list } = yield* Connections
      const { id: authConfigId, toolkit } = yield* registered()
      const { id: other } = yield* registered()
      const [ann, bea] = [fresh("ann"), fresh("bea")]
      const ids = yield* Effect.forEach([ann, bea, ann], (userId) =>
        Effect.map(connected({ authConfigId, userId }), ({ id }) => id)
      )
      const waiting = yield* create({ authConfigId: other, userId: ann })
      const pages: Array<ConnectedAccountId> = []
      let cursor: string | undefined
      do {
        const page = yield* list({ authConfigIds: [authConfigId], cursor, limit: 2 })
        pages.push(...idsOf(page.items))
        cursor = page.nextCursor
      } while (cursor !== undefined)
      assert.sameMembers(pages, ids)
      const listed = (filter: Parameters<typeof count>[0]) =>
        Effect.gen(function* () {
          const { items } = yield* list(filter)
          assert.strictEqual(yield* count(filter), items.length)
          return idsOf(items)
        })
      assert.sameMembers(yield* listed({ userIds: [ann] }), [ids[0], ids[2], waiting.id])
      assert.sameMembers(
        yield* listed({ userIds: [ann, bea], authConfigIds: [authConfigId], toolkits: [toolkit] }),
        ids
      )
      assert.deepStrictEqual(yield* listed({ userIds: [ann], statuses: ["INITIALIZING", "EXPIRED"] }), [waiting.id])
      assert.deepStrictEqual(yield* listed({ ids: [waiting.id], userIds: [bea] }), [])
      assert.deepStrictEqual(yield* listed({ ids: [] }), [])
      yield* refused(list({ cursor: "e30" }), "InvalidRequest", "invalid_cursor")
      for (const limit of [0, 501, 1.5]) yield* refused(list({ limit }), "InvalidRequest", "invalid_limit")
    })
  },
  {
    name: "accounts are listed by the time of either, in either direction, and a cursor belongs to its order",
    needs: [],
    holds: Effect.gen(function* () {
      const { list, replaceSecrets } = yield* Connections
      const { id: authConfigId } = yield* registered()
      const accounts = yield* Effect.forEach([1, 2, 3], () =>
        Effect.tap(connected({ authConfigId }), () => Effect.yieldNow)
      )
      for (const { id, secrets } of accounts.toReversed()) yield* replaceSecrets(id, secrets)
      for (const orderBy of ["createdAt", "updatedAt"] as const) {
        const read = Effect.fnUntraced(function* (direction: "asc" | "desc") {
          const times: Array<number> = []
          const ids: Array<ConnectedAccountId> = []
          let cursor: string | undefined
          do {
            const page = yield* list({ authConfigIds: [authConfigId], orderBy, direction, cursor, limit: 1 })
            times.push(...page.items.map((account) => account[orderBy].epochMilliseconds))
            ids.push(...idsOf(page.items))
            cursor = page.nextCursor
          } while (cursor !== undefined)
          const ascending = times.toSorted((one, other) => one - other)
          assert.deepStrictEqual(times, direction === "asc" ? ascending : ascending.toReversed())
          assert.sameMembers(ids, idsOf(accounts.map(({ account }) => account)))
        })
        yield* read("asc")
        yield* read("desc")
      }
      const { nextCursor: cursor } = yield* list({ authConfigIds: [authConfigId], limit: 1 })
      yield* refused(list({ cursor, orderBy: "updatedAt" }), "InvalidRequest", "invalid_cursor")
      yield* refused(list({ cursor, direction: "asc" }), "InvalidRequest", "invalid_cursor")
    })
  },
  {
    name: "an alias names one account of a person and toolkit, and moves no time",
    needs: [],
    holds: Effect.gen(function* () {
      const { create, find, remove, update } = yield* Connections
      const { id: authConfigId } = yield* registered()
      const { id: another } = yield* registered("basic")
      const { account, id, userId } = yield* connected({ authConfigId, alias: "work" })
      assert.strictEqual(account.alias, "work")
      yield* refused(create({ authConfigId, userId, alias: "work" }), "InvalidRequest", "alias_taken")
      const second = yield* create({ authConfigId, userId, alias: "home" })
      yield* refused(update(second.id, { alias: "work" }), "InvalidRequest", "alias_taken")
      yield* create({ authConfigId, userId: fresh("user"), alias: "work" })
      yield* create({ authConfigId: another, userId: fresh("user"), alias: "work" })
      const renamed = yield* update(id, { alias: "office" })
      assert.deepStrictEqual(renamed, { ...account, alias: "office" })
      assert.deepStrictEqual(yield* get(id), renamed)
      assert.deepStrictEqual(
        Option.map(yield* find({ authConfigId, userId }), ({ alias }) => alias),
        Option.some("office")
      )
      assert.strictEqual((yield* update(second.id, { alias: "work" })).alias, "work")
      assert.strictEqual((yield* update(second.id, { alias: "work" })).alias, "work")
      assert.isNull((yield* update(second.id, { alias: null })).alias)
      yield* remove(id)
      assert.strictEqual((yield* update(second.id, { alias: "office" })).alias, "office")
      const third = yield* create({ authConfigId, userId })
      const raced = yield* Effect.all(
        [second, third].map(({ id }) => Effect.result(update(id, { alias: "raced" }))),
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual(raced.map(({ _tag }) => _tag).toSorted(), ["Failure", "Success"])
      for (const alias of ["", "a".repeat(256)])
        yield* refused(update(second.id, { alias }), "InvalidRequest", "invalid_alias")
    })
  },
  {
    name: "attributes are merged, and outlive a new credential, whether or not the account was connected",
    needs: [],
    holds: Effect.gen(function* () {
      const { authorization, authConfigs, create, replaceSecrets, update } = yield* Connections
      const config = { ...(yield* registered("apiKey")), apiHosts: ["{instance_url}"] }
      yield* authConfigs.register(config)
      const attributes = { instance_url: "https://acme.test", shop: "acme" }
      const created = yield* create({ authConfigId: config.id, userId: "u", attributes })
      const { id } = created
      assert.deepStrictEqual([created.status, valOf(created)], ["INITIALIZING", attributes])
      const moved = yield* update(id, { attributes: { instance_url: "https://moved.test", shop: null } })
      assert.deepStrictEqual(valOf(moved), { instance_url: "https://moved.test" })
      assert.strictEqual(moved.status, "INITIALIZING")
      yield* replaceSecrets(id, { api_key: Redacted.make("key-71") })
      yield* authorization(id, { method: "GET", url: "https://moved.test/me" })
      yield* refused(
        authorization(id, { method: "GET", url: "https://acme.test/me" }),
        "InvalidRequest",
        "host_not_declared"
      )
      yield* update(id, { attributes: { instance_url: "https://acme.test" } })
      yield* authorization(id, { method: "GET", url: "https://acme.test/me" })
    })
  },
  {
    name: "secrets are merged into the credential, which is put into service",
    needs: [],
    holds: Effect.gen(function* () {
      const { create, credential, revoke, update } = yield* Connections
      const { id: authConfigId } = yield* registered("basic")
      const { id } = yield* create({ authConfigId, userId: "u" })
      const basicOf = Effect.map(credential(id), (inUse) =>
        inUse._tag === "Basic" ? [inUse.username, Redacted.value(inUse.password)] : inUse._tag
      )
      const secrets = { username: Redacted.make("ann"), password: Redacted.make("pass-1") }
      assert.strictEqual((yield* update(id, { secrets: {} })).status, "INITIALIZING")
      assert.strictEqual((yield* update(id, { secrets })).status, "ACTIVE")
      assert.deepStrictEqual(yield* basicOf, ["ann", "pass-1"])
      yield* update(id, { secrets: { password: Redacted.make("pass-2") }, alias: "work" })
      assert.deepStrictEqual(yield* basicOf, ["ann", "pass-2"])
      const shown = yield* update(id, { secrets: { password: null }, attributes: { shop: "acme" } })
      assert.deepStrictEqual(yield* basicOf, ["ann", ""])
      assert.deepInclude(shown, { status: "ACTIVE", alias: "work" })
      assert.deepStrictEqual(Object.keys(valOf(shown)).toSorted(), ["shop", "username"])
      yield* revoke(id)
      yield* refused(update(id, { secrets }), "InvalidRequest", "account_revoked")
      yield* refused(update(id, { attributes: { shop: "acme" } }), "InvalidRequest", "account_revoked")
      assert.strictEqual((yield* update(id, { alias: "former" })).alias, "former")
    })
  },
  {
    name: "the credential in use is what was given, typed by its scheme",
    needs: [],
    holds: Effect.gen(function* () {
      const { accessToken, create, credential } = yield* Connections
      const { id: authConfigId } = yield* registered()
      const { id, secrets } = yield* connected({ authConfigId })
      assert.strictEqual(Redacted.value(yield* accessToken(id)), Redacted.value(secrets.access_token))
      assert.deepInclude(yield* credential(id), { _tag: "AccessToken", tokenType: "Bearer" })
      const keyed = yield* create({
        authConfigId: (yield* registered("apiKey")).id,
        userId: "u",
        secrets: { api_key: Redacted.make("key-71") }
      })
      const key = yield* credential(keyed.id)
      if (key._tag !== "ApiKey") return assert.fail(key._tag)
      assert.strictEqual(Redacted.value(key.key), "key-71")
      assert.deepStrictEqual(key.placement, { in: "header", name: "x-key", prefix: "" })
      yield* refused(accessToken(keyed.id), "RefreshUnsupported", "scheme_unsupported")
      const named = yield* create({
        authConfigId: (yield* registered("basic")).id,
        userId: "u",
        secrets: { username: Redacted.make("ann"), password: Redacted.make("pass-71") }
      })
      const basic = yield* credential(named.id)
      if (basic._tag !== "Basic") return assert.fail(basic._tag)
      assert.deepStrictEqual([basic.username, Redacted.value(basic.password)], ["ann", "pass-71"])
    })
  },
  {
    name: "a request is authorized as its scheme says, to the API's hosts and no other",
    needs: [],
    holds: Effect.gen(function* () {
      const { authConfigs, authorization, create } = yield* Connections
      const config = { ...(yield* registered()), apiHosts: ["api.contract.test"] }
      yield* authConfigs.register(config)
      const { id, secrets } = yield* connected({ authConfigId: config.id })
      const url = "https://api.contract.test/me?fields=name"
      const carried = (account: ConnectedAccountId) =>
        Effect.map(authorization(account, { method: "GET", url }), ({ headers, parameters }) => ({
          headers: Record.map(headers, Redacted.value),
          parameters: Record.map(parameters, Redacted.value)
        }))
      assert.deepStrictEqual(yield* carried(id), {
        headers: { authorization: `Bearer ${Redacted.value(secrets.access_token)}` },
        parameters: {}
      })
      const keyed = yield* create({
        authConfigId: (yield* registered("apiKey")).id,
        userId: "u",
        secrets: { api_key: Redacted.make("key-71") }
      })
      assert.deepStrictEqual(yield* carried(keyed.id), { headers: { "x-key": "key-71" }, parameters: {} })
      const named = yield* create({
        authConfigId: (yield* registered("basic")).id,
        userId: "u",
        secrets: { username: Redacted.make("ann"), password: Redacted.make("pass:é") }
      })
      assert.deepStrictEqual(yield* carried(named.id), {
        headers: { authorization: "Basic YW5uOnBhc3M6w6k=" },
        parameters: {}
      })
      for (const elsewhere of [
        "https://elsewhere.test/",
        "https://api.contract.test.elsewhere.test/",
        "https://api.contract.test:8443/",
        "https://user@elsewhere.test/?api.contract.test",
        "http://api.contract.test/",
        "//api.contract.test/",
        "not an address"
      ]) {
        yield* refused(authorization(id, { method: "GET", url: elsewhere }), "InvalidRequest", "host_not_declared")
      }

      const several = {
        ...(yield* registered()),
        apiHosts: ["*.contract.test", "{instance_url}", "http://127.0.0.1:3000"]
      }
      yield* authConfigs.register(several)
      const customer = yield* create({
        authConfigId: several.id,
        userId: "u",
        secrets,
        attributes: { instance_url: "https://acme.test" }
      })
      for (const url of ["https://eu.contract.test/", "https://acme.test/me", "http://127.0.0.1:3000/me"])
        yield* authorization(customer.id, { method: "GET", url })
      for (const url of ["https://contract.test/", "http://acme.test/me", "http://127.0.0.1:3001/me"])
        yield* refused(authorization(customer.id, { method: "GET", url }), "InvalidRequest", "host_not_declared")
    })
  },
  {
    name: "an account that was never connected has no credential, says its status, and asking begins no consent",
    needs: [],
    holds: Effect.gen(function* () {
      const { accessToken, create } = yield* Connections
      const { id } = yield* create({ authConfigId: (yield* registered()).id, userId: "u" })
      const error = yield* Effect.flip(accessToken(id))
      assert.deepStrictEqual(error, new Resilience.ConnectionNotReady({ accountId: id, status: "INITIALIZING" }))
      assert.strictEqual(yield* statusOf(id), "INITIALIZING")
    })
  },
  {
    name: "withRefresh around a call that reads the token gives the link to consent, each time it is asked",
    needs: [],
    holds: Effect.gen(function* () {
      const { accessToken, create } = yield* Connections
      const { id } = yield* create({ authConfigId: (yield* registered()).id, userId: "u" })
      for (let time = 0; time < 3; time++) {
        const error = yield* Effect.flip(Resilience.withRefresh(id, accessToken(id)))
        if (error._tag !== "ConsentRequired") return assert.fail(error._tag)
        assert.match(new URL(error.redirectUrl).protocol, /^https?:$/)
      }
    })
  },
  {
    name: "a person who follows the link connects the account, and its token can be read",
    needs: ["consent"],
    holds: Effect.gen(function* () {
      const { consent } = yield* Fixtures
      if (consent === undefined) return assert.fail("nobody consents")
      const { accessToken, create, link } = yield* Connections
      const { id } = yield* create({ authConfigId: (yield* registered()).id, userId: "u" })
      const { status, url } = yield* link(id)
      assert.strictEqual(status, "INITIATED")
      yield* consent(url, id)
      assert.strictEqual(yield* statusOf(id), "ACTIVE")
      assert.isNotEmpty(Redacted.value(yield* accessToken(id)))
      // A link for an account in service leaves it there.
      assert.strictEqual((yield* link(id)).status, "ACTIVE")
      assert.strictEqual(yield* statusOf(id), "ACTIVE")
    })
  },
  {
    name: "events of accounts come in order, each once, and can be resumed",
    needs: [],
    holds: Effect.gen(function* () {
      const { create, events, link } = yield* Connections
      const { id: authConfigId } = yield* registered()
      const { id } = yield* create({ authConfigId, userId: "u" })
      const about = (after?: number) =>
        Effect.map(Stream.runCollect(events({ after, follow: false })), (all) => {
          const sequences = all.map(({ sequence }) => sequence)
          assert.deepStrictEqual(
            sequences,
            [...new Set(sequences)].toSorted((one, other) => one - other)
          )
          return all.filter(({ accountId }) => accountId === id)
        })
      yield* link(id)
      const first = (yield* about()).at(-1)
      assert.deepInclude(first, { type: "consent_started", status: "INITIATED" })
      assert.deepStrictEqual(yield* about(first?.sequence), [])
      yield* link(id)
      assert.deepStrictEqual(
        (yield* about(first?.sequence)).map(({ type }) => type),
        ["consent_started"]
      )
    })
  },
  {
    name: "a scheme without consent has no link",
    needs: [],
    holds: Effect.gen(function* () {
      const { create, link } = yield* Connections
      const secrets = { api_key: Redacted.make("key") }
      const { id } = yield* create({ authConfigId: (yield* registered("apiKey")).id, userId: "u", secrets })
      yield* refused(link(id), "RefreshUnsupported", "scheme_unsupported")
    })
  },
  {
    name: "a disabled account hands out nothing, and keeps its credential for when it is enabled",
    needs: [],
    holds: Effect.gen(function* () {
      const { accessToken, disable, enable, link } = yield* Connections
      const { id } = yield* connected({ authConfigId: (yield* registered()).id })
      const token = yield* accessToken(id)
      yield* disable(id)
      yield* disable(id)
      assert.deepInclude(yield* get(id), { status: "INACTIVE", isDisabled: true })
      for (const call of [accessToken(id), link(id), refresh(id)])
        yield* refused(call, "InvalidRequest", "account_not_refreshable")
      yield* enable(id)
      yield* enable(id)
      assert.deepInclude(yield* get(id), { status: "ACTIVE", isDisabled: false })
      assert.strictEqual(Redacted.value(yield* accessToken(id)), Redacted.value(token))
    })
  },
  {
    name: "a replaced credential is the one that is handed out",
    needs: [],
    holds: Effect.gen(function* () {
      const { create, credential, replaceSecrets } = yield* Connections
      const { id } = yield* create({ authConfigId: (yield* registered("apiKey")).id, userId: "u" })
      for (const value of ["key-1", "key-2"]) {
        yield* replaceSecrets(id, { api_key: Redacted.make(value) })
        const inUse = yield* credential(id)
        assert.strictEqual(inUse._tag === "ApiKey" && Redacted.value(inUse.key), value)
        assert.strictEqual(yield* statusOf(id), "ACTIVE")
      }
    })
  },
  {
    name: "a revoked account stays so: it hands out nothing and takes nothing",
    needs: [],
    holds: Effect.gen(function* () {
      const { accessToken, enable, link, replaceSecrets, revoke } = yield* Connections
      const { id, secrets } = yield* connected({ authConfigId: (yield* registered()).id })
      assert.include(["confirmed", "pending", "unsupported"], (yield* revoke(id)).withdrawn)
      yield* enable(id)
      assert.strictEqual(yield* statusOf(id), "REVOKED")
      for (const call of [accessToken(id), link(id), refresh(id)])
        yield* refused(call, "InvalidRequest", "account_not_refreshable")
      yield* refused(replaceSecrets(id, secrets), "InvalidRequest", "account_revoked")
    })
  },
  {
    name: "a removed account is gone, and its id is free",
    needs: [],
    holds: Effect.gen(function* () {
      const { accessToken, count, remove } = yield* Connections
      const { id: authConfigId } = yield* registered()
      const { id, userId } = yield* connected({ authConfigId })
      yield* accessToken(id)
      yield* remove(id)
      for (const call of [get(id), refresh(id), accessToken(id), remove(id)])
        yield* refused(call, "AccountNotFound", "connected_account_not_found")
      assert.strictEqual(yield* count({ userIds: [userId] }), 0)
      const { secrets } = yield* connected({ authConfigId, id })
      assert.strictEqual(Redacted.value(yield* accessToken(id)), Redacted.value(secrets.access_token))
    })
  },
  {
    name: "an unknown account is AccountNotFound and a malformed id InvalidRequest, whatever is called",
    needs: [],
    holds: Effect.gen(function* () {
      const callsFor = yield* accountCalls
      for (const call of Object.values(callsFor(ConnectedAccountId.make("ca_nobodynobody"))))
        yield* refused(call, "AccountNotFound", "connected_account_not_found")
      for (const id of malformedIds)
        for (const call of Object.values(callsFor(id))) yield* refused(call, "InvalidRequest", "invalid_id")
    })
  },
  {
    name: "no secret shows in an account, a list or an auth config",
    needs: [],
    holds: Effect.gen(function* () {
      const { authConfigs, find, list } = yield* Connections
      const { id: authConfigId, secrets: own } = yield* registered()
      const { account, id, secrets, userId } = yield* connected({ authConfigId })
      const encode = Schema.encodeSync(ConnectedAccount)
      const shown = [
        encode(account),
        encode(yield* get(id)),
        (yield* list({ userIds: [userId] })).items.map((each) => encode(each)),
        yield* find({ authConfigId, userId }),
        yield* authConfigs.get(authConfigId),
        yield* (yield* Connections).credential(id)
      ].map((value) => `${JSON.stringify(value)} ${String(value)}`)
      for (const secret of Object.values({ ...own, ...secrets }).map(Redacted.value))
        assert.isFalse(
          shown.some((text) => text.includes(secret)),
          "a secret shows"
        )
    })
  }
]
