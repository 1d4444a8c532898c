/**
 * The metadata of authorization servers (RFC 8414, OpenID Connect Discovery). They are discovered from an issuer and cached for an hour.
 *
 * **Gotchas**
 *
 * If the metadata cannot be fetched again, the cached ones stay in use. Endpoints seldom move, and renewals must not stop because a
 * document is missing.
 *
 * @module
 */
import { Duration, Effect, Option, Predicate, Schema } from "effect"
import { type AuthConfig, MonotonicClock } from "@rekindle/core"
import { type AuthConfigError, invalidConfig } from "../account/AuthConfig.ts"
import { keepNewest } from "../account/keepNewest.ts"
import type { Egress } from "../egress/Egress.ts"
import { uncontrolled, Passage } from "../egress/Passage.ts"
import { makeJoinedRead } from "./joinedRead.ts"
import type { TokenEndpointSettings } from "./TokenEndpoint.ts"

/** The provider's metadata cannot be fetched at the moment. The auth config is not at fault. */
export class MetadataUnavailable extends Schema.TaggedError<MetadataUnavailable>(
  "@rekindle/engine/MetadataUnavailable"
)("MetadataUnavailable", { message: Schema.String }) {}

/**
 * Whether a provider promises to name itself in its callbacks (RFC 9207 §3). `unknown` means that its metadata cannot be fetched at the
 * moment.
 */
export type IssuerPromise = "promised" | "not-promised" | "unknown"

/** How long metadata are used before they are fetched again. */
const timeToLive = Duration.toMillis("1 hour")

/** How long cached metadata stay in use after a failed fetch, before the next one. */
const pauseAfterFailure = Duration.toMillis("1 minute")

/** The limit of one fetch. It is part of a renewal, and has to leave time for the rest. */
const fetchTimeout = Duration.seconds(4)

/** The maximum number of servers in the cache. The one that was fetched longest ago is dropped first. */
const capacity = 500

/** Whether a status means "come back later" and not "there is nothing at this address". */
const isOutage = (status: number): boolean => status === 408 || status === 429 || status >= 500

const endpointNames = [
  "authorization_endpoint",
  "pushed_authorization_request_endpoint",
  "revocation_endpoint",
  "token_endpoint"
] as const

/** What the engine uses of an authorization server's metadata (RFC 8414 §2). */
export interface AuthorizationServer extends Partial<Readonly<Record<(typeof endpointNames)[number], string>>> {
  readonly issuer: string
  /** Whether callbacks name the issuer (RFC 9207 §3). */
  readonly namesIssuer?: boolean
  /** Whether authorization requests have to be pushed (RFC 9126 §5). */
  readonly requiresPush?: boolean
}

const parse = Schema.decodeUnknownOption(Schema.fromJsonString(Schema.Record(Schema.String, Schema.Unknown)))

/** Reads metadata. Undefined if they are not those of the issuer (RFC 8414 §3.3). */
const read = (body: string, issuer: URL): AuthorizationServer | undefined => {
  const document = Option.getOrUndefined(parse(body))
  const named = document?.["issuer"]
  if (document === undefined || !Predicate.isString(named) || URL.parse(named)?.href !== issuer.href) return undefined
  const endpoints: { [Name in (typeof endpointNames)[number]]?: string } = {}
  for (const name of endpointNames) {
    const { [name]: address } = document
    if (Predicate.isString(address)) endpoints[name] = address
  }
  return {
    ...endpoints,
    issuer: named,
    namesIssuer: document["authorization_response_iss_parameter_supported"] === true,
    requiresPush: document["require_pushed_authorization_requests"] === true
  }
}

/** Where an issuer's metadata may be: OpenID Connect Discovery §4, RFC 8414 §3.1. */
const addressesOf = (issuer: URL): ReadonlyArray<string> => {
  const path = issuer.pathname.replace(/\/$/, "")
  return [`${path}/.well-known/openid-configuration`, `/.well-known/oauth-authorization-server${path}`].map(
    (pathname) => Object.assign(new URL(issuer), { pathname }).toString()
  )
}

/** Some providers refuse requests without one. */
export const userAgent = "rekindle"

/** Makes the cache of metadata. */
export const make = (egress: Egress["Service"]) => {
  const joined = makeJoinedRead<AuthorizationServer, AuthConfigError | MetadataUnavailable>()
  const cache = new Map<string, { readonly server: AuthorizationServer; readonly until: number }>()

  /** Reads the metadata of an issuer at the first address that has any. */
  const look = Effect.fnUntraced(function* (config: AuthConfig, settings: TokenEndpointSettings, issuer: string) {
    const unavailable = (reason: string) =>
      new MetadataUnavailable({ message: `the metadata of ${issuer} cannot be fetched now: ${reason}` })
    const invalid = (fault: string) =>
      invalidConfig(config, [{ field: "", message: `the metadata of ${issuer}${fault}` }])
    const headers = { accept: "application/json", "user-agent": userAgent, ...settings.tokenHeaders }
    const expected = new URL(issuer)
    const first = Effect.gen(function* () {
      let status = 0
      for (const url of addressesOf(expected)) {
        const seen = yield* egress.send(config.hosts, { url, headers })
        if (seen._tag === "Refused") return yield* invalid(`: ${seen.reason}`)
        if (seen._tag !== "Answer") return yield* unavailable(seen.reason)
        status = seen.status
        if (isOutage(status)) return yield* unavailable(`http_${status}`)
        const server = status === 200 ? read(seen.body, expected) : undefined
        if (server !== undefined) return server
        if (status === 200) break
      }
      return yield* invalid(` cannot be read: http_${status}`)
    })
    return yield* first.pipe(
      // Fetching metadata is a request of its own, so the sender of the token request does not control it.
      Effect.provideService(Passage, uncontrolled),
      Effect.timeoutOrElse({ duration: fetchTimeout, orElse: () => Effect.fail(unavailable("timed_out")) })
    )
  })

  /** The metadata of an issuer, from the cache or fetched. */
  const discover = Effect.fnUntraced(function* (config: AuthConfig, settings: TokenEndpointSettings, issuer: string) {
    const now = yield* MonotonicClock.millis
    // The answer may depend on the request's headers, so auth configs share no entry.
    const key = JSON.stringify([config.projectId, config.id, config.hosts, issuer, settings.tokenHeaders])
    const known = cache.get(key)
    if (known !== undefined && known.until > now) return known.server
    return yield* joined.read(
      key,
      look(config, settings, issuer).pipe(
        Effect.map((server) => ({ server, until: now + timeToLive })),
        Effect.catch((error) =>
          known === undefined
            ? Effect.fail(error)
            : Effect.succeed({ server: known.server, until: now + pauseAfterFailure })
        ),
        Effect.map((entry) => {
          keepNewest(cache, key, entry, capacity)
          return entry.server
        })
      )
    )
  })

  /** Whether the provider of a config promises `iss` in its callbacks. A provider without metadata has promised nothing. */
  const issuerPromise = (config: AuthConfig, settings: TokenEndpointSettings): Effect.Effect<IssuerPromise> =>
    settings.issuer === undefined
      ? Effect.succeed("not-promised")
      : discover(config, settings, settings.issuer).pipe(
          Effect.map(({ namesIssuer }) => (namesIssuer === true ? "promised" : "not-promised")),
          Effect.catchTag("AuthConfigError", () => Effect.succeed<IssuerPromise>("not-promised")),
          Effect.catchTag("MetadataUnavailable", () => Effect.succeed<IssuerPromise>("unknown"))
        )

  return { discover, issuerPromise }
}
