/**
 * The tour: everything for real, on this machine. An authorization server that rotates refresh tokens, our server on SQLite, and a
 * client of it over HTTP; then what they do for an account, one line for each thing seen.
 *
 * @module
 */
import { Effect } from "effect"
import { layer } from "./support/Service.ts"
import { apiKey } from "./tour/apiKey.ts"
import { failures } from "./tour/failures.ts"
import { oauth } from "./tour/oauth.ts"
import { testLayer } from "./tour/testLayer.ts"

/** What the tour shows, on a service that is there. A part that fails does not keep the next from running. */
export const parts = Effect.validate([Effect.flatMap(oauth, testLayer), apiKey, failures], (part) => part)

export const example = Effect.provide(parts, layer())
