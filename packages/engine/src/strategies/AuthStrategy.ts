/**
 * The port for an authentication scheme: how it renews, asks for consent, validates and revokes. The engine ships a strategy for each common
 * scheme. An application adds one for a scheme of its own with a layer.
 *
 * **Gotchas**
 *
 * A strategy only makes and sends requests. It does not judge an answer; the decision table does. It does not write to the store; the
 * coordinator does. It never repeats a request, because it cannot know whether that is safe.
 *
 * @module
 */
import {
  type AuthConfig,
  type AuthScheme,
  type Authorization,
  type ConnectedAccountId,
  ConsentFailureReason,
  type CredentialInUse,
  type ProviderProfile,
  type RequestToAuthorize
} from "@rekindle/core"
import { Context, type DateTime, Effect, Layer, type Redacted, Schema } from "effect"
import type { AuthConfigError } from "../account/AuthConfig.ts"
import type { Credential, Extras, SecretNames } from "../account/Credential.ts"
import type { Revocation } from "../answer/Revocation.ts"
import type { Validity } from "../answer/Validity.ts"
import type { Observation, Verdict } from "../answer/Verdict.ts"

export type { Validity } from "../answer/Validity.ts"

/** The input of a strategy: an account's auth config and its opened credential. */
export interface Connection {
  readonly accountId: ConnectedAccountId
  readonly config: AuthConfig
  readonly credential: Credential
}

/** The first page of a consent. */
export interface ConsentPage {
  /** The address of the provider's page, for the person's browser. */
  readonly url: string
  /** How many seconds the page can be opened, if the provider states it (RFC 9126 §2.2). */
  readonly expiresIn?: number | undefined
  /** Values that `complete` needs, such as the PKCE verifier. They are sealed and stored until then. */
  readonly memo: Readonly<Record<string, string>>
}

/** A consent could not be started or completed. `code` is the provider's, if it stated one. */
export class ConsentError extends Schema.TaggedError<ConsentError>("@rekindle/engine/ConsentError")("ConsentError", {
  message: Schema.String,
  reason: ConsentFailureReason,
  code: Schema.NullOr(Schema.String)
}) {}

/** The addresses in settings, each with the name of its setting. */
export type Addresses = ReadonlyArray<{ readonly field: string; readonly url: URL }>

/** The strategy of one scheme. An operation that the scheme does not have is absent. */
export interface AuthStrategy {
  readonly scheme: AuthScheme
  /** The names of secrets in the published contract, if they differ from the names in the store. */
  readonly publishedNames?: Readonly<Record<string, string>> | undefined
  /**
   * The secrets that the scheme knows, of an account and of an auth config. Before anything is stored, other secrets are refused and these
   * are cleaned. Without this, every secret is stored unchanged.
   */
  readonly secrets?: { readonly account: SecretNames; readonly config: SecretNames } | undefined
  /**
   * Checks the scheme's part of an auth config when it is registered. Returns the addresses in the settings, because an address that the
   * egress would refuse is a mistake too.
   */
  readonly check: (config: AuthConfig) => Effect.Effect<Addresses, AuthConfigError>
  /** Renewal without a person. */
  readonly renewal?:
    | {
        /** The secret that a renewal spends. Undefined if the credential cannot be renewed. */
        readonly spends: (connection: Connection) => Redacted.Redacted<string> | undefined
        /** Sends exactly one renewal request and reports what was observed. */
        readonly send: (connection: Connection) => Effect.Effect<Observation>
        /** Overrides the profile's rotation class, such as with `none` for a password or key, which is not consumed. */
        readonly rotation?: ProviderProfile["rotation"] | undefined
        /** Judges an answer that is not a token endpoint's. Default: the decision table. */
        readonly decide?: ((observation: Observation, connection: Connection) => Verdict) | undefined
        /**
         * Whether the secret is a person's password. A refused password is not sent again until it is replaced or validation is requested,
         * because providers lock a person out after repeated wrong passwords.
         */
        readonly password?: boolean | undefined
        /** Whether the request states this machine's time, as a signed assertion does. A wrong clock then makes the provider refuse it. */
        readonly statesTime?: boolean | undefined
      }
    | undefined
  /** Consent by a person. */
  readonly consent?:
    | {
        readonly authorize: (
          connection: Connection,
          request: {
            readonly callbackUrl: string
            readonly state: string
          }
        ) => Effect.Effect<ConsentPage, ConsentError>
        /** Exchanges a callback's parameters for tokens. Sends once, and reports what was observed and what else belongs to the credential. */
        readonly complete: (
          connection: Connection,
          request: {
            readonly callbackUrl: string
            readonly state: string
            readonly parameters: URLSearchParams
            readonly memo: Readonly<Record<string, string>>
          }
        ) => Effect.Effect<{ readonly observation: Observation } & Extras, ConsentError>
        /** Judges an answer that is not a token endpoint's. Default: the decision table. */
        readonly decide?: ((observation: Observation, connection: Connection) => Verdict) | undefined
      }
    | undefined
  /** The credential as a request uses it; undefined if it is not complete. Default: {@link defaultInUse}. */
  readonly inUse?:
    | ((
        connection: Connection,
        expiresAt: DateTime.Utc | undefined
      ) => Effect.Effect<CredentialInUse | undefined, AuthConfigError>)
    | undefined
  /**
   * Signs a request with the credential, where a request carries more than the credential itself. Undefined: it carries the credential as
   * `inUse` says. Default: no request is signed.
   */
  readonly sign?:
    | ((
        connection: Connection,
        request: RequestToAuthorize
      ) => Effect.Effect<Authorization | undefined, AuthConfigError>)
    | undefined
  /** Makes a real request with the credential, to find out whether it works. Undefined if the auth config names no address for that. */
  readonly validate?: ((connection: Connection) => Effect.Effect<Validity> | undefined) | undefined
  /**
   * Whether the provider withdraws credentials, as far as the settings and its metadata tell. True if that cannot be known now: then `revoke`
   * finds out. Default: whether there is `revoke`.
   */
  readonly revocable?: ((config: AuthConfig) => Effect.Effect<boolean>) | undefined
  /** Revokes the credential at the provider (RFC 7009). Asks once and reports the result. */
  readonly revoke?: ((connection: Connection) => Effect.Effect<Revocation>) | undefined
}

/**
 * The credential for a request, for schemes whose strategy does not define it: the secret `access_token` as a bearer token, or all secrets
 * by name if there is none.
 */
export const defaultInUse: NonNullable<AuthStrategy["inUse"]> = ({ config, credential }, expiresAt) => {
  const token = credential.secrets["access_token"]
  if (config.scheme === "NO_AUTH") return Effect.succeed({ _tag: "NoAuth" })
  return Effect.succeed(
    token === undefined
      ? { _tag: "Custom", scheme: config.scheme, secrets: credential.secrets }
      : { _tag: "AccessToken", token, tokenType: "Bearer", expiresAt }
  )
}

/**
 * Whether a dead credential is tried again without a person. A key may be restored, or a clock corrected. A refused consent or password does
 * not recover by itself.
 */
export const mayRevive = ({ consent, renewal }: AuthStrategy): boolean =>
  renewal !== undefined && consent === undefined && renewal.password !== true

/** The strategies in use, by scheme. */
export class AuthStrategies extends Context.Service<
  AuthStrategies,
  {
    readonly get: (scheme: AuthScheme) => AuthStrategy | undefined
    readonly all: ReadonlyArray<AuthStrategy>
  }
>()("@rekindle/engine/AuthStrategies") {
  /** Makes the registry. A later strategy for a scheme replaces an earlier one. */
  static readonly layer = <E, R>(
    strategies: ReadonlyArray<Effect.Effect<AuthStrategy, E, R>>
  ): Layer.Layer<AuthStrategies, E, R> =>
    Layer.effect(
      AuthStrategies,
      Effect.map(Effect.all(strategies), (strategies) => {
        const byScheme = new Map<string, AuthStrategy>(strategies.map((strategy) => [strategy.scheme, strategy]))
        return { get: (scheme) => byScheme.get(scheme), all: [...byScheme.values()] }
      })
    )
}
