/**
 * One renewal in flight per account, whoever asks, wherever they run.
 *
 * Inside a process, callers share one flight: it is detached from them, and uninterruptible from the lease to the commit, so a caller
 * who leaves neither stops it nor loses its result for the others. Between processes a lease row decides, taken in the same statement that writes down which token is
 * about to be spent. A process that dies leaves an open intent, and the next one knows what it may and may not send.
 *
 * A flight ends in one of four ways ({@link Renewal}) or in an error that says that nothing was done, or that nobody can know.
 *
 * @module
 */
import {
  AccountNotFound,
  type ConnectedAccountId,
  DeadlineExceeded,
  InvalidRequest,
  type RefreshError,
  RefreshFailed,
  RefreshUnsupported,
  Unavailable
} from "@rekindle/core"
import {
  Clock,
  Context,
  type DateTime,
  Deferred,
  Duration,
  Effect,
  Exit,
  Layer,
  Option,
  Random,
  Redacted,
  Schedule,
  type Scope
} from "effect"
import { CircuitBreaker } from "effect/persistence"
import { createHash, randomUUID } from "node:crypto"
import { type Account, type AttemptResult, isUsable, transition } from "./Account.ts"
import { AccountStore } from "./AccountStore.ts"
import { AuthConfigs } from "./AuthConfigs.ts"
import { AuthStrategies, type AuthStrategy, type Connection } from "./AuthStrategy.ts"
import { decideRenewal, TokenCommit } from "./TokenCommit.ts"
import type { Observation, Verdict } from "./Verdict.ts"

/** How a flight ended. */
export type Renewal =
  /** A new credential is committed, by this flight or by one whose result it shares. */
  | { readonly _tag: "Renewed"; readonly account: Account }
  /** The credential in service is usable; it was not renewed, and `why` says why. */
  | { readonly _tag: "Served"; readonly account: Account; readonly why: "fresh" | "ambiguous" | "not-renewed" }
  /** There is nothing to renew with, or it is dead: a person has to consent. */
  | { readonly _tag: "ConsentNeeded"; readonly account: Account }
  /** The credential is dead and the scheme has no consent: somebody has to enter a new one. */
  | { readonly _tag: "Rejected"; readonly account: Account }
  /** The scheme has no renewal. */
  | { readonly _tag: "Static"; readonly account: Account }

/** The points of a renewal at which a crash differs in what it leaves behind. */
export type Checkpoint = "before-lease" | "after-intent" | "after-response" | "after-commit"

/** Called at each checkpoint. For crash tests; does nothing unless replaced. */
export const AtCheckpoint = Context.Reference<(point: Checkpoint, id: ConnectedAccountId) => Effect.Effect<void>>(
  "@rekindle/engine/AtCheckpoint",
  { defaultValue: () => () => Effect.void }
)

/** How long things may take. */
export interface CoordinatorOptions {
  /** Names this process in leases. Random if absent. */
  readonly owner?: string | undefined
  /**
   * How long a lease holds. Default 60 seconds. Requests stop being sent when there is no longer time for one more and its commit, so
   * the holder is done before anybody may take over. The same in every process: a lease watched for longer than this counts as over.
   */
  readonly lease?: Duration.Input | undefined
  /** How long a caller without a deadline waits. Default 30 seconds. */
  readonly patience?: Duration.Input | undefined
  /** The longest that one token request takes. It must stay below half the lease. Default 10 seconds. */
  readonly requestTimeout?: Duration.Input | undefined
}

/** Renews credentials, safely. */
export class RefreshCoordinator extends Context.Service<
  RefreshCoordinator,
  {
    /** Joins the account's flight, or starts one. `deadline` bounds this caller's wait, never the flight. */
    readonly renew: (id: ConnectedAccountId, deadline?: DateTime.Utc) => Effect.Effect<Renewal, RefreshError>
    /** Flights of this process under way. */
    readonly inFlight: Effect.Effect<number>
  }
>()("@rekindle/engine/RefreshCoordinator") {
  static readonly layer = (
    options: CoordinatorOptions = {}
  ): Layer.Layer<RefreshCoordinator, never, AccountStore | AuthConfigs | AuthStrategies | TokenCommit> =>
    Layer.effect(RefreshCoordinator, make(options)).pipe(Layer.provide(CircuitBreaker.layerStoreMemory()))
}

/** What the callers of one flight share. */
interface Flight {
  readonly result: Deferred.Deferred<Renewal, RefreshError>
  /** Set once a request may have left: from then on nobody may say "nothing was done". */
  sent: boolean
}

/** What a flight found out before it may send. */
interface Ready {
  readonly account: Account
  readonly strategy: AuthStrategy
  readonly renewal: NonNullable<AuthStrategy["renewal"]>
  readonly connection: Connection
  readonly intentHash: string
  /** Whether the lease that stands was watched for longer than it can be real, and may be taken although it says otherwise. */
  readonly waitedOut: boolean
}

/** How often one flight sends the same request, where sending it again is safe. */
const sendsPerFlight = 3
/** The pauses between them: doubled each time, jittered. */
const firstPause = Duration.millis(200)
/** How often a waiting flight looks whether the holder is done. */
const firstLook = Duration.millis(25)
const slowestLook = Duration.millis(500)
/** An owner that lost its database may be alive and about to commit: it is given this long before its single-use token is sent again. */
const settleGrace = Duration.seconds(2)
/** By how much two readings of the time may be out of order without anything having happened to the clock. */
const clockSlack = 5_000
/** After a failure that may pass, the renewer looks again after this long, and up to twice that. */
const retryLater = Duration.seconds(30)

const make = Effect.fnUntraced(function* (options: CoordinatorOptions) {
  const store = yield* AccountStore
  const configs = yield* AuthConfigs
  const strategies = yield* AuthStrategies
  const tokens = yield* TokenCommit
  const scope: Scope.Scope = yield* Effect.scope
  const owner = options.owner ?? `process-${randomUUID()}`
  const lease = Duration.toMillis(Duration.fromInputUnsafe(options.lease ?? "60 seconds"))
  const patience = Duration.fromInputUnsafe(options.patience ?? "30 seconds")
  const requestTimeout = Duration.fromInputUnsafe(options.requestTimeout ?? "10 seconds")

  // A fault of the application opens at once and for all accounts of the config: every further request would be refused too.
  const appBreaker = yield* CircuitBreaker.make({ tripPolicy: CircuitBreaker.consecutive(1), openDuration: "1 minute" })
  // A provider that is down is left alone, longer each time, so that its recovery does not meet a crowd.
  const providerBreaker = yield* CircuitBreaker.make({
    tripPolicy: CircuitBreaker.consecutive(5),
    openDuration: Schedule.exponential("5 seconds").pipe(Schedule.upTo({ duration: "5 minutes" })),
    maxOpenDuration: "15 minutes"
  })

  const flights = new Map<ConnectedAccountId, Flight>()

  const unavailable = (slug: string, message: string, retryAfter: Duration.Duration = Duration.seconds(1)) =>
    new Unavailable({ message, slug, retryAfter })
  const storeDown = () => unavailable("store_unavailable", "the account store is unavailable; nothing was sent")
  const failed = (slug: string, message: string, errors?: ReadonlyArray<string>) =>
    new RefreshFailed({ message, slug, ...(errors === undefined ? {} : { errors }) })

  /** A store that hangs is a store that is down: every flight has an end. */
  const bounded = <A, E>(call: Effect.Effect<A, E>): Effect.Effect<A, E | Unavailable> =>
    Effect.timeoutOrElse(call, { duration: requestTimeout, orElse: () => Effect.fail(storeDown()) })

  const find = (id: ConnectedAccountId) =>
    bounded(store.find(id)).pipe(
      Effect.mapError(storeDown),
      Effect.flatMap(
        Option.match({
          onNone: () =>
            new AccountNotFound({ message: `no connected account ${id}`, slug: "connected_account_not_found" }),
          onSome: Effect.succeed
        })
      )
    )

  /** What other callers, and other processes, are told about an attempt that did not renew. */
  const shared = (result: AttemptResult, now: number): Effect.Effect<never, RefreshError> => {
    const retryAfter = Duration.millis(Math.max(1000, (result.retryAt ?? 0) - now))
    const errors = result.code === null ? undefined : [result.code]
    switch (result.verdict) {
      case "NotApplied":
        return Effect.fail(
          unavailable("provider_unreachable", "the provider could not be reached; nothing was sent", retryAfter)
        )
      case "Transient":
        return Effect.fail(unavailable("provider_busy", "the provider asked to come back later", retryAfter))
      case "Ambiguous":
        return Effect.fail(
          unavailable("provider_silent", "the provider gave no clear answer; the credential is kept", retryAfter)
        )
      case "AppFault":
        return Effect.fail(
          failed("auth_config_rejected", "the provider refused the application; its auth config needs mending", errors)
        )
      case "Misconfigured":
        return Effect.fail(failed("refresh_refused", "the provider refused the request", errors))
      default:
        return Effect.fail(failed("not_renewed", "the provider answered without a new token", errors))
    }
  }

  /** Marks the credential dead, unless a newer one is there. */
  const bury = Effect.fnUntraced(function* (
    leased: Account,
    hasConsent: boolean,
    lost: boolean
  ): Effect.fn.Return<Renewal, RefreshError> {
    let from = leased
    while (true) {
      const next = transition(from, {
        _tag: "CredentialDead",
        reason: !hasConsent ? "credential_rejected" : lost ? "rotation_response_lost" : "grant_dead"
      })
      const to: Account = {
        ...from,
        status: next.status,
        statusReason: next.statusReason,
        renewAt: null,
        updatedAt: yield* Clock.currentTimeMillis
      }
      const written = yield* bounded(store.write({ from, to, announce: next.announce, endLease: leased.epoch })).pipe(
        Effect.mapError(() =>
          unavailable("store_unavailable", "the provider refused the credential, and the account store is unavailable")
        )
      )
      if (written) {
        const account = { ...to, revision: from.revision + 1, lease: null, intent: null }
        return { _tag: hasConsent ? "ConsentNeeded" : "Rejected", account }
      }
      const current = yield* find(leased.id)
      if (current.generation !== leased.generation) return { _tag: "Renewed", account: current }
      // Somebody newer holds the lease: it is theirs to say, and theirs to find the token alive.
      if (current.epoch !== leased.epoch) return yield* unavailable("busy", "another process is renewing this account")
      from = current
    }
  })

  // --- before sending -----------------------------------------------------------------------------------------------------------

  /**
   * Waits while somebody else holds the lease, and says what came of it. None: look at the account anew. `waited-out`: the same lease held
   * for longer than leases do, so the clock by which it was given has been set back since.
   */
  const awaitHolder = Effect.fnUntraced(function* (
    held: Account,
    until: number
  ): Effect.fn.Return<Option.Option<Renewal | "waited-out">, RefreshError> {
    const since = yield* monotonicMillis
    let look = firstLook
    while (true) {
      yield* Effect.sleep(look)
      look = Duration.min(Duration.times(look, 2), slowestLook)
      const now = yield* Clock.currentTimeMillis
      const account = yield* find(held.id)
      if (account.generation !== held.generation && account.status === "ACTIVE") {
        return Option.some({ _tag: "Renewed", account })
      }
      if (account.lastAttempt !== null && account.lastAttempt.epoch === held.epoch && account.lease === null) {
        const why = servedAfter(account.lastAttempt.verdict)
        return why !== undefined && isUsable(account, now)
          ? Option.some({ _tag: "Served", account, why })
          : yield* shared(account.lastAttempt, now)
      }
      if (account.lease === null || account.lease.until <= now || account.epoch !== held.epoch) return Option.none()
      const waited = yield* monotonicMillis
      if (waited - since >= lease) return Option.some("waited-out")
      if (waited >= until) return yield* unavailable("busy", "another process is renewing this account")
    }
  })

  /** Whether a token that may have been spent can be sent again: it is not consumed, or the provider's reuse window is still open. */
  const mayResend = (
    {
      account,
      connection: {
        config: { profile }
      },
      renewal
    }: Ready,
    now: number
  ): boolean =>
    (renewal.rotation ?? profile.rotation) !== "single-use" ||
    (profile.reuseWindow !== undefined &&
      account.intent !== null &&
      // A window that lies ahead was opened by a clock that has been set back: nobody knows how long ago that was.
      now >= account.intent.since - clockSlack &&
      now + Duration.toMillis(requestTimeout) < account.intent.since + Duration.toMillis(profile.reuseWindow))

  /** Looks at the account until there is an end to report or a reason to send. */
  const prepare = Effect.fnUntraced(function* (
    id: ConnectedAccountId,
    until: number
  ): Effect.fn.Return<Renewal | Ready, RefreshError> {
    let graceGiven = false
    let settled = false
    let waitedOut: number | undefined
    while (true) {
      const account = yield* find(id)
      const now = yield* Clock.currentTimeMillis
      // An answer in escrow is newer than whatever stands here, even than a verdict that came after it.
      if (!settled) {
        settled = true
        const settlement = yield* Effect.timeoutOption(tokens.settle(account), requestTimeout)
        if (Option.isNone(settlement)) return yield* storeDown()
        if (settlement.value.committed > 0) {
          const renewed = yield* find(id)
          if (isUsable(renewed, yield* Clock.currentTimeMillis)) return { _tag: "Renewed", account: renewed }
          continue
        }
      }
      if (account.status === "INACTIVE" || account.status === "REVOKED") {
        return yield* new InvalidRequest({
          message: `the account is ${account.status} and cannot be refreshed`,
          slug: "account_not_refreshable",
          suggestedFix: account.status === "INACTIVE" ? "enable the account first" : "connect the account anew"
        })
      }
      const strategy = strategies.get(account.scheme)
      if (strategy === undefined) {
        return yield* new RefreshUnsupported({
          message: `nothing to refresh for the scheme ${account.scheme}`,
          slug: "scheme_unsupported"
        })
      }
      const { renewal } = strategy
      if (renewal === undefined) return { _tag: "Static", account }
      // A confirmed dead credential is never sent again where a person can bring a new one.
      if (account.status !== "ACTIVE" && strategy.consent !== undefined) return { _tag: "ConsentNeeded", account }

      if (account.lease !== null && account.lease.until > now && account.epoch !== waitedOut) {
        const outcome = yield* awaitHolder(account, until)
        if (Option.isSome(outcome)) {
          if (outcome.value !== "waited-out") return outcome.value
          waitedOut = account.epoch
        }
        continue
      }
      const config = yield* bounded(configs.load(account.authConfigId)).pipe(
        Effect.mapError((error) =>
          error._tag === "AuthConfigError" ? failed("auth_config_invalid", error.message) : storeDown()
        )
      )
      const credential = yield* tokens
        .open(account)
        .pipe(
          Effect.mapError(() =>
            failed("credential_unreadable", "the stored credential cannot be opened with the keys at hand")
          )
        )
      const connection: Connection = { accountId: id, config, credential }
      const spent = renewal.spends(connection)
      if (spent === undefined) {
        // Nothing to renew with and nothing left to serve: the clock confirms that this credential is dead.
        if (account.status === "ACTIVE" && !isUsable(account, now))
          return yield* bury(account, strategy.consent !== undefined, false)
        return { _tag: strategy.consent === undefined ? "Rejected" : "ConsentNeeded", account }
      }
      const age = now - account.obtainedAt
      // An age below zero is a clock that was set back: it says nothing.
      if (isUsable(account, now) && age >= 0 && age < Duration.toMillis(config.profile.minimumAge)) {
        return { _tag: "Served", account, why: "fresh" }
      }
      const intentHash = createHash("sha256").update(Redacted.value(spent)).digest("base64url")
      const ready: Ready = {
        account,
        strategy,
        renewal,
        connection,
        intentHash,
        waitedOut: account.epoch === waitedOut
      }
      if (account.intent !== null && !mayResend(ready, now)) {
        // The token may be spent. While the access token lasts, finding out can only do harm.
        if (isUsable(account, now)) return { _tag: "Served", account, why: "ambiguous" }
        if (!graceGiven && account.lease !== null) {
          graceGiven = true
          yield* Effect.sleep(settleGrace)
          continue
        }
      }
      return ready
    }
  })

  // --- sending ------------------------------------------------------------------------------------------------------------------

  /** Gives the lease back and leaves word. Not being able to is no reason to fail: the lease runs out by itself. */
  const release = Effect.fnUntraced(function* (leased: Account, verdict: Verdict, keepIntent: boolean) {
    const now = yield* Clock.currentTimeMillis
    const asked =
      verdict._tag === "Transient" && verdict.retryAfter !== undefined ? Duration.toMillis(verdict.retryAfter) : 0
    const pause = Math.max(asked, Duration.toMillis(retryLater)) * (1 + (yield* Random.next))
    const retryAt = Math.round(now + pause)
    const result: AttemptResult = {
      epoch: leased.epoch,
      verdict: verdict._tag,
      code: "code" in verdict ? verdict.code : null,
      retryAt: verdict._tag === "Transient" && asked > 0 ? Math.round(now + asked) : null
    }
    yield* bounded(
      store.release({
        id: leased.id,
        epoch: leased.epoch,
        keepIntent,
        renewAt: leased.renewAt === null ? null : retryAt,
        result
      })
    ).pipe(
      Effect.catch(({ message }) => Effect.logWarning("a lease could not be given back; it will run out", { message }))
    )
    return result
  })

  /** Sends, as often as is safe and useful, under the lease. */
  const send = Effect.fnUntraced(function* (ready: Ready, leased: Account, flight: Flight) {
    const { connection, renewal, strategy } = ready
    let pause = firstPause
    let doubtful = (leased.intent?.attempts ?? 1) > 1
    for (let count = 1; ; count++) {
      flight.sent = true
      const observation: Observation = yield* renewal.send(connection).pipe(
        // A strategy that breaks may have sent.
        Effect.catchDefect((defect) =>
          Effect.as(
            // Its name only: what a strategy says about itself may hold a secret.
            Effect.logError("a strategy broke while renewing", {
              accountId: leased.id,
              defect: defect instanceof Error ? defect.name : typeof defect
            }),
            noAnswer("the strategy broke")
          )
        ),
        Effect.timeoutOrElse({
          duration: requestTimeout,
          orElse: () => Effect.succeed(noAnswer("timeout"))
        })
      )
      const verdict = decideRenewal(strategy, connection, observation)
      if (verdict._tag === "NotApplied" && !doubtful) flight.sent = false
      if (verdict._tag === "Ambiguous") doubtful = true
      const now = yield* Clock.currentTimeMillis
      // Strict single-use tokens get one more try, and only when there is no access token left to lose by it.
      const again =
        verdict._tag === "NotApplied" ||
        (verdict._tag === "Ambiguous" &&
          (mayResend({ ...ready, account: leased }, now) || (count === 1 && !isUsable(leased, now))))
      const wait = Duration.times(pause, 0.5 + (yield* Random.next))
      const timeLeft =
        (leased.lease?.until ?? 0) - now - Duration.toMillis(wait) - 2 * Duration.toMillis(requestTimeout)
      if (!again || count >= sendsPerFlight || timeLeft < 0) return { observation, verdict, doubtful }
      yield* Effect.sleep(wait)
      pause = Duration.times(pause, 2)
    }
  })

  /** One attempt under a lease. None: somebody else took it first. */
  const attempt = Effect.fnUntraced(function* (
    ready: Ready,
    flight: Flight
  ): Effect.fn.Return<
    { readonly verdict: Verdict; readonly renewal: Effect.Effect<Renewal, RefreshError> } | undefined,
    RefreshError
  > {
    const { account, connection, intentHash, strategy } = ready
    const checkpoint = yield* AtCheckpoint
    yield* checkpoint("before-lease", account.id)
    const clock = yield* Clock.currentTimeMillis
    const now = ready.waitedOut ? Math.max(clock, account.lease?.until ?? 0) : clock
    const begun = yield* bounded(store.begin({ account, owner, leaseMillis: lease, intentHash, now })).pipe(
      Effect.mapError(storeDown)
    )
    if (Option.isNone(begun)) {
      if (ready.waitedOut) return yield* unavailable("busy", "another process is renewing this account")
      return undefined
    }
    const leased = begun.value
    yield* checkpoint("after-intent", account.id)
    const { doubtful, observation, verdict } = yield* send(ready, leased, flight)
    yield* checkpoint("after-response", account.id)
    yield* Effect.logDebug("token endpoint answered", { accountId: account.id, verdict: verdict._tag })

    switch (prolongs(verdict, observation, leased) ? "Renewed" : verdict._tag) {
      case "Renewed": {
        if (observation._tag !== "Answer" || !("tokens" in verdict))
          return yield* Effect.die("tokens without an answer")
        if (verdict.tokens.irregularities.length > 0) {
          yield* Effect.logWarning("tokens kept from an irregular answer", {
            accountId: account.id,
            irregularities: verdict.tokens.irregularities
          })
        }
        const kept = yield* tokens
          .keep({
            account: leased,
            config: connection.config,
            held: connection.credential,
            tokens: verdict.tokens,
            answer: observation,
            event: "Renewed",
            grantId: leased.grantId
          })
          .pipe(Effect.mapError(({ message }) => failed("commit_pending", message)))
        yield* checkpoint("after-commit", account.id)
        return { verdict, renewal: Effect.succeed({ _tag: "Renewed", account: kept.account }) }
      }
      case "Dead": {
        const buried = yield* bury(leased, strategy.consent !== undefined, doubtful)
        return { verdict, renewal: Effect.succeed(buried) }
      }
      default: {
        const keepIntent = doubtful && verdict._tag !== "NotRenewed"
        const result = yield* release(leased, verdict, keepIntent)
        const now = yield* Clock.currentTimeMillis
        const why = servedAfter(verdict._tag)
        return {
          verdict,
          renewal:
            why !== undefined && isUsable(leased, now)
              ? Effect.succeed({ _tag: "Served", account: leased, why })
              : shared(result, now)
        }
      }
    }
  }, Effect.uninterruptible)

  /** An attempt behind the breakers: an open one answers without touching the account. */
  const guarded = (ready: Ready, flight: Flight) => {
    const { hosts, id, profile } = ready.connection.config
    const throughProvider = providerBreaker.execute(attempt(ready, flight), {
      key: `${profile.name}/${hosts.join(",")}`,
      classify: (exit) => providerOutcome(Exit.isSuccess(exit) ? exit.value?.verdict : undefined)
    })
    const throughApp = appBreaker.execute(throughProvider, {
      key: id,
      classify: (exit) => {
        const verdict = Exit.isSuccess(exit) ? exit.value?.verdict : undefined
        return verdict?._tag === "AppFault"
          ? CircuitBreaker.failure()
          : verdict === undefined
            ? CircuitBreaker.ignored
            : CircuitBreaker.success
      }
    })
    return Effect.mapError(throughApp, (error) =>
      error instanceof CircuitBreaker.CircuitBreakerError
        ? unavailable(
            "circuit_open",
            "the provider or this auth config is failing; nothing was sent",
            error.reason._tag === "CircuitOpen" ? error.reason.retryAfter : Duration.seconds(1)
          )
        : error
    )
  }

  const fly = Effect.fnUntraced(function* (
    id: ConnectedAccountId,
    flight: Flight
  ): Effect.fn.Return<Renewal, RefreshError> {
    const until = (yield* monotonicMillis) + lease
    while (true) {
      const ready = yield* prepare(id, until)
      if ("_tag" in ready) return ready
      const attempted = yield* guarded(ready, flight)
      if (attempted !== undefined) return yield* attempted.renewal
    }
  })

  // --- joining ------------------------------------------------------------------------------------------------------------------

  const shutDown = (flight: Flight) =>
    Effect.fail(
      flight.sent
        ? failed("shutting_down", "this process is shutting down; the renewal was brought to its end, so look first")
        : unavailable("shutting_down", "this process is shutting down; nothing was sent")
    )

  const join = (id: ConnectedAccountId) =>
    Effect.uninterruptible(
      Effect.suspend(() => {
        const existing = flights.get(id)
        if (existing !== undefined) return Effect.succeed(existing)
        const flight: Flight = { result: Deferred.makeUnsafe(), sent: false }
        flights.set(id, flight)
        return Effect.map(Effect.forkIn(fly(id, flight), scope), (fiber) => {
          // Observed from outside: a fiber that is stopped before its first step ends too.
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
    renew: Effect.fnUntraced(function* (id, deadline) {
      const now = yield* Clock.currentTimeMillis
      const wait = deadline === undefined ? patience : Duration.millis(Math.max(0, deadline.epochMilliseconds - now))
      if (Duration.isZero(wait)) {
        return yield* new DeadlineExceeded({
          message: "the deadline had passed before anything was sent",
          timeout: wait,
          disposition: "not-sent"
        })
      }
      const flight = yield* join(id)
      return yield* Deferred.await(flight.result).pipe(
        Effect.timeoutOrElse({
          duration: wait,
          orElse: () =>
            Effect.fail(
              flight.sent
                ? new DeadlineExceeded({
                    message: "the renewal goes on without this caller",
                    timeout: wait,
                    disposition: "ambiguous"
                  })
                : unavailable("busy", "the account is busy; nothing was done")
            )
        })
      )
    })
  })
})

/** By how much an expiry has to be later to have moved: what latency and rounding do is less. */
const movedBy = Duration.toMillis("1 minute")

/** Whether an answer with the access token in hand gives that token a longer life. */
const prolongs = (verdict: Verdict, observation: Observation, { expiresAt }: Account): boolean =>
  verdict._tag === "NotRenewed" &&
  observation._tag === "Answer" &&
  verdict.tokens.expiresIn !== undefined &&
  expiresAt !== null &&
  (verdict.tokens.expiresIn === null || observation.receivedAt + verdict.tokens.expiresIn * 1000 > expiresAt + movedBy)

/** Time that no correction of the clock moves: for how long something has been waited for. */
const monotonicMillis = Effect.map(Clock.monotonicTimeNanos, (nanos) => Number(nanos / 1_000_000n))

const noAnswer = (reason: string): Observation => ({ _tag: "NoAnswer", reason })

/** Why the access token in hand is served after an attempt that did not renew it; undefined where it is not. */
const servedAfter = (verdict: Verdict["_tag"]): "ambiguous" | "not-renewed" | undefined =>
  verdict === "Ambiguous" ? "ambiguous" : verdict === "NotRenewed" ? "not-renewed" : undefined

/** What an attempt says about the provider's health. An answer that refuses is a healthy one. */
const providerOutcome = (verdict: Verdict | undefined): CircuitBreaker.Outcome => {
  switch (verdict?._tag) {
    case undefined:
      return CircuitBreaker.ignored
    case "Transient":
      return CircuitBreaker.failure({ retryAfter: verdict.retryAfter })
    case "NotApplied":
    case "Ambiguous":
      return CircuitBreaker.failure()
    default:
      return CircuitBreaker.success
  }
}
