/**
 * Requests to a token endpoint, shared by every scheme that has one: server metadata, client authentication, DPoP, and the form or JSON
 * body. `oauth4webapi` builds the requests; {@link Egress} sends them; nothing here reads the answer.
 *
 * @module
 */
import { Expected } from "@rekindle/core"
import { importJWK, importPKCS8 } from "jose"
import { Clock, Context, Duration, Effect, Redacted, Schema, type SchemaIssue, SchemaTransformation } from "effect"
import * as oauth from "oauth4webapi"
import { type AuthConfig, type AuthConfigError, invalidConfig } from "../account/AuthConfig.ts"
import type { SecretNames } from "../account/Credential.ts"
import { Egress, type EgressRequest } from "../egress/Egress.ts"
import type { Addresses } from "./AuthStrategy.ts"
import { freely, Passage } from "../egress/Passage.ts"
import { notSent, type Observation, refused } from "../answer/Verdict.ts"

/** An absolute http(s) url as RFC 3986 writes it, without credentials in it: browsers also read `https:/host` and `https:\\host`. */
const Address = Schema.String.check(
  Schema.makeFilter((value) => {
    // Parsers repair what is written in other ways, each in its own.
    const url = /^https?:\/\/[^/\\\s][^\s\\]*$/i.test(value) ? URL.parse(value) : null
    const usable = url !== null && url.username === "" && url.password === ""
    return usable || "Expected an absolute http(s) url without credentials in it"
  })
)

/** An address in the settings. It is taken apart once, and goes by its parts from then on. */
export const Url = Address.pipe(Schema.decodeTo(Schema.URL, SchemaTransformation.urlFromString))

/** The addresses in settings, each with the setting that holds it. */
export const addressesOf = (settings: object): Addresses =>
  Object.entries(settings).flatMap(([field, value]) => (value instanceof URL ? [{ field, url: value }] : []))

/** Settings of an auth config whose scheme has a token endpoint. */
export const TokenEndpointSettings = Schema.Struct({
  /** Discovers the endpoints (RFC 8414, OpenID Connect Discovery). Explicit endpoints win over discovered ones. */
  issuer: Schema.optionalKey(Address),
  tokenEndpoint: Schema.optionalKey(Url),
  revocationEndpoint: Schema.optionalKey(Url),
  clientId: Schema.optionalKey(Schema.String),
  /** How the application authenticates (RFC 6749 §2.3, RFC 7523 §2.2). The secret is `client_secret`, the key `private_key`. */
  clientAuth: Schema.optionalKey(Schema.Literals(["basic", "post", "none", "private_key_jwt"])),
  /** For `private_key_jwt`: the JWS algorithm, `RS256` if absent, and the key's id if the provider wants it named. */
  signingAlgorithm: Schema.optionalKey(Schema.String),
  signingKeyId: Schema.optionalKey(Schema.String),
  scopes: Schema.optionalKey(Schema.Array(Schema.String)),
  /** The encoding of token requests: `form` by the RFC, `json` where a provider wants it. */
  tokenBody: Schema.optionalKey(Schema.Literals(["form", "json"])),
  /** Further parameters of every token request, such as `audience` or `resource`. */
  tokenParameters: Schema.optionalKey(Schema.Record(Schema.String, Schema.String)),
  /** Repeats `scopes` with every refresh (RFC 6749 §6): some providers take a refresh without them for another resource's. */
  scopeOnRefresh: Schema.optionalKey(Schema.Boolean),
  /** Further headers of every token request, such as a version. */
  tokenHeaders: Schema.optionalKey(Schema.Record(Schema.String, Schema.String)),
  /** Sender-constrained tokens (RFC 9449). Each account has a key of its own. */
  dpop: Schema.optionalKey(Schema.Boolean)
})
export type TokenEndpointSettings = typeof TokenEndpointSettings.Type

const settingsMistakes = (issue: SchemaIssue.Issue, known?: ReadonlyArray<string>) =>
  Expected.mistakes(issue, known).map(({ field, message }) => ({ field: `settings.${field}`, message }))

/** Finds the mistakes in a scheme's settings, all of them; a setting that the scheme does not know is one. */
export const checkSettings = <S extends Schema.ConstraintDecoder<unknown> & { readonly fields: Schema.Struct.Fields }>(
  schema: S
) => {
  const decode = Schema.decodeUnknownEffect(schema)
  const known = Object.keys(schema.fields)
  return (config: AuthConfig): Effect.Effect<S["Type"], AuthConfigError> =>
    decode(config.settings, { errors: "all", onExcessProperty: "error" }).pipe(
      Effect.mapError(({ issue }) => invalidConfig(config, settingsMistakes(issue, known)))
    )
}

/** Decodes a scheme's settings out of an auth config in use, once. What it does not know, an earlier version may have taken. */
export const decodeSettings = <S extends Schema.ConstraintDecoder<unknown>>(schema: S) => {
  const decode = Schema.decodeUnknownEffect(schema)
  const known = new WeakMap<AuthConfig, S["Type"]>()
  return (config: AuthConfig): Effect.Effect<S["Type"], AuthConfigError> => {
    const settings = known.get(config)
    if (settings !== undefined) return Effect.succeed(settings)
    return decode(config.settings).pipe(
      Effect.mapError(({ issue }) => invalidConfig(config, settingsMistakes(issue))),
      Effect.tap((settings) => Effect.sync(() => known.set(config, settings)))
    )
  }
}

/** The secrets that an auth config of an OAuth 2 client knows. */
export const clientSecrets: SecretNames = { forms: { client_secret: "parameter", private_key: "document" } }

/** What a grant request is built from. */
export interface GrantContext {
  readonly server: oauth.AuthorizationServer
  readonly client: oauth.Client
  readonly authenticate: oauth.ClientAuth
  readonly options: oauth.TokenEndpointRequestOptions
}

/** Endpoints besides the token endpoint that the settings name, and whether these are all that is needed. */
export interface GivenEndpoints {
  readonly endpoints: Partial<oauth.AuthorizationServer>
  readonly complete: boolean
}

/** Whether a provider promises to name itself in its callbacks (RFC 9207 §3). `unknown`: its metadata cannot be had at the moment. */
export type IssuerPromise = "promised" | "not-promised" | "unknown"

/** The provider's metadata cannot be had at the moment: no fault of the auth config. */
export class MetadataUnavailable extends Schema.TaggedError<MetadataUnavailable>(
  "@rekindle/engine/MetadataUnavailable"
)("MetadataUnavailable", { message: Schema.String }) {}

/** One token request: a promise of `oauth4webapi`, whose answer is observed on the way and not read from it. */
export type GrantRequest = (context: GrantContext) => Promise<unknown>

/** The metadata of an authorization server is asked for again after this long. */
const metadataTtl = Duration.toMillis("1 hour")
/** Asking for it is part of a renewal, and has to leave time for the rest. */
const metadataTimeout = Duration.seconds(4)

/** Documents that are kept; the one asked for longest ago makes room. */
const metadataKept = 500

/** While it cannot be had, what is known serves on, and is not asked for again for this long. */
const metadataPause = Duration.toMillis("1 minute")

/** Whether a status says to come back later, and not that there is nothing at this address. */
const isOutage = (status: number): boolean => status === 408 || status === 429 || status >= 500

// RFC 6749 §2.3.1: form-encoded before base64. `oauth4webapi` escapes `-` and `.` too, which is allowed and which some providers
// fail to decode; the unreserved characters need no escape.
const formEncode = (value: string): string => new URLSearchParams([["", value]]).toString().slice(1)

const basic =
  (clientId: string, secret: string): oauth.ClientAuth =>
  (_server, _client, _body, headers) => {
    headers.set(
      "authorization",
      `Basic ${Buffer.from(`${formEncode(clientId)}:${formEncode(secret)}`).toString("base64")}`
    )
  }

const misconfigured = (config: AuthConfig, message: string, field = "") => invalidConfig(config, [{ field, message }])

/** Reads a private key given as PKCS #8 PEM or as a JWK. */
export const importKey = (
  config: AuthConfig,
  pem: Redacted.Redacted<string>,
  algorithm: string
): Effect.Effect<CryptoKey, AuthConfigError> =>
  Effect.tryPromise({
    try: async () => {
      const text = Redacted.value(pem).trim()
      const key = text.startsWith("{")
        ? await importJWK(JSON.parse(text), algorithm)
        : await importPKCS8(text, algorithm)
      if (key instanceof Uint8Array) throw new Error("a symmetric key")
      return key
    },
    catch: () => misconfigured(config, `not a PKCS #8 or JWK private key for ${algorithm}`, "secrets.private_key")
  })

/** How a client proves who it is: as its settings say, else by its secret if there is one. */
export const clientAuthOf = (config: AuthConfig, settings: TokenEndpointSettings) =>
  settings.clientAuth ?? (config.secrets["client_secret"] === undefined ? "none" : "basic")

const clientAuthentication = Effect.fnUntraced(function* (config: AuthConfig, settings: TokenEndpointSettings) {
  const secret = config.secrets["client_secret"]
  const method = clientAuthOf(config, settings)
  switch (method) {
    case "none":
      return oauth.None()
    case "basic":
    case "post": {
      if (secret === undefined) return yield* misconfigured(config, "it is missing", "secrets.client_secret")
      return method === "post"
        ? oauth.ClientSecretPost(Redacted.value(secret))
        : basic(settings.clientId ?? "", Redacted.value(secret))
    }
    case "private_key_jwt": {
      const key = config.secrets["private_key"]
      if (key === undefined) return yield* misconfigured(config, "it is missing", "secrets.private_key")
      const imported = yield* importKey(config, key, settings.signingAlgorithm ?? "RS256")
      return oauth.PrivateKeyJwt(
        settings.signingKeyId === undefined ? imported : { key: imported, kid: settings.signingKeyId }
      )
    }
  }
})

/** Makes the shared parts of strategies with a token endpoint. */
export const make = Effect.gen(function* () {
  const egress = yield* Egress
  const metadata = new Map<string, { readonly server: oauth.AuthorizationServer; readonly until: number }>()
  const authentication = new WeakMap<AuthConfig, oauth.ClientAuth>()

  const isInsecure = (url: string | undefined): boolean => {
    const parsed = url === undefined ? null : URL.parse(url)
    return parsed !== null && parsed.protocol === "http:" && egress.isPrivateAllowed(parsed)
  }

  const discover = Effect.fnUntraced(function* (config: AuthConfig, settings: TokenEndpointSettings, issuer: string) {
    const now = yield* Clock.currentTimeMillis
    // Whatever shapes the request shapes the answer: another auth config's headers are none of this one's business.
    const key = JSON.stringify([config.projectId, config.id, config.hosts, issuer, settings.tokenHeaders])
    const known = metadata.get(key)
    if (known !== undefined && known.until > now) return known.server
    // Metadata are no part of what the sender of a renewal follows.
    const run = Effect.runPromiseWith(Context.add(yield* Effect.context(), Passage, freely))
    let seen: Observation = notSent("timed_out")
    const options = {
      [oauth.customFetch]: async (url: string, init: RequestInit): Promise<Response> => {
        seen = await run(egress.send(config.hosts, requestOf(settings, url, init)))
        return seen._tag === "Answer" ? responseOf(seen) : Promise.reject(stopped)
      },
      [oauth.allowInsecureRequests]: isInsecure(issuer)
    }
    const unavailable = (reason: string) =>
      new MetadataUnavailable({ message: `the metadata of ${issuer} cannot be had now: ${reason}` })
    const unread = (): AuthConfigError | MetadataUnavailable => {
      if (seen._tag === "Refused") return misconfigured(config, `the metadata of ${issuer}: ${seen.reason}`)
      if (seen._tag !== "Answer") return unavailable(seen.reason)
      return isOutage(seen.status)
        ? unavailable(`http_${seen.status}`)
        : misconfigured(config, `the metadata of ${issuer} cannot be read: http_${seen.status}`)
    }
    return yield* Effect.tryPromise({
      try: async () => {
        const url = new URL(issuer)
        let response = await oauth.discoveryRequest(url, options)
        // A server that is no OpenID provider has them at the address of RFC 8414 only.
        if (response.status !== 200 && !isOutage(response.status))
          response = await oauth.discoveryRequest(url, { ...options, algorithm: "oauth2" })
        return await oauth.processDiscoveryResponse(url, response)
      },
      catch: unread
    }).pipe(
      Effect.timeoutOrElse({ duration: metadataTimeout, orElse: () => Effect.fail(unavailable("timed_out")) }),
      Effect.map((server) => ({ server, until: now + metadataTtl })),
      // Endpoints seldom move, and renewals must not stop because a document is missing.
      Effect.catch((error) =>
        known === undefined ? Effect.fail(error) : Effect.succeed({ server: known.server, until: now + metadataPause })
      ),
      Effect.map((entry) => {
        metadata.delete(key)
        metadata.set(key, entry)
        for (const [oldest] of metadata) if (metadata.size > metadataKept) metadata.delete(oldest)
        return entry.server
      })
    )
  })

  const issuerPromise = (config: AuthConfig, settings: TokenEndpointSettings): Effect.Effect<IssuerPromise> =>
    settings.issuer === undefined
      ? Effect.succeed("not-promised")
      : discover(config, settings, settings.issuer).pipe(
          Effect.map(({ authorization_response_iss_parameter_supported: promised }) =>
            promised === true ? "promised" : "not-promised"
          ),
          // A provider without metadata has promised nothing.
          Effect.catchTag("AuthConfigError", () => Effect.succeed<IssuerPromise>("not-promised")),
          Effect.catchTag("MetadataUnavailable", () => Effect.succeed<IssuerPromise>("unknown"))
        )

  /** Fallback issuer when there is no metadata. */
  const anyIssuer = (config: AuthConfig, { issuer, tokenEndpoint }: TokenEndpointSettings) => {
    const name = issuer ?? tokenEndpoint?.href
    return name === undefined
      ? Effect.fail(misconfigured(config, "it is missing, and so is issuer", "settings.tokenEndpoint"))
      : Effect.succeed(name)
  }

  /** The authorization server: explicit where the settings name every endpoint that is needed, discovered otherwise, or both. */
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
    const { issuer = yield* anyIssuer(config, settings) } = discovered
    const merged: oauth.AuthorizationServer = { ...discovered, ...given, issuer }
    return merged
  })

  const authenticate = Effect.fnUntraced(function* (config: AuthConfig, settings: TokenEndpointSettings) {
    const known = authentication.get(config)
    if (known !== undefined) return known
    const made = yield* clientAuthentication(config, settings)
    authentication.set(config, made)
    return made
  })

  /** The client, its authentication and the request options for one exchange. */
  const context = Effect.fnUntraced(function* (
    config: AuthConfig,
    settings: TokenEndpointSettings,
    besides?: GivenEndpoints
  ) {
    const resolved = yield* server(config, settings, besides)
    return {
      server: resolved,
      client: { client_id: settings.clientId ?? "" },
      authenticate: yield* authenticate(config, settings),
      options: {
        [oauth.allowInsecureRequests]: isInsecure(resolved.token_endpoint),
        ...(settings.tokenParameters === undefined ? {} : { additionalParameters: settings.tokenParameters })
      }
    } satisfies GrantContext
  })

  /**
   * Sends one grant request and reports what was seen. `oauth4webapi` builds the request and is stopped there; the answer never passes
   * through it. A DPoP nonce the server asks for (RFC 9449 §8) is the one case of sending again: such an answer says that nothing was done.
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
      // The handle learns the nonce from the answer, and the next proof carries it.
      reply = responseOf(seen)
      yield* build
      reply = undefined
      return yield* Effect.andThen(build, send)
    },
    Effect.catch(({ _tag, message }) =>
      Effect.succeed(_tag === "AuthConfigError" ? refused(message) : notSent(message))
    )
  )

  /** Finds mistakes that need no request. Where accounts may bring a client of their own, the config's may lack its secret. */
  const check = Effect.fnUntraced(function* (
    config: AuthConfig,
    settings: TokenEndpointSettings,
    client: "of the config" | "of the account"
  ) {
    yield* anyIssuer(config, settings)
    if (client === "of the config") yield* authenticate(config, settings)
    return settings.issuer === undefined
      ? addressesOf(settings)
      : [...addressesOf(settings), { field: "issuer", url: new URL(settings.issuer) }]
  })

  /**
   * The page that a person is sent to. Nothing is sent there from here, but a browser goes where it says: one that the provider's metadata
   * name has to keep the same rules as an address of the settings.
   */
  const page = (config: AuthConfig, address: string | undefined): Effect.Effect<URL, AuthConfigError> => {
    const url = address === undefined ? null : URL.parse(address)
    const refusal = url === null ? "it is not an absolute url" : egress.refusal(config.hosts, url)
    if (url !== null && refusal === undefined) return Effect.succeed(url)
    return Effect.fail(
      misconfigured(
        config,
        address === undefined ? "no authorization endpoint" : `the authorization endpoint: ${refusal}`
      )
    )
  }

  return { server, context, exchange, check, page, issuerPromise }
})

/** A request as `oauth4webapi` builds it. */
interface RequestInit {
  readonly method: string
  readonly headers: Record<string, string>
  readonly body?: unknown
}

type AnswerSeen = Extract<Observation, { readonly _tag: "Answer" }>

/** What stops `oauth4webapi` once the request is built; nobody reads it. */
const stopped = new Error("the request is built")

/** The request for the egress, its body in the encoding the provider wants. */
const requestOf = (
  settings: TokenEndpointSettings,
  url: string,
  { body, headers, method }: RequestInit
): EgressRequest => {
  if (!(body instanceof URLSearchParams)) return { url, method, headers: { ...headers, ...settings.tokenHeaders } }
  const asJson = settings.tokenBody === "json"
  return {
    url,
    method,
    headers: {
      ...headers,
      ...settings.tokenHeaders,
      "content-type": asJson ? "application/json" : "application/x-www-form-urlencoded"
    },
    body: asJson ? JSON.stringify(Object.fromEntries(body)) : body.toString()
  }
}

const responseOf = ({ body, headers, status }: AnswerSeen): Response =>
  new Response(status === 204 || status === 304 || status < 200 ? null : body, {
    status: status < 200 ? 502 : status,
    headers: { ...headers }
  })

const asksForNonce = ({ body, status }: AnswerSeen): boolean =>
  (status === 400 || status === 401) && body.includes("use_dpop_nonce")
