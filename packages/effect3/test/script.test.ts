import { assert, describe, it } from "@effect/vitest"
import {
  AccountNotFound,
  ConnectedAccountId,
  ConnectedAccounts,
  Connections,
  type Disposition,
  RefreshFailed,
  TransportError,
  Unavailable,
  withRefresh
} from "@rekindle/effect3"
import { ScriptedAccounts, ScriptedConnections } from "@rekindle/effect3/Testing"
import { Cause, Chunk, Duration, Effect, Exit, Fiber, Redacted, Stream } from "effect"

const id = ConnectedAccountId.make("ca_4CkFF_cKATwg")
const refresh = Effect.flatMap(ConnectedAccounts, (accounts) => accounts.refresh(id))

const answering = (...answers: ReadonlyArray<ScriptedAccounts.ScriptedRefresh>) =>
  Effect.provide(
    ScriptedAccounts.layer([ScriptedAccounts.account({ id, answers: [...answers, ScriptedAccounts.exhausted] })])
  )

describe("the script", () => {
  it.effect("answers with each outcome", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* refresh, { _tag: "Ready", id })
      const redirectUrl = "https://consent.test/ca_4CkFF_cKATwg"
      assert.deepStrictEqual(yield* refresh, { _tag: "RedirectRequired", id, redirectUrl, status: "ACTIVE" })
      assert.deepStrictEqual(yield* refresh, { _tag: "NotReady", id, status: "SOMETHING_NEW" })
    }).pipe(
      answering(ScriptedAccounts.ready, ScriptedAccounts.redirectRequired(), ScriptedAccounts.notReady("SOMETHING_NEW"))
    )
  )

  it.effect("fails with errors that catchTag and instanceof know", () =>
    Effect.gen(function* () {
      const waited = yield* Effect.catchTag(refresh, "Unavailable", ({ retryAfter }) => Effect.succeed(retryAfter))
      assert.deepStrictEqual(waited, Duration.seconds(7))
      const failed = yield* Effect.flip(refresh)
      assert.instanceOf(failed, RefreshFailed)
      assert.strictEqual(failed.disposition satisfies Disposition, "ambiguous")
    }).pipe(
      answering(
        new Unavailable({ message: "busy", retryAfter: Duration.seconds(7) }),
        new RefreshFailed({ message: "?" })
      )
    )
  )

  it.effect("knows no other account", () =>
    Effect.gen(function* () {
      const accounts = yield* ConnectedAccounts
      const error = yield* Effect.flip(accounts.get(ConnectedAccountId.make("ca_another1")))
      assert.instanceOf(error, AccountNotFound)
      assert.strictEqual(error.slug, "connected_account_not_found")
    }).pipe(answering())
  )

  it.effect("interrupts its answer with the call, and says so in the record", () =>
    Effect.gen(function* () {
      let interrupted = false
      const script = yield* ScriptedAccounts.ScriptedAccounts
      yield* script.push(
        id,
        Effect.onInterrupt(Effect.never, () => Effect.sync(() => (interrupted = true)))
      )
      const call = yield* Effect.fork(refresh)
      yield* Effect.yieldNow()
      yield* Fiber.interrupt(call)
      assert.isTrue(interrupted)
      const [record] = yield* script.calls
      assert.isTrue(record?.exit !== undefined && Exit.isInterrupted(record.exit))
    }).pipe(Effect.provide(ScriptedAccounts.layer([ScriptedAccounts.account({ id })])))
  )

  it.effect("makes a call without an answer a defect", () =>
    Effect.gen(function* () {
      const message = yield* Effect.catchAllCause(refresh, (cause) => Effect.succeed(Cause.pretty(cause)))
      assert.match(String(message), /has no answer for call 1/)
    }).pipe(answering())
  )

  it("says whether an error may be sent again", () => {
    assert.strictEqual(new TransportError({ message: "", reason: "connect" }).disposition, "not-sent")
    assert.strictEqual(new TransportError({ message: "", reason: "reset" }).disposition, "ambiguous")
    assert.strictEqual(new RefreshFailed({ message: "", slug: "refresh_refused" }).disposition, "rejected")
  })
})

describe("the script of connections", () => {
  const script = ScriptedConnections.layer({ accounts: [ScriptedAccounts.account({ id, status: "EXPIRED" })] })

  it.effect("hands out a token once the person has consented", () =>
    Effect.gen(function* () {
      const connections = yield* Connections
      const token = withRefresh(id, connections.accessToken(id))
      assert.strictEqual((yield* Effect.flip(token))._tag, "ConsentRequired")
      yield* (yield* ScriptedConnections.ScriptedConnections).consentTo(id)
      assert.strictEqual(Redacted.value(yield* token), `token-1-of-${id}`)
      const events = yield* Stream.runCollect(connections.events({ follow: false }))
      assert.include(Chunk.toReadonlyArray(Chunk.map(events, ({ type }) => type)), "consent_completed")
    }).pipe(Effect.provide(script))
  )

  it.effect("hands out the credential of a test, and fails when it is told to", () =>
    Effect.gen(function* () {
      const connections = yield* Connections
      const controls = yield* ScriptedConnections.ScriptedConnections
      yield* controls.consentTo(id)
      const password = Redacted.make("hunter2")
      yield* controls.setCredential(id, { _tag: "Basic", username: "ada", password })
      const credential = yield* connections.credential(id)
      assert.isTrue(credential._tag === "Basic" && Redacted.value(credential.password) === "hunter2")
      yield* controls.failNext("credential", new Unavailable({ message: "busy", retryAfter: Duration.seconds(3) }))
      const failed = yield* Effect.flip(connections.credential(id))
      assert.deepInclude(failed, { _tag: "Unavailable", retryAfter: Duration.seconds(3) })
      assert.deepStrictEqual(yield* controls.operations, ["credential", "credential"])
    }).pipe(Effect.provide(script))
  )
})
