/** The ends of attempts: terminal verdicts, faults of the application, and a provider that is down. */
import { assert, describe, it } from "@effect/vitest"
import { type ConnectedAccountId, ConnectedAccounts, Connections, type RefreshError } from "@rekindle/core"
import { Renewer } from "@rekindle/engine"
import { isUsable } from "@rekindle/engine/Account"
import { ScriptedProvider } from "@rekindle/testing"
import { Clock, Duration, Effect, Layer, Redacted } from "effect"
import {
  authConfig,
  beginning,
  connected,
  elapse,
  events,
  join,
  refresh,
  refused,
  scenario,
  settle,
  stored,
  Wire
} from "../support/ScriptedEngine.ts"
import { trouble } from "../support/StoreTrouble.ts"

const sends = Effect.map(Wire, ({ sent }) => sent.length)

const answer = (status: number, error: string): ScriptedProvider.Fault => ({
  _tag: "OtherAnswer",
  applied: false,
  status,
  headers: { "content-type": "application/json" },
  body: JSON.stringify({ error })
})

const retryAfterOf = (error: RefreshError): number =>
  "retryAfter" in error && error.retryAfter !== undefined ? Duration.toSeconds(error.retryAfter) : -1

describe("a dead token", () => {
  it.effect("is sent once and never again, however often somebody asks", () =>
    Effect.gen(function* () {
      const provider = yield* ScriptedProvider.ScriptedProvider
      const { id, refreshToken } = yield* connected({ expired: true })
      yield* provider.revoke(refreshToken)
      for (let asked = 0; asked < 5; asked++) {
        const outcome = yield* refresh(id)
        if (outcome._tag !== "RedirectRequired") return assert.fail(outcome._tag)
        assert.strictEqual(outcome.status, "INITIATED")
        yield* elapse("1 minute", "30 seconds")
      }
      assert.strictEqual(yield* sends, 1)
      assert.strictEqual((yield* events).filter((type) => type === "expired").length, 1)
      assert.isNull((yield* stored(id)).renewAt)
    }).pipe(scenario())
  )
})

describe("Retry-After", () => {
  it.effect("is passed on", () =>
    Effect.gen(function* () {
      const provider = yield* ScriptedProvider.ScriptedProvider
      const { id } = yield* connected()
      yield* provider.next(ScriptedProvider.unavailable("120"))
      assert.strictEqual(retryAfterOf(yield* refused(id)), 120)
      assert.isAtLeast((yield* stored(id)).renewAt ?? 0, (yield* stored(id)).createdAt + 120_000)
    }).pipe(scenario())
  )

  it.effect("is capped: a day is not believed, and the account is looked at again well before", () =>
    Effect.gen(function* () {
      const provider = yield* ScriptedProvider.ScriptedProvider
      const { id } = yield* connected()
      yield* provider.next(ScriptedProvider.unavailable("86400"))
      assert.strictEqual(retryAfterOf(yield* refused(id)), 900)
      const { createdAt, renewAt } = yield* stored(id)
      assert.isAtMost((renewAt ?? Infinity) - createdAt, 2 * 900_000)
    }).pipe(scenario())
  )

  for (const nonsense of ["soon", "-5", "1.5e9"]) {
    it.effect(`that makes no sense (${nonsense}) is a short wait`, () =>
      Effect.gen(function* () {
        const provider = yield* ScriptedProvider.ScriptedProvider
        const { id } = yield* connected()
        yield* provider.next(ScriptedProvider.unavailable(nonsense))
        assert.strictEqual(retryAfterOf(yield* refused(id)), 1)
      }).pipe(scenario())
    )
  }
})

describe("a fault of the application", () => {
  it.effect("stops the auth config when three accounts have met it, and no other", () =>
    Effect.gen(function* () {
      const provider = yield* ScriptedProvider.ScriptedProvider
      const ill = yield* Effect.forEach([1, 2, 3, 4], () => connected({ configId: "ill" }))
      const other = yield* connected({ configId: "well" })
      yield* provider.next(...[1, 2, 3].map(() => answer(401, "invalid_client")))
      const errors = yield* Effect.forEach(ill, ({ id }) => refused(id))
      assert.deepStrictEqual(
        errors.map((error) => ("slug" in error ? error.slug : error._tag)),
        ["auth_config_rejected", "auth_config_rejected", "auth_config_rejected", "circuit_open"]
      )
      for (const error of errors) assert.deepStrictEqual("errors" in error ? error.errors : [], ["invalid_client"])
      assert.isAbove(retryAfterOf(errors[3] ?? assert.fail()), 0)
      assert.strictEqual(yield* sends, 3)
      assert.strictEqual((yield* refresh(other.id))._tag, "Ready")
      for (const { id } of ill) {
        const account = yield* stored(id)
        assert.deepInclude(account, { status: "ACTIVE", statusReason: null, lease: null, intent: null })
      }
    }).pipe(scenario())
  )

  it.effect("of one account (an application disabled in one tenant) is that account's, however often it is met", () =>
    Effect.gen(function* () {
      const wire = yield* Wire
      const [sick, ...healthy] = yield* Effect.forEach([1, 2, 3, 4, 5], () => connected())
      if (sick === undefined) return assert.fail()
      wire.meets = (token) =>
        Effect.sync(() =>
          token === sick.refreshToken ? Response.json({ error: "unauthorized_client" }, { status: 401 }) : undefined
        )
      for (let round = 0; round < 20; round++) {
        yield* refused(sick.id)
        const { id } = healthy[round % healthy.length] ?? assert.fail()
        assert.strictEqual((yield* refresh(id))._tag, "Ready")
        yield* elapse("1 minute", "20 seconds")
      }
    }).pipe(scenario())
  )
})

describe("a fault of the application that is corrected", () => {
  it.effect("is over at once: a changed auth config is tried, an equal one is not", () =>
    Effect.gen(function* () {
      const provider = yield* ScriptedProvider.ScriptedProvider
      const connections = yield* Connections
      const accounts = yield* Effect.forEach([1, 2, 3], () => connected())
      yield* provider.next(...accounts.map(() => answer(401, "invalid_client")))
      for (const { id } of accounts) yield* refused(id)
      const [{ id }] = [accounts[0] ?? assert.fail()]
      yield* connections.authConfigs.register(authConfig("scripted"))
      assert.strictEqual((yield* refused(id))._tag, "Unavailable")
      assert.strictEqual(yield* sends, 3)
      yield* connections.authConfigs.register(
        authConfig("scripted", {}, { secrets: { client_secret: Redacted.make("right") } })
      )
      assert.strictEqual((yield* refresh(id))._tag, "Ready")
      assert.strictEqual(yield* sends, 4)
    }).pipe(scenario())
  )
})

describe("a provider that is down", () => {
  it.effect("is left alone when three accounts have met it, and found well again", () =>
    Effect.gen(function* () {
      const provider = yield* ScriptedProvider.ScriptedProvider
      const accounts = yield* Effect.forEach(Array.from({ length: 12 }), () => connected())
      yield* provider.outage(ScriptedProvider.unavailable(), "10 minutes")
      const errors = yield* Effect.forEach(accounts, ({ id }) => refused(id))
      assert.isTrue(errors.every(({ _tag }) => _tag === "Unavailable"))
      assert.strictEqual(yield* sends, 3)
      const last = errors.at(-1) ?? assert.fail()
      assert.deepInclude(last, { slug: "circuit_open", errors: ["http_503"] })
      yield* elapse("10 minutes", "10 seconds")
      // There was no request meanwhile, so the next one is the probe.
      for (const { id } of accounts) assert.strictEqual((yield* refresh(id))._tag, "Ready")
      assert.strictEqual(yield* sends, 3 + accounts.length)
    }).pipe(scenario())
  )

  it.effect("is found well again although the store does not take the probe's new token yet", () => {
    const { options, state } = trouble()
    return Effect.gen(function* () {
      const provider = yield* ScriptedProvider.ScriptedProvider
      const accounts = yield* ConnectedAccounts
      const connections = yield* Effect.forEach([1, 2, 3, 4, 5], () => connected({ expired: true }))
      const [probe, other, ...met] = connections
      if (probe === undefined || other === undefined) return assert.fail()
      yield* provider.outage(ScriptedProvider.unavailable(), "10 seconds")
      for (const { id } of met) yield* refused(id)
      yield* elapse("12 seconds", "1 second")
      state.failures = 20
      const probing = yield* Effect.forkChild(accounts.refresh(probe.id))
      yield* elapse("1 second", "100 millis")
      assert.isUndefined(probing.pollUnsafe())
      assert.isAbove(state.failures, 0)
      const asking = yield* Effect.forkChild(accounts.refresh(other.id))
      yield* elapse("30 seconds", "250 millis")
      assert.strictEqual((yield* join(probing))._tag, "Ready")
      assert.strictEqual((yield* join(asking))._tag, "Ready")
    }).pipe(scenario(options))
  })

  it.effect("is probed less and less often by an account that asks all the time", () =>
    Effect.gen(function* () {
      const provider = yield* ScriptedProvider.ScriptedProvider
      const { id } = yield* connected()
      yield* provider.outage(ScriptedProvider.unavailable(), "1 hour")
      for (let asked = 0; asked < 720; asked++) {
        yield* refused(id)
        yield* elapse("5 seconds", "5 seconds")
      }
      // At 0, 5, 10, 20, 40, 80 and 160 seconds, then every two minutes.
      assert.isAtMost(yield* sends, 7 + Math.ceil(3600 / 120))
      assert.isAtLeast(yield* sends, 15)
      yield* elapse("2 minutes", "10 seconds")
      assert.strictEqual((yield* refresh(id))._tag, "Ready")
    }).pipe(scenario())
  )

  it.effect("is probed less and less often while many accounts ask all the time", () =>
    Effect.gen(function* () {
      const provider = yield* ScriptedProvider.ScriptedProvider
      const accounts = yield* Effect.forEach(Array.from({ length: 40 }), () => connected())
      yield* provider.outage(ScriptedProvider.unavailable(), "1 hour")
      for (let asked = 0; asked < 720; asked++) {
        yield* refused((accounts[asked % accounts.length] ?? assert.fail()).id)
        yield* elapse("5 seconds", "5 seconds")
      }
      // Accounts that met the fault probe too, but only for such accounts.
      assert.isAtMost(yield* sends, 3 + 2 * (6 + Math.ceil(3600 / 160)))
      yield* elapse("160 seconds", "10 seconds")
      for (const { id } of accounts) assert.strictEqual((yield* refresh(id))._tag, "Ready")
    }).pipe(scenario())
  )

  it.effect("for one of five accounts (a 500 that it keeps getting) is so for that account alone", () =>
    Effect.gen(function* () {
      const wire = yield* Wire
      const sick = yield* connected({ expired: true })
      const healthy = yield* Effect.forEach([1, 2, 3, 4], () => connected())
      wire.meets = (token) =>
        Effect.sync(() => (token === sick.refreshToken ? new Response("", { status: 500 }) : undefined))
      for (let round = 0; round < 4; round++) {
        for (let asked = 0; asked < 6; asked++) yield* Effect.exit(refresh(sick.id))
        for (const { id } of healthy) assert.strictEqual((yield* refresh(id))._tag, "Ready")
        yield* elapse("1 minute", "20 seconds")
      }
    }).pipe(scenario())
  )

  it.effect("for three accounts is found up by a healthy one, and stays so while they keep failing", () =>
    Effect.gen(function* () {
      const wire = yield* Wire
      const accounts = yield* Effect.forEach([1, 2, 3, 4, 5, 6], () => connected({ expired: true }))
      const [sick, healthy] = [accounts.slice(0, 3), accounts.slice(3)]
      wire.meets = (token) =>
        Effect.sync(() =>
          sick.some(({ refreshToken }) => refreshToken === token) ? new Response("", { status: 503 }) : undefined
        )
      for (const { id } of sick) yield* refused(id)
      const [probe, ...others] = healthy
      if (probe === undefined) return assert.fail()
      assert.deepInclude(yield* refused(probe.id), { slug: "circuit_open" })
      yield* elapse("6 seconds", "1 second")
      // The accounts with the fault come first, and do not decide for the others.
      for (const { id } of sick) yield* refused(id)
      assert.strictEqual((yield* refresh(probe.id))._tag, "Ready")
      for (let round = 0; round < 10; round++) {
        for (const { id } of sick) yield* refused(id)
        yield* elapse("2 minutes", "30 seconds")
      }
      for (const { id } of others) assert.strictEqual((yield* refresh(id))._tag, "Ready")
    }).pipe(scenario())
  )

  it.effect("does not hold back another auth config", () =>
    Effect.gen(function* () {
      const provider = yield* ScriptedProvider.ScriptedProvider
      const ill = yield* Effect.forEach([1, 2, 3, 4], () => connected())
      const well = yield* connected({ configId: "other" })
      yield* provider.next(answer(503, ""), answer(503, ""), answer(503, ""))
      for (const { id } of ill) yield* refused(id)
      assert.strictEqual(yield* sends, 3)
      assert.strictEqual((yield* refresh(well.id))._tag, "Ready")
    }).pipe(scenario())
  )
})

describe("one sick account beside nine healthy ones", () => {
  const halfDay = 12 * 60 * 60_000

  /** Half a day of the renewer and of people who use the accounts, minute by minute. Returns the minutes without a usable token, by account. */
  const halfADay = Effect.fnUntraced(function* (ids: ReadonlyArray<ConnectedAccountId>) {
    const accounts = yield* ConnectedAccounts
    const without = new Map<ConnectedAccountId, number>(ids.map((id) => [id, 0]))
    yield* Layer.build(Renewer.layer())
    for (let minute = 0; minute < halfDay / 60_000; minute++) {
      // A caller refreshes the account with the fault again and again.
      if (minute % 3 === 0 && ids[0] !== undefined) yield* settle(Effect.exit(accounts.refresh(ids[0])))
      yield* elapse("1 minute", "1 minute")
      const now = yield* Clock.currentTimeMillis
      for (const id of ids) if (!isUsable(yield* stored(id), now)) without.set(id, (without.get(id) ?? 0) + 1)
    }
    return without
  })

  it.effect(
    "that is refused as a client, then meets a 500, then a 503, for half a day, costs none of them a minute",
    () =>
      Effect.gen(function* () {
        const wire = yield* Wire
        const [sick, ...healthy] = yield* Effect.forEach(Array.from({ length: 10 }), () => connected())
        if (sick === undefined) return assert.fail()
        const answers = [
          // Entra, where the application is disabled in one tenant.
          () => Response.json({ error: "unauthorized_client" }, { status: 400 }),
          () => new Response("", { status: 500 }),
          () => new Response("", { status: 503 })
        ]
        wire.meets = (token) =>
          token === sick.refreshToken
            ? Effect.map(Clock.currentTimeMillis, (now) => answers[Math.floor((3 * (now - beginning)) / halfDay)]?.())
            : Effect.undefined
        const without = yield* halfADay([sick.id, ...healthy.map(({ id }) => id)])
        assert.isAbove(without.get(sick.id) ?? 0, 0)
        for (const { id } of healthy) assert.strictEqual(without.get(id), 0)
      }).pipe(Effect.scoped, scenario())
  )

  it.effect("that has a key file for another server, or one that is no key, costs none of them a minute", () =>
    Effect.gen(function* () {
      const connections = yield* Connections
      yield* connections.authConfigs.register(
        authConfig(
          "robots",
          {},
          {
            scheme: "GOOGLE_SERVICE_ACCOUNT",
            settings: { scopes: ["mail"] },
            secrets: {}
          }
        )
      )
      const robots = yield* Effect.forEach(
        [
          "no key at all",
          JSON.stringify({ client_email: "a", private_key: "b", token_uri: "https://evil.test/" }),
          "{}"
        ],
        (file) =>
          connections.create({
            authConfigId: "robots",
            userId: "robot",
            secrets: { service_account_json: Redacted.make(file) }
          })
      )
      for (const { id } of robots) {
        const error = yield* refused(id)
        assert.deepInclude(error, { _tag: "RefreshFailed", slug: "refresh_impossible" })
      }
      assert.lengthOf((yield* Wire).sent, 0)
    }).pipe(scenario())
  )
})
