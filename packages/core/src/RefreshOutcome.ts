/**
 * What a successful refresh answers: the wire's three fields, read once into the three cases a caller has to tell apart.
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
 * Where a browser may be sent after consent: an absolute http(s) URL of at most 2,048 characters, without user name, password or control
 * characters. Its scheme is spelled out, because browsers and parsers read `https:/host` and `https:\\host` in different ways.
 */
export const RedirectUrl = Schema.String.pipe(Schema.annotate({ message: "Expected one URL as a string" })).check(
  Schema.makeFilter(isRedirectUrl, {
    expected: "an absolute http or https URL without user name, of at most 2048 characters",
    toJsonSchema: () => ({ format: "uri" })
  })
)

/** The published body of a refresh request. It may be absent altogether, or `{}`. */
export const RefreshRequest = Schema.Struct({
  redirectUrl: Schema.optionalKey(Schema.String),
  validateCredentials: Schema.optionalKey(Schema.Boolean)
}).pipe(Schema.encodeKeys({ redirectUrl: "redirect_url", validateCredentials: "validate_credentials" }))
export type RefreshRequest = typeof RefreshRequest.Type

/** The published 200 body as a server of this version writes it: `redirect_url` is always present, null when there is none. */
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
 * - `RedirectRequired`: a person has to consent at `redirectUrl`. `status` is what the account is meanwhile: `ACTIVE` means the old
 *   credential still works.
 * - `NotReady`: neither usable nor waiting for a person; `status` says why.
 *
 * `RefreshOutcome.match(outcome, { Ready, RedirectRequired, NotReady })` folds it; a missing case does not compile.
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
  /** Makes the outcome that says the connection can be used now. */
  ready as Ready,
  /** Makes the outcome that says a person has to consent. */
  redirectRequired as RedirectRequired,
  /** Makes the outcome of an account that is neither usable nor waiting for a person. */
  notReady as NotReady
}

/**
 * The codec between the wire's three fields and the outcome. It accepts unknown statuses and unknown extra fields; a missing
 * `redirect_url` is refused, because the contract promises it and its absence means we are talking to something else.
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
