/** What stops attempts: terminal verdicts, faults of the application, and a provider that is down. */
import { assert, describe, it } from "@effect/vitest"
import type { RefreshError } from "@rekindle/core"
import { Connections } from "@rekindle/engine"
import { ScriptedProvider } from "@rekindle/testing"
import { Duration, Effect, Redacted } from "effect"
import {
  authConfig,
  connected,
  elapse,
  events,
  refresh,
  refused,
  scenario,
  stored,
  Wire
} from "../support/ScriptedEngine.ts"

const sends = Effect.map(Wire, ({ sent }) => sent.length)

const answer = (status: number, error: string): ScriptedProvider.Mishap => ({
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
      const { id, refreshToken } = yield* connected()
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
  it.effect("stops the whole auth config at once, and no other", () =>
    Effect.gen(function* () {
      const provider = yield* ScriptedProvider.ScriptedProvider
      const [one, two] = [yield* connected({ configId: "ill" }), yield* connected({ configId: "ill" })]
      const other = yield* connected({ configId: "well" })
      yield* provider.next(answer(401, "invalid_client"))
      const first = yield* refused(one.id)
      assert.strictEqual(first._tag, "RefreshFailed")
      assert.deepStrictEqual("errors" in first ? first.errors : [], ["invalid_client"])
      const second = yield* refused(two.id)
      assert.strictEqual(second._tag, "Unavailable")
      assert.isAbove(retryAfterOf(second), 0)
      assert.strictEqual(yield* sends, 1)
      assert.strictEqual((yield* refresh(other.id))._tag, "Ready")
      for (const { id } of [one, two]) {
        const account = yield* stored(id)
        assert.deepInclude(account, { status: "ACTIVE", statusReason: null, lease: null, intent: null })
      }
    }).pipe(scenario())
  )

  it.effect("is tried again after a minute, by one, and then by all if it is mended", () =>
    Effect.gen(function* () {
      const provider = yield* ScriptedProvider.ScriptedProvider
      const [one, two] = [yield* connected(), yield* connected()]
      yield* provider.next(answer(400, "unauthorized_client"), answer(400, "unauthorized_client"))
      yield* refused(one.id)
      yield* elapse("59 seconds", "10 seconds")
      yield* refused(one.id)
      assert.strictEqual(yield* sends, 1)
      yield* elapse("2 seconds")
      assert.strictEqual((yield* refused(one.id))._tag, "RefreshFailed")
      assert.strictEqual((yield* refused(two.id))._tag, "Unavailable")
      assert.strictEqual(yield* sends, 2)
      yield* elapse("61 seconds", "10 seconds")
      assert.strictEqual((yield* refresh(two.id))._tag, "Ready")
      assert.strictEqual((yield* refresh(one.id))._tag, "Ready")
    }).pipe(scenario())
  )
})

describe("a fault of the application that is mended", () => {
  it.effect("is over at once: a changed auth config is tried, an equal one is not", () =>
    Effect.gen(function* () {
      const provider = yield* ScriptedProvider.ScriptedProvider
      const connections = yield* Connections
      const { id } = yield* connected()
      yield* provider.next(answer(401, "invalid_client"))
      yield* refused(id)
      yield* connections.register(authConfig("scripted"))
      assert.strictEqual((yield* refused(id))._tag, "Unavailable")
      assert.strictEqual(yield* sends, 1)
      yield* connections.register(authConfig("scripted", {}, { secrets: { client_secret: Redacted.make("right") } }))
      assert.strictEqual((yield* refresh(id))._tag, "Ready")
      assert.strictEqual(yield* sends, 2)
    }).pipe(scenario())
  )
})

describe("a provider that is down", () => {
  it.effect("is left alone after five failures, whichever accounts met them, and found well again", () =>
    Effect.gen(function* () {
      const provider = yield* ScriptedProvider.ScriptedProvider
      const accounts = yield* Effect.forEach(Array.from({ length: 12 }), () => connected())
      yield* provider.outage(ScriptedProvider.unavailable(), "10 minutes")
      const errors = yield* Effect.forEach(accounts, ({ id }) => refused(id))
      assert.isTrue(errors.every(({ _tag }) => _tag === "Unavailable"))
      assert.strictEqual(yield* sends, 5)
      yield* elapse("10 minutes", "10 seconds")
      // Nobody asked meanwhile, so the first to ask is the probe.
      for (const { id } of accounts) assert.strictEqual((yield* refresh(id))._tag, "Ready")
      assert.strictEqual(yield* sends, 5 + accounts.length)
    }).pipe(scenario())
  )

  it.effect("is probed less and less often while somebody asks all the time", () =>
    Effect.gen(function* () {
      const provider = yield* ScriptedProvider.ScriptedProvider
      const { id } = yield* connected()
      yield* provider.outage(ScriptedProvider.unavailable(), "1 hour")
      for (let asked = 0; asked < 720; asked++) {
        yield* refused(id)
        yield* elapse("5 seconds", "5 seconds")
      }
      // Five to open it; then pauses of 5, 10, 20, 40, 80 and 160 seconds, which is where they stop growing.
      assert.isAtMost(yield* sends, 5 + 5 + Math.ceil(3600 / 160))
      assert.isAtLeast(yield* sends, 15)
      yield* elapse("161 seconds", "10 seconds")
      assert.strictEqual((yield* refresh(id))._tag, "Ready")
    }).pipe(scenario())
  )

  it.effect("does not hold back another provider", () =>
    Effect.gen(function* () {
      const provider = yield* ScriptedProvider.ScriptedProvider
      const ill = yield* connected()
      const well = yield* connected({ configId: "other", profile: { name: "another provider" } })
      for (let asked = 0; asked < 5; asked++) {
        yield* provider.next(answer(503, ""))
        yield* refused(ill.id)
      }
      assert.strictEqual((yield* refused(ill.id))._tag, "Unavailable")
      assert.strictEqual(yield* sends, 5)
      assert.strictEqual((yield* refresh(well.id))._tag, "Ready")
    }).pipe(scenario())
  )
})
