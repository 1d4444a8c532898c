/** Rekindle's own endpoints, as a caller without our client sees them. */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { assert, describe, it } from "@effect/vitest"
import { ConnectedAccountId, type ConnectedAccounts, Connections, CurrentProject } from "@rekindle/core"
import { ApiKeys, type ApiKeyScope, RekindleClient } from "@rekindle/platform"
import { account } from "@rekindle/testing/ScriptedAccounts"
import { layer, ScriptedConnections } from "@rekindle/testing/ScriptedConnections"
import { Context, Effect, Fiber, Latch, Redacted } from "effect"
import { apiKey, call, serveConnections } from "./support.ts"

const active = ConnectedAccountId.make("ca_active-account")
const waiting = ConnectedAccountId.make("ca_waiting-account")

const script = layer({ accounts: [account({ id: active }), account({ id: waiting, status: "INITIALIZING" })] })

/** A test on a server of the script. */
const onServer = <A, E>(
  test: (url: string) => Effect.Effect<A, E, Connections | ConnectedAccounts | ScriptedConnections>,
  scopes?: ReadonlyArray<ApiKeyScope>
) =>
  Effect.flatMap(
    serveConnections(ApiKeys.layerStatic([Redacted.make(apiKey)], { projectId: "project_1", scopes })),
    test
  ).pipe(Effect.scoped, Effect.provide(script))

const json = (method: string, body: unknown): RequestInit => ({
  method,
  body: JSON.stringify(body),
  headers: { "content-type": "application/json" }
})

const parsed = ({ text }: { readonly text: string }) => JSON.parse(text)

describe.each(["/api/v3", "/api/v3.1"])("under %s", (prefix) => {
  it.live("a credential is answered with the headers that carry it, and is never cached", () =>
    onServer(
      Effect.fnUntraced(function* (url) {
        const answer = yield* call(`${url}${prefix}/connected_accounts/${active}/credential`)
        assert.strictEqual(answer.status, 200)
        assert.strictEqual(answer.headers.get("cache-control"), "no-store")
        const token = `token-1-of-${active}`
        assert.deepStrictEqual(parsed(answer), {
          id: active,
          credential: { type: "AccessToken", token, token_type: "Bearer", expires_at: null },
          authorization: { headers: { authorization: `Bearer ${token}` }, parameters: {} }
        })
      })
    )
  )

  it.live("an account without a usable credential is a conflict that says its status", () =>
    onServer(
      Effect.fnUntraced(function* (url) {
        const path = `${url}${prefix}/connected_accounts/${waiting}`
        for (const answer of [
          yield* call(`${path}/credential`, { headers: { "x-request-id": "mine" } }),
          yield* call(`${path}/authorization`, {
            ...json("POST", { method: "GET", url: "https://api.test/" }),
            headers: { "content-type": "application/json", "x-request-id": "mine" }
          })
        ]) {
          assert.strictEqual(answer.status, 409)
          assert.strictEqual(answer.headers.get("x-should-retry"), "false")
          assert.deepInclude(parsed(answer).error, {
            code: 40900,
            status: 409,
            slug: "connection_not_ready",
            request_id: "mine"
          })
          assert.deepStrictEqual(parsed(answer).connected_account, { id: waiting, status: "INITIALIZING" })
        }
      })
    )
  )
})

const change = { alias: "mine" }
const config = { toolkit: "gmail", scheme: "OAUTH2", hosts: ["idp.test"] }
const calls: ReadonlyArray<readonly [scope: ApiKeyScope, path: string, init?: RequestInit]> = [
  ["credential", `connected_accounts/${active}/credential`],
  ["credential", `connected_accounts/${active}/authorization`, json("POST", { method: "GET", url: "https://a.test/" })],
  ["read", "events"],
  ["read", "registrations"],
  ["read", "auth_configs/one/registration"],
  ["admin", "auth_configs/one", json("PUT", config)],
  ["admin", "auth_configs/one/registration", json("PATCH", { name: "One" })],
  ["admin", `connected_accounts/ca_another-one`, json("PUT", { auth_config_id: "one", user_id: "ann" })],
  ["admin", `connected_accounts/${active}/registration`, json("PATCH", change)],
  ["admin", `connected_accounts/${active}/link`, { method: "POST" }],
  ["admin", `connected_accounts/${active}/credential`, json("PUT", { secrets: { access_token: "new" } })],
  ["admin", `connected_accounts/${active}/credential`, { method: "DELETE" }]
]

it.live.each(["read", "refresh", "credential", "admin"] as const)(
  "a key with the scope %s calls what the scope is for, and nothing else",
  (scope) =>
    onServer(
      Effect.fnUntraced(function* (url) {
        const { operations } = yield* ScriptedConnections
        for (const [needed, path, init] of calls) {
          const { status, text } = yield* call(`${url}/api/v3/${path}`, init)
          if (scope === needed) assert.notStrictEqual(status, 403, path)
          else assert.deepStrictEqual([status, JSON.parse(text).error.slug], [403, "missing_scope"], path)
        }
        if (scope === "refresh") assert.deepStrictEqual(yield* operations, [])
      }),
      [scope]
    )
)

describe("an auth config", () => {
  it.live("is registered with core's defaults, for the project of the key, and is shown without its secrets", () =>
    onServer(
      Effect.fnUntraced(function* (url) {
        const registered = yield* call(
          `${url}/api/v3/auth_configs/gmail`,
          json("PUT", {
            ...config,
            profile: { name: "google", rotation: "none", accessTokenTtl: 3_600_000 },
            settings: { clientId: "client" },
            secrets: { client_secret: "s3cr3t-71" }
          })
        )
        assert.strictEqual(registered.status, 200)
        assert.notInclude(registered.text, "s3cr3t-71")
        assert.deepInclude(parsed(registered), {
          id: "gmail",
          settings: { clientId: "client" },
          secretNames: ["client_secret"],
          isDisabled: false
        })
        assert.deepInclude(parsed(registered).profile, { rotation: "none", accessTokenTtl: 3_600_000, margin: 300_000 })
        const read = yield* call(`${url}/api/v3.1/auth_configs/gmail/registration`)
        assert.deepStrictEqual(parsed(read), parsed(registered))
        const listed = yield* call(`${url}/api/v3/registrations?toolkits=gmail&search=GM&is_disabled=false&limit=1`)
        assert.deepStrictEqual(parsed(listed), { items: [parsed(registered)], next_cursor: null, total_items: 1 })
      })
    )
  )

  it.live("with a mistake is refused with the field named, and no value is repeated", () =>
    onServer(
      Effect.fnUntraced(function* (url) {
        const { operations } = yield* ScriptedConnections
        const refused = yield* call(
          `${url}/api/v3/auth_configs/gmail`,
          json("PUT", {
            ...config,
            projectId: "s3cr3t-71",
            hosts: "s3cr3t-71",
            secrets: { client_secret: ["s3cr3t-71"] }
          })
        )
        assert.deepInclude(parsed(refused).error, { status: 400, slug: "invalid_body" })
        assert.sameMembers(
          parsed(refused).error.errors.map((line: string) => line.replace(/:.*/, "")),
          ["hosts", "projectId", "secrets.client_secret"]
        )
        assert.notInclude(refused.text, "s3cr3t-71")
        assert.deepStrictEqual(yield* operations, [])
      })
    )
  )

  it.live("that is unknown reads as a mistake of the request", () =>
    onServer(
      Effect.fnUntraced(function* (url) {
        const { text } = yield* call(`${url}/api/v3/auth_configs/nobodys/registration`)
        assert.deepInclude(JSON.parse(text).error, { status: 400, slug: "auth_config_not_found" })
      })
    )
  )
})

describe("events", () => {
  it.live("are answered at once if there are any, and waited for otherwise", () =>
    onServer(
      Effect.fnUntraced(function* (url) {
        const { announce } = yield* ScriptedConnections
        const read = (query: string) => Effect.map(call(`${url}/api/v3/events${query}`), parsed)
        assert.deepStrictEqual(yield* read(""), { items: [] })
        yield* announce(active, "expiring")
        const { items } = yield* read("?wait_ms=20000")
        assert.deepStrictEqual(
          items.map(({ at: _, ...event }: { readonly at: string }) => event),
          [{ sequence: 1, connected_account_id: active, type: "expiring", status: "ACTIVE", status_reason: null }]
        )
        const next = yield* Effect.forkChild(read("?after=1&wait_ms=20000&every_ms=100"))
        assert.deepStrictEqual(yield* read("?after=1"), { items: [] })
        yield* announce(waiting, "expired")
        assert.deepInclude((yield* Fiber.join(next)).items[0], { sequence: 2, connected_account_id: waiting })
        assert.deepStrictEqual(yield* read("?after=2&wait_ms=1"), { items: [] })
        assert.strictEqual((yield* call(`${url}/api/v3/events?after=one`)).status, 400)
      })
    )
  )
})

it.live("a change runs to its end although its caller leaves, and for the project of the key", () =>
  Effect.gen(function* () {
    const done = yield* Latch.make()
    const started = yield* Latch.make()
    const withdrawals: Array<unknown> = []
    const connections = yield* Connections
    const url = yield* serveConnections(ApiKeys.layerStatic([Redacted.make(apiKey)], { projectId: "project_1" })).pipe(
      Effect.provideService(Connections, {
        ...connections,
        revoke: (_, options) =>
          Effect.gen(function* () {
            yield* started.open
            yield* Effect.sleep("50 millis")
            withdrawals.push([yield* CurrentProject, options])
            yield* done.open
            return { withdrawn: "confirmed", answer: null } as const
          })
      })
    )
    const caller = yield* Effect.forkChild(
      Effect.tryPromise((signal) =>
        fetch(`${url}/api/v3/connected_accounts/${active}/credential?if_unsupported=refuse`, {
          method: "DELETE",
          headers: { "x-api-key": apiKey },
          signal
        })
      )
    )
    yield* started.await
    yield* Fiber.interrupt(caller)
    yield* done.await
    assert.deepStrictEqual(withdrawals, [["project_1", { ifUnsupported: "refuse" }]])
  }).pipe(Effect.scoped, Effect.provide(script))
)

it.live("a revocation says what becomes of a credential that cannot be withdrawn", () =>
  Effect.gen(function* () {
    const asked: Array<string | undefined> = []
    const connections = yield* Connections
    const url = yield* serveConnections().pipe(
      Effect.provideService(Connections, {
        ...connections,
        revoke: (id, options) => {
          asked.push(options?.ifUnsupported)
          return connections.revoke(id, options)
        }
      })
    )
    const client = yield* RekindleClient.makeConnections({ baseUrl: url, apiKey: Redacted.make(apiKey) })
    const { revoke } = Context.get(client, Connections)
    yield* revoke(active, { ifUnsupported: "refuse" })
    yield* revoke(active)
    assert.deepStrictEqual(asked, ["refuse", undefined])
  }).pipe(Effect.scoped, Effect.provide([script, NodeHttpClient.layerUndici]))
)
