/** Consent by a person: a link works once and for ten minutes, and only a given consent changes the account. */
import { assert, describe, it } from "@effect/vitest"
import {
  ConnectedAccounts,
  Connections,
  CurrentProject,
  CustomAuthScheme,
  Resilience,
  Unavailable
} from "@rekindle/core"
import { AccountStore, type AuthStrategy, Consent, ConsentError } from "@rekindle/engine"
import { ScriptedProvider } from "@rekindle/testing"
import { Clock, Effect, Fiber } from "effect"
import { accessOnly, callback, complete, consents, fresh, link, statusOf } from "../support/ScriptedConsent.ts"
import {
  attributesOf,
  authConfig,
  callbackUrl,
  companyConfig,
  connected,
  consentPage,
  elapse,
  events,
  refresh,
  refused,
  scenario,
  secretsOf,
  stored,
  summary,
  Wire
} from "../support/ScriptedEngine.ts"

describe("a link to consent", () => {
  it.effect("leads to the provider with a state and a PKCE challenge, and the account waits", () =>
    Effect.gen(function* () {
      const id = yield* fresh
      assert.strictEqual(yield* statusOf(id), "INITIALIZING")
      const url = yield* link(id)
      assert.strictEqual(url.origin + url.pathname, consentPage)
      assert.strictEqual(url.searchParams.get("redirect_uri"), callbackUrl)
      assert.strictEqual(url.searchParams.get("code_challenge_method"), "S256")
      assert.isAtLeast(url.searchParams.get("state")?.length ?? 0, 32)
      assert.strictEqual(yield* statusOf(id), "INITIATED")
    }).pipe(scenario())
  )

  it.effect("connects the account, with the tokens of the new grant", () =>
    Effect.gen(function* () {
      const provider = yield* ScriptedProvider.ScriptedProvider
      const id = yield* fresh
      const result = yield* consents(yield* link(id, { redirectUrl: "https://app.test/done" }))
      assert.deepStrictEqual(result, {
        accountId: id,
        status: "ACTIVE",
        redirectUrl: "https://app.test/done",
        failure: undefined
      })
      assert.isTrue(yield* provider.isLive((yield* secretsOf(id))["access_token"] ?? ""))
      assert.deepStrictEqual(yield* events, ["consent_started", "consent_completed"])
      assert.deepStrictEqual(yield* refresh(id), { _tag: "Ready", id })
    }).pipe(scenario())
  )

  it.effect("keeps of the callback what its config names, through renewals too", () =>
    Effect.gen(function* () {
      const provider = yield* ScriptedProvider.ScriptedProvider
      const id = yield* fresh
      yield* (yield* Connections).authConfigs.register(companyConfig)
      const code = yield* provider.authorize
      yield* complete(callback(yield* link(id), { code, company: "acme", session: "not kept" }))
      assert.deepInclude(yield* attributesOf(id), { company: "acme" })
      assert.notProperty(yield* attributesOf(id), "department")
      assert.notProperty(yield* attributesOf(id), "session")
      yield* refresh(id)
      assert.strictEqual((yield* stored(id)).generation, 2)
      assert.deepInclude(yield* attributesOf(id), { company: "acme" })
    }).pipe(scenario())
  )

  it.effect("handed out or refused does not move an account in service, and a yes does", () =>
    Effect.gen(function* () {
      const accounts = yield* ConnectedAccounts
      const id = yield* accessOnly
      const before = yield* accounts.get(id)
      yield* elapse("1 minute")
      const waiting = yield* Effect.forkChild(Resilience.awaitActive(id, { onRedirect: (url) => Effect.succeed(url) }))
      yield* elapse("10 seconds", "1 second")
      // Another caller asks for a link too, and the person denies the consent.
      yield* complete(callback(yield* link(id), { error: "access_denied" }))
      const url = yield* link(id)
      yield* elapse("1 minute", "1 second")
      assert.deepStrictEqual((yield* accounts.get(id)).updatedAt, before.updatedAt)
      assert.isUndefined(waiting.pollUnsafe())
      // The event has the time of the link nevertheless.
      const announced = (yield* (yield* AccountStore).readOutbox(0, 10)).items
      assert.lengthOf(announced, 3)
      for (const { at } of announced) assert.isAtLeast(at - before.updatedAt.epochMilliseconds, 60_000)
      yield* consents(url)
      yield* elapse("1 minute", "1 second")
      const account = yield* Fiber.join(waiting)
      assert.isAbove(account.updatedAt.epochMilliseconds, before.updatedAt.epochMilliseconds)
    }).pipe(scenario())
  )

  it.effect("works for ten minutes", () =>
    Effect.gen(function* () {
      const id = yield* fresh
      const url = yield* link(id)
      yield* elapse("599 seconds", "1 minute")
      assert.strictEqual(yield* statusOf(id), "INITIATED")
      yield* elapse("1 second")
      assert.strictEqual(yield* statusOf(id), "EXPIRED")
      const error = yield* Effect.flip(consents(url))
      assert.strictEqual(error._tag === "ConsentError" && error.reason, "unknown-state")
      assert.lengthOf((yield* Wire).sent, 0)
      // A new link works.
      assert.strictEqual((yield* consents(yield* link(id))).status, "ACTIVE")
    }).pipe(scenario())
  )

  it.effect("does not work with a state that nobody gave out, or with none", () =>
    Effect.gen(function* () {
      yield* fresh
      for (const parameters of [{ state: "guessed", code: "c" }, { code: "c" }, { state: "", code: "c" }]) {
        const error = yield* Effect.flip(complete(new URLSearchParams(parameters)))
        assert.strictEqual(error._tag === "ConsentError" && error.reason, "unknown-state")
      }
    }).pipe(scenario())
  )

  it.effect("has to be opened when the provider says so, and is answered within the whole lifetime", () => {
    const strategy: AuthStrategy = {
      scheme: CustomAuthScheme.make("PUSHED"),
      check: () => Effect.succeed([]),
      consent: {
        authorize: (_, { state }) => Effect.succeed({ url: `${consentPage}?state=${state}`, memo: {}, expiresIn: 5 }),
        complete: () => Effect.fail(new ConsentError({ reason: "denied", message: "no", code: null }))
      }
    }
    return Effect.gen(function* () {
      const consent = yield* Consent
      yield* (yield* Connections).authConfigs.register(
        authConfig("pushed", {}, { scheme: strategy.scheme, settings: {} })
      )
      const { id } = yield* (yield* Connections).create({ authConfigId: "pushed", userId: "u" })
      const { openUntil, url } = yield* consent.start(yield* stored(id))
      assert.strictEqual(openUntil - (yield* Clock.currentTimeMillis), 5_000)
      yield* elapse("5 minutes", "1 minute")
      assert.strictEqual(yield* statusOf(id), "INITIATED")
      assert.strictEqual((yield* complete(callback(new URL(url), {}))).failure?.reason, "denied")
    }).pipe(scenario({ engine: { strategies: [Effect.succeed(strategy)] } }))
  })

  it.effect("works while it is among the newest few of its account", () =>
    Effect.gen(function* () {
      const id = yield* fresh
      const links: Array<URL> = []
      for (let asked = 0; asked < 20; asked++) {
        links.push(yield* link(id))
        yield* elapse("1 second")
      }
      const old = yield* Effect.flip(consents(links[14] ?? assert.fail()))
      assert.strictEqual(old._tag === "ConsentError" && old.reason, "unknown-state")
      assert.strictEqual((yield* consents(links[15] ?? assert.fail())).status, "ACTIVE")
    }).pipe(scenario())
  )

  it.effect("can be open twice: either works, and the other one afterwards too", () =>
    Effect.gen(function* () {
      const id = yield* fresh
      const [one, two] = [yield* link(id), yield* link(id)]
      assert.strictEqual((yield* consents(two)).status, "ACTIVE")
      const first = yield* secretsOf(id)
      assert.strictEqual((yield* consents(one)).status, "ACTIVE")
      assert.notStrictEqual((yield* secretsOf(id))["access_token"], first["access_token"])
      assert.deepStrictEqual(yield* refresh(id), { _tag: "Ready", id })
    }).pipe(scenario())
  )

  it.effect("that is refused leaves the other one open and working", () =>
    Effect.gen(function* () {
      const id = yield* fresh
      const one = yield* link(id)
      yield* elapse("1 second")
      const two = yield* link(id)
      const { status } = yield* complete(callback(one, { error: "access_denied" }))
      // A person may still be looking at the other page, so no poller may read a final status.
      assert.deepStrictEqual([status, yield* statusOf(id)], ["INITIATED", "INITIATED"])
      assert.strictEqual((yield* consents(two)).status, "ACTIVE")
    }).pipe(scenario())
  )
})

describe("consent that is not given", () => {
  for (const [name, parameters, reason, failure] of [
    ["denied", { error: "access_denied" }, "consent_denied", "denied"],
    ["with a code the provider does not know", { code: "made up" }, "consent_failed", "refused"],
    ["with another error", { error: "invalid_scope" }, "consent_failed", "refused"],
    ["without a code", {}, "consent_failed", "refused"]
  ] as const) {
    it.effect(`${name}: FAILED for a new account, with the reason`, () =>
      Effect.gen(function* () {
        const id = yield* fresh
        const result = yield* complete(callback(yield* link(id), parameters))
        assert.strictEqual(result.status, "FAILED")
        assert.strictEqual(result.failure?.reason, failure)
        assert.deepInclude(summary(yield* stored(id)), { status: "FAILED", reason, generation: 0 })
      }).pipe(scenario())
    )
  }

  it.effect("leaves an active account active and its credential in service", () =>
    Effect.gen(function* () {
      const id = yield* accessOnly
      const before = yield* secretsOf(id)
      const result = yield* complete(callback(yield* link(id), { error: "access_denied" }))
      assert.strictEqual(result.status, "ACTIVE")
      assert.deepStrictEqual(yield* secretsOf(id), before)
    }).pipe(scenario())
  )

  it.effect("leaves an expired account EXPIRED, for its own reason", () =>
    Effect.gen(function* () {
      const provider = yield* ScriptedProvider.ScriptedProvider
      const { id, refreshToken } = yield* connected({ expired: true })
      yield* provider.revoke(refreshToken)
      const result = yield* complete(callback(yield* link(id), { error: "access_denied" }))
      assert.strictEqual(result.status, "EXPIRED")
      assert.strictEqual((yield* stored(id)).statusReason, "grant_dead")
    }).pipe(scenario())
  )

  it.effect("because the provider is down is no verdict: the account is as it was", () =>
    Effect.gen(function* () {
      const provider = yield* ScriptedProvider.ScriptedProvider
      const id = yield* fresh
      const url = yield* link(id)
      yield* provider.next(ScriptedProvider.unavailable())
      const result = yield* consents(url)
      assert.strictEqual(result.failure?.reason, "unavailable")
      assert.deepInclude(summary(yield* stored(id)), { status: "INITIATED", reason: null })
    }).pipe(scenario())
  )

  it.effect("because the provider's consent page is down is no verdict either", () =>
    Effect.gen(function* () {
      const id = yield* fresh
      const result = yield* complete(callback(yield* link(id), { error: "temporarily_unavailable" }))
      assert.strictEqual(result.failure?.reason, "unavailable")
      assert.deepInclude(summary(yield* stored(id)), { status: "INITIATED", reason: null })
    }).pipe(scenario())
  )

  it.effect("because the connection was refused once is tried again", () =>
    Effect.gen(function* () {
      const provider = yield* ScriptedProvider.ScriptedProvider
      const id = yield* fresh
      const url = yield* link(id)
      yield* provider.next({ _tag: "ConnectionRefused" })
      assert.strictEqual((yield* consents(url)).status, "ACTIVE")
    }).pipe(scenario())
  )
})

describe("a redirect_url", () => {
  it.effect("of 2048 characters is taken", () =>
    Effect.gen(function* () {
      const redirectUrl = `https://app.test/${"x".repeat(2_031)}`
      assert.strictEqual((yield* consents(yield* link(yield* fresh, { redirectUrl }))).redirectUrl, redirectUrl)
    }).pipe(scenario())
  )

  it.effect("has an origin that the project lists, if it lists any", () =>
    Effect.gen(function* () {
      const accounts = yield* ConnectedAccounts
      const id = yield* accessOnly
      yield* link(id, { redirectUrl: "https://app.test/done?a=b#c" })
      for (const redirectUrl of [
        "https://app.test:8443/",
        "http://app.test/",
        "https://app.test.evil.test/",
        "https://other.test/"
      ]) {
        const error = yield* refused(id, { redirectUrl })
        assert.strictEqual("slug" in error && error.slug, "invalid_redirect_url", redirectUrl)
      }
      const another = yield* Effect.flip(
        Effect.provideService(accounts.refresh(id, { redirectUrl: "https://other.test/" }), CurrentProject, "another")
      )
      // The redirect was accepted: this project lists no origins. It has no such account.
      assert.strictEqual(another._tag, "AccountNotFound")
    }).pipe(
      scenario({
        engine: {
          consent: {
            callbackUrl,
            redirectOrigins: (project) =>
              Effect.succeed(project === "default" ? ["https://app.test/", "not a url"] : undefined)
          }
        }
      })
    )
  )

  it.effect("outside of origins that cannot be read now is refused as busy, and nothing is changed", () =>
    Effect.gen(function* () {
      const provider = yield* ScriptedProvider.ScriptedProvider
      const { id, refreshToken } = yield* connected()
      yield* provider.revoke(refreshToken)
      const before = yield* stored(id)
      const error = yield* refused(id, { redirectUrl: "https://app.test/" })
      assert.deepStrictEqual([error._tag, "slug" in error && error.slug], ["Unavailable", "store_unavailable"])
      assert.lengthOf((yield* Wire).sent, 0)
      assert.deepStrictEqual(yield* stored(id), before)
    }).pipe(
      scenario({
        engine: {
          consent: {
            callbackUrl,
            redirectOrigins: () => Effect.fail(new Unavailable({ message: "later", slug: "store_unavailable" }))
          }
        }
      })
    )
  )

  for (const redirectUrl of [
    "javascript:alert(1)",
    "/relative",
    "ftp://host.test/",
    "",
    "not a url",
    "data:text/html,x",
    "https://bank.test@evil.test/",
    "https://:secret@app.test/",
    "https:\\\\evil.test",
    "https:/evil.test",
    " https://app.test/",
    "https://app.test/\u0000",
    "https://app.test/\u0085x",
    "https://app.test/\r\nset-cookie:a=b",
    `https://app.test/${"x".repeat(2_032)}`
  ]) {
    it.effect(`like ${JSON.stringify(redirectUrl.slice(0, 40))} is refused before anything is done`, () =>
      Effect.gen(function* () {
        const provider = yield* ScriptedProvider.ScriptedProvider
        const { id, refreshToken } = yield* connected()
        yield* provider.revoke(refreshToken)
        const before = yield* stored(id)
        const error = yield* refused(id, { redirectUrl })
        assert.strictEqual(error._tag, "InvalidRequest")
        assert.strictEqual("slug" in error && error.slug, "invalid_redirect_url")
        assert.lengthOf((yield* Wire).sent, 0)
        assert.deepStrictEqual(yield* stored(id), before)
      }).pipe(scenario())
    )
  }
})
