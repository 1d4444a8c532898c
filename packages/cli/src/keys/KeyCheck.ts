/**
 * Decides who may call, with the keys of the database: platform's `ApiKeys`.
 *
 * `Keys` reads a key at most once in 2 seconds. So most checks cost no statement, and a key that was revoked through another process is refused
 * within that time. If the keys cannot be read, the answer is a 503: a revoked key never passes because the database is down.
 *
 * Three throttles, each for one process: requests of a key, requests of an address, and failed attempts of an address. A bad key costs a
 * statement, so an address with too many of them gets a 429 without one. A key that was good within the last hour is not held up by the
 * failures of others at its address, which may be a proxy's.
 *
 * **Gotchas**
 *
 * The address is the connection's. Behind a proxy, wrap the server with `HttpMiddleware.xForwardedHeaders` and the proxy's network; otherwise all
 * callers share the proxy's limit. An IPv6 caller usually has 2^64 addresses, so these share one limit.
 *
 * @module
 */
import { RateLimited, Unauthorized, Unavailable } from "@rekindle/core"
import { ApiKeys } from "@rekindle/platform"
import { Array, Clock, Duration, Effect, Layer, type Redacted, Result } from "effect"
import { NetAddress } from "effect/net"
import * as KeyText from "./keyText.ts"
import { Keys } from "./Keys.ts"
import { Projects } from "./Projects.ts"
import * as Throttle from "./Throttle.ts"

/** The limits of one process. */
export interface Limits {
  /** Requests of one key. Default: 1000 a second. */
  readonly perKey?: Throttle.Rate | undefined
  /** Requests of one address, whatever their keys. Default: 2000 a second. */
  readonly perAddress?: Throttle.Rate | undefined
  /** Requests of one address with a wrong, expired or revoked key. Default: 20 a minute. */
  readonly failuresPerAddress?: Throttle.Rate | undefined
}

/** How often uses are written, and how far apart two written uses of a key are. */
const useEvery = Duration.minutes(1)

/** How long a good key is not held up by the failures of others. */
const goodFor = Duration.hours(1)

/** Addresses that share a limit: an IPv4 address, or an IPv6 network of 64 bits. */
export const limitOf = (address: string | undefined): string => {
  if (address === undefined) return "unknown"
  const parsed = Result.getOrUndefined(NetAddress.ipFromString(address.replace(/%.*$/s, "")))
  if (parsed === undefined) return "unknown"
  const ip = NetAddress.toCanonical(parsed)
  return NetAddress.isIpv4Address(ip) ? NetAddress.formatIp(ip) : NetAddress.ipv6ToSegments(ip).slice(0, 4).join(":")
}

const tooMany = (what: string, retryAfter: Duration.Duration) =>
  new RateLimited({ message: `Too many ${what}; nothing was done`, slug: "too_many_requests", retryAfter })

const unreadable = () =>
  new Unavailable({
    message: "The API keys cannot be read now; nothing was done",
    slug: "store_unavailable",
    retryAfter: Duration.seconds(5)
  })

/** What the key of the environment is called in the audit log. */
const givenId = "REKINDLE_API_KEY"

const make = Effect.fnUntraced(function* (
  {
    failuresPerAddress = { burst: 20, per: "1 minute" },
    perAddress = { burst: 2_000, per: "1 second" },
    perKey = { burst: 1_000, per: "1 second" }
  }: Limits,
  given: Redacted.Redacted | undefined
) {
  const givenHash = given === undefined ? undefined : KeyText.hashOf(given)
  const keys = yield* Keys
  const ofKey = Throttle.make(perKey)
  const ofAddress = Throttle.make(perAddress)
  const failures = Throttle.make(failuresPerAddress)

  /** When each good key was last used, in epoch milliseconds, and whether that is to be written. */
  const uses = new Map<string, { at: number; written: boolean }>()
  const writeUses = Effect.gen(function* () {
    const now = yield* Clock.currentTimeMillis
    const unwritten = [...uses].filter(([, { written }]) => !written)
    for (const [id, { at }] of uses) if (at <= now - Duration.toMillis(goodFor)) uses.delete(id)
    for (const [, use] of unwritten) use.written = true
    yield* Effect.forEach(Array.chunksOf(unwritten, 500), (chunk) =>
      keys
        .markUsed(
          chunk.map(([id]) => id),
          now,
          now - Duration.toMillis(useEvery)
        )
        .pipe(
          Effect.catch((error) => {
            // The next time.
            for (const [, use] of chunk) use.written = false
            return Effect.logDebug(`the last uses of keys cannot be written: ${error.message}`)
          })
        )
    )
  })
  yield* Effect.addFinalizer(() => writeUses)
  yield* Effect.forkScoped(Effect.forever(Effect.andThen(Effect.sleep(useEvery), writeUses)))

  return ApiKeys.of({
    check: Effect.fnUntraced(function* (key, { address } = {}) {
      const place = limitOf(address)
      const full = yield* ofAddress.take(place)
      if (full !== undefined) return yield* tooMany("requests from this address", full)
      if (givenHash !== undefined && KeyText.hasHash(key, givenHash)) {
        const wait = yield* ofKey.take(givenId)
        if (wait !== undefined) return yield* tooMany("requests with this key", wait)
        return { projectId: Projects.first, keyId: givenId }
      }
      const id = KeyText.idOf(key)
      if (id === undefined || !uses.has(id)) {
        const wait = yield* failures.wait(place)
        if (wait !== undefined) return yield* tooMany("requests with a wrong key from this address", wait)
      }
      const refuse = Effect.fnUntraced(function* (message: string, slug: string) {
        yield* failures.take(place)
        return yield* new Unauthorized({ message, slug })
      })
      const found = id === undefined ? undefined : yield* Effect.mapError(keys.find(id), unreadable)
      if (id === undefined || found === undefined || !KeyText.hasHash(key, found.hash))
        return yield* refuse("The API key is unknown", "unknown_api_key")
      const now = yield* Clock.currentTimeMillis
      const { expiresAt, projectId, revokedAt, scopes } = found.key
      // Whoever has the secret may know why it is refused.
      if (revokedAt !== null) return yield* refuse("The API key was revoked", "revoked_api_key")
      if (expiresAt !== null && expiresAt <= now) return yield* refuse("The API key has expired", "expired_api_key")
      const wait = yield* ofKey.take(id)
      if (wait !== undefined) return yield* tooMany("requests with this key", wait)
      uses.set(id, { at: now, written: false })
      return { projectId, scopes, keyId: id }
    })
  })
})

/** Platform's `ApiKeys` with the keys of the database. `given` is a key besides them, with all scopes for the first project. */
export const layer = (limits: Limits = {}, given?: Redacted.Redacted): Layer.Layer<ApiKeys, never, Keys> =>
  Layer.effect(ApiKeys, make(limits, given))
