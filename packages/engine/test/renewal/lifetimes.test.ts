/** The assumed life of an access token, if its answer states none, states nonsense, or was dated by a wrong clock. */
import { assert, describe, it } from "@effect/vitest"
import { type ConnectedAccountId, Connections } from "@rekindle/core"
import { ScriptedProvider } from "@rekindle/testing"
import { Clock, Duration, Effect, Logger, Redacted } from "effect"
import { TestClock } from "effect/testing"
import { fresh, consents, link } from "../support/ScriptedConsent.ts"
import {
  authConfig,
  beginning,
  connected,
  elapse,
  refresh,
  scenario,
  settle,
  stored,
  summary,
  Wire
} from "../support/ScriptedEngine.ts"

const minute = 60_000
const hour = 60 * minute

const accessToken = (id: ConnectedAccountId) =>
  Effect.map(
    Effect.flatMap(Connections, (connections) => settle(connections.accessToken(id))),
    Redacted.value
  )

/** The life of the stored access token, in milliseconds. */
const life = (id: ConnectedAccountId) =>
  Effect.map(stored(id), ({ expiresAt, obtainedAt }) => (expiresAt === null ? null : expiresAt - obtainedAt))

const silent: ScriptedProvider.Fault = { _tag: "AmendedAnswer", drop: ["expires_in"] }
const saying = (expires_in: string | number | null): ScriptedProvider.Fault => ({
  _tag: "AmendedAnswer",
  set: { expires_in }
})

describe("an answer without a life", () => {
  it.effect("keeps the life that was stated at consent, and a dead token is not handed out", () =>
    Effect.gen(function* () {
      const provider = yield* ScriptedProvider.ScriptedProvider
      const id = yield* fresh
      yield* consents(yield* link(id))
      assert.strictEqual(yield* life(id), 10 * minute)
      for (let renewals = 0; renewals < 2; renewals++) {
        yield* provider.next(silent)
        assert.strictEqual((yield* refresh(id))._tag, "Ready")
        assert.strictEqual(yield* life(id), 10 * minute)
      }
      const before = yield* accessToken(id)
      yield* elapse("20 minutes", "1 minute")
      const after = yield* accessToken(id)
      assert.notStrictEqual(after, before)
      assert.isTrue(yield* provider.isLive(after))
    }).pipe(scenario({ provider: { accessTokenTtl: "10 minutes" } }))
  )

  it.effect("does not keep the life of an earlier consent", () =>
    Effect.gen(function* () {
      const provider = yield* ScriptedProvider.ScriptedProvider
      yield* connected({ profile: { accessTokenTtl: "never" } })
      const { id } = yield* (yield* Connections).create({ authConfigId: "scripted", userId: "u" })
      const [first, second] = [yield* link(id), yield* link(id)]
      yield* consents(first)
      assert.strictEqual(yield* life(id), 10 * minute)
      yield* provider.next(silent)
      yield* consents(second)
      assert.isNull(yield* life(id))
    }).pipe(scenario({ provider: { accessTokenTtl: "10 minutes" } }))
  )

  for (const said of [-1, 1e12, "abc", null] as const) {
    it.effect(`nor does one that says ${JSON.stringify(said)} change it`, () =>
      Effect.gen(function* () {
        const provider = yield* ScriptedProvider.ScriptedProvider
        const id = yield* fresh
        yield* consents(yield* link(id))
        yield* provider.next(saying(said))
        assert.strictEqual((yield* refresh(id))._tag, "Ready")
        assert.strictEqual(yield* life(id), hour)
      }).pipe(scenario())
    )
  }

  it.effect("gets the assumed hour if no life was ever stated, and one warning", () =>
    Effect.gen(function* () {
      const logged: Array<unknown> = []
      yield* Effect.gen(function* () {
        const provider = yield* ScriptedProvider.ScriptedProvider
        const { id } = yield* connected({ expired: true })
        for (let renewals = 0; renewals < 3; renewals++) {
          yield* provider.next(silent)
          assert.strictEqual((yield* refresh(id))._tag, "Ready")
          assert.strictEqual(yield* life(id), hour)
        }
      }).pipe(scenario(), Effect.provide(Logger.layer([Logger.make(({ message }) => void logged.push(message))])))
      assert.lengthOf(
        logged.filter((message) => JSON.stringify(message).includes("accessTokenTtl")),
        1
      )
    })
  )

  it.effect("is without end only where the profile says so", () =>
    Effect.gen(function* () {
      const provider = yield* ScriptedProvider.ScriptedProvider
      const { id } = yield* connected({ expired: true, profile: { accessTokenTtl: "never" } })
      yield* provider.next(silent)
      assert.strictEqual((yield* refresh(id))._tag, "Ready")
      assert.isNull(yield* life(id))
    }).pipe(scenario())
  )

  it.effect("expires when the field says that its profile names", () =>
    Effect.gen(function* () {
      const provider = yield* ScriptedProvider.ScriptedProvider
      const { id } = yield* connected({ expired: true, profile: { expiresAtField: "expires_at" } })
      const expires_at = new Date((yield* Clock.currentTimeMillis) + 2 * hour).toISOString()
      yield* provider.next({ ...silent, set: { expires_at } })
      assert.strictEqual((yield* refresh(id))._tag, "Ready")
      assert.approximately((yield* life(id)) ?? 0, 2 * hour, 5_000)
    }).pipe(scenario())
  )
})

describe("a token that lives for a minute", () => {
  it.effect("is renewed once in half a minute, and not at every use", () =>
    Effect.gen(function* () {
      const { id } = yield* connected({ expired: true })
      const wire = yield* Wire
      const tokens = new Set<string>()
      for (let uses = 0; uses < 10; uses++) {
        tokens.add(yield* accessToken(id))
        yield* elapse("1 second")
      }
      assert.strictEqual(tokens.size, 1)
      assert.lengthOf(wire.sent, 1)
      yield* elapse("20 seconds")
      tokens.add(yield* accessToken(id))
      assert.strictEqual(tokens.size, 2)
    }).pipe(scenario({ provider: { accessTokenTtl: "1 minute" } }))
  )
})

describe("a token that came while the clock was a day ahead", () => {
  it.effect("is renewed when it is asked for, and not believed for a day", () =>
    Effect.gen(function* () {
      const provider = yield* ScriptedProvider.ScriptedProvider
      const day = 24 * hour
      yield* TestClock.setTime(beginning + day)
      const { id } = yield* connected({ expired: true })
      const ahead = yield* accessToken(id)
      yield* TestClock.setTime(beginning)
      assert.isAbove((yield* stored(id)).obtainedAt, beginning)
      const token = yield* accessToken(id)
      assert.notStrictEqual(token, ahead)
      const { expiresAt } = yield* stored(id)
      assert.approximately(expiresAt ?? 0, (yield* Clock.currentTimeMillis) + hour, minute)
      assert.strictEqual((yield* provider.counts).replays, 0)
    }).pipe(scenario())
  )

  it.effect("is not taken for dead where nothing can renew it", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(beginning + 24 * hour)
      yield* connected({ profile: { accessTokenTtl: Duration.hours(1) } })
      const { id } = yield* (yield* Connections).create({
        authConfigId: "scripted",
        userId: "u",
        secrets: { access_token: Redacted.make("all there is") }
      })
      yield* TestClock.setTime(beginning)
      const error = yield* Effect.flip(accessToken(id))
      assert.strictEqual(error._tag, "ConnectionNotReady")
      assert.deepInclude(summary(yield* stored(id)), { status: "ACTIVE", reason: null })
      yield* TestClock.setTime(beginning + 24 * hour + minute)
      assert.strictEqual(yield* accessToken(id), "all there is")
    }).pipe(scenario())
  )
})

describe("a credential that was brought in without an expiry", () => {
  it.effect("expires after the life in its profile, also when it replaces another", () =>
    Effect.gen(function* () {
      yield* connected({ profile: { accessTokenTtl: Duration.minutes(10) } })
      const connections = yield* Connections
      const { id } = yield* connections.create({
        authConfigId: "scripted",
        userId: "u",
        secrets: { access_token: Redacted.make("a") }
      })
      assert.strictEqual(yield* life(id), 10 * minute)
      yield* connections.replaceSecrets(id, { access_token: Redacted.make("b") })
      assert.strictEqual(yield* life(id), 10 * minute)
    }).pipe(scenario())
  )
})

describe("a refresh", () => {
  for (const [name, scopeOnRefresh, expected] of [
    ["repeats the scopes where its provider wants them", true, "read offline_access"],
    ["leaves them out elsewhere (RFC 6749 §6)", false, null]
  ] as const) {
    it.effect(name, () =>
      Effect.gen(function* () {
        const config = authConfig("scripted")
        const { id } = yield* connected({ expired: true })
        const settings = { ...config.settings, scopes: ["read", "offline_access"], scopeOnRefresh }
        yield* (yield* Connections).authConfigs.register({ ...config, settings })
        const wire = yield* Wire
        assert.strictEqual((yield* refresh(id))._tag, "Ready")
        assert.strictEqual(wire.bodies.at(-1)?.get("scope") ?? null, expected)
      }).pipe(scenario())
    )
  }
})
