/**
 * Requests to a token endpoint, for every scheme that has one. `oauth4webapi` builds a request, {@link Egress} sends it, and nothing here
 * reads the answer.
 *
 * @module
 */
import { Effect, Schema } from "effect"
import * as oauth from "oauth4webapi"
import type { AuthConfig } from "@rekindle/core"
import { type AuthConfigError, invalidConfig } from "../account/AuthConfig.ts"
import { notSent, refused } from "../answer/Verdict.ts"
import { Egress, type EgressRequest } from "../egress/Egress.ts"
import { clientAuthentication } from "./clientAuthentication.ts"
import { type Answered, isInsecureAllowed, requestOf, responseOf, stopped } from "./oauthFetch.ts"
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

/** The parts of a grant request. */
export interface GrantContext {
  readonly server: oauth.AuthorizationServer
  readonly client: oauth.Client
  readonly authenticate: oauth.ClientAuth
  readonly options: oauth.TokenEndpointRequestOptions
}

/** Endpoints that the settings name besides the token endpoint. `complete` means that no others are needed, so discovery is skipped. */
export interface GivenEndpoints {
  readonly endpoints: Partial<oauth.AuthorizationServer>
  readonly complete: boolean
}

/** Builds one request with `oauth4webapi`. Its result is ignored: the egress observes the answer. */
export type GrantRequest = (context: GrantContext) => Promise<unknown>

const misconfigured = (config: AuthConfig, message: string, field = "") => invalidConfig(config, [{ field, message }])

/** The issuer of a server without metadata. */
const fallbackIssuer = (config: AuthConfig, { issuer, tokenEndpoint }: TokenEndpointSettings) => {
  const name = issuer ?? tokenEndpoint?.href
  return name === undefined
    ? Effect.fail(misconfigured(config, "it is missing, and so is issuer", "settings.tokenEndpoint"))
    : Effect.succeed(name)
}

const asksForNonce = ({ body, status }: Answered): boolean =>
  (status === 400 || status === 401) && body.includes("use_dpop_nonce")

/** Makes the functions that strategies with a token endpoint share. */
export const make = Effect.gen(function* () {
  const egress = yield* Egress
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
    const given: Partial<oauth.AuthorizationServer> = {
      ...besides.endpoints,
      ...(settings.tokenEndpoint === undefined ? {} : { token_endpoint: settings.tokenEndpoint.href }),
      ...(settings.revocationEndpoint === undefined ? {} : { revocation_endpoint: settings.revocationEndpoint.href })
    }
    const discovered: Partial<oauth.AuthorizationServer> =
      settings.issuer === undefined || (besides.complete && given.token_endpoint !== undefined)
        ? {}
        : yield* discover(config, settings, settings.issuer)
    const { issuer = yield* fallbackIssuer(config, settings) } = discovered
    const merged: oauth.AuthorizationServer = { ...discovered, ...given, issuer }
    return merged
  })

  /** The server, the client, its authentication and the request options for one exchange. */
  const context = Effect.fnUntraced(function* (
    config: AuthConfig,
    settings: TokenEndpointSettings,
    besides?: GivenEndpoints
  ) {
    const resolved = yield* server(config, settings, besides)
    return {
      server: resolved,
      client: { client_id: settings.clientId ?? "" },
      authenticate: yield* clientAuthentication(config, settings),
      options: {
        [oauth.allowInsecureRequests]: isInsecureAllowed(egress, resolved.token_endpoint),
        ...(settings.tokenParameters === undefined ? {} : { additionalParameters: settings.tokenParameters })
      }
    } satisfies GrantContext
  })

  /**
   * Sends one grant request and reports what was observed.
   *
   * **Gotchas**
   *
   * `oauth4webapi` throws away tokens when an answer is irregular. It is therefore stopped once the request is built, and the answer does not
   * pass through it. The only answer that leads to a second request asks for a DPoP nonce (RFC 9449 §8), because it says that nothing was
   * done.
   */
  const exchange = Effect.fnUntraced(
    function* (config: AuthConfig, settings: TokenEndpointSettings, grant: GrantRequest, dpop?: oauth.DPoPHandle) {
      const parts = yield* context(config, settings)
      let built: EgressRequest | undefined
      let reply: Response | undefined
      const options: oauth.TokenEndpointRequestOptions = {
        ...parts.options,
        ...(dpop === undefined ? {} : { DPoP: dpop }),
        [oauth.customFetch]: (url, init) => {
          if (reply !== undefined) return Promise.resolve(reply)
          built = requestOf(settings, url, init)
          return Promise.reject(stopped)
        }
      }
      const build = Effect.promise(() => grant({ ...parts, options }).catch(() => undefined))
      const send = Effect.suspend(() =>
        built === undefined ? Effect.succeed(refused("request_malformed")) : egress.send(config.hosts, built)
      )
      const seen = yield* Effect.andThen(build, send)
      if (dpop === undefined || seen._tag !== "Answer" || !asksForNonce(seen)) return seen
      // The DPoP handle reads the nonce from the answer and puts it into its next proof.
      reply = responseOf(seen)
      yield* build
      reply = undefined
      return yield* Effect.andThen(build, send)
    },
    Effect.catch(({ _tag, message }) =>
      Effect.succeed(_tag === "AuthConfigError" ? refused(message) : notSent(message))
    )
  )

  /** Finds mistakes without sending anything. A config whose accounts bring their own client may lack the client secret. */
  const check = Effect.fnUntraced(function* (
    config: AuthConfig,
    settings: TokenEndpointSettings,
    client: "of the config" | "of the account"
  ) {
    yield* fallbackIssuer(config, settings)
    if (client === "of the config") yield* clientAuthentication(config, settings)
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

  return { server, context, exchange, check, page, issuerPromise }
})
