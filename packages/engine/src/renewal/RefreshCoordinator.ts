/**
 * One renewal in flight per account, whoever asks, wherever they run.
 *
 * Inside a process, callers share one flight: it is detached from them, and uninterruptible from the lease to the commit, so a caller
 * who leaves neither stops it nor loses its result for the others. Between processes a lease row decides, taken in the same statement
 * that writes down which token is about to be spent. A process that dies leaves an open intent, and the next one knows what it may and
 * may not send.
 *
 * A flight alternates between the decision whether to send ({@link makePrepare}) and an attempt ({@link makeAttempt}). It ends with a
 * {@link Renewal}, or with an error that says whether nothing was sent or the result is unknown.
 *
 * @module
 */
import { type ConnectedAccountId, DeadlineExceeded, type RefreshError } from "@rekindle/core"
import { Clock, Context, type DateTime, Deferred, Duration, Effect, Exit, Layer, type Scope } from "effect"
import { randomUUID } from "node:crypto"
import type { Account } from "../account/Account.ts"
import { AccountStore } from "../account/AccountStore.ts"
import { AuthConfigs } from "../strategies/AuthConfigs.ts"
import { AuthStrategies } from "../strategies/AuthStrategy.ts"
import { makeAttempt } from "./attempt.ts"
import type { Progress } from "./send.ts"
import { make as makeCircuits, type Refusal } from "./Circuits.ts"
import { makeLateAnswers } from "./lateAnswers.ts"
import { makeContext } from "./context.ts"
import { busy, makePrepare, type Sendable } from "./prepare.ts"
import { failed, type Renewal, unavailable } from "./renewal.ts"
import { monotonicMillis } from "../egress/timeLimit.ts"
import { TokenCommit } from "./TokenCommit.ts"

export { AtCheckpoint, type Checkpoint } from "./attempt.ts"
export type { Renewal } from "./renewal.ts"

/** How long a lease, a request and a caller's wait may take. */
export interface CoordinatorOptions {
  /** Names this process in leases. Random if absent. */
  readonly owner?: string | undefined
  /**
   * How long a lease holds. Default 60 seconds. Requests leave in its first half only, so that the holder is done before anybody may take
   * over. After a process died, its strict single-use tokens wait for one lease more. The same in every process: a lease that has been seen
   * to stand for this long counts as over.
   */
  readonly lease?: Duration.Input | undefined
  /** How long a caller without a deadline waits. Default 40 seconds: three requests that time out. */
  readonly patience?: Duration.Input | undefined
  /** The time limit of one token request. It must be less than half the lease. Default 10 seconds. */
  readonly requestTimeout?: Duration.Input | undefined
}

/** Options of one caller of a renewal. */
export interface RenewOptions {
  /** Bounds this caller's wait, never the flight. */
  readonly deadline?: DateTime.Utc | undefined
  /** The account as the caller has just read it. A flight that starts with it does not read it again. */
  readonly seen?: Account | undefined
  /** Tries the credential even if it was refused, or failed a moment ago. Default false. */
  readonly insist?: boolean | undefined
  /** Whether a third party refused the access token. If the credential is dead, the token then goes out of service at once. Default false. */
  readonly tokenRefused?: boolean | undefined
  /** Whether to wait while another process has the lease. Default true. Otherwise it fails with `busy`, unless another caller of the flight waits. */
  readonly waits?: boolean | undefined
}

/** Renews credentials, one renewal per account at a time. */
export class RefreshCoordinator extends Context.Service<
  RefreshCoordinator,
  {
    /** Joins the account's flight, or starts one. */
    readonly renew: (id: ConnectedAccountId, options?: RenewOptions) => Effect.Effect<Renewal, RefreshError>
    /**
     * Whether a renewal would send the token now. It does not send, and waits for nobody. A lease that stands is watched from the first call
     * on; calls that come more than a lease's length later find that nobody holds it any more.
     */
    readonly wouldSend: (id: ConnectedAccountId) => Effect.Effect<boolean>
    /** The flights of this process. */
    readonly inFlight: Effect.Effect<number>
  }
>()("@rekindle/engine/RefreshCoordinator") {
  static readonly layer = (
    options: CoordinatorOptions = {}
  ): Layer.Layer<RefreshCoordinator, never, AccountStore | AuthConfigs | AuthStrategies | TokenCommit> =>
    Layer.effect(RefreshCoordinator, make(options))
}

/** The state that the callers of one flight share. */
interface Flight extends Progress {
  /** Whether it tries the credential whatever the last result was. */
  insists: boolean
  tokenRefused: boolean
  waits: boolean
  readonly result: Deferred.Deferred<Renewal, RefreshError>
}

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
  const lease = Duration.toMillis(Duration.fromInputUnsafe(options.lease ?? "60 seconds"))
  const patience = Duration.fromInputUnsafe(options.patience ?? "40 seconds")
  const requestTimeout = Duration.fromInputUnsafe(options.requestTimeout ?? "10 seconds")
  const context = makeContext({
    store: yield* AccountStore,
    configs: yield* AuthConfigs,
    strategies: yield* AuthStrategies,
    tokens: yield* TokenCommit,
    owner: options.owner ?? `process-${randomUUID()}`,
    lease,
    requestTimeout,
    lateAnswers: yield* makeLateAnswers(requestTimeout)
  })
  const { limited } = context
  const prepare = makePrepare(context)
  const attempt = makeAttempt(context)

  const circuits = makeCircuits()
  const flights = new Map<ConnectedAccountId, Flight>()

  /** An attempt behind its circuit: an open one answers without touching the account. */
  const guarded = (sendable: Sendable, flight: Flight) =>
    circuits.guard({
      config: sendable.connection.config,
      id: sendable.account.id,
      attempt: attempt(sendable, flight),
      evidence: (attempted) => attempted?.evidence ?? { _tag: "Nothing" },
      refused: circuitOpen
    })

  const fly = Effect.fnUntraced(function* (
    id: ConnectedAccountId,
    flight: Flight,
    seen: Account | undefined
  ): Effect.fn.Return<Renewal, RefreshError> {
    let known = seen
    // The lease is watched to its end. If it is lost once more, another process has it.
    const until = (yield* monotonicMillis) + 2 * lease
    while (true) {
      const sendable = yield* prepare(id, until, { seen: known, flight })
      known = undefined
      if (sendable._tag !== "Sendable") return sendable
      const attempted = yield* guarded(sendable, flight)
      if (attempted !== undefined) return yield* attempted.renewal
      if ((yield* monotonicMillis) >= until) return yield* busy()
    }
  })

  // --- joining ------------------------------------------------------------------------------------------------------------------

  const shutDown = (flight: Flight) =>
    Effect.fail(
      flight.sent
        ? failed("shutting_down", "this process is shutting down; the renewal was brought to its end, so look first")
        : unavailable("shutting_down", "this process is shutting down; nothing was sent")
    )

  const join = (id: ConnectedAccountId, { insist = false, seen, tokenRefused = false, waits = true }: RenewOptions) =>
    Effect.uninterruptible(
      Effect.suspend(() => {
        const existing = flights.get(id)
        if (existing !== undefined) {
          // A flight that has not sent yet will try the credential. One that has sent did what was asked for.
          existing.insists ||= insist
          existing.tokenRefused ||= tokenRefused
          existing.waits ||= waits
          return Effect.succeed(existing)
        }
        const flight: Flight = { result: Deferred.makeUnsafe(), sent: false, insists: insist, tokenRefused, waits }
        flights.set(id, flight)
        return Effect.map(Effect.forkIn(fly(id, flight, seen), scope), (fiber) => {
          // An observer also sees the end of a fiber that is stopped before its first step.
          fiber.addObserver((exit) => {
            flights.delete(id)
            Deferred.doneUnsafe(flight.result, Exit.hasInterrupts(exit) ? shutDown(flight) : exit)
          })
          return flight
        })
      })
    )

  return RefreshCoordinator.of({
    inFlight: Effect.sync(() => flights.size),
    wouldSend: (id) =>
      Effect.suspend(() =>
        flights.has(id)
          ? Effect.succeed(false)
          : prepare(id, 0, { flight: { insists: false, tokenRefused: false, waits: false }, seen: undefined }).pipe(
              Effect.map(({ _tag }) => _tag === "Sendable"),
              Effect.orElseSucceed(() => false)
            )
      ),
    renew: Effect.fnUntraced(function* (id, options = {}) {
      const { deadline } = options
      const now = yield* Clock.currentTimeMillis
      const wait = deadline === undefined ? patience : Duration.millis(Math.max(0, deadline.epochMilliseconds - now))
      if (Duration.isZero(wait)) {
        return yield* new DeadlineExceeded({
          message: "the deadline had passed before anything was sent",
          timeout: wait,
          sent: false
        })
      }
      const flight = yield* join(id, options)
      return yield* limited(Deferred.await(flight.result), wait, () =>
        Effect.fail(
          flight.sent
            ? new DeadlineExceeded({
                message: "the renewal goes on without this caller",
                timeout: wait,
                sent: true
              })
            : unavailable("busy", "the account is busy; nothing was done")
        )
      )
    })
  })
})
