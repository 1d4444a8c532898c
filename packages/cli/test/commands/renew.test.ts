import { assert, layer } from "@effect/vitest"
import { Connections } from "@rekindle/core"
import { Effect, Redacted } from "effect"
import { randomBytes } from "node:crypto"
import { existsSync } from "node:fs"
import { AuthorizationServer, makeDatabase } from "../support/accounts.ts"

layer(AuthorizationServer.layer(), { excludeTestServices: true })("work on many accounts", (it) => {
  it.effect("rekindle renew renews each once, and prints those that need a person", () =>
    Effect.gen(function* () {
      const { connect, rekindle, server, use } = yield* makeDatabase
      const { ann, ben, dead } = yield* use(
        Effect.all({ ann: connect("ann"), ben: connect("ben"), dead: connect("dead") })
      )
      yield* server.revokeGrant(dead.grantId)
      const before = server.tally().spent
      const { code, stdout } = yield* rekindle(["renew", "--all", "--json"])
      assert.strictEqual(code, 3)
      const { counts, items } = JSON.parse(stdout)
      assert.deepEqual(counts, { selected: 3, ready: 2, left: 0 })
      assert.strictEqual(server.tally().spent - before, 2)
      const needy = items.find(({ id }: { readonly id: string }) => id === dead.id)
      assert.strictEqual(needy.result, "consent")
      assert.isTrue(needy.detail.startsWith(server.endpoints.authorization))
      for (const { id } of [ann, ben]) {
        const token = yield* use(Connections.use(({ accessToken }) => accessToken(id)))
        assert.isTrue(yield* server.isAccessTokenAlive(Redacted.value(token)))
      }
      assert.deepInclude(yield* rekindle(["renew", "--user", "ann"], { terminal: true }), {
        code: 0,
        stdout: "1 of 1 accounts are ready\n"
      })
      assert.strictEqual((yield* rekindle(["renew"])).code, 2)
    })
  )

  it.effect("rekindle reseal lets an old key go, and rekindle restored doubts every token", () =>
    Effect.gen(function* () {
      const { connect, directory, env, rekindle, use } = yield* makeDatabase
      const { id } = yield* use(connect("ann"))
      const newer = `k2:${randomBytes(32).toString("base64")}`
      const lacking = yield* rekindle(["reseal"], { env: { REKINDLE_KEYS: newer } })
      assert.strictEqual(lacking.code, 1)
      assert.include(lacking.stderr, 'lacks the key "k1"')
      const typo = `${directory}/typo.db`
      assert.strictEqual((yield* rekindle(["reseal", "--database", typo])).code, 1)
      assert.isFalse(existsSync(typo))
      const resealed = yield* rekindle(["reseal", "--json"], {
        env: { REKINDLE_KEYS: `${newer},${env.REKINDLE_KEYS}` }
      })
      assert.strictEqual(resealed.code, 0, resealed.stderr)
      assert.deepEqual(JSON.parse(resealed.stdout), { resealed: 2, left: 0 })
      const shown = yield* rekindle(["accounts", "show", id], { env: { REKINDLE_KEYS: newer } })
      assert.strictEqual(shown.code, 0, shown.stderr)
      const lost = yield* rekindle(["accounts", "show", id])
      assert.strictEqual(lost.code, 1)
      assert.include(lost.stderr, "k2")

      // It needs no key.
      const restored = yield* rekindle(["restored", "--json"], { env: { REKINDLE_KEYS: "" } })
      assert.deepEqual(JSON.parse(restored.stdout), { in_doubt: 1 })
    })
  )
})
