/**
 * Stores are services: memory by default, anything else by layer. A store provided where the pipeline is made wins.
 *
 * @module
 */
import { Context, Effect, Layer, Option, type Scope } from "effect"

export const storeOr = <I, S>(store: Context.Key<I, S>, memory: Layer.Layer<I>): Effect.Effect<S, never, Scope.Scope> =>
  Effect.flatMap(Effect.serviceOption(store), (provided) =>
    Option.isSome(provided)
      ? Effect.succeed(provided.value)
      : Effect.map(Layer.build(memory), (context) => Context.get(context, store))
  )
