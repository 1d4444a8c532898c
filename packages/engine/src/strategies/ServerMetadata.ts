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
import { Clock, Context, Duration, Effect, Schema } from "effect"
import * as oauth from "oauth4webapi"
import type { AuthConfig } from "@rekindle/core"
import { type AuthConfigError, invalidConfig } from "../account/AuthConfig.ts"
import { keepNewest } from "../account/keepNewest.ts"
import { notSent, type Observation } from "../answer/Verdict.ts"
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

/** A request as `oauth4webapi` builds it for `fetch`. */
interface BuiltRequest {
  readonly method: string
  readonly headers: Record<string, string>
}

/** Rejects the `fetch` of `oauth4webapi` if there is no answer. Nothing reads it. */
const stopped = new Error("there is no answer")

/** The answer as a `Response`. That class accepts no status below 200 and no body with 204 and 304. */
const responseOf = ({ body, headers, status }: Extract<Observation, { readonly _tag: "Answer" }>): Response =>
  new Response(status === 204 || status === 304 || status < 200 ? null : body, {
    status: status < 200 ? 502 : status,
    headers: { ...headers }
  })

/** Whether the egress allows plain http to this url. `oauth4webapi` refuses it unless it is told otherwise. */
const isInsecureAllowed = (egress: Egress["Service"], address: string): boolean => {
  const url = URL.parse(address)
  return url !== null && url.protocol === "http:" && egress.isPrivateAllowed(url)
}

/** Makes the cache of metadata. */
export const make = (egress: Egress["Service"]) => {
  const joined = makeJoinedRead<oauth.AuthorizationServer, AuthConfigError | MetadataUnavailable>()
  const cache = new Map<string, { readonly server: oauth.AuthorizationServer; readonly until: number }>()

  /** Fetches the metadata of an issuer from the address of OpenID Connect, or from that of RFC 8414. */
  const fetch = Effect.fnUntraced(function* (config: AuthConfig, settings: TokenEndpointSettings, issuer: string) {
    // Fetching metadata is a request of its own, so the sender of the token request does not control it.
    const run = Effect.runPromiseWith(Context.add(yield* Effect.context(), Passage, uncontrolled))
    let seen: Observation = notSent("timed_out")
    const options = {
      [oauth.customFetch]: async (url: string, { headers, method }: BuiltRequest): Promise<Response> => {
        const request = { url, method, headers: { ...headers, ...settings.tokenHeaders } }
        seen = await run(egress.send(config.hosts, request))
        return seen._tag === "Answer" ? responseOf(seen) : Promise.reject(stopped)
      },
      [oauth.allowInsecureRequests]: isInsecureAllowed(egress, issuer)
    }
    const unavailable = (reason: string) =>
      new MetadataUnavailable({ message: `the metadata of ${issuer} cannot be fetched now: ${reason}` })
    const invalid = (fault: string) =>
      invalidConfig(config, [{ field: "", message: `the metadata of ${issuer}${fault}` }])
    const failure = (): AuthConfigError | MetadataUnavailable => {
      if (seen._tag === "Refused") return invalid(`: ${seen.reason}`)
      if (seen._tag !== "Answer") return unavailable(seen.reason)
      return isOutage(seen.status)
        ? unavailable(`http_${seen.status}`)
        : invalid(` cannot be read: http_${seen.status}`)
    }
    return yield* Effect.tryPromise({
      try: async () => {
        const url = new URL(issuer)
        let response = await oauth.discoveryRequest(url, options)
        if (response.status !== 200 && !isOutage(response.status))
          response = await oauth.discoveryRequest(url, { ...options, algorithm: "oauth2" })
        return await oauth.processDiscoveryResponse(url, response)
      },
      catch: failure
    }).pipe(Effect.timeoutOrElse({ duration: fetchTimeout, orElse: () => Effect.fail(unavailable("timed_out")) }))
  })

  /** The metadata of an issuer, from the cache or fetched. */
  const discover = Effect.fnUntraced(function* (config: AuthConfig, settings: TokenEndpointSettings, issuer: string) {
    const now = yield* Clock.currentTimeMillis
    // The answer may depend on the request's headers, so auth configs share no entry.
    const key = JSON.stringify([config.projectId, config.id, config.hosts, issuer, settings.tokenHeaders])
    const known = cache.get(key)
    if (known !== undefined && known.until > now) return known.server
    return yield* joined.read(
      key,
      fetch(config, settings, issuer).pipe(
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
          Effect.map(({ authorization_response_iss_parameter_supported: promised }) =>
            promised === true ? "promised" : "not-promised"
          ),
          Effect.catchTag("AuthConfigError", () => Effect.succeed<IssuerPromise>("not-promised")),
          Effect.catchTag("MetadataUnavailable", () => Effect.succeed<IssuerPromise>("unknown"))
        )

  return { discover, issuerPromise }
}
