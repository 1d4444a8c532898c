/**
 * Circuit breakers that distinguish a fault of one account from a fault that all accounts of an auth config share.
 *
 * There is one circuit for each auth config, that is one project, one application and the hosts of one provider. It opens when several
 * different accounts have met a fault of the provider or of the application, and none has succeeded between them. A fault that one account
 * meets while others succeed is counted as that account's own, however often it recurs.
 *
 * While the circuit is open, one request at a time probes. A probe by an account that has not met the fault decides for all accounts. A
 * failed probe by an account that has met it decides only for such accounts, so one account with a fault of its own does not keep the
 * others waiting.
 *
 * A changed auth config is tried at once. Effect's `CircuitBreaker` counts failures, not the accounts that had them, so it does not fit
 * here.
 *
 * @module
 */
import { type AuthConfig, type ConnectedAccountId, MonotonicClock } from "@rekindle/core"
import { Duration, Effect, Equal, Metric } from "effect"
import { keepNewest } from "../account/keepNewest.ts"

/** The evidence of one attempt about the provider and the application, which all accounts of the config share. */
export type Evidence =
  /** The provider answered, and accepted the application. */
  | { readonly _tag: "Well" }
  /** The provider failed, could not be reached, or refused the application. `cause` is a code that may be shown. */
  | { readonly _tag: "Fault"; readonly cause: string; readonly retryAfter?: Duration.Duration | undefined }
  /** The attempt shows nothing, because the fault was on this side. */
  | { readonly _tag: "Nothing" }

/** Tells a circuit what an attempt has shown. */
export type Learn = (evidence: Evidence) => Effect.Effect<void>

/** The circuit is open: nothing was sent. */
export interface Refusal {
  readonly retryAfter: Duration.Duration
  /** The code of the last fault. */
  readonly cause: string
}

/** A circuit that is open. */
export interface OpenCircuit {
  readonly projectId: string
  readonly authConfigId: string
  /** The code of the last fault. */
  readonly cause: string
  /** How many accounts have met the fault. */
  readonly accounts: number
  readonly openFor: Duration.Duration
  /** How long until the next probe. */
  readonly retryAfter: Duration.Duration
}

/** State changes of circuits, by the new state. */
export const transitions = Metric.counter("rekindle.circuit.transitions", {
  description: "Circuit breaker transitions",
  incremental: true
})

/** The number of different accounts that have to meet a fault before the circuit opens. */
const accountsToOpen = 3

/** Bounds of the wait before the next probe, in milliseconds. Between them, the wait is as long as the circuit has been open. */
const shortestPause = 5_000
const longestPause = 160_000

/** The maximum number of accounts that a circuit remembers as having met the fault. The oldest is dropped first. */
const sickAtMost = 1_000

/** The maximum number of circuits. The one whose last fault is the oldest is dropped first. It opens again if the fault persists. */
const circuitsAtMost = 1_000

interface Circuit {
  readonly config: AuthConfig
  /** Accounts whose last attempt met a fault. True if no other account has succeeded since, so the fault may be shared by all. */
  readonly sick: Map<ConnectedAccountId, boolean>
  cause: string
  /** Monotonic milliseconds. Undefined while the circuit is closed. */
  openedAt: number | undefined
  /** When the next probe may start, in monotonic milliseconds: by any account, and by an account that met the fault. */
  until: number
  sickUntil: number
  /** The account whose request is the probe in flight. */
  probe: ConnectedAccountId | undefined
}

/** The circuits of this process. */
export interface Circuits {
  /**
   * Runs an attempt, or fails with `refused` if the circuit is open. The attempt gives its evidence to `learn` as soon as it has some, because
   * what follows may take long: while the store is down, tokens wait for their commit, and other accounts would wait for the end of a probe
   * that has succeeded. Only the first evidence counts. An attempt that ends without any shows nothing.
   */
  readonly guard: <A, E, E2>(request: {
    readonly config: AuthConfig
    readonly id: ConnectedAccountId
    readonly attempt: (learn: Learn) => Effect.Effect<A, E>
    readonly refused: (refusal: Refusal) => Effect.Effect<never, E2>
  }) => Effect.Effect<A, E | E2>
  /** The circuits that are open. */
  readonly open: Effect.Effect<ReadonlyArray<OpenCircuit>>
}

/** Makes the circuits. All are closed. */
export const make = (): Circuits => {
  const circuits = new Map<string, Circuit>()
  const keyOf = ({ id, projectId }: AuthConfig) => JSON.stringify([projectId, id])

  const circuitOf = (config: AuthConfig): Circuit | undefined => {
    const circuit = circuits.get(keyOf(config))
    return circuit !== undefined && Equal.equals(circuit.config, config) ? circuit : undefined
  }

  const admit = (config: AuthConfig, id: ConnectedAccountId, now: number): Refusal | undefined => {
    const circuit = circuitOf(config)
    if (circuit?.openedAt === undefined) return undefined
    const { cause, probe, sick } = circuit
    const until = sick.has(id) ? Math.max(circuit.until, circuit.sickUntil) : circuit.until
    if (now < until) return { cause, retryAfter: Duration.millis(until - now) }
    // An account that has not met the fault does not wait for the probe of one that has.
    if (probe !== undefined && (sick.has(id) || !sick.has(probe))) return { cause, retryAfter: Duration.seconds(1) }
    circuit.probe = id
    return undefined
  }

  const met = (
    config: AuthConfig,
    id: ConnectedAccountId,
    fault: Extract<Evidence, { _tag: "Fault" }>,
    now: number
  ) => {
    const known = circuitOf(config)
    const circuit: Circuit = known ?? {
      config,
      sick: new Map(),
      cause: "",
      openedAt: undefined,
      until: 0,
      sickUntil: 0,
      probe: undefined
    }
    keepNewest(circuits, keyOf(config), circuit, circuitsAtMost)
    circuit.cause = fault.cause
    const wasSick = circuit.sick.has(id)
    if (!wasSick) keepNewest(circuit.sick, id, true, sickAtMost)
    const asked = fault.retryAfter === undefined ? 0 : Duration.toMillis(fault.retryAfter)
    if (circuit.openedAt === undefined) {
      const suspects = [...circuit.sick.values()].filter((suspect) => suspect).length
      if (wasSick || suspects < accountsToOpen) return Effect.void
      circuit.openedAt = now
      circuit.until = now + Math.max(shortestPause, asked)
      circuit.sickUntil = circuit.until + shortestPause
      return announce(
        "Open",
        Effect.logWarning("several accounts of an auth config met the same fault; its circuit is open", {
          authConfigId: config.id,
          projectId: config.projectId,
          cause: fault.cause
        })
      )
    }
    // Attempts that were in flight when the circuit opened show nothing new.
    if (circuit.probe !== id) return Effect.void
    circuit.probe = undefined
    const pause = Math.min(Math.max(now - circuit.openedAt, shortestPause), longestPause)
    const until = now + Math.max(pause, asked)
    // Accounts that have not met the fault probe first, because their probe decides for all.
    circuit.sickUntil = until + shortestPause
    if (!wasSick) circuit.until = until
    return Effect.void
  }

  const well = (config: AuthConfig, id: ConnectedAccountId) => {
    const circuit = circuitOf(config)
    if (circuit === undefined) return Effect.void
    const wasOpen = circuit.openedAt !== undefined
    circuit.sick.delete(id)
    // The other accounts' faults were their own.
    for (const other of circuit.sick.keys()) circuit.sick.set(other, false)
    circuit.openedAt = undefined
    circuit.probe = undefined
    if (circuit.sick.size === 0) circuits.delete(keyOf(config))
    return wasOpen
      ? announce(
          "Closed",
          Effect.logInfo("an auth config works again", { authConfigId: config.id, projectId: config.projectId })
        )
      : Effect.void
  }

  const weigh = (config: AuthConfig, id: ConnectedAccountId, evidence: Evidence, now: number) => {
    switch (evidence._tag) {
      case "Well":
        return well(config, id)
      case "Fault":
        return met(config, id, evidence, now)
      case "Nothing": {
        const circuit = circuitOf(config)
        if (circuit?.probe === id) circuit.probe = undefined
        return Effect.void
      }
    }
  }

  const guard: Circuits["guard"] = Effect.fnUntraced(function* ({ attempt, config, id, refused }) {
    const refusal = admit(config, id, yield* MonotonicClock.millis)
    if (refusal !== undefined) return yield* refused(refusal)
    let hasLearnt = false
    const learn: Learn = (evidence) =>
      Effect.suspend(() => {
        if (hasLearnt) return Effect.void
        hasLearnt = true
        return Effect.flatMap(MonotonicClock.millis, (now) => weigh(config, id, evidence, now))
      })
    return yield* Effect.ensuring(attempt(learn), learn({ _tag: "Nothing" }))
  })

  const open = Effect.map(MonotonicClock.millis, (now) =>
    [...circuits.values()].flatMap(({ cause, config, openedAt, sick, until }): ReadonlyArray<OpenCircuit> =>
      openedAt === undefined
        ? []
        : [
            {
              projectId: config.projectId,
              authConfigId: config.id,
              cause,
              accounts: sick.size,
              openFor: Duration.millis(now - openedAt),
              retryAfter: Duration.millis(Math.max(0, until - now))
            }
          ]
    )
  )

  return { guard, open }
}

const announce = (to: "Open" | "Closed", log: Effect.Effect<void>) =>
  Effect.andThen(log, Metric.update(Metric.withAttributes(transitions, { to }), 1))
