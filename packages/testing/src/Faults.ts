/**
 * Fault injection: policies that break a provider of `ConnectedAccounts` on purpose. They are used like any other policy:
 * `Resilience.compose(Resilience.retry(), Faults.dropAfterCommit({ rate: 0.1 }))`.
 *
 * A fault is plain data ({@link Fault}), so a property test can generate, print and shrink a schedule of faults. The inner service is called
 * if, and only if, the error's disposition is `ambiguous`. A fault that drops the answer therefore really spends the grant.
 *
 * Faults use `Clock` and `Random`. Under `TestClock` nothing waits. With a `seed`, or with `Random.withSeed` around the test, the same calls
 * fail in every run.
 *
 * @module
 */
import {
  AccountNotFound,
  type ConnectedAccounts,
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
  /** The call is not affected. */
  None: {},
  /** The call is delayed. On the `response` side it is carried out first, and its answer is late. */
  Latency: { delay: Schema.Duration, side: Schema.Literals(["request", "response"]) },
  /** The connection is never made. */
  DropBeforeSend: {},
  /** The call is carried out, and its answer is lost. This is the case that loses single-use grants. */
  DropAfterCommit: {},
  /** The call is carried out, and the answer is unreadable. */
  Garbage: { excerpt: Schema.String },
  /** A failure status replaces the answer. */
  Status: {
    status: Schema.Int.check(Schema.isBetween({ minimum: 400, maximum: 599 })),
    retryAfter: Schema.optionalKey(Schema.Duration)
  }
})
export type Fault = typeof Fault.Type

/** Which calls a fault affects, and how often. */
export interface FaultOptions {
  /** The share of calls that are affected, from 0 to 1. Default 1. */
  readonly rate?: number | undefined
  /** Makes the choice of calls the same in every run. Without it the ambient `Random` decides. */
  readonly seed?: string | number | undefined
  /** Default `refresh`. */
  readonly on?: "refresh" | "get" | "both" | undefined
}

/** Delays calls by a duration, or by a uniformly random one from a range. */
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

/** Fails as a refused connection does: `TransportError`, `not-sent`. The inner service is not called. */
export const dropBeforeSend = (options?: FaultOptions): Resilience.Policy =>
  strike("fault-drop-before-send", {}, options, () => ({ _tag: "DropBeforeSend" }))

/** Calls the inner service, discards its answer and fails as a reset connection does: `TransportError`, `ambiguous`. */
export const dropAfterCommit = (options?: FaultOptions): Resilience.Policy =>
  strike("fault-drop-after-commit", {}, options, () => ({ _tag: "DropAfterCommit" }))

/** Calls the inner service and fails as on random bytes: `UnexpectedResponse`. */
export const garbage = (options?: FaultOptions): Resilience.Policy =>
  strike("fault-garbage", {}, options, (random) => ({ _tag: "Garbage", excerpt: noise(random) }))

/**
 * Fails with a status. A status of the contract gives its tagged error. Any other gives `UnexpectedResponse`, and so do 500 and 501 on a `get`,
 * which does not have them. The inner service is called first if the error is `ambiguous` (500, 502, 504, 408, 409…).
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

/** The nth call meets the nth fault. Further calls are not affected. With `on: "both"`, both operations share one count. */
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
 * Puts policies around the `ConnectedAccounts` of a layer, outermost first. Faults and resilience policies can be mixed. The layer's other
 * services are unchanged.
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
 *   assert.equal((yield* accounts.get(id)).status, "ACTIVE") // it was renewed nevertheless
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

/** The outer effect of `faults` runs once for each service that is made, and the inner one for each call that may be affected. */
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
    DropBeforeSend: () => Effect.fail(new TransportError({ message: "Fault: connection refused", reason: "connect" })),
    DropAfterCommit: () => lose(new TransportError({ message: "Fault: connection reset", reason: "reset" })),
    Garbage: ({ excerpt }) =>
      lose(
        new UnexpectedResponse({
          message: "Fault: the body does not decode",
          status: 200,
          excerpt: excerpt.slice(0, UnexpectedResponse.excerptLimit)
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
