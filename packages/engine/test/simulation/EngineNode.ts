/**
 * One process of a world: a whole engine on the parts of the world, as an application composes it, and what its application asks of it.
 *
 * @module
 */
import type { ConnectedAccounts, Connections, ConsentCallback } from "@rekindle/core"
import {
  type AccountStore,
  CredentialVault,
  Egress,
  Engine,
  Journal,
  type JournalDisk,
  Renewer,
  type Transport
} from "@rekindle/engine"
import { Cause, Context, Effect, Exit, Layer, Logger, References, Schedule, Scope, Tracer } from "effect"

/** The times and sizes of the engines of a world, in milliseconds. */
export interface EngineTimes {
  readonly lease: number
  readonly requestTimeout: number
  readonly egressTimeout: number
  readonly pollInterval: number
  readonly recoveryInterval: number
  readonly claimFor: number
}

/** What one process is made of. */
export interface Parts {
  readonly store: Layer.Layer<AccountStore, unknown>
  readonly vault: CredentialVault["Service"]
  readonly transport: Transport
  readonly disk: JournalDisk
  readonly durability: "process" | "power"
  readonly times: EngineTimes
  readonly renews: boolean
  /** Receives each line of the log, and each span that ended, as text. */
  readonly logged: (text: string) => void
  readonly traces: boolean
}

/** The services of a process. */
export type Services =
  | ConnectedAccounts
  | Connections
  | ConsentCallback
  | AccountStore
  | CredentialVault
  | Engine.Provided

/** Runs code of the application that lives in a process. */
export type Running = <A, E>(effect: Effect.Effect<A, E, Services>) => Effect.Effect<A, E>

const callbackUrl = "https://engine.test/callback"

/** Everything that somebody who looks at a value could see. */
export const shown = (value: unknown): string => {
  if (Cause.isCause(value)) return Cause.pretty(value)
  if (Array.isArray(value)) return value.map(shown).join(" ")
  if (typeof value !== "object" || value === null) return String(value)
  const text = String(value)
  return text.startsWith("[object ") ? JSON.stringify(value) : `${text} ${JSON.stringify(value)}`
}

const loggerOf = (logged: Parts["logged"]) =>
  Logger.make(({ cause, message }) => {
    logged(cause.reasons.length === 0 ? shown(message) : `${shown(message)} ${Cause.pretty(cause)}`)
  })

const tracerOf = (logged: Parts["logged"]) =>
  Tracer.make({
    span: (options) => {
      const span = new Tracer.NativeSpan(options)
      const end = span.end.bind(span)
      span.end = (time, exit) => {
        end(time, exit)
        logged(`${span.name} ${shown([...span.attributes])} ${shown(span.events)} ${shown(exit)}`)
      }
      return span
    }
  })

/** Starts a process. It lives until its scope closes, or it is killed. */
export const start = Effect.fnUntraced(function* (parts: Parts): Effect.fn.Return<Running, never, Scope.Scope> {
  const { disk, durability, logged, renews, store, times, traces, transport, vault } = parts
  const given = Layer.mergeAll(
    store,
    Layer.succeed(CredentialVault, vault),
    Journal.layerDisk(disk, { durability }),
    Egress.layerTransport(
      { timeout: times.egressTimeout },
      { transport, lookup: () => Effect.succeed(["93.184.215.14"]) }
    )
  )
  const engine = Engine.layerNoDeps({
    consent: { callbackUrl },
    coordinator: { lease: times.lease, requestTimeout: times.requestTimeout },
    commit: { giveUp: 0.75 * times.lease }
  })
  const { claimFor, pollInterval, recoveryInterval } = times
  const whole = (
    renews ? Layer.provideMerge(Renewer.layer({ claimFor, pollInterval, recoveryInterval }), engine) : engine
  ).pipe(Layer.provideMerge(given))
  const ambient = Context.make(References.MinimumLogLevel, "Trace").pipe(
    Context.add(Logger.CurrentLoggers, new Set([loggerOf(logged)])),
    traces ? Context.add(Tracer.Tracer, tracerOf(logged)) : Context.add(References.TracerEnabled, false)
  )
  const scope = yield* Effect.scope
  // The store may not answer yet. A process that cannot start is started again.
  const build = Effect.suspend(() => {
    const attempt = Scope.forkUnsafe(scope)
    return Effect.onError(Layer.buildWithScope(Layer.fresh(whole), attempt), (cause) =>
      Scope.close(attempt, Exit.failCause(cause))
    )
  })
  const services = yield* build.pipe(
    Effect.retry({ schedule: Schedule.spaced(500) }),
    Effect.orDie,
    Effect.provideContext(Context.merge(yield* Effect.context<never>(), ambient))
  )
  const context = Context.merge(services, ambient)
  return (effect) => Effect.provideContext(effect, context)
})
