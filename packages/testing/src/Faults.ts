/**
 * Fault injection: resilience policies gone bad, which break a provider of `ConnectedAccounts` on purpose.
 * They go wherever a policy goes: `Resilience.compose(Resilience.retry(), Faults.dropAfterCommit({ rate: 0.1 }))`.
 *
 * A fault is plain data ({@link Fault}), so a random schedule of faults can be generated, printed and shrunk by a property test. Every
 * fault is honest about its disposition: the inner service is called if, and only if, the error that comes back admits that something
 * may have been done (`ambiguous`). A fault that drops the answer therefore really does spend the grant.
 *
 * Time is `Clock` and chance is `Random`: under `TestClock` nothing waits, and with a `seed` (or `Random.withSeed` around the test) the
 * same calls break in every run.
 *
 * @module
 */
import {
  AccountNotFound,
  type ConnectedAccounts,
  excerptLimit,
  Forbidden,
  InvalidRequest,
  RateLimited,
  type RefreshError,
  RefreshFailed,
  RefreshUnsupported,
  Resilience,
  TransportError,
  Unauthorized,
  Unavailable,
  UnexpectedResponse
} from "@rekindle/core"
import { Duration, Effect, Layer, Predicate, Random, Schema } from "effect"

/** What happens to one call. */
export const Fault = Schema.TaggedUnion({
  /** Nothing: the call goes through. */
  None: {},
  /** The call goes through, later. On the `response` side the work is done first and its answer is what is late. */
  Latency: { delay: Schema.Duration, side: Schema.Literals(["request", "response"]) },
  /** The connection is never made. */
  DropBeforeSend: {},
  /** The work is done and its answer lost: the case that burns single-use grants. */
  DropAfterCommit: {},
  /** The work is done and the answer is this noise. */
  Garbage: { excerpt: Schema.String },
  /** That status instead of an answer. */
  Status: {
    status: Schema.Int.check(Schema.isBetween({ minimum: 400, maximum: 599 })),
    retryAfter: Schema.optionalKey(Schema.Duration)
  }
})
export type Fault = typeof Fault.Type

/** Which calls a fault may strike, and how often. */
export interface FaultOptions {
  /** Share of the calls that are struck, from 0 to 1. Default 1. */
  readonly rate?: number
  /** Fixes which ones. Without it the ambient `Random` decides. */
  readonly seed?: string | number
  /** Default `refresh`. */
  readonly on?: "refresh" | "get" | "both"
}

/** Delays calls by a duration, or one drawn evenly from a range. */
export const latency = (
  delay: Duration.Input | Range,
  options?: FaultOptions & { readonly side?: "request" | "response" }
): Resilience.Policy => {
  const range = isRange(delay) ? delay : { min: delay, max: delay }
  const min = Duration.toMillis(Duration.fromInputUnsafe(range.min))
  const max = Duration.toMillis(Duration.fromInputUnsafe(range.max))
  const side = options?.side ?? "request"
  return strike("fault-latency", { min, max, side }, options, (random) => ({
    _tag: "Latency",
    delay: Duration.millis(min + (max - min) * random.nextDoubleUnsafe()),
    side
  }))
}

/** Fails as if the connection could not be made: `TransportError`, `not-sent`. The inner service is not called. */
export const dropBeforeSend = (options?: FaultOptions): Resilience.Policy =>
  strike("fault-drop-before-send", {}, options, () => ({ _tag: "DropBeforeSend" }))

/** Calls the inner service, throws its answer away and fails as a reset connection does: `TransportError`, `ambiguous`. */
export const dropAfterCommit = (options?: FaultOptions): Resilience.Policy =>
  strike("fault-drop-after-commit", {}, options, () => ({ _tag: "DropAfterCommit" }))

/** Calls the inner service and answers random bytes instead: `UnexpectedResponse`. */
export const garbage = (options?: FaultOptions): Resilience.Policy =>
  strike("fault-garbage", {}, options, (random) => ({ _tag: "Garbage", excerpt: noise(random) }))

/**
 * Answers a failure status. A status of the contract is its tagged error; any other, and 500 or 501 on a `get` (which cannot answer
 * them), is `UnexpectedResponse`. The inner service is called first when the error is `ambiguous` (500, 502, 504, 408, 409…).
 */
export const status = (
  status: number,
  options?: FaultOptions & { readonly retryAfter?: Duration.Input }
): Resilience.Policy => {
  const retryAfter = options?.retryAfter
  const fault = Fault.cases.Status.make({
    status,
    ...(retryAfter === undefined ? {} : { retryAfter: Duration.fromInputUnsafe(retryAfter) })
  })
  return strike("fault-status", { status }, options, () => fault)
}

/** The nth call meets the nth fault; calls after the last one go through. One count for both operations when `on` is `both`. */
export const schedule = (faults: ReadonlyArray<Fault>, options?: Pick<FaultOptions, "on">): Resilience.Policy =>
  policy(
    "fault-schedule",
    { faults: faults.map((fault) => fault._tag) },
    options?.on,
    Effect.sync(() => {
      let next = 0
      return Effect.sync(() => faults[next++] ?? none)
    })
  )

/**
 * A layer whose `ConnectedAccounts` has these policies around it, outermost first; faults and resilience policies mix. What else the
 * layer provides stays as it is.
 *
 * ```ts
 * import assert from "node:assert/strict"
 * import { ConnectedAccountId, ConnectedAccounts } from "@rekindle/core"
 * import { Faults, ScriptedAccounts } from "@rekindle/testing"
 * import { Effect } from "effect"
 *
 * const id = ConnectedAccountId.make("ca_4CkFF_cKATwg")
 * const script = ScriptedAccounts.layer([ScriptedAccounts.account({ id, status: "EXPIRED", answers: [ScriptedAccounts.ready] })])
 *
 * const program = Effect.gen(function* () {
 *   const accounts = yield* ConnectedAccounts
 *   const error = yield* Effect.flip(accounts.refresh(id))
 *   assert.equal(error.disposition, "ambiguous")
 *   assert.equal((yield* accounts.get(id)).status, "ACTIVE") // it was renewed all the same
 * })
 *
 * await Effect.runPromise(Effect.provide(program, Faults.around(script, Faults.dropAfterCommit())))
 * ```
 */
export const around = <A, E, R>(
  provider: Layer.Layer<A | ConnectedAccounts, E, R>,
  ...policies: ReadonlyArray<Resilience.Policy>
): Layer.Layer<A | ConnectedAccounts, E, R> =>
  Resilience.layer(Resilience.compose(...policies)).pipe(Layer.provideMerge(provider))

const none: Fault = { _tag: "None" }

const strike = (
  name: string,
  described: Resilience.Description["options"],
  options: FaultOptions | undefined,
  draw: (random: Random.Random) => Fault
): Resilience.Policy => {
  const rate = options?.rate ?? 1
  return policy(
    name,
    { ...described, rate },
    options?.on,
    Effect.gen(function* () {
      const ambient = Effect.service(Random.Random)
      const seeded = options?.seed === undefined ? undefined : yield* Random.withSeed(ambient, options.seed)
      return Effect.map(seeded === undefined ? ambient : Effect.succeed(seeded), (random) =>
        random.nextDoubleUnsafe() < rate ? draw(random) : none
      )
    })
  )
}

/** The outer effect of `faults` runs once for each service that is made, the inner one for each call that may be struck. */
const policy = (
  name: string,
  options: Resilience.Description["options"],
  on: FaultOptions["on"] = "refresh",
  faults: Effect.Effect<Effect.Effect<Fault>>
): Resilience.Policy =>
  Resilience.policy(name, { ...options, on }, (next) =>
    Effect.map(faults, (fault) => ({
      refresh:
        on === "get"
          ? next.refresh
          : (id, options) => Effect.flatMap(fault, (fault) => perform(fault, next.refresh(id, options))),
      get: on === "refresh" ? next.get : (id) => Effect.flatMap(fault, (fault) => perform(fault, next.get(id)))
    }))
  )

const perform = <A>(fault: Fault, call: Effect.Effect<A, RefreshError>): Effect.Effect<A, RefreshError> => {
  const lose = <E2>(error: E2) => Effect.andThen(Effect.ignore(call), Effect.fail(error))
  return Fault.match(fault, {
    None: () => call,
    Latency: ({ delay, side }): Effect.Effect<A, RefreshError> =>
      side === "request"
        ? Effect.delay(call, delay)
        : Effect.flatMap(Effect.exit(call), (exit) => Effect.delay(exit, delay)),
    DropBeforeSend: () =>
      Effect.fail(
        new TransportError({ message: "Fault: connection refused", reason: "connect", disposition: "not-sent" })
      ),
    DropAfterCommit: () =>
      lose(new TransportError({ message: "Fault: connection reset", reason: "reset", disposition: "ambiguous" })),
    Garbage: ({ excerpt }) =>
      lose(
        new UnexpectedResponse({
          message: "Fault: the body does not decode",
          status: 200,
          excerpt: excerpt.slice(0, excerptLimit)
        })
      ),
    Status: (fault) => {
      const error = statusError(fault)
      return error.disposition === "ambiguous" ? lose(error) : Effect.fail(error)
    }
  })
}

type StatusFault = typeof Fault.cases.Status.Type

const fields = (fault: StatusFault) => ({ message: `Fault: status ${fault.status}` })
const retryFields = (fault: StatusFault) => ({
  ...fields(fault),
  ...(fault.retryAfter === undefined ? {} : { retryAfter: fault.retryAfter })
})
const undeclared = (fault: StatusFault) =>
  new UnexpectedResponse({ ...fields(fault), status: fault.status, excerpt: "" })

const statusError = (fault: StatusFault): RefreshError => {
  switch (fault.status) {
    case 400:
      return new InvalidRequest(fields(fault))
    case 401:
      return new Unauthorized(fields(fault))
    case 403:
      return new Forbidden(fields(fault))
    case 404:
      return new AccountNotFound(fields(fault))
    case 429:
      return new RateLimited(retryFields(fault))
    case 500:
      return new RefreshFailed(fields(fault))
    case 501:
      return new RefreshUnsupported(fields(fault))
    case 503:
      return new Unavailable(retryFields(fault))
    default:
      return undeclared(fault)
  }
}

type Range = { readonly min: Duration.Input; readonly max: Duration.Input }

const isRange = (delay: Duration.Input | Range): delay is Range => Predicate.hasProperty(delay, "min")

const noise = (random: Random.Random): string =>
  Array.from({ length: 32 }, () => String.fromCharCode(Math.floor(random.nextDoubleUnsafe() * 256))).join("")
