/**
 * Joins the route that providers send people back to, which knows no engine, with the engine's consent, which knows no HTTP server.
 *
 * @module
 */
import { Consent } from "@rekindle/engine"
import { ConsentCallback, ConsentCallbackError } from "@rekindle/platform"
import { Effect, Layer } from "effect"

/** The consent callback, completed by the engine. */
export const consentCallback = Layer.effect(
  ConsentCallback,
  Effect.map(Consent, (consent) => ({
    complete: (query, session) =>
      consent.complete(query, session).pipe(
        Effect.map(({ failure, ...result }) => ({ ...result, succeeded: failure === undefined })),
        Effect.mapError(
          ({ _tag, message }) =>
            new ConsentCallbackError({ reason: _tag === "StoreError" ? "unavailable" : "invalid", message })
        )
      )
  }))
)
