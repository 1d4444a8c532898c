/** A grant that is found dead before its access token expires must not take that token out of service. */
import { assert, describe, it } from "@effect/vitest"
import { type ConnectedAccountId, Connections, Resilience } from "@rekindle/core"
import { AccountStore, Renewer } from "@rekindle/engine"
import { ScriptedProvider } from "@rekindle/testing"
import { Clock, Duration, Effect, Layer, Redacted } from "effect"
import { TestClock } from "effect/testing"
import { consents, link, statusOf } from "../support/ScriptedConsent.ts"
import {
  connected,
  connectedService,
  elapse,
  events,
  refresh,
  scenario,
  settle,
  stored,
  summary,
  Wire
} from "../support/ScriptedEngine.ts"

const day = Duration.days(1)
const daily = scenario({ provider: { accessTokenTtl: day } })
const renewing = Layer.build(Renewer.layer({ pollInterval: "1 minute", recoveryInterval: "1 hour" }))
const sends = Effect.map(Wire, ({ sent }) => sent.length)

/** An account whose access token lives for a day, and whose grant the provider has revoked. */
const withDeadGrant = Effect.gen(function* () {
  const provider = yield* ScriptedProvider.ScriptedProvider
  const account = yield* connected()
  yield* provider.revoke(account.refreshToken)
  return account
})

/** The access token, for a caller that needs one that lasts longer. */
const token = (id: ConnectedAccountId) =>
  Effect.flatMap(Connections, (connections) => settle(Effect.map(connections.accessToken(id, "1 day"), Redacted.value)))

const toTheEnd = (expiresAt: number) =>
  Effect.flatMap(Clock.currentTimeMillis, (now) => elapse(expiresAt - now, "30 minutes"))

describe("a grant that is found dead at a renewal ahead of time", () => {
  it.effect("leaves the account in service to the end of its access token, says so once, and is not sent again", () =>
    Effect.gen(function* () {
      const { accessToken, expiresAt, id } = yield* withDeadGrant
      yield* renewing
      // Whatever the jitter, it is due 5 minutes before the end, and claimed within a poll of at most 75 seconds.
      yield* toTheEnd(expiresAt - 180_000)
      assert.deepInclude(summary(yield* stored(id)), { status: "ACTIVE", reason: "grant_dead", intent: "closed" })
      assert.deepStrictEqual(yield* events, ["expiring"])
      assert.strictEqual(yield* token(id), accessToken)
      assert.deepInclude(yield* refresh(id), { _tag: "RedirectRequired", status: "ACTIVE" })
      assert.deepInclude(yield* refresh(id, { validateCredentials: true }), { status: "ACTIVE" })
      yield* elapse("2 minutes", "1 minute")
      assert.strictEqual(yield* token(id), accessToken)
      assert.strictEqual(yield* statusOf(id), "ACTIVE")
      yield* elapse("5 minutes", "1 minute")
      assert.deepInclude(summary(yield* stored(id)), { status: "EXPIRED", reason: "grant_dead" })
      assert.deepStrictEqual(
        (yield* events).filter((event) => event !== "consent_started"),
        ["expiring", "expired"]
      )
      assert.deepInclude(yield* Effect.flip(token(id)), { _tag: "ConnectionNotReady" })
      assert.strictEqual(yield* sends, 1)
    }).pipe(Effect.scoped, daily)
  )

  it.effect("is announced at the time at which it was found", () =>
    Effect.gen(function* () {
      const { id } = yield* withDeadGrant
      const { updatedAt } = yield* stored(id)
      yield* elapse("6 hours", "1 hour")
      yield* refresh(id)
      const [event] = (yield* (yield* AccountStore).readOutbox(0, 1)).items
      assert.deepInclude(event, { type: "expiring", status: "ACTIVE", statusReason: "grant_dead" })
      assert.isAtLeast(event?.at ?? 0, updatedAt + Duration.toMillis("6 hours"))
      // Callers that wait for a new credential compare this time, and there is no new credential.
      assert.strictEqual((yield* stored(id)).updatedAt, updatedAt)
    }).pipe(daily)
  )

  it.effect("ends the account with its access token where no renewer runs, for whoever reads or refreshes", () =>
    Effect.gen(function* () {
      const { expiresAt, id } = yield* withDeadGrant
      const url = yield* link(id)
      yield* toTheEnd(expiresAt)
      assert.strictEqual(yield* statusOf(id), "EXPIRED")
      assert.deepStrictEqual(yield* events, ["expiring", "consent_started"])
      assert.deepInclude(yield* refresh(id), { _tag: "RedirectRequired", status: "INITIATED" })
      assert.deepStrictEqual((yield* events).slice(2), ["expired", "consent_started"])
      assert.deepInclude(summary(yield* stored(id)), { status: "EXPIRED", reason: "grant_dead" })
      assert.isTrue(url.searchParams.has("state"))
      assert.strictEqual(yield* sends, 1)
    }).pipe(daily)
  )

  it.effect("is forgotten with a consent, or with another credential", () =>
    Effect.gen(function* () {
      const connections = yield* Connections
      const provider = yield* ScriptedProvider.ScriptedProvider
      const one = yield* withDeadGrant
      assert.strictEqual((yield* consents(yield* link(one.id))).status, "ACTIVE")
      assert.deepInclude(summary(yield* stored(one.id)), { status: "ACTIVE", reason: null })
      const other = yield* withDeadGrant
      yield* refresh(other.id)
      const { accessToken, refreshToken } = yield* provider.connect
      yield* connections.replaceSecrets(other.id, {
        access_token: Redacted.make(accessToken),
        refresh_token: Redacted.make(refreshToken)
      })
      assert.deepInclude(summary(yield* stored(other.id)), { status: "ACTIVE", reason: null })
      for (const { id } of [one, other]) assert.deepStrictEqual(yield* refresh(id), { _tag: "Ready", id })
    }).pipe(daily)
  )

  it.effect("expires the account at once when a third party refuses the access token", () =>
    Effect.gen(function* () {
      const refused = { status: 401 }
      const call = (id: ConnectedAccountId) =>
        Resilience.withRefresh(id, Effect.fail(refused), { isAuthFailure: (error) => error === refused })
      const before = yield* withDeadGrant
      yield* refresh(before.id)
      assert.strictEqual(yield* statusOf(before.id), "ACTIVE")
      assert.deepInclude(yield* settle(Effect.flip(call(before.id))), { _tag: "ConsentRequired", status: "INITIATED" })
      assert.deepInclude(summary(yield* stored(before.id)), { status: "EXPIRED", reason: "grant_dead" })
      assert.strictEqual(yield* sends, 1)
      // The refusal shows that the grant is dead.
      const { id } = yield* withDeadGrant
      assert.deepInclude(yield* settle(Effect.flip(call(id))), { _tag: "ConsentRequired", status: "INITIATED" })
      assert.deepStrictEqual((yield* events).slice(-2), ["expired", "consent_started"])
      assert.deepInclude(yield* Effect.flip(token(id)), { _tag: "ConnectionNotReady" })
    }).pipe(daily)
  )

  it.effect("expires the account at once where the end of its access token is not known", () =>
    Effect.gen(function* () {
      // The token was obtained while the clock was a day ahead.
      const now = yield* Clock.currentTimeMillis
      yield* TestClock.setTime(now + Duration.toMillis("6 hours"))
      const { id } = yield* withDeadGrant
      yield* TestClock.setTime(now)
      assert.deepInclude(yield* refresh(id), { _tag: "RedirectRequired", status: "INITIATED" })
      assert.deepStrictEqual(yield* events, ["expired", "consent_started"])
    }).pipe(daily)
  )
})

describe("a key that is refused while its access token works", () => {
  it.effect("is tried again a few times a day, and ends its account with the token if it is refused to the end", () =>
    Effect.gen(function* () {
      const wire = yield* Wire
      const { id } = yield* connectedService
      wire.meets = () =>
        Effect.sync(() => Response.json({ access_token: "at", token_type: "bearer", expires_in: 86_400 }))
      yield* refresh(id)
      wire.meets = () => Effect.sync(() => Response.json({ error: "invalid_client" }, { status: 401 }))
      const before = yield* sends
      assert.deepStrictEqual(yield* refresh(id), { _tag: "Ready", id })
      assert.deepInclude(summary(yield* stored(id)), { status: "ACTIVE", reason: "credential_rejected" })
      yield* renewing
      const { expiresAt } = yield* stored(id)
      yield* toTheEnd((expiresAt ?? 0) - 600_000)
      assert.strictEqual(yield* token(id), "at")
      assert.strictEqual(yield* statusOf(id), "ACTIVE")
      assert.isAtMost((yield* sends) - before, 10)
      assert.isAbove((yield* sends) - before, 2)
      yield* elapse("15 minutes", "1 minute")
      assert.deepInclude(summary(yield* stored(id)), { status: "EXPIRED", reason: "credential_rejected" })
      assert.deepStrictEqual(yield* events, ["renewed", "expiring", "expired"])
    }).pipe(Effect.scoped, scenario())
  )
})
