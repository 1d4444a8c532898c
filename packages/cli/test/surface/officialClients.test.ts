import Later, { AuthenticationError, BadRequestError, ConflictError, PermissionDeniedError } from "@composio/client"
import { Composio as Core } from "@composio/core"
import { assert, it } from "@effect/vitest"
import Earlier from "composio-client-v3"
import { ConnectedAccountId, Connections } from "@rekindle/core"
import { Effect, Fiber, Option, Redacted } from "effect"
import { AuthorizationServer, clientId, clientSecret } from "../../../engine/test/support/AuthorizationServer.ts"
import { apiKey, layer, readerKey, Service } from "./service.ts"

const clients = Effect.gen(function* () {
  const { url: baseURL } = yield* Service
  return {
    earlier: new Earlier({ baseURL, apiKey }),
    later: new Later({ baseURL, apiKey }),
    core: new Core({ baseURL, apiKey, allowTracking: false, disableVersionCheck: true })
  }
})

/** The credentials of the application at the authorization server, under the published names. */
const credentials = Effect.map(AuthorizationServer, ({ endpoints }) => ({
  client_id: clientId,
  client_secret: clientSecret,
  authorization_url: endpoints.authorization,
  token_url: endpoints.token,
  revocation_url: endpoints.revocation,
  scopes: "openid offline_access"
}))

/** A key that must not show. */
const secret = "sk_live_0123456789"

/** Credentials beyond the few that the types of a client name. */
const entries = (credentials: Readonly<Record<string, string>>) => credentials

const keyConfig = Effect.gen(function* () {
  const { later } = yield* clients
  const made = yield* call(() =>
    later.authConfigs.create({
      toolkit: { slug: "example" },
      auth_config: {
        type: "use_custom_auth",
        authScheme: "API_KEY",
        credentials: entries({ api_hosts: "api.example.com" })
      }
    })
  )
  return made.auth_config.id
})

const oauthConfig = Effect.gen(function* () {
  const { later } = yield* clients
  const entered = yield* credentials
  const made = yield* call(() =>
    later.authConfigs.create({
      toolkit: { slug: "oidc" },
      auth_config: { type: "use_custom_auth", authScheme: "OAUTH2", credentials: entered }
    })
  )
  return made.auth_config.id
})

const withKey = Effect.fnUntraced(function* (authConfigId: string, userId: string) {
  const { later } = yield* clients
  return yield* call(() =>
    later.connectedAccounts.create({
      auth_config: { id: authConfigId },
      connection: {
        user_id: userId,
        state: { authScheme: "API_KEY", val: { status: "ACTIVE", api_key: secret } }
      }
    })
  )
})

/** The body of a GET. */
const ask = (url: string) => Effect.promise(async () => (await fetch(url, { headers: { "x-api-key": apiKey } })).json())

const failure = (evaluate: () => PromiseLike<unknown>) =>
  Effect.promise(async () => {
    try {
      await evaluate()
    } catch (error) {
      assert.instanceOf(error, Error)
      return error
    }
    return assert.fail("the call did not fail")
  })

const statusOf = (error: Error): unknown => Reflect.get(error, "status")

const call = <A>(evaluate: () => PromiseLike<A>) => Effect.promise(async () => evaluate())

it.layer(layer, { excludeTestServices: true })("official clients", (it) => {
  it.effect("read the catalogue of toolkits", () =>
    Effect.gen(function* () {
      const { core, earlier, later } = yield* clients
      const one = yield* call(() => earlier.toolkits.list({ search: "goog" }))
      assert.deepStrictEqual(
        one.items.map(({ slug }) => slug),
        ["google"]
      )
      const first = yield* call(() => later.toolkits.list({ limit: 5 }))
      assert.strictEqual(first.items.length, 5)
      assert.strictEqual(first.total_pages, Math.ceil(first.total_items / 5))
      const second = yield* call(() => later.toolkits.list({ limit: 5, cursor: first.next_cursor ?? "" }))
      assert.strictEqual(second.current_page, 2)
      assert.notStrictEqual(second.items[0]?.slug, first.items[0]?.slug)
      const fields = yield* call(() => core.toolkits.getAuthConfigCreationFields("google", "OAUTH2"))
      assert.includeMembers(
        fields.map(({ name }) => name),
        ["client_id", "client_secret"]
      )
    })
  )

  it.effect("connect an account through a person's consent, and wait for it", () =>
    Effect.gen(function* () {
      const { core } = yield* clients
      const service = yield* Service
      const entered = yield* credentials
      const config = yield* call(() =>
        core.authConfigs.create("oidc", { type: "use_custom_auth", authScheme: "OAUTH2", credentials: entered })
      )
      const request = yield* call(() => core.connectedAccounts.link("person", config.id))
      const waiting = yield* Effect.forkChild(call(() => request.waitForConnection(30_000)))
      yield* service.consent(request.redirectUrl ?? "")
      const connected = yield* Fiber.join(waiting)
      assert.strictEqual(connected.status, "ACTIVE")
      const token = yield* (yield* Connections).accessToken(ConnectedAccountId.make(connected.id))
      assert.isTrue(yield* (yield* AuthorizationServer).isAccessTokenAlive(Redacted.value(token)))
    })
  )

  it.effect("list accounts by several values, in an order, page by page", () =>
    Effect.gen(function* () {
      const { earlier } = yield* clients
      const { url } = yield* Service
      const authConfigId = yield* keyConfig
      const made = yield* Effect.forEach(["list-1", "list-2", "list-3"], (user) => withKey(authConfigId, user))
      const ids = made.map(({ id }) => id)
      const comma = yield* call(() =>
        earlier.connectedAccounts.list({
          user_ids: ["list-1", "list-3"],
          auth_config_ids: [authConfigId],
          order_direction: "asc"
        })
      )
      assert.deepStrictEqual(
        comma.items.map(({ id }) => id),
        [ids[0], ids[2]]
      )
      const repeated = yield* ask(`${url}/api/v3.1/connected_accounts?user_ids=list-1&user_ids=list-3&statuses=`)
      assert.sameMembers(
        repeated.items.map(({ id }: { readonly id: string }) => id),
        [ids[0], ids[2]]
      )
      const query = { auth_config_ids: [authConfigId], limit: 2 }
      const first = yield* call(() => earlier.connectedAccounts.list(query))
      const second = yield* call(() => earlier.connectedAccounts.list({ ...query, cursor: first.next_cursor ?? null }))
      assert.deepInclude(first, { total_items: 3, total_pages: 2, current_page: 1 })
      assert.deepInclude(second, { total_items: 3, total_pages: 2, current_page: 2, next_cursor: null })
      assert.sameMembers(
        [...first.items, ...second.items].map(({ id }) => id),
        ids
      )
    })
  )

  it.effect("answer a new account in the form of their version", () =>
    Effect.gen(function* () {
      const { earlier, later } = yield* clients
      const authConfigId = yield* keyConfig
      const body = (user_id: string) => ({
        auth_config: { id: authConfigId },
        connection: {
          user_id,
          state: { authScheme: "API_KEY" as const, val: { status: "ACTIVE" as const, api_key: secret } }
        }
      })
      const one = yield* call(() => earlier.connectedAccounts.create(body("form-1")))
      assert.match(one.deprecated.uuid, /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/)
      const other = yield* call(() => later.connectedAccounts.create(body("form-2")))
      assert.notProperty(other, "deprecated")
      assert.notInclude(JSON.stringify([one, other]), secret)
    })
  )

  it.effect("take no field for public whose name tells of a secret", () =>
    Effect.gen(function* () {
      const { later } = yield* clients
      const authConfigId = yield* keyConfig
      const error = yield* failure(() =>
        later.connectedAccounts.create({
          auth_config: { id: authConfigId },
          connection: { state: { authScheme: "API_KEY", val: { status: "ACTIVE", api_key: secret, apiKey: secret } } }
        })
      )
      assert.instanceOf(error, BadRequestError)
      assert.include(error.message, "val.apiKey")
      assert.notInclude(JSON.stringify(error), secret)
    })
  )

  it.effect("get no link with a credential in it", () =>
    Effect.gen(function* () {
      const { later } = yield* clients
      const { count } = yield* Connections
      const auth_config_id = yield* keyConfig
      const error = yield* failure(() =>
        later.link.create({ auth_config_id, user_id: "link", connection_data: { api_key: secret } })
      )
      assert.instanceOf(error, BadRequestError)
      assert.strictEqual(yield* count({ authConfigIds: [auth_config_id] }), 0)
    })
  )

  it.effect("are not told that a withdrawal is done before the provider confirms it", () =>
    Effect.gen(function* () {
      const { later } = yield* clients
      const provider = yield* AuthorizationServer
      const { authConfigs, create } = yield* Connections
      const authConfigId = yield* oauthConfig
      const { refreshToken } = yield* provider.mintRefreshToken("pending")
      const { id } = yield* create({
        authConfigId,
        userId: "pending",
        secrets: { refresh_token: Redacted.make(refreshToken) }
      })
      // An address of the provider where nothing withdraws.
      const revocationEndpoint = `${provider.issuer}/nothing`
      yield* authConfigs.update(authConfigId, { settings: { revocationEndpoint } })
      const revoke = () => later.connectedAccounts.revoke(id)
      assert.strictEqual(statusOf(yield* failure(revoke)), 500)
      assert.strictEqual(statusOf(yield* failure(revoke)), 500)
      yield* authConfigs.update(authConfigId, { settings: { revocationEndpoint: provider.endpoints.revocation } })
      assert.deepStrictEqual((yield* call(revoke)).revoked_tokens, [])
      assert.isFalse(yield* provider.isRefreshTokenAlive(refreshToken))
    })
  )

  it.effect("keep no account whose credential the provider refuses", () =>
    Effect.gen(function* () {
      const { later } = yield* clients
      const { authConfigs, count } = yield* Connections
      const { host, issuer } = yield* AuthorizationServer
      const { items } = yield* authConfigs.list({ toolkits: ["probed"] })
      const [existing] = items
      const made = yield* call(() =>
        later.authConfigs.create({
          toolkit: { slug: "probed" },
          auth_config: {
            type: "use_custom_auth",
            authScheme: "API_KEY",
            credentials: entries({ probeUrl: `${issuer}/me`, keyPrefix: "Bearer " })
          }
        })
      )
      assert.isUndefined(existing)
      const authConfigId = made.auth_config.id
      assert.deepStrictEqual(Option.getOrThrow(yield* authConfigs.get(authConfigId)).hosts, [host])
      const error = yield* failure(() =>
        later.connectedAccounts.create({
          auth_config: { id: authConfigId },
          connection: { state: { authScheme: "API_KEY", val: { status: "ACTIVE", api_key: "wrong" } } },
          validate_credentials: true
        })
      )
      assert.instanceOf(error, BadRequestError)
      assert.strictEqual(yield* count({ authConfigIds: [authConfigId] }), 0)
    })
  )

  it.effect("change the name and the key of an account", () =>
    Effect.gen(function* () {
      const { later } = yield* clients
      const { credential } = yield* Connections
      const { id } = yield* withKey(yield* keyConfig, "patched")
      yield* call(() =>
        later.connectedAccounts.patch(id, {
          alias: "work",
          connection: { state: { authScheme: "API_KEY", val: { api_key: "another" } } }
        })
      )
      assert.strictEqual((yield* call(() => later.connectedAccounts.retrieve(id))).alias, "work")
      const inUse = yield* credential(ConnectedAccountId.make(id))
      assert.strictEqual(inUse._tag === "ApiKey" ? Redacted.value(inUse.key) : inUse._tag, "another")
      yield* call(() => later.connectedAccounts.patch(id, { alias: "" }))
      assert.isNull((yield* call(() => later.connectedAccounts.retrieve(id))).alias)
    })
  )

  it.effect("see that the auth config of an account is switched off", () =>
    Effect.gen(function* () {
      const { later } = yield* clients
      const nanoid = yield* keyConfig
      const { id } = yield* withKey(nanoid, "switched-off")
      const shown = Effect.map(
        call(() => later.connectedAccounts.retrieve(id)),
        ({ auth_config }) => auth_config.is_disabled
      )
      assert.isFalse(yield* shown)
      yield* call(() => later.authConfigs.updateStatus("DISABLED", { nanoid }))
      assert.isTrue(yield* shown)
      const listed = yield* call(() => later.authConfigs.list({ toolkit_slug: "example" }))
      assert.notInclude(
        listed.items.map((config) => config.id),
        nanoid
      )
    })
  )

  it.effect("leave an account as it is that the provider cannot revoke", () =>
    Effect.gen(function* () {
      const { later } = yield* clients
      const { id } = yield* withKey(yield* keyConfig, "unsupported")
      assert.instanceOf(yield* failure(() => later.connectedAccounts.revoke(id)), BadRequestError)
      assert.strictEqual((yield* call(() => later.connectedAccounts.retrieve(id))).status, "ACTIVE")
    })
  )

  it.effect("revoke a grant at the provider, once, and only where there is one", () =>
    Effect.gen(function* () {
      const { later } = yield* clients
      const provider = yield* AuthorizationServer
      const { create } = yield* Connections
      const authConfigId = yield* oauthConfig
      const brought = Effect.gen(function* () {
        const { grantId, refreshToken } = yield* provider.mintRefreshToken("revoked")
        const secrets = { refresh_token: Redacted.make(refreshToken) }
        return { grantId, id: (yield* create({ authConfigId, userId: "revoked", secrets })).id }
      })
      const one = yield* brought
      const { connected_account, revoked_tokens } = yield* call(() => later.connectedAccounts.revoke(one.id))
      assert.deepStrictEqual(revoked_tokens, ["refresh_token"])
      assert.deepStrictEqual({ ...connected_account }, { id: one.id, status: "REVOKED" })
      assert.include(provider.tally().revoked, one.grantId)
      assert.deepStrictEqual((yield* call(() => later.connectedAccounts.revoke(one.id))).revoked_tokens, [])
      const other = yield* brought
      yield* call(() => later.connectedAccounts.delete(other.id, { revoke_on_delete: true }))
      assert.include(provider.tally().revoked, other.grantId)
      const { connected_account_id } = yield* call(() =>
        later.link.create({ auth_config_id: authConfigId, user_id: "never-connected" })
      )
      assert.instanceOf(yield* failure(() => later.connectedAccounts.revoke(connected_account_id)), ConflictError)
    })
  )

  it.effect("raise their own class for a key that is unknown, or may not do this", () =>
    Effect.gen(function* () {
      const { url: baseURL } = yield* Service
      const stranger = new Later({ baseURL, apiKey: "rk_nobody" })
      assert.instanceOf(yield* failure(() => stranger.connectedAccounts.list()), AuthenticationError)
      const reader = new Later({ baseURL, apiKey: readerKey })
      yield* call(() => reader.toolkits.list())
      yield* call(() => reader.authConfigs.list())
      yield* call(() => reader.connectedAccounts.list())
      for (const refused of [
        () => reader.link.create({ auth_config_id: "ac_any", user_id: "any" }),
        () => reader.connectedAccounts.delete("ca_4CkFF_cKATwg"),
        () => reader.authConfigs.create({ toolkit: { slug: "google" } }),
        () => reader.connectedAccounts.revoke("ca_4CkFF_cKATwg")
      ]) {
        assert.instanceOf(yield* failure(refused), PermissionDeniedError)
      }
    })
  )

  it.effect("are told what is not served, and nothing of it is left out in silence", () =>
    Effect.gen(function* () {
      const { later } = yield* clients
      const { url } = yield* Service
      const custom = { type: "use_custom_auth", authScheme: "API_KEY" } as const
      const toolkit = { slug: "example" }
      for (const asked of [
        () => later.authConfigs.create({ toolkit: { slug: "google" } }),
        () =>
          later.authConfigs.create({ toolkit, auth_config: { ...custom, shared_credentials: { api_key: secret } } }),
        () => later.authConfigs.create({ toolkit, auth_config: { ...custom, restrict_to_following_tools: ["A"] } }),
        () => later.authConfigs.list({ deprecated_app_id: "a" }),
        () => later.link.create({ auth_config_id: "ac_any", user_id: "any", experimental: { account_type: "SHARED" } })
      ]) {
        assert.strictEqual(statusOf(yield* failure(asked)), 501)
      }
      for (const path of ["v3/tools", "v3.1/tools/execute/X", "v3/mcp/servers", "v3.1/org/owner/project/list"]) {
        const { error } = yield* ask(`${url}/api/${path}`)
        assert.deepInclude(error, { status: 501, slug: "not_served" })
      }
    })
  )
})
