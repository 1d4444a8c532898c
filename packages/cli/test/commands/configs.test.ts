import { assert, layer } from "@effect/vitest"
import { Connections } from "@rekindle/core"
import { Effect, Redacted } from "effect"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { AuthorizationServer, makeDatabase } from "../support/accounts.ts"
import { start } from "../support/inProcess.ts"

const secret = "GOCSPX-very-secret"

layer(AuthorizationServer.layer(), { excludeTestServices: true })("rekindle configs", (it) => {
  it.effect("adds one from a toolkit; the secret comes from the environment or standard input and is never shown", () =>
    Effect.gen(function* () {
      const { directory, rekindle } = yield* makeDatabase
      const add = ["configs", "add", "calendar", "--toolkit", "google", "--set", "client_id=1234", "--json"]
      const added = yield* rekindle([...add, "--secret-env", "client_secret=GOOGLE_SECRET"], {
        env: { GOOGLE_SECRET: secret }
      })
      assert.strictEqual(added.code, 0, added.stderr)
      const config = JSON.parse(added.stdout)
      assert.deepInclude(config, { id: "calendar", toolkit: "google", scheme: "OAUTH2", isDisabled: false })
      assert.deepEqual(config.secretNames, ["client_secret"])
      assert.notInclude(added.stdout + added.stderr, secret)

      const piped = yield* rekindle([...add, "--secrets-stdin"], { stdin: JSON.stringify({ client_secret: secret }) })
      assert.strictEqual(piped.code, 0, piped.stderr)

      const list = yield* rekindle(["configs", "list"], { terminal: true })
      const file = join(directory, "shown.json")
      writeFileSync(file, (yield* rekindle(["configs", "show", "calendar", "--json"])).stdout)
      const forgetful = yield* rekindle(["configs", "add", "--file", file])
      assert.strictEqual(forgetful.code, 2)
      assert.include(forgetful.stderr, "erase the secrets that are not given: client_secret")
      const again = yield* rekindle(["configs", "add", "--file", file, "--secrets-stdin", "--json"], {
        stdin: JSON.stringify({ client_secret: secret })
      })
      assert.strictEqual(again.code, 0, again.stderr)
      assert.deepEqual(JSON.parse(again.stdout).profile, config.profile)
      assert.match(list.stdout, /calendar +enabled +google +OAUTH2/)
      const flag = yield* rekindle([...add, "--set", `client_secret=${secret}`])
      assert.strictEqual(flag.code, 2)
      assert.notInclude(flag.stderr, secret)
    })
  )

  it.effect("adds one from a file, and names each wrong field without its value", () =>
    Effect.gen(function* () {
      const { connect, directory, rekindle, server, use } = yield* makeDatabase
      const file = join(directory, "crm.json")
      const { hosts, settings } = server.authConfig()
      const write = (config: unknown) => writeFileSync(file, JSON.stringify(config))
      write({ id: "crm", toolkit: "crm", scheme: "OAUTH2", settings, hosts })
      const { code, stderr } = yield* rekindle(
        ["configs", "add", "--file", file, "--secret-env", "client_secret=CRM"],
        {
          env: { CRM: "s+cret/with:odd=characters%20" }
        }
      )
      assert.strictEqual(code, 0, stderr)
      const account = yield* use(connect("ann", { authConfigId: "crm", expired: true }))
      const token = yield* use(Connections.use(({ accessToken }) => accessToken(account.id)))
      assert.isTrue(yield* server.isAccessTokenAlive(Redacted.value(token)))

      write({ id: "crm", toolkit: "crm", scheme: "OAUTH2", hosts: "h", secrets: { client_secret: [secret] }, hots: 1 })
      const wrong = yield* rekindle(["configs", "add", "--file", file])
      assert.strictEqual(wrong.code, 2)
      assert.include(wrong.stderr, "hosts:")
      assert.include(wrong.stderr, "did you mean hosts?")
      assert.notInclude(wrong.stderr, secret)
    })
  )

  it.effect(
    "names the setting of commands, on a database and on a server, where a host is refused for being private",
    () =>
      Effect.gen(function* () {
        const { adminKey, onDatabase, onServer } = yield* start()
        const endpoints = { authorizationEndpoint: "https://a.test/authorize", tokenEndpoint: "http://a.test/token" }
        const config = { toolkit: "a", scheme: "OAUTH2", settings: { clientId: "1", ...endpoints }, hosts: ["a.test"] }
        const directory = mkdtempSync(join(tmpdir(), "rekindle-configs-"))
        yield* Effect.addFinalizer(() => Effect.sync(() => rmSync(directory, { recursive: true })))
        const file = join(directory, "a.json")
        writeFileSync(file, JSON.stringify({ id: "a", ...config }))
        const add = ["configs", "add", "--file", file]
        for (const refused of [yield* onDatabase(add), yield* onServer(adminKey, add)]) {
          assert.strictEqual(refused.code, 2, refused.stderr)
          assert.include(refused.stderr, "over plain http; privateHosts in rekindle.json can allow it")
        }
      })
  )

  it.effect("disables, enables and removes one, and refuses while it has accounts", () =>
    Effect.gen(function* () {
      const { connect, rekindle, use } = yield* makeDatabase
      const { id } = yield* use(connect("ann"))
      assert.strictEqual((yield* rekindle(["configs", "disable", "oidc"])).code, 0)
      assert.include((yield* rekindle(["configs", "show", "oidc"])).stdout, "disabled")
      assert.strictEqual((yield* rekindle(["configs", "enable", "oidc"])).code, 0)
      const refused = yield* rekindle(["configs", "remove", "oidc", "--yes"])
      assert.strictEqual(refused.code, 1)
      assert.include(refused.stderr, "what to do: remove them first")
      assert.strictEqual((yield* rekindle(["accounts", "remove", id, "--yes"])).code, 0)
      assert.strictEqual((yield* rekindle(["configs", "remove", "oidc", "--yes"])).code, 0)
      assert.strictEqual((yield* rekindle(["configs", "show", "oidc"])).code, 1)
    })
  )
})
