/**
 * The second interface: what an application does with accounts besides keeping them alive.
 *
 * {@link ConnectedAccounts} has the two calls that policies decorate, and they stay alone there. Everything else is here: auth configs,
 * accounts and the credential in use. An engine provides it locally, a client provides it over HTTP, a script provides it in unit tests;
 * the program that uses it does not change.
 *
 * **Gotchas**
 *
 * - Every call is made for the {@link CurrentProject}. What belongs to another project reads as absent.
 * - Whoever may call {@link Connections} may read credentials. Give a part of the program that must not read them `ConnectedAccounts` alone.
 *
 * @module
 */
import { Context, type DateTime, type Duration, type Effect, type Option, type Redacted, type Schema } from "effect"
import type { AuthConfig } from "./AuthConfig.ts"
import type { AuthScheme, ConnectedAccount, ConnectedAccountId, KnownStatus } from "./ConnectedAccount.ts"
import type { RefreshError } from "./RefreshError.ts"
import type { ConnectionNotReady } from "./resilience/Consent.ts"

/**
 * Every failure of {@link Connections}: the same statuses as those of a refresh, and what only a client meets. What names an auth config
 * that is not there fails with `InvalidRequest` and the slug `auth_config_not_found`.
 */
export type ConnectionsError = RefreshError

/** What is needed to add an account. */
export interface NewAccount {
  readonly authConfigId: string
  /** The application's own name of the person or tenant whose account it is. */
  readonly userId: string
  /**
   * A credential that the application already has, by the names of the scheme: `access_token` and `refresh_token`, `api_key`,
   * `username` and `password`. Absent: the account waits for consent.
   */
  readonly secrets?: Readonly<Record<string, Redacted.Redacted<string>>> | undefined
  /** What may be shown of the account, such as the address of a customer's own API. */
  readonly attributes?: Readonly<Record<string, Schema.Json>> | undefined
  /** When the given access token expires. Absent: as the provider's tokens do. */
  readonly expiresAt?: DateTime.Utc | undefined
  /** An id that the account already has elsewhere. Default: a new one. */
  readonly id?: ConnectedAccountId | undefined
}

/** An auth config as it may be shown: everything but its secrets. */
export interface RegisteredAuthConfig extends Omit<AuthConfig, "projectId" | "secrets"> {
  /** The names of the secrets that it holds. */
  readonly secretNames: ReadonlyArray<string>
  /** Whether its accounts are out of service. */
  readonly isDisabled: boolean
  readonly updatedAt: DateTime.Utc
}

/** One page of a list. */
export interface Page<A> {
  readonly items: ReadonlyArray<A>
  /** Where the next page begins; `undefined` on the last. Opaque: pass it back as it is. */
  readonly nextCursor: string | undefined
}

/** What pages of a list are asked by. */
export interface PageOptions {
  /** A `nextCursor`. Absent: the first page. */
  readonly cursor?: string | undefined
  /** Items on a page, 1 to 500. Default 50. */
  readonly limit?: number | undefined
}

/** Which accounts. What is absent is not asked for; of several values each will do. */
export interface AccountFilter {
  readonly userIds?: ReadonlyArray<string> | undefined
  readonly authConfigIds?: ReadonlyArray<string> | undefined
  readonly toolkits?: ReadonlyArray<string> | undefined
  /** As others see them: a pending consent is INITIATED. */
  readonly statuses?: ReadonlyArray<KnownStatus> | undefined
  readonly ids?: ReadonlyArray<ConnectedAccountId> | undefined
}

/** A list of accounts, the newest first. */
export interface ListOptions extends AccountFilter, PageOptions {}

/** What a link to consent may be told. */
export interface LinkOptions {
  /** Where the person lands afterwards: a `RedirectUrl`. */
  readonly redirectUrl?: string | undefined
  /**
   * Binds the link to a browser: an opaque value, such as a random one in a cookie of the page that shows the link. The consent is
   * completed only for a callback that brings the same value.
   */
  readonly session?: string | undefined
  /** Whether it may be another person's than the account is, or for another workspace. Default: as the auth config says. */
  readonly allowAnotherIdentity?: boolean | undefined
}

/** A link to consent, for the person's browser. */
export interface Link {
  readonly url: string
  /** Until when it has to be opened. */
  readonly openUntil: DateTime.Utc
  /** The account's status meanwhile. */
  readonly status: KnownStatus
}

/** How far the withdrawal of a credential is at the provider. */
export interface Withdrawn {
  /**
   * - `pending`: it may still work there. It is tried again until the provider confirms, and the caller may ask again.
   * - `confirmed`: it does not work any more, and is erased here.
   * - `unsupported`: the provider has no way to withdraw it. It is erased here and works there until it expires.
   */
  readonly withdrawn: "pending" | "confirmed" | "unsupported"
  /** Why it is pending: the provider's last answer, or what kept us from asking. */
  readonly answer: string | null
}

/** The credential in use, typed by what a request does with it. */
export type CredentialInUse =
  /** OAUTH2, S2S_OAUTH2, GOOGLE_SERVICE_ACCOUNT, BASIC_WITH_JWT and BEARER_TOKEN: `authorization: <tokenType> <token>` (RFC 6750 §2.1). */
  | {
      readonly _tag: "AccessToken"
      readonly token: Redacted.Redacted<string>
      readonly tokenType: "Bearer" | "DPoP"
      /** The private key of a DPoP token, as a JWK: each request carries a proof signed with it (RFC 9449). */
      readonly dpopKey?: Redacted.Redacted<string> | undefined
      /** `undefined`: it does not expire. */
      readonly expiresAt: DateTime.Utc | undefined
    }
  /** API_KEY: the key, and where a request carries it. */
  | {
      readonly _tag: "ApiKey"
      readonly key: Redacted.Redacted<string>
      readonly placement:
        | { readonly in: "header"; readonly name: string; readonly prefix: string }
        | { readonly in: "query"; readonly name: string }
    }
  /** BASIC (RFC 7617). */
  | { readonly _tag: "Basic"; readonly username: string; readonly password: Redacted.Redacted<string> }
  /** OAUTH1: the account's part of a signature (RFC 5849 §3.4). The consumer's part belongs to the auth config and stays there. */
  | {
      readonly _tag: "OAuth1"
      readonly consumerKey: string
      readonly token: Redacted.Redacted<string>
      readonly tokenSecret: Redacted.Redacted<string>
    }
  /** A scheme of the application's own: its secrets by name. */
  | {
      readonly _tag: "Custom"
      readonly scheme: AuthScheme
      readonly secrets: Readonly<Record<string, Redacted.Redacted<string>>>
    }

/** Auth configs. */
export interface AuthConfigRegistry {
  /** Adds a config, or replaces the one with the same id. On a mistake nothing changes, and `errors` names each field. */
  readonly register: (config: AuthConfig) => Effect.Effect<RegisteredAuthConfig, ConnectionsError>
  readonly get: (id: string) => Effect.Effect<Option.Option<RegisteredAuthConfig>, ConnectionsError>
  readonly list: (options?: PageOptions) => Effect.Effect<Page<RegisteredAuthConfig>, ConnectionsError>
  /** Takes its accounts into service again. Those that are due are renewed. */
  readonly enable: (id: string) => Effect.Effect<void, ConnectionsError>
  /**
   * Takes its accounts out of service: nothing is renewed, connected or handed out, and calls fail with `InvalidRequest` and the slug
   * `auth_config_disabled`. They keep their status and credential. Other processes follow within seconds.
   */
  readonly disable: (id: string) => Effect.Effect<void, ConnectionsError>
  /** Erases it with its secrets. Refused while it has accounts (slug `auth_config_in_use`). */
  readonly remove: (id: string) => Effect.Effect<void, ConnectionsError>
}

/** Manages connected accounts and hands out their credentials. A call that fails leaves the account as it was. */
export class Connections extends Context.Service<
  Connections,
  {
    readonly authConfigs: AuthConfigRegistry
    /** Adds an account. With a credential it is ACTIVE; without one, `refresh` gives the link to its first consent. */
    readonly create: (account: NewAccount) => Effect.Effect<ConnectedAccount, ConnectionsError>
    /** The account that a person uses with an auth config: an ACTIVE one before others, then the newest. */
    readonly find: (owner: {
      readonly userId: string
      readonly authConfigId: string
    }) => Effect.Effect<Option.Option<ConnectedAccount>, ConnectionsError>
    readonly list: (options?: ListOptions) => Effect.Effect<Page<ConnectedAccount>, ConnectionsError>
    readonly count: (filter?: AccountFilter) => Effect.Effect<number, ConnectionsError>
    /** A link to consent, whatever the state of the credential. `refresh` gives one when there is need. */
    readonly link: (id: ConnectedAccountId, options?: LinkOptions) => Effect.Effect<Link, ConnectionsError>
    /** Replaces a static credential (API key, password) and puts the account into service. */
    readonly replaceSecrets: (
      id: ConnectedAccountId,
      secrets: Readonly<Record<string, Redacted.Redacted<string>>>
    ) => Effect.Effect<void, ConnectionsError>
    /** INACTIVE → ACTIVE. */
    readonly enable: (id: ConnectedAccountId) => Effect.Effect<void, ConnectionsError>
    /** ACTIVE → INACTIVE. The credential is kept and not renewed. */
    readonly disable: (id: ConnectedAccountId) => Effect.Effect<void, ConnectionsError>
    /** → REVOKED for good, withdrawn at the provider where there is a way (RFC 7009), and then erased. */
    readonly revoke: (id: ConnectedAccountId) => Effect.Effect<Withdrawn, ConnectionsError>
    /**
     * Erases the account and everything sealed for it, here and in every process, for good. Nothing is done at the provider: `revoke` first
     * where the credential must not go on working there.
     */
    readonly remove: (id: ConnectedAccountId) => Effect.Effect<void, ConnectionsError>
    /**
     * The access token, renewed first if it would not last for another `atLeast` (default one minute, never more than half of its life).
     * Where that fails, the one at hand while it lasts. Never begins a consent: `refresh` does, and so does `Resilience.withRefresh`
     * around the call that needs the token. Fails with `ConnectionNotReady`, which carries the account's status, where there is no usable
     * token, and with `RefreshUnsupported` where the scheme has none.
     *
     * A provider may hand out a token that it read in the last seconds (the engine's `accessTokensFor`). What happens to the account in this
     * process ends that at once; a revocation by another process is noticed after those seconds.
     */
    readonly accessToken: (
      id: ConnectedAccountId,
      atLeast?: Duration.Input
    ) => Effect.Effect<Redacted.Redacted<string>, ConnectionsError | ConnectionNotReady>
    /** The credential in use, whatever the scheme; renewed first as by `accessToken`. */
    readonly credential: (
      id: ConnectedAccountId,
      atLeast?: Duration.Input
    ) => Effect.Effect<CredentialInUse, ConnectionsError | ConnectionNotReady>
  }
>()("@rekindle/core/Connections") {}
