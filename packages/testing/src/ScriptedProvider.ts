/**
 * A scripted OAuth 2 provider: a token endpoint with grants, rotation, reuse windows, replay detection and outages, all in memory. It
 * is an `HttpClient`, so an engine under test uses it without a socket and on `TestClock`.
 *
 * A {@link Fault} is a failure of one token request. It says whether the request was applied before its answer was lost.
 * {@link Provider.counts} and {@link Provider.isLive} show the consequences.
 *
 * **Gotchas**
 *
 * The provider checks client secrets only if it is given the clients. It accepts PKCE verifiers, redirect URIs and assertions without a check.
 * Test those against a real authorization server.
 *
 * @module
 */
import { Clock, Context, Duration, Effect, Layer, Option, Random, Result, Schema } from "effect"
import { Base64 } from "effect/encoding"
import { HttpClient, HttpClientError, type HttpClientRequest, HttpClientResponse } from "effect/http"
import * as Ledger from "./internal/grantLedger.ts"
import { type Dialect, type Refused, rfc6749, type Worded } from "./ProviderDialect.ts"

/** How the provider behaves. The default is the strictest: single use, no reuse window, and a replay revokes the grant. */
export interface ProviderOptions {
  /** Default `https://provider.test/token`. */
  readonly tokenUrl?: string | undefined
  /** Answers 200 to a bearer token that is live, 401 to any other. Default: `/userinfo` beside the token endpoint. */
  readonly userinfoUrl?: string | undefined
  /** Default `single-use`. */
  readonly rotation?: Ledger.Rules["rotation"] | undefined
  /** How long a spent refresh token is still accepted. It then yields the grant's present refresh token. Default zero. */
  readonly reuseWindow?: Duration.Input | undefined
  /** What a spent token does outside its reuse window. Default `revoke-grant`. */
  readonly onReplay?: Ledger.Rules["onReplay"] | undefined
  /** Default one hour. */
  readonly accessTokenTtl?: Duration.Input | undefined
  /** Whether a renewal invalidates the previous access token. Default `old-access-token-lives`. */
  readonly onRenewal?: Ledger.Rules["onRenewal"] | undefined
  /** How long an unused refresh token works. Default for ever. */
  readonly refreshTokenIdle?: Duration.Input | undefined
  /** How long a grant works after consent. Default for ever. */
  readonly refreshTokenLife?: Duration.Input | undefined
  /** Default RFC 6749. */
  readonly dialect?: Dialect | undefined
  /** How answers are encoded. Default `json`. */
  readonly encoding?: "json" | "form" | "form-unless-json-is-accepted" | undefined
  /** Client secrets by client id. Without it every client is accepted. */
  readonly clients?: Readonly<Record<string, string>> | undefined
  /** Makes the tokens the same in every run. */
  readonly seed?: string | number | undefined
}

/** A failure of one token request. `applied`: the provider carried the request out before the failure. */
export type Fault =
  /** The connection is never made. */
  | { readonly _tag: "ConnectionRefused" }
  /** The connection breaks before an answer. */
  | { readonly _tag: "ConnectionReset"; readonly applied: boolean }
  /** An answer never arrives, so the client's timeout decides. */
  | { readonly _tag: "NoAnswer"; readonly applied: boolean }
  /** The request is applied at once, and its answer arrives late. */
  | { readonly _tag: "LateAnswer"; readonly delay: Duration.Input }
  /** The request is applied, and half of the body arrives. */
  | { readonly _tag: "TruncatedAnswer" }
  /** Another answer replaces the provider's. */
  | {
      readonly _tag: "OtherAnswer"
      readonly applied: boolean
      readonly status: number
      readonly headers?: Readonly<Record<string, string>>
      readonly body?: string
    }
  /** The request is applied, and its answer has fields replaced or dropped, or another status. */
  | {
      readonly _tag: "AmendedAnswer"
      readonly status?: number
      readonly set?: Readonly<Record<string, Schema.Json>>
      readonly drop?: ReadonlyArray<string>
    }
  /** A 200 with the grant's present tokens. Nothing is spent. */
  | { readonly _tag: "UnchangedTokens" }

/** A 503 without effect. `retryAfter` is copied into the header: seconds or a date. */
export const unavailable = (retryAfter?: string): Fault => ({
  _tag: "OtherAnswer",
  applied: false,
  status: 503,
  ...(retryAfter === undefined ? {} : { headers: { "retry-after": retryAfter } })
})

/** The grant is spent, and the connection breaks before the answer. */
export const lostResponse: Fault = { _tag: "ConnectionReset", applied: true }

/** The counts of a provider. */
export interface Counts extends Ledger.Counts {
  /** Token requests that reached the provider. A refused connection does not count. */
  readonly requests: number
}

/** Controls the provider from a test. */
export interface Provider {
  readonly tokenUrl: string
  readonly userinfoUrl: string
  /** A user consents. Returns the tokens of the new grant. */
  readonly connect: Effect.Effect<{
    readonly accessToken: string
    readonly refreshToken: string
    readonly expiresAt: number
  }>
  /** A user consents in a browser. Returns a one-use code for the `authorization_code` grant. */
  readonly authorize: Effect.Effect<string>
  /** Each of the next token requests meets one of these. They come before an outage. */
  readonly next: (...faults: ReadonlyArray<Fault>) => Effect.Effect<void>
  /** Every token request meets this fault for the given time, from now on. */
  readonly outage: (fault: Fault, lasting: Duration.Input) => Effect.Effect<void>
  /** The user removes the application, which revokes the grant of this access or refresh token. */
  readonly revoke: (token: string) => Effect.Effect<void>
  /** Whether an access token works now. */
  readonly isLive: (accessToken: string) => Effect.Effect<boolean>
  readonly counts: Effect.Effect<Counts>
  /** Every token and code so far. None of them may appear in a log. */
  readonly secrets: Effect.Effect<ReadonlyArray<string>>
  /** Answers a request to one of the two addresses. {@link httpClient} calls it. */
  readonly handle: (
    request: HttpClientRequest.HttpClientRequest,
    url: URL
  ) => Effect.Effect<HttpClientResponse.HttpClientResponse, HttpClientError.HttpClientError>
}

/** See {@link Provider}. */
export class ScriptedProvider extends Context.Service<ScriptedProvider, Provider>()(
  "@rekindle/testing/ScriptedProvider"
) {}

/**
 * Provides the scripted provider, and the `HttpClient` that leads to it and nowhere else.
 *
 * ```ts
 * import assert from "node:assert/strict"
 * import { ScriptedProvider } from "@rekindle/testing"
 * import { Effect } from "effect"
 * import { HttpBody, HttpClient } from "effect/http"
 *
 * const program = Effect.gen(function* () {
 *   const provider = yield* ScriptedProvider.ScriptedProvider
 *   const { refreshToken } = yield* provider.connect
 *   const spend = HttpClient.post(provider.tokenUrl, {
 *     body: HttpBody.urlParams({ grant_type: "refresh_token", refresh_token: refreshToken })
 *   })
 *   yield* provider.next(ScriptedProvider.lostResponse)
 *   yield* Effect.flip(spend) // the grant is spent, and the client cannot know
 *   assert.equal((yield* spend).status, 400) // so this is a replay
 *   assert.equal((yield* provider.counts).revokedGrants, 1)
 * })
 *
 * await Effect.runPromise(Effect.provide(program, ScriptedProvider.layer()))
 * ```
 */
export const layer = (options?: ProviderOptions): Layer.Layer<ScriptedProvider | HttpClient.HttpClient> =>
  Layer.effectContext(
    Effect.map(make(options), (provider) =>
      Context.make(ScriptedProvider, provider).pipe(Context.add(HttpClient.HttpClient, httpClient([provider])))
    )
  )

/** One `HttpClient` for several providers, each under its own addresses. Every other address refuses the connection. */
export const httpClient = (providers: ReadonlyArray<Provider>): HttpClient.HttpClient => {
  const routes = new Map(
    providers.flatMap((each) => [each.tokenUrl, each.userinfoUrl].map((url) => [endpoint(new URL(url)), each] as const))
  )
  return HttpClient.make(
    (request, url) => routes.get(endpoint(url))?.handle(request, url) ?? broken(request, "ECONNREFUSED")
  )
}

/** The part of an address that routes a request: without its query and without a default port. */
const endpoint = ({ origin, pathname }: URL): string => origin + pathname

const millis = (duration: Duration.Input | undefined, otherwise: number): number =>
  duration === undefined ? otherwise : Duration.toMillis(Duration.fromInputUnsafe(duration))

/** Makes a provider; use it with {@link httpClient} where one `HttpClient` leads to several. */
export const make = Effect.fnUntraced(function* (options: ProviderOptions = {}): Effect.fn.Return<Provider> {
  const { clients, dialect = rfc6749, encoding = "json", tokenUrl = "https://provider.test/token" } = options
  const userinfoUrl = options.userinfoUrl ?? new URL("userinfo", tokenUrl).href
  const random = yield* Random.withSeed(Effect.service(Random.Random), options.seed ?? "scripted provider")

  const secrets: Array<string> = []
  const ledger = Ledger.make(
    {
      rotation: options.rotation ?? "single-use",
      reuseWindow: millis(options.reuseWindow, -1),
      onReplay: options.onReplay ?? "revoke-grant",
      accessTokenTtl: millis(options.accessTokenTtl, 3_600_000),
      onRenewal: options.onRenewal ?? "old-access-token-lives",
      refreshTokenIdle: millis(options.refreshTokenIdle, Infinity),
      refreshTokenLife: millis(options.refreshTokenLife, Infinity)
    },
    (kind) => {
      const token = `${kind}_${secrets.length}_${random.nextDoubleUnsafe().toString(36).slice(2)}`
      secrets.push(token)
      return token
    }
  )

  let requests = 0
  const faults: Array<Fault> = []
  let outage: { readonly fault: Fault; readonly until: number } | undefined

  const faultNow = (now: number): Fault | undefined =>
    faults.shift() ?? (outage !== undefined && now < outage.until ? outage.fault : undefined)

  const word = (answer: Ledger.Issued | Refused, now: number): Worded =>
    "code" in answer
      ? dialect.refused(answer)
      : dialect.granted({ ...answer, expiresIn: Math.max(0, Math.floor((answer.expiresAt - now) / 1000)) })

  /** Applies the request. This is the step that spends a grant. */
  const apply = (asked: TokenRequest, now: number): Ledger.Issued | Refused => {
    if (clients !== undefined && (asked.secret === undefined || clients[asked.client ?? ""] !== asked.secret)) {
      return { code: "invalid_client", why: "unknown client or wrong secret" }
    }
    const token = (result: Ledger.Issued | Ledger.Refusal): Ledger.Issued | Refused =>
      typeof result === "string" ? { code: "invalid_grant", why: result } : result
    switch (asked.fields["grant_type"]) {
      case "refresh_token":
        return token(ledger.refresh(asked.fields["refresh_token"] ?? "", now))
      case "authorization_code":
        return token(ledger.exchange(asked.fields["code"] ?? "", now))
      case "client_credentials":
      case "urn:ietf:params:oauth:grant-type:jwt-bearer":
        return ledger.connect(now, false)
      case undefined:
        return { code: "invalid_request", why: "no grant_type" }
      default:
        return { code: "unsupported_grant_type", why: "not one of the four" }
    }
  }

  const respond = (
    request: HttpClientRequest.HttpClientRequest,
    { fields, status }: Worded,
    shorten: (body: string) => string = (body) => body
  ) => {
    const json =
      encoding === "json" ||
      (encoding === "form-unless-json-is-accepted" && request.headers["accept"]?.includes("json") === true)
    const body = fields === undefined ? "" : json ? JSON.stringify(fields) : form(fields)
    return answerWith(request, status, shorten(body), {
      "cache-control": "no-store",
      "content-type": json ? "application/json" : "application/x-www-form-urlencoded"
    })
  }

  const token = Effect.fnUntraced(function* (request: HttpClientRequest.HttpClientRequest) {
    const now = yield* Clock.currentTimeMillis
    const fault = faultNow(now)
    if (fault?._tag === "ConnectionRefused") return yield* broken(request, "ECONNREFUSED")
    requests++
    const asked = readRequest(request)
    const does = () => word(apply(asked, now), now)
    switch (fault?._tag) {
      case undefined:
        return respond(request, does())
      case "ConnectionReset":
        if (fault.applied) does()
        return yield* broken(request, "ECONNRESET")
      case "NoAnswer":
        if (fault.applied) does()
        return yield* Effect.never
      case "LateAnswer": {
        const worded = does()
        yield* Effect.sleep(fault.delay)
        return respond(request, worded)
      }
      case "TruncatedAnswer":
        return respond(request, does(), (body) => body.slice(0, Math.floor(body.length / 2)))
      case "OtherAnswer":
        if (fault.applied) does()
        return answerWith(request, fault.status, fault.body ?? "", fault.headers ?? {})
      case "AmendedAnswer": {
        const { fields, status } = does()
        const kept = Object.entries({ ...fields, ...fault.set }).filter(([name]) => !fault.drop?.includes(name))
        return respond(request, { status: fault.status ?? status, fields: Object.fromEntries(kept) })
      }
      case "UnchangedTokens": {
        const held = ledger.held(asked.fields["refresh_token"] ?? "", now)
        return respond(request, word(typeof held === "string" ? { code: "invalid_grant", why: held } : held, now))
      }
    }
  })

  const userinfo = (request: HttpClientRequest.HttpClientRequest) =>
    Effect.map(Clock.currentTimeMillis, (now) => {
      const live = ledger.isLive(request.headers["authorization"]?.replace(/^bearer /i, "") ?? "", now)
      return live
        ? answerWith(request, 200, JSON.stringify({ sub: "user" }), { "content-type": "application/json" })
        : answerWith(request, 401, "", { "www-authenticate": 'Bearer error="invalid_token"' })
    })

  return {
    tokenUrl,
    userinfoUrl,
    connect: Effect.map(Clock.currentTimeMillis, (now) => {
      const { refreshToken = "", ...tokens } = ledger.connect(now)
      return { ...tokens, refreshToken }
    }),
    authorize: Effect.sync(ledger.authorize),
    next: (...more) => Effect.sync(() => void faults.push(...more)),
    outage: (fault, lasting) =>
      Effect.map(Clock.currentTimeMillis, (now) => void (outage = { fault, until: now + millis(lasting, 0) })),
    revoke: (token) => Effect.sync(() => ledger.revoke(token)),
    isLive: (accessToken) => Effect.map(Clock.currentTimeMillis, (now) => ledger.isLive(accessToken, now)),
    counts: Effect.sync(() => ({ requests, ...ledger.counts() })),
    secrets: Effect.sync(() => [...secrets]),
    handle: (request, url) => (endpoint(url) === endpoint(new URL(tokenUrl)) ? token(request) : userinfo(request))
  }
})

interface TokenRequest {
  readonly fields: Readonly<Record<string, string>>
  readonly client: string | undefined
  readonly secret: string | undefined
}

/** Reads the fields from a form or JSON body, and the client from Basic authentication or the body (RFC 6749 §2.3.1). */
const readRequest = (request: HttpClientRequest.HttpClientRequest): TokenRequest => {
  const { body } = request
  const text =
    body._tag === "Uint8Array" ? new TextDecoder().decode(body.body) : body._tag === "Raw" ? String(body.body) : ""
  const fields = text.startsWith("{") ? readJson(text) : Object.fromEntries(new URLSearchParams(text))
  const basic = request.headers["authorization"]?.match(/^basic (.*)$/i)?.[1]
  const pair = basic === undefined ? undefined : Result.getOrUndefined(Base64.decodeString(basic))
  const [client, secret] =
    pair === undefined
      ? [fields["client_id"], fields["client_secret"]]
      : new URLSearchParams(`c=${pair.replace(":", "&s=")}`).values()
  return { fields, client, secret }
}

const readJson = (text: string): Readonly<Record<string, string>> =>
  Option.getOrElse(Schema.decodeUnknownOption(jsonFields)(text), () => ({}))
const jsonFields = Schema.fromJsonString(Schema.Record(Schema.String, Schema.String))

const form = (fields: Readonly<Record<string, Schema.Json>>): string =>
  new URLSearchParams(Object.entries(fields).map(([name, value]) => [name, String(value)])).toString()

const answerWith = (
  request: HttpClientRequest.HttpClientRequest,
  status: number,
  body: string,
  headers: Readonly<Record<string, string>>
) => HttpClientResponse.fromWeb(request, new Response(body === "" ? null : body, { status, headers }))

const broken = (request: HttpClientRequest.HttpClientRequest, code: "ECONNREFUSED" | "ECONNRESET") =>
  Effect.fail(
    new HttpClientError.HttpClientError({
      reason: new HttpClientError.TransportError({ request, cause: Object.assign(new Error(code), { code }) })
    })
  )
