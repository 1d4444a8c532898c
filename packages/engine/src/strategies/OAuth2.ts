/**
 * OAUTH2: renewal with the refresh-token grant (RFC 6749 §6), consent with the authorization-code grant (RFC 6749 §4.1) and PKCE (RFC 7636).
 * Pushed requests (RFC 9126) and DPoP (RFC 9449) are used if the provider or the settings ask for them.
 *
 * @module
 */
import type { AuthConfig, Expected } from "@rekindle/core"
import { Effect, Redacted, Schema } from "effect"
import { SecureRandom } from "effect/crypto"
import { Base64Url } from "effect/encoding"
import { createHash } from "node:crypto"
import { invalidConfig } from "../account/AuthConfig.ts"
import type { ConsentPage, AuthStrategy, Connection } from "./AuthStrategy.ts"
import * as Credential from "../account/Credential.ts"
import * as Revocation from "../answer/Revocation.ts"
import { refused } from "../answer/Verdict.ts"
import * as AuthorizationResponse from "./authorizationResponse.ts"
import { clientSecrets, methodOf } from "./clientAuthentication.ts"
import { asConsentError, consentError } from "./consentErrors.ts"
import * as Dpop from "./dpop.ts"
import * as PushedRequest from "./pushedRequest.ts"
import type { AuthorizationServer } from "./ServerMetadata.ts"
import { checkSettings as settingsCheck, decodeSettings, refuseFaultyConfig, Url } from "./settings.ts"
import * as TokenEndpoint from "./TokenEndpoint.ts"

/** Settings of an OAUTH2 auth config. */
export const OAuth2Settings = Schema.Struct({
  ...TokenEndpoint.TokenEndpointSettings.fields,
  /** The application's id at the provider. */
  clientId: Schema.String,
  /** The authorization endpoint, on which a person consents (RFC 6749 §3.1). Default: as discovered. */
  authorizationEndpoint: Schema.optionalKey(Url),
  /** Further parameters of the authorization request, such as `access_type: "offline"` or `prompt: "consent"`. */
  authorizationParameters: Schema.optionalKey(Schema.Record(Schema.String, Schema.String)),
  /**
   * PKCE (RFC 7636). Default true. Switch it off only for a provider that refuses it from a client with a secret: then `state` alone binds
   * the code to the attempt.
   */
  pkce: Schema.optionalKey(Schema.Boolean),
  /** The separator of scopes: a space by the RFC, a comma at some providers. Default a space. */
  scopeSeparator: Schema.optionalKey(Schema.String),
  /** Pushes the authorization request (RFC 9126). Default: if the server's metadata require it. */
  pushedRequests: Schema.optionalKey(Schema.Boolean),
  /** The endpoint for pushed authorization requests (RFC 9126 §2). Default: as discovered. */
  pushedRequestEndpoint: Schema.optionalKey(Url),
  /** Parameters of the callback to keep as attributes of the account, such as the company that the person chose. */
  keptParameters: Schema.optionalKey(Schema.Array(Schema.String)),
  /** Values of the callback's `error` that mean that the person refused, besides `access_denied` and the other known ones. */
  deniedErrors: Schema.optionalKey(Schema.Array(Schema.String))
})
export type OAuth2Settings = typeof OAuth2Settings.Type

const settingsOf = decodeSettings(OAuth2Settings)
const checkSettings = settingsCheck(OAuth2Settings)

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

/** The keys of a consent's memo: the PKCE verifier, the DPoP key, and whether the provider promised `iss` when the consent began. */
const memoNames = { issuerPromise: "issuer_promise", key: Dpop.secretName, verifier: "code_verifier" }

const isPromise = Schema.is(Schema.Literals(["promised", "not-promised"]))

const scopesOf = ({ scopeSeparator = " ", scopes }: OAuth2Settings): string | undefined => scopes?.join(scopeSeparator)

/** Finds what is missing for a consent, without sending anything. */
const consentMistakes = (config: AuthConfig, settings: OAuth2Settings): ReadonlyArray<Expected.Mistake> => {
  const { authorizationEndpoint, issuer, pkce, pushedRequestEndpoint, pushedRequests } = settings
  const mistakes: Array<Expected.Mistake> = []
  const missing = (field: string) =>
    mistakes.push({ field: `settings.${field}`, message: "it is missing, and so is issuer" })
  if (issuer === undefined && authorizationEndpoint === undefined) missing("authorizationEndpoint")
  if (issuer === undefined && pushedRequests === true && pushedRequestEndpoint === undefined)
    missing("pushedRequestEndpoint")
  if (pkce === false && methodOf(config, settings) === "none")
    mistakes.push({ field: "settings.pkce", message: "a client without a secret or key of its own needs it" })
  return mistakes
}

/** Makes the strategy. */
export const make = Effect.gen(function* () {
  const endpoint = yield* TokenEndpoint.make
  const random = yield* SecureRandom.SecureRandom

  const check = Effect.fnUntraced(function* (config: AuthConfig) {
    const settings = yield* checkSettings(config)
    const mistakes = consentMistakes(config, settings)
    if (mistakes.length > 0) return yield* invalidConfig(config, mistakes)
    return yield* endpoint.check(config, settings, "of the config")
  })

  const renew = Effect.fnUntraced(function* ({ config, credential }: Connection) {
    const settings = yield* settingsOf(config)
    const token = Credential.secret(credential, "refresh_token")
    if (!token) return refused("request_malformed")
    const scopes = settings.scopeOnRefresh === true ? scopesOf(settings) : undefined
    return yield* endpoint.grant(
      config,
      settings,
      "refresh_token",
      { ...(scopes === undefined ? {} : { scope: scopes }), refresh_token: token },
      Credential.secret(credential, Dpop.secretName)
    )
  }, refuseFaultyConfig)

  /** The parameters of an authorization request, and the memo that completes its consent. */
  const authorizationRequest = Effect.fnUntraced(function* (
    config: AuthConfig,
    settings: OAuth2Settings,
    { callbackUrl, state }: { readonly callbackUrl: string; readonly state: string }
  ) {
    const memo: Record<string, string> = { [memoNames.issuerPromise]: yield* endpoint.issuerPromise(config, settings) }
    const parameters = new URLSearchParams({
      ...settings.authorizationParameters,
      client_id: settings.clientId,
      redirect_uri: callbackUrl,
      response_type: "code",
      state
    })
    if (settings.pkce !== false) {
      const verifier = Base64Url.encode(yield* random.randomBytes(32))
      memo[memoNames.verifier] = verifier
      parameters.set("code_challenge", createHash("sha256").update(verifier).digest("base64url"))
      parameters.set("code_challenge_method", "S256")
    }
    const scopes = scopesOf(settings)
    if (scopes !== undefined) parameters.set("scope", scopes)
    if (settings.dpop === true) {
      const key = yield* Dpop.generate
      memo[memoNames.key] = key
      parameters.set("dpop_jkt", yield* asConsentError(Dpop.thumbprint(config, key)))
    }
    return { memo, parameters }
  })

  /** Pushes an authorization request (RFC 9126 §2). */
  const push = Effect.fnUntraced(function* (
    config: AuthConfig,
    settings: OAuth2Settings,
    server: AuthorizationServer,
    parameters: URLSearchParams
  ) {
    if (server.pushed_authorization_request_endpoint === undefined)
      return yield* consentError("misconfigured", `auth config ${config.id} has no endpoint for pushed requests`)
    const seen = yield* endpoint.request(config, settings, {
      server,
      endpoint: "pushed_authorization_request_endpoint",
      fields: parameters
    })
    return PushedRequest.read(seen) ?? (yield* PushedRequest.failure(seen, config.profile))
  })

  const authorize: NonNullable<AuthStrategy["consent"]>["authorize"] = Effect.fnUntraced(function* (
    { config },
    request
  ) {
    const settings = yield* asConsentError(settingsOf(config))
    const server = yield* asConsentError(endpoint.server(config, settings, consentEndpoints(settings)))
    // A mistake in the secrets is found before a person consents in vain.
    yield* asConsentError(endpoint.authentication(config, settings))
    const url = yield* asConsentError(endpoint.page(config, server.authorization_endpoint))
    const { memo, parameters } = yield* authorizationRequest(config, settings, request)
    if (settings.pushedRequests ?? server.requiresPush === true) {
      const { expiresIn, reference } = yield* push(config, settings, server, parameters)
      url.searchParams.set("client_id", settings.clientId)
      url.searchParams.set("request_uri", reference)
      const pushed: ConsentPage = { url: url.href, expiresIn, memo }
      return pushed
    }
    for (const [name, value] of parameters) url.searchParams.set(name, value)
    return { url: url.href, memo }
  })

  const complete: NonNullable<AuthStrategy["consent"]>["complete"] = Effect.fnUntraced(function* (
    { config },
    { callbackUrl, memo, parameters, state }
  ) {
    const settings = yield* asConsentError(settingsOf(config))
    const server = yield* asConsentError(endpoint.server(config, settings))
    const remembered = memo[memoNames.issuerPromise]
    const promise = isPromise(remembered) ? remembered : yield* endpoint.issuerPromise(config, settings)
    const validated = yield* AuthorizationResponse.validate(config, settings, { parameters, promise, server, state })
    const key = memo[memoNames.key]
    const verifier = memo[memoNames.verifier]
    const observation = yield* endpoint.grant(
      config,
      settings,
      "authorization_code",
      {
        redirect_uri: callbackUrl,
        code: validated.get("code") ?? "",
        ...(verifier === undefined ? {} : { code_verifier: verifier })
      },
      key
    )
    return {
      observation,
      secrets: key === undefined ? {} : { [Dpop.secretName]: key },
      attributes: Object.fromEntries(
        (settings.keptParameters ?? []).flatMap((name) => {
          const value = parameters.get(name)
          return value === null ? [] : [[name, value]]
        })
      )
    }
  })

  const revocationServer = (config: AuthConfig, settings: OAuth2Settings) =>
    endpoint.server(config, settings, { endpoints: {}, complete: settings.revocationEndpoint !== undefined })

  const revocable: NonNullable<AuthStrategy["revocable"]> = (config) =>
    Effect.flatMap(settingsOf(config), (settings) => revocationServer(config, settings)).pipe(
      Effect.map(({ revocation_endpoint }) => revocation_endpoint !== undefined),
      Effect.orElseSucceed(() => true)
    )

  const revoke = Effect.fnUntraced(
    function* ({ config, credential }: Connection) {
      const settings = yield* settingsOf(config)
      const server = yield* revocationServer(config, settings)
      if (server.revocation_endpoint === undefined) return { _tag: "Unsupported" } as const
      // A server that revokes a refresh token need not revoke the access tokens of its grant (RFC 7009 §2.1).
      const tokens = ["refresh_token", "access_token"].flatMap((name) => Credential.secret(credential, name) ?? [])
      const seen = yield* Effect.forEach(tokens, (token) =>
        endpoint.request(config, settings, {
          server,
          endpoint: "revocation_endpoint",
          fields: new URLSearchParams({ ...settings.tokenParameters, token })
        })
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
        forms: {
          access_token: "header",
          refresh_token: "parameter",
          id_token: "parameter",
          [Dpop.secretName]: "document"
        },
        needs: [["access_token", "refresh_token"]]
      },
      config: clientSecrets
    },
    check,
    renewal: { spends: ({ credential }) => credential.secrets["refresh_token"], send: renew },
    consent: { authorize, complete },
    inUse: ({ credential }, expiresAt) => {
      const { access_token: token, [Dpop.secretName]: dpopKey } = credential.secrets
      if (token === undefined) return Effect.undefined
      return Effect.succeed(
        dpopKey === undefined
          ? { _tag: "AccessToken", token, tokenType: "Bearer", expiresAt }
          : { _tag: "AccessToken", token, tokenType: "DPoP", dpopKey, expiresAt }
      )
    },
    sign: ({ config, credential }, { dpopNonce: nonce, method, url }) => {
      const token = Credential.secret(credential, "access_token")
      const key = Credential.secret(credential, Dpop.secretName)
      if (token === undefined || key === undefined) return Effect.undefined
      return Effect.map(Dpop.proof(config, key, { method, url, token, nonce }, random), (proof) => ({
        headers: {
          authorization: Redacted.make(`DPoP ${token}`, { label: "authorization" }),
          dpop: Redacted.make(proof, { label: "dpop" })
        },
        parameters: {}
      }))
    },
    revocable,
    revoke
  }
  return strategy
}).pipe(Effect.provide(SecureRandom.layerWebCrypto))
