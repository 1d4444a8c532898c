/**
 * Coalescing: callers who refresh the same account at the same time share one flight.
 *
 * A flight belongs to the layer and not to the caller who started it. A caller who leaves does not interrupt it, so no grant is spent without an
 * answer. Each caller waits until its own `options.deadline`. The callers who waited share a failure, and the next call starts a new flight.
 *
 * **Gotchas**
 *
 * - A flight does not have the deadline of its first caller, which could be too short for the others. It has `maxFlight`, or the first caller's
 *   deadline if that is later.
 * - A flight past its deadline is not joined any more, so that later callers do not hang with it.
 * - Only closing the layer interrupts flights. It waits for a provider that is uninterruptible.
 *
 * @module
 */
import { Clock, Context, DateTime, Duration, Effect, Fiber } from "effect"
import type { ConnectedAccountId } from "../ConnectedAccount.ts"
import type { RefreshOptions } from "../ConnectedAccounts.ts"
import * as MonotonicClock from "../MonotonicClock.ts"
import { DeadlineExceeded, type RefreshError } from "../RefreshError.ts"
import type { RefreshOutcome } from "../RefreshOutcome.ts"
import { Events } from "./Events.ts"
import { Call, CurrentCall, maybeSent, withCall } from "./internal/Call.ts"
import { flightKey } from "./internal/flightKey.ts"
import { keepsDeadlines } from "./internal/keepsDeadlines.ts"
import { makeLimiter } from "./internal/Limiter.ts"
import { type Policy, policy } from "./Policy.ts"
import { Settings } from "./Settings.ts"

/** How long a flight may take. */
export interface CoalesceOptions {
  /** How long a flight may take and be joined, unless its first caller waits longer. Default 30 seconds. */
  readonly maxFlight?: Duration.Input | undefined
}

interface Flight {
  readonly fiber: Fiber.Fiber<RefreshOutcome, RefreshError>
  readonly call: Call
  /** Its deadline, in monotonic milliseconds. */
  readonly until: number
}

/**
 * Calls share a flight if account, options (`validateCredentials`, `tokenRefused`, `redirectUrl`, `idempotencyKey`) and `CurrentProject` are the
 * same. Reads are not shared.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict"
 * import { ConnectedAccountId, ConnectedAccounts, Ready, Resilience } from "@rekindle/core"
 * import { Effect, Layer } from "effect"
 *
 * let sends = 0
 * const provider = Layer.succeed(ConnectedAccounts, {
 *   refresh: (id) =>
 *     Effect.suspend(() => {
 *       sends++
 *       return Effect.delay(Effect.succeed(Ready.make({ id })), "5 millis")
 *     }),
 *   get: () => Effect.die("not used here")
 * })
 * const id = ConnectedAccountId.make("ca_4CkFF_cKATwg")
 *
 * const outcomes = await ConnectedAccounts.use((accounts) =>
 *   Effect.all(Array.from({ length: 1_000 }, () => accounts.refresh(id)), { concurrency: "unbounded" })
 * ).pipe(Effect.provide(Resilience.layer(Resilience.coalesce()).pipe(Layer.provide(provider))), Effect.runPromise)
 *
 * assert.equal(outcomes.length, 1_000)
 * assert.equal(sends, 1)
 * ```
 */
export const coalesce = (options: CoalesceOptions = {}): Policy => {
  const maxFlight = Duration.toMillis(options.maxFlight ?? "30 seconds")
  return policy("coalesce", { maxFlight }, (next) =>
    Effect.gen(function* () {
      const events = yield* Events
      const flights = new Map<string, Flight>()
      /** Flights past their deadline that a newer flight has replaced. */
      const overdue = new Set<Fiber.Fiber<unknown, unknown>>()
      const limiter = makeLimiter()
      yield* Effect.addFinalizer(() =>
        Fiber.interruptAll([...Array.from(flights.values(), ({ fiber }) => fiber), ...overdue])
      )

      const start = (id: ConnectedAccountId, options: RefreshOptions | undefined, from: Start): Flight => {
        const { at, context, key, now } = from
        const call = new Call()
        const asked = options?.deadline?.epochMilliseconds
        const deadline = Math.max(now + maxFlight, asked ?? 0)
        const fiber = Effect.runForkWith(Context.add(context, CurrentCall, call))(
          next.refresh(id, asked === deadline ? options : { ...options, deadline: DateTime.makeUnsafe(deadline) })
        )
        const flight: Flight = { fiber, call, until: at + deadline - now }
        if (fiber.pollUnsafe() !== undefined) return flight
        const before = flights.get(key)
        if (before !== undefined) {
          overdue.add(before.fiber)
          before.fiber.addObserver(() => overdue.delete(before.fiber))
        }
        flights.set(key, flight)
        fiber.addObserver(() => {
          if (flights.get(key) === flight) flights.delete(key)
        })
        return flight
      }

      return keepsDeadlines({
        get: next.get,
        refresh: (id, options) =>
          Effect.withFiber((fiber) => {
            const clock = fiber.getRef(Clock.Clock)
            const now = clock.currentTimeMillisUnsafe()
            const millis = options?.deadline === undefined ? Infinity : options.deadline.epochMilliseconds - now
            if (millis <= 0) return late(0, false)
            if (fiber.getRef(Settings).coalesce === false) {
              const alone = next.refresh(id, options)
              if (millis === Infinity) return alone
              return withCall((call) => {
                const onTimeout = () => late(millis, maybeSent(call))
                return limiter.run(alone, { fiber, clock, millis, onTimeout })
              })
            }
            const key = flightKey(fiber, id, options)
            const at = MonotonicClock.millisUnsafe(clock)
            let flight = flights.get(key)
            if (flight !== undefined && at < flight.until) {
              events?.publish({ _tag: "FlightJoined", accountId: id })
            } else {
              flight = start(id, options, { key, now, at, context: fiber.context })
            }
            const { call, fiber: work } = flight
            const caller = fiber.getRef(CurrentCall)
            if (caller !== undefined) caller.flight = call
            if (millis === Infinity || work.pollUnsafe() !== undefined) return Fiber.join(work)
            const onTimeout = () => late(millis, maybeSent(call))
            return limiter.callback((resume) => work.addObserver(resume), { fiber, clock, millis, onTimeout })
          })
      })
    })
  )
}

const late = (millis: number, sent: boolean) =>
  new DeadlineExceeded({
    message: `No answer within ${millis} ms (the caller's deadline)`,
    timeout: Duration.millis(millis),
    sent
  })

interface Start {
  readonly key: string
  /** The time by the wall clock, to which deadlines belong, and by the monotonic one. In milliseconds. */
  readonly now: number
  readonly at: number
  /** The context of the caller who starts the flight, with its settings and span. */
  readonly context: Context.Context<never>
}
