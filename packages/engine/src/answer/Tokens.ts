/**
 * Derives an account's next state from issued tokens: its credential, when the access token expires, and when to renew it. Pure, except for
 * the random jitter.
 *
 * @module
 */
import { Duration, Effect, Predicate, Random } from "effect"
import * as Credential from "../account/Credential.ts"
import type { ProviderProfile } from "@rekindle/core"
import { compare } from "./Identity.ts"
import { attributesOf, type IssuedTokens } from "./TokenResponse.ts"

/** The credential after a renewal. Whatever the answer does not mention is unchanged (RFC 6749 §5.1 and §6). */
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
      ...tokens.secrets,
      ...secrets
    },
    { ...attributesOf(tokens), ...attributes }
  )
  return {
    secrets: { ...held.secrets, ...issued.secrets },
    attributes: { ...held.attributes, ...issued.attributes },
    given: held.given
  }
}

/**
 * The credential after a consent. It belongs to a new grant, so nothing of the old credential is merged into it, except the attributes that
 * the application gave. Another exception is a refresh token that is not consumed (`rotation` none): some providers do not issue it again at
 * a second consent of the same person, and the old one continues to work.
 */
export const consented = (
  held: Credential.Credential,
  tokens: IssuedTokens,
  extras: Credential.Extras | undefined,
  profile: ProviderProfile
): Credential.Credential => {
  const issued = merge(Credential.empty, tokens, extras)
  const credential = merge(Credential.onlyGiven(held), tokens, extras)
  const kept = held.secrets["refresh_token"]
  return kept !== undefined &&
    issued.secrets["refresh_token"] === undefined &&
    profile.rotation === "none" &&
    compare(held, issued, profile) === "same"
    ? { ...credential, secrets: { ...credential.secrets, refresh_token: kept } }
    : credential
}

/** How long an access token lives. */
export interface Life {
  /** Milliseconds. Null: it does not expire. */
  readonly millis: number | null
  /** True if neither the provider, now or earlier, nor its profile states a life. */
  readonly assumed: boolean
}

/** The life of a token whose life is unknown. Assuming that it never expires would serve dead tokens. */
const assumedLife = Duration.toMillis("1 hour")

/**
 * The life of an access token: from its answer, otherwise from an earlier answer (the attribute `expires_in` of the held credential), otherwise
 * from the profile.
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

/** The earliest background renewal after a token was received. A token with a shorter life is renewed when a caller asks. */
const soonest = Duration.toMillis("30 seconds")

/** The share of a refresh token's idle life after which it is used, so that it does not expire. */
const idleShare = 0.7

/**
 * When to renew: a margin before the access token expires, and well before an unused refresh token expires. Jitter keeps accounts that were
 * connected together from being renewed together. Null if nothing expires.
 */
export const renewalTime = (
  profile: ProviderProfile,
  receivedAt: number,
  expiresAt: number | null
): Effect.Effect<number | null> =>
  Effect.map(Random.next, (jitter) => {
    const times: Array<number> = []
    if (expiresAt !== null) {
      // The margin is at most half of the token's life, and the jitter at most a tenth of the rest.
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
