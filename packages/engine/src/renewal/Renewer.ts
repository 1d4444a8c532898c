/**
 * Renews credentials before they expire.
 *
 * Accounts have a due time. The renewer claims due accounts by moving that time forward in the same transaction, and renews them through
 * the coordinator like any other caller. That claim is the only coordination between processes.
 *
 * Each auth config with due accounts has a lane. A lane claims a few accounts at a time, and more as their renewals end. So a provider that
 * is slow, rate-limited or far behind delays only its own accounts.
 *
 * The renewer also recovers after a crash: it commits answers from the journal, and renews accounts whose lease holder is gone. Most of
 * these have to wait until their lease was observed to its end, or their access token has expired. They wait in the store and not in a
 * lane. Each poll finds those whose token can be sent now, and renews them beside the due accounts.
 *
 * @module
 */
import { type ConnectedAccountId, MonotonicClock, type RefreshError } from "@rekindle/core"
import {
  Cause,
  Clock,
  Context,
  Duration,
  Effect,
  FiberMap,
  FiberSet,
  Layer,
  Metric,
  Option,
  PartitionedSemaphore,
  Random,
  RcMap,
  Schedule,
  Semaphore,
  Stream
} from "effect"
import { RateLimiter } from "effect/persistence"
import { type Account, isKnownDead, isOver, visibleStatus } from "../account/Account.ts"
import { type AbandonedPlace, AccountStore, type AuthConfigRef, type StoreError } from "../account/AccountStore.ts"
import { InBackground } from "../store/gather.ts"
import { pages } from "../account/pages.ts"
import { updateAccount } from "../account/updateAccount.ts"
import { AuthConfigs } from "../strategies/AuthConfigs.ts"
import { AuthStrategies, mayRevive } from "../strategies/AuthStrategy.ts"
import { spanned } from "./observe.ts"
import { RefreshCoordinator } from "./RefreshCoordinator.ts"
import { TokenCommit } from "./TokenCommit.ts"

/** How often the renewer polls, and how many accounts it renews at once. */
export interface RenewerOptions {
  /** How often it polls for auth configs with due accounts. Default 5 seconds, jittered. */
  readonly pollInterval?: Duration.Input | undefined
  /**
   * The maximum number of renewals at the same time, over all providers. One provider gets at most half of them, so that there is room for
   * another. Default 32.
   */
  readonly concurrency?: number | undefined
  /**
   * The maximum number of claimed accounts of one auth config. This includes accounts that wait for the rate limit of their provider.
   * Default 100.
   */
  readonly maxClaimed?: number | undefined
  /** How long a claim keeps other processes from claiming the account. Default 2 minutes. */
  readonly claimFor?: Duration.Input | undefined
  /** How often it looks for abandoned renewals and answers in the journal. Default 15 seconds. */
  readonly recoveryInterval?: Duration.Input | undefined
}

/** The counts of a renewer. */
export interface RenewerProgress {
  readonly claimed: number
  readonly outstanding: number
  /**
   * Ended renewals by kind: the tags of `Renewal` and of `RefreshError`, and `Overtaken` for accounts that were renewed by another caller
   * or process meanwhile.
   */
  readonly ended: Readonly<Record<string, number>>
  /** When the store was last polled for due accounts, in epoch milliseconds. */
  readonly lastLookAt: number
  /** How long the oldest due account had been due at that time, in milliseconds. It grows while the renewer falls behind. */
  readonly oldestDueFor: number
}

/** Ended background renewals, by kind. */
export const renewals = Metric.counter("rekindle.renewer.renewals", {
  description: "Background renewals by result",
  incremental: true
})

/** Claimed accounts whose renewal has not ended. */
export const outstanding = Metric.gauge("rekindle.renewer.outstanding", {
  description: "Claimed accounts whose renewal has not ended"
})

/** How long the last claimed account had been due, in milliseconds. It grows while the renewer falls behind. */
export const lag = Metric.gauge("rekindle.renewer.lag", {
  description: "Milliseconds for which the last claimed account had been due"
})

/**
 * How long the oldest due account has been due, in milliseconds. Claimed accounts whose renewal has not ended count too. 0 while no account
 * is due.
 */
export const oldestDue = Metric.gauge("rekindle.renewer.oldest_due", {
  description: "Milliseconds for which the oldest due account has been due"
})

/** Renews due accounts in the background, while its layer is open. */
export class Renewer extends Context.Service<
  Renewer,
  {
    readonly progress: Effect.Effect<RenewerProgress>
  }
>()("@rekindle/engine/Renewer") {
  static readonly layer = (
    options: RenewerOptions = {}
  ): Layer.Layer<Renewer, never, AccountStore | AuthConfigs | AuthStrategies | RefreshCoordinator | TokenCommit> =>
    Layer.effect(Renewer, Effect.provideService(make(options), InBackground, true))
}

type Abandoned = Pick<Account, "id" | "projectId" | "authConfigId">
type Claimed = Abandoned & Pick<Account, "generation">

const laneOf = ({ authConfigId, projectId }: AuthConfigRef) => `${projectId}/${authConfigId}`

/** The maximum number of claims at the same time. Callers need connections of the store too. */
const claimsAtOnce = 2

/** The page size for abandoned renewals. */
const abandonedAtOnce = 500

/** How long an account has to be overdue before its auth config counts as behind. */
const behindAfter = Duration.toMillis("1 minute")

/** How long an auth config has to be behind, without catching up, before a warning is logged. */
const lateAfter = Duration.toMillis("1 minute")

/** The time limit of a read from the store. */
const storeTimeout = Duration.seconds(10)

/** Runs a background read with a time limit and without spans, because an idle renewer polls all the time. */
const inBackground = <A, E>(call: Effect.Effect<A, E>) =>
  Effect.withTracerEnabled(Effect.timeout(call, storeTimeout), false)

/** The maximum number of unusable accounts and auth configs that are reported. */
const reportedAtMost = 10_000

/** Makes a rate limiter of its own for a provider, because Effect's store in memory never removes a key. */
const newLimiter = Effect.map(
  Layer.build(Layer.fresh(Layer.provide(RateLimiter.layer, RateLimiter.layerStoreMemory))),
  (context) => Context.get(context, RateLimiter.RateLimiter)
)

const make = Effect.fnUntraced(function* (options: RenewerOptions) {
  const store = yield* AccountStore
  const configs = yield* AuthConfigs
  const strategies = yield* AuthStrategies
  const coordinator = yield* RefreshCoordinator
  const tokens = yield* TokenCommit
  const pollInterval = Duration.fromInputUnsafe(options.pollInterval ?? "5 seconds")
  const claimFor = Duration.toMillis(Duration.fromInputUnsafe(options.claimFor ?? "2 minutes"))
  /** A lane claims half of its maximum at a time. It claims the other half when it has room. */
  const batch = Math.ceil((options.maxClaimed ?? 100) / 2)
  const concurrency = options.concurrency ?? 32
  /** Freed permits go to the waiting providers in turn. */
  const permits = yield* PartitionedSemaphore.make<string>({ permits: concurrency })
  /**
   * Each provider's share of the permits, and its rate limiter. An idle provider can be dropped after an hour, because every bucket is full
   * by then.
   */
  const providers = yield* RcMap.make({
    lookup: (_name: string) => Effect.all({ limiter: newLimiter, share: Semaphore.make(Math.ceil(concurrency / 2)) }),
    idleTimeToLive: "1 hour"
  })
  const claiming = yield* Semaphore.make(claimsAtOnce)
  const fibers = yield* FiberSet.make()
  const lanes = yield* FiberMap.make<string>()
  const recoveries = yield* FiberMap.make<string>()

  const state = { claimed: 0, lastLookAt: 0, oldestDueFor: 0 }
  const ended: Record<string, number> = {}
  /** The claimed accounts, each with its due time, and the end of its claim. */
  const claims = new Map<ConnectedAccountId, { readonly dueAt: number; readonly until: number }>()
  /**
   * Auth configs that are behind. `since`: when that was seen. `by`: how far behind it was then, in milliseconds. `warned`: whether it was
   * logged.
   */
  const behind = new Map<string, { since: number; by: number; warned: boolean }>()
  /** Until when no account of an auth config is claimed, because its circuit is open. In monotonic milliseconds. */
  const heldUntil = new Map<string, number>()
  const showOutstanding = Effect.suspend(() => Metric.update(outstanding, claims.size))

  const count = (kind: string) => {
    ended[kind] = (ended[kind] ?? 0) + 1
    return Metric.update(Metric.withAttributes(renewals, { kind }), 1)
  }

  /** Removes the due time of an account, or moves it to its next known end. Until then only a person or an operator can change anything. */
  const unschedule = Effect.fnUntraced(
    function* (id: ConnectedAccountId) {
      const found = yield* store.find(id)
      if (Option.isNone(found)) return
      const now = yield* Clock.currentTimeMillis
      const lapsed = found.value.status === "INITIATED" && visibleStatus(found.value, now).status === "EXPIRED"
      yield* updateAccount(store, found.value, lapsed ? { _tag: "ConsentLapsed" } : undefined, {
        // If the account was changed meanwhile, that change has set its due time.
        when: ({ renewAt }) => renewAt === claims.get(id)?.until,
        patch: (from) => {
          const strategy = strategies.get(from.scheme)
          // The access token has expired since it was decided not to renew it.
          if (from.status === "ACTIVE" && strategy?.renewal !== undefined && isOver(from, now))
            return Effect.succeed({ renewAt: now })
          // When a link ends, or a credential that cannot be renewed, the renewer has to report it.
          const ends = [from.consentUntil, from.status === "ACTIVE" ? from.expiresAt : null]
          // A dead credential that may work again stays scheduled, even if the result of the attempt could not be stored.
          // So does an account whose token may be spent. The token is not sent while the access token lasts.
          const isInDoubt = from.status === "ACTIVE" && from.intent !== null
          if (isInDoubt || (isKnownDead(from) && strategy !== undefined && mayRevive(strategy)))
            ends.push(now + Duration.toMillis("1 hour"))
          const ahead = ends.filter((end): end is number => end !== null && end > now)
          return Effect.succeed({ renewAt: ahead.length === 0 ? null : Math.min(...ahead) })
        }
      })
    },
    (write) => Effect.ignore(write)
  )

  const reported = new Set<string>()
  /** Logs one line when an account or its auth config becomes unusable, and one when it works again. */
  const reportUnusable = Effect.fnUntraced(function* (claimed: Claimed, error: RefreshError | undefined) {
    const subjects = { auth_config_invalid: laneOf(claimed), credential_unreadable: claimed.id }
    if (error === undefined) {
      for (const [slug, subject] of Object.entries(subjects)) {
        if (reported.delete(`${slug} ${subject}`))
          yield* Effect.logInfo("accounts can be renewed again", { slug, subject })
      }
    } else if (error._tag === "RefreshFailed") {
      const [slug, subject] = Object.entries(subjects).find(([slug]) => slug === error.slug) ?? []
      const key = `${slug} ${subject}`
      if (slug === undefined || reported.has(key) || reported.size >= reportedAtMost) return
      reported.add(key)
      yield* Effect.logWarning("accounts cannot be renewed", { slug, subject, message: error.message })
    }
  })

  /** Waits for the provider's rate limit. */
  const awaitRate = (limiter: RateLimiter.RateLimiter, requestsPerSecond: number) =>
    RateLimiter.sleep(limiter, {
      algorithm: "token-bucket",
      key: "",
      limit: Math.max(1, Math.round(requestsPerSecond)),
      window: Duration.seconds(Math.max(1, 1 / requestsPerSecond))
    }).pipe(MonotonicClock.within, Effect.ignore)

  const hold = (config: AuthConfigRef, duration: Duration.Duration) =>
    Effect.map(MonotonicClock.millis, (now) => void heldUntil.set(laneOf(config), now + Duration.toMillis(duration)))

  /** Runs a renewal when its provider has a permit for it. The renewal does not wait for another process. */
  const inTurn = Effect.fnUntraced(function* <A, E>(ref: AuthConfigRef, renewal: Effect.Effect<A, E>) {
    const profile = Option.map(yield* Effect.option(configs.load(ref)), (config) => config.profile)
    const provider = Option.match(profile, { onNone: () => "", onSome: ({ name }) => name })
    const { limiter, share } = yield* RcMap.get(providers, provider)
    if (Option.isSome(profile)) yield* awaitRate(limiter, profile.value.requestsPerSecond)
    return yield* renewal.pipe(permits.withPermit(provider), share.withPermit)
  }, Effect.scoped)

  const renew = Effect.fnUntraced(function* (claimed: Claimed) {
    const { generation, id } = claimed
    const renewed = Effect.matchEffect(coordinator.renew(id, { waits: false }), {
      onFailure: (error) =>
        Effect.andThen(
          Effect.andThen(count(error._tag), reportUnusable(claimed, error)),
          // Accounts of a disabled auth config keep their due time, so that they are renewed when it is enabled.
          (error._tag === "InvalidRequest" && error.slug !== "auth_config_disabled") ||
            error._tag === "RefreshUnsupported"
            ? unschedule(id)
            : error._tag === "Unavailable" && error.slug === "circuit_open"
              ? hold(claimed, error.retryAfter ?? Duration.zero)
              : Effect.void
        ),
      onSuccess: (renewal) =>
        Effect.andThen(
          Effect.andThen(count(renewal._tag), reportUnusable(claimed, undefined)),
          renewal._tag === "Renewed" || (renewal._tag === "Served" && renewal.why !== "ambiguous")
            ? Effect.void
            : unschedule(id)
        )
    })
    // The account is read again, because its claim may have ended long before its turn.
    const found = Effect.orElseSucceed(store.find(id), () => Option.none<Account>())
    const task = Effect.flatMap(found, (account) => {
      if (Option.isSome(account) && account.value.status === "REVOKED")
        return Effect.flatMap(tokens.withdraw(account.value), ({ state }) => count(`Withdrawal ${state}`))
      return Option.exists(account, (account) => account.generation !== generation) ? count("Overtaken") : renewed
    })
    yield* inTurn(claimed, task)
  })

  const renewOne = (due: Claimed) =>
    renew(due).pipe(
      spanned("rekindle.renewer.renewal", { root: true, attributes: { "rekindle.account.id": due.id } }),
      Effect.catchCause((cause) =>
        Effect.logError("a background renewal failed with a defect", { accountId: due.id, cause })
      ),
      Effect.ensuring(
        Effect.suspend(() => {
          claims.delete(due.id)
          return showOutstanding
        })
      )
    )

  /** Logs the failure of a read, and waits until the next poll. */
  const orTryLater = (what: string) => (asked: Effect.Effect<void, StoreError | Cause.TimeoutError>) =>
    Effect.catchCause(asked, (cause) =>
      Effect.andThen(
        Effect.logWarning(what, {
          message: Option.getOrUndefined(Cause.findErrorOption(cause))?.message ?? "a defect"
        }),
        Effect.sleep(pollInterval)
      )
    )

  /** The poll interval with jitter, so that processes do not poll at the same time. */
  const jittered = Effect.map(Random.next, (random) => Duration.times(pollInterval, 0.75 + 0.5 * random))

  /** Renews one abandoned account if its token can be sent. Each poll also observes its lease. */
  const recoverOne = (abandoned: Pick<Abandoned, "id"> & AuthConfigRef) =>
    Effect.withTracerEnabled(coordinator.wouldSend(abandoned.id), false).pipe(
      Effect.flatMap((would) =>
        would ? inTurn(abandoned, Effect.exit(coordinator.renew(abandoned.id, { waits: false }))) : Effect.void
      ),
      Effect.catchCause((cause) =>
        Effect.logError("an abandoned renewal could not be settled", { accountId: abandoned.id, cause })
      )
    )

  const claim = Effect.fnUntraced(function* (config: AuthConfigRef) {
    const now = yield* Clock.currentTimeMillis
    const nextLook = now + claimFor
    const due = yield* inBackground(store.claimDue({ config, now, nextLook, limit: batch }))
    const first = due[0]
    if (first !== undefined) yield* Metric.update(lag, now - first.dueAt)
    // An account with a lease is being renewed by its holder, or is left to recovery.
    const free = due.filter(({ isUnderWay }) => !isUnderWay)
    const underWay = due.filter(({ isUnderWay }) => isUnderWay)
    // An account that still waits for its turn keeps its place. Its claim is extended.
    const fresh = free.filter(({ id }) => !claims.has(id))
    for (const { dueAt, id } of free) claims.set(id, { dueAt: claims.get(id)?.dueAt ?? dueAt, until: nextLook })
    state.claimed += fresh.length
    yield* showOutstanding
    return { fresh, underWay, full: due.length === batch }
  }, claiming.withPermit)

  /** Renews the due accounts of one auth config, until none is due and all claimed ones have ended. */
  const lane = Effect.fnUntraced(function* (config: AuthConfigRef) {
    const room = yield* Semaphore.make(2 * batch)
    while (true) {
      yield* room.take(batch)
      const held = heldUntil.get(laneOf(config))
      if (held !== undefined) {
        yield* Effect.sleep(Math.max(0, held - (yield* MonotonicClock.millis)))
        heldUntil.delete(laneOf(config))
      }
      const { fresh, full, underWay } = yield* claim(config)
      yield* room.release(batch - fresh.length)
      // Recovery finds a lease that has ended. One that was taken while a clock was ahead does not end for as long, so it is observed here.
      yield* Effect.forEach(underWay, (account) => FiberSet.run(fibers, recoverOne(account)), { discard: true })
      yield* Effect.forEach(
        fresh,
        (account) => FiberSet.run(fibers, Effect.ensuring(renewOne(account), room.release(1))),
        {
          discard: true
        }
      )
      if (full) continue
      // It gives the permits back by itself: a `take` that is granted in the moment in which the time is over would lose them.
      const allEnded = room.withPermits(2 * batch)(Effect.void)
      const done = yield* Effect.timeoutOption(allEnded, yield* jittered)
      if (Option.isSome(done)) return
    }
  })

  /** Logs one line when the renewer does not keep up with an auth config, and one when it does again. */
  const reportBehind = Effect.fnUntraced(function* (
    due: ReadonlyArray<AuthConfigRef & { readonly dueAt: number }>,
    now: number
  ) {
    // An open circuit is logged by itself.
    const late = due.filter((config) => now - config.dueAt > behindAfter && !heldUntil.has(laneOf(config)))
    const lanesLate = new Set(late.map(laneOf))
    for (const [lane, { warned }] of behind) {
      if (lanesLate.has(lane)) continue
      behind.delete(lane)
      if (warned) yield* Effect.logInfo("the renewer keeps up with an auth config again", { authConfig: lane })
    }
    for (const config of late) {
      const by = now - config.dueAt
      const seen = behind.get(laneOf(config))
      if (seen === undefined) behind.set(laneOf(config), { since: now, by, warned: false })
      else if (!seen.warned && now - seen.since >= lateAfter) {
        // After an outage the renewer is catching up, which is not reported.
        seen.warned = by >= seen.by
        seen.since = now
        seen.by = by
        if (!seen.warned) continue
        yield* Effect.logWarning(
          "the renewer does not keep up with an auth config; raise requestsPerSecond of its profile if the provider allows, else the renewer's concurrency or the number of processes",
          { projectId: config.projectId, authConfigId: config.authConfigId, behindMillis: by }
        )
      }
    }
  })

  const poll = Effect.gen(function* () {
    const now = yield* Clock.currentTimeMillis
    state.lastLookAt = now
    const passed = yield* MonotonicClock.millis
    for (const [config, until] of heldUntil) if (until <= passed) heldUntil.delete(config)
    const due = yield* inBackground(store.dueConfigs(now))
    let oldest = now
    for (const { dueAt } of [...due, ...claims.values()]) oldest = Math.min(oldest, dueAt)
    state.oldestDueFor = now - oldest
    yield* Metric.update(oldestDue, state.oldestDueFor)
    yield* reportBehind(due, now)
    yield* Effect.forEach(
      due,
      (config) =>
        FiberMap.run(lanes, laneOf(config), lane(config).pipe(orTryLater("cannot claim due accounts")), {
          onlyIfMissing: true
        }),
      { discard: true }
    )
    yield* Effect.sleep(yield* jittered)
  }).pipe(orTryLater("cannot look for due accounts"))

  const recover = Effect.gen(function* () {
    yield* Effect.withTracerEnabled(tokens.settle(), false)
    const now = yield* Clock.currentTimeMillis
    const byConfig = new Map<string, Array<Abandoned>>()
    const abandoned = pages((after: AbandonedPlace | undefined) =>
      inBackground(store.findAbandoned({ now, limit: abandonedAtOnce, after }))
    )
    yield* Stream.runForEach(abandoned, ({ items }) =>
      Effect.sync(() => {
        for (const account of items) {
          const others = byConfig.get(laneOf(account))
          if (others === undefined) byConfig.set(laneOf(account), [account])
          else others.push(account)
        }
      })
    )
    yield* Effect.forEach(
      byConfig,
      ([config, abandoned]) =>
        FiberMap.run(recoveries, config, Effect.forEach(abandoned, recoverOne, { discard: true, concurrency: batch }), {
          onlyIfMissing: true
        }),
      { discard: true }
    )
  }).pipe(orTryLater("cannot look for abandoned renewals"))

  yield* Effect.forkScoped(Effect.repeat(recover, Schedule.spaced(options.recoveryInterval ?? "15 seconds")))
  yield* Effect.forkScoped(Effect.forever(poll))

  return Renewer.of({
    progress: Effect.sync(() => ({ ...state, outstanding: claims.size, ended: { ...ended } }))
  })
})
