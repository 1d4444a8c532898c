import { assert, layer } from "@effect/vitest"
import { ConnectedAccounts, Connections } from "@rekindle/core"
import { Effect, Redacted } from "effect"
import { AuthorizationServer, makeDatabase } from "../support/accounts.ts"

layer(AuthorizationServer.layer(), { excludeTestServices: true })("rekindle accounts", (it) => {
  it.effect("lists and shows accounts with their secrets masked, as a table and as JSON", () =>
    Effect.gen(function* () {
      const { connect, rekindle, use } = yield* makeDatabase
      const { ann, ben } = yield* use(Effect.all({ ann: connect("ann"), ben: connect("ben") }))
      const { code, stdout } = yield* rekindle(["accounts", "list", "--user", "ann"], { terminal: true })
      assert.strictEqual(code, 0)
      assert.match(stdout, /^ID +STATUS +TOOLKIT +CONFIG +USER/)
      assert.include(stdout, ann.id)
      assert.notInclude(stdout, ben.id)

      const list = JSON.parse((yield* rekindle(["accounts", "list", "--limit", "1", "--json"])).stdout)
      assert.lengthOf(list.items, 1)
      const rest = JSON.parse((yield* rekindle(["accounts", "list", "--cursor", list.next_cursor, "--json"])).stdout)
      assert.deepEqual(
        new Set([...list.items, ...rest.items].map(({ id, status, user_id }) => `${id} ${status} ${user_id}`)),
        new Set([`${ann.id} ACTIVE ann`, `${ben.id} ACTIVE ben`])
      )

      const shown = yield* rekindle(["accounts", "show", ann.id, "--json"])
      assert.deepInclude(JSON.parse(shown.stdout), { id: ann.id, status: "ACTIVE", user_id: "ann" })
      assert.notInclude(shown.stdout, ann.refreshToken)
      assert.include((yield* rekindle(["accounts", "show", ann.id])).stdout, "ACTIVE")
    })
  )

  it.effect("renews at the provider, and prints the link where a person is needed", () =>
    Effect.gen(function* () {
      const { connect, rekindle, server, use } = yield* makeDatabase
      const { alive, dead } = yield* use(
        Effect.all({ alive: connect("alive", { expired: true }), dead: connect("dead", { expired: true }) })
      )
      yield* server.revokeGrant(dead.grantId)
      assert.deepInclude(yield* rekindle(["accounts", "refresh", alive.id]), {
        code: 0,
        stdout: `${alive.id} is ACTIVE\n`
      })
      const token = yield* use(Connections.use(({ accessToken }) => accessToken(alive.id)))
      assert.isTrue(yield* server.isAccessTokenAlive(Redacted.value(token)))

      const { code, stdout } = yield* rekindle(["accounts", "refresh", dead.id, "--json"])
      assert.strictEqual(code, 3)
      const { redirect_url, status } = JSON.parse(stdout)
      assert.strictEqual(status, "INITIATED")
      assert.isTrue(redirect_url.startsWith(server.endpoints.authorization))

      const linked = yield* rekindle(["accounts", "link", alive.id])
      assert.strictEqual(linked.code, 0)
      assert.isTrue(linked.stdout.startsWith(server.endpoints.authorization))
    })
  )

  it.effect("disables, enables, revokes at the provider and removes", () =>
    Effect.gen(function* () {
      const { connect, rekindle, server, use } = yield* makeDatabase
      const { id, refreshToken } = yield* use(connect("ann"))
      const status = use(ConnectedAccounts.use(({ get }) => get(id)))
      assert.strictEqual((yield* rekindle(["accounts", "disable", id])).code, 0)
      assert.strictEqual((yield* status).status, "INACTIVE")
      assert.strictEqual((yield* rekindle(["accounts", "enable", id])).code, 0)
      assert.strictEqual((yield* status).status, "ACTIVE")

      assert.strictEqual((yield* rekindle(["accounts", "revoke", id])).code, 2)
      assert.isTrue(yield* server.isRefreshTokenAlive(refreshToken))
      const { code, stdout } = yield* rekindle(["accounts", "revoke", id, "--yes", "--json"])
      assert.strictEqual(code, 0)
      assert.deepEqual(JSON.parse(stdout), { id, withdrawn: "confirmed", answer: null })
      assert.isFalse(yield* server.isRefreshTokenAlive(refreshToken))

      assert.strictEqual((yield* rekindle(["accounts", "remove", id, "--yes"])).code, 0)
      const gone = yield* rekindle(["accounts", "show", id])
      assert.strictEqual(gone.code, 1)
      assert.include(gone.stderr, "what to do: rekindle accounts list shows the ids")
    })
  )

  it.effect("says what is wrong: a malformed id, a missing file, a missing key", () =>
    Effect.gen(function* () {
      const { directory, rekindle } = yield* makeDatabase
      const malformed = yield* rekindle(["accounts", "show", "nonsense"])
      assert.strictEqual(malformed.code, 2)
      assert.include(malformed.stderr, "ca_4CkFF_cKATwg")
      const missing = yield* rekindle(["accounts", "list", "--database", `${directory}/absent.db`])
      assert.strictEqual(missing.code, 1)
      assert.include(missing.stderr, "there is no such file")
      const keyless = yield* rekindle(["accounts", "list"], { env: { REKINDLE_KEYS: "" } })
      assert.notStrictEqual(keyless.code, 0)
      const both = yield* rekindle(["accounts", "list", "--database", "a", "--server", "http://127.0.0.1:1"])
      assert.strictEqual(both.code, 2)
    })
  )
})
