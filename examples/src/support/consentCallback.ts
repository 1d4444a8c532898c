/**
 * Connects the callback route of the platform package with the consent of the engine. Neither package depends on the other.
 *
 * @module
 */
import { Consent } from "@rekindle/engine"
import { ConsentCallback } from "@rekindle/platform"
import { Effect, Layer } from "effect"

/** Completes callbacks with the engine. */
export const consentCallback = Layer.effect(
  ConsentCallback.ConsentCallback,
  Effect.map(Consent, (consent) => ({
    complete: (query, session) =>
      consent.complete(query, session).pipe(
        Effect.map(({ failure, ...result }) => ({ ...result, succeeded: failure === undefined })),
        Effect.mapError(
          ({ _tag, message }) =>
            new ConsentCallback.ConsentCallbackError({
              reason: _tag === "StoreError" ? "unavailable" : "invalid",
              message
            })
        )
      )
  }))
)
