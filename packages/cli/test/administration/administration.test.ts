/** Keys, projects and the audit log, by the commands on a database and on a server, and by the admin routes. */
import { assert, describe, it } from "@effect/vitest"
import { SqliteClient } from "@rekindle/engine"
import { Effect } from "effect"
import { SqlClient } from "effect/sql"
import { start } from "../support/inProcess.ts"

const json = (text: string) => JSON.parse(text)

const account = "/api/v3/connected_accounts/con_1a2b3c4d5e6f"

describe.each(["onDatabase", "onServer"] as const)("rekindle keys, projects and audit: %s", (where) => {
  it.live("a key is made, shown once, used, listed and revoked, and all of it is in the log", () =>
    Effect.gen(function* () {
      const service = yield* start()
      const run =
        where === "onDatabase"
          ? service.onDatabase
          : (args: ReadonlyArray<string>) => service.onServer(service.adminKey, args)
      const actor = where === "onDatabase" ? /^cli:./ : /^key_[0-9a-f]{12}$/

      const made = yield* run(["keys", "create", "deploy", "--scope", "read", "--days", "30"])
      assert.strictEqual(made.code, 0, made.stderr)
      const key = made.stdout.trim()
      assert.match(key, /^rk_[0-9a-f]{12}_[0-9a-f]{40}$/)
      const id = `key_${key.slice(3, 15)}`
      assert.strictEqual((yield* service.call(key, account)).status, 404)
      assert.strictEqual((yield* service.call(key, `${account}/refresh`, { method: "POST" })).status, 403)
      assert.strictEqual((yield* service.call(key, "/api/v3/api_keys")).status, 403)

      const listed = yield* run(["keys", "list", "--json"])
      const [first, second, ...others] = json(listed.stdout).items
      assert.deepInclude(second, { id, name: "deploy", scopes: ["read"], project_id: "default", revoked_at: null })
      assert.match(second.created_by, actor)
      assert.deepInclude(first, { name: "first admin key", created_by: "first start" })
      assert.lengthOf(others, 0)
      assert.notInclude(listed.stdout, key.slice(16))

      // The service has not read this one. One that it has read is refused within two seconds of its revocation.
      const lost = (yield* run(["keys", "create", "lost"])).stdout.trim()
      const lostId = `key_${lost.slice(3, 15)}`
      assert.strictEqual((yield* run(["keys", "revoke", lostId])).code, 2)
      assert.deepInclude(yield* run(["keys", "revoke", lostId, "--yes"]), { code: 0, stdout: `${lostId} is revoked\n` })
      const refused = yield* service.call(lost, account)
      assert.deepStrictEqual([refused.status, refused.body.error.slug], [401, "revoked_api_key"])

      const shop = yield* run(["projects", "create", "shop", "--origin", "https://shop.test"])
      assert.strictEqual(shop.code, 0, shop.stderr)
      assert.strictEqual((yield* run(["projects", "update", "shop", "--nowhere"])).code, 0)
      assert.strictEqual((yield* run(["projects", "update", "shop"])).code, 2)
      assert.deepStrictEqual(
        json((yield* run(["projects", "list", "--json"])).stdout).items.map(
          ({ id, redirect_origins }: { id: string; redirect_origins: unknown }) => [id, redirect_origins]
        ),
        [
          ["default", null],
          ["shop", []]
        ]
      )

      const log = json((yield* run(["audit", "list", "--json"])).stdout).items
      assert.deepStrictEqual(
        log.map(({ action, target }: { action: string; target: string }) => [action, target]),
        [
          ["project.updated", "shop"],
          ["project.created", "shop"],
          ["key.revoked", lostId],
          ["key.created", lostId],
          ["key.created", id],
          ["key.created", `key_${service.adminKey.slice(3, 15)}`]
        ]
      )
      for (const { actor: who } of log.slice(0, -1)) assert.match(who, actor)
      const verified = yield* run(["audit", "verify"])
      const [head] = /6:[0-9a-f]{64}/.exec(verified.stdout) ?? []
      assert.deepInclude(yield* run(["audit", "verify", "--head", head ?? ""]), { code: 0 })
      const broken = yield* run(["audit", "verify", "--head", `6:${"0".repeat(64)}`])
      assert.strictEqual(broken.code, 3)
      assert.include(broken.stderr, "broken at entry 6")
      assert.strictEqual((yield* run(["audit", "verify", "--head", "6"])).code, 2)
    }).pipe(Effect.scoped)
  )
})

describe("an admin key", () => {
  it.live("of a project manages that project alone, and makes no key that may do more than itself", () =>
    Effect.gen(function* () {
      const { adminKey, call, onDatabase } = yield* start()
      yield* onDatabase(["projects", "create", "shop", "--anywhere"])
      const made = yield* onDatabase([
        "keys",
        "create",
        "shop admin",
        "--project",
        "shop",
        "--scope",
        "admin",
        "--scope",
        "read"
      ])
      const key = made.stdout.trim()
      const post = (body: object) => call(key, "/api/v3/api_keys", { method: "POST", body: JSON.stringify(body) })
      const slugOf = ({ body, status }: { status: number; body: { error: { slug: string } } }) => [
        status,
        body.error.slug
      ]

      const own = yield* post({ name: "reader", scopes: ["read"] })
      assert.deepInclude(own.body, { project_id: "shop", scopes: ["read"], created_by: `key_${key.slice(3, 15)}` })
      assert.deepStrictEqual(slugOf(yield* post({ name: "thief", scopes: ["credential"] })), [403, "missing_scope"])
      assert.deepStrictEqual(slugOf(yield* post({ name: "thief", scopes: ["read"], project_id: "default" })), [
        403,
        "other_project"
      ])
      assert.deepStrictEqual(slugOf(yield* call(key, "/api/v3/api_keys?project_id=default")), [403, "other_project"])
      assert.deepStrictEqual(slugOf(yield* call(key, "/api/v3/audit_log?project_id=default")), [403, "other_project"])
      assert.deepStrictEqual(slugOf(yield* call(key, "/api/v3/audit_log/verification")), [403, "other_project"])
      const project = JSON.stringify({ id: "evil" })
      assert.deepStrictEqual(slugOf(yield* call(key, "/api/v3/projects", { method: "POST", body: project })), [
        403,
        "other_project"
      ])
      const origins = JSON.stringify({ redirect_origins: null })
      assert.deepStrictEqual(slugOf(yield* call(key, "/api/v3/projects/default", { method: "PATCH", body: origins })), [
        403,
        "other_project"
      ])
      const first = `key_${adminKey.slice(3, 15)}`
      assert.deepStrictEqual(slugOf(yield* call(key, `/api/v3/api_keys/${first}`, { method: "DELETE" })), [
        400,
        "api_key_not_found"
      ])
      const { body } = yield* call(key, "/api/v3/api_keys")
      assert.deepStrictEqual(
        body.items.map(({ name }: { name: string }) => name),
        ["shop admin", "reader"]
      )
      const log = yield* call(key, "/api/v3/audit_log")
      assert.isTrue(log.body.items.every(({ project_id }: { project_id: string }) => project_id === "shop"))
      assert.strictEqual((yield* call(adminKey, "/api/v3/api_keys?project_id=shop")).body.items.length, 2)
    }).pipe(Effect.scoped)
  )

  it.live("gets a refusal that says what is wrong, with the envelope", () =>
    Effect.gen(function* () {
      const { adminKey, call } = yield* start()
      const cases: ReadonlyArray<readonly [path: string, init: RequestInit, status: number, slug: string]> = [
        ["/api/v3/api_keys", { method: "POST", body: "{}" }, 400, "invalid_body"],
        [
          "/api/v3/api_keys",
          { method: "POST", body: JSON.stringify({ name: "x", scopes: ["root"] }) },
          400,
          "invalid_body"
        ],
        [
          "/api/v3/api_keys",
          { method: "POST", body: JSON.stringify({ name: "x", scopes: [] }) },
          400,
          "invalid_api_key_request"
        ],
        ["/api/v3/api_keys/key_nope", { method: "DELETE" }, 400, "api_key_not_found"],
        ["/api/v3/api_keys", { method: "PUT", body: "{}" }, 405, "method_not_allowed"],
        ["/api/v3/audit_log?limit=501", {}, 400, "invalid_query"],
        ["/api/v3/projects", { method: "POST", body: JSON.stringify({ id: "Shop" }) }, 400, "invalid_project"]
      ]
      for (const [path, init, status, slug] of cases) {
        const answer = yield* call(adminKey, path, init)
        assert.deepStrictEqual([answer.status, answer.body.error.slug], [status, slug], path)
        assert.match(answer.body.error.request_id, /^req_/)
      }
      assert.strictEqual((yield* call("", "/api/v3/api_keys")).status, 401)
    }).pipe(Effect.scoped)
  )
})

describe("the origins of a project", () => {
  it.live("decide where its people may land after consent, from the next request on", () =>
    Effect.gen(function* () {
      const { adminKey, call } = yield* start()
      const send = (method: string, path: string, body: object) =>
        call(adminKey, path, { method, body: JSON.stringify(body) })
      const config = yield* send("POST", "/api/v3/auth_configs", {
        toolkit: { slug: "example" },
        auth_config: {
          type: "use_custom_auth",
          authScheme: "API_KEY",
          credentials: { api_hosts: "api.example.com" }
        }
      })
      const linked = (callback_url: string) =>
        Effect.map(
          send("POST", "/api/v3/connected_accounts/link", {
            auth_config_id: config.body.auth_config.id,
            user_id: "ann",
            callback_url
          }),
          ({ body, status }) => (status < 300 ? "linked" : body.error.slug)
        )
      assert.strictEqual(yield* linked("https://app.test/done"), "linked")
      yield* send("PATCH", "/api/v3/projects/default", { redirect_origins: ["https://app.test"] })
      assert.strictEqual(yield* linked("https://app.test/done"), "linked")
      for (const callback of [
        "https://evil.test/",
        "https://app.test.evil.test/",
        "http://app.test/",
        "https://\u0430pp.test/"
      ])
        assert.strictEqual(yield* linked(callback), "invalid_redirect_url", callback)
    }).pipe(Effect.scoped)
  )
})

describe("the audit log of requests", () => {
  it.live("has each one that changes something or reads a credential, before it is carried out, and what failed", () =>
    Effect.gen(function* () {
      const { adminKey, call, onDatabase } = yield* start()
      const made = yield* onDatabase(["keys", "create", "reader", "--scope", "read", "--scope", "credential"])
      const key = made.stdout.trim()
      const before = json((yield* onDatabase(["audit", "list", "--json"])).stdout).items.length
      yield* call(key, account)
      yield* call(adminKey, "/api/v3/auth_configs")
      yield* call(adminKey, "/api/v3/auth_configs/nope?x=secret", { method: "DELETE" })
      // Not allowed, so not done.
      yield* call(key, "/api/v3/auth_configs/nope", { method: "DELETE" })
      yield* call(key, `${account}/credential`)
      yield* call(key, `${account}/credential`)
      const { body } = yield* call(adminKey, "/api/v3/audit_log")
      const entries: ReadonlyArray<Record<string, unknown>> = body.items
        .slice(0, body.items.length - before)
        .toReversed()
      const removal = { action: "DELETE /api/v3/auth_configs/:nanoid", target: "/api/v3/auth_configs/nope" }
      const reading = { action: "GET /api/v3/connected_accounts/:nanoid/credential", target: `${account}/credential` }
      const admin = `key_${adminKey.slice(3, 15)}`
      const reader = `key_${key.slice(3, 15)}`
      const address = "127.0.0.1"
      assert.deepStrictEqual(
        entries.map(({ action, actor, details, target }) => ({ action, actor, details, target })),
        [
          { ...removal, actor: admin, details: { address } },
          { ...removal, actor: admin, details: { address, failed: before + 1 } },
          { ...reading, actor: reader, details: { address } },
          { ...reading, actor: reader, details: { address, failed: before + 3 } }
        ]
      )
      assert.notInclude(JSON.stringify(body), "secret")
      assert.strictEqual((yield* onDatabase(["audit", "verify"])).code, 0)
    }).pipe(Effect.scoped)
  )

  it.live("does not let a request change anything while it cannot be written", () =>
    Effect.gen(function* () {
      const { adminKey, call, file } = yield* start()
      const config = JSON.stringify({ name: "Renamed" })
      yield* SqlClient.SqlClient.use((sql) => sql`DELETE FROM rekindle_audit_head`).pipe(
        Effect.provide(SqliteClient.layer(file, { create: false }))
      )
      const refused = yield* call(adminKey, "/api/v3/auth_configs/nope", { method: "PATCH", body: config })
      assert.deepStrictEqual([refused.status, refused.body.error.slug], [503, "store_unavailable"])
      assert.strictEqual((yield* call(adminKey, "/api/v3/auth_configs")).status, 200)
    }).pipe(Effect.scoped)
  )
})

describe("the address of a caller", () => {
  const guess = (call: Effect.Success<ReturnType<typeof start>>["call"], from: string, attempt: number) =>
    call(`rk_${String(attempt).padStart(12, "0")}_${"0".repeat(40)}`, account, {
      headers: { "x-forwarded-for": from, "x-real-ip": from, forwarded: `for=${from}` }
    })

  it.live("is not what a header says, so that nobody guesses on under other names", () =>
    Effect.gen(function* () {
      const { call } = yield* start()
      for (let attempt = 0; attempt < 20; attempt++)
        assert.strictEqual((yield* guess(call, `192.0.2.${attempt}`, attempt)).status, 401)
      const refused = yield* guess(call, "192.0.2.99", 20)
      assert.deepStrictEqual([refused.status, refused.body.error.slug], [429, "too_many_requests"])
      assert.isAtLeast(Number(refused.headers.get("retry-after")), 1)
    }).pipe(Effect.scoped)
  )

  it.live("is what a trusted proxy says, and not what the caller told the proxy", () =>
    Effect.gen(function* () {
      const { call } = yield* start(["127.0.0.0/8"])
      for (let attempt = 0; attempt < 20; attempt++)
        assert.strictEqual((yield* guess(call, `10.0.0.${attempt}, 192.0.2.1`, attempt)).status, 401)
      assert.strictEqual((yield* guess(call, "10.0.0.99, 192.0.2.1", 20)).status, 429)
      assert.strictEqual((yield* guess(call, "192.0.2.2", 21)).status, 401)
    }).pipe(Effect.scoped)
  )
})
