/**
 * A connected account, and the outcome of its refresh.
 *
 * @module
 */
import { ConnectedAccountId as Id4 } from "@rekindle/core"
import { type DateTime, Schema } from "effect"
import { Schema as Schema4 } from "effect4"

const isId = Schema4.is(Id4)

/** Identifies a connected account: a prefix (`con_` or `ca_`), then a URL-safe nanoid, e.g. `ca_4CkFF_cKATwg`. */
export const ConnectedAccountId: Schema.brand<
  Schema.filter<typeof Schema.String>,
  "ConnectedAccountId"
> = Schema.String.pipe(
  Schema.filter((text): boolean => isId(text), {
    identifier: "ConnectedAccountId",
    title: "connected account id",
    description: "Prefix con_ or ca_, then a URL-safe nanoid",
    message: () =>
      "expected a connected account id such as ca_4CkFF_cKATwg (con_ or ca_, then 8 to 64 letters, digits, - or _)"
  }),
  Schema.brand("ConnectedAccountId")
)
/** Identifies a connected account. */
export type ConnectedAccountId = typeof ConnectedAccountId.Type

/** One of the known values, or one that a later server added. */
type Open<Known extends string> = Known | (string & Record<never, never>)

/** The seven statuses of the contract, in the order an account usually meets them. */
export type KnownStatus = "INITIALIZING" | "INITIATED" | "ACTIVE" | "FAILED" | "EXPIRED" | "INACTIVE" | "REVOKED"

/** A status: one of the seven, or a later addition. Treat an unknown one as neither usable nor terminal. */
export type ConnectedAccountStatus = Open<KnownStatus>

/** An authentication scheme of the contract, or one of an application's own. */
export type AuthScheme = Open<
  | "OAUTH2"
  | "S2S_OAUTH2"
  | "OAUTH1"
  | "API_KEY"
  | "BEARER_TOKEN"
  | "BASIC"
  | "BASIC_WITH_JWT"
  | "GOOGLE_SERVICE_ACCOUNT"
  | "NO_AUTH"
  | "BILLCOM_AUTH"
  | "CALCOM_AUTH"
  | "DCR_OAUTH"
  | "SAML"
>

/** A JSON value. */
export type Json = null | boolean | number | string | ReadonlyArray<Json> | { readonly [name: string]: Json }

/** A connected account: one user's connection to one third-party service. It holds no secrets. */
export interface ConnectedAccount {
  readonly id: ConnectedAccountId
  readonly status: ConnectedAccountStatus
  readonly statusReason: string | null
  readonly toolkit: { readonly slug: string }
  readonly authConfig: {
    readonly id: string
    /** Whether the hosted service, and not the application, registered the OAuth client at the provider. */
    readonly isManaged?: boolean
    readonly isDisabled?: boolean
  }
  readonly userId?: string
  readonly isDisabled: boolean
  readonly createdAt: DateTime.Utc
  readonly updatedAt: DateTime.Utc
  /** The scheme, and which credential fields exist: every secret is masked. */
  readonly state: { readonly authScheme: AuthScheme; readonly val: Readonly<Record<string, Json>> }
  /** A name that a person gave the account. */
  readonly alias?: string | null
  /** A name of one or two words that the server gave the account. */
  readonly wordId?: string | null
}

/**
 * The outcome of a refresh.
 *
 * - `Ready`: the connection can be used now.
 * - `RedirectRequired`: a person has to consent at `redirectUrl`. `status` is the account's status until then: `ACTIVE` means that the old
 *   credential still works.
 * - `NotReady`: the connection is not usable and no consent is pending. `status` says why.
 */
export type RefreshOutcome =
  | { readonly _tag: "Ready"; readonly id: ConnectedAccountId }
  | {
      readonly _tag: "RedirectRequired"
      readonly id: ConnectedAccountId
      readonly redirectUrl: string
      readonly status: ConnectedAccountStatus
    }
  | { readonly _tag: "NotReady"; readonly id: ConnectedAccountId; readonly status: ConnectedAccountStatus }
