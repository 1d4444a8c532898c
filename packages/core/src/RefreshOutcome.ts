/**
 * The outcome of a refresh that did not fail: the three fields of the wire, decoded into the three cases that a caller has to handle.
 *
 * @module
 */
import { Schema, SchemaTransformation } from "effect"
import { ConnectedAccountId, ConnectedAccountStatus, KnownStatus } from "./ConnectedAccount.ts"
import { sayExpected } from "./Expected.ts"

const redirectUrlLimit = 2048

const isRedirectUrl = (text: string): boolean => {
  const url = text.length <= redirectUrlLimit && /^https?:\/\/[^\s\p{Cc}\\]*$/iu.test(text) ? URL.parse(text) : null
  return url !== null && url.username === "" && url.password === ""
}

/**
 * Where the browser may go after consent: an absolute http(s) URL of at most 2,048 characters, without user name, password or control
 * characters. It has to begin with `http://` or `https://`, because browsers and parsers disagree about `https:/host` and `https:\\host`.
 */
export const RedirectUrl = Schema.String.pipe(Schema.annotate({ message: "Expected one URL as a string" })).check(
  Schema.makeFilter(isRedirectUrl, {
    expected: "an absolute http or https URL without user name, of at most 2048 characters",
    toJsonSchema: () => ({ format: "uri" })
  })
)

/** The published body of a refresh request. It may be absent or `{}`. */
export const RefreshRequest = Schema.Struct({
  redirectUrl: Schema.optionalKey(Schema.String),
  validateCredentials: Schema.optionalKey(Schema.Boolean)
}).pipe(Schema.encodeKeys({ redirectUrl: "redirect_url", validateCredentials: "validate_credentials" }))
export type RefreshRequest = typeof RefreshRequest.Type

/** The published 200 body as our server writes it. `redirect_url` is always present, and null if there is none. */
export const RefreshResponse = Schema.Struct({
  id: ConnectedAccountId,
  status: KnownStatus,
  redirect_url: Schema.NullOr(Schema.String)
}).pipe(Schema.annotate({ identifier: "RefreshResponse" }))
export type RefreshResponse = typeof RefreshResponse.Type

/**
 * The outcome of a refresh.
 *
 * - `Ready`: the connection can be used now.
 * - `RedirectRequired`: a person has to consent at `redirectUrl`. `status` is the account's status until then: `ACTIVE` means that the old
 *   credential still works.
 * - `NotReady`: the connection is not usable and no consent is pending. `status` says why.
 *
 * `RefreshOutcome.match(outcome, { Ready, RedirectRequired, NotReady })` folds it. A missing case does not compile.
 */
export const RefreshOutcome = Schema.TaggedUnion({
  Ready: { id: ConnectedAccountId },
  RedirectRequired: { id: ConnectedAccountId, redirectUrl: Schema.String, status: ConnectedAccountStatus },
  NotReady: { id: ConnectedAccountId, status: ConnectedAccountStatus }
})
export type RefreshOutcome = typeof RefreshOutcome.Type

const ready = RefreshOutcome.cases.Ready.pipe(sayExpected("Ready"))
const redirectRequired = RefreshOutcome.cases.RedirectRequired.pipe(sayExpected("RedirectRequired"))
const notReady = RefreshOutcome.cases.NotReady.pipe(sayExpected("NotReady"))
export {
  /** Makes the outcome of a connection that can be used now. */
  ready as Ready,
  /** Makes the outcome of an account that needs a person's consent. */
  redirectRequired as RedirectRequired,
  /** Makes the outcome of an account that is not usable and has no consent pending. */
  notReady as NotReady
}

/**
 * The codec between the three fields of the wire and the outcome. It accepts unknown statuses and unknown extra fields. It refuses an answer
 * without `redirect_url`: the contract requires it, so such an answer comes from another server.
 */
export const RefreshOutcomeFromWire = Schema.Struct({
  id: ConnectedAccountId,
  status: ConnectedAccountStatus,
  redirect_url: Schema.NullOr(Schema.String)
}).pipe(
  Schema.decodeTo(
    Schema.toType(RefreshOutcome),
    SchemaTransformation.transform({
      decode: ({ id, redirect_url, status }): RefreshOutcome =>
        redirect_url !== null
          ? { _tag: "RedirectRequired", id, redirectUrl: redirect_url, status }
          : status === "ACTIVE"
            ? { _tag: "Ready", id }
            : { _tag: "NotReady", id, status },
      encode: toWire
    })
  )
)

function toWire(outcome: RefreshOutcome): {
  readonly id: ConnectedAccountId
  readonly status: ConnectedAccountStatus
  readonly redirect_url: string | null
} {
  switch (outcome._tag) {
    case "Ready":
      return { id: outcome.id, status: "ACTIVE", redirect_url: null }
    case "RedirectRequired":
      return { id: outcome.id, status: outcome.status, redirect_url: outcome.redirectUrl }
    case "NotReady":
      return { id: outcome.id, status: outcome.status, redirect_url: null }
  }
}
