/**
 * Consent by a person. Each attempt is a record of its own, with a one-use state, and can be completed for ten minutes. Until then the
 * account's old credential stays in service. Afterwards the account is active again under the same id.
 *
 * @module
 */
import {
  type AccountNotFound,
  ConsentCallback,
  ConsentCallbackError,
  type ConsentResult,
  type InvalidRequest,
  type RefreshFailed,
  type Unavailable
} from "@rekindle/core"
import { Config, Context, Duration, Effect, Layer, Schema, SchemaIssue } from "effect"
import { SecureRandom } from "effect/crypto"
import type { Account } from "../account/Account.ts"
import { AccountStore, type StoreError } from "../account/AccountStore.ts"
import { makeLateAnswers } from "../renewal/lateAnswers.ts"
import { TokenCommit } from "../renewal/TokenCommit.ts"
import { AuthConfigs } from "../strategies/AuthConfigs.ts"
import { AuthStrategies, type ConsentError } from "../strategies/AuthStrategy.ts"
import { CredentialVault } from "../vault/CredentialVault.ts"
import { makeComplete } from "./complete.ts"
import { makeExchange } from "./exchange.ts"
import { makeSeals } from "./sealedAttempt.ts"
import {
  isRedirectUrl,
  makeCheckRedirect,
  makeStart,
  type RedirectOrigins,
  type StartedConsent,
  type StartOptions
} from "./start.ts"

export type { RedirectOrigins, StartedConsent, StartOptions } from "./start.ts"

/** The options of consent. */
export interface ConsentOptions {
  /** The address of this service to which providers redirect people (RFC 6749 §3.1.2). Register it with each provider. */
  readonly callbackUrl: string
  /**
   * Reads the allowed origins of the address that people of a project land on after consent, such as `https://app.example.com`. Undefined,
   * or absent: every `RedirectUrl` is allowed. It is called for each consent that has an address, so it should not wait long.
   */
  readonly redirectOrigins?: RedirectOrigins | undefined
  /** How long a link is valid. Default 10 minutes. */
  readonly lifetime?: Duration.Input | undefined
}

/** Starts and completes consent. */
export class Consent extends Context.Service<
  Consent,
  {
    /** Fails if people of the current project may not be sent to the address. Called before anything is changed. */
    readonly checkRedirect: (redirectUrl: string | undefined) => Effect.Effect<void, InvalidRequest | Unavailable>
    /** Starts an attempt. Returns the link, and the account with the status that others see. */
    readonly start: (
      account: Account,
      options?: StartOptions
    ) => Effect.Effect<StartedConsent, AccountNotFound | InvalidRequest | RefreshFailed | Unavailable>
    /**
     * Completes the attempt of a callback. `session` is the value that the browser of the callback brings. The code is sent once. For a
     * day, a repeated visit with the same state and session gets the same result. While the exchange is in flight, it waits for up to half
     * a minute. The wait can be interrupted. The exchange cannot.
     *
     * Fails with `unknown-state` if there is no such attempt, if it has expired, or if it was made for another session. Fails with
     * `misconfigured` if no key of the ring opens it. Every other failure is part of the result, because the person has to be redirected in
     * any case.
     */
    readonly complete: (
      parameters: URLSearchParams,
      session?: string
    ) => Effect.Effect<ConsentResult, ConsentError | StoreError>
  }
>()("@rekindle/engine/Consent") {
  static readonly layer = (
    options: ConsentOptions
  ): Layer.Layer<
    Consent,
    Config.ConfigError,
    AccountStore | AuthConfigs | AuthStrategies | CredentialVault | TokenCommit
  > => Layer.effect(Consent, make(options)).pipe(Layer.provide(SecureRandom.layerWebCrypto))
}

/** Whether a provider can redirect people to an address (RFC 6749 §3.1.2). */
const isCallbackUrl = (text: string): boolean => isRedirectUrl(text) && !text.includes("#")

/** How long the engine waits for late answers before it stops. */
const grace = Duration.seconds(10)

const make = Effect.fnUntraced(function* ({ callbackUrl, lifetime = "10 minutes", redirectOrigins }: ConsentOptions) {
  if (!isCallbackUrl(callbackUrl)) {
    const message = "consent.callbackUrl has to be an absolute http(s) url without user name and fragment"
    return yield* Effect.fail(new Config.ConfigError(new Schema.SchemaError(new SchemaIssue.InvalidValue({ message }))))
  }
  const given = {
    store: yield* AccountStore,
    configs: yield* AuthConfigs,
    strategies: yield* AuthStrategies,
    seals: makeSeals(yield* CredentialVault),
    random: yield* SecureRandom.SecureRandom,
    callbackUrl,
    redirectOrigins,
    lifetime: Duration.toMillis(Duration.fromInputUnsafe(lifetime))
  }
  return Consent.of({
    checkRedirect: makeCheckRedirect(given),
    start: makeStart(given),
    complete: makeComplete({
      ...given,
      exchange: makeExchange(yield* TokenCommit, yield* makeLateAnswers(grace))
    })
  })
})

/** Completes callbacks for the server's callback route. */
export const layerCallback: Layer.Layer<ConsentCallback, never, Consent> = Layer.effect(
  ConsentCallback,
  Effect.map(Consent, (consent) => ({
    complete: (query, session) =>
      Effect.mapError(
        consent.complete(query, session),
        ({ _tag, message }) =>
          new ConsentCallbackError({ reason: _tag === "StoreError" ? "unavailable" : "invalid", message })
      )
  }))
)
