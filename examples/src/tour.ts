/**
 * The tour runs the whole system on this machine: an authorization server that rotates refresh tokens, our server on SQLite, and its HTTP client.
 * It prints one line for each claim.
 *
 * @module
 */
import { Effect } from "effect"
import { layer } from "./support/Service.ts"
import { apiKey } from "./tour/apiKey.ts"
import { failures } from "./tour/failures.ts"
import { oauth } from "./tour/oauth.ts"
import { testLayer } from "./tour/testLayer.ts"

/** The parts of the tour, on a running service. A failed part does not prevent the next. */
export const parts = Effect.validate([Effect.flatMap(oauth, testLayer), apiKey, failures], (part) => part)

export const example = Effect.provide(parts, layer())
