/**
 * How one authentication scheme renews, asks for consent and validates. A port: the engine ships a strategy for each common scheme, and
 * a user adds one for a scheme of their own by layer.
 *
 * A strategy does the talking and nothing else. It never judges an answer (the decision table does), never writes to the store (the
 * coordinator does) and never repeats a request: whether that is safe is not for it to know.
 *
 * @module
 */
import type { AuthScheme, ConnectedAccountId } from "@rekindle/core"
import { Context, Effect, Layer, type Redacted, Schema } from "effect"
import type { AuthConfig, AuthConfigError } from "../account/AuthConfig.ts"
import type { Credential, Extras, SecretNames } from "../account/Credential.ts"
import type { ProviderProfile } from "../account/ProviderProfile.ts"
import type { Revocation } from "../answer/Revocation.ts"
import type { Observation, Verdict } from "../answer/Verdict.ts"

/** What a strategy is given to work with: one account's credential, in the clear, and its auth config. */
export interface Connection {
  readonly accountId: ConnectedAccountId
  readonly config: AuthConfig
  readonly credential: Credential
}

/** Where consent begins. */
export interface Authorization {
  /** The provider's page, for the person's browser. */
  readonly url: string
  /** For how many seconds the page may be opened, where the provider says so (RFC 9126 §2.2). */
  readonly expiresIn?: number | undefined
  /** What `complete` will need (PKCE verifier, request-token secret). It is sealed and kept until then. */
  readonly memo: Readonly<Record<string, string>>
}

/** The consent could not be begun or completed. `reason` says whose doing it was. */
export class ConsentError extends Schema.TaggedError<ConsentError>("@rekindle/engine/ConsentError")("ConsentError", {
  message: Schema.String,
  reason: Schema.Literals([
    /** The person said no. */
    "denied",
    /** The provider refused the code or its parameters; a new attempt may do. */
    "refused",
    /** No trustworthy answer; a new attempt may do. */
    "unavailable",
    /** The state is unknown, used, or too old. */
    "unknown-state",
    /** The consent is another person's, or for another workspace, than the account is of. */
    "identity-mismatch",
    /** Another consent for the account was completed first; its tokens are in use. */
    "overtaken",
    /** The auth config is at fault. */
    "misconfigured"
  ]),
  code: Schema.NullOr(Schema.String)
}) {}

/** What a probe of a static credential found. `unverified` is not `valid`: nothing was learnt. */
export type Validity =
  | { readonly _tag: "Valid" }
  | { readonly _tag: "Rejected"; readonly code: string }
  | { readonly _tag: "Unverified"; readonly reason: string }
  /** It cannot be tried until a setting is changed. */
  | { readonly _tag: "Misconfigured"; readonly reason: string }

/** The addresses in settings, each with the name of the setting. */
export type Addresses = ReadonlyArray<{ readonly field: string; readonly url: URL }>

/** One scheme's strategy. What a scheme cannot do is absent. */
export interface AuthStrategy {
  readonly scheme: AuthScheme
  /** What the published contract calls a secret of the credential, where that is not the name it is kept under. */
  readonly publishedNames?: Readonly<Record<string, string>>
  /**
   * The secrets that the scheme knows, of an account and of an auth config. Others are refused, and these are cleaned, before anything is
   * stored. Absent: whatever is given is taken as it is.
   */
  readonly secrets?: { readonly account: SecretNames; readonly config: SecretNames } | undefined
  /**
   * Checks the scheme's part of an auth config, so that a mistake is found when it is registered, and gives the address that each setting
   * holds: one that the egress would refuse is a mistake too.
   */
  readonly check: (config: AuthConfig) => Effect.Effect<Addresses, AuthConfigError>
  /** Renewal without a person. */
  readonly renewal?: {
    /** The secret a renewal spends; undefined when the credential has nothing to renew with. */
    readonly spends: (connection: Connection) => Redacted.Redacted<string> | undefined
    /** Sends exactly one renewal and reports what was seen. */
    readonly send: (connection: Connection) => Effect.Effect<Observation>
    /** Overrides how the profile says the secret behaves: `none` where it is a password or key that is not consumed. */
    readonly rotation?: ProviderProfile["rotation"]
    /** Reads the answer where it is not a token endpoint's; absent: the decision table. */
    readonly decide?: (observation: Observation, connection: Connection) => Verdict
    /**
     * Whether what is spent is a person's password. Once refused it is not sent again until it is replaced or somebody asks for validation,
     * since providers lock out a person whose wrong password comes again and again.
     */
    readonly password?: boolean
    /** Whether the request states this machine's time, as a signed assertion does, so that a wrong clock makes the provider refuse it. */
    readonly statesTime?: boolean
  }
  /** Consent by a person. */
  readonly consent?: {
    readonly authorize: (
      connection: Connection,
      request: {
        readonly callbackUrl: string
        readonly state: string
      }
    ) => Effect.Effect<Authorization, ConsentError>
    /** Exchanges what came back for tokens: sends once, and reports what was seen and what else belongs to the credential. */
    readonly complete: (
      connection: Connection,
      request: {
        readonly callbackUrl: string
        readonly state: string
        readonly parameters: URLSearchParams
        readonly memo: Readonly<Record<string, string>>
      }
    ) => Effect.Effect<{ readonly observation: Observation } & Extras, ConsentError>
    /** Reads the answer where it is not a token endpoint's; absent: the decision table. */
    readonly decide?: (observation: Observation, connection: Connection) => Verdict
  }
  /** A real request with the credential, to see whether it works. Undefined when the auth config says no way to. */
  readonly validate?: (connection: Connection) => Effect.Effect<Validity> | undefined
  /** Withdraws the credential at the provider (RFC 7009), where there is a way. Asks once, and says what came of it. */
  readonly revoke?: (connection: Connection) => Effect.Effect<Revocation>
}

/** Whether a dead credential is tried again without a person: a key may be put back, a clock set right. A consent or a password is not. */
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
  /** Builds the registry. A later strategy for the same scheme replaces an earlier one. */
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
