/**
 * Validates the parameters of a callback: the state, the issuer (RFC 9207) and the code (RFC 6749 §4.1.2).
 *
 * @module
 */
import { Effect } from "effect"
import * as oauth from "oauth4webapi"
import type { AuthConfig } from "@rekindle/core"
import type { ConsentError } from "./AuthStrategy.ts"
import { consentError } from "./consentErrors.ts"
import type { OAuth2Settings } from "./OAuth2.ts"
import type { AuthorizationServer, IssuerPromise } from "./ServerMetadata.ts"

/** The reasons behind errors in a callback. Any other error refuses the attempt. Keys are in lower case, with `_` for `-` and spaces. */
const reasons = new Map<string, ConsentError["reason"]>([
  // RFC 6749 §4.1.2.1. Salesforce's documentation writes `access-denied`.
  ["access_denied", "denied"],
  ["server_error", "unavailable"],
  ["temporarily_unavailable", "unavailable"],
  // LinkedIn, "Authorization Code Flow (3-legged OAuth)": cancelled at the login or on the consent page. Apple uses the second one too.
  ["user_cancelled_login", "denied"],
  ["user_cancelled_authorize", "denied"],
  // Smartcar, "OEM Login Cancelled": cancelled at the car maker's login.
  ["oem_cancelled_login", "denied"],
  // Facebook, "Manually Build a Login Flow": in `error_reason`, beside `access_denied`.
  ["user_denied", "denied"]
])

const reasonOf = (error: string, { deniedErrors = [] }: OAuth2Settings): ConsentError["reason"] =>
  deniedErrors.includes(error) ? "denied" : (reasons.get(error.toLowerCase().replace(/[-\s]/g, "_")) ?? "refused")

const sameUrl = (one: string, other: string): boolean => {
  const href = URL.parse(one)?.href
  return href !== undefined && href === URL.parse(other)?.href
}

/**
 * The issuer that a callback must come from: the provider that the person was sent to, and not another one that shares the callback address
 * (mix-up, RFC 9700 §4.4). A configured issuer is compared. Without one, only an issuer on the origin of the token endpoint is accepted,
 * because the code goes there.
 *
 * @param named the issuer that the callback names.
 */
const expectedIssuer = (
  { issuer: configured }: OAuth2Settings,
  tokenEndpoint: string | undefined,
  named: string | null
): string | undefined => {
  if (named === null) return configured
  if (configured !== undefined) return sameUrl(configured, named) ? named : configured
  const origin = URL.parse(named)?.origin
  return origin !== undefined && origin === URL.parse(tokenEndpoint ?? "")?.origin ? named : undefined
}

/** Returns the validated parameters of a callback. They have exactly one code. */
export const validate = Effect.fnUntraced(function* (
  config: AuthConfig,
  settings: OAuth2Settings,
  {
    parameters,
    promise,
    server,
    state
  }: {
    readonly parameters: URLSearchParams
    readonly promise: IssuerPromise
    readonly server: AuthorizationServer
    readonly state: string
  }
) {
  const named = parameters.get("iss")
  if (promise === "unknown" && named === null && !parameters.has("error")) {
    const message = "the callback names no issuer, and whether the provider promises one is unknown at the moment"
    return yield* consentError("unavailable", message)
  }
  const issuer = expectedIssuer(settings, server.token_endpoint, named)
  if (issuer === undefined && named !== null) {
    const message = `the callback names an issuer that auth config ${config.id} does not know: set issuer in its settings`
    return yield* consentError("refused", message, "unexpected_issuer")
  }
  const expected: oauth.AuthorizationServer = {
    issuer: issuer ?? server.issuer,
    authorization_response_iss_parameter_supported: promise === "promised"
  }
  const validated = yield* Effect.try({
    try: () => oauth.validateAuthResponse(expected, { client_id: settings.clientId }, parameters, state),
    catch: (error) => {
      if (!(error instanceof oauth.AuthorizationResponseError))
        return consentError("refused", "the callback is not a valid answer of this provider")
      const code = error.error.slice(0, 64)
      return consentError(reasonOf(error.error, settings), `the provider answered ${code}`, code)
    }
  })
  const [code, ...more] = validated.getAll("code")
  return code === undefined || code === "" || more.length > 0
    ? yield* consentError("refused", "the callback must carry exactly one code")
    : validated
})
