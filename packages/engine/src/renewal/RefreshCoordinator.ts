/**
 * Renews accounts so that each has at most one renewal in flight, across callers and processes.
 *
 * Within a process, callers share one flight. The flight is detached from its callers, and uninterruptible from the lease to the commit. A
 * caller that leaves neither stops it nor loses its result for the others. Between processes a lease in the account's row decides. The
 * statement that takes it also records which token will be spent. A process that dies leaves an open intent, which shows the next process
 * whether it may send the token.
 *
 * A flight alternates between the decision whether to send ({@link makePrepare}) and an attempt ({@link makeAttempt}). It ends with a
 * {@link Renewal}, or with an error that states whether nothing was sent or the result is unknown.
 *
 * @module
 */
import { type ConnectedAccountId, MonotonicClock, type RefreshError } from "@rekindle/core"
import { Context, type DateTime, Deferred, Duration, Effect, Exit, Layer, Result, type Scope } from "effect"
import { SecureRandom } from "effect/crypto"
import type { Account } from "../account/Account.ts"
import { AccountStore } from "../account/AccountStore.ts"
import { AuthConfigs } from "../strategies/AuthConfigs.ts"
import { AuthStrategies } from "../strategies/AuthStrategy.ts"
import { makeAttempt } from "./attempt.ts"
import type { Progress } from "./send.ts"
import { make as makeCircuits, type OpenCircuit, type Refusal } from "./Circuits.ts"
import { makeLateAnswers } from "./lateAnswers.ts"
import { makeContext } from "./context.ts"
import { busy, makePrepare, type Sendable } from "./prepare.ts"
import { failed, isRefused, pastDeadline, type Renewal, timeUntil, unavailable } from "./renewal.ts"
import { TokenCommit } from "./TokenCommit.ts"

export { AtCheckpoint, type Checkpoint } from "./attempt.ts"
export type { OpenCircuit } from "./Circuits.ts"
export type { Renewal } from "./renewal.ts"

/** The time limits of a lease, a request and a caller's wait. */
export interface CoordinatorOptions {
  /** Names this process in leases. Random if absent. */
  readonly owner?: string | undefined
  /**
   * How long a lease holds. Default 60 seconds. It must be the same in every process, because a lease that has been observed for this long
   * counts as over. Requests are sent in its first half only, so that its holder has finished before another process may take over. If a
   * process dies, strict single-use tokens of its accounts are not sent for another lease.
   */
  readonly lease?: Duration.Input | undefined
  /** How long a caller without a deadline waits. Default 40 seconds: three requests that reach their time limit. */
  readonly patience?: Duration.Input | undefined
  /** The time limit of one token request. It must be less than half the lease. Default 10 seconds. */
  readonly requestTimeout?: Duration.Input | undefined
}

/** The options of one caller. */
export interface RenewOptions {
  /** The end of this caller's wait. It does not limit the flight. */
  readonly deadline?: DateTime.Utc | undefined
  /** The account, if the caller has just read it. A flight that starts with it does not read it again. */
  readonly seen?: Account | undefined
  /** Whether to try the credential even if it was refused or failed a moment ago. Default false. */
  readonly insist?: boolean | undefined
  /**
   * The generation whose access token a third party refused. It is served again only within the minimum age that the provider sets. If the
   * credential turns out to be dead, the access token is taken out of service at once. 0, the default, if none was refused.
   */
  readonly refused?: number | undefined
  /**
   * Whether to wait while another process has the lease. Default true. If false, it fails with `busy` in that case, unless another caller
   * of the flight waits.
   */
  readonly waits?: boolean | undefined
}

/** Renews credentials. Each account has at most one renewal in flight. */
export class RefreshCoordinator extends Context.Service<
  RefreshCoordinator,
  {
    /** Joins the flight of the account, or starts one. */
    readonly renew: (id: ConnectedAccountId, options?: RenewOptions) => Effect.Effect<Renewal, RefreshError>
    /**
     * Whether a renewal would send the token now. This neither sends nor waits. The first call starts to observe a lease that holds. A call
     * more than a lease's length later finds that it is over.
     */
    readonly wouldSend: (id: ConnectedAccountId) => Effect.Effect<boolean>
    /** The number of flights in this process. */
    readonly inFlight: Effect.Effect<number>
    /** The circuits that are open in this process, of all projects. */
    readonly openCircuits: Effect.Effect<ReadonlyArray<OpenCircuit>>
  }
>()("@rekindle/engine/RefreshCoordinator") {
  static readonly layer = (
    options: CoordinatorOptions = {}
  ): Layer.Layer<RefreshCoordinator, never, AccountStore | AuthConfigs | AuthStrategies | TokenCommit> =>
    Layer.effect(RefreshCoordinator, make(options)).pipe(Layer.provide(SecureRandom.layerWebCrypto))
}

/** The state that the callers of one flight share. */
interface Flight extends Progress {
  /** Whether to try the credential whatever the last result was. */
  insists: boolean
  refused: number
  waits: boolean
  readonly result: Deferred.Deferred<Renewal, RefreshError>
}

/** What the callers of a flight ask of its decision. */
type Asked = Pick<Flight, "insists" | "refused" | "waits">

const asksMore = (flight: Asked, before: Asked): boolean =>
  (flight.insists && !before.insists) || flight.refused > before.refused || (flight.waits && !before.waits)

const circuitOpen = ({ cause, retryAfter }: Refusal) =>
  Effect.fail(
    unavailable(
      "circuit_open",
      "several accounts of this auth config met the same fault; nothing was sent",
      retryAfter,
      [cause]
    )
  )

const make = Effect.fnUntraced(function* (options: CoordinatorOptions) {
  const scope: Scope.Scope = yield* Effect.scope
  const random = yield* SecureRandom.SecureRandom
  const lease = Duration.toMillis(Duration.fromInputUnsafe(options.lease ?? "60 seconds"))
  const patience = Duration.fromInputUnsafe(options.patience ?? "40 seconds")
  const requestTimeout = Duration.fromInputUnsafe(options.requestTimeout ?? "10 seconds")
  const context = makeContext({
    store: yield* AccountStore,
    configs: yield* AuthConfigs,
    strategies: yield* AuthStrategies,
    tokens: yield* TokenCommit,
    owner: options.owner ?? `process-${yield* random.uuidV4()}`,
    lease,
    requestTimeout,
    lateAnswers: yield* makeLateAnswers(requestTimeout)
  })
  const { limited } = context
  const prepare = makePrepare(context)
  const attempt = makeAttempt(context)

  const circuits = makeCircuits()
  const flights = new Map<ConnectedAccountId, Flight>()

  /** From now on nobody joins the flight. */
  const close = (id: ConnectedAccountId, flight: Flight) => {
    if (flights.get(id) === flight) flights.delete(id)
  }

  /** An attempt behind its circuit. While the circuit is open, it fails without touching the account. */
  const guarded = (sendable: Sendable, flight: Flight) =>
    circuits.guard({
      config: sendable.connection.config,
      id: sendable.account.id,
      attempt: (learn) => attempt(sendable, flight, learn),
      refused: circuitOpen
    })

  const runFlight = Effect.fnUntraced(function* (
    id: ConnectedAccountId,
    flight: Flight,
    seen: Account | undefined
  ): Effect.fn.Return<Renewal, RefreshError> {
    let known = seen
    // Long enough to observe one lease to its end. If the lease is then lost again, another process has it.
    const until = (yield* MonotonicClock.millis) + 2 * lease
    while (true) {
      const asked: Asked = { ...flight }
      const decided = yield* Effect.result(prepare(id, until, { seen: known, flight }))
      known = undefined
      const decision = Result.isSuccess(decided) ? decided.success : decided.failure
      if (decision._tag !== "Sendable") {
        // Whoever joined since, and asks for more, may have come after the decision.
        if (decision._tag !== "Renewed" && asksMore(flight, asked)) continue
        close(id, flight)
        return yield* "account" in decision ? Effect.succeed(decision) : Effect.fail(decision)
      }
      const renewal = yield* guarded(decision, flight)
      if (renewal !== undefined) return renewal
      if ((yield* MonotonicClock.millis) >= until) return yield* busy()
    }
  })

  // --- joining ------------------------------------------------------------------------------------------------------------------

  const shutDown = (flight: Flight) =>
    Effect.fail(
      flight.sent
        ? failed("shutting_down", "this process is shutting down; the renewal was completed, so read the account first")
        : unavailable("shutting_down", "this process is shutting down; nothing was sent")
    )

  const join = (id: ConnectedAccountId, { insist = false, refused = 0, seen, waits = true }: RenewOptions) =>
    Effect.uninterruptible(
      Effect.suspend(() => {
        const existing = flights.get(id)
        if (existing !== undefined) {
          // A flight that has not sent yet will try the credential. A flight that has sent has already tried it.
          existing.insists ||= insist
          existing.refused = Math.max(existing.refused, refused)
          existing.waits ||= waits
          return Effect.succeed(existing)
        }
        const flight: Flight = { result: Deferred.makeUnsafe(), sent: false, insists: insist, refused, waits }
        flights.set(id, flight)
        return Effect.map(Effect.forkIn(runFlight(id, flight, seen), scope), (fiber) => {
          // An observer also sees the end of a fiber that is stopped before its first step.
          fiber.addObserver((exit) => {
            close(id, flight)
            Deferred.doneUnsafe(flight.result, Exit.hasInterrupts(exit) ? shutDown(flight) : exit)
          })
          return flight
        })
      })
    )

  return RefreshCoordinator.of({
    inFlight: Effect.sync(() => flights.size),
    openCircuits: circuits.open,
    wouldSend: (id) =>
      Effect.suspend(() =>
        flights.has(id)
          ? Effect.succeed(false)
          : prepare(id, 0, { flight: { insists: false, refused: 0, waits: false }, seen: undefined }).pipe(
              Effect.map(({ _tag }) => _tag === "Sendable"),
              Effect.orElseSucceed(() => false)
            )
      ),
    renew: Effect.fnUntraced(function* (id, options = {}) {
      const { deadline, refused = 0 } = options
      const wait = deadline === undefined ? patience : yield* timeUntil(deadline)
      if (Duration.isZero(wait)) return yield* pastDeadline(wait, false)
      let flight = yield* join(id, options)
      const renewal = Effect.flatMap(Deferred.await(flight.result), (renewal) => {
        // The flight had been decided, or was under way with an older credential, before this caller reported the access token.
        const serves = renewal._tag === "Renewed" || renewal._tag === "Served"
        if (!serves || !isRefused(renewal.account, { refused })) return Effect.succeed(renewal)
        return Effect.flatMap(join(id, options), (next) => {
          flight = next
          return Deferred.await(next.result)
        })
      })
      return yield* limited(renewal, wait, () =>
        Effect.fail(
          flight.sent ? pastDeadline(wait, true) : unavailable("busy", "the account is busy; nothing was done")
        )
      )
    })
  })
})
