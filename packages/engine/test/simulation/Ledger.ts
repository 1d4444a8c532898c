/**
 * The authorization server of a simulated world, and its ledger: what became of each token that it ever issued. It is a state machine without
 * clock, randomness or I/O. Every request is one atomic step, as in a real provider's database, so the ledger is the truth that the engine's
 * store is compared with.
 *
 * The scripted provider of `@rekindle/testing` answers the same questions for one test at a time. This one remembers everything, because an
 * invariant asks about tokens that are long replaced.
 *
 * @module
 */
import type { ProviderDialect } from "@rekindle/testing"

/** A part of every secret, by which a log line that shows one is recognised. */
export const secretMark = "s3cr3t"

/** How a provider treats its tokens. Times are in milliseconds, and `Infinity` is without end. */
export interface Rules {
  /** `rolling`: each renewal issues another refresh token and the old one keeps working. */
  readonly rotation: "none" | "rolling" | "single-use"
  /** How long a replaced single-use token is still honoured. */
  readonly reuseWindow: number
  /** What a replaced token costs that is presented when it is no longer honoured: nothing, the refresh tokens, or access tokens too. */
  readonly onReplay: "refuse" | "revoke-family" | "revoke-grant"
  readonly accessTokenLife: number
  readonly onRenewal: "old-access-token-lives" | "old-access-token-dies"
  /** How long a refresh token lives that is not used. Each use begins it anew. */
  readonly refreshTokenIdle: number
  /** How long refresh tokens live after the consent, whether they are used or not. */
  readonly refreshTokenLife: number
}

const minutes = 60_000

const common: Rules = {
  rotation: "single-use",
  reuseWindow: 0,
  onReplay: "revoke-grant",
  accessTokenLife: 5 * minutes,
  onRenewal: "old-access-token-lives",
  refreshTokenIdle: Infinity,
  refreshTokenLife: Infinity
}

/** The kinds of rotation that providers have. */
export const rotationClasses = {
  /** Google, HubSpot: the refresh token stays. */
  none: { ...common, rotation: "none" },
  /** Entra: another one each time, and the old one keeps working. */
  rolling: { ...common, rotation: "rolling" },
  /** Xero, Atlassian: the old one is honoured for a while. */
  grace: { ...common, reuseWindow: 2 * minutes },
  /** Box, GitHub Apps: a replay ends the grant. */
  "single-use": { ...common, onRenewal: "old-access-token-dies" },
  /** A replay is refused and costs nothing more. */
  forgiving: { ...common, onReplay: "refuse" },
  /** Okta, Auth0: a replay ends the family of refresh tokens. Access tokens live on. */
  family: { ...common, onReplay: "revoke-family" },
  /** QuickBooks: the refresh token ends when it is not used. */
  sliding: { ...common, refreshTokenIdle: 60 * minutes }
} satisfies Record<string, Rules>
export type RotationClass = keyof typeof rotationClasses

/** Why a token no longer works, other than by its age. */
export type Reason = "replaced" | "replayed" | "revoked-by-engine" | "revoked-by-person" | "code-replayed"

/** A token, and what became of it. Times are those of the provider. */
export interface Token {
  readonly value: string
  readonly kind: "access" | "refresh"
  readonly grant: Grant
  readonly issuedAt: number
  /** The requests whose answers carry it. None for a token that was brought in at the beginning. */
  readonly carriedBy: Array<Presentation>
  /** When it ends by age. A use moves the end of a refresh token. */
  endsAt: number
  /** Requests that had it, oldest first. */
  readonly presented: Array<Presentation>
  replaced: { readonly by: Token; readonly at: number } | undefined
  ended: { readonly why: Reason; readonly at: number } | undefined
}

/** What one person granted for one account. */
export interface Grant {
  readonly id: number
  /** The name of the account that it is for, as the world has it. */
  readonly account: string
  readonly consentedAt: number
  /** Every refresh token, oldest first. The last is the current one. */
  readonly refreshTokens: Array<Token>
  readonly accessTokens: Array<Token>
}

/** A consent's code. */
export interface Code {
  readonly value: string
  readonly account: string
  readonly endsAt: number
  readonly presented: Array<Presentation>
  grant: Grant | undefined
}

/** A request that arrived with a token or a code. */
export interface Presentation {
  /** Counts requests to this provider. */
  readonly request: number
  readonly at: number
  readonly of: Token | Code
  /**
   * - `applied`: the provider issued tokens, and what was presented may be spent.
   * - `reused`: a replaced token was honoured.
   * - `replayed`: a spent one was presented when it is no longer honoured.
   * - `refused`: it was dead.
   */
  outcome: "applied" | "reused" | "replayed" | "refused"
}

/** A request as it arrives. */
export interface Request {
  readonly path: string
  readonly fields: Readonly<Record<string, string | undefined>>
  readonly secret: string | undefined
}

/** An answer as it leaves. `presentation` is the record of what the request did, if it did anything. */
export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
  readonly presentation: Presentation | undefined
  /** Whether the provider itself says it, and not something between it and the client. Only such an answer has tokens. */
  readonly isOwn: boolean
}

/**
 * How the provider is at the moment. `busy` and `down` are answered before any work. `breaking` does the work, and then fails. `limping`
 * fails before the work, and says the same.
 */
export type Mood =
  | { readonly _tag: "Well" }
  | { readonly _tag: "Busy"; readonly status: 429 | 503; readonly retryAfter?: number | undefined }
  | { readonly _tag: "Breaking"; readonly status: 500 | 502 | 504 | 200 }
  | { readonly _tag: "Limping"; readonly status: 500 | 502 | 504 | 200 }

export const well: Mood = { _tag: "Well" }

/** How long a code can be exchanged (RFC 6749 §4.1.2). */
const codeLife = 10 * minutes

export const tokenPath = "/token"
export const revocationPath = "/revoke"

/** Makes a provider. `name` is part of its secrets, so that those of several providers differ. */
export const make = (name: string, rules: Rules, dialect: ProviderDialect.Dialect, clientSecret: string) => {
  const tokens = new Map<string, Token>()
  const codes = new Map<string, Code>()
  const grants: Array<Grant> = []
  const secrets = new Set([clientSecret])
  let issued = 0
  let requests = 0

  const newValue = (kind: string) => `${kind}-${secretMark}-${name}-${issued++}`

  const newToken = (
    grant: Grant,
    kind: Token["kind"],
    now: number,
    endsAt: number,
    issuedTo: Presentation | undefined
  ): Token => {
    const value = newValue(kind === "access" ? "at" : "rt")
    const token: Token = {
      value,
      kind,
      grant,
      issuedAt: now,
      carriedBy: issuedTo === undefined ? [] : [issuedTo],
      endsAt,
      presented: [],
      replaced: undefined,
      ended: undefined
    }
    tokens.set(value, token)
    ;(kind === "access" ? grant.accessTokens : grant.refreshTokens).push(token)
    return token
  }

  const end = (token: Token, why: Reason, at: number): void => {
    token.ended ??= { why, at }
  }

  const refreshEnd = (grant: Grant, now: number) =>
    Math.min(now + rules.refreshTokenIdle, grant.consentedAt + rules.refreshTokenLife)

  const issueAccess = (grant: Grant, now: number, issuedTo: Presentation | undefined): Token => {
    if (rules.onRenewal === "old-access-token-dies") for (const old of grant.accessTokens) end(old, "replaced", now)
    return newToken(grant, "access", now, now + rules.accessTokenLife, issuedTo)
  }

  const newGrant = (account: string, now: number, issuedTo: Presentation | undefined) => {
    const grant: Grant = { id: grants.length, account, consentedAt: now, refreshTokens: [], accessTokens: [] }
    grants.push(grant)
    const access = issueAccess(grant, now, issuedTo)
    const refresh = newToken(grant, "refresh", now, refreshEnd(grant, now), issuedTo)
    return { access, grant, refresh }
  }

  const revoke = (grant: Grant, why: Reason, at: number, what: "grant" | "family" = "grant"): void => {
    for (const token of grant.refreshTokens) end(token, why, at)
    if (what === "grant") for (const token of grant.accessTokens) end(token, why, at)
  }

  /** Whether a refresh token would be honoured. */
  const isHonoured = ({ ended, endsAt, replaced }: Token, now: number): boolean =>
    ended === undefined &&
    now < endsAt &&
    (rules.rotation !== "single-use" || replaced === undefined || now <= replaced.at + rules.reuseWindow)

  const present = (of: Token | Code, at: number): Presentation => {
    const presentation: Presentation = { request: requests, at, of, outcome: "refused" }
    of.presented.push(presentation)
    return presentation
  }

  interface Done {
    readonly worded: ProviderDialect.Worded
    readonly presentation: Presentation | undefined
  }

  const refusal = (
    code: ProviderDialect.Refused["code"],
    why: string,
    presentation: Presentation | undefined
  ): Done => ({ worded: dialect.refused({ code, why }), presentation })

  const granted = (access: Token, refresh: Token | undefined, presentation: Presentation): Done => ({
    worded: dialect.granted({
      accessToken: access.value,
      refreshToken: refresh?.value,
      expiresIn: Math.floor(rules.accessTokenLife / 1000)
    }),
    presentation
  })

  const refresh = (value: string, now: number): Done => {
    const token = tokens.get(value)
    if (token?.kind !== "refresh") return refusal("invalid_grant", "unknown", undefined)
    const presentation = present(token, now)
    const { grant } = token
    if (!isHonoured(token, now)) {
      // Within the window it is refused because its grant has ended, and nobody did wrong.
      const isSpent = token.replaced !== undefined && now > token.replaced.at + rules.reuseWindow
      const isReplay = isSpent && rules.rotation === "single-use"
      if (isReplay) {
        presentation.outcome = "replayed"
        if (rules.onReplay !== "refuse")
          revoke(grant, "replayed", now, rules.onReplay === "revoke-grant" ? "grant" : "family")
      }
      return refusal("invalid_grant", isReplay ? "replayed" : "dead", presentation)
    }
    const access = issueAccess(grant, now, presentation)
    if (token.replaced !== undefined && rules.rotation === "single-use") {
      presentation.outcome = "reused"
      const current = grant.refreshTokens.at(-1)
      current?.carriedBy.push(presentation)
      return granted(access, current, presentation)
    }
    presentation.outcome = "applied"
    token.endsAt = refreshEnd(grant, now)
    if (rules.rotation === "none") return granted(access, undefined, presentation)
    const next = newToken(grant, "refresh", now, refreshEnd(grant, now), presentation)
    token.replaced ??= { by: next, at: now }
    return granted(access, next, presentation)
  }

  const exchange = (value: string, now: number): Done => {
    const code = codes.get(value)
    if (code === undefined) return refusal("invalid_grant", "unknown", undefined)
    const presentation = present(code, now)
    if (code.grant !== undefined) {
      // A code that is presented twice costs the tokens of its first use (RFC 6749 §4.1.2).
      presentation.outcome = "replayed"
      revoke(code.grant, "code-replayed", now)
      return refusal("invalid_grant", "replayed", presentation)
    }
    if (now >= code.endsAt) return refusal("invalid_grant", "dead", presentation)
    presentation.outcome = "applied"
    const { access, grant, refresh } = newGrant(code.account, now, presentation)
    code.grant = grant
    return granted(access, refresh, presentation)
  }

  const withdraw = (value: string, now: number): Done => {
    const token = tokens.get(value)
    if (token !== undefined) revoke(token.grant, "revoked-by-engine", now)
    return { worded: { status: 200, fields: undefined }, presentation: undefined }
  }

  /** Whether the application is accepted with this secret. */
  const knows = (secret: string | undefined): boolean => secret !== undefined && secrets.has(secret)

  const apply = ({ fields, path, secret }: Request, now: number): Done => {
    if (!knows(secret)) return refusal("invalid_client", "wrong secret", undefined)
    if (path === revocationPath) return withdraw(fields["token"] ?? "", now)
    switch (fields["grant_type"]) {
      case "refresh_token":
        return refresh(fields["refresh_token"] ?? "", now)
      case "authorization_code":
        return exchange(fields["code"] ?? "", now)
      default:
        return refusal("unsupported_grant_type", "not one of the two", undefined)
    }
  }

  const worded = ({ presentation, worded: { fields, status } }: Done): Answer => ({
    status,
    headers: { "content-type": "application/json" },
    body: fields === undefined ? "" : JSON.stringify(fields),
    presentation,
    isOwn: true
  })

  /** An answer of something between the provider's database and the client, which knows nothing of tokens. */
  const foreign = (status: number, presentation: Presentation | undefined, headers = {}): Answer => ({
    status,
    headers: { "content-type": "text/html", ...headers },
    body: "<html><body>Bad day</body></html>",
    presentation,
    isOwn: false
  })

  const handle = (request: Request, now: number, mood: Mood): Answer => {
    requests++
    switch (mood._tag) {
      case "Well":
        return worded(apply(request, now))
      case "Busy":
        return foreign(
          mood.status,
          undefined,
          mood.retryAfter === undefined ? {} : { "retry-after": `${mood.retryAfter}` }
        )
      case "Breaking":
        return foreign(mood.status, apply(request, now).presentation)
      case "Limping":
        return foreign(mood.status, undefined)
    }
  }

  return {
    name,
    rules,
    grants: grants as ReadonlyArray<Grant>,
    /** How many requests arrived. */
    requests: () => requests,
    handle,
    /** The tokens of a consent that was given before the world began. */
    connect: (account: string, now: number) => newGrant(account, now, undefined),
    /** A person consents for an account. */
    authorize: (account: string, now: number): Code => {
      const code: Code = {
        value: newValue("code"),
        account,
        endsAt: now + codeLife,
        presented: [],
        grant: undefined
      }
      codes.set(code.value, code)
      return code
    },
    /** A person withdraws a consent on the provider's own page. */
    withdrawn: (grant: Grant, now: number) => revoke(grant, "revoked-by-person", now),
    /** Gives the application another secret. The old ones work until `forgetSecrets`. */
    newSecret: (): string => {
      const secret = newValue("cs")
      secrets.add(secret)
      return secret
    },
    /** Only this secret still works. */
    forgetSecrets: (but: string) => {
      secrets.clear()
      secrets.add(but)
    },
    knows,
    find: (value: string): Token | undefined => tokens.get(value),
    isHonoured,
    /** Whether an access token works. */
    isLive: ({ ended, endsAt }: Token, now: number): boolean => ended === undefined && now < endsAt,
    /** The refresh token of a grant that would be honoured, the newest first. */
    living: ({ refreshTokens }: Grant, now: number): Token | undefined =>
      refreshTokens.findLast((token) => isHonoured(token, now))
  }
}

/** A provider and its ledger. */
export type Ledger = ReturnType<typeof make>
