/** A request that may have been carried out leaves a doubt. Until it is settled, no failure says "nothing was sent". */
import { assert, describe, it } from "@effect/vitest"
import { ConnectedAccounts, Connections } from "@rekindle/core"
import { AccountStore, StoreError } from "@rekindle/engine"
import { ScriptedProvider } from "@rekindle/testing"
import { Effect } from "effect"
import {
  connected,
  elapse,
  join,
  leaseAs,
  refresh,
  refused,
  scenario,
  settle,
  start,
  stored,
  summary,
  Wire
} from "../support/ScriptedEngine.ts"
import { consents } from "../support/ScriptedConsent.ts"

/** The slug of an error, and its disposition. */
const told = (error: { readonly _tag: string; readonly disposition: string; readonly slug?: string | undefined }) =>
  `${error.slug ?? error._tag}, ${error.disposition}`

const refusedConnection: ScriptedProvider.Fault = { _tag: "ConnectionRefused" }

describe("after a request whose answer was lost", () => {
  const seconds: ReadonlyArray<readonly [string, ScriptedProvider.Fault]> = [
    ["a refused connection", refusedConnection],
    ["a 503", ScriptedProvider.unavailable()],
    [
      "a 400 for another reason",
      { _tag: "OtherAnswer", applied: false, status: 400, body: JSON.stringify({ error: "invalid_scope" }) }
    ],
    [
      "a refused client",
      { _tag: "OtherAnswer", applied: false, status: 401, body: JSON.stringify({ error: "invalid_client" }) }
    ]
  ]
  for (const [name, second] of seconds) {
    it.effect(`${name} says nothing about the first one`, () =>
      Effect.gen(function* () {
        const provider = yield* ScriptedProvider.ScriptedProvider
        const { id } = yield* connected({ expired: true })
        yield* provider.next(ScriptedProvider.lostResponse, second, second, second)
        assert.strictEqual(told(yield* refused(id)), "provider_silent, ambiguous")
        const account = yield* stored(id)
        assert.deepInclude(summary(account), { intent: "open", leased: false })
        // Waiters in other processes get the result from the row.
        assert.strictEqual(account.lastAttempt?.verdict, "Ambiguous")
      }).pipe(scenario())
    )
  }

  it.effect("an access token that still works is served, whatever became of the second", () =>
    Effect.gen(function* () {
      const accounts = yield* ConnectedAccounts
      const provider = yield* ScriptedProvider.ScriptedProvider
      const { id } = yield* connected({ profile: { rotation: "rolling" } })
      yield* provider.next(ScriptedProvider.lostResponse, ScriptedProvider.unavailable())
      assert.deepStrictEqual(yield* settle(accounts.refresh(id)), { _tag: "Ready", id })
      assert.deepInclude(summary(yield* stored(id)), { generation: 1, intent: "open" })
    }).pipe(scenario({ provider: { rotation: "rolling" } }))
  )

  it.effect("an access token that an API refused is not served again: the token is sent once more", () =>
    Effect.gen(function* () {
      const provider = yield* ScriptedProvider.ScriptedProvider
      const { id, refreshToken } = yield* connected()
      yield* provider.next({ _tag: "ConnectionReset", applied: false })
      assert.deepStrictEqual(yield* settle(refresh(id, { tokenRefused: true })), { _tag: "Ready", id })
      assert.deepStrictEqual((yield* Wire).sent, [refreshToken, refreshToken])
      assert.deepInclude(summary(yield* stored(id)), { generation: 2, intent: "closed", leased: false })
    }).pipe(scenario())
  )

  it.effect("an access token that an API refused is not served again, also if the first request spent the grant", () =>
    Effect.gen(function* () {
      const provider = yield* ScriptedProvider.ScriptedProvider
      const { id } = yield* connected()
      yield* provider.next(ScriptedProvider.lostResponse)
      assert.strictEqual((yield* settle(refresh(id, { tokenRefused: true })))._tag, "RedirectRequired")
      assert.deepInclude(summary(yield* stored(id)), { intent: "closed", leased: false })
    }).pipe(scenario())
  )

  it.effect("a consent that is completed before the second spares the old token, and its tokens are the result", () =>
    Effect.gen(function* () {
      const accounts = yield* ConnectedAccounts
      const provider = yield* ScriptedProvider.ScriptedProvider
      const { id, refreshToken } = yield* connected({ expired: true })
      const link = yield* settle(Effect.flatMap(Connections, (connections) => connections.link(id)))
      yield* provider.next(ScriptedProvider.lostResponse)
      const caller = yield* Effect.forkChild(accounts.refresh(id))
      yield* elapse("5 seconds", "100 millis")
      assert.strictEqual((yield* consents(new URL(link.url))).status, "ACTIVE")
      assert.deepStrictEqual(yield* join(caller), { _tag: "Ready", id })
      assert.deepStrictEqual((yield* Wire).sent, [refreshToken, "authorization_code"])
      assert.strictEqual((yield* provider.counts).replays, 0)
    }).pipe(scenario())
  )

  it.effect("an account that cannot be read before the second keeps its token", () => {
    let gone = false
    return Effect.gen(function* () {
      const provider = yield* ScriptedProvider.ScriptedProvider
      const { id, refreshToken } = yield* connected({ expired: true })
      yield* provider.next(ScriptedProvider.lostResponse)
      const caller = yield* Effect.forkChild(
        Effect.flatMap(ConnectedAccounts, ({ refresh }) => Effect.flip(refresh(id)))
      )
      yield* elapse("5 seconds", "100 millis")
      gone = true
      assert.strictEqual(told(yield* join(caller)), "provider_silent, ambiguous")
      assert.deepStrictEqual((yield* Wire).sent, [refreshToken])
    }).pipe(
      scenario({
        store: (store) => ({
          ...store,
          find: (id) => (gone ? Effect.fail(new StoreError({ message: "gone" })) : store.find(id))
        })
      })
    )
  })

  it.effect("a dead token that cannot be stored does not claim that nothing was done", () => {
    let gone = false
    return Effect.gen(function* () {
      const provider = yield* ScriptedProvider.ScriptedProvider
      const { id } = yield* connected({ expired: true })
      yield* provider.next(ScriptedProvider.lostResponse)
      gone = true
      const error = yield* refused(id)
      assert.strictEqual(error._tag, "RefreshFailed")
      assert.strictEqual(error.disposition, "ambiguous")
    }).pipe(
      scenario({
        store: (store) => ({
          ...store,
          write: (change) => (gone ? Effect.fail(new StoreError({ message: "gone" })) : store.write(change))
        })
      })
    )
  })

  it.effect("a process that is shut down before the second one says that it may have been done", () =>
    Effect.gen(function* () {
      const provider = yield* ScriptedProvider.make()
      const { context, stop } = yield* start({ sharedProvider: provider })
      const caller = yield* Effect.gen(function* () {
        const accounts = yield* ConnectedAccounts
        const { id } = yield* connected({ expired: true })
        yield* provider.next(ScriptedProvider.lostResponse, refusedConnection, refusedConnection)
        const caller = yield* Effect.forkChild(Effect.flip(accounts.refresh(id)))
        yield* elapse("10500 millis", "100 millis")
        return caller
      }).pipe(Effect.provideContext(context))
      yield* settle(stop, "100 millis")
      const exit = caller.pollUnsafe()
      assert.strictEqual(exit?._tag, "Success")
      if (exit?._tag === "Success") assert.notInclude(exit.value.message, "nothing was sent")
    })
  )
})

describe("after a restart with an open intent", () => {
  it.effect("a refused connection does not say that the token was never sent", () =>
    Effect.gen(function* () {
      const provider = yield* ScriptedProvider.ScriptedProvider
      const { id } = yield* connected({ expired: true })
      yield* leaseAs(id, "a process that died", 20_000)
      yield* elapse("21 seconds")
      yield* provider.outage(refusedConnection, "1 day")
      assert.strictEqual(told(yield* refused(id)), "provider_silent, ambiguous")
      assert.deepInclude(summary(yield* stored(id)), { intent: "open", leased: false })
    }).pipe(scenario({ engine: { coordinator: { patience: "2 minutes" } } }))
  )

  it.effect("an access token that an API refused settles the doubt at once, and one that works does not", () =>
    Effect.gen(function* () {
      const provider = yield* ScriptedProvider.ScriptedProvider
      const { id } = yield* connected()
      yield* leaseAs(id, "a process that died", 20_000)
      // Long enough to know that the process that died sends nothing any more.
      yield* elapse("21 seconds")
      assert.strictEqual((yield* settle(refresh(id)))._tag, "Ready")
      assert.strictEqual((yield* provider.counts).requests, 0)
      assert.strictEqual((yield* settle(refresh(id, { tokenRefused: true })))._tag, "Ready")
      assert.strictEqual((yield* provider.counts).granted, 1)
      assert.deepInclude(summary(yield* stored(id)), { generation: 2, intent: "closed", leased: false })
    }).pipe(scenario({ engine: { coordinator: { patience: "2 minutes" } } }))
  )

  it.effect(
    "an access token that an API refused is not the result, also if the doubt stays, or the attempt is repeated at once",
    () =>
      Effect.gen(function* () {
        const provider = yield* ScriptedProvider.ScriptedProvider
        const { id } = yield* connected()
        const lost: ScriptedProvider.Fault = { _tag: "NoAnswer", applied: false }
        yield* provider.next(lost, lost, lost, lost)
        assert.strictEqual(told(yield* refused(id, { tokenRefused: true })), "provider_silent, ambiguous")
        assert.strictEqual(told(yield* refused(id, { tokenRefused: true })), "provider_silent, ambiguous")
        assert.strictEqual((yield* refresh(id))._tag, "Ready")
      }).pipe(scenario())
  )

  it.effect("an access token that an API refused is not the result if another process could not settle the doubt", () =>
    Effect.gen(function* () {
      const accounts = yield* ConnectedAccounts
      const store = yield* AccountStore
      const { id } = yield* connected()
      const { epoch, renewAt } = yield* leaseAs(id, "another process")
      const caller = yield* Effect.forkChild(Effect.flip(accounts.refresh(id, { tokenRefused: true })))
      yield* elapse("1 second", "100 millis")
      const result = { epoch, verdict: "Ambiguous", code: null, retryAt: null } as const
      yield* store.release({ id, epoch, keepIntent: true, renewAt, result })
      assert.strictEqual(told(yield* join(caller)), "provider_silent, ambiguous")
    }).pipe(scenario())
  )
})
