/**
 * A state is used once, and its result is stored. A repeated visit gets the same result, the code is sent once, and another browser learns
 * and changes nothing.
 */
import { assert, describe, it } from "@effect/vitest"
import { type ConnectedAccountId, Connections } from "@rekindle/core"
import { AccountStore, Consent, ConsentError, CredentialVault, StoreError } from "@rekindle/engine"
import { ScriptedProvider } from "@rekindle/testing"
import { type Context, Deferred, Effect, Exit, Fiber, Metric, Option } from "effect"
import { TestClock } from "effect/testing"
import { createHash } from "node:crypto"
import { join as path } from "node:path"
import { callback, complete, consents, fresh, link, statusOf } from "../support/ScriptedConsent.ts"
import {
  beginning,
  collectingTracer,
  elapse,
  join,
  type Options,
  rest,
  scenario,
  secretsOf,
  type Services,
  settle,
  start,
  stored,
  summary,
  Wire
} from "../support/ScriptedEngine.ts"
import { temporary } from "../support/StoreTrouble.ts"

type Run = <A, E>(effect: Effect.Effect<A, E, Services>) => Effect.Effect<A, E>

const sends = Effect.map(Wire, ({ sent }) => sent.length)

const authorized = Effect.flatMap(ScriptedProvider.ScriptedProvider, ({ authorize }) => authorize)

/** The reason of a refused callback. */
const refusal = (error: { readonly _tag: string }) => (error instanceof ConsentError ? error.reason : error._tag)

describe("a state that was used", () => {
  it.effect("says again that the account is connected, and its code goes out once", () =>
    Effect.gen(function* () {
      const id = yield* fresh
      const url = yield* link(id, { redirectUrl: "https://app.test/done" })
      const first = yield* consents(url)
      assert.strictEqual(first.status, "ACTIVE")
      const sent = yield* sends
      // A reload, a double click, and an attacker who has the state and another code.
      const code = yield* authorized
      for (const parameters of [{ code: "the same" }, { code }, { error: "access_denied" }, {}])
        assert.deepStrictEqual(yield* complete(callback(url, parameters)), first)
      assert.strictEqual(yield* sends, sent)
      assert.deepInclude(summary(yield* stored(id)), { status: "ACTIVE", generation: 1 })
    }).pipe(scenario())
  )

  it.effect("says the same to two who come at the same time", () =>
    Effect.gen(function* () {
      const consent = yield* Consent
      const id = yield* fresh
      const parameters = callback(yield* link(id), { code: yield* authorized })
      const sent = yield* sends
      const both = Effect.all(
        [1, 2, 3].map(() => consent.complete(parameters)),
        { concurrency: "unbounded" }
      )
      const [one, ...others] = yield* settle(both)
      assert.deepInclude(one, { status: "ACTIVE", failure: undefined })
      for (const other of others) assert.deepStrictEqual(other, one)
      assert.strictEqual(yield* sends, sent + 1)
      assert.strictEqual((yield* stored(id)).generation, 1)
    }).pipe(scenario())
  )

  for (const [name, parameters, failure] of [
    ["the person said no", { error: "access_denied" }, "denied"],
    ["the provider refused the code", { code: "made up" }, "refused"],
    ["the code was missing", {}, "refused"]
  ] as const) {
    it.effect(`says again that ${name}`, () =>
      Effect.gen(function* () {
        const id = yield* fresh
        const url = yield* link(id)
        const first = yield* complete(callback(url, parameters))
        assert.deepStrictEqual([first.status, first.failure?.reason], ["FAILED", failure])
        const sent = yield* sends
        assert.deepStrictEqual(yield* consents(url), first)
        assert.strictEqual(yield* sends, sent)
        assert.strictEqual(yield* statusOf(id), "FAILED")
      }).pipe(scenario())
    )
  }

  it.effect("is remembered past the end of its link, for a day", () =>
    Effect.gen(function* () {
      const id = yield* fresh
      const url = yield* link(id)
      yield* consents(url)
      yield* elapse("23 hours", "1 hour")
      assert.strictEqual((yield* consents(url)).failure, undefined)
      yield* elapse("1 hour", "1 hour")
      assert.strictEqual(refusal(yield* Effect.flip(consents(url))), "unknown-state")
    }).pipe(scenario())
  )

  it.effect("says nothing any more once the account is revoked", () =>
    Effect.gen(function* () {
      const id = yield* fresh
      const url = yield* link(id)
      yield* consents(url)
      yield* settle((yield* Connections).revoke(id))
      assert.strictEqual(refusal(yield* Effect.flip(consents(url))), "unknown-state")
    }).pipe(scenario())
  )

  it.effect("does not count among the links that are open", () =>
    Effect.gen(function* () {
      const id = yield* fresh
      const open = yield* link(id)
      for (let used = 0; used < 6; used++) {
        yield* elapse("1 second")
        yield* complete(callback(yield* link(id), { error: "access_denied" }))
      }
      assert.strictEqual((yield* consents(open)).status, "ACTIVE")
    }).pipe(scenario())
  )

  it.effect("makes a visit wait while its code is exchanged, and the visit can leave", () =>
    Effect.gen(function* () {
      const consent = yield* Consent
      const wire = yield* Wire
      const id = yield* fresh
      const parameters = callback(yield* link(id), { code: yield* authorized })
      const answered = yield* Deferred.make<void>()
      wire.meets = () => Effect.as(Deferred.await(answered), undefined)
      const visit = Effect.forkChild(consent.complete(parameters))
      const first = yield* visit
      yield* rest
      // The callback's route makes every visit uninterruptible as a whole.
      const leaver = yield* Effect.forkChild(Effect.uninterruptible(consent.complete(parameters)))
      const second = yield* visit
      yield* elapse("2 seconds", "100 millis")
      assert.deepStrictEqual([first.pollUnsafe(), second.pollUnsafe()], [undefined, undefined])
      yield* Fiber.interrupt(leaver)
      yield* Deferred.succeed(answered, undefined)
      const results = [yield* join(first), yield* join(second)]
      assert.deepStrictEqual(results[1], results[0])
      assert.strictEqual(results[0]?.status, "ACTIVE")
      assert.lengthOf(wire.sent, 1)
    }).pipe(scenario())
  )
})

describe("a state that is used in one process", () => {
  /** Two engines on one database, each with a store whose later writes can be cut off. */
  const processes = <E>(
    body: (
      run: readonly [Run, Run],
      cut: { ends: boolean }
    ) => Effect.Effect<void, E, ScriptedProvider.ScriptedProvider>
  ) =>
    Effect.gen(function* () {
      yield* TestClock.setTime(beginning)
      const filename = path(yield* temporary, "accounts.db")
      const sharedProvider = yield* ScriptedProvider.make()
      const cut = { ends: false }
      const over = yield* Deferred.make<never, StoreError>()
      const dying: Options = {
        store: (store) => ({
          ...store,
          // The first write of an attempt takes it. The second stores its result.
          writeAttempt: (change) =>
            cut.ends && change.from.takenAt !== null ? Deferred.await(over) : store.writeAttempt(change)
        })
      }
      const one = yield* start({ filename, sharedProvider, ...dying })
      const other = yield* start({ filename, sharedProvider })
      const runIn =
        (context: Context.Context<Services>): Run =>
        (effect) =>
          Effect.provideContext(effect, context)
      yield* Effect.provideService(
        body([runIn(one.context), runIn(other.context)], cut),
        ScriptedProvider.ScriptedProvider,
        sharedProvider
      )
      yield* Deferred.fail(over, new StoreError({ message: "it is gone" }))
      for (const { stop } of [other, one]) yield* settle(stop, "1 second")
    }).pipe(Effect.scoped)

  const visit = (parameters: URLSearchParams) => Effect.flatMap(Consent, (consent) => consent.complete(parameters))

  it.effect("is used in no other: a visit there waits and is told the same", () =>
    processes(([one, other]) =>
      Effect.gen(function* () {
        const parameters = callback(yield* one(Effect.flatMap(fresh, (id) => link(id))), { code: yield* authorized })
        const [wire, elsewhere] = [yield* one(Wire), yield* other(Wire)]
        wire.meets = () => Effect.as(Effect.sleep("2 seconds"), undefined)
        const first = yield* Effect.forkChild(one(visit(parameters)))
        yield* rest
        const second = yield* Effect.forkChild(other(visit(parameters)))
        const results = [yield* join(first), yield* join(second)]
        assert.strictEqual(results[0]?.status, "ACTIVE")
        assert.deepStrictEqual(results[1], results[0])
        assert.deepStrictEqual([wire.sent.length, elsewhere.sent.length], [1, 0])
      })
    )
  )

  it.effect("that died with its answer committed is known to be connected", () =>
    processes(([one, other], cut) =>
      Effect.gen(function* () {
        const id = yield* one(fresh)
        const parameters = callback(yield* one(link(id)), { code: yield* authorized })
        cut.ends = true
        const dead = yield* Effect.forkChild(one(visit(parameters)))
        yield* elapse("1 second", "100 millis")
        assert.isUndefined(dead.pollUnsafe())
        const result = yield* other(visit(parameters))
        assert.deepInclude(result, { accountId: id, status: "ACTIVE", failure: undefined })
      })
    )
  )

  it.effect("that died before it had an answer is reported as it is after a while, and no code is sent", () =>
    processes(([one, other], cut) =>
      Effect.gen(function* () {
        const parameters = callback(yield* one(Effect.flatMap(fresh, (id) => link(id))), { code: yield* authorized })
        cut.ends = true
        const wire = yield* one(Wire)
        wire.meets = () => Effect.never
        yield* Effect.forkChild(one(visit(parameters)))
        yield* rest
        const result = yield* settle(other(visit(parameters)))
        assert.deepStrictEqual([result.status, result.failure?.reason], ["INITIATED", "unavailable"])
        assert.lengthOf((yield* other(Wire)).sent, 0)
      })
    )
  )
})

describe("an answer to a code that comes after its time", () => {
  const late = Effect.gen(function* () {
    const provider = yield* ScriptedProvider.ScriptedProvider
    const id = yield* fresh
    const url = yield* link(id)
    yield* provider.next({ _tag: "LateAnswer", delay: "20 seconds" })
    const first = yield* consents(url)
    assert.deepStrictEqual([first.status, first.failure?.reason], ["INITIATED", "unavailable"])
    return { id, url }
  })

  it.effect("connects the account all the same, and the page says so when it is loaded again", () =>
    Effect.gen(function* () {
      const { id, url } = yield* late
      yield* elapse("20 seconds", "1 second")
      assert.deepInclude(summary(yield* stored(id)), { status: "ACTIVE", generation: 1 })
      assert.deepInclude(yield* consents(url), { status: "ACTIVE", failure: undefined })
    }).pipe(scenario())
  )

  it.effect("does not replace a consent that was given meanwhile", () =>
    Effect.gen(function* () {
      const { id } = yield* late
      assert.strictEqual((yield* consents(yield* link(id))).status, "ACTIVE")
      const given = yield* secretsOf(id)
      yield* elapse("20 seconds", "1 second")
      assert.deepStrictEqual(yield* secretsOf(id), given)
    }).pipe(scenario())
  )
})

describe("a link that is bound to a browser", () => {
  const redirectUrl = "https://app.test/done"
  const linkFor = (id: ConnectedAccountId, session: string) =>
    Effect.flatMap(Connections, (connections) =>
      Effect.map(settle(connections.link(id, { session, redirectUrl })), ({ url }) => new URL(url))
    )
  const completeAs = (parameters: URLSearchParams, session?: string) =>
    Effect.flatMap(Consent, (consent) => settle(consent.complete(parameters, session)))

  it.effect("is not used up by another browser, which learns nothing of it, before and after", () =>
    Effect.gen(function* () {
      const id = yield* fresh
      const url = yield* linkFor(id, "the person's own")
      const stranger = Effect.gen(function* () {
        const sent = yield* sends
        const nothing = yield* Effect.flip(complete(new URLSearchParams({ state: "made up", code: "c" })))
        for (const session of [undefined, "", "another"]) {
          const parameters = callback(url, { code: yield* authorized })
          const error = yield* Effect.flip(completeAs(parameters, session))
          assert.deepStrictEqual([refusal(error), error.message], ["unknown-state", nothing.message])
        }
        assert.strictEqual(yield* sends, sent)
      })
      yield* stranger
      assert.strictEqual(yield* statusOf(id), "INITIATED")
      const first = yield* completeAs(callback(url, { code: yield* authorized }), "the person's own")
      assert.deepInclude(first, { status: "ACTIVE", failure: undefined, redirectUrl })
      yield* stranger
      assert.deepStrictEqual(yield* completeAs(callback(url, {}), "the person's own"), first)
      assert.strictEqual((yield* stored(id)).generation, 1)
    }).pipe(scenario())
  )
})

describe("what is needed to exchange a code", () => {
  it.effect("is erased once it is used", () =>
    Effect.gen(function* () {
      const store = yield* AccountStore
      const vault = yield* CredentialVault
      const id = yield* fresh
      const url = yield* link(id)
      const stateHash = createHash("sha256")
        .update(url.searchParams.get("state") ?? "")
        .digest("base64url")
      const memo = { purpose: "consent-memo", projectId: (yield* stored(id)).projectId, owner: id } as const
      const attempt = Effect.map(store.findAttempt(stateHash), Option.getOrThrow)
      assert.include(yield* vault.open(memo, (yield* attempt).sealed), "code_verifier")
      yield* consents(url)
      const { sealed } = yield* attempt
      yield* Effect.flip(vault.open(memo, sealed))
      const end = yield* vault.open({ ...memo, purpose: "consent-end", owner: stateHash }, sealed)
      assert.notInclude(end, "code_verifier")
    }).pipe(scenario())
  )
})

describe("the exchange of a code", () => {
  it.effect("leaves a span and a count with provider, verdict and status, and no secret in them", () => {
    const { spans, tracer } = collectingTracer()
    return Effect.gen(function* () {
      const id = yield* fresh
      const url = yield* link(id)
      const code = yield* authorized
      spans.length = 0
      yield* complete(callback(url, { code }))
      const call = spans.find(({ name }) => name === "rekindle.provider.call") ?? assert.fail()
      const labels = { operation: "consent", provider: "scripted", verdict: "Renewed", status: "200", attempt: "1" }
      assert.deepStrictEqual(
        Object.fromEntries(call.attributes),
        Object.fromEntries([
          ["rekindle.account.id", id],
          ...Object.entries(labels).map(([name, value]) => [`rekindle.${name}`, value])
        ])
      )
      assert.isTrue(call.status._tag === "Ended" && Exit.isSuccess(call.status.exit))
      if (call.status._tag === "Ended") assert.deepStrictEqual(call.status.exit, Exit.void)
      const counted = (yield* Metric.snapshot).find((each) => each.id === "rekindle.provider.calls")
      assert.deepStrictEqual(counted?.attributes, labels)
    }).pipe(Effect.withTracer(tracer), Effect.provideService(Metric.MetricRegistry, new Map()), scenario())
  })
})
