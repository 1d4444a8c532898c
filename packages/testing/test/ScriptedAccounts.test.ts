import { assert, describe, it } from "@effect/vitest"
import {
  ConnectedAccountId,
  ConnectedAccounts,
  type KnownStatus,
  type RefreshOptions,
  RefreshFailed,
  Unavailable
} from "@rekindle/core"
import {
  account,
  byContract,
  exhausted,
  layer,
  notReady,
  reading,
  ready,
  redirectRequired,
  ScriptedAccounts
} from "@rekindle/testing/ScriptedAccounts"
import { Cause, DateTime, Effect, Exit, Fiber } from "effect"
import { TestClock } from "effect/testing"

const id = ConnectedAccountId.make("ca_4CkFF_cKATwg")
const other = ConnectedAccountId.make("con_1a2b3c4d5e6f")

const refresh = (id: ConnectedAccountId, options?: RefreshOptions) =>
  Effect.flatMap(ConnectedAccounts, (accounts) => accounts.refresh(id, options))
const get = (id: ConnectedAccountId) => Effect.flatMap(ConnectedAccounts, (accounts) => accounts.get(id))

describe("answers", () => {
  it.effect("are taken one per call, and the last one repeats", () =>
    Effect.gen(function* () {
      assert.strictEqual((yield* Effect.flip(refresh(id)))._tag, "Unavailable")
      assert.strictEqual((yield* refresh(id))._tag, "RedirectRequired")
      assert.strictEqual((yield* refresh(id))._tag, "Ready")
      assert.strictEqual((yield* refresh(id))._tag, "Ready")
    }).pipe(
      Effect.provide(
        layer([account({ id, answers: [new Unavailable({ message: "busy" }), redirectRequired(), ready] })])
      )
    )
  )

  it.effect("are each account's own", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual({ ...(yield* refresh(other)) }, { _tag: "NotReady", id: other, status: "FAILED" })
      assert.deepStrictEqual({ ...(yield* refresh(id)) }, { _tag: "Ready", id })
    }).pipe(
      Effect.provide(layer([account({ id, answers: [ready] }), account({ id: other, answers: [notReady("FAILED")] })]))
    )
  )

  it.effect("may be effects, or functions of what was asked", () =>
    Effect.gen(function* () {
      const slow = yield* Effect.forkChild(refresh(id))
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual((yield* Fiber.join(slow))._tag, "Ready")
      const error = yield* Effect.flip(refresh(id, { validateCredentials: true }))
      assert.strictEqual(error.message, "call 2 of ACTIVE, validate true")
    }).pipe(
      Effect.provide(
        layer([
          account({
            id,
            answers: [
              (asked) => Effect.delay(Effect.succeed(ready(asked)), "5 seconds"),
              ({ account, count, options }) =>
                new RefreshFailed({
                  message: `call ${count} of ${account.status}, validate ${options?.validateCredentials}`
                })
            ]
          })
        ])
      )
    )
  )

  it.effect("that end in exhausted make a further call a defect that names the account and the call", () =>
    Effect.gen(function* () {
      yield* refresh(id)
      const exit = yield* Effect.exit(refresh(id))
      assert.isTrue(Exit.isFailure(exit) && Cause.hasDies(exit.cause))
      assert.include(Exit.isFailure(exit) ? Cause.pretty(exit.cause) : "", `script of ${id} has no answer for call 2`)
    }).pipe(Effect.provide(layer([account({ id, answers: [ready, exhausted] })])))
  )

  it.effect("pushed later come after the given ones, even after those have begun to repeat", () =>
    Effect.gen(function* () {
      const script = yield* ScriptedAccounts
      yield* refresh(id)
      yield* refresh(id)
      yield* script.push(id, notReady("EXPIRED"), ready)
      assert.strictEqual((yield* refresh(id))._tag, "NotReady")
      assert.strictEqual((yield* refresh(id))._tag, "Ready")
    }).pipe(Effect.provide(layer([account({ id, answers: [ready] })])))
  )

  it.effect("pushed for an account that is not there are a mistake in the test", () =>
    Effect.gen(function* () {
      const exit = yield* Effect.exit((yield* ScriptedAccounts).push("ca_nobody-here", ready))
      assert.isTrue(Exit.isFailure(exit) && Cause.hasDies(exit.cause))
    }).pipe(Effect.provide(layer()))
  )
})

describe("an account without answers", () => {
  const cases: ReadonlyArray<readonly [KnownStatus, string]> = [
    ["ACTIVE", "Ready"],
    ["INITIALIZING", "RedirectRequired"],
    ["INITIATED", "RedirectRequired"],
    ["FAILED", "RedirectRequired"],
    ["EXPIRED", "RedirectRequired"],
    ["INACTIVE", "InvalidRequest"],
    ["REVOKED", "InvalidRequest"]
  ]
  it.effect.each(cases)("%s is %s by the contract", ([status, tag]) =>
    Effect.gen(function* () {
      const answer = yield* Effect.match(refresh(id), { onFailure: (e) => e._tag, onSuccess: (o) => o._tag })
      assert.strictEqual(answer, tag)
    }).pipe(Effect.provide(layer([account({ id, status })])))
  )

  it.effect("and without a scheme to refresh is unsupported", () =>
    Effect.gen(function* () {
      assert.strictEqual((yield* Effect.flip(refresh(id)))._tag, "RefreshUnsupported")
    }).pipe(Effect.provide(layer([account({ id, authScheme: "NO_AUTH" })])))
  )

  it.effect("and with a dead credential for which there is no consent is not ready, and offers no link", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual({ ...(yield* refresh(id)) }, { _tag: "NotReady", id, status: "EXPIRED" })
    }).pipe(Effect.provide(layer([account({ id, authScheme: "API_KEY", status: "EXPIRED" })])))
  )

  it.effect("can be mixed with scripted ones through byContract", () =>
    Effect.gen(function* () {
      yield* Effect.flip(refresh(id))
      assert.strictEqual((yield* refresh(id))._tag, "Ready")
    }).pipe(Effect.provide(layer([account({ id, answers: [new RefreshFailed({ message: "once" }), byContract] })])))
  )
})

describe("the record", () => {
  it.effect("follows the outcomes, and an error changes nothing", () =>
    Effect.gen(function* () {
      const before = yield* get(id)
      assert.strictEqual(before.status, "EXPIRED")
      yield* Effect.flip(refresh(id))
      assert.deepStrictEqual(yield* get(id), before)
      yield* TestClock.adjust("1 minute")
      yield* refresh(id)
      const pending = yield* get(id)
      assert.strictEqual(pending.status, "INITIATED")
      assert.strictEqual(pending.statusReason, null)
      yield* TestClock.adjust("1 minute")
      yield* refresh(id)
      const active = yield* get(id)
      assert.strictEqual(active.status, "ACTIVE")
      assert.strictEqual(DateTime.toEpochMillis(active.updatedAt), 120_000)
      yield* refresh(id)
      assert.strictEqual((yield* get(id)).status, "ACTIVE", "consent pending on an ACTIVE account leaves it ACTIVE")
    }).pipe(
      Effect.provide(
        layer([
          account({
            id,
            status: "EXPIRED",
            statusReason: "grant revoked",
            answers: [new RefreshFailed({ message: "no" }), redirectRequired(), ready, redirectRequired()]
          })
        ])
      )
    )
  )

  it.effect("moves with the first renewal even at the test clock's zero", () =>
    Effect.gen(function* () {
      const before = yield* get(id)
      yield* refresh(id)
      const after = yield* get(id)
      assert.isTrue(DateTime.isGreaterThan(after.updatedAt, before.updatedAt))
    }).pipe(Effect.provide(layer([account({ id })])))
  )

  it.effect("says that it is disabled while it is INACTIVE, and then only", () =>
    Effect.gen(function* () {
      const script = yield* ScriptedAccounts
      assert.isTrue((yield* get(id)).isDisabled)
      yield* script.setStatus(id, "ACTIVE")
      assert.isFalse((yield* get(id)).isDisabled)
      yield* script.setStatus(id, "INACTIVE")
      assert.isTrue((yield* get(id)).isDisabled)
      yield* refresh(id)
      assert.isFalse((yield* get(id)).isDisabled)
      assert.isTrue((yield* get(other)).isDisabled)
      assert.isFalse((yield* get(other)).isDisabled)
    }).pipe(
      Effect.provide(
        layer([
          account({ id, status: "INACTIVE", answers: [ready] }),
          account({ id: other, reads: [reading("INACTIVE"), reading("ACTIVE")] })
        ])
      )
    )
  )

  it.effect("can be read under scripted statuses, for polls", () =>
    Effect.gen(function* () {
      const read = []
      for (let poll = 0; poll < 4; poll++) {
        read.push(yield* Effect.match(get(id), { onFailure: (e) => e._tag, onSuccess: (a) => a.status }))
      }
      assert.deepStrictEqual(read, ["INITIATED", "Unavailable", "ACTIVE", "ACTIVE"])
    }).pipe(
      Effect.provide(
        layer([account({ id, reads: [reading("INITIATED"), new Unavailable({ message: "busy" }), reading("ACTIVE")] })])
      )
    )
  )

  it.effect("can be moved by hand, as when a user consents", () =>
    Effect.gen(function* () {
      const script = yield* ScriptedAccounts
      yield* script.setStatus(id, "EXPIRED", "link lapsed")
      assert.strictEqual((yield* get(id)).statusReason, "link lapsed")
      yield* script.put(account({ id: other, status: "REVOKED" }))
      assert.strictEqual((yield* get(other)).status, "REVOKED")
    }).pipe(Effect.provide(layer([account({ id })])))
  )
})

describe("calls", () => {
  it.effect("are recorded with id, options, time and exit, in the order they came", () =>
    Effect.gen(function* () {
      const script = yield* ScriptedAccounts
      yield* refresh(id, { redirectUrl: "https://app.test" })
      yield* TestClock.adjust("3 seconds")
      yield* get(other)
      const [first, second, ...rest] = yield* script.calls
      assert.deepStrictEqual(rest, [])
      assert.deepInclude(first, { operation: "refresh", id, options: { redirectUrl: "https://app.test" } })
      assert.isTrue(first?.exit !== undefined && Exit.isSuccess(first.exit))
      assert.deepInclude(second, { operation: "get", id: other, at: DateTime.makeUnsafe(3000) })
      assert.deepStrictEqual(yield* script.callsFor(other), (yield* script.calls).slice(1))
    }).pipe(Effect.provide(layer([account({ id }), account({ id: other })])))
  )

  it.effect("have no exit while in flight, and an interrupted one says so", () =>
    Effect.gen(function* () {
      const script = yield* ScriptedAccounts
      const fiber = yield* Effect.forkChild(refresh(id), { startImmediately: true })
      const [inFlight] = yield* script.calls
      assert.deepInclude(inFlight, { operation: "refresh", exit: undefined })
      yield* Fiber.interrupt(fiber)
      const [left] = yield* script.calls
      assert.isTrue(left?.exit !== undefined && Exit.hasInterrupts(left.exit))
      assert.isUndefined(inFlight?.exit, "what was read stays as it was read")
    }).pipe(Effect.provide(layer([account({ id, answers: [Effect.never] })])))
  )

  it.effect("of unknown and malformed ids fail as the contract says, and are recorded too", () =>
    Effect.gen(function* () {
      const cast = ConnectedAccountId.make("not an id", { disableChecks: true })
      assert.strictEqual((yield* Effect.flip(refresh(other)))._tag, "AccountNotFound")
      assert.strictEqual((yield* Effect.flip(get(other)))._tag, "AccountNotFound")
      assert.strictEqual((yield* Effect.flip(refresh(cast)))._tag, "InvalidRequest")
      assert.strictEqual((yield* Effect.flip(get(cast)))._tag, "InvalidRequest")
      assert.lengthOf(yield* (yield* ScriptedAccounts).calls, 4)
    }).pipe(Effect.provide(layer([account({ id })])))
  )

  it.effect("are forgotten by reset, with every change to the story", () =>
    Effect.gen(function* () {
      const script = yield* ScriptedAccounts
      yield* script.put(account({ id: other }))
      yield* script.push(id, ready)
      yield* refresh(id)
      yield* script.reset
      assert.deepStrictEqual(yield* script.calls, [])
      assert.strictEqual((yield* get(id)).status, "FAILED")
      assert.strictEqual((yield* refresh(id))._tag, "RedirectRequired")
      assert.strictEqual((yield* Effect.flip(get(other)))._tag, "AccountNotFound")
    }).pipe(Effect.provide(layer([account({ id, status: "FAILED" })])))
  )
})

describe("account", () => {
  it("refuses a malformed id at once", () => {
    assert.throws(() => account({ id: "gmail" }))
  })
})
