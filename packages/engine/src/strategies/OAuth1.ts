/**
 * OAUTH1: three-legged authorization (RFC 5849). Its tokens are not renewed. They work until they are revoked, and then a person has to
 * consent again.
 *
 * **Gotchas**
 *
 * The engine makes its state before the provider makes the request token. The state therefore travels as a query parameter of the callback
 * url, which providers preserve. The request token in the callback is compared with the one that the provider issued.
 *
 * @module
 */
import { Clock, Effect, Predicate, Redacted, Schema } from "effect"
import { SecureRandom } from "effect/crypto"
import type { AuthConfig } from "@rekindle/core"
import { type AuthConfigError, invalidConfig } from "../account/AuthConfig.ts"
import type { AuthStrategy, Connection, ConsentError } from "./AuthStrategy.ts"
import * as Credential from "../account/Credential.ts"
import { Egress } from "../egress/Egress.ts"
import { bare, parseBody } from "../answer/TokenResponse.ts"
import { decideValidity, type Validity } from "../answer/Validity.ts"
import { decide, type Observation, type Verdict } from "../answer/Verdict.ts"
import { asConsentError, consentError } from "./consentErrors.ts"
import { percentEncode, signature, signatureBaseString, SignatureMethod } from "./OAuth1Signature.ts"
import { addressesOf, checkSettings as settingsCheck, decodeSettings, Url } from "./settings.ts"

export {
  percentEncode,
  signature,
  signatureBaseString,
  SignatureMethod,
  type SigningSecrets
} from "./OAuth1Signature.ts"

/** Settings of an OAUTH1 auth config. Its secret is `consumer_secret`; for RSA-SHA1 it is `private_key`, in PEM. */
export const OAuth1Settings = Schema.Struct({
  /** The application's id at the provider. */
  consumerKey: Schema.String,
  /** The endpoint that issues request tokens (RFC 5849 §2.1). */
  requestTokenUrl: Url,
  /** The page on which a person consents (RFC 5849 §2.2). */
  authorizeUrl: Url,
  /** The endpoint that exchanges a request token for an access token (RFC 5849 §2.3). */
  accessTokenUrl: Url,
  /** The signature method (RFC 5849 §3.4). Default `HMAC-SHA1`. */
  signatureMethod: Schema.optionalKey(SignatureMethod),
  /** The realm in the authorization header (RFC 5849 §3.5.1). */
  realm: Schema.optionalKey(Schema.String),
  /** Further parameters of the request for a request token, such as `scope`. */
  requestParameters: Schema.optionalKey(Schema.Record(Schema.String, Schema.String)),
  /** Further parameters of the provider's page, such as `name` or `expiration`. */
  authorizationParameters: Schema.optionalKey(Schema.Record(Schema.String, Schema.String)),
  /** The address of a harmless signed GET that shows whether the token works. Without it the token cannot be validated. */
  probeUrl: Schema.optionalKey(Url)
})
export type OAuth1Settings = typeof OAuth1Settings.Type

const settingsOf = decodeSettings(OAuth1Settings)
const checkSettings = settingsCheck(OAuth1Settings)

interface Token {
  readonly token: string
  readonly secret: string
}

const tokenOf = (credential: Credential.Credential): Token => ({
  token: Credential.secret(credential, "access_token") ?? "",
  secret: Credential.secret(credential, "oauth_token_secret") ?? ""
})

/** One request to be signed. */
interface SignedRequest {
  readonly method: string
  readonly url: URL
  readonly token?: Token
  /** Protocol parameters besides the usual ones: `oauth_callback`, `oauth_verifier`. */
  readonly protocol?: Readonly<Record<string, string>>
  /** Parameters of a form body. */
  readonly form?: ReadonlyArray<readonly [name: string, value: string]> | undefined
}

/** Signs with the secret of the auth config. */
const signed = (
  config: AuthConfig,
  method: SignatureMethod,
  baseString: string,
  tokenSecret: string
): Effect.Effect<string, AuthConfigError> => {
  const name = method === "RSA-SHA1" ? "private_key" : "consumer_secret"
  const secret = config.secrets[name]
  const fault = (message: string) => invalidConfig(config, [{ field: `secrets.${name}`, message }])
  return secret === undefined
    ? Effect.fail(fault("it is missing"))
    : Effect.try({
        try: () => signature(method, baseString, { consumerSecret: Redacted.value(secret), tokenSecret }),
        catch: () => fault(`it cannot sign with ${method}`)
      })
}

/** Makes the strategy. */
export const make = Effect.gen(function* () {
  const egress = yield* Egress
  const random = yield* SecureRandom.SecureRandom

  /** The authorization header of a request, with a nonce and a timestamp of its own (RFC 5849 §3.5.1). */
  const sign = Effect.fnUntraced(function* (config: AuthConfig, settings: OAuth1Settings, request: SignedRequest) {
    const method = settings.signatureMethod ?? "HMAC-SHA1"
    const protocol: Record<string, string> = {
      oauth_consumer_key: settings.consumerKey,
      oauth_nonce: Buffer.from(yield* random.randomBytes(16)).toString("hex"),
      oauth_signature_method: method,
      oauth_timestamp: String(Math.floor((yield* Clock.currentTimeMillis) / 1000)),
      oauth_version: "1.0",
      ...(request.token === undefined ? {} : { oauth_token: request.token.token }),
      ...request.protocol
    }
    const base = signatureBaseString(request.method, request.url, [
      ...Object.entries(protocol),
      ...(request.form ?? [])
    ])
    protocol["oauth_signature"] = yield* signed(config, method, base, request.token?.secret ?? "")
    const header = Object.entries({ ...(settings.realm === undefined ? {} : { realm: settings.realm }), ...protocol })
      .map(([name, value]) => `${name}="${name === "realm" ? value : percentEncode(value)}"`)
      .join(", ")
    return `OAuth ${header}`
  })

  /** Signs and sends once. */
  const send = Effect.fnUntraced(function* (
    config: AuthConfig,
    settings: OAuth1Settings,
    request: SignedRequest & { readonly method: "GET" | "POST" }
  ) {
    const { form = [], method, url } = request
    return yield* egress.send(config.hosts, {
      url,
      method,
      headers: {
        authorization: yield* sign(config, settings, request),
        ...(form.length === 0 ? {} : { "content-type": "application/x-www-form-urlencoded" })
      },
      body: form.length === 0 ? undefined : new URLSearchParams(form.map(([name, value]) => [name, value])).toString()
    })
  })

  /** Obtains a request token and makes the link to the provider's page (RFC 5849 §2.1, §2.2). */
  const authorize: NonNullable<AuthStrategy["consent"]>["authorize"] = Effect.fnUntraced(function* (
    { config },
    { callbackUrl, state }
  ) {
    const settings = yield* asConsentError(settingsOf(config))
    const callback = new URL(callbackUrl)
    callback.searchParams.set("state", state)
    const seen = yield* asConsentError(
      send(config, settings, {
        method: "POST",
        url: settings.requestTokenUrl,
        protocol: { oauth_callback: callback.href },
        form: Object.entries(settings.requestParameters ?? {})
      })
    )
    const issued = issuedToken(seen)
    if (issued === undefined) return yield* noRequestToken(seen)
    // RFC 5849 §2.1: without this confirmation an attacker could plant a request token of their own.
    if (issued.confirmed !== "true")
      return yield* consentError("misconfigured", "the provider did not confirm the callback")
    // A config that was registered before addresses were checked may hold one that breaks the rules.
    const refusal = egress.refusal(config.hosts, settings.authorizeUrl)
    if (refusal !== undefined) return yield* consentError("misconfigured", refusal)
    const url = new URL(settings.authorizeUrl)
    for (const [name, value] of Object.entries(settings.authorizationParameters ?? {})) {
      url.searchParams.set(name, value)
    }
    url.searchParams.set("oauth_token", issued.token)
    return { url: url.href, memo: { oauth_token: issued.token, oauth_token_secret: issued.secret } }
  })

  /** Exchanges the verifier of a callback for an access token (RFC 5849 §2.3). */
  const complete: NonNullable<AuthStrategy["consent"]>["complete"] = Effect.fnUntraced(function* (
    { config },
    { memo, parameters }
  ) {
    const settings = yield* asConsentError(settingsOf(config))
    const problem = parameters.get("oauth_problem")
    if (parameters.has("denied") || problem === "user_refused" || problem === "permission_denied")
      return yield* consentError("denied", "the provider reports a refusal", "denied")
    const token = memo["oauth_token"] ?? ""
    const verifier = parameters.get("oauth_verifier")
    if (verifier === null || parameters.get("oauth_token") !== token)
      return yield* consentError("refused", "the callback does not belong to this consent")
    const observation = yield* asConsentError(
      send(config, settings, {
        method: "POST",
        url: settings.accessTokenUrl,
        token: { token, secret: memo["oauth_token_secret"] ?? "" },
        protocol: { oauth_verifier: verifier }
      })
    )
    return { observation }
  })

  const probe = Effect.fnUntraced(
    function* ({ config, credential }: Connection): Effect.fn.Return<Validity, AuthConfigError> {
      const settings = yield* settingsOf(config)
      const seen = yield* send(config, settings, {
        method: "GET",
        url: new URL(settings.probeUrl ?? ""),
        token: tokenOf(credential)
      })
      return decideValidity(seen)
    },
    Effect.catchTag("AuthConfigError", (error) =>
      Effect.succeed<Validity>({ _tag: "Misconfigured", reason: error.message })
    )
  )

  const strategy: AuthStrategy = {
    scheme: "OAUTH1",
    publishedNames: { access_token: "oauth_token" },
    secrets: {
      account: {
        forms: { access_token: "parameter", oauth_token_secret: "password" },
        needs: [["access_token"], ["oauth_token_secret"]]
      },
      config: { forms: { consumer_secret: "parameter", private_key: "document" } }
    },
    check: (config) =>
      Effect.flatMap(checkSettings(config), (settings) =>
        Effect.as(signed(config, settings.signatureMethod ?? "HMAC-SHA1", "", ""), addressesOf(settings))
      ),
    consent: { authorize, complete, decide: decideAccessToken },
    inUse: ({ config, credential }) =>
      Effect.map(settingsOf(config), ({ consumerKey }) => {
        const { access_token: token, oauth_token_secret: tokenSecret } = credential.secrets
        return token === undefined || tokenSecret === undefined
          ? undefined
          : { _tag: "OAuth1", consumerKey, token, tokenSecret }
      }),
    sign: Effect.fnUntraced(function* ({ config, credential }, { form, method, url }) {
      const header = yield* sign(config, yield* settingsOf(config), {
        method,
        url: new URL(url),
        form,
        token: tokenOf(credential)
      })
      return { headers: { authorization: Redacted.make(header, { label: "authorization" }) }, parameters: {} }
    }),
    validate: (connection) =>
      Predicate.isString(connection.config.settings["probeUrl"]) ? probe(connection) : undefined
  }
  return strategy
}).pipe(Effect.provide(SecureRandom.layerWebCrypto))

/** The token in an answer (RFC 5849 §2.1, §2.3), whatever content type the provider states. */
const issuedToken = (seen: Observation): (Token & { readonly confirmed: string | undefined }) | undefined => {
  if (seen._tag !== "Answer" || seen.status < 200 || seen.status >= 300) return undefined
  const body = parseBody(seen.body, "application/x-www-form-urlencoded")
  const read = (name: string) => (Predicate.isString(body?.[name]) ? bare(body[name]) : undefined)
  const token = read("oauth_token")
  const secret = read("oauth_token_secret")
  return token !== undefined && token !== "" && secret !== undefined
    ? { token, secret, confirmed: read("oauth_callback_confirmed") }
    : undefined
}

const decideAccessToken = (observation: Observation, { config }: Connection): Verdict => {
  const issued = issuedToken(observation)
  if (issued !== undefined) {
    return {
      _tag: "Renewed",
      tokens: {
        accessToken: Redacted.make(issued.token, { label: "access_token" }),
        refreshToken: undefined,
        idToken: undefined,
        secrets: { oauth_token_secret: Redacted.make(issued.secret, { label: "oauth_token_secret" }) },
        tokenType: "oauth1",
        expiresIn: null,
        scope: undefined,
        irregularities: []
      }
    }
  }
  // The same consumer key has just obtained the request token, so a refusal (RFC 5849 §3.2) concerns the verifier.
  return observation._tag === "Answer" && (observation.status === 400 || observation.status === 401)
    ? { _tag: "Dead", code: `http_${observation.status}` }
    : decide(observation, config.profile)
}

const noRequestToken = (seen: Observation): ConsentError => {
  if (seen._tag === "Refused") return consentError("misconfigured", seen.reason)
  if (seen._tag !== "Answer") return consentError("unavailable", `the provider could not be reached: ${seen.reason}`)
  const refused = seen.status >= 400 && seen.status < 500 && seen.status !== 408 && seen.status !== 429
  return consentError(
    refused ? "misconfigured" : "unavailable",
    "the provider gave no request token",
    `http_${seen.status}`
  )
}
