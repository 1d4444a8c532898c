/**
 * `docs/failures.md`, from core's table of slugs and the docstrings of the errors.
 *
 * @module
 */
import { ConsentFailureReason, Failures, RefreshError } from "@rekindle/core"
import { StatusReason } from "@rekindle/engine"
import { Schema } from "effect"
import { docOf, literalsOf } from "./docstrings.ts"
import { page, table } from "./markdown.ts"

const errors = "core/src/RefreshError.ts"

const titles: Readonly<Record<string, string>> = {
  400: "400: the request",
  401: "401: the caller",
  403: "403: the key's rights",
  404: "404: not found",
  405: "405 to 429: the HTTP request, and the state of accounts and events",
  500: "500: the refresh failed",
  501: "501: nothing to refresh",
  503: "503: busy or down"
}

/** The statuses that share a table, by the first of them. */
const groupOf = (status: number): number => (status > 404 && status < 500 ? 405 : status)

interface Row {
  readonly slug: string
  readonly status: number
  readonly disposition: string
  readonly meaning: string
  readonly action: string
}

const rows: ReadonlyArray<Row> = Object.entries(Failures.bySlug).flatMap(([slug, { action, dispositions, meaning }]) =>
  Object.entries(dispositions).map(([status, disposition]) => ({
    slug,
    status: Number(status),
    disposition,
    meaning,
    action
  }))
)

const sections = Object.entries(titles).flatMap(([group, title]) => [
  `### ${title}`,
  table(
    ["slug", ...(group === "405" ? ["status"] : group === "500" ? ["disposition"] : []), "what happened", "what to do"],
    rows
      .filter(({ status }) => groupOf(status) === Number(group))
      .map(({ action, disposition, meaning, slug, status }) => [
        `\`${slug}\``,
        ...(group === "405" ? [String(status)] : group === "500" ? [disposition] : []),
        meaning,
        action
      ])
  )
])

const afterReason: Readonly<Record<StatusReason, string>> = {
  grant_dead: "show the person the link that `refresh` returns",
  rotation_response_lost: "show the person the link that `refresh` returns",
  credential_rejected:
    "ask for a new key or password and call `replaceSecrets`; correct the auth config if it is the application's own",
  consent_denied: "explain why the connection is needed, and offer a new link",
  consent_failed: "check the application's registration with the provider, then offer a new link",
  identity_mismatch:
    "ask the person to sign in with the account that was connected before, or allow another identity (`allowAnotherIdentity`)",
  consent_lapsed: "offer a new link",
  disabled: "call `enable`",
  revoked: "create a new account"
}

const afterConsent: Readonly<Record<ConsentFailureReason, string>> = {
  denied: "explain why the connection is needed, and offer a new link",
  refused: "look at `code`, check the application's registration with the provider, and offer a new link",
  unavailable: "offer a new link in a moment",
  "unknown-state": "offer a new link",
  "identity-mismatch": "ask the person to sign in with the account that was connected before",
  overtaken: "nothing: the account is connected",
  misconfigured: "correct the auth config and register it again"
}

const decodeReason = Schema.decodeUnknownSync(StatusReason)
const decodeConsent = Schema.decodeUnknownSync(ConsentFailureReason)

/** What an entry in `errors` begins with, unless it is the provider's own code. A test looks each up in the engine. */
export const causes: ReadonlyArray<readonly [code: string, meaning: string, action: string]> = [
  ["dns_failed", "the name was not resolved; nothing was sent", "check the name, and the resolver of this machine"],
  ["connect_failed", "no connection was made; nothing was sent", "check the network, the proxy and the provider"],
  [
    "tls_failed",
    "the certificate was refused, or the handshake failed; nothing was sent",
    "trust its authority with `SSL_CERT_FILE`, or correct this machine's clock"
  ],
  ["connection_lost", "the connection ended before the whole answer came", "none: the engine settles it"],
  ["timed_out", "the time limit passed before the whole answer came", "none: the engine settles it"],
  ["body_too_large", "the answer is larger than `egress.maxBodyBytes`", "check the address of the endpoint"],
  ["lease_over", "the lease ended before the request left; nothing was sent", "none: it is tried again"],
  ["time_over", "the time limit passed before the request left; nothing was sent", "none: it is tried again"],
  ["host_not_declared", "the auth config does not declare the host; nothing was sent", "add it to `hosts`"],
  [
    "private_address",
    "the host is not on the public internet; nothing was sent",
    "name it in `egress.privateHosts`, if it is yours"
  ],
  [
    "plain_http",
    "the address is not https; nothing was sent",
    "use https, or name the host in `egress.privateHosts`, if it is yours"
  ],
  ["url_malformed", "the address is not an absolute http(s) URL; nothing was sent", "correct the setting"],
  ["url_credentials", "the address carries a user or password; nothing was sent", "correct the setting"],
  ["request_malformed", "the request cannot be built from the settings; nothing was sent", "correct the settings"],
  ["credential_malformed", "the credential has not the form that its scheme needs; nothing was sent", "enter it again"],
  [
    "redirected_…",
    "the provider answered with a redirect, which the engine does not follow",
    "set the endpoint to the new address"
  ],
  ["http_…", "the provider answered with this status and stated no code", "see the provider's documentation"],
  [
    "unrecognized_error",
    "the provider stated an error that has not the form of a code",
    "see the provider's documentation"
  ],
  [
    "clock_off",
    "the provider refused a signed assertion, and its clock differs from this machine's",
    "run a time service"
  ],
  ["strategy_failed", "the strategy of the scheme threw a defect", "correct it, if it is your own; otherwise report it"]
]

/** The text of the page. */
export const failuresPage = (): string =>
  page(
    "packages/core/src/Failures.ts and the docstrings of the errors",
    "# Failures",
    "Every failure of Rekindle, what it means, and what to do about it. A failure is a typed value: it has a `_tag` and a `disposition`, and a failure of the service has a `slug`. It never holds a secret.",
    "## May it be sent again?",
    "A refresh is not idempotent, because it may spend a single-use token. The `disposition` of a failure says whether the same refresh may be sent again. The [policies](policies.md) obey it.",
    table(
      ["disposition", "what is known", "may it be sent again?"],
      [
        ["`not-sent`", "it provably never reached the other side", "yes"],
        [
          "`rejected`",
          "the other side answered that it did nothing",
          "after a 429 or 503, once `retryAfter` has passed; otherwise correct the cause first"
        ],
        [
          "`ambiguous`",
          "it was sent, and no trustworthy answer came",
          "after a look at the account (`get`), or with an idempotency key that the server honours"
        ]
      ]
    ),
    "## Errors",
    "`RefreshError` is the union of these errors. `RefreshError.match` folds it, and a missing case does not compile.",
    table(
      ["error", "what happened, and what to do"],
      Object.keys(RefreshError.cases).map((tag) => [`\`${tag}\``, docOf(errors, tag)])
    ),
    "Three more belong to an account that cannot be used although its refresh did not fail.",
    table(
      ["error", "what happened, and what to do"],
      ["ConsentRequired", "ConnectionNotReady", "ConsentExpired"].map((tag) => [
        `\`${tag}\``,
        docOf("core/src/resilience/Consent.ts", tag)
      ])
    ),
    "## Slugs",
    "The status alone is not enough. After a 500 the grant may have been spent, or the provider may have refused and nothing happened. The slug tells them apart. `errors` names the cause as far as it is no secret.",
    ...sections,
    "## Causes",
    "The first word of an entry in `errors`, and of `code` in a log line. The code of the system may follow it. Any other word is the provider's own error code, such as `invalid_grant`.",
    table(
      ["cause", "what happened", "what to do"],
      causes.map(([code, ...rest]) => [`\`${code}\``, ...rest])
    ),
    "## Why an account is not active",
    "`status_reason` of an account. An ACTIVE account with a reason cannot be renewed any more. It is in service until its access token expires.",
    table(
      ["reason", "what happened", "what to do"],
      literalsOf("engine/src/account/Account.ts", "StatusReason").map(([reason, doc]) => [
        `\`${reason}\``,
        doc,
        afterReason[decodeReason(reason)]
      ])
    ),
    "## Why a consent led to nothing",
    "`failure.reason` of the result of a consent. An account that was ACTIVE stays ACTIVE.",
    table(
      ["reason", "what happened", "what to do"],
      literalsOf("core/src/ConsentCallback.ts", "ConsentFailureReason").map(([reason, doc]) => [
        `\`${reason}\``,
        doc,
        afterConsent[decodeConsent(reason)]
      ])
    )
  )
