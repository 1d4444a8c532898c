import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { AuthorizationServer, makeDatabase, serverKey } from "../support/accounts.ts"

layer(AuthorizationServer.layer(), { excludeTestServices: true })("rekindle webhooks and events", (it) => {
  it.effect("do the same on a database and on a server", () =>
    Effect.gen(function* () {
      const { connect, rekindle, serve, use } = yield* makeDatabase
      const expired = yield* use(connect("ann", { expired: true }))
      const address = yield* serve
      const onServer = { REKINDLE_DATABASE: "", REKINDLE_BASE_URL: address, REKINDLE_API_KEY: serverKey }
      for (const env of [{}, onServer]) {
        const run = (...args: ReadonlyArray<string>) => rekindle(args, { env })
        const refused = yield* run("webhooks", "create", "https://10.0.0.1/hook")
        assert.strictEqual(refused.code, 1)
        assert.include(refused.stderr, "private_address")
        assert.include(refused.stderr, "; webhookPrivateHosts in rekindle.json can allow it")
        const made = yield* run("webhooks", "create", "https://1.1.1.1/hook", "--json")
        assert.strictEqual(made.code, 0, made.stderr)
        const { enabled_events, id, secret } = JSON.parse(made.stdout)
        assert.deepStrictEqual(enabled_events, [
          "composio.connected_account.expired",
          "rekindle.connected_account.expiring"
        ])
        assert.match(secret, /^whsec_/)
        const listed = yield* run("webhooks", "list")
        assert.include(listed.stdout, `${id}\thttps://1.1.1.1/hook`)
        assert.notInclude(listed.stdout, secret)
        const rotated = yield* run("webhooks", "rotate", id)
        assert.match(rotated.stdout, /^whsec_\S+\n$/)
        assert.notInclude(rotated.stdout, secret)
        assert.strictEqual((yield* run("webhooks", "deliveries", id)).code, 0)
        assert.deepStrictEqual(JSON.parse((yield* run("webhooks", "replay", id, "--json")).stdout), { queued: 0 })
        assert.strictEqual((yield* run("webhooks", "remove", id)).code, 2)
        assert.strictEqual((yield* run("webhooks", "remove", id, "--yes")).code, 0)
        const gone = yield* run("webhooks", "rotate", id)
        assert.strictEqual(gone.code, 1)
        assert.include(gone.stderr, "no such webhook subscription")
      }

      assert.strictEqual((yield* rekindle(["renew", "--user", "ann"])).code, 0)
      const here = yield* rekindle(["events", "tail", "--no-follow", "--json"])
      const event = JSON.parse(here.stdout.trim().split("\n").at(-1) ?? "")
      assert.deepInclude(event, { account_id: expired.id, type: "renewed", status: "ACTIVE" })
      const there = yield* rekindle(["events", "tail", "--no-follow", "--json"], { env: onServer })
      assert.strictEqual(there.stdout, here.stdout, there.stderr)
      const later = yield* rekindle(["events", "tail", "--no-follow", "--after", String(event.sequence)])
      assert.notInclude(later.stdout, "renewed")
    })
  )
})
