/**
 * OAUTH1: three-legged authorization (RFC 5849). Its tokens are not renewed: they live until they are withdrawn, and then a person has to
 * consent again.
 *
 * The provider makes the request token after the engine has made its state. So the state travels as a query parameter of the callback
 * url, which providers echo, and the request token that comes back is compared with the one that was asked for. Every attempt signs with
 * a nonce and a timestamp of its own.
 *
 * @module
 */
import { Clock, Effect, Predicate, Redacted, Schema } from "effect"
import { SecureRandom } from "effect/crypto"
import { createHmac, sign } from "node:crypto"
import { type AuthConfig, type AuthConfigError, invalidConfig } from "../account/AuthConfig.ts"
import { type AuthStrategy, type Connection, ConsentError, type Validity } from "./AuthStrategy.ts"
import * as Credential from "../account/Credential.ts"
import { Egress } from "../egress/Egress.ts"
import { bare, parseBody } from "../answer/TokenResponse.ts"
import { decide, type Observation } from "../answer/Verdict.ts"
import { addressesOf, checkSettings as settingsCheck, decodeSettings, Url } from "./TokenEndpoint.ts"

/** How requests are signed (RFC 5849 §3.4; HMAC-SHA256 is what later providers added). */
export const SignatureMethod = Schema.Literals(["HMAC-SHA1", "HMAC-SHA256", "RSA-SHA1", "PLAINTEXT"])
export type SignatureMethod = typeof SignatureMethod.Type

/** Settings of an OAUTH1 auth config. The secret is `consumer_secret`; for RSA-SHA1 `private_key`, in PEM. */
export const OAuth1Settings = Schema.Struct({
  consumerKey: Schema.String,
  requestTokenUrl: Url,
  authorizeUrl: Url,
  accessTokenUrl: Url,
  /** `HMAC-SHA1` if absent. */
  signatureMethod: Schema.optionalKey(SignatureMethod),
  realm: Schema.optionalKey(Schema.String),
  /** Further parameters of the request for a request token, such as `scope`. */
  requestParameters: Schema.optionalKey(Schema.Record(Schema.String, Schema.String)),
  /** Further parameters of the page a person is sent to, such as `name` or `expiration`. */
  authorizationParameters: Schema.optionalKey(Schema.Record(Schema.String, Schema.String)),
  /** Where a harmless signed GET shows whether the token works. Absent: it cannot be validated. */
  probeUrl: Schema.optionalKey(Url)
})
export type OAuth1Settings = typeof OAuth1Settings.Type

const settingsOf = decodeSettings(OAuth1Settings)
const checkSettings = settingsCheck(OAuth1Settings)

/** Percent-encoding of RFC 5849 §3.6: everything but the unreserved characters of RFC 3986, in upper case. */
export const percentEncode = (value: string): string =>
  encodeURIComponent(value).replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`)

/**
 * The signature base string (RFC 5849 §3.4.1). `parameters` are those of the header and of a form body, without `realm`; those of the
 * url's query are added here.
 */
export const signatureBaseString = (
  method: string,
  url: string | URL,
  parameters: Iterable<readonly [name: string, value: string]>
): string => {
  const { origin, pathname, searchParams } = new URL(url)
  const normalized = [...searchParams, ...parameters]
    .map(([name, value]) => [percentEncode(name), percentEncode(value)] as const)
    .toSorted(([name, value], [otherName, otherValue]) => compare(name, otherName) || compare(value, otherValue))
    .map((pair) => pair.join("="))
    .join("&")
  return [method.toUpperCase(), `${origin}${pathname}`, normalized].map(percentEncode).join("&")
}

// By code unit, which for percent-encoded text is the byte order that §3.4.1.3.2 asks for; a locale's order is not.
const compare = (left: string, right: string): number => (left < right ? -1 : left > right ? 1 : 0)

/** The secrets a signature is made with. */
export interface SigningSecrets {
  /** For RSA-SHA1 the consumer's private key, in PEM. */
  readonly consumerSecret: string
  /** Of the request or access token; empty before there is one. */
  readonly tokenSecret: string
}

/** The signature (RFC 5849 §3.4.2 to §3.4.4). Throws on a private key that is none. */
export const signature = (method: SignatureMethod, baseString: string, secrets: SigningSecrets): string => {
  const key = `${percentEncode(secrets.consumerSecret)}&${percentEncode(secrets.tokenSecret)}`
  switch (method) {
    case "PLAINTEXT":
      return key
    case "HMAC-SHA1":
      return createHmac("sha1", key).update(baseString).digest("base64")
    case "HMAC-SHA256":
      return createHmac("sha256", key).update(baseString).digest("base64")
    case "RSA-SHA1":
      return sign("sha1", Buffer.from(baseString), secrets.consumerSecret).toString("base64")
  }
}

/** One request to be signed. */
interface SignedRequest {
  readonly method: "GET" | "POST"
  readonly url: URL
  readonly token?: { readonly token: string; readonly secret: string }
  /** Protocol parameters besides the usual (`oauth_callback`, `oauth_verifier`). */
  readonly protocol?: Readonly<Record<string, string>>
  /** Parameters of a form body. */
  readonly form?: Readonly<Record<string, string>> | undefined
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

  /** Signs and sends once. */
  const send = Effect.fnUntraced(function* (config: AuthConfig, settings: OAuth1Settings, request: SignedRequest) {
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
    const form = Object.entries(request.form ?? {})
    protocol["oauth_signature"] = yield* signed(
      config,
      method,
      signatureBaseString(request.method, request.url, [...Object.entries(protocol), ...form]),
      request.token?.secret ?? ""
    )
    const header = Object.entries({ ...(settings.realm === undefined ? {} : { realm: settings.realm }), ...protocol })
      .map(([name, value]) => `${name}="${name === "realm" ? value : percentEncode(value)}"`)
      .join(", ")
    return yield* egress.send(config.hosts, {
      url: request.url,
      method: request.method,
      headers: {
        authorization: `OAuth ${header}`,
        ...(form.length === 0 ? {} : { "content-type": "application/x-www-form-urlencoded" })
      },
      body: form.length === 0 ? undefined : new URLSearchParams(form).toString()
    })
  })

  const misconfigured = Effect.mapError(
    (error: AuthConfigError) => new ConsentError({ reason: "misconfigured", message: error.message, code: null })
  )

  const probe = Effect.fnUntraced(
    function* ({ config, credential }: Connection): Effect.fn.Return<Validity, AuthConfigError> {
      const settings = yield* settingsOf(config)
      const seen = yield* send(config, settings, {
        method: "GET",
        url: new URL(settings.probeUrl ?? ""),
        token: {
          token: Credential.secret(credential, "access_token") ?? "",
          secret: Credential.secret(credential, "oauth_token_secret") ?? ""
        }
      })
      if (seen._tag === "Refused") return { _tag: "Misconfigured", reason: seen.reason }
      if (seen._tag !== "Answer") return { _tag: "Unverified", reason: seen.reason }
      if (seen.status >= 200 && seen.status < 300) return { _tag: "Valid" }
      return seen.status === 401
        ? { _tag: "Rejected", code: `http_${seen.status}` }
        : { _tag: "Unverified", reason: `http_${seen.status}` }
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

    consent: {
      authorize: Effect.fnUntraced(function* ({ config }, { callbackUrl, state }) {
        const settings = yield* misconfigured(settingsOf(config))
        const callback = new URL(callbackUrl)
        callback.searchParams.set("state", state)
        const seen = yield* misconfigured(
          send(config, settings, {
            method: "POST",
            url: settings.requestTokenUrl,
            protocol: { oauth_callback: callback.href },
            form: settings.requestParameters
          })
        )
        const temporary = issued(seen)
        if (temporary === undefined) return yield* noRequestToken(seen)
        // RFC 5849 §2.1: a server that does not confirm the callback is one that can be led astray by a planted request token
        if (temporary.confirmed !== "true") {
          return yield* new ConsentError({
            reason: "misconfigured",
            message: "the provider did not confirm the callback",
            code: null
          })
        }
        // An auth config that was registered before addresses were checked is held to the rules here.
        const refusal = egress.refusal(config.hosts, settings.authorizeUrl)
        if (refusal !== undefined)
          return yield* new ConsentError({ reason: "misconfigured", message: refusal, code: null })
        const url = new URL(settings.authorizeUrl)
        for (const [name, value] of Object.entries(settings.authorizationParameters ?? {})) {
          url.searchParams.set(name, value)
        }
        url.searchParams.set("oauth_token", temporary.token)
        return { url: url.href, memo: { oauth_token: temporary.token, oauth_token_secret: temporary.secret } }
      }),

      complete: Effect.fnUntraced(function* ({ config }, { memo, parameters }) {
        const settings = yield* misconfigured(settingsOf(config))
        const problem = parameters.get("oauth_problem")
        if (parameters.has("denied") || problem === "user_refused" || problem === "permission_denied") {
          return yield* new ConsentError({
            reason: "denied",
            message: "the provider reports a refusal",
            code: "denied"
          })
        }
        const token = memo["oauth_token"] ?? ""
        const verifier = parameters.get("oauth_verifier")
        if (verifier === null || parameters.get("oauth_token") !== token) {
          return yield* new ConsentError({
            reason: "refused",
            message: "the callback does not belong to this consent",
            code: null
          })
        }
        const observation = yield* misconfigured(
          send(config, settings, {
            method: "POST",
            url: settings.accessTokenUrl,
            token: { token, secret: memo["oauth_token_secret"] ?? "" },
            protocol: { oauth_verifier: verifier }
          })
        )
        const tokens = issued(observation)
        return { observation, secrets: tokens === undefined ? {} : { oauth_token_secret: tokens.secret } }
      }),

      decide: (observation, { config }) => {
        const tokens = issued(observation)
        if (tokens !== undefined) {
          return {
            _tag: "Renewed",
            tokens: {
              accessToken: Redacted.make(tokens.token, { label: "access_token" }),
              refreshToken: undefined,
              idToken: undefined,
              tokenType: "oauth1",
              expiresIn: null,
              scope: undefined,
              irregularities: []
            }
          }
        }
        // The request token was just obtained with the same consumer key, so a refusal (RFC 5849 §3.2) is about the verifier.
        return observation._tag === "Answer" && (observation.status === 400 || observation.status === 401)
          ? { _tag: "Dead", code: `http_${observation.status}` }
          : decide(observation, config.profile)
      }
    },

    validate: (connection) =>
      Predicate.isString(connection.config.settings["probeUrl"]) ? probe(connection) : undefined
  }
  return strategy
}).pipe(Effect.provide(SecureRandom.layerWebCrypto))

/** The token of an answer (RFC 5849 §2.1, §2.3), whatever the provider calls its content type. */
const issued = (seen: Observation) => {
  if (seen._tag !== "Answer" || seen.status < 200 || seen.status >= 300) return undefined
  const body = parseBody(seen.body, "application/x-www-form-urlencoded")
  const read = (name: string) => (Predicate.isString(body?.[name]) ? bare(body[name]) : undefined)
  const token = read("oauth_token")
  const secret = read("oauth_token_secret")
  return token !== undefined && token !== "" && secret !== undefined
    ? { token, secret, confirmed: read("oauth_callback_confirmed") }
    : undefined
}

const noRequestToken = (seen: Observation): ConsentError => {
  if (seen._tag === "Refused") return new ConsentError({ reason: "misconfigured", message: seen.reason, code: null })
  if (seen._tag !== "Answer") {
    const message = `the provider could not be reached: ${seen.reason}`
    return new ConsentError({ reason: "unavailable", message, code: null })
  }
  const refused = seen.status >= 400 && seen.status < 500 && seen.status !== 408 && seen.status !== 429
  return new ConsentError({
    reason: refused ? "misconfigured" : "unavailable",
    message: "the provider gave no request token",
    code: `http_${seen.status}`
  })
}
