/**
 * The second interface: auth configs, accounts, and the credential in use.
 *
 * {@link ConnectedAccounts} has only the two calls that policies decorate. An application finds everything else here. An engine provides it
 * locally, a client over HTTP, and a script in unit tests. The program that uses it does not change.
 *
 * **Gotchas**
 *
 * - Every call is made for the {@link CurrentProject}. Accounts and auth configs of another project read as absent.
 * - A part of the program that has {@link Connections} can read credentials. Give a part that must not read them only `ConnectedAccounts`.
 *
 * @module
 */
import { Context, type DateTime, type Duration, Effect, type Option, type Redacted, Schema, type Stream } from "effect"
import { dual } from "effect/Function"
import type { HttpClient, HttpClientError } from "effect/http"
import type { AuthConfig } from "./AuthConfig.ts"
import type { AuthScheme, ConnectedAccount, ConnectedAccountId, KnownStatus } from "./ConnectedAccount.ts"
import type { ConnectedAccounts } from "./ConnectedAccounts.ts"
import { isApiAddress } from "./internal/apiHosts.ts"
import { authorizedClient } from "./internal/authorizedClient.ts"
import { changed, merged, selects } from "./internal/changes.ts"
import { present } from "./internal/present.ts"
import type { RefreshError } from "./RefreshError.ts"
import type { ConnectionNotReady, ConsentRequired } from "./resilience/Consent.ts"

/**
 * Every failure of {@link Connections}: the same errors as those of a refresh. A call that names an unknown auth config fails with
 * `InvalidRequest` and the slug `auth_config_not_found`.
 */
export type ConnectionsError = RefreshError

/** An account to add. */
export interface NewAccount {
  readonly authConfigId: string
  /** The application's own id of the person or tenant who owns the account. */
  readonly userId: string
  /**
   * A credential that the application already has, under the field names of the scheme: `access_token` and `refresh_token`, `api_key`,
   * `username` and `password`. If absent, the account waits for consent.
   */
  readonly secrets?: Readonly<Record<string, Redacted.Redacted<string>>> | undefined
  /** Public facts about the account, such as the address of a customer's own API. */
  readonly attributes?: Readonly<Record<string, Schema.Json>> | undefined
  /** When the given access token expires. Default: after the lifetime in the provider's profile. */
  readonly expiresAt?: DateTime.Utc | undefined
  /** An id that the account already has elsewhere. Default: a new one. */
  readonly id?: ConnectedAccountId | undefined
  /** A name for people, 1 to 255 characters. No other account of the same person and toolkit has it. Default: none. */
  readonly alias?: string | undefined
}

/** Changes to an account. An absent field stays as it is. */
export interface AccountChanges {
  /** A new name for people, as in {@link NewAccount}. Null removes it. */
  readonly alias?: string | null | undefined
  /** Attributes to set by name. Null removes one. The others stay. */
  readonly attributes?: Readonly<Record<string, Schema.Json>> | undefined
  /** Secrets to set by name. Null removes one. The others stay. A secret that is set puts the account into service. */
  readonly secrets?: Readonly<Record<string, Redacted.Redacted<string> | null>> | undefined
}

/** An auth config without its secrets. */
export interface RegisteredAuthConfig extends Omit<AuthConfig, "projectId" | "secrets"> {
  /** The names of its secrets. */
  readonly secretNames: ReadonlyArray<string>
  /** Whether it is switched off, and its accounts with it. */
  readonly isDisabled: boolean
  readonly createdAt: DateTime.Utc
  readonly updatedAt: DateTime.Utc
}

/** Changes to an auth config. An absent field stays as it is. Its toolkit and scheme never change. */
export interface AuthConfigChanges {
  /** A new name for people. Null removes it. */
  readonly name?: string | null | undefined
  /** Settings to set by name. Null removes one. The others stay. */
  readonly settings?: Readonly<Record<string, Schema.Json>> | undefined
  /** Secrets to set by name. Null removes one. The others stay. */
  readonly secrets?: Readonly<Record<string, Redacted.Redacted<string> | null>> | undefined
  readonly profile?: AuthConfig["profile"] | undefined
  readonly hosts?: AuthConfig["hosts"] | undefined
  /** Null: the default, which is `hosts`. */
  readonly apiHosts?: AuthConfig["hosts"] | null | undefined
  readonly allowAnotherIdentity?: boolean | undefined
}

/** Selects auth configs. An absent field selects all of them. */
export interface AuthConfigFilter {
  /** The names of the services that they are for. */
  readonly toolkits?: ReadonlyArray<string> | undefined
  /** Text that the name or the id contains, whatever the case of its letters. */
  readonly search?: string | undefined
  /** Whether they are switched off. */
  readonly isDisabled?: boolean | undefined
}

/** One page of a list. */
export interface Page<A> {
  readonly items: ReadonlyArray<A>
  /** The opaque `cursor` of the next page; `undefined` on the last page. */
  readonly nextCursor: string | undefined
}

/** Selects a page of a list. */
export interface PageOptions {
  /** The `nextCursor` of the page before. Default: the first page. */
  readonly cursor?: string | undefined
  /** Items on a page, 1 to 500. Default 50. */
  readonly limit?: number | undefined
}

/** Selects accounts. An absent field selects all accounts. A field with several values selects accounts with any of them. */
export interface AccountFilter {
  /** The people whom the accounts belong to. */
  readonly userIds?: ReadonlyArray<string> | undefined
  /** The auth configs of the accounts. */
  readonly authConfigIds?: ReadonlyArray<string> | undefined
  /** The toolkits of their auth configs. */
  readonly toolkits?: ReadonlyArray<string> | undefined
  /** The statuses that `get` returns: INITIATED while a consent is pending. */
  readonly statuses?: ReadonlyArray<KnownStatus> | undefined
  /** The ids of the accounts. */
  readonly ids?: ReadonlyArray<ConnectedAccountId> | undefined
}

/** Selects a page of accounts, and their order. */
export interface ListOptions extends AccountFilter, PageOptions {
  /**
   * The time that accounts are listed by. Default `createdAt`. Accounts that change while their list is read by `updatedAt` change their place
   * in it, so a page may repeat one or leave one out.
   */
  readonly orderBy?: "createdAt" | "updatedAt" | undefined
  /** `desc`: the latest first. Default `desc`. */
  readonly direction?: "asc" | "desc" | undefined
}

/** Selects a page of auth configs, ordered by id. */
export interface AuthConfigListOptions extends AuthConfigFilter, PageOptions {}

/** Settings of a link to consent. */
export interface LinkOptions {
  /** Where the browser goes after consent: a `RedirectUrl`. */
  readonly redirectUrl?: string | undefined
  /**
   * Binds the link to one browser: an opaque value, such as a random one in a cookie of the page that shows the link. Only a callback with
   * the same value completes the consent.
   */
  readonly session?: string | undefined
  /** Whether another person, or another workspace, may consent than before. Default: the setting of the auth config. */
  readonly allowAnotherIdentity?: boolean | undefined
}

/** A link to consent, to be opened in the person's browser. */
export interface Link {
  readonly url: string
  /** When the link expires. */
  readonly openUntil: DateTime.Utc
  /** The account's status while the consent is pending. */
  readonly status: KnownStatus
}

/** What becomes of an account whose credential the provider cannot withdraw. */
export interface RevokeOptions {
  /**
   * - `erase`: the account is REVOKED, and the credential is erased here. It works at the provider until it expires.
   * - `refuse`: nothing changes. The call fails with `InvalidRequest` and the slug `revocation_unsupported`.
   *
   * Default `erase`.
   */
  readonly ifUnsupported?: "erase" | "refuse" | undefined
}

/** The state of a credential's withdrawal at the provider. */
export interface Withdrawn {
  /**
   * - `pending`: the credential may still work at the provider. The withdrawal is repeated until the provider confirms it.
   * - `confirmed`: the credential no longer works, and is erased here.
   * - `unsupported`: the provider cannot withdraw credentials. It is erased here, and works at the provider until it expires.
   */
  readonly withdrawn: "pending" | "confirmed" | "unsupported"
  /** Why it is pending: the provider's last answer, or why no request could be sent. */
  readonly answer: string | null
}

/** The credential in use, typed by how a request carries it. */
export type CredentialInUse =
  /** OAUTH2, S2S_OAUTH2, GOOGLE_SERVICE_ACCOUNT, BASIC_WITH_JWT and BEARER_TOKEN: `authorization: <tokenType> <token>` (RFC 6750 §2.1). */
  | {
      readonly _tag: "AccessToken"
      readonly token: Redacted.Redacted<string>
      readonly tokenType: "Bearer" | "DPoP"
      /** The private key of a DPoP token, as a JWK. Each request carries a proof signed with it (RFC 9449). */
      readonly dpopKey?: Redacted.Redacted<string> | undefined
      /** `undefined` if it does not expire. */
      readonly expiresAt: DateTime.Utc | undefined
    }
  /** API_KEY: the key, and the header or query parameter that carries it. */
  | {
      readonly _tag: "ApiKey"
      readonly key: Redacted.Redacted<string>
      readonly placement:
        | { readonly in: "header"; readonly name: string; readonly prefix: string }
        | { readonly in: "query"; readonly name: string }
    }
  /** BASIC (RFC 7617). */
  | { readonly _tag: "Basic"; readonly username: string; readonly password: Redacted.Redacted<string> }
  /** OAUTH1: the account's part of a signature (RFC 5849 §3.4). The consumer secret stays in the auth config. */
  | {
      readonly _tag: "OAuth1"
      readonly consumerKey: string
      readonly token: Redacted.Redacted<string>
      readonly tokenSecret: Redacted.Redacted<string>
    }
  /** NO_AUTH: a request carries nothing. */
  | { readonly _tag: "NoAuth" }
  /** A scheme of the application's own: its secrets by name. */
  | {
      readonly _tag: "Custom"
      readonly scheme: AuthScheme
      readonly secrets: Readonly<Record<string, Redacted.Redacted<string>>>
    }

/** A request that is about to be sent with an account's credential. */
export interface RequestToAuthorize {
  readonly method: string
  /** Its whole address, with the query. */
  readonly url: string
  /** The fields of a form body: an OAuth 1 signature covers them (RFC 5849 §3.4.1.3). */
  readonly form?: ReadonlyArray<readonly [name: string, value: string]> | undefined
  /** The nonce that the resource server asked for (RFC 9449 §9). */
  readonly dpopNonce?: string | undefined
}

/** What a request has to carry. It is for that request alone: a signature or proof covers its method and address. */
export interface Authorization {
  readonly headers: Readonly<Record<string, Redacted.Redacted<string>>>
  /** Parameters to add to the query. */
  readonly parameters: Readonly<Record<string, Redacted.Redacted<string>>>
}

/** What can happen to an account. A later version may add types, so leave a branch for the others. */
export const ConnectionEventType = Schema.Literals([
  /** It has a new credential, renewed without a person. */
  "renewed",
  /** It cannot be renewed any more, and works to the end of its access token. A person has to consent, or bring another credential. */
  "expiring",
  /** It does not work any more. A person has to consent, or bring another credential. */
  "expired",
  /** It works again after it had expired. */
  "recovered",
  "consent_started",
  "consent_completed",
  /** Somebody else gave a consent for the account. It was refused, and the account is unchanged. */
  "identity_mismatch"
])
export type ConnectionEventType = typeof ConnectionEventType.Type

/** Something that happened to an account of the project. */
export interface ConnectionEvent {
  /** Its place in the order of events. It grows, with gaps. Keep the last one to resume after it. */
  readonly sequence: number
  readonly accountId: ConnectedAccountId
  readonly type: ConnectionEventType
  /** The account's status then, and why. */
  readonly status: string
  readonly statusReason: string | null
  readonly at: DateTime.Utc
}

/** Where events begin, and whether they end. */
export interface EventsOptions {
  /** The sequence of the last event that was handled. Default: the oldest event that is kept comes first. */
  readonly after?: number | undefined
  /** Whether to wait for further events. Without it the stream ends with the last one that there is. Default true. */
  readonly follow?: boolean | undefined
  /** How often to look for further events. Default 1 second. */
  readonly pollInterval?: Duration.Input | undefined
}

/**
 * Events between `after` and `through` are deleted: whoever resumes was away for longer than events are kept. Read the accounts anew
 * (`Connections.list`), then resume after `through`.
 */
export class EventsMissed extends Schema.TaggedError<EventsMissed>("@rekindle/core/EventsMissed")("EventsMissed", {
  message: Schema.String,
  after: Schema.Int,
  through: Schema.Int
}) {}

/** The auth configs of the project. */
export interface AuthConfigRegistry {
  /** Adds a config, or replaces the one with the same id. If it is invalid, nothing changes and `errors` names each wrong field. */
  readonly register: (config: AuthConfig) => Effect.Effect<RegisteredAuthConfig, ConnectionsError>
  readonly get: (id: string) => Effect.Effect<Option.Option<RegisteredAuthConfig>, ConnectionsError>
  readonly list: (options?: AuthConfigListOptions) => Effect.Effect<Page<RegisteredAuthConfig>, ConnectionsError>
  readonly count: (filter?: AuthConfigFilter) => Effect.Effect<number, ConnectionsError>
  /** Changes a config. Calls of `update` at the same time keep each other's changes. It is checked as by `register`. */
  readonly update: (id: string, changes: AuthConfigChanges) => Effect.Effect<RegisteredAuthConfig, ConnectionsError>
  /** Puts its accounts back into service. Those that are due are renewed. */
  readonly enable: (id: string) => Effect.Effect<void, ConnectionsError>
  /**
   * Takes its accounts out of service. No credential is renewed, connected or handed out. Calls fail with `InvalidRequest` and the slug
   * `auth_config_disabled`. The accounts keep their status and credential. Other processes follow within seconds.
   */
  readonly disable: (id: string) => Effect.Effect<void, ConnectionsError>
  /** Erases the config and its secrets. Fails while it has accounts (slug `auth_config_in_use`). */
  readonly remove: (id: string) => Effect.Effect<void, ConnectionsError>
}

/** Manages connected accounts and returns their credentials. A call that fails leaves the account unchanged. */
export class Connections extends Context.Service<
  Connections,
  {
    readonly authConfigs: AuthConfigRegistry
    /** Adds an account. With a credential it is ACTIVE. Without one, `refresh` returns the link to its first consent. */
    readonly create: (account: NewAccount) => Effect.Effect<ConnectedAccount, ConnectionsError>
    /** Finds a person's account with an auth config. Among several, an ACTIVE one comes first, then the newest. */
    readonly find: (owner: {
      readonly userId: string
      readonly authConfigId: string
    }) => Effect.Effect<Option.Option<ConnectedAccount>, ConnectionsError>
    readonly list: (options?: ListOptions) => Effect.Effect<Page<ConnectedAccount>, ConnectionsError>
    readonly count: (filter?: AccountFilter) => Effect.Effect<number, ConnectionsError>
    /** Starts a consent whatever the state of the credential. `refresh` starts one only if it is needed. */
    readonly link: (id: ConnectedAccountId, options?: LinkOptions) => Effect.Effect<Link, ConnectionsError>
    /**
     * Changes the alias, attributes or secrets of an account, and returns it. Secrets are merged into the newest credential, as a credential
     * that the application brings. A renewal in flight is not lost.
     *
     * `updatedAt` moves only with new secrets, since it tells when the status or the credential changed. Fails with `InvalidRequest` and the
     * slug `alias_taken` if another account of the same person and toolkit has the alias, `identity_mismatch` if the secrets belong to
     * another person, `account_revoked` if a revoked account would get secrets or attributes.
     */
    readonly update: (
      id: ConnectedAccountId,
      changes: AccountChanges
    ) => Effect.Effect<ConnectedAccount, ConnectionsError>
    /** Replaces a static credential (API key, password) and puts the account into service. */
    readonly replaceSecrets: (
      id: ConnectedAccountId,
      secrets: Readonly<Record<string, Redacted.Redacted<string>>>
    ) => Effect.Effect<void, ConnectionsError>
    /** INACTIVE → ACTIVE. */
    readonly enable: (id: ConnectedAccountId) => Effect.Effect<void, ConnectionsError>
    /** ACTIVE → INACTIVE. The credential is kept and not renewed. */
    readonly disable: (id: ConnectedAccountId) => Effect.Effect<void, ConnectionsError>
    /** → REVOKED for good. The credential is withdrawn at the provider if it supports that (RFC 7009), and then erased. */
    readonly revoke: (id: ConnectedAccountId, options?: RevokeOptions) => Effect.Effect<Withdrawn, ConnectionsError>
    /**
     * Erases the account and everything sealed for it, for good and for every process. The provider is not told: call `revoke` first if the
     * credential must stop working there.
     */
    readonly remove: (id: ConnectedAccountId) => Effect.Effect<void, ConnectionsError>
    /**
     * Returns the access token. It is renewed first if it expires within `atLeast` (default one minute, at most half of its life). If the
     * renewal fails, the present token is returned while it is valid.
     *
     * It never starts a consent. `refresh` does, and so does `Resilience.withRefresh` around the call that needs the token. Fails with
     * `ConnectionNotReady`, which carries the account's status, if there is no usable token. Fails with `RefreshUnsupported` if the scheme
     * has no access tokens.
     *
     * **Gotchas**
     *
     * An engine may return a token that it read a few seconds ago (its setting `accessTokensFor`). A change of the account in the same process
     * ends that at once. A revocation by another process is noticed after those seconds.
     */
    readonly accessToken: (
      id: ConnectedAccountId,
      atLeast?: Duration.Input
    ) => Effect.Effect<Redacted.Redacted<string>, ConnectionsError | ConnectionNotReady>
    /** Returns the credential in use for any scheme. It is renewed first, as by `accessToken`. */
    readonly credential: (
      id: ConnectedAccountId,
      atLeast?: Duration.Input
    ) => Effect.Effect<CredentialInUse, ConnectionsError | ConnectionNotReady>
    /**
     * What a request has to carry to be made with the account's credential: bearer token, basic credentials, API key, OAuth 1 signature
     * (RFC 5849) or DPoP proof (RFC 9449). The credential is renewed first as by `accessToken`.
     *
     * An address that is not one of the auth config's API hosts is refused with `InvalidRequest` and the slug `host_not_declared`.
     */
    readonly authorization: (
      id: ConnectedAccountId,
      request: RequestToAuthorize
    ) => Effect.Effect<Authorization, ConnectionsError | ConnectionNotReady>
    /**
     * What happens to the project's accounts, in order, each event once. An event is there once what it tells is committed. It may be
     * delivered again to whoever resumes after an older sequence.
     *
     * ```ts
     * import { Connections } from "@rekindle/core"
     * import { Console, Effect, Stream } from "effect"
     *
     * // Tells people to reconnect. `done` is the sequence that was kept last.
     * export const reconnecting = Effect.fn("reconnecting")(function* (done: number) {
     *   const { events } = yield* Connections
     *   yield* events({ after: done }).pipe(
     *     Stream.filter(({ type }) => type === "expiring" || type === "expired"),
     *     Stream.runForEach(({ accountId, sequence }) => Console.log(`${sequence}: ${accountId} has to be reconnected`))
     *   )
     * })
     * ```
     */
    readonly events: (options?: EventsOptions) => Stream.Stream<ConnectionEvent, ConnectionsError | EventsMissed>
  }
>()("@rekindle/core/Connections") {
  /**
   * An HTTP client whose requests carry the account's credential, so that the program never holds it. Where the API answers 401, the
   * credential is renewed once, together with every other caller's, and the request is sent again. A body that is a stream cannot be sent
   * again: then the credential is renewed for the next request.
   *
   * Fails as the given client does, with the failures of `authorization` and of `refresh`, and with `ConsentRequired`, which carries the
   * link, each time that a person has to consent.
   *
   * **Gotchas**
   *
   * - A request to a host that the auth config does not declare is refused and never sent. Redirects are not followed, since they would take
   *   the credential with them. So never give it a client that follows them by itself (`HttpClient.followRedirects`).
   * - The credential is redacted in spans and in what is logged of the request.
   *
   * ```ts
   * import { type ConnectedAccountId, Connections } from "@rekindle/core"
   * import { Effect } from "effect"
   * import { HttpClient } from "effect/http"
   *
   * export const mailbox = Effect.fn("mailbox")(function* (id: ConnectedAccountId) {
   *   const gmail = Connections.authorize(yield* HttpClient.HttpClient, id)
   *   const response = yield* gmail.get("https://gmail.googleapis.com/gmail/v1/users/me/profile")
   *   return yield* response.json
   * })
   * ```
   */
  static readonly authorize: {
    (
      id: ConnectedAccountId
    ): <E, R>(
      client: HttpClient.HttpClient.With<E, R>
    ) => HttpClient.HttpClient.With<E | AuthorizeError, R | Connections | ConnectedAccounts>
    <E, R>(
      client: HttpClient.HttpClient.With<E, R>,
      id: ConnectedAccountId
    ): HttpClient.HttpClient.With<E | AuthorizeError, R | Connections | ConnectedAccounts>
  } = dual(2, <E, R>(client: HttpClient.HttpClient.With<E, R>, id: ConnectedAccountId) =>
    authorizedClient(client, id, (request) =>
      Effect.flatMap(Connections, (connections) => connections.authorization(id, request))
    )
  )

  /**
   * What any request with this credential carries: the headers ready to send, or the parameter of an API key. `undefined` where each request
   * is signed (OAuth 1, DPoP), which `authorization` does, and for a scheme of the application's own.
   */
  static readonly present: (credential: CredentialInUse) => Authorization | undefined = present

  /**
   * Whether a request with an account's credential may go to an address, by the `apiHosts` of its auth config and the account's public
   * attributes. For providers of this service.
   */
  static readonly isApiAddress: (
    config: Pick<AuthConfig, "apiHosts" | "hosts">,
    attributes: Readonly<Record<string, unknown>>,
    address: string
  ) => boolean = isApiAddress

  /** Values by name, such as attributes or secrets, with changes. Null removes one. For providers of this service. */
  static readonly merged: <A>(
    values: Readonly<Record<string, A>>,
    changes: Readonly<Record<string, A | null>> | undefined
  ) => Record<string, A> = merged

  /** An auth config with changes. For providers of this service. */
  static readonly changed: (config: AuthConfig, changes: AuthConfigChanges) => AuthConfig = changed

  /** Whether a filter selects an auth config. For providers of this service. */
  static readonly selects: (
    filter: Omit<AuthConfigFilter, "isDisabled">,
    config: Pick<AuthConfig, "id" | "name" | "toolkit">
  ) => boolean = selects
}

/** What `Connections.authorize` adds to the failures of a client. */
export type AuthorizeError = ConnectionsError | ConnectionNotReady | ConsentRequired | HttpClientError.HttpClientError
