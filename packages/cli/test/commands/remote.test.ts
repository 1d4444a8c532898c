import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { AuthorizationServer, makeDatabase, serverKey } from "../support/accounts.ts"

layer(AuthorizationServer.layer(), { excludeTestServices: true })("commands on a server", (it) => {
  it.effect("do what they do on its database", () =>
    Effect.gen(function* () {
      const { connect, directory, rekindle, serve, server, use } = yield* makeDatabase
      const { ann, ben } = yield* use(Effect.all({ ann: connect("ann"), ben: connect("ben", { expired: true }) }))
      const address = yield* serve
      const remotely = (args: ReadonlyArray<string>, key = serverKey) =>
        rekindle(args, { env: { REKINDLE_DATABASE: "", REKINDLE_BASE_URL: address, REKINDLE_API_KEY: key } })

      const here = yield* rekindle(["accounts", "list", "--json"])
      const there = yield* remotely(["accounts", "list", "--json"])
      assert.strictEqual(there.code, 0, there.stderr)
      const ids = (stdout: string) => JSON.parse(stdout).items.map(({ id }: { readonly id: string }) => id)
      assert.deepEqual(ids(there.stdout), ids(here.stdout))

      const file = join(directory, "crm.json")
      const { hosts, settings } = server.authConfig()
      writeFileSync(file, JSON.stringify({ id: "crm", toolkit: "crm", scheme: "OAUTH2", settings, hosts }))
      const added = yield* remotely(["configs", "add", "--file", file, "--json"])
      assert.strictEqual(added.code, 0, added.stderr)
      assert.include((yield* rekindle(["configs", "list"])).stdout, "crm")
      assert.strictEqual((yield* remotely(["configs", "remove", "crm", "--yes"])).code, 0)

      const renewed = yield* remotely(["renew", "--user", "ben", "--json"])
      assert.strictEqual(renewed.code, 0, renewed.stderr)
      const revoked = yield* remotely(["revoke", "--all", "--yes", "--json"])
      assert.strictEqual(revoked.code, 0, revoked.stderr)
      assert.strictEqual(JSON.parse(revoked.stdout).counts.confirmed, 2)
      assert.isFalse(yield* server.isRefreshTokenAlive(ann.refreshToken))
      const again = yield* remotely(["revoke", "--all", "--yes", "--json"])
      assert.strictEqual(JSON.parse(again.stdout).counts.confirmed, 2)
      assert.strictEqual((yield* remotely(["accounts", "remove", ben.id, "--yes"])).code, 0)
      assert.strictEqual((yield* rekindle(["accounts", "show", ben.id])).code, 1)
    })
  )

  it.effect("end with a sentence: a key that the server does not know, no server, no key, a project", () =>
    Effect.gen(function* () {
      const { rekindle, serve } = yield* makeDatabase
      const address = yield* serve
      const env = { REKINDLE_DATABASE: "" }
      const stranger = yield* rekindle(["accounts", "list", "--server", address], {
        env: { ...env, REKINDLE_API_KEY: "stranger" }
      })
      assert.strictEqual(stranger.code, 1)
      assert.notInclude(stranger.stderr, "stranger")
      const away = yield* rekindle(["accounts", "list", "--server", "http://127.0.0.1:1"], {
        env: { ...env, REKINDLE_API_KEY: serverKey }
      })
      assert.strictEqual(away.code, 4)
      const keyless = yield* rekindle(["accounts", "list", "--server", address], { env })
      assert.strictEqual(keyless.code, 2)
      assert.include(keyless.stderr, "rekindle login")
      const project = yield* rekindle(["accounts", "list", "--server", address, "--project", "p"], { env })
      assert.strictEqual(project.code, 2)
    })
  )
})
