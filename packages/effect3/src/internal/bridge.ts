/**
 * Where the two Effects meet. This package shows Effect 3 and works with Effect 4: a call becomes a fiber of Effect 4, and what an application
 * gives (a transport, a scripted answer) becomes a fiber of Effect 3.
 *
 * Interruption passes in both directions, and waits for the finalizers of the other side. Causes keep their failures, defects and interruptions.
 *
 * @module
 */
import { Cause, Chunk, Effect, Exit, FiberId, identity, LogLevel, Option, Runtime, type Scope, Stream } from "effect"
import {
  Cause as Cause4,
  Context as Context4,
  Effect as Effect4,
  Exit as Exit4,
  Layer as Layer4,
  Logger as Logger4,
  type LogLevel as LogLevel4,
  References as References4,
  Scope as Scope4,
  Stream as Stream4
} from "effect4"
import { CurrentProject as CurrentProject4 } from "@rekindle/core"
import { CurrentProject } from "../CurrentProject.ts"

/** The Effect 3 runtime of whoever makes the call: what an application gave runs with its context and its fiber references. */
export const Caller = Context4.Reference<Runtime.Runtime<never>>("@rekindle/effect3/Caller", {
  defaultValue: () => Runtime.defaultRuntime
})

const causeToThree = <E, E3>(cause: Cause4.Cause<E>, toThree: (error: E) => E3): Cause.Cause<E3> =>
  cause.reasons
    .map((reason): Cause.Cause<E3> => {
      switch (reason._tag) {
        case "Fail":
          return Cause.fail(toThree(reason.error))
        case "Die":
          return Cause.die(reason.defect)
        case "Interrupt":
          return Cause.interrupt(FiberId.none)
      }
    })
    .reduce<Cause.Cause<E3>>((all, one) => (Cause.isEmpty(all) ? one : Cause.parallel(all, one)), Cause.empty)

const causeToFour = <E, E4>(cause: Cause.Cause<E>, toFour: (error: E) => E4): Cause4.Cause<E4> =>
  Cause4.fromReasons(
    Cause.reduce<Array<Cause4.Reason<E4>>, E>(cause, [], (reasons, one) => {
      if (one._tag === "Fail") reasons.push(Cause4.makeFailReason(toFour(one.error)))
      if (one._tag === "Die") reasons.push(Cause4.makeDieReason(one.defect))
      if (one._tag === "Interrupt") reasons.push(Cause4.makeInterruptReason())
      return Option.some(reasons)
    })
  )

/** For what cannot fail. */
export const infallible = (error: never): never => error

/** An exit of Effect 4 as one of Effect 3. */
export const exitToThree = <A, E, A3, E3>(
  exit: Exit4.Exit<A, E>,
  value: (value: A) => A3,
  error: (error: E) => E3
): Exit.Exit<A3, E3> =>
  Exit4.isSuccess(exit) ? Exit.succeed(value(exit.value)) : Exit.failCause(causeToThree(exit.cause, error))

/** An exit of Effect 3 as one of Effect 4. */
export const exitToFour = <A, E, A4, E4>(
  exit: Exit.Exit<A, E>,
  value: (value: A) => A4,
  error: (error: E) => E4
): Exit4.Exit<A4, E4> =>
  Exit.isSuccess(exit) ? Exit4.succeed(value(exit.value)) : Exit4.failCause(causeToFour(exit.cause, error))

const levels: Readonly<Record<LogLevel4.LogLevel, LogLevel.LogLevel>> = {
  All: LogLevel.All,
  Fatal: LogLevel.Fatal,
  Error: LogLevel.Error,
  Warn: LogLevel.Warning,
  Info: LogLevel.Info,
  Debug: LogLevel.Debug,
  Trace: LogLevel.Trace,
  None: LogLevel.None
}

/** Hands what Effect 4 logs to the loggers of the application. */
const logger = Logger4.make<unknown, void>(({ cause, fiber, logLevel, message }) => {
  const said: ReadonlyArray<unknown> = Array.isArray(message) ? message : [message]
  const log = Effect.logWithLevel(levels[logLevel], ...said, causeToThree(cause, identity)).pipe(
    Effect.annotateLogs(fiber.getRef(References4.CurrentLogAnnotations))
  )
  Runtime.runFork(fiber.getRef(Caller))(log)
})

/** Runs an effect of Effect 4 in Effect 3. */
export const toThree = <A, E, A3, E3>(
  effect: Effect4.Effect<A, E>,
  error: (error: E) => E3,
  value: (value: A) => A3
): Effect.Effect<A3, E3> =>
  Effect.flatMap(Effect.all([Effect.runtime<never>(), CurrentProject]), ([runtime, project]) =>
    Effect.async<A3, E3>((resume) => {
      const context = Context4.make(Caller, runtime).pipe(
        Context4.add(CurrentProject4, project),
        Context4.add(Logger4.CurrentLoggers, new Set([logger]))
      )
      const fiber = Effect4.runForkWith(context)(effect)
      fiber.addObserver((exit) => resume(exitToThree(exit, value, error)))
      return Effect.async<void>((resume) => {
        fiber.addObserver(() => resume(Effect.void))
        fiber.interruptUnsafe()
      })
    })
  )

/** Runs an effect of Effect 3 in Effect 4, for whoever made the call that leads to it. */
export const toFour = <A, E, A4, E4>(
  effect: Effect.Effect<A, E>,
  error: (error: E) => E4,
  value: (value: A) => A4
): Effect4.Effect<A4, E4> =>
  Effect4.flatMap(Caller, (runtime) =>
    Effect4.callback<A4, E4>((resume) => {
      const fiber = Runtime.runFork(runtime)(effect)
      fiber.addObserver((exit) => resume(exitToFour(exit, value, error)))
      return Effect4.callback<void>((resume) => {
        fiber.addObserver(() => resume(Effect4.void))
        fiber.unsafeInterruptAsFork(FiberId.none)
      })
    })
  )

/** A scope of Effect 4 that closes with the scope of Effect 3. */
const scope: Effect.Effect<Scope4.Scope, never, Scope.Scope> = Effect.acquireRelease(
  toThree(Scope4.make(), infallible, identity),
  (scope, exit) => toThree(Scope4.close(scope, exitToFour(exit, identity, identity)), infallible, identity)
)

/** Builds a layer of Effect 4. What it acquires is released when the scope of Effect 3 closes. */
export const build = <A, E, E3>(
  layer: Layer4.Layer<A, E>,
  error: (error: E) => E3
): Effect.Effect<Context4.Context<A>, E3, Scope.Scope> =>
  Effect.flatMap(scope, (scope) => toThree(Layer4.buildWithScope(layer, scope), error, identity))

/** A stream of Effect 4 as one of Effect 3, pulled as fast as that one is. */
export const streamToThree = <A, E, A3, E3>(
  stream: Stream4.Stream<A, E>,
  error: (error: E) => E3,
  value: (value: A) => A3
): Stream.Stream<A3, E3> =>
  Stream.unwrapScoped(
    scope.pipe(
      Effect.flatMap((scope) => toThree(Scope4.provide(Stream4.toPull(stream), scope), infallible, identity)),
      Effect.map((pull) =>
        Stream.repeatEffectChunkOption(
          toThree(
            pull,
            (reason) => (Cause4.isDone(reason) ? Option.none() : Option.some(error(reason))),
            (values) => Chunk.map(Chunk.fromIterable(values), value)
          )
        )
      )
    )
  )
