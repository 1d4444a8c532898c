/**
 * Builds an account store on the database that is given as argument, and ends. It runs as a process of its own.
 *
 * @module
 */
import { SqlAccountStore } from "@rekindle/engine"
import { Effect, Layer } from "effect"
import { clientOf, placeOf } from "../support/Place.ts"

await Effect.runPromise(
  Effect.scoped(Layer.build(Layer.provide(SqlAccountStore.layer, clientOf(placeOf(process.argv[2] ?? "")))))
)
process.disconnect?.()
