/**
 * Renews credentials before anybody misses them.
 *
 * Accounts carry the time at which they are due. The renewer claims those that are, by moving that time forward in the same statement, and
 * renews them through the coordinator like any other caller. Several processes share the work by that and nothing else. A provider that
 * is slow or limited holds back its own accounts, not the others'.
 *
 * It also picks up what a crash left behind: escrowed answers, and intents whose owner is gone.
 *
 * @module
 */
import type { ConnectedAccountId } from "@rekindle/core"
import {
  Cause,
  Clock,
  Context,
  Duration,
  Effect,
  FiberSet,
  Layer,
  Metric,
  Option,
  Random,
  Schedule,
  Semaphore
} from "effect"
import { RateLimiter } from "effect/persistence"
import { type Account, transition, visibleStatus } from "../account/Account.ts"
import { AccountStore, type StoreError } from "../account/AccountStore.ts"
import { AuthConfigs } from "../strategies/AuthConfigs.ts"
import { RefreshCoordinator } from "./RefreshCoordinator.ts"
import { TokenCommit } from "./TokenCommit.ts"

/** How eagerly it works. */
export interface RenewerOptions {
  /** How often it looks for due accounts when there are none. Default 5 seconds, jittered. */
  readonly pollInterval?: Duration.Input | undefined
  /** Renewals at the same time, over all providers. Default 16. */
  readonly concurrency?: number | undefined
  /** Accounts claimed at the same time, those waiting for their provider's limit included. Default 500. */
  readonly maxClaimed?: number | undefined
  /** How long a claim keeps others away. Default 2 minutes. */
  readonly claimFor?: Duration.Input | undefined
  /** How often it looks for what a crash left behind. Default 15 seconds. */
  readonly recoveryInterval?: Duration.Input | undefined
}

/** What a renewer did so far, and what it is doing. */
export interface RenewerProgress {
  readonly claimed: number
  readonly outstanding: number
  /** Ends by kind: the tags of `Renewal` and of `RefreshError`, and `Overtaken` for accounts that somebody else had renewed meanwhile. */
  readonly ended: Readonly<Record<string, number>>
  /** Epoch milliseconds of the last look for due accounts. */
  readonly lastLookAt: number
}

/** Ends of background renewals, by kind. */
export const renewals = Metric.counter("rekindle_renewer_renewals", {
  description: "Background renewals by how they ended",
  incremental: true
})

/** Accounts that are claimed and not done with. */
export const outstanding = Metric.gauge("rekindle_renewer_outstanding", {
  description: "Accounts claimed and not done with"
})

/** Renews due accounts in the background, as long as its layer is open. */
export class Renewer extends Context.Service<
  Renewer,
  {
    readonly progress: Effect.Effect<RenewerProgress>
  }
>()("@rekindle/engine/Renewer") {
  static readonly layer = (
    options: RenewerOptions = {}
  ): Layer.Layer<Renewer, never, AccountStore | AuthConfigs | RefreshCoordinator | TokenCommit> =>
    Layer.effect(Renewer, make(options)).pipe(
      Layer.provide(RateLimiter.layer),
      Layer.provide(RateLimiter.layerStoreMemory)
    )
}

type Claimed = Pick<Account, "id" | "authConfigId" | "generation">

/** The longest that the store is waited for. */
const storeTimeout = Duration.seconds(10)

const make = Effect.fnUntraced(function* (options: RenewerOptions) {
  const store = yield* AccountStore
  const configs = yield* AuthConfigs
  const coordinator = yield* RefreshCoordinator
  const tokens = yield* TokenCommit
  const limiter = yield* RateLimiter.RateLimiter
  const pollInterval = Duration.fromInputUnsafe(options.pollInterval ?? "5 seconds")
  const claimFor = Duration.toMillis(Duration.fromInputUnsafe(options.claimFor ?? "2 minutes"))
  const maxClaimed = options.maxClaimed ?? 500
  const permits = yield* Semaphore.make(options.concurrency ?? 16)
  const fibers = yield* FiberSet.make()

  const state = { claimed: 0, lastLookAt: 0 }
  const ended: Record<string, number> = {}
  /** The accounts at hand, each with the time until which others keep away from it. */
  const claims = new Map<ConnectedAccountId, number>()
  const showOutstanding = Effect.suspend(() => Metric.update(outstanding, claims.size))

  const count = (kind: string) => {
    ended[kind] = (ended[kind] ?? 0) + 1
    return Metric.update(Metric.withAttributes(renewals, { kind }), 1)
  }

  /** Takes an account off the list: nothing can be done for it until a person or an operator does something, or its time is over. */
  const retire = Effect.fnUntraced(
    function* (id: ConnectedAccountId) {
      const found = yield* store.find(id)
      // Whoever changed the account meanwhile set its time.
      if (Option.isNone(found) || found.value.renewAt !== claims.get(id)) return
      const from = found.value
      const now = yield* Clock.currentTimeMillis
      const lapsed = from.status === "INITIATED" && visibleStatus(from, now).status === "EXPIRED"
      const next = lapsed ? transition(from, { _tag: "ConsentLapsed" }) : { ...from, announce: [] }
      // The end of a link, and of a credential that there is nothing to renew with: somebody has to say so.
      const ends = [from.consentUntil, from.status === "ACTIVE" ? from.expiresAt : null]
      const ahead = ends.filter((end): end is number => end !== null && end > now)
      const to: Account = {
        ...from,
        status: next.status,
        statusReason: next.statusReason,
        renewAt: ahead.length === 0 ? null : Math.min(...ahead),
        updatedAt: next.status === from.status ? from.updatedAt : now
      }
      yield* store.write({ from, to, announce: next.announce })
    },
    (write) => Effect.ignore(write)
  )

  const renew = Effect.fnUntraced(function* ({ authConfigId, generation, id }: Claimed) {
    const config = yield* Effect.option(configs.load(authConfigId))
    if (Option.isSome(config)) {
      const { name, requestsPerSecond } = config.value.profile
      yield* RateLimiter.sleep(limiter, {
        algorithm: "token-bucket",
        key: name,
        limit: Math.max(1, Math.round(requestsPerSecond)),
        window: Duration.seconds(Math.max(1, 1 / requestsPerSecond))
      }).pipe(Effect.ignore)
    }
    const renewed = Effect.matchEffect(coordinator.renew(id), {
      onFailure: (error) =>
        Effect.andThen(
          count(error._tag),
          error._tag === "InvalidRequest" || error._tag === "RefreshUnsupported" ? retire(id) : Effect.void
        ),
      onSuccess: (renewal) =>
        Effect.andThen(
          count(renewal._tag),
          renewal._tag === "Renewed" || renewal._tag === "Served" ? Effect.void : retire(id)
        )
    })
    // Its turn may come when its claim is long over.
    const overtaken = store.find(id).pipe(
      Effect.map(Option.exists((account) => account.generation !== generation)),
      Effect.orElseSucceed(() => false)
    )
    yield* permits.withPermit(Effect.flatMap(overtaken, (moved) => (moved ? count("Overtaken") : renewed)))
  })

  const one = (due: Claimed) =>
    renew(due).pipe(
      Effect.catchCause((cause) => Effect.logError("a background renewal broke", { accountId: due.id, cause })),
      Effect.ensuring(
        Effect.suspend(() => {
          claims.delete(due.id)
          return showOutstanding
        })
      )
    )

  /** What is asked of the store has an end, and so has what keeps it from answering. */
  const orTryLater = (what: string) => (asked: Effect.Effect<void, StoreError | Cause.TimeoutError>) =>
    Effect.catchCause(asked, (cause) =>
      Effect.andThen(
        Effect.logWarning(what, {
          message: Option.getOrUndefined(Cause.findErrorOption(cause))?.message ?? "a defect"
        }),
        Effect.sleep(pollInterval)
      )
    )

  const look = Effect.gen(function* () {
    const now = yield* Clock.currentTimeMillis
    const limit = maxClaimed - claims.size
    const nextLook = now + claimFor
    state.lastLookAt = now
    const due = limit <= 0 ? [] : yield* Effect.timeout(store.claimDue({ now, nextLook, limit }), storeTimeout)
    // One that still waits for its turn is claimed anew by that.
    const fresh = due.filter(({ id }) => !claims.has(id))
    for (const { id } of due) claims.set(id, nextLook)
    state.claimed += fresh.length
    yield* showOutstanding
    yield* Effect.forEach(fresh, (account) => FiberSet.run(fibers, one(account)), { discard: true })
    // A full catch means that there is more; otherwise wait, not in step with other processes.
    const pause =
      due.length === limit && limit > 0
        ? Duration.millis(10)
        : Duration.times(pollInterval, 0.75 + 0.5 * (yield* Random.next))
    yield* Effect.sleep(pause)
  }).pipe(orTryLater("cannot look for due accounts"))

  const recover = Effect.gen(function* () {
    yield* tokens.settle()
    const now = yield* Clock.currentTimeMillis
    const abandoned = yield* Effect.timeout(store.findAbandoned(now, maxClaimed), storeTimeout)
    yield* Effect.forEach(abandoned, (id) => Effect.exit(permits.withPermit(coordinator.renew(id))), {
      discard: true,
      concurrency: "unbounded"
    })
  }).pipe(orTryLater("cannot look for abandoned renewals"))

  yield* Effect.forkScoped(Effect.repeat(recover, Schedule.spaced(options.recoveryInterval ?? "15 seconds")))
  yield* Effect.forkScoped(Effect.forever(look))

  return Renewer.of({
    progress: Effect.sync(() => ({ ...state, outstanding: claims.size, ended: { ...ended } }))
  })
})
