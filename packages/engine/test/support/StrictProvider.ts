/**
 * The token endpoint of a strict provider, for runs of a million renewals: refresh tokens work once, there is no reuse window, and a replay
 * revokes the grant.
 *
 * It treats refresh tokens as `AuthorizationServer` does, at a tenth of the cost, and keeps one record for each grant, however often the
 * grant is renewed: a token names its grant and its place in the row of the grant's tokens, and is signed.
 *
 * For each grant it knows when its last renewal was answered and when the connection of that answer closed. So a check can tell an answer that
 * died with its reader from a token that was presented twice for no reason.
 *
 * @module
 */
import { AuthConfig, ProviderProfile } from "@rekindle/core"
import { Duration, Effect, Redacted, type Scope } from "effect"
import { createHash, createHmac, randomBytes, randomInt } from "node:crypto"
import type { IncomingMessage, ServerResponse } from "node:http"
import type { Socket } from "node:net"
import { text } from "node:stream/consumers"
import { setTimeout as sleep } from "node:timers/promises"
import { listen } from "./listen.ts"

/** The options of the provider. */
export interface StrictProviderOptions {
  /** The life of an access token. */
  readonly accessTokenTtl: Duration.Input
  /** The least and the most time that a token request takes, in milliseconds. Default none. */
  readonly latency?: readonly [least: number, most: number]
}

/** A `kill -9` of a client. Times are those of `performance.now()`. */
export interface Kill {
  readonly at: number
  /** Until when the process could read: until it was killed, or stopped before that. */
  readonly readUntil: number
}

/** An answer that a kill lost. */
export interface LostAnswer {
  /** How many milliseconds it had been written when its client stopped to read. Negative if it was written later. */
  readonly unread: number
}

/**
 * How long an answer may take from here into the journal of a client that runs, and the end of a connection to here, in milliseconds. On a busy
 * machine a process waits for its turn.
 */
const slack = 3_000

/** The counts of the token endpoint. */
export interface Tally {
  readonly requests: number
  /** Renewals that were carried out. Each spent a refresh token. */
  readonly spent: number
  /** Codes exchanged for tokens. */
  readonly exchanged: number
  /** Refused token requests, by reason. */
  readonly refused: Readonly<Record<string, number>>
}

interface Connection {
  closedAt: number | undefined
}

interface Grant {
  readonly id: number
  /** The number of renewals so far, which is the place of the token that works. */
  renewals: number
  state: "alive" | "replayed" | "withdrawn"
  last: { arrivedAt: number; answeredAt: number | undefined; connection: Connection } | undefined
}

const clientId = "rekindle"
const clientSecret = "strict-secret"

/** The secrets of an auth config for it. */
export const secrets = { client_secret: clientSecret }
const basic = `Basic ${Buffer.from(`${clientId}:${clientSecret}`).toString("base64")}`

const challengeOf = (verifier: string): string => createHash("sha256").update(verifier).digest("base64url")

/** Starts a provider. It stops with the scope. */
export const make = Effect.fnUntraced(function* (
  options: StrictProviderOptions
): Effect.fn.Return<StrictProvider, never, Scope.Scope> {
  const { host, http, origin } = yield* listen
  // An idle connection stays open, so that one which closes tells of the death of its client.
  http.keepAliveTimeout = 0
  const key = randomBytes(32)
  const ttl = Duration.toMillis(options.accessTokenTtl)
  const [least, most] = options.latency ?? [0, 0]

  const grants: Array<Grant> = []
  const codes = new Map<string, { readonly grant: Grant; readonly challenge: string }>()
  const connections = new WeakMap<Socket, Connection>()
  const refused: Record<string, number> = {}
  const tally = { requests: 0, spent: 0, exchanged: 0 }

  const signed = (claims: string): string => `${claims}.${createHmac("sha256", key).update(claims).digest("base64url")}`
  /** The numbers of a token of ours, or nothing. */
  const read = (kind: string, token: string): ReadonlyArray<number> | undefined => {
    const claims = token.slice(0, token.lastIndexOf("."))
    return claims.startsWith(`${kind}.`) && signed(claims) === token
      ? claims.split(".").slice(1).map(Number)
      : undefined
  }
  const grantOf = (kind: "rt" | "at", token: string): readonly [Grant, place: number, until: number] | undefined => {
    const [id = -1, place = -1, until = 0] = read(kind, token) ?? []
    const grant = grants[id]
    return grant === undefined ? undefined : [grant, place, until]
  }
  const refreshTokenOf = ({ id, renewals }: Grant): string => signed(`rt.${id}.${renewals}`)
  const tokensOf = (grant: Grant) => ({
    access_token: signed(`at.${grant.id}.${grant.renewals}.${Date.now() + ttl}`),
    token_type: "Bearer",
    expires_in: Math.round(ttl / 1000),
    refresh_token: refreshTokenOf(grant)
  })
  const open = (): Grant => {
    const grant: Grant = { id: grants.length, renewals: 0, state: "alive", last: undefined }
    grants.push(grant)
    return grant
  }
  const connectionOf = (socket: Socket): Connection => {
    const known = connections.get(socket)
    if (known !== undefined) return known
    const made: Connection = { closedAt: undefined }
    connections.set(socket, made)
    socket.once("close", () => {
      made.closedAt = performance.now()
    })
    return made
  }

  const renew = (token: string, arrivedAt: number, connection: Connection): Grant | string => {
    const found = grantOf("rt", token)
    if (found === undefined) return "unknown"
    const [grant, place] = found
    if (grant.state !== "alive") return grant.state
    if (place !== grant.renewals) {
      grant.state = "replayed"
      return "replay"
    }
    grant.renewals++
    grant.last = { arrivedAt, answeredAt: undefined, connection }
    tally.spent++
    return grant
  }

  const exchange = (code: string, verifier: string): Grant | string => {
    const given = codes.get(code)
    codes.delete(code)
    if (given === undefined || challengeOf(verifier) !== given.challenge) return "bad code"
    tally.exchanged++
    return given.grant
  }

  const token = async (request: IncomingMessage, response: ServerResponse) => {
    tally.requests++
    const arrivedAt = performance.now()
    const connection = connectionOf(request.socket)
    const form = new URLSearchParams(await text(request))
    const field = (name: string) => form.get(name) ?? ""
    if (most > 0) await sleep(least + randomInt(most - least + 1))
    const grant =
      request.headers.authorization !== basic
        ? "bad client"
        : field("grant_type") === "authorization_code"
          ? exchange(field("code"), field("code_verifier"))
          : renew(field("refresh_token"), arrivedAt, connection)
    const isRefused = typeof grant === "string"
    if (isRefused) refused[grant] = (refused[grant] ?? 0) + 1
    else if (grant.last?.arrivedAt === arrivedAt) grant.last.answeredAt = performance.now()
    response.writeHead(isRefused ? 400 : 200, { "content-type": "application/json" })
    response.end(JSON.stringify(isRefused ? { error: "invalid_grant", error_description: grant } : tokensOf(grant)))
  }

  /** RFC 7009: an unknown token is no error. */
  const revoke = async (request: IncomingMessage, response: ServerResponse) => {
    const presented = new URLSearchParams(await text(request)).get("token") ?? ""
    const [grant] = grantOf("rt", presented) ?? grantOf("at", presented) ?? []
    if (grant?.state === "alive") grant.state = "withdrawn"
    response.writeHead(200).end()
  }

  http.on("request", (request, response) => {
    const handled = request.url === "/token" ? token(request, response) : revoke(request, response)
    handled.catch((error: unknown) => {
      // Its client died while it sent the request.
      if (!request.socket.destroyed) console.error("strict provider", error)
      response.destroy()
    })
  })

  return {
    host,
    authConfig: (overrides) =>
      AuthConfig.make({
        id: "strict",
        toolkit: "strict",
        scheme: "OAUTH2",
        profile: ProviderProfile.make({
          name: "strict",
          rotation: "single-use",
          accessTokenTtl: Duration.fromInputUnsafe(options.accessTokenTtl)
        }),
        settings: {
          clientId,
          authorizationEndpoint: `${origin}/authorize`,
          tokenEndpoint: `${origin}/token`,
          revocationEndpoint: `${origin}/revoke`,
          scopes: ["offline_access"]
        },
        secrets: { client_secret: Redacted.make(clientSecret) },
        hosts: [host],
        ...overrides
      }),
    mint: () => {
      const grant = open()
      return { grantId: grant.id, refreshToken: refreshTokenOf(grant) }
    },
    consent: (authorizationUrl) => {
      const asked = new URL(authorizationUrl).searchParams
      const code = randomBytes(16).toString("base64url")
      const grant = open()
      codes.set(code, { grant, challenge: asked.get("code_challenge") ?? "" })
      const callback = new URL(asked.get("redirect_uri") ?? "")
      callback.searchParams.set("code", code)
      callback.searchParams.set("state", asked.get("state") ?? "")
      return { grantId: grant.id, callback }
    },
    grantOfAccessToken: (accessToken) => {
      const [grant, , until = 0] = grantOf("at", accessToken) ?? []
      return grant?.state === "alive" && Date.now() < until ? grant.id : undefined
    },
    renewals: (grantId) => grants[grantId]?.renewals ?? 0,
    lostTo: (grantId, kills) => {
      const last = grants[grantId]?.last
      if (last === undefined) return undefined
      const { answeredAt = Number.POSITIVE_INFINITY, connection } = last
      const { closedAt = Number.POSITIVE_INFINITY } = connection
      const kill = kills.find(
        ({ at, readUntil }) => closedAt > at - 50 && closedAt < at + slack && answeredAt > readUntil - slack
      )
      return kill && { unread: kill.readUntil - answeredAt }
    },
    lastRenewal: (grantId) => {
      const last = grants[grantId]?.last
      return last === undefined
        ? "never renewed"
        : `arrived ${last.arrivedAt}, answered ${last.answeredAt}, connection closed ${last.connection.closedAt}`
    },
    replayed: () => grants.flatMap(({ id, state }) => (state === "replayed" ? [id] : [])),
    tally: () => ({ ...tally, refused: { ...refused } })
  }
})

/** A running provider. */
export interface StrictProvider {
  /** Host and port. */
  readonly host: string
  /** An OAUTH2 auth config for it. */
  readonly authConfig: (overrides?: Partial<AuthConfig>) => AuthConfig
  /** Makes a grant without consent. Grants are counted from 0. */
  readonly mint: () => { readonly grantId: number; readonly refreshToken: string }
  /** A person agrees to a new grant. Returns the address to which their browser is sent back. */
  readonly consent: (authorizationUrl: string) => { readonly grantId: number; readonly callback: URL }
  /** The grant of an access token that works now. */
  readonly grantOfAccessToken: (accessToken: string) => number | undefined
  /** How often a grant was renewed. */
  readonly renewals: (grantId: number) => number
  /**
   * Whether one of these kills lost the answer to the last renewal of a grant: it closed the connection of the answer, which the process had not
   * had the time to read.
   */
  readonly lostTo: (grantId: number, kills: ReadonlyArray<Kill>) => LostAnswer | undefined
  /** The last renewal of a grant that was carried out, for people to read. */
  readonly lastRenewal: (grantId: number) => string
  /** The grants that were revoked because a spent token was presented. */
  readonly replayed: () => ReadonlyArray<number>
  readonly tally: () => Tally
}
