/**
 * How accounts of one toolkit connect: scheme, endpoints, the application's own secrets, and the provider's token behaviour. Many accounts
 * share one auth config.
 *
 * @module
 */
import type { DateTime, Duration, Redacted } from "effect"
import type { AuthScheme, Json } from "./ConnectedAccount.ts"

/**
 * Matches an answer with this status (any, if absent) whose body has, at the dotted path `field`, a string that is one of `values` or contains
 * one of `contains` (any string, if both are absent). Without `field`, the status alone decides.
 */
export interface AnswerMatcher {
  readonly status?: number
  readonly field?: string
  readonly values?: ReadonlyArray<string>
  readonly contains?: ReadonlyArray<string>
}

/** A provider's token behaviour. */
export interface ProviderProfile {
  /** The name in logs and metrics. All auth configs with the same name share the provider's limits. */
  readonly name: string
  /**
   * What a refresh does to the refresh token.
   *
   * - `none`: the token stays the same and may be sent again.
   * - `rolling`: each refresh returns a new token, and the old one keeps working.
   * - `single-use`: the refresh invalidates the token. A second use may revoke the whole grant (RFC 9700 §4.14.2).
   */
  readonly rotation: "none" | "rolling" | "single-use"
  /** How long the provider still accepts a used refresh token. Absent: not at all. */
  readonly reuseWindow?: Duration.DurationInput
  /** How long an access token lives if its answer does not say so. `"never"`: it does not expire. Absent: unknown, so one hour is assumed. */
  readonly accessTokenTtl?: "never" | Duration.DurationInput
  /** The dotted path of the field that states when the access token expires, if the answer has no `expires_in`. */
  readonly expiresAtField?: string
  /** How long an unused refresh token lives. */
  readonly refreshTokenIdle?: Duration.DurationInput
  /** How long a refresh token lives after consent. No refresh prolongs it. */
  readonly refreshTokenLife?: Duration.DurationInput
  /** Answers for a dead token, besides RFC 6749's `invalid_grant`. */
  readonly deadToken?: ReadonlyArray<AnswerMatcher>
  /** Answers for a transient fault, whatever their error code. They are matched first. */
  readonly transient?: ReadonlyArray<AnswerMatcher>
  /** Usable values of `token_type`, in lower case. Default `bearer` and `dpop`. */
  readonly tokenTypes?: ReadonlyArray<string>
  /** The dotted path of the tokens in the body. Absent: the top. */
  readonly tokenPath?: string
  /** Dotted paths of fields in the token answer that become attributes of the account under these names. */
  readonly keptFields?: ReadonlyArray<string>
  /** Attributes that identify the account in addition to the subject of its id token. */
  readonly identifiedBy?: ReadonlyArray<string>
  /** How long before its expiry a token is renewed, at most half of its life. Default 5 minutes. */
  readonly margin?: Duration.DurationInput
  /** The shortest time between two renewals of one account. Within it, a refresh returns the present token. Default zero. */
  readonly minimumAge?: Duration.DurationInput
  /** Renewals per second that the renewer of one process starts for all accounts of this provider. Callers are not limited. Default 20. */
  readonly requestsPerSecond?: number
}

/** An auth config. `settings` belong to the scheme. A mistake in them is found when the config is registered. */
export interface AuthConfig {
  /** Unique in its project: 1 to 64 letters, digits, `-` or `_`. */
  readonly id: string
  /** The project that it belongs to. Default `"default"`. */
  readonly projectId?: string | undefined
  /** A name for people. Default: none. */
  readonly name?: string | undefined
  /** The name of the service that accounts connect to, such as `gmail`. */
  readonly toolkit: string
  /** How its accounts authenticate, such as `OAUTH2` or `API_KEY`. */
  readonly scheme: AuthScheme
  /** The token behaviour of the provider. Default: the cautious profile, with single-use tokens and no reuse window. */
  readonly profile?: ProviderProfile | undefined
  /** The settings of the scheme, such as its endpoints. Default: none. */
  readonly settings?: Readonly<Record<string, Json>> | undefined
  /** The application's own secrets, such as `client_secret`. They are sealed, and cannot be read again. Default: none. */
  readonly secrets?: Readonly<Record<string, Redacted.Redacted<string>>> | undefined
  /** Whether a later consent may come from another person, or be for another workspace, than the account's first. Default false. */
  readonly allowAnotherIdentity?: boolean | undefined
  /**
   * The hosts that requests for this config may go to, each with its port unless it is the default. Every endpoint in `settings` must be on
   * one of them. Credentials of this config never go to another host.
   */
  readonly hosts: ReadonlyArray<string>
  /** The hosts of the API that requests may carry an account's credential to, over https. Default: `hosts`. */
  readonly apiHosts?: ReadonlyArray<string> | undefined
}

/** An auth config without its secrets. */
export interface RegisteredAuthConfig {
  readonly id: string
  readonly name?: string
  readonly toolkit: string
  readonly scheme: AuthScheme
  readonly profile: ProviderProfile
  readonly settings: Readonly<Record<string, Json>>
  readonly allowAnotherIdentity?: boolean
  readonly hosts: ReadonlyArray<string>
  readonly apiHosts?: ReadonlyArray<string>
  /** The names of its secrets. */
  readonly secretNames: ReadonlyArray<string>
  /** Whether it is switched off, and its accounts with it. */
  readonly isDisabled: boolean
  readonly createdAt: DateTime.Utc
  readonly updatedAt: DateTime.Utc
}
