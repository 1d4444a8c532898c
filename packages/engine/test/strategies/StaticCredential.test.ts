import { assert, describe, it } from "@effect/vitest"
import type { AuthConfig } from "@rekindle/core"
import { Egress } from "@rekindle/engine/Egress"
import { apiKey, basic, bearerToken } from "@rekindle/engine/StaticCredential"
import { Effect } from "effect"
import type { ServerResponse } from "node:http"
import { config as configOf, connect } from "../support/connection.ts"
import * as HttpFixture from "../support/HttpFixture.ts"

const schemes = { API_KEY: apiKey, BEARER_TOKEN: bearerToken, BASIC: basic }
const egress = Egress.layer({ privateHosts: ["*"], timeout: "1 second" })

const probe = Effect.fnUntraced(function* (
  server: Pick<HttpFixture.HttpFixture, "host" | "origin">,
  scheme: keyof typeof schemes,
  secrets: Record<string, string>,
  settings: AuthConfig["settings"] = {}
) {
  const strategy = yield* schemes[scheme]
  const config = configOf({
    scheme,
    settings: { probeUrl: `${server.origin}/me?a=b`, ...settings },
    hosts: [server.host]
  })
  yield* strategy.check(config)
  return yield* strategy.validate?.(connect(config, secrets)) ?? assert.fail("cannot be validated")
}, Effect.provide(egress))

describe("a probe carries the credential", () => {
  for (const { headers, name, path, scheme, secrets, settings } of [
    {
      name: "API_KEY in the authorization header",
      scheme: "API_KEY",
      secrets: { api_key: "k1" },
      settings: {},
      headers: { authorization: "k1" },
      path: "/me?a=b"
    },
    {
      name: "API_KEY in a header of the provider's, with a prefix and the probe's own headers",
      scheme: "API_KEY",
      secrets: { api_key: "k1" },
      settings: { keyHeader: "x-api-key", keyPrefix: "Token ", probeHeaders: { "x-version": "2" } },
      headers: { "x-api-key": "Token k1", "x-version": "2" },
      path: "/me?a=b"
    },
    {
      name: "API_KEY in a query parameter",
      scheme: "API_KEY",
      secrets: { api_key: "k 1&" },
      settings: { keyParameter: "key" },
      headers: { authorization: undefined },
      path: "/me?a=b&key=k+1%26"
    },
    {
      name: "BEARER_TOKEN",
      scheme: "BEARER_TOKEN",
      secrets: { token: "t1" },
      settings: {},
      headers: { authorization: "Bearer t1" },
      path: "/me?a=b"
    },
    {
      name: "BASIC",
      scheme: "BASIC",
      secrets: { username: "ada", password: "pässword" },
      settings: {},
      headers: { authorization: `Basic ${Buffer.from("ada:pässword").toString("base64")}` },
      path: "/me?a=b"
    }
  ] as const) {
    it.live(name, () =>
      Effect.gen(function* () {
        const server = yield* HttpFixture.make(HttpFixture.json({}))
        assert.deepStrictEqual(yield* probe(server, scheme, secrets, settings), { _tag: "Valid" })
        const request = server.requests[0] ?? assert.fail("nothing was sent")
        assert.deepInclude(request, { method: "GET", path })
        for (const [header, value] of Object.entries(headers)) assert.strictEqual(request.headers[header], value)
      })
    )
  }
})

describe("a probe finds the credential", () => {
  const answered = Effect.fnUntraced(function* (
    answer: (response: ServerResponse) => void,
    settings: AuthConfig["settings"] = {}
  ) {
    const server = yield* HttpFixture.make((_, response) => answer(response))
    return yield* probe(server, "API_KEY", { api_key: "k1" }, settings)
  })
  const status = (status: number) => (response: ServerResponse) => void response.writeHead(status).end()

  it.live("valid on a 2xx", () =>
    Effect.gen(function* () {
      for (const code of [200, 204]) assert.deepStrictEqual(yield* answered(status(code)), { _tag: "Valid" })
    })
  )

  it.live("rejected on a 401", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* answered(status(401)), { _tag: "Rejected", code: "http_401" })
    })
  )

  it.live("rejected on another status only if the settings say so", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* answered(status(403)), { _tag: "Unverified", reason: "http_403" })
      assert.deepStrictEqual(yield* answered(status(403), { rejectedStatuses: [403] }), {
        _tag: "Rejected",
        code: "http_403"
      })
    })
  )

  it.live("unverified on an outage, a limit, a redirect or anything else unclear", () =>
    Effect.gen(function* () {
      for (const code of [302, 404, 429, 500, 502, 503]) {
        assert.deepStrictEqual(yield* answered(status(code)), { _tag: "Unverified", reason: `http_${code}` })
      }
    })
  )

  it.live("unverified if the answer is missing or cut short", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* answered(() => {}), { _tag: "Unverified", reason: "timed_out" })
      assert.strictEqual((yield* answered((response) => void response.destroy()))._tag, "Unverified")
    })
  )

  it.live("unverified if nothing listens", () =>
    Effect.gen(function* () {
      const gone = yield* Effect.scoped(HttpFixture.make(HttpFixture.json({})))
      const validity = yield* probe(gone, "API_KEY", { api_key: "k1" })
      assert.deepStrictEqual(validity, { _tag: "Unverified", reason: "connect_failed ECONNREFUSED" })
    })
  )

  it.live("misconfigured, and not sent, if the host is not declared", () =>
    Effect.gen(function* () {
      const server = yield* HttpFixture.make(HttpFixture.json({}))
      const validity = yield* probe({ origin: server.origin, host: "example.com" }, "API_KEY", { api_key: "k1" })
      assert.strictEqual(validity._tag, "Misconfigured")
      assert.lengthOf(server.requests, 0)
    })
  )
})

it.effect("without a probe url nothing can be validated", () =>
  Effect.gen(function* () {
    for (const scheme of ["API_KEY", "BEARER_TOKEN", "BASIC"] as const) {
      const strategy = yield* schemes[scheme]
      assert.isUndefined(strategy.validate?.(connect(configOf({ scheme, settings: {}, hosts: [] }))))
      assert.isUndefined(strategy.renewal)
      assert.isUndefined(strategy.consent)
    }
  }).pipe(Effect.provide(egress))
)

it.effect("settings that do not decode are refused", () =>
  Effect.gen(function* () {
    const strategy = yield* apiKey
    for (const settings of [{ probeUrl: 7 }, { probeUrl: "/me" }, { rejectedStatuses: ["401"] }]) {
      yield* Effect.flip(strategy.check(configOf({ scheme: "API_KEY", settings, hosts: [] })))
    }
  }).pipe(Effect.provide(egress))
)
