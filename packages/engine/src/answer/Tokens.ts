/**
 * From issued tokens to the account's next state: merging credentials, and working out when the access token expires and when it should
 * be renewed. Pure, save for the jitter that spreads renewals.
 *
 * @module
 */
import { Duration, Effect, Predicate, Random } from "effect"
import * as Credential from "../account/Credential.ts"
import type { ProviderProfile } from "../account/ProviderProfile.ts"
import { compare } from "./Identity.ts"
import { attributesOf, type IssuedTokens } from "./TokenResponse.ts"

/** The credential after an answer: what the answer does not mention stays as it was (RFC 6749 §5.1 and §6). */
export const merge = (
  held: Credential.Credential,
  tokens: IssuedTokens,
  { attributes, secrets }: Credential.Extras = {}
): Credential.Credential => {
  const issued = Credential.make(
    {
      access_token: tokens.accessToken,
      refresh_token: tokens.refreshToken,
      id_token: tokens.idToken,
      ...secrets
    },
    { ...attributesOf(tokens), ...attributes }
  )
  return {
    secrets: { ...held.secrets, ...issued.secrets },
    attributes: { ...held.attributes, ...issued.attributes }
  }
}

/**
 * The credential after a consent. It is of a new grant: nothing of the old one is merged into it. The exception is a refresh token that is
 * not consumed (`rotation` none): such providers give it once and not again at a second consent of the same person, and it works on.
 */
export const consented = (
  held: Credential.Credential,
  tokens: IssuedTokens,
  extras: Credential.Extras | undefined,
  profile: ProviderProfile
): Credential.Credential => {
  const given = merge(Credential.empty, tokens, extras)
  const kept = held.secrets["refresh_token"]
  return kept !== undefined &&
    given.secrets["refresh_token"] === undefined &&
    profile.rotation === "none" &&
    compare(held, given, profile) === "same"
    ? { ...given, secrets: { ...given.secrets, refresh_token: kept } }
    : given
}

/** How long an access token lives. */
export interface Life {
  /** Milliseconds; null for ever. */
  readonly millis: number | null
  /** Nobody has said: neither the provider, now or earlier, nor its profile. */
  readonly assumed: boolean
}

/** What is assumed of a token whose life nobody states: never that it has no end. */
const assumedLife = Duration.toMillis("1 hour")

/**
 * The life of an access token: what its answer states, or what was last stated for the account (the attribute `expires_in` of the credential
 * held), or what the profile knows, in this order.
 */
export const lifeOf = (
  { expiresIn }: Pick<IssuedTokens, "expiresIn">,
  { accessTokenTtl }: Pick<ProviderProfile, "accessTokenTtl">,
  { attributes }: Pick<Credential.Credential, "attributes">
): Life => {
  const last = attributes["expires_in"]
  const seconds = expiresIn === undefined && Predicate.isNumber(last) && last > 0 ? last : expiresIn
  if (seconds === null) return { millis: null, assumed: false }
  if (seconds !== undefined) return { millis: Math.round(seconds * 1000), assumed: false }
  if (accessTokenTtl === undefined) return { millis: assumedLife, assumed: true }
  return { millis: accessTokenTtl === "never" ? null : Duration.toMillis(accessTokenTtl), assumed: false }
}

/** A token that is over sooner than this is renewed when somebody asks for it, and not in the background all the time. */
const soonest = Duration.toMillis("30 seconds")

/** The share of a refresh token's idle life after which it is used to keep it from dying. */
const idleShare = 0.7

/**
 * When to renew: a margin before expiry, jittered so that accounts connected together are not renewed together, and in any case well
 * before the refresh token dies of disuse. Null when nothing will ever expire.
 */
export const renewalTime = (
  profile: ProviderProfile,
  receivedAt: number,
  expiresAt: number | null
): Effect.Effect<number | null> =>
  Effect.map(Random.next, (jitter) => {
    const times: Array<number> = []
    if (expiresAt !== null) {
      // The margin never takes more than half of the token's life, the jitter never more than a tenth of the rest.
      const life = Math.max(0, expiresAt - receivedAt)
      const margin = Math.min(Duration.toMillis(profile.margin), life / 2)
      times.push(expiresAt - margin - jitter * 0.1 * (life - margin))
    }
    if (profile.refreshTokenIdle !== undefined) {
      times.push(receivedAt + Duration.toMillis(profile.refreshTokenIdle) * (idleShare - 0.1 * jitter))
    }
    return times.length === 0
      ? null
      : Math.round(Math.max(receivedAt + Math.max(soonest, Duration.toMillis(profile.minimumAge)), Math.min(...times)))
  })
