import { assert, layer } from "@effect/vitest"
import { ConnectedAccounts, Connections } from "@rekindle/core"
import { Effect, Redacted } from "effect"
import { createHash } from "node:crypto"
import { overviewPath } from "#cli/pages/operatorApi.ts"
import { browser, withProvider } from "../support/pages.ts"
import { goodKey } from "../support/provider.ts"

const failing = Effect.fnUntraced(function* (userId: string) {
  const connections = yield* Connections
  const { id } = yield* connections.create({
    authConfigId: "key",
    userId,
    alias: "<b>mine</b>",
    secrets: { api_key: Redacted.make("revoked-by-the-provider") }
  })
  yield* Effect.flatMap(ConnectedAccounts, ({ refresh }) => refresh(id, { validateCredentials: true }))
  return id
})

layer(withProvider(), { excludeTestServices: true })("the operator's page", (it) => {
  it.effect("runs one script, whose hash its policy names, and keeps the key out of the browser's storage", () =>
    Effect.gen(function* () {
      const { open } = (yield* browser())()
      const { headers, text } = yield* open("/operator")
      const scripts = Array.from(text.matchAll(/<script>([^]*?)<\/script>/g), ([, script = ""]) => script)
      assert.lengthOf(scripts, 1)
      const hash = createHash("sha256")
        .update(scripts[0] ?? "")
        .digest("base64")
      const policy = headers.get("content-security-policy") ?? ""
      assert.include(policy, `script-src 'sha256-${hash}'; connect-src 'self'`)
      assert.notInclude(policy, "unsafe")
      assert.notMatch(text, /(?:local|session)Storage|document\.cookie|innerHTML/)
    }).pipe(Effect.scoped)
  )

  it.effect("reads nothing without an admin key, and nothing of another project", () =>
    Effect.gen(function* () {
      const id = yield* failing("user-6")
      const { open } = (yield* browser())()
      const asked = (key: string | undefined, path = overviewPath, method = "GET") =>
        open(path, { method, headers: key === undefined ? {} : { "x-api-key": key } })
      for (const [key, status, slug] of [
        [undefined, 401, "missing_api_key"],
        ["unknown", 401, "unknown_api_key"],
        ["reader", 403, "missing_scope"]
      ] as const) {
        const answer = yield* asked(key)
        assert.strictEqual(answer.status, status)
        assert.include(JSON.parse(answer.text).error, { slug, status })
        assert.strictEqual(answer.headers.get("cache-control"), "no-store")
      }
      const other = JSON.parse((yield* asked("stranger")).text)
      assert.deepInclude(other.failures, { count: 0, items: [] })
      const link = yield* asked("stranger", `/api/v3/operator/accounts/${id}/link`, "POST")
      assert.strictEqual(link.status, 404)
      assert.strictEqual((yield* asked("admin", "/api/v3/operator/accounts/x/link", "POST")).status, 400)
    }).pipe(Effect.scoped)
  )

  it.effect("shows what does not work and why, and a link with which its owner connects it anew", () =>
    Effect.gen(function* () {
      const id = yield* failing("user-7")
      const { open, submit } = (yield* browser())()
      const headers = { "x-api-key": "admin" }
      const overview = JSON.parse((yield* open(overviewPath, { headers })).text)
      const item = overview.failures.items.find((each: { readonly id: string }) => each.id === id)
      assert.include(item, {
        user_id: "user-7",
        alias: "<b>mine</b>",
        service: "Mailer",
        auth_config_id: "key",
        status: "EXPIRED",
        reason: "credential_rejected"
      })
      assert.lengthOf(overview.due, 12)
      assert.deepInclude(overview.accounts, { status: "EXPIRED", count: overview.failures.count })
      const { url } = JSON.parse(
        (yield* open(`/api/v3/operator/accounts/${id}/link`, { method: "POST", headers })).text
      )
      const done = yield* submit((yield* open(url)).text, { "secret.api_key": goodKey })
      assert.include(done.text, "<h1>Connected</h1>")
      const after = JSON.parse((yield* open(overviewPath, { headers })).text)
      assert.strictEqual(after.failures.count, overview.failures.count - 1)
    }).pipe(Effect.scoped)
  )
})
