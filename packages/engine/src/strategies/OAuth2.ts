/**
 * OAUTH2: silent renewal with the refresh-token grant (RFC 6749 §6), consent with the authorization-code grant, PKCE (RFC 7636), one-use
 * state, issuer check (RFC 9207), and where the provider asks for them pushed requests (RFC 9126) and DPoP (RFC 9449).
 *
 * @module
 */
import type { Expected } from "@rekindle/core"
import { exportJWK, importJWK } from "jose"
import { Effect, Predicate, Schema } from "effect"
import * as oauth from "oauth4webapi"
import { type AuthConfig, AuthConfigError, invalidConfig } from "../account/AuthConfig.ts"
import { type AuthStrategy, type Connection, ConsentError } from "./AuthStrategy.ts"
import * as Credential from "../account/Credential.ts"
import * as Revocation from "../answer/Revocation.ts"
import { bare, parseBody } from "../answer/TokenResponse.ts"
import { decide, type Observation, refused, type Verdict } from "../answer/Verdict.ts"
import * as TokenEndpoint from "./TokenEndpoint.ts"

/** Settings of an OAUTH2 auth config. */
export const OAuth2Settings = Schema.Struct({
  ...TokenEndpoint.TokenEndpointSettings.fields,
  clientId: Schema.String,
  authorizationEndpoint: Schema.optionalKey(TokenEndpoint.Url),
  /** Further parameters of the authorization request, such as `access_type: "offline"` or `prompt: "consent"`. */
  authorizationParameters: Schema.optionalKey(Schema.Record(Schema.String, Schema.String)),
  /**
   * PKCE (RFC 7636); on if absent. Off only for a provider that refuses it from a client with a secret: `state` alone then binds the code to
   * the attempt.
   */
  pkce: Schema.optionalKey(Schema.Boolean),
  /** How scopes are joined; a space by the RFC, a comma at some providers. */
  scopeSeparator: Schema.optionalKey(Schema.String),
  /** Pushes the authorization request (RFC 9126). Absent: where the server's metadata ask for it. */
  pushedRequests: Schema.optionalKey(Schema.Boolean),
  pushedRequestEndpoint: Schema.optionalKey(TokenEndpoint.Url),
  /** Parameters of the callback that are kept as attributes of the account, such as the company that the person chose. */
  keptParameters: Schema.optionalKey(Schema.Array(Schema.String)),
  /** Further values of the callback's `error` by which this provider says that the person refused, besides `access_denied` and its like. */
  deniedErrors: Schema.optionalKey(Schema.Array(Schema.String))
})
export type OAuth2Settings = typeof OAuth2Settings.Type

/** The secret that holds an account's DPoP key. */
const dpopSecret = "dpop_key"
const dpopAlgorithm = "ES256"

const settingsOf = TokenEndpoint.decodeSettings(OAuth2Settings)
const checkSettings = TokenEndpoint.checkSettings(OAuth2Settings)

const consentEndpoints = ({
  authorizationEndpoint,
  pushedRequestEndpoint,
  pushedRequests
}: OAuth2Settings): TokenEndpoint.GivenEndpoints => ({
  endpoints: {
    ...(authorizationEndpoint === undefined ? {} : { authorization_endpoint: authorizationEndpoint.href }),
    ...(pushedRequestEndpoint === undefined
      ? {}
      : { pushed_authorization_request_endpoint: pushedRequestEndpoint.href })
  },
  complete: authorizationEndpoint !== undefined && (pushedRequests !== true || pushedRequestEndpoint !== undefined)
})

/** In the memo: whether the provider promised, when consent began, to name itself in the callback. */
const issuerMemo = "issuer_promise"

const isPromise = Schema.is(Schema.Literals(["promised", "not-promised"]))

const sameUrl = (one: string, other: string): boolean => {
  const href = URL.parse(one)?.href
  return href !== undefined && href === URL.parse(other)?.href
}

/**
 * The issuer that a callback has to come from: the provider that the person was sent to, and no other that shares the callback address
 * (mix-up, RFC 9700 §4.4). A configured issuer is compared. Without one, the code may go only to the origin that says it issued it.
 */
const expectedIssuer = (
  { issuer: known }: OAuth2Settings,
  tokenEndpoint: string | undefined,
  named: string | null
): string | undefined => {
  if (named === null) return known
  if (known !== undefined) return sameUrl(known, named) ? named : known
  const origin = URL.parse(named)?.origin
  return origin !== undefined && origin === URL.parse(tokenEndpoint ?? "")?.origin ? named : undefined
}

const scopesOf = ({ scopeSeparator = " ", scopes }: OAuth2Settings): string | undefined => scopes?.join(scopeSeparator)

const withScopes = (options: oauth.TokenEndpointRequestOptions, scope: string): oauth.TokenEndpointRequestOptions => {
  const additionalParameters = new URLSearchParams(options.additionalParameters)
  additionalParameters.set("scope", scope)
  return { ...options, additionalParameters }
}

/** The DPoP key of an account, from its stored JWK. */
const dpopHandle = (config: AuthConfig, jwk: string) =>
  Effect.tryPromise({
    try: async () => {
      const publicJwk = JSON.parse(jwk)
      delete publicJwk.d
      const [privateKey, publicKey] = await Promise.all([
        importJWK(JSON.parse(jwk), dpopAlgorithm),
        importJWK(publicJwk, dpopAlgorithm, { extractable: true })
      ])
      if (privateKey instanceof Uint8Array || publicKey instanceof Uint8Array) throw new Error("a symmetric DPoP key")
      return oauth.DPoP({}, { privateKey, publicKey })
    },
    // An account can be brought in with a key of its own.
    catch: () =>
      new AuthConfigError({
        authConfigId: config.id,
        message: `the account's ${dpopSecret} is not a private JWK for ${dpopAlgorithm}`
      })
  })

/** What an error of the consent page says; any other refuses this attempt. Compared in lower case, `-` and spaces as `_`. */
const reasons = new Map<string, ConsentError["reason"]>([
  // RFC 6749 §4.1.2.1. Salesforce's documentation writes `access-denied`.
  ["access_denied", "denied"],
  ["server_error", "unavailable"],
  ["temporarily_unavailable", "unavailable"],
  // LinkedIn, "Authorization Code Flow (3-legged OAuth)": the person cancelled at the login or at the consent page. Apple says the latter too.
  ["user_cancelled_login", "denied"],
  ["user_cancelled_authorize", "denied"],
  // Smartcar, "OEM Login Cancelled": the person left at the car maker's login
  ["oem_cancelled_login", "denied"],
  // Facebook, "Manually Build a Login Flow", where it stands in `error_reason` beside `access_denied`
  ["user_denied", "denied"]
])

const reasonOf = (error: string, { deniedErrors = [] }: OAuth2Settings): ConsentError["reason"] =>
  deniedErrors.includes(error) ? "denied" : (reasons.get(error.toLowerCase().replace(/[-\s]/g, "_")) ?? "refused")

/** The reference to a pushed request, and for how many seconds it can be used (RFC 9126 §2.2). */
const pushedRequest = (seen: Observation) => {
  if (seen._tag !== "Answer" || seen.status < 200 || seen.status >= 300) return undefined
  const body = parseBody(seen.body, seen.contentType)
  const stated = body?.["request_uri"]
  const reference = Predicate.isString(stated) ? bare(stated) : ""
  if (reference === "") return undefined
  const life = Number(body?.["expires_in"])
  return { reference, expiresIn: Number.isFinite(life) && life > 0 ? life : undefined }
}

const notPushed = (verdict: Verdict): ConsentError => {
  switch (verdict._tag) {
    case "Refused":
      return new ConsentError({ reason: "misconfigured", message: verdict.reason, code: null })
    case "AppFault":
    case "Dead":
    case "Misconfigured": {
      const message = `the provider refused the pushed request: ${verdict.code}`
      return new ConsentError({ reason: "misconfigured", message, code: verdict.code })
    }
    default:
      return new ConsentError({
        reason: "unavailable",
        message: `the provider did not take the pushed request${"reason" in verdict ? `: ${verdict.reason}` : ""}`,
        code: null
      })
  }
}

/** Makes the strategy. */
export const make = Effect.gen(function* () {
  const endpoint = yield* TokenEndpoint.make

  const asConsentError = Effect.mapError(
    ({ _tag, message }: AuthConfigError | TokenEndpoint.MetadataUnavailable) =>
      new ConsentError({ reason: _tag === "AuthConfigError" ? "misconfigured" : "unavailable", message, code: null })
  )

  /** Where tokens are withdrawn; undefined if the provider names no address for it. */
  const revocationServer = (config: AuthConfig, settings: OAuth2Settings) =>
    endpoint.server(config, settings, { endpoints: {}, complete: settings.revocationEndpoint !== undefined })

  const revoke = Effect.fnUntraced(
    function* ({ config, credential }: Connection) {
      const settings = yield* settingsOf(config)
      const server = yield* revocationServer(config, settings)
      if (server.revocation_endpoint === undefined) return { _tag: "Unsupported" } as const
      // Whoever withdraws a refresh token need not withdraw the access tokens of its grant, or cannot (RFC 7009 §2.1).
      const tokens = ["refresh_token", "access_token"].flatMap((name) => Credential.secret(credential, name) ?? [])
      const seen = yield* Effect.forEach(tokens, (token) =>
        endpoint.exchange(config, settings, ({ authenticate, client, options }) =>
          oauth.revocationRequest(server, client, authenticate, token, options)
        )
      )
      return Revocation.together(seen.map(Revocation.decideRevocation))
    },
    Effect.catch(({ _tag }) =>
      Effect.succeed<Revocation.Revocation>({
        _tag: "Unconfirmed",
        code: _tag === "AuthConfigError" ? "auth_config_invalid" : "metadata_unavailable"
      })
    )
  )

  const strategy: AuthStrategy = {
    scheme: "OAUTH2",
    secrets: {
      account: {
        forms: { access_token: "header", refresh_token: "parameter", id_token: "parameter", [dpopSecret]: "document" },
        needs: [["access_token", "refresh_token"]]
      },
      config: TokenEndpoint.clientSecrets
    },
    check: Effect.fnUntraced(function* (config) {
      const settings = yield* checkSettings(config)
      const { authorizationEndpoint, issuer, pkce, pushedRequestEndpoint, pushedRequests } = settings
      const mistakes: Array<Expected.Mistake> = []
      const missing = (field: string) =>
        mistakes.push({ field: `settings.${field}`, message: "it is missing, and so is issuer" })
      if (issuer === undefined && authorizationEndpoint === undefined) missing("authorizationEndpoint")
      if (issuer === undefined && pushedRequests === true && pushedRequestEndpoint === undefined)
        missing("pushedRequestEndpoint")
      if (pkce === false && TokenEndpoint.clientAuthOf(config, settings) === "none")
        mistakes.push({ field: "settings.pkce", message: "a client without a secret or key of its own needs it" })
      if (mistakes.length > 0) return yield* invalidConfig(config, mistakes)
      return yield* endpoint.check(config, settings, "of the config")
    }),

    renewal: {
      spends: ({ credential }) => credential.secrets["refresh_token"],
      send: Effect.fnUntraced(
        function* ({ config, credential }: Connection) {
          const settings = yield* settingsOf(config)
          const key = Credential.secret(credential, dpopSecret)
          const scopes = settings.scopeOnRefresh === true ? scopesOf(settings) : undefined
          return yield* endpoint.exchange(
            config,
            settings,
            ({ authenticate, client, options, server }) =>
              oauth.refreshTokenGrantRequest(
                server,
                client,
                authenticate,
                Credential.secret(credential, "refresh_token") ?? "",
                scopes === undefined ? options : withScopes(options, scopes)
              ),
            key === undefined ? undefined : yield* dpopHandle(config, key)
          )
        },
        Effect.catchTag("AuthConfigError", (error) => Effect.succeed(refused(error.message)))
      )
    },

    consent: {
      authorize: Effect.fnUntraced(function* ({ config }, { callbackUrl, state }) {
        const settings = yield* asConsentError(settingsOf(config))
        const parts = yield* asConsentError(endpoint.context(config, settings, consentEndpoints(settings)))
        const url = yield* asConsentError(endpoint.page(config, parts.server.authorization_endpoint))
        const verifier = settings.pkce === false ? undefined : oauth.generateRandomCodeVerifier()
        const memo: Record<string, string> = { [issuerMemo]: yield* endpoint.issuerPromise(config, settings) }
        if (verifier !== undefined) memo["code_verifier"] = verifier
        const parameters = new URLSearchParams({
          ...settings.authorizationParameters,
          client_id: settings.clientId,
          redirect_uri: callbackUrl,
          response_type: "code",
          state
        })
        if (verifier !== undefined) {
          parameters.set("code_challenge", yield* Effect.promise(() => oauth.calculatePKCECodeChallenge(verifier)))
          parameters.set("code_challenge_method", "S256")
        }
        const scopes = scopesOf(settings)
        if (scopes !== undefined) parameters.set("scope", scopes)
        if (settings.dpop === true) {
          const jwk = yield* Effect.promise(async () => {
            const pair = await oauth.generateKeyPair(dpopAlgorithm, { extractable: true })
            return JSON.stringify(await exportJWK(pair.privateKey))
          })
          memo[dpopSecret] = jwk
          const handle = yield* asConsentError(dpopHandle(config, jwk))
          parameters.set("dpop_jkt", yield* Effect.promise(() => handle.calculateThumbprint()))
        }
        if (settings.pushedRequests ?? parts.server.require_pushed_authorization_requests === true) {
          if (parts.server.pushed_authorization_request_endpoint === undefined) {
            const message = `auth config ${config.id} has no endpoint for pushed requests`
            return yield* new ConsentError({ reason: "misconfigured", message, code: null })
          }
          const pushed = yield* endpoint.exchange(config, settings, ({ authenticate, client, options }) =>
            oauth.pushedAuthorizationRequest(parts.server, client, authenticate, parameters, options)
          )
          const request = pushedRequest(pushed)
          if (request === undefined) return yield* notPushed(decide(pushed, config.profile))
          url.searchParams.set("client_id", settings.clientId)
          url.searchParams.set("request_uri", request.reference)
          return { url: url.href, expiresIn: request.expiresIn, memo }
        }
        for (const [name, value] of parameters) url.searchParams.set(name, value)
        return { url: url.href, memo }
      }),

      complete: Effect.fnUntraced(function* ({ config }, { callbackUrl, memo, parameters, state }) {
        const settings = yield* asConsentError(settingsOf(config))
        const server = yield* asConsentError(endpoint.server(config, settings))
        const remembered = memo[issuerMemo]
        const promise = isPromise(remembered) ? remembered : yield* endpoint.issuerPromise(config, settings)
        const named = parameters.get("iss")
        if (promise === "unknown" && named === null && !parameters.has("error")) {
          const message = "the callback names no issuer, and whether the provider promises one cannot be found out now"
          return yield* new ConsentError({ reason: "unavailable", message, code: null })
        }
        const issuer = expectedIssuer(settings, server.token_endpoint, named)
        if (issuer === undefined && named !== null) {
          const message = `the callback names an issuer that auth config ${config.id} does not know: set issuer in its settings`
          return yield* new ConsentError({ reason: "refused", message, code: "unexpected_issuer" })
        }
        const expected: oauth.AuthorizationServer = {
          issuer: issuer ?? server.issuer,
          authorization_response_iss_parameter_supported: promise === "promised"
        }
        const validated = yield* Effect.try({
          try: () => oauth.validateAuthResponse(expected, { client_id: settings.clientId }, parameters, state),
          catch: (error) =>
            error instanceof oauth.AuthorizationResponseError
              ? new ConsentError({
                  reason: reasonOf(error.error, settings),
                  message: `the provider answered ${error.error.slice(0, 64)}`,
                  code: error.error.slice(0, 64)
                })
              : new ConsentError({
                  reason: "refused",
                  message: "the callback is not a valid answer of this provider",
                  code: null
                })
        })
        const [code, ...more] = validated.getAll("code")
        if (code === undefined || code === "" || more.length > 0) {
          return yield* new ConsentError({ reason: "refused", message: "the callback has not one code", code: null })
        }
        const key = memo[dpopSecret]
        const observation = yield* endpoint.exchange(
          config,
          settings,
          ({ authenticate, client, options }) =>
            oauth.authorizationCodeGrantRequest(
              server,
              client,
              authenticate,
              validated,
              callbackUrl,
              memo["code_verifier"] ?? oauth.nopkce,
              options
            ),
          key === undefined ? undefined : yield* asConsentError(dpopHandle(config, key))
        )
        return {
          observation,
          secrets: key === undefined ? {} : { [dpopSecret]: key },
          attributes: Object.fromEntries(
            (settings.keptParameters ?? []).flatMap((name) => {
              const value = parameters.get(name)
              return value === null ? [] : [[name, value]]
            })
          )
        }
      })
    },

    revoke
  }

  return strategy
})
