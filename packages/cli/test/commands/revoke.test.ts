import { assert, layer } from "@effect/vitest"
import { Connections, ProviderProfile } from "@rekindle/core"
import { Effect } from "effect"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { AuthorizationServer, makeDatabase } from "../support/accounts.ts"
import { fromSources } from "../support/serveProcess.ts"

/** The report of a run with `--json`. */
interface Report {
  readonly counts: Readonly<Record<string, number>>
  readonly items: ReadonlyArray<{
    readonly id: string
    readonly was: string
    readonly withdrawn: string
    readonly answer: string | null
  }>
}

layer(AuthorizationServer.layer(), { excludeTestServices: true })("rekindle revoke", (it) => {
  it.effect("withdraws the selected accounts at the provider, and no others", () =>
    Effect.gen(function* () {
      const { connect, rekindle, register, server, use } = yield* makeDatabase
      const { ann, ben, cy } = yield* use(
        Effect.andThen(
          register({ id: "other" }),
          Effect.all({ ann: connect("ann"), ben: connect("ben"), cy: connect("ann", { authConfigId: "other" }) })
        )
      )
      const dry = yield* rekindle(["revoke", "--config", "oidc", "--dry-run", "--json"])
      assert.strictEqual(JSON.parse(dry.stdout).counts.waiting, 2)
      assert.isTrue(yield* server.isRefreshTokenAlive(ann.refreshToken))

      const { code, stdout } = yield* rekindle(["revoke", "--user", "ann", "--config", "oidc", "--yes", "--json"])
      assert.strictEqual(code, 0)
      const { counts, items }: Report = JSON.parse(stdout)
      assert.deepInclude(counts, { confirmed: 1, pending: 0, failed: 0 })
      assert.deepInclude(items[0], { id: ann.id, was: "ACTIVE", withdrawn: "confirmed", answer: null })
      assert.isFalse(yield* server.isRefreshTokenAlive(ann.refreshToken))
      assert.isTrue(yield* server.isRefreshTokenAlive(ben.refreshToken))
      assert.isTrue(yield* server.isRefreshTokenAlive(cy.refreshToken))

      const table = yield* rekindle(["revoke", "--since", "1 hour", "--yes"], { terminal: true })
      assert.strictEqual(table.code, 0)
      assert.match(table.stdout, /^ID +USER +CONFIG +PROVIDER +WAS +WITHDRAWN +ANSWER/)
      assert.include(table.stderr, "3 confirmed")
      assert.isFalse(yield* server.isRefreshTokenAlive(cy.refreshToken))
    })
  )

  it.effect("asks for what is meant: a selection, and --yes without a terminal", () =>
    Effect.gen(function* () {
      const { connect, rekindle, server, use } = yield* makeDatabase
      const { refreshToken } = yield* use(connect("ann"))
      for (const args of [["--yes"], ["--all"], ["--all", "--yes", "--since", "yesteryear"]]) {
        const { code, stderr } = yield* rekindle(["revoke", ...args])
        assert.strictEqual(code, 2, args.join(" "))
        assert.include(stderr, "what to do:")
      }
      const future = yield* rekindle(["revoke", "--since", "2999-01-01T00:00:00Z", "--yes"], { terminal: true })
      assert.deepInclude(future, { code: 0, stdout: "no accounts are selected\n" })
      assert.isTrue(yield* server.isRefreshTokenAlive(refreshToken))
    })
  )

  it.effect("reports the answer of a provider that refuses, ends with 3, and asks again on the next run", () =>
    Effect.gen(function* () {
      const { connect, rekindle, register, server, use } = yield* makeDatabase
      const { refreshToken } = yield* use(connect("ann"))
      const { settings } = server.authConfig()
      yield* use(register({ settings: { ...settings, revocationEndpoint: `${server.issuer}/nowhere` } }))
      const refused = yield* rekindle(["revoke", "--all", "--yes", "--json"])
      assert.strictEqual(refused.code, 3)
      const { counts, items }: Report = JSON.parse(refused.stdout)
      assert.strictEqual(counts["pending"], 1)
      assert.isString(items[0]?.answer)

      yield* use(register({ settings }))
      const again = yield* rekindle(["revoke", "--all", "--yes", "--json"])
      assert.strictEqual(again.code, 0)
      const later: Report = JSON.parse(again.stdout)
      assert.deepInclude(later.items[0], { was: "REVOKED", withdrawn: "confirmed" })
      assert.isFalse(yield* server.isRefreshTokenAlive(refreshToken))
    })
  )

  it.effect("goes on where a killed run ended, and its report has every account", () =>
    Effect.gen(function* () {
      const count = 8
      const { connect, env, rekindle, register, server, use } = yield* makeDatabase
      const { profile } = server.authConfig()
      const made = yield* use(
        Effect.andThen(
          register({ profile: ProviderProfile.make({ ...profile, requestsPerSecond: 10 }) }),
          Effect.forEach(Array.from({ length: count }), () => connect("person"))
        )
      )
      const alive = Effect.map(
        Effect.forEach(made, ({ refreshToken }) => server.isRefreshTokenAlive(refreshToken)),
        (each) => each.filter(Boolean).length
      )
      const [program, ...before] = fromSources.command
      const killed = spawn(program, [...before, "revoke", "--all", "--yes"], { env: { ...process.env, ...env } })
      yield* Effect.repeat(Effect.delay(alive, "20 millis"), { until: (left) => left <= count - 2 })
      const exited = once(killed, "exit")
      killed.kill("SIGKILL")
      yield* Effect.promise(() => exited)
      assert.isAbove(yield* alive, 0)

      const { code, stdout } = yield* rekindle(["revoke", "--all", "--yes", "--json"])
      assert.strictEqual(code, 0)
      const { counts, items }: Report = JSON.parse(stdout)
      assert.strictEqual(counts["confirmed"], count)
      assert.sameMembers(
        items.map(({ id }) => id),
        made.map(({ id }) => id)
      )
      assert.isAbove(items.filter(({ was }) => was === "REVOKED").length, 1)
      assert.strictEqual(yield* alive, 0)
      assert.strictEqual(yield* use(Connections.use(({ count }) => count({ statuses: ["REVOKED"] }))), count)
    })
  )
})
