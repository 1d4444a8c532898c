import { assert, describe, layer } from "@effect/vitest"
import { ConnectedAccounts, Connections } from "@rekindle/core"
import { Providers } from "@rekindle/engine"
import { ConnectLinks, type NewConnectLink } from "@rekindle/platform"
import { Effect } from "effect"
import { UrlParams } from "effect/http"
import { SqlClient } from "effect/sql"
import * as Pages from "#cli/pages/Pages.ts"
import { browser, withProvider } from "../support/pages.ts"
import { goodKey, Provider } from "../support/provider.ts"

/** The address that a page sends the browser on to. */
const destination = (text: string) =>
  (/http-equiv="refresh" content="0;url=([^"]*)"/.exec(text)?.[1] ?? "").replaceAll("&amp;", "&")

const link = (
  authConfigId: string,
  options: Omit<NewConnectLink, "authConfigId" | "userId"> & { readonly userId?: string } = {}
) => Effect.flatMap(ConnectLinks, ({ create }) => create({ authConfigId, userId: "user-7", ...options }))

const statusOf = (id: Parameters<ConnectedAccounts["Service"]["get"]>[0]) =>
  Effect.flatMap(ConnectedAccounts, ({ get }) => Effect.map(get(id), ({ status }) => status))

layer(withProvider(), { excludeTestServices: true })("the connect page", (it) => {
  it.effect("says who asks for what, leads to the provider and back, and is spent", () =>
    Effect.gen(function* () {
      const { visit } = yield* Provider
      const { open, submit } = (yield* browser())()
      const { accountId, url } = yield* link("oidc", { callbackUrl: "https://app.example/done?tab=2" })
      const page = yield* open(url)
      assert.strictEqual(page.status, 200)
      for (const said of ["<strong>app.example</strong>", "Notes", "user-7", "offline_access", "Continue to Notes"]) {
        assert.include(page.text, said)
      }
      const sent = yield* submit(page.text)
      const back = yield* visit(destination(sent.text), "Ann")
      const landed = yield* open(back)
      assert.strictEqual(
        landed.headers.get("location"),
        `https://app.example/done?tab=2&status=success&connected_account_id=${accountId}`
      )
      assert.strictEqual(yield* statusOf(accountId), "ACTIVE")
      const again = yield* open(url)
      assert.include(again.text, "Already connected")
      assert.include((yield* submit(page.text)).text, "Already connected")
    }).pipe(Effect.scoped)
  )

  it.effect("calls a provider as the catalogue does, and one that is not in it by its slug", () =>
    Effect.gen(function* () {
      const { authConfigs } = yield* Connections
      const { open } = (yield* browser())()
      yield* authConfigs.register(Providers.openai.authConfig({ id: "openai" }))
      const ofCatalogue = yield* open((yield* link("openai")).url)
      assert.include(ofCatalogue.text, "<h1>Connect OpenAI</h1>")
      assert.notInclude(ofCatalogue.text, "Openai")
      const other = yield* open((yield* link("key")).url)
      assert.include(other.text, "<h1>Connect Mailer</h1>")
    }).pipe(Effect.scoped)
  )

  it.effect("may be opened again after the provider was left or refused, in the same browser", () =>
    Effect.gen(function* () {
      const { visit } = yield* Provider
      const { open, submit } = (yield* browser())()
      const { accountId, url } = yield* link("oidc")
      yield* submit((yield* open(url)).text)
      const refused = yield* open(yield* visit(destination((yield* submit((yield* open(url)).text)).text), "nobody"))
      assert.include(refused.text, "You did not give access")
      const landed = yield* open(yield* visit(destination((yield* submit((yield* open(url)).text)).text), "Ann"))
      assert.include(landed.text, "<h1>Connected</h1>")
      assert.strictEqual(yield* statusOf(accountId), "ACTIVE")
    }).pipe(Effect.scoped)
  )

  it.effect("is not used up by previews, and belongs to the browser that uses it first", () =>
    Effect.gen(function* () {
      const { visit } = yield* Provider
      const newBrowser = yield* browser()
      const [preview, person, other] = [newBrowser(), newBrowser(), newBrowser()]
      const { accountId, url } = yield* link("oidc")
      assert.strictEqual((yield* preview.open(url, { method: "HEAD" })).status, 200)
      yield* preview.open(url)
      const others = yield* other.open(url)
      const sent = yield* person.submit((yield* person.open(url)).text)
      for (const refused of [yield* other.open(url), yield* other.submit(others.text)]) {
        assert.strictEqual(refused.status, 403)
        assert.include(refused.text, "in another browser")
      }
      // The provider's address is of no use to another browser either.
      const back = yield* visit(destination(sent.text), "Bob")
      assert.strictEqual((yield* other.open(back)).status, 400)
      assert.notStrictEqual(yield* statusOf(accountId), "ACTIVE")
      assert.strictEqual((yield* person.open(back)).status, 200)
      assert.strictEqual(yield* statusOf(accountId), "ACTIVE")
    }).pipe(Effect.scoped)
  )

  it.effect("takes the form only from its own page in the same browser", () =>
    Effect.gen(function* () {
      const newBrowser = yield* browser()
      const [person, attacker] = [newBrowser(), newBrowser()]
      const { accountId, token, url } = yield* link("key")
      const other = yield* link("key")
      const page = yield* person.open(url)
      const forms = [
        yield* attacker.submit(page.text, { "secret.api_key": goodKey }),
        yield* person.submit("", { token, "secret.api_key": goodKey }),
        yield* person.submit("", { token, proof: "x".repeat(43), "secret.api_key": goodKey }),
        yield* person.submit(page.text, { token: other.token, "secret.api_key": goodKey }),
        yield* person.open("/connect", { method: "POST", body: "x".repeat(100_000) })
      ]
      for (const { status } of forms) assert.strictEqual(status, 403)
      assert.strictEqual(yield* statusOf(accountId), "INITIALIZING")
      assert.strictEqual((yield* newBrowser().open(url)).status, 200)
    }).pipe(Effect.scoped)
  )

  it.effect("is shown once more if another tab, opened at the same time, has replaced the browser's cookie", () =>
    Effect.gen(function* () {
      const { open, submit } = (yield* browser())()
      const { url } = yield* link("oidc")
      const [first, second] = yield* Effect.all([open(url), open(url)], { concurrency: 2 })
      const pages = yield* Effect.forEach([first, second], ({ text }) => submit(text))
      const refused = pages.find(({ status }) => status === 403)
      assert.include(refused?.text, "Please send it once more")
      assert.notStrictEqual(destination((yield* submit(refused?.text ?? "")).text), "")
    }).pipe(Effect.scoped)
  )

  it.effect("answers guessed, old and missing tokens alike", () =>
    Effect.gen(function* () {
      const { open } = (yield* browser())()
      const sql = yield* SqlClient.SqlClient
      const { url } = yield* link("oidc")
      yield* sql`UPDATE rekindle_connect_links SET expires_at = 0 WHERE spent_at IS NULL`
      const guessed = url.replace(/.{8}$/, "AAAAAAAA")
      const pages = yield* Effect.forEach([url, guessed, "/connect", "/connect?token=%00"], (address) => open(address))
      for (const page of pages) {
        assert.strictEqual(page.status, 410)
        assert.strictEqual(page.text, pages[0]?.text)
      }
    }).pipe(Effect.scoped)
  )

  it.effect("takes an API key that the provider accepts, once", () =>
    Effect.gen(function* () {
      const { open, submit } = (yield* browser())()
      const { accountId, url } = yield* link("key", { callbackUrl: "https://app.example/done" })
      const page = yield* open(url)
      assert.match(page.text, /<label for="secret-api_key">API key<\/label>\s*<input[^>]*type="password"/)
      const malformed = yield* submit(page.text, { "secret.api_key": "key\u0007secret" })
      assert.strictEqual(malformed.status, 422)
      assert.include(malformed.text, "API key: it has a control character in it")
      const wrong = yield* submit(page.text, { "secret.api_key": "wrong-key-of-mine" })
      assert.strictEqual(wrong.status, 422)
      assert.include(wrong.text, "Mailer did not accept this")
      for (const { text } of [malformed, wrong]) assert.notMatch(text, /wrong-key|secret"/)
      const [one, two] = yield* Effect.all(
        [submit(wrong.text, { "secret.api_key": goodKey }), submit(wrong.text, { "secret.api_key": goodKey })],
        { concurrency: 2 }
      )
      for (const { text } of [one, two]) {
        assert.strictEqual(
          destination(text),
          `https://app.example/done?status=success&connected_account_id=${accountId}`
        )
      }
      assert.strictEqual(yield* statusOf(accountId), "ACTIVE")
      assert.include((yield* submit(wrong.text, { "secret.api_key": "another" })).text, "Already connected")
      assert.strictEqual(yield* statusOf(accountId), "ACTIVE")
    }).pipe(Effect.scoped)
  )

  it.effect("takes a user name and a password", () =>
    Effect.gen(function* () {
      const { open, submit } = (yield* browser())()
      const { accountId, url } = yield* link("password", { alias: "mine", connectionData: { region: "eu" } })
      const page = yield* open(url)
      assert.match(page.text, /name="secret.username"[^>]*type="text"/)
      assert.match(page.text, /name="secret.password"[^>]*type="password"/)
      const done = yield* submit(page.text, { "secret.username": "ann", "secret.password": "s3cret pass " })
      assert.include(done.text, "<h1>Connected</h1>")
      const credential = yield* Effect.flatMap(Connections, ({ credential }) => credential(accountId))
      assert.include(credential, { _tag: "Basic", username: "ann" })
      const { alias, state } = yield* Effect.flatMap(ConnectedAccounts, ({ get }) => get(accountId))
      assert.strictEqual(alias, "mine")
      assert.strictEqual(state.val["region"], "eu")
    }).pipe(Effect.scoped)
  )

  it.effect("escapes what others have written", () =>
    Effect.gen(function* () {
      const hostile = `"><script>alert(1)</script>`
      const { open } = (yield* browser({ applicationName: () => Effect.succeed(hostile) }))()
      const { url } = yield* link("oidc", { userId: hostile, alias: hostile })
      const { headers, text } = yield* open(url)
      assert.notInclude(text, "<script")
      assert.lengthOf(text.match(/&lt;script&gt;/g) ?? [], 3)
      assert.match(
        headers.get("content-security-policy") ?? "",
        /^default-src 'none'; style-src 'sha256-[^']+'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'$/
      )
      assert.strictEqual(headers.get("x-frame-options"), "DENY")
      assert.strictEqual(headers.get("referrer-policy"), "no-referrer")
      assert.strictEqual(headers.get("cache-control"), "no-store")
    }).pipe(Effect.scoped)
  )

  it.effect("keeps no token in the database or in the spans of requests", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const { token } = yield* link("oidc")
      const rows = yield* sql`SELECT * FROM rekindle_connect_links`
      assert.notInclude(JSON.stringify(rows), token)
      const names = yield* Effect.provide(UrlParams.CurrentRedactedNames, Pages.layerRedacted)
      for (const name of ["token", "code", "state"]) assert.include(names, name)
    })
  )

  it.effect("is not made, nor its account, for what a person cannot connect", () =>
    Effect.gen(function* () {
      const { count } = yield* Connections
      const before = yield* count()
      const failures = yield* Effect.forEach(
        [link("service"), link("absent"), link("key", { callbackUrl: "javascript:alert(1)" })],
        (made) => Effect.map(Effect.flip(made), (error) => ("slug" in error ? error.slug : undefined))
      )
      assert.deepStrictEqual(failures, ["scheme_unsupported", "auth_config_not_found", "invalid_redirect_url"])
      assert.strictEqual(yield* count(), before)
    })
  )
})

describe("the cookie of the connect page", () => {
  layer(withProvider({ publicUrl: "https://connect.example.com" }), { excludeTestServices: true })((it) => {
    it.effect("is for https and this host alone where the pages are", () =>
      Effect.gen(function* () {
        const { open } = (yield* browser({ publicUrl: "https://connect.example.com" }))()
        const cookie = (yield* open((yield* link("oidc")).url)).headers.get("set-cookie") ?? ""
        assert.match(cookie, /^__Host-rekindle_browser=[\w-]{43};/)
        for (const attribute of ["Path=/", "HttpOnly", "Secure", "SameSite=Lax"]) assert.include(cookie, attribute)
        assert.notInclude(cookie, "Domain")
      }).pipe(Effect.scoped)
    )
  })
})
