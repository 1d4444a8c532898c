/**
 * A provider that follows a script, on virtual time: each send takes the next step, the last step repeats. It holds one account that a
 * step may move on, and writes down every send and read.
 */
import {
  type ConnectedAccount,
  ConnectedAccountId,
  type ConnectedAccountStatus,
  type ReadError,
  Ready,
  RefreshFailed,
  type RefreshError,
  type RefreshOptions,
  type RefreshOutcome,
  type Resilience,
  TransportError
} from "@rekindle/core"
import { assert } from "@effect/vitest"
import { Clock, DateTime, Duration, Effect, Exit, Fiber, Random } from "effect"
import { TestClock } from "effect/testing"

export const id = ConnectedAccountId.make("ca_4CkFF_cKATwg")
export const otherId = ConnectedAccountId.make("con_1a2b3c4d5e6f")
export const ready = Ready.make({ id })

export const refused = new TransportError({ message: "refused", reason: "connect" })
export const reset = new TransportError({ message: "reset", reason: "reset" })
export const boom = new RefreshFailed({ message: "boom" })

export const accountWith = (
  status: ConnectedAccountStatus,
  updatedAt: number,
  accountId: ConnectedAccountId = id
): ConnectedAccount => ({
  id: accountId,
  status,
  statusReason: null,
  toolkit: { slug: "gmail" },
  authConfig: { id: "ac_1" },
  userId: "user",
  isDisabled: false,
  createdAt: DateTime.makeUnsafe(0),
  updatedAt: DateTime.makeUnsafe(updatedAt),
  state: { authScheme: "OAUTH2", val: {} }
})

export interface Step {
  /** Milliseconds until the answer. */
  readonly takes?: number
  /** The status the account moves to when the answer is due, whatever the answer is. */
  readonly commits?: ConnectedAccountStatus
  /** `hang`: no answer ever. */
  readonly answer: RefreshOutcome | RefreshError | "hang" | "defect"
  /** Does not listen to interruption. */
  readonly stubborn?: boolean
}

export interface Send {
  readonly id: ConnectedAccountId
  readonly at: number
  readonly options: RefreshOptions | undefined
  ended: "no" | "answered" | "interrupted"
}

export const scripted = (
  steps: ReadonlyArray<Step>,
  options?: {
    readonly reads?: ReadonlyArray<ConnectedAccount | ReadError | "hang">
    readonly account?: ConnectedAccount
  }
) => {
  const sends: Array<Send> = []
  const reads: Array<number> = []
  const state = { account: options?.account ?? accountWith("ACTIVE", -1_000_000) }
  const accounts: Resilience.Accounts = {
    refresh: (id, options) =>
      Effect.gen(function* () {
        const step = steps[Math.min(sends.length, steps.length - 1)]
        if (step === undefined) return yield* Effect.die("an empty script")
        const send: Send = { id, at: yield* Clock.currentTimeMillis, options, ended: "no" }
        sends.push(send)
        const body = Effect.gen(function* () {
          if (step.answer === "hang") return yield* Effect.never
          if (step.takes !== undefined) yield* Effect.sleep(step.takes)
          if (step.commits !== undefined) {
            state.account = accountWith(step.commits, yield* Clock.currentTimeMillis, id)
          }
          if (step.answer === "defect") return yield* Effect.die("defect")
          send.ended = "answered"
          return "disposition" in step.answer ? yield* Effect.fail(step.answer) : step.answer
        }).pipe(Effect.onInterrupt(() => Effect.sync(() => void (send.ended = "interrupted"))))
        return yield* step.stubborn === true ? Effect.uninterruptible(body) : body
      }),
    get: () =>
      Effect.gen(function* () {
        const read = options?.reads?.[Math.min(reads.length, options.reads.length - 1)]
        reads.push(yield* Clock.currentTimeMillis)
        if (read === "hang") return yield* Effect.never
        if (read === undefined) return state.account
        return "disposition" in read ? yield* Effect.fail(read) : read
      })
  }
  return { accounts, sends, reads, state }
}

/** Every draw is `draw`: with 0 a backoff is its base, with almost 1 it is the most it can be. */
export const withDraw =
  (draw: number) =>
  <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.provideService(self, Random.Random, { nextDoubleUnsafe: () => draw, nextIntUnsafe: () => 0 })

export interface Settled<A, E> {
  readonly exit: Exit.Exit<A, E>
  readonly at: number
}

/** The exit of `effect` and when it came, by the test clock. */
export const timed = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<Settled<A, E>, never, R> =>
  Effect.flatMap(Effect.exit(effect), (exit) => Effect.map(Clock.currentTimeMillis, (at) => ({ exit, at })))

/** Runs `effect` and lets an hour pass. */
export const settle = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<Settled<A, E>, never, R> =>
  Effect.gen(function* () {
    const fiber = yield* Effect.forkChild(timed(effect), { startImmediately: true })
    yield* TestClock.adjust("1 hour")
    return yield* Fiber.join(fiber)
  })

// Chai compares errors by name and message only; what matters here is in their fields.
const plain = (value: unknown): unknown => {
  if (Exit.isExit(value)) {
    return Exit.isSuccess(value)
      ? { success: plain(value.value) }
      : { failure: value.cause.reasons.map((reason) => (reason._tag === "Fail" ? plain(reason.error) : reason._tag)) }
  }
  if (Duration.isDuration(value)) return Duration.toMillis(value)
  if (DateTime.isDateTime(value)) return value.epochMilliseconds
  if (Array.isArray(value)) return value.map(plain)
  if (value instanceof Error) return { message: value.message, ...plainFields(value) }
  return typeof value === "object" && value !== null ? plainFields(value) : value
}

const plainFields = (value: object) =>
  Object.fromEntries(Object.entries(value).map(([key, field]) => [key, plain(field)]))

/** Structural equality that looks into exits, errors, durations and instants. */
export const assertSame = (actual: unknown, expected: unknown, message?: string): void =>
  assert.deepStrictEqual(plain(actual), plain(expected), message)
