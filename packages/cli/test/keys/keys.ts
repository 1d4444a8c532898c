/** What keys and projects have to do on every database. */
import { assert, type Vitest } from "@effect/vitest"
import { Clock, Duration, Effect, Layer, Option, Redacted } from "effect"
import { SqlClient } from "effect/sql"
import { AuditLog } from "#cli/audit/AuditLog.ts"
import { Keys, type NewKey } from "#cli/keys/Keys.ts"
import * as KeyText from "#cli/keys/keyText.ts"
import { Projects } from "#cli/keys/Projects.ts"
import { connect, Databases } from "../support/databases.ts"

type Services = AuditLog | Keys | Projects | SqlClient.SqlClient

const services = Layer.mergeAll(Keys.layer, Projects.layer).pipe(Layer.provideMerge(AuditLog.layer))

const newPlace = Effect.flatMap(Databases, ({ make }) => make)

const withKeys = <A, E>(effect: Effect.Effect<A, E, Services>) =>
  Effect.flatMap(newPlace, (place) => Effect.provide(effect, Layer.provideMerge(services, connect(place))))

const deploy: NewKey = { name: "deploy", scopes: ["refresh", "read"] }

const slugOf = (error: object): unknown => ("slug" in error ? error.slug : undefined)

/** Every text of every table. */
const everything = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const tables = ["rekindle_api_keys", "rekindle_audit_log", "rekindle_projects"]
  return JSON.stringify(yield* Effect.forEach(tables, (table) => sql`SELECT * FROM ${sql(table)}`), (_, value) =>
    typeof value === "bigint" ? Number(value) : value
  )
})

/** Runs the contract on the databases of `it`. */
export const keys = (it: Vitest.MethodsNonLive<Databases>) => {
  it.effect("a key is stored as its hash, and found by its id", () =>
    withKeys(
      Effect.gen(function* () {
        const keys = yield* Keys
        const { key, secret } = yield* keys.create({ ...deploy, validFor: Duration.days(1) }, "cli:ann")
        const text = Redacted.value(secret)
        assert.match(text, /^rk_[0-9a-f]{12}_[0-9a-f]{40}$/)
        assert.strictEqual(KeyText.idOf(secret), key.id)
        const stored = yield* everything
        assert.notInclude(stored, text)
        assert.notInclude(stored, text.slice(16))
        const found = yield* keys.find(key.id)
        assert.deepStrictEqual(found?.key, key)
        assert.isTrue(KeyText.hasHash(secret, found?.hash ?? ""))
        assert.deepStrictEqual(yield* keys.list(), [key])
        assert.deepStrictEqual(
          [key.scopes, key.createdBy, key.expiresAt],
          [["read", "refresh"], "cli:ann", key.createdAt + 86_400_000]
        )
      })
    )
  )

  it.effect("whoever makes and revokes a key is in the audit log, and the key is not", () =>
    withKeys(
      Effect.gen(function* () {
        const keys = yield* Keys
        const { key, secret } = yield* keys.create(deploy, "cli:ann")
        const revoked = yield* keys.revoke(key.id, undefined, "key_0123456789ab")
        assert.isNumber(revoked.revokedAt)
        // A second time changes nothing.
        assert.deepStrictEqual(yield* keys.revoke(key.id, "default", "cli:bob"), revoked)
        const log = yield* AuditLog
        const entries = yield* log.list({ limit: 10 })
        assert.deepStrictEqual(
          entries.map(({ action, actor, details, target }) => [action, actor, target, details]),
          [
            ["key.revoked", "key_0123456789ab", key.id, {}],
            ["key.created", "cli:ann", key.id, { name: "deploy", scopes: ["read", "refresh"], expires_at: null }]
          ]
        )
        assert.notInclude(JSON.stringify(entries), Redacted.value(secret).slice(16))
        assert.isUndefined((yield* log.verify()).broken)
      })
    )
  )

  it.effect("nothing is made or changed if the audit log cannot be written", () =>
    withKeys(
      Effect.gen(function* () {
        const keys = yield* Keys
        const { key } = yield* keys.create(deploy, "cli:ann")
        yield* (yield* SqlClient.SqlClient)`DELETE FROM rekindle_audit_head`
        assert.strictEqual((yield* Effect.flip(keys.create(deploy, "cli:ann")))._tag, "AuditBroken")
        assert.strictEqual((yield* Effect.flip(keys.revoke(key.id, undefined, "cli:ann")))._tag, "AuditBroken")
        assert.deepStrictEqual(yield* keys.list(), [key])
      })
    )
  )

  it.effect("refuses a key that nobody could tell from another, or that can do nothing", () =>
    withKeys(
      Effect.gen(function* () {
        const keys = yield* Keys
        const refused: ReadonlyArray<readonly [NewKey, slug: string]> = [
          ...[
            "",
            " ",
            " deploy",
            "deploy ",
            "de  ploy",
            "de\u200bploy",
            "de\u202eploy",
            "de\nploy",
            "x".repeat(101)
          ].map((name) => [{ ...deploy, name }, "invalid_api_key_request"] as const),
          [{ ...deploy, scopes: [] }, "invalid_api_key_request"],
          [{ ...deploy, validFor: Duration.zero }, "invalid_api_key_request"],
          [{ ...deploy, validFor: Duration.days(4_000) }, "invalid_api_key_request"],
          [{ ...deploy, projectId: "nowhere" }, "project_not_found"],
          // The first letter is Cyrillic.
          [{ ...deploy, projectId: "\u0501efault" }, "project_not_found"]
        ]
        for (const [key, slug] of refused)
          assert.strictEqual(slugOf(yield* Effect.flip(keys.create(key, "cli:ann"))), slug, JSON.stringify(key))
        assert.deepStrictEqual(yield* keys.list(), [])
        assert.deepStrictEqual(yield* AuditLog.use((log) => log.list({ limit: 1 })), [])
      })
    )
  )

  it.effect("a key of another project cannot be listed or revoked", () =>
    withKeys(
      Effect.gen(function* () {
        const keys = yield* Keys
        yield* Projects.use((projects) => projects.create("shop", null, "cli:ann"))
        const { key } = yield* keys.create({ ...deploy, projectId: "shop" }, "cli:ann")
        assert.deepStrictEqual(yield* keys.list("default"), [])
        assert.deepStrictEqual(yield* keys.list("shop"), [key])
        const refused = yield* Effect.flip(keys.revoke(key.id, "default", "cli:ann"))
        assert.strictEqual(slugOf(refused), "api_key_not_found")
        assert.deepStrictEqual(yield* keys.list(), [key])
      })
    )
  )

  it.effect("of processes that start together on an empty database, one makes the first key", () =>
    Effect.gen(function* () {
      const place = yield* newPlace
      const process = Keys.use((keys) => keys.createFirst).pipe(
        Effect.provide(Layer.provideMerge(services, connect(place)))
      )
      yield* Keys.use((keys) => keys.list()).pipe(Effect.provide(Layer.provideMerge(services, connect(place))))
      const made = yield* Effect.all([process, process, process], { concurrency: 3 })
      const [first, ...others] = made.flatMap(Option.toArray)
      assert.lengthOf(others, 0)
      assert.deepStrictEqual(first?.key.scopes, ["read", "refresh", "credential", "admin"])
      assert.isTrue(Option.isNone(yield* process))
    })
  )

  it.effect("a use is written at most once a minute", () =>
    withKeys(
      Effect.gen(function* () {
        const keys = yield* Keys
        const { key } = yield* keys.create(deploy, "cli:ann")
        const now = yield* Clock.currentTimeMillis
        const used = Effect.map(keys.list(), ([key]) => key?.lastUsedAt)
        yield* keys.markUsed([key.id, "key_unknown"], now, now - 60_000)
        assert.strictEqual(yield* used, now)
        // Another process, half a minute later.
        yield* keys.markUsed([key.id], now + 30_000, now - 30_000)
        assert.strictEqual(yield* used, now)
        yield* keys.markUsed([key.id], now + 60_000, now)
        assert.strictEqual(yield* used, now + 60_000)
        yield* keys.markUsed([], now, now)
      })
    )
  )

  it.effect("the origins of a project are those of its own, in the form that browsers compare", () =>
    withKeys(
      Effect.gen(function* () {
        const projects = yield* Projects
        assert.isUndefined(yield* projects.redirectOrigins("default"))
        const shop = yield* projects.create(
          "shop",
          ["https://Shop.test/", "http://localhost:3000", "https://shop.test"],
          "cli:ann"
        )
        assert.deepStrictEqual(shop.redirectOrigins, ["https://shop.test", "http://localhost:3000"])
        assert.deepStrictEqual(yield* projects.redirectOrigins("shop"), shop.redirectOrigins ?? undefined)
        const closed = yield* projects.setRedirectOrigins("shop", [], "cli:ann")
        // This process uses what it has changed at once.
        assert.deepStrictEqual(yield* projects.redirectOrigins("shop"), [])
        assert.deepStrictEqual(yield* projects.get("shop"), closed)
        // The first letter is Cyrillic, and visibly so.
        const lookalike = yield* projects.setRedirectOrigins("shop", ["https://\u0430pp.test"], "cli:ann")
        assert.deepStrictEqual(lookalike.redirectOrigins, ["https://xn--pp-6kc.test"])
        assert.deepStrictEqual(
          (yield* projects.list).map(({ id }) => id),
          ["default", "shop"]
        )
        const log = yield* AuditLog.use((log) => log.list({ limit: 10, projectId: "shop" }))
        assert.deepStrictEqual(
          log.map(({ action }) => action),
          ["project.updated", "project.updated", "project.created"]
        )
      })
    )
  )

  it.effect("refuses projects that look like another, and addresses that are no origins", () =>
    withKeys(
      Effect.gen(function* () {
        const projects = yield* Projects
        const refused: ReadonlyArray<readonly [id: string, origins: ReadonlyArray<string>, slug: string]> = [
          ...["", "Default", "\u0501efault", "de fault", "-x", "x".repeat(64), "a/b", "..", "default\u0000"].map(
            (id) => [id, [], "invalid_project"] as const
          ),
          ...[
            "https://app.test/path",
            "https://app.test?x",
            "https://*.app.test",
            "https://ann:secret@app.test",
            "javascript:alert(1)",
            "app.test",
            "null",
            ""
          ].map((origin) => ["shop", [origin], "invalid_project"] as const),
          ["default", [], "project_exists"]
        ]
        for (const [id, origins, slug] of refused)
          assert.strictEqual(
            slugOf(yield* Effect.flip(projects.create(id, origins, "cli:ann"))),
            slug,
            `${id} ${origins.join()}`
          )
        assert.strictEqual(
          slugOf(yield* Effect.flip(projects.setRedirectOrigins("nowhere", [], "cli:ann"))),
          "project_not_found"
        )
        assert.strictEqual(slugOf(yield* Effect.flip(projects.get("nowhere"))), "project_not_found")
        assert.lengthOf(yield* projects.list, 1)
      })
    )
  )
}
