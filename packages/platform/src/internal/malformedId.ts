/**
 * The refusal of a malformed account id. In spite of its type, an id may be any string, and in a path it could name another address of the server.
 * So it is not sent.
 *
 * @module
 */
import { InvalidRequest } from "@rekindle/core"
import { Effect } from "effect"

/** Fails with `InvalidRequest`. */
export const malformedId = Effect.suspend(() =>
  Effect.fail(new InvalidRequest({ message: "The connected account id is malformed", slug: "invalid_id" }))
)
