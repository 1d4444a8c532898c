/**
 * Three machines, two accounts, and a seeded schedule of faults: answers that are lost or late; a store that is slow, fails, is
 * unreachable, or commits without confirming; processes that die and restart; clocks that differ; a key rotation. Afterwards every account
 * works, or it reports a lost answer of a provider that accepts no token twice.
 */
import { assert, describe, it } from "@effect/vitest"
import { type ConnectedAccountId, ConnectedAccounts } from "@rekindle/core"
import { type Account, AccountStore, Journal, SqlAccountStore, SqliteClient, StoreError } from "@rekindle/engine"
import { ScriptedProvider } from "@rekindle/testing"
import { Clock, Context, Duration, Effect, Layer, Option, Random, Schema } from "effect"
import { HttpClientResponse } from "effect/http"
import { TestClock } from "effect/testing"
import {
  beginning,
  connected,
  elapse,
  secretsOf,
  type Services,
  settle,
  start,
  stored
} from "../support/ScriptedEngine.ts"

const kinds = {
  none: { rotation: "none" },
  rolling: { rotation: "rolling" },
  "single-use, with a reuse window": { rotation: "single-use", reuseWindow: Duration.minutes(30) },
  "strict single-use": { rotation: "single-use" }
} as const
type Kind = keyof typeof kinds

const faults: readonly [ScriptedProvider.Fault, ...ReadonlyArray<ScriptedProvider.Fault>] = [
  { _tag: "ConnectionRefused" },
  { _tag: "ConnectionReset", applied: false },
  ScriptedProvider.lostResponse,
  { _tag: "NoAnswer", applied: false },
  { _tag: "NoAnswer", applied: true },
  { _tag: "LateAnswer", delay: "2 seconds" },
  { _tag: "LateAnswer", delay: "2900 millis" },
  { _tag: "TruncatedAnswer" },
  { _tag: "OtherAnswer", applied: true, status: 500 },
  ScriptedProvider.unavailable()
]

/** Each machine has its own clock, and its journal outlives its processes. */
interface Machine {
  readonly skew: number
  readonly journal: Journal["Service"]
  process: Process
}

interface Process {
  readonly context: Context.Context<Services>
  readonly state: State
}

interface State {
  dead: boolean
  /** Until when the store accepts no writes from the machine, or only those without a new credential. */
  cut: { readonly until: number; readonly whole: boolean }
}

const tokensIn = Schema.decodeUnknownOption(
  Schema.fromJsonString(
    Schema.Struct({ access_token: Schema.String, refresh_token: Schema.optionalKey(Schema.String) })
  )
)

const skewed = (skew: number) => (clock: Clock.Clock) => ({
  ...clock,
  currentTimeMillisUnsafe: () => clock.currentTimeMillisUnsafe() + skew,
  currentTimeMillis: Effect.sync(() => clock.currentTimeMillisUnsafe() + skew)
})

/** Leases and intents use the database's clock. A machine reads their times converted to its own clock. */
const inTermsOf = (skew: number) =>
  Option.map((account: Account) => ({
    ...account,
    lease: account.lease === null ? null : { ...account.lease, until: account.lease.until + skew },
    intent: account.intent === null ? null : { ...account.intent, since: account.intent.since + skew }
  }))

const run = Effect.fnUntraced(function* (kind: Kind, seed: number) {
  yield* TestClock.setTime(beginning)
  const random = yield* Random.withSeed(Effect.service(Random.Random), `${kind} ${seed}`)
  const share = () => random.nextDoubleUnsafe()
  const pick = <A>(...[first, ...others]: readonly [A, ...ReadonlyArray<A>]): A =>
    others[Math.floor(share() * (others.length + 1)) - 1] ?? first

  const provider = yield* ScriptedProvider.make({
    ...kinds[kind],
    // Soon enough that a token of unknown state is tried during the run.
    accessTokenTtl: "15 seconds",
    seed
  })
  const database = Context.get(
    yield* Layer.build(Layer.provide(SqlAccountStore.layer, SqliteClient.layer(":memory:"))),
    AccountStore
  )
  const trueClock = yield* Clock.Clock
  let peace = true

  /** The account of each refresh token. */
  const owners = new Map<string, ConnectedAccountId>()
  /** Answers that only the memory of a process has: neither the store nor its journal. */
  const inHand = new Map<ConnectedAccountId, State>()
  /** Accounts that have lost an answer. */
  const lost = new Set<ConnectedAccountId>()
  /** Accounts whose token was sent while another machine had its answer, where no other process could see it. */
  const hidden = new Set<ConnectedAccountId>()
  /** Accounts that reported a lost answer. */
  const saidSo = new Set<ConnectedAccountId>()
  const machines: Array<Machine> = []

  const boot = Effect.fnUntraced(function* (skew: number, journal: Journal["Service"]): Effect.fn.Return<Process> {
    const state: State = { dead: false, cut: { until: 0, whole: false } }
    const mortal = <A, E>(effect: Effect.Effect<A, E>): Effect.Effect<A, E> =>
      Effect.suspend(() => (state.dead ? Effect.never : effect))

    const call = <A>(operation: Effect.Effect<A, StoreError>, renews = false): Effect.Effect<A, StoreError> =>
      Effect.suspend(() => {
        const done = Effect.flatMap(Effect.provideService(operation, Clock.Clock, trueClock), (answer) =>
          mortal(Effect.succeed(answer))
        )
        if (peace) return mortal(done)
        const trouble = Effect.fail(new StoreError({ message: "trouble" }))
        const isCut = state.cut.until > trueClock.currentTimeMillisUnsafe() && (state.cut.whole || renews)
        const luck = isCut ? 0 : share()
        const end = luck < 0.05 ? trouble : luck < 0.1 ? Effect.andThen(done, trouble) : done
        return mortal(share() < 0.2 ? Effect.delay(mortal(end), share() * 1_500) : end)
      })
    const store: AccountStore["Service"] = {
      ...database,
      find: (id) => Effect.map(call(database.find(id)), inTermsOf(skew)),
      findIn: (projectId, id) => Effect.map(call(database.findIn(projectId, id)), inTermsOf(skew)),
      begin: (request) => Effect.map(call(database.begin({ ...request, now: request.now - skew })), inTermsOf(skew)),
      write: (change) => {
        const { from, to } = change
        const renews = to.generation !== from.generation
        const written = Effect.tap(Effect.map(database.write(change), inTermsOf(skew)), (row) =>
          Effect.sync(() => {
            const written = Option.isSome(row)
            if (written && renews) inHand.delete(from.id)
            if (written && to.statusReason === "rotation_response_lost") saidSo.add(from.id)
          })
        )
        return call(written, renews)
      },
      release: (request) => call(database.release(request))
    }

    const handle: ScriptedProvider.Provider["handle"] = Effect.fnUntraced(function* (request, url) {
      const text = request.body._tag === "Uint8Array" ? new TextDecoder().decode(request.body.body) : ""
      const id = owners.get(new URLSearchParams(text).get("refresh_token") ?? "") ?? assert.fail("an unknown token")
      for (const other of machines) {
        if (other.journal !== journal && (yield* other.journal.entriesOf(id)).length > 0) hidden.add(id)
      }
      if (inHand.has(id) && inHand.get(id) !== state) hidden.add(id)
      // Counted as lost until it succeeds.
      const lostBefore = lost.has(id)
      lost.add(id)
      const found = () => {
        if (!lostBefore) lost.delete(id)
      }
      if (!peace && share() < 0.6) yield* provider.next(pick(...faults))
      const response = yield* Effect.tapError(provider.handle(request, url), ({ cause }) =>
        Effect.sync(() => {
          if (String(cause).includes("ECONNREFUSED")) found()
        })
      )
      const body = yield* response.text
      if (state.dead) return yield* Effect.never
      const tokens = Option.getOrUndefined(tokensIn(body))
      if (tokens !== undefined || response.status === 400 || response.status === 503) found()
      if (tokens !== undefined) {
        inHand.set(id, state)
        if (tokens.refresh_token !== undefined) owners.set(tokens.refresh_token, id)
      }
      return HttpClientResponse.fromWeb(request, new Response(body, response))
    })

    const { context } = yield* start({
      sharedProvider: { ...provider, handle: (request, url) => mortal(handle(request, url)) },
      store: () => store,
      journal: Layer.succeed(Journal, {
        ...journal,
        append: (record) =>
          mortal(Effect.tap(journal.append(record), () => Effect.sync(() => inHand.delete(record.accountId)))),
        settle: (entry) => mortal(journal.settle(entry))
      }),
      engine: {
        coordinator: { lease: "20 seconds", requestTimeout: "3 seconds", patience: "30 seconds" },
        commit: { giveUp: "8 seconds" }
      }
    }).pipe(Effect.updateService(Clock.Clock, skewed(skew)), Effect.orDie)
    return { context, state }
  })
  const revive = Effect.fnUntraced(function* (machine: Machine) {
    machine.process = yield* settle(boot(machine.skew, machine.journal))
  })

  for (const skew of [0, -40_000, 40_000]) {
    const journal = Context.get(yield* Layer.build(Layer.fresh(Journal.layerMemory)), Journal)
    machines.push({ skew, journal, process: yield* boot(skew, journal) })
  }
  const [machine, ...machinesToo] = machines
  if (machine === undefined) return assert.fail("no machine")
  const on = <A, E>({ process, skew }: Machine, effect: Effect.Effect<A, E, Services>) =>
    effect.pipe(Effect.provideContext(process.context), Effect.updateService(Clock.Clock, skewed(skew)))
  const refreshed = (id: ConnectedAccountId) =>
    Effect.flatMap(ConnectedAccounts, (accounts) => Effect.result(accounts.refresh(id)))

  const one = yield* on(machine, connected({ expired: true, profile: kinds[kind] }))
  const two = yield* on(machine, connected({ expired: true, profile: kinds[kind] }))
  for (const { id, refreshToken } of [one, two]) owners.set(refreshToken, id)

  peace = false
  for (let step = 0; step < 40; step++) {
    const some = pick(machine, ...machinesToo)
    const { state } = some.process
    const what = share()
    if (state.dead) {
      if (what < 0.4) yield* revive(some)
    } else if (what < 0.08) {
      state.dead = true
      for (const [id, holder] of inHand) if (holder === state) lost.add(id)
    } else if (what < 0.2) {
      state.cut = { until: trueClock.currentTimeMillisUnsafe() + share() * 90_000, whole: share() < 0.5 }
    } else if (what < 0.4) {
      // The keys are rotated.
      yield* Effect.flatMap(Effect.map(database.find(pick(one, two).id), Option.getOrThrow), database.reseal)
    } else yield* Effect.forkChild(on(some, refreshed(pick(one, two).id)))
    yield* elapse(Math.round(share() * pick(4_000, 4_000, 4_000, 25_000)), "250 millis")
  }

  peace = true
  for (const each of machines) if (each.process.state.dead) yield* revive(each)
  yield* elapse("90 seconds", "500 millis")

  for (const { id } of [one, two]) {
    const ends: Array<string> = []
    for (let time = 0; time < 2; time++) {
      let result = yield* settle(on(machine, refreshed(id)), "500 millis")
      for (let again = 0; again < 15 && result._tag === "Failure"; again++) {
        // A breaker may be open.
        yield* elapse("10 seconds", "1 second")
        result = yield* settle(on(machine, refreshed(id)), "500 millis")
      }
      ends.push(result._tag === "Success" ? result.success._tag : result.failure._tag)
    }
    const account = yield* on(machine, stored(id))
    const context = `seed ${seed}: ${account.status} ${account.statusReason}, ${ends.join(" and ")}`
    if (account.status === "ACTIVE") {
      assert.deepStrictEqual(ends, ["Ready", "Ready"], context)
      const { access_token = "" } = yield* on(machine, secretsOf(id))
      assert.isTrue(yield* provider.isLive(access_token), context)
    } else {
      assert.strictEqual(kind, "strict single-use", context)
      assert.isTrue(lost.has(id) || hidden.has(id), `${context}, and nothing of it was lost`)
      assert.isTrue(saidSo.has(id) || hidden.has(id), `${context}, and it was not said why`)
    }
  }
  if (kind !== "strict single-use") assert.strictEqual((yield* provider.counts).replays, 0)
  for (const { journal } of machines) assert.deepStrictEqual(yield* journal.all, [])
})

const seeds = 12

describe("whatever comes between", () => {
  for (const kind of Object.keys(kinds) as ReadonlyArray<Kind>) {
    it.effect(`no account is lost that need not be: ${kind}`, () =>
      Effect.forEach(
        Array.from({ length: seeds }, (_, seed) => seed),
        (seed) => Effect.scoped(run(kind, seed)),
        { discard: true }
      )
    )
  }
})
