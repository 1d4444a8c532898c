import { assert, describe, it } from "@effect/vitest"
import { Egress, type EgressOptions, isInternalAddress } from "@rekindle/engine/Egress"
import { Effect, Layer } from "effect"
import { FetchHttpClient, HttpClient, HttpClientResponse } from "effect/http"
import { once } from "node:events"
import { createServer as createTcpServer } from "node:net"
import * as HttpFixture from "./support/HttpFixture.ts"

const overFetch = (options: EgressOptions): Layer.Layer<Egress> =>
  Layer.provide(Egress.layer(options), FetchHttpClient.layer)

describe.each([
  { client: "undici", layerOf: Egress.layerNode },
  { client: "fetch", layerOf: overFetch }
])("over $client", ({ layerOf }) => {
  const send = (
    hosts: ReadonlyArray<string>,
    url: string,
    options: EgressOptions = { privateHosts: ["*"] },
    body?: string
  ) =>
    Effect.flatMap(Egress, (egress) =>
      egress.send(hosts, { url, method: body === undefined ? "GET" : "POST", body })
    ).pipe(Effect.provide(layerOf(options)))

  it.live("an answer is reported with status, headers and body", () =>
    Effect.gen(function* () {
      const server = yield* HttpFixture.make((_, response) => {
        response.writeHead(429, { "content-type": "application/json", "retry-after": "7" }).end("{}")
      })
      const seen = yield* send([server.host], `${server.origin}/token`, undefined, "a=b")
      assert.strictEqual(seen._tag, "Answer")
      if (seen._tag !== "Answer") return
      assert.deepInclude(seen, { status: 429, contentType: "application/json", retryAfter: "7", body: "{}" })
      assert.deepInclude(server.requests[0], { method: "POST", path: "/token", body: "a=b" })
      assert.notProperty(server.requests[0]?.headers, "traceparent")
    })
  )

  it.live("an answer without a body is an answer", () =>
    Effect.gen(function* () {
      for (const status of [200, 204, 409]) {
        const server = yield* HttpFixture.make((_, response) => void response.writeHead(status).end())
        assert.deepInclude(yield* send([server.host], server.origin), { _tag: "Answer", status, body: "" })
      }
    })
  )

  it.live("a host the auth config does not declare is refused and gets nothing", () =>
    Effect.gen(function* () {
      const server = yield* HttpFixture.make(HttpFixture.json({}))
      for (const hosts of [[], ["127.0.0.1"], ["example.com"]]) {
        const seen = yield* send(hosts, `${server.origin}/`)
        assert.deepStrictEqual(seen, { _tag: "NotSent", reason: `${server.host} is not a host of this auth config` })
      }
      // what stands before the @ is a user, not the host
      const disguised = yield* send(["example.com"], `http://example.com@${server.host}/`)
      assert.strictEqual(disguised._tag, "NotSent")
      assert.lengthOf(server.requests, 0)
    })
  )

  it.live("private, loopback and link-local addresses are refused in every spelling", () =>
    Effect.gen(function* () {
      for (const host of [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "10.0.0.1",
        "169.254.169.254",
        "192.168.1.1",
        "172.31.255.255",
        "0.0.0.0",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:a9fe:a9fe]",
        "[fd00::1]",
        "[fe80::1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]"
      ]) {
        const url = new URL(`https://${host}/`)
        const seen = yield* send([url.host], url.href, {})
        assert.strictEqual(seen._tag, "NotSent", host)
        assert.match(seen._tag === "NotSent" ? seen.reason : "", /is an internal address$/, host)
      }
    })
  )

  it.live("a name that resolves to an internal address is refused and its server gets nothing", () =>
    Effect.gen(function* () {
      const server = yield* HttpFixture.make(HttpFixture.json({}))
      const host = server.host.replace("127.0.0.1", "localhost")
      const seen = yield* send([host], `https://${host}/`, {})
      assert.strictEqual(seen._tag, "NotSent")
      assert.lengthOf(server.requests, 0)
    })
  )

  it.live("plain http is refused unless the host is allowed to be private", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* send(["example.com"], "http://example.com/", {}), {
        _tag: "NotSent",
        reason: "plain http is refused"
      })
    })
  )

  it.live("allowing one private host allows no other", () =>
    Effect.gen(function* () {
      const allowed = yield* HttpFixture.make(HttpFixture.json({}))
      const other = yield* HttpFixture.make(HttpFixture.json({}))
      const options = { privateHosts: [allowed.host] }
      const hosts = [allowed.host, other.host]
      assert.strictEqual((yield* send(hosts, allowed.origin, options))._tag, "Answer")
      assert.strictEqual((yield* send(hosts, other.origin, options))._tag, "NotSent")
      assert.lengthOf(other.requests, 0)
    })
  )

  it.live("redirects are reported, not followed", () =>
    Effect.gen(function* () {
      const elsewhere = yield* HttpFixture.make(HttpFixture.json({}))
      const server = yield* HttpFixture.make((_, response) => {
        response.writeHead(307, { location: elsewhere.origin }).end()
      })
      const seen = yield* send([server.host, elsewhere.host], server.origin, undefined, "secret")
      assert.strictEqual(seen._tag === "Answer" && seen.status, 307)
      assert.lengthOf(elsewhere.requests, 0)
    })
  )

  it.live("a body over the limit is no answer, announced or not", () =>
    Effect.gen(function* () {
      const body = JSON.stringify({ access_token: "x".repeat(4096) })
      const announced = yield* HttpFixture.make((_, response) => {
        response.writeHead(200, { "content-length": String(body.length) }).end(body)
      })
      const chunked = yield* HttpFixture.make((_, response) => {
        response.writeHead(200)
        response.write(body.slice(0, 2048))
        response.end(body.slice(2048))
      })
      for (const server of [announced, chunked]) {
        const small = { privateHosts: ["*"], maxBodyBytes: 1024 }
        assert.strictEqual((yield* send([server.host], server.origin, small))._tag, "NoAnswer")
        const large = { privateHosts: ["*"], maxBodyBytes: 8192 }
        assert.strictEqual((yield* send([server.host], server.origin, large))._tag, "Answer")
      }
    })
  )

  it.live("a refused connection was never sent", () =>
    Effect.gen(function* () {
      const host = yield* Effect.scoped(Effect.map(HttpFixture.make(HttpFixture.json({})), ({ host }) => host))
      assert.deepStrictEqual(yield* send([host], `http://${host}/`), { _tag: "NotSent", reason: "ECONNREFUSED" })
    })
  )

  it.live("a name that does not exist was never sent to", () =>
    Effect.gen(function* () {
      const seen = yield* send(["nowhere.invalid"], "https://nowhere.invalid/", {})
      assert.strictEqual(seen._tag, "NotSent")
    })
  )

  it.live("speaking TLS to a server that does not was never sent", () =>
    Effect.gen(function* () {
      const server = yield* HttpFixture.make(HttpFixture.json({}))
      const seen = yield* send([server.host], `https://${server.host}/`)
      assert.strictEqual(seen._tag, "NotSent", JSON.stringify(seen))
    })
  )

  it.live("a connection cut after the request is ambiguous", () =>
    Effect.gen(function* () {
      const server = yield* HttpFixture.make((_, response) => void response.destroy())
      const seen = yield* send([server.host], server.origin, undefined, "grant")
      assert.strictEqual(seen._tag, "NoAnswer")
      assert.lengthOf(server.requests, 1)
    })
  )

  it.live("a connection reset before any byte of an answer is ambiguous", () =>
    Effect.gen(function* () {
      const tcp = yield* Effect.acquireRelease(
        Effect.promise(async () => {
          const tcp = createTcpServer((socket) => {
            socket.once("data", () => void socket.resetAndDestroy())
          })
          await once(tcp.listen(0, "127.0.0.1"), "listening")
          return tcp
        }),
        (tcp) => Effect.promise(() => once(tcp.close(), "close"))
      )
      const address = tcp.address()
      const host = `127.0.0.1:${typeof address === "object" ? address?.port : ""}`
      assert.deepInclude(yield* send([host], `http://${host}/`, undefined, "grant"), { _tag: "NoAnswer" })
    })
  )

  it.live("an answer cut in the middle of its body is ambiguous", () =>
    Effect.gen(function* () {
      const server = yield* HttpFixture.make((_, response) => {
        response.writeHead(200, { "content-length": "100" })
        response.write('{"access_token":"a', () => void response.destroy())
      })
      assert.strictEqual((yield* send([server.host], server.origin))._tag, "NoAnswer")
    })
  )

  it.live("no answer in time is ambiguous, also for a caller that cannot be interrupted", () =>
    Effect.gen(function* () {
      const silent = yield* HttpFixture.make(() => {})
      const dripping = yield* HttpFixture.make((_, response) => void response.writeHead(200).write("{"))
      for (const server of [silent, dripping]) {
        const sent = send([server.host], server.origin, { privateHosts: ["*"], timeout: "150 millis" })
        assert.deepStrictEqual(yield* sent, { _tag: "NoAnswer", reason: "timeout" })
        const patient = yield* Effect.timeoutOption(Effect.uninterruptible(sent), "5 seconds")
        assert.deepStrictEqual(patient.valueOrUndefined, { _tag: "NoAnswer", reason: "timeout" })
      }
    })
  )
})

it.effect("a public address is not looked up as a name", () =>
  Effect.gen(function* () {
    const egress = yield* Egress
    const seen = yield* egress.send(["[2606:4700::1111]"], { url: "https://[2606:4700::1111]/" })
    assert.deepInclude(seen, { _tag: "Answer", status: 204 })
  }).pipe(
    Effect.provide(
      Layer.provide(
        Egress.layer(),
        Layer.succeed(
          HttpClient.HttpClient,
          HttpClient.make((request) =>
            Effect.succeed(HttpClientResponse.fromWeb(request, new Response(null, { status: 204 })))
          )
        )
      )
    )
  )
)

describe("internal addresses", () => {
  it("are told from public ones", () => {
    for (const address of [
      "127.8.8.8",
      "::1",
      "::ffff:10.0.0.1",
      "::ffff:a00:1",
      "fe80::1",
      "100.64.0.1",
      "2002:a00:1::"
    ]) {
      assert.isTrue(isInternalAddress(address), address)
    }
    for (const address of ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "172.32.0.1"]) {
      assert.isFalse(isInternalAddress(address), address)
    }
  })
})
