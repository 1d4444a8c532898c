/**
 * The state of a scripted provider: which grants exist, which refresh tokens are spent, and which access tokens work. The code is synchronous,
 * so each request is one atomic step, as in a real provider's database. Times are epoch milliseconds.
 *
 * @module
 */

/** How the provider treats its tokens, in milliseconds. */
export interface Rules {
  readonly rotation: "none" | "rolling" | "single-use"
  readonly reuseWindow: number
  readonly onReplay: "revoke-grant" | "refuse"
  readonly accessTokenTtl: number
  readonly onRenewal: "old-access-token-lives" | "old-access-token-dies"
  readonly refreshTokenIdle: number
  readonly refreshTokenLife: number
}

/** A user's consent and the tokens issued from it. A replay revokes all of them at once (RFC 9700 §4.14.2). */
interface Grant {
  readonly consentedAt: number
  refreshToken: string
  accessToken: string
  accessTokenExpiresAt: number
  revoked: boolean
}

interface RefreshToken {
  readonly grant: Grant
  usedAt: number
  spentAt: number | undefined
}

/** Issued tokens. */
export interface Issued {
  readonly accessToken: string
  /** Undefined if the old refresh token stays in use. */
  readonly refreshToken: string | undefined
  readonly expiresAt: number
}

/** Why a token was refused. */
export type Refusal = "unknown" | "revoked" | "expired" | "replayed"

export interface Counts {
  /** Renewals that spent a grant. Renewals inside a reuse window are not among them. */
  readonly granted: number
  /** Renewals with a spent token inside its reuse window. */
  readonly reused: number
  /** Spent tokens that were sent again outside of a reuse window. */
  readonly replays: number
  readonly revokedGrants: number
}

export const make = (rules: Rules, newToken: (kind: "at" | "rt" | "code") => string) => {
  const refreshTokens = new Map<string, RefreshToken>()
  const accessTokens = new Map<string, { readonly grant: Grant; readonly expiresAt: number }>()
  const codes = new Set<string>()
  const counts = { granted: 0, reused: 0, replays: 0, revokedGrants: 0 }

  const issueAccess = (grant: Grant, now: number): void => {
    if (rules.onRenewal === "old-access-token-dies") accessTokens.delete(grant.accessToken)
    grant.accessToken = newToken("at")
    grant.accessTokenExpiresAt = now + rules.accessTokenTtl
    accessTokens.set(grant.accessToken, { grant, expiresAt: grant.accessTokenExpiresAt })
  }

  const issueRefresh = (grant: Grant, now: number): void => {
    grant.refreshToken = newToken("rt")
    refreshTokens.set(grant.refreshToken, { grant, usedAt: now, spentAt: undefined })
  }

  const show = (grant: Grant, refreshToken: string | undefined): Issued => ({
    accessToken: grant.accessToken,
    refreshToken,
    expiresAt: grant.accessTokenExpiresAt
  })

  const connect = (now: number, renewable = true): Issued => {
    const grant: Grant = {
      consentedAt: now,
      refreshToken: "",
      accessToken: "",
      accessTokenExpiresAt: 0,
      revoked: false
    }
    issueAccess(grant, now)
    if (renewable) issueRefresh(grant, now)
    return show(grant, renewable ? grant.refreshToken : undefined)
  }

  const revoke = (grant: Grant): void => {
    if (!grant.revoked) counts.revokedGrants++
    grant.revoked = true
  }

  const refusal = (held: RefreshToken | undefined, now: number): Refusal | undefined => {
    if (held === undefined) return "unknown"
    if (held.grant.revoked) return "revoked"
    const idle = now - held.usedAt
    return idle > rules.refreshTokenIdle || now - held.grant.consentedAt > rules.refreshTokenLife
      ? "expired"
      : undefined
  }

  const refresh = (token: string, now: number): Issued | Refusal => {
    const held = refreshTokens.get(token)
    const refused = refusal(held, now)
    if (refused !== undefined || held === undefined) return refused ?? "unknown"
    const { grant } = held
    if (held.spentAt !== undefined && now - held.spentAt > rules.reuseWindow) {
      counts.replays++
      if (rules.onReplay === "revoke-grant") revoke(grant)
      return "replayed"
    }
    issueAccess(grant, now)
    held.usedAt = now
    if (held.spentAt !== undefined) {
      counts.reused++
      return show(grant, grant.refreshToken)
    }
    counts.granted++
    if (rules.rotation === "none") return show(grant, undefined)
    if (rules.rotation === "single-use") held.spentAt = now
    issueRefresh(grant, now)
    return show(grant, grant.refreshToken)
  }

  return {
    counts: (): Counts => ({ ...counts }),
    /** Issues the tokens of a new consent. A grant type without refresh tokens gets only an access token. */
    connect,
    /** A one-use authorization code. */
    authorize: (): string => {
      const code = newToken("code")
      codes.add(code)
      return code
    },
    exchange: (code: string, now: number): Issued | Refusal => (codes.delete(code) ? connect(now) : "unknown"),
    refresh,
    /** The present tokens of this refresh token's grant. Nothing is spent. */
    held: (token: string, now: number): Issued | Refusal => {
      const held = refreshTokens.get(token)
      return refusal(held, now) ?? (held === undefined ? "unknown" : show(held.grant, held.grant.refreshToken))
    },
    /** Revokes the grant of an access or refresh token. A foreign token is no error (RFC 7009 §2.2). */
    revoke: (token: string): void => {
      const held = refreshTokens.get(token) ?? accessTokens.get(token)
      if (held !== undefined) revoke(held.grant)
    },
    isLive: (token: string, now: number): boolean => {
      const held = accessTokens.get(token)
      return held !== undefined && !held.grant.revoked && now < held.expiresAt
    }
  }
}
