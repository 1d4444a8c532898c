/**
 * Every row of the engine's decision table, end to end: a client, our HTTP endpoint, the engine, and a token endpoint that misbehaves.
 * What is asserted is what a caller on another machine can see.
 */
import { assert, layer } from "@effect/vitest"
import { AuthConfig, ConnectedAccounts, Connections, ProviderProfile } from "@rekindle/core"
import { DateTime, Duration, Effect, Layer, Logger, Redacted } from "effect"
import type { ServerResponse } from "node:http"
import { listen } from "../src/support/listen.ts"
import * as Service from "../src/support/Service.ts"

type Answer = (response: ServerResponse) => void

const json =
  (status: number, body: unknown, headers: Record<string, string> = {}): Answer =>
  (response) =>
    void response.writeHead(status, { "content-type": "application/json", ...headers }).end(JSON.stringify(body))
const silence: Answer = () => {}
const reset: Answer = (response) => void response.destroy()
const truncated: Answer = (response) => {
  response.writeHead(200, { "content-type": "application/json", "content-length": "400" })
  response.write('{"access_token":"at-n', () => response.destroy())
}
const tokens = { access_token: "at-new", refresh_token: "rt-new", token_type: "Bearer", expires_in: 3600 }

/** A row: what the endpoint does, one answer after the other, the last one for ever; and what a caller sees. */
interface Row {
  readonly name: string
  readonly answers: ReadonlyArray<Answer> | "nobody listens"
  readonly rotation?: ProviderProfile["rotation"]
  /** Whether the access token has expired. */
  readonly expired?: boolean
  /** How many other accounts of the auth config are refreshed first. */
  readonly before?: number
  readonly sees: string
  /** The status read afterwards. */
  readonly status?: string
  /** Requests that have reached the endpoint after the first refresh. */
  readonly requests: number
  /** The result of a second refresh, if the row has one. */
  readonly then?: string
  /** The new access token, if there must be one. */
  readonly token?: string
}

const served = { sees: "Ready", requests: 1 }
const silent = { sees: "RefreshFailed provider_silent connection_lost UND_ERR_SOCKET", expired: true }
const rows: ReadonlyArray<Row> = [
  {
    name: "a failure before sending changes nothing",
    answers: "nobody listens",
    sees: "Unavailable provider_unreachable connect_failed ECONNREFUSED",
    requests: 0
  },
  { name: "a timeout serves the access token that lasts", answers: [silence], ...served },
  { name: "a reset serves the access token that lasts", answers: [reset], ...served },
  { name: "a 502 serves the access token that lasts", answers: [json(502, {})], ...served },
  { name: "a truncated 200 serves the access token that lasts", answers: [truncated], ...served },
  { name: "a 409 serves the access token that lasts", answers: [json(409, {})], ...served },
  {
    name: "a reset is retried if the token is not consumed",
    answers: [reset, json(200, tokens)],
    rotation: "none",
    expired: true,
    sees: "Ready",
    requests: 2,
    token: "at-new"
  },
  {
    name: "a strict token is sent once more if the access token has expired",
    answers: [reset, json(200, tokens)],
    expired: true,
    sees: "Ready",
    requests: 2,
    token: "at-new"
  },
  {
    name: "a strict token that is dead after a lost answer leads to a link",
    answers: [reset, json(400, { error: "invalid_grant" })],
    expired: true,
    sees: "RedirectRequired INITIATED",
    requests: 2,
    status: "INITIATED"
  },
  { name: "a missing answer is not a verdict", answers: [reset], ...silent, requests: 2 },
  {
    name: "a 429 is passed on with its Retry-After",
    answers: [json(429, {}, { "retry-after": "7" })],
    sees: "Unavailable provider_busy 7s http_429",
    requests: 1
  },
  {
    name: "a 503 is passed on with its Retry-After, capped",
    answers: [json(503, {}, { "retry-after": "86400" })],
    sees: "Unavailable provider_busy 900s http_503",
    requests: 1
  },
  {
    name: "a dead token makes the account EXPIRED, and is sent once",
    answers: [json(400, { error: "invalid_grant" })],
    expired: true,
    sees: "RedirectRequired INITIATED",
    requests: 1,
    status: "INITIATED",
    then: "RedirectRequired INITIATED"
  },
  {
    name: "a dead token leaves the access token in service, and is sent once",
    answers: [json(400, { error: "invalid_grant" })],
    sees: "RedirectRequired ACTIVE",
    requests: 1,
    token: "at",
    then: "RedirectRequired ACTIVE"
  },
  {
    name: "a refused application does not change the account",
    answers: [json(401, { error: "invalid_client" })],
    sees: "RefreshFailed auth_config_rejected invalid_client",
    requests: 1
  },
  {
    name: "an application that was refused for three accounts is not tried for the fourth",
    answers: [json(401, { error: "invalid_client" })],
    before: 3,
    sees: "Unavailable circuit_open invalid_client",
    requests: 3
  },
  {
    name: "another 4xx is a fault of configuration",
    answers: [json(400, { error: "invalid_scope" })],
    sees: "RefreshFailed refresh_refused invalid_scope",
    requests: 1
  },
  {
    name: "a 200 with a dead token's error means a dead token",
    answers: [json(200, { error: "invalid_grant" })],
    expired: true,
    sees: "RedirectRequired INITIATED",
    requests: 1,
    status: "INITIATED"
  },
  {
    name: "a 200 with ok: false is a refusal",
    answers: [json(200, { ok: false })],
    sees: "RefreshFailed refresh_refused refused",
    requests: 1
  },
  {
    name: "tokens in an irregular answer are kept",
    answers: [json(201, { access_token: "at-odd", refresh_token: "rt-odd", scope: ["a"] })],
    sees: "Ready",
    requests: 1,
    token: "at-odd"
  },
  {
    name: "an unchanged, expired token is reported as not renewed",
    answers: [json(200, { access_token: "at", token_type: "Bearer" })],
    expired: true,
    sees: "RefreshFailed not_renewed",
    requests: 1
  }
]

const service = Service.layer({
  coordinator: { requestTimeout: "1 second", lease: "10 seconds" },
  egress: { privateHosts: ["*"] }
}).pipe(Layer.provide(Logger.layer([])))

layer(service, { excludeTestServices: true })("through the endpoint", (it) => {
  const seen = Effect.fnUntraced(function* (id: Parameters<ConnectedAccounts["Service"]["refresh"]>[0]) {
    const accounts = yield* ConnectedAccounts
    return yield* accounts.refresh(id).pipe(
      Effect.map((outcome) =>
        outcome._tag === "RedirectRequired" ? `${outcome._tag} ${outcome.status}` : outcome._tag
      ),
      Effect.catch((error) => {
        const slug = "slug" in error ? error.slug : undefined
        const errors = "errors" in error ? error.errors : undefined
        const asked = "retryAfter" in error && error.retryAfter !== undefined ? Duration.toSeconds(error.retryAfter) : 0
        const wait = slug === "provider_busy" ? `${asked}s` : undefined
        return Effect.succeed(
          [error._tag, slug, wait, ...(errors ?? [])].filter((part) => part !== undefined).join(" ")
        )
      })
    )
  })

  for (const [
    index,
    {
      answers,
      before = 0,
      expired = false,
      name,
      requests,
      rotation = "single-use",
      sees,
      status = "ACTIVE",
      then,
      token
    }
  ] of rows.entries()) {
    it.effect(name, () =>
      Effect.gen(function* () {
        const { host, http, origin } = yield* listen
        const connections = yield* Connections
        const accounts = yield* ConnectedAccounts
        let received = 0
        http.on("request", (request, response) => {
          request.resume().on("end", () => {
            const answer = answers === "nobody listens" ? undefined : (answers[received] ?? answers.at(-1))
            received++
            answer?.(response)
          })
        })
        const address =
          answers === "nobody listens" ? { host: "127.0.0.1:1", origin: "http://127.0.0.1:1" } : { host, origin }
        const config = `row-${index}`
        yield* connections.authConfigs.register(
          AuthConfig.make({
            id: config,
            toolkit: "rows",
            scheme: "OAUTH2",
            profile: ProviderProfile.make({ name: config, rotation, accessTokenTtl: Duration.hours(1) }),
            settings: {
              clientId: "id",
              tokenEndpoint: `${address.origin}/token`,
              authorizationEndpoint: `${address.origin}/authorize`
            },
            hosts: [address.host]
          })
        )
        const now = yield* DateTime.now
        const account = connections.create({
          authConfigId: config,
          userId: "person",
          secrets: { access_token: Redacted.make("at"), refresh_token: Redacted.make("rt") },
          expiresAt: DateTime.add(now, expired ? { seconds: -1 } : { hours: 1 })
        })
        for (let other = 0; other < before; other++) yield* seen((yield* account).id)
        const { id } = yield* account

        assert.strictEqual(yield* seen(id), sees)
        assert.strictEqual(received, requests)
        assert.strictEqual((yield* accounts.get(id)).status, status)
        if (token !== undefined) assert.strictEqual(Redacted.value(yield* connections.accessToken(id)), token)
        if (then !== undefined) {
          assert.strictEqual(yield* seen(id), then)
          assert.strictEqual(received, requests, "the second refresh sends nothing")
        }
      })
    )
  }
})
