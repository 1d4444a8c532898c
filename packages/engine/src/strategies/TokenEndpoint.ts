/**
 * Requests to a token endpoint, for every scheme that has one: a form with its client authentication. {@link Egress} sends it, and nothing
 * here reads the answer.
 *
 * Building a request waits for nothing but a key that signs. So a lease is not spent on it, and a simulated engine does it within a step.
 *
 * @module
 */
import { Effect, Schema } from "effect"
import { SecureRandom } from "effect/crypto"
import type { AuthConfig } from "@rekindle/core"
import { type AuthConfigError, invalidConfig } from "../account/AuthConfig.ts"
import { notSent, type Observation, refused } from "../answer/Verdict.ts"
import { Egress } from "../egress/Egress.ts"
import { clientAuthentication, type Form } from "./clientAuthentication.ts"
import * as Dpop from "./dpop.ts"
import * as ServerMetadata from "./ServerMetadata.ts"
import { Address, addressesOf, Url } from "./settings.ts"

/** Settings of an auth config whose scheme has a token endpoint. */
export const TokenEndpointSettings = Schema.Struct({
  /** Discovers the endpoints (RFC 8414, OpenID Connect Discovery). Explicit endpoints win over discovered ones. */
  issuer: Schema.optionalKey(Address),
  /** The token endpoint (RFC 6749 §3.2). Default: as discovered. */
  tokenEndpoint: Schema.optionalKey(Url),
  /** The revocation endpoint (RFC 7009). Default: as discovered. */
  revocationEndpoint: Schema.optionalKey(Url),
  /** The application's id at the provider. */
  clientId: Schema.optionalKey(Schema.String),
  /** How the application authenticates (RFC 6749 §2.3, RFC 7523 §2.2), with the secret `client_secret` or the key `private_key`. */
  clientAuth: Schema.optionalKey(Schema.Literals(["basic", "post", "none", "private_key_jwt"])),
  /** For `private_key_jwt`: the JWS algorithm. Default `RS256`. */
  signingAlgorithm: Schema.optionalKey(Schema.String),
  /** For `private_key_jwt`: the key's id, if the provider wants it named. */
  signingKeyId: Schema.optionalKey(Schema.String),
  /** The scopes to ask for. */
  scopes: Schema.optionalKey(Schema.Array(Schema.String)),
  /** The encoding of token requests: `form` by the RFC, `json` at some providers. Default `form`. */
  tokenBody: Schema.optionalKey(Schema.Literals(["form", "json"])),
  /** Further parameters of every token request, such as `audience` or `resource`. */
  tokenParameters: Schema.optionalKey(Schema.Record(Schema.String, Schema.String)),
  /** Repeats `scopes` in every refresh (RFC 6749 §6). Without them some providers issue a token for another resource. */
  scopeOnRefresh: Schema.optionalKey(Schema.Boolean),
  /** Further headers of every token request, such as a version. */
  tokenHeaders: Schema.optionalKey(Schema.Record(Schema.String, Schema.String)),
  /** Sender-constrained tokens (RFC 9449). Each account has a key of its own. */
  dpop: Schema.optionalKey(Schema.Boolean)
})
export type TokenEndpointSettings = typeof TokenEndpointSettings.Type

/** Endpoints that the settings name besides the token endpoint. `complete` means that no others are needed, so discovery is skipped. */
export interface GivenEndpoints {
  readonly endpoints: Partial<ServerMetadata.AuthorizationServer>
  readonly complete: boolean
}

/** A request to the authorization server. */
export interface FormRequest {
  /** The server that it goes to. */
  readonly server: ServerMetadata.AuthorizationServer
  readonly endpoint: "token_endpoint" | "revocation_endpoint" | "pushed_authorization_request_endpoint"
  readonly fields: URLSearchParams
  /** The key of a request whose tokens are bound to it. */
  readonly dpopKey?: string | undefined
}

const misconfigured = (config: AuthConfig, message: string, field = "") => invalidConfig(config, [{ field, message }])

/** The issuer of a server without metadata. */
const fallbackIssuer = (config: AuthConfig, { issuer, tokenEndpoint }: TokenEndpointSettings) => {
  const name = issuer ?? tokenEndpoint?.href
  return name === undefined
    ? Effect.fail(misconfigured(config, "it is missing, and so is issuer", "settings.tokenEndpoint"))
    : Effect.succeed(name)
}

/** The nonce that an answer asks for (RFC 9449 §8). It says that nothing was done. */
const nonceOf = (seen: Observation): string | undefined =>
  seen._tag === "Answer" && (seen.status === 400 || seen.status === 401) && seen.body.includes("use_dpop_nonce")
    ? seen.headers?.["dpop-nonce"]
    : undefined

/** Makes the functions that strategies with a token endpoint share. */
export const make = Effect.gen(function* () {
  const egress = yield* Egress
  const random = yield* SecureRandom.SecureRandom
  const { discover, issuerPromise } = ServerMetadata.make(egress)

  /**
   * The authorization server of a config. Its endpoints are those in the settings. Others are discovered, if some that are needed are
   * missing and there is an issuer.
   */
  const server = Effect.fnUntraced(function* (
    config: AuthConfig,
    settings: TokenEndpointSettings,
    besides: GivenEndpoints = { endpoints: {}, complete: true }
  ) {
    const given: Partial<ServerMetadata.AuthorizationServer> = {
      ...besides.endpoints,
      ...(settings.tokenEndpoint === undefined ? {} : { token_endpoint: settings.tokenEndpoint.href }),
      ...(settings.revocationEndpoint === undefined ? {} : { revocation_endpoint: settings.revocationEndpoint.href })
    }
    const discovered: Partial<ServerMetadata.AuthorizationServer> =
      settings.issuer === undefined || (besides.complete && given.token_endpoint !== undefined)
        ? {}
        : yield* discover(config, settings, settings.issuer)
    const { issuer = yield* fallbackIssuer(config, settings) } = discovered
    const merged: ServerMetadata.AuthorizationServer = { ...discovered, ...given, issuer }
    return merged
  })

  const authentication = (config: AuthConfig, settings: TokenEndpointSettings) =>
    clientAuthentication(config, settings, random)

  /** Sends one form once, or twice if the first answer asks for a DPoP nonce. */
  const post = Effect.fnUntraced(function* (
    config: AuthConfig,
    settings: TokenEndpointSettings,
    { dpopKey, endpoint, fields, server }: FormRequest
  ): Effect.fn.Return<Observation, AuthConfigError> {
    const { [endpoint]: url } = server
    if (url === undefined || !settings.clientId) return refused("request_malformed")
    const authenticate = yield* authentication(config, settings)
    const isJson = settings.tokenBody === "json"
    const send = Effect.fnUntraced(function* (nonce: string | undefined) {
      const form: Form = { fields: new URLSearchParams(fields), headers: { "user-agent": ServerMetadata.userAgent } }
      // A revocation is answered without a body (RFC 7009 §2.2).
      if (endpoint !== "revocation_endpoint") form.headers["accept"] = "application/json"
      if (dpopKey !== undefined)
        form.headers["dpop"] = yield* Dpop.proof(config, dpopKey, { method: "POST", url, nonce }, random)
      yield* authenticate(form, server.issuer)
      return yield* egress.send(config.hosts, {
        url,
        method: "POST",
        headers: {
          ...form.headers,
          ...settings.tokenHeaders,
          "content-type": isJson ? "application/json" : "application/x-www-form-urlencoded"
        },
        body: isJson ? JSON.stringify(Object.fromEntries(form.fields)) : form.fields.toString()
      })
    })
    const seen = yield* send(undefined)
    const nonce = dpopKey === undefined ? undefined : nonceOf(seen)
    return nonce === undefined ? seen : yield* send(nonce)
  })

  /** Reports what was observed, or why nothing was sent. */
  const observed = Effect.catch(({ _tag, message }: AuthConfigError | ServerMetadata.MetadataUnavailable) =>
    Effect.succeed(_tag === "AuthConfigError" ? refused(message) : notSent(message))
  )

  /** Sends one request besides grants, and reports what was observed. */
  const request = (config: AuthConfig, settings: TokenEndpointSettings, form: FormRequest) =>
    observed(post(config, settings, form))

  /** Sends one grant request (RFC 6749 §4), and reports what was observed. */
  const grant = (
    config: AuthConfig,
    settings: TokenEndpointSettings,
    grantType: "authorization_code" | "client_credentials" | "refresh_token",
    parameters: Readonly<Record<string, string>>,
    dpopKey?: string
  ): Effect.Effect<Observation> =>
    Effect.flatMap(server(config, settings), (server) => {
      const fields = new URLSearchParams({ ...settings.tokenParameters, ...parameters, grant_type: grantType })
      return post(config, settings, { server, endpoint: "token_endpoint", fields, dpopKey })
    }).pipe(observed)

  /** Finds mistakes without sending anything. A config whose accounts bring their own client may lack the client secret. */
  const check = Effect.fnUntraced(function* (
    config: AuthConfig,
    settings: TokenEndpointSettings,
    client: "of the config" | "of the account"
  ) {
    yield* fallbackIssuer(config, settings)
    if (client === "of the config") yield* authentication(config, settings)
    return settings.issuer === undefined
      ? addressesOf(settings)
      : [...addressesOf(settings), { field: "issuer", url: new URL(settings.issuer) }]
  })

  /**
   * The provider's page for a person. The engine sends nothing there, but the person's browser opens it. A page from the provider's metadata
   * therefore obeys the same rules as an address in the settings.
   */
  const page = (config: AuthConfig, address: string | undefined): Effect.Effect<URL, AuthConfigError> => {
    if (address === undefined) return Effect.fail(misconfigured(config, "no authorization endpoint"))
    const url = URL.parse(address)
    const refusal = url === null ? "it is not an absolute url" : egress.refusal(config.hosts, url)
    return url !== null && refusal === undefined
      ? Effect.succeed(url)
      : Effect.fail(misconfigured(config, `the authorization endpoint: ${refusal}`))
  }

  return { authentication, server, request, grant, check, page, issuerPromise }
})
