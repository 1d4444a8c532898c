import { assert, describe, it } from "@effect/vitest"
import { Egress, type EgressOptions } from "@rekindle/engine/Egress"
import { isInternalAddress } from "#engine/egress/addresses.ts"
import { Passage } from "#engine/egress/Passage.ts"
import type { Observation } from "@rekindle/engine/Verdict"
import { Effect, Fiber, Layer } from "effect"
import { FetchHttpClient, HttpClient, HttpClientResponse } from "effect/http"
import { once } from "node:events"
import { createServer as createTlsServer } from "node:https"
import { createServer as createTcpServer, type Socket } from "node:net"
import { Worker } from "node:worker_threads"
import { brotliCompressSync, deflateSync, gzipSync } from "node:zlib"
import * as HttpFixture from "../support/HttpFixture.ts"
import { provider } from "../support/tls.ts"

const overFetch = (options: EgressOptions): Layer.Layer<Egress> =>
  Layer.provide(Egress.layerHttpClient({ ...options, unpinned: "accepted" }), FetchHttpClient.layer)

/** A server that handles every connection in this way. Returns its host and port. */
const tcpServer = Effect.fnUntraced(function* (onConnection: (socket: Socket) => void) {
  const sockets = new Set<Socket>()
  const server = yield* Effect.acquireRelease(
    Effect.promise(async () => {
      const server = createTcpServer((socket) => {
        sockets.add(socket.on("error", () => {}))
        onConnection(socket)
      })
      await once(server.listen(0, "127.0.0.1"), "listening")
      return server
    }),
    (server) =>
      Effect.promise(async () => {
        for (const socket of sockets) socket.destroy()
        await once(server.close(), "close")
      })
  )
  const address = server.address()
  return `127.0.0.1:${typeof address === "object" ? address?.port : ""}`
})

/** Signals between this thread and the server's. */
const [allArrived, blocked, never] = [0, 1, 2]

/** Answers that many requests together, as soon as the other thread is blocked. */
const serverThread = `
  const { createServer } = require("node:http")
  const { parentPort, workerData: { count, cells } } = require("node:worker_threads")
  const held = []
  const server = createServer((request, response) => {
    request.resume().on("end", () => {
      if (held.push(response) < count) return
      Atomics.store(cells, ${allArrived}, 1)
      Atomics.wait(cells, ${blocked}, 0)
      for (const each of held) each.writeHead(200, { "content-type": "application/json" }).end("{}")
    })
  })
  server.listen(0, "127.0.0.1", () => parentPort.postMessage(server.address().port))
`

/** A server in a thread of its own. `block` lets it answer while this thread is blocked. */
const otherThread = Effect.fnUntraced(function* (count: number) {
  const cells = new Int32Array(new SharedArrayBuffer(12))
  const worker = yield* Effect.acquireRelease(
    Effect.sync(() => new Worker(serverThread, { eval: true, workerData: { count, cells } })),
    (worker) => Effect.promise(() => worker.terminate())
  )
  const [port] = yield* Effect.promise(() => once(worker, "message"))
  return {
    host: `127.0.0.1:${port}`,
    haveArrived: () => Atomics.load(cells, allArrived) === 1,
    block: (millis: number) => {
      Atomics.store(cells, blocked, 1)
      Atomics.notify(cells, blocked)
      Atomics.wait(cells, never, 0, millis)
    }
  }
})

describe.each([
  { client: "undici", layerOf: Egress.layerUndici },
  { client: "node:http", layerOf: Egress.layerNodeHttp },
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

  it.live("an empty body is reported as an answer", () =>
    Effect.gen(function* () {
      for (const status of [200, 204, 409]) {
        const server = yield* HttpFixture.make((_, response) => void response.writeHead(status).end())
        assert.deepInclude(yield* send([server.host], server.origin), { _tag: "Answer", status, body: "" })
      }
    })
  )

  it.live("a host that the auth config does not declare is refused and receives nothing", () =>
    Effect.gen(function* () {
      const server = yield* HttpFixture.make(HttpFixture.json({}))
      for (const hosts of [[], ["127.0.0.1"], ["example.com"]]) {
        const seen = yield* send(hosts, `${server.origin}/`)
        assert.deepStrictEqual(seen, {
          _tag: "Refused",
          reason: `host_not_declared: ${server.host} is not among the hosts of the auth config`
        })
      }
      // the text before the @ is a user, not the host
      const disguised = yield* send(["example.com"], `http://example.com@${server.host}/`)
      assert.strictEqual(disguised._tag, "Refused")
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
        "127.0.0.1.",
        "１２７。0。0。1",
        "10.0.0.1",
        "169.254.169.254",
        "192.168.1.1",
        "172.31.255.255",
        "0.0.0.0",
        "[::1]",
        "[::]",
        "[::127.0.0.1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:a9fe:a9fe]",
        "[fd00::1]",
        "[fe80::1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]"
      ]) {
        const url = new URL(`https://${host}/`)
        const seen = yield* send([url.host], url.href, {})
        assert.strictEqual(seen._tag, "Refused", host)
        assert.match(seen._tag === "Refused" ? seen.reason : "", /^private_address: .*egress\.privateHosts/, host)
      }
    })
  )

  it.live("a name that resolves to an internal address is refused, and its server receives nothing", () =>
    Effect.gen(function* () {
      const server = yield* HttpFixture.make(HttpFixture.json({}))
      const host = server.host.replace("127.0.0.1", "localhost")
      const seen = yield* send([host], `https://${host}/`, {})
      assert.strictEqual(seen._tag, "Refused")
      assert.lengthOf(server.requests, 0)
    })
  )

  it.live("a name that resolves to an internal address is refused before anything is sent to it", () =>
    Effect.gen(function* () {
      const refusal = (address: string, options: EgressOptions = {}) => {
        const url = new URL(address)
        return Effect.provide(
          Effect.flatMap(Egress, (egress) => egress.refusalOnceResolved([url.host], url)),
          layerOf(options)
        )
      }
      assert.match((yield* refusal("https://localhost/hook")) ?? "", /^private_address: localhost/)
      assert.match((yield* refusal("https://127.0.0.1/hook")) ?? "", /^private_address/)
      assert.isUndefined(yield* refusal("http://localhost/hook", { privateHosts: ["localhost"] }))
      // A proxy may know a name that this machine does not.
      assert.isUndefined(yield* refusal(`https://${"x".repeat(64)}.invalid/hook`))
    })
  )

  it.live("plain http is refused unless the host is allowed to be private", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* send(["example.com"], "http://example.com/", {}), {
        _tag: "Refused",
        reason: "plain_http: example.com would be reached over plain http; egress.privateHosts can allow it"
      })
    })
  )

  it.live("a refusal names the setting of the program, where private hosts have another name there", () =>
    Effect.gen(function* () {
      for (const url of ["http://example.com/", "https://10.0.0.1/", "https://localhost/"]) {
        const seen = yield* send([new URL(url).host], url, { privateHostsSetting: "--private-hosts" })
        assert.strictEqual(seen._tag, "Refused")
        assert.match("reason" in seen ? seen.reason : "", /; --private-hosts can allow it$/)
      }
    })
  )

  it.live("allowing one private host allows no other", () =>
    Effect.gen(function* () {
      const allowed = yield* HttpFixture.make(HttpFixture.json({}))
      const other = yield* HttpFixture.make(HttpFixture.json({}))
      const options = { privateHosts: [allowed.host] }
      const hosts = [allowed.host, other.host]
      assert.strictEqual((yield* send(hosts, allowed.origin, options))._tag, "Answer")
      assert.strictEqual((yield* send(hosts, other.origin, options))._tag, "Refused")
      assert.lengthOf(other.requests, 0)
    })
  )

  it.live("a host that is allowed on one port is not allowed on another", () =>
    Effect.gen(function* () {
      const server = yield* HttpFixture.make(HttpFixture.json({}))
      const host = server.host.replace("127.0.0.1", "localhost")
      const seen = yield* send([host], `https://${host}/`, { privateHosts: ["localhost:1"] })
      assert.strictEqual(seen._tag, "Refused")
      assert.match(seen._tag === "Refused" ? seen.reason : "", /^private_address: localhost/)
    })
  )

  it.live("a url with a user and password is refused", () =>
    Effect.gen(function* () {
      const server = yield* HttpFixture.make(HttpFixture.json({}))
      for (const user of ["user:password@", "user@", ":password@"]) {
        const seen = yield* send([server.host], `http://${user}${server.host}/`)
        assert.deepStrictEqual(seen, {
          _tag: "Refused",
          reason: "url_credentials: the address carries a user or password"
        })
      }
      assert.lengthOf(server.requests, 0)
    })
  )

  it.live("a declared host matches in every spelling", () =>
    Effect.gen(function* () {
      const server = yield* HttpFixture.make(HttpFixture.json({}))
      const port = server.host.split(":")[1]
      for (const spelled of [`LOCALHOST:${port}`, `localhost:0${port}`, `ｌocalhost:${port}`]) {
        const seen = yield* send([spelled], `http://localhost:${port}/`)
        assert.strictEqual(seen._tag, "Answer", spelled)
      }
      for (const other of [`localhost.:${port}`, `localhost:${port}/path`, `user@localhost:${port}`, "", " ", "*"]) {
        const seen = yield* send([other], `http://localhost:${port}/`)
        assert.strictEqual(seen._tag, "Refused", other)
      }
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

  it.live("a body over the limit is ambiguous, with or without a content length", () =>
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
        assert.deepInclude(yield* send([server.host], server.origin, small), { _tag: "NoAnswer", status: 200 })
        const large = { privateHosts: ["*"], maxBodyBytes: 8192 }
        assert.strictEqual((yield* send([server.host], server.origin, large))._tag, "Answer")
      }
    })
  )

  it.live("tokens are read from a body with a byte order mark", () =>
    Effect.gen(function* () {
      const server = yield* HttpFixture.make((_, response) => void response.writeHead(200).end("\uFEFF{}"))
      assert.deepInclude(yield* send([server.host], server.origin), { _tag: "Answer", body: "{}" })
    })
  )

  for (const [encoding, encode] of [
    ["gzip", gzipSync],
    ["deflate", deflateSync],
    ["br", brotliCompressSync]
  ] as const) {
    it.live(`a body in ${encoding} is decoded, and a decompression bomb is not`, () =>
      Effect.gen(function* () {
        const body = JSON.stringify({ access_token: "at" })
        const bomb = encode(Buffer.alloc(4 * 1024 * 1024))
        const server = yield* HttpFixture.make(({ path }, response) => {
          response.writeHead(200, { "content-encoding": encoding }).end(path === "/bomb" ? bomb : encode(body))
        })
        assert.deepInclude(yield* send([server.host], server.origin), { _tag: "Answer", body })
        const seen = yield* send([server.host], `${server.origin}/bomb`)
        assert.deepStrictEqual(seen, { _tag: "NoAnswer", reason: "body_too_large", status: 200 })
      })
    )
  }

  it.live("endless headers are ambiguous", () =>
    Effect.gen(function* () {
      const server = yield* HttpFixture.make((_, response) => {
        response.writeHead(200, { "x-bomb": "x".repeat(256 * 1024) }).end("{}")
      })
      assert.strictEqual((yield* send([server.host], server.origin))._tag, "NoAnswer")
    })
  )

  it.live("informational answers before the final one are skipped", () =>
    Effect.gen(function* () {
      const server = yield* HttpFixture.make((_, response) => {
        response.writeProcessing()
        response.writeEarlyHints({ link: "</style.css>; rel=preload" })
        response.writeHead(200, { "content-type": "application/json" }).end("{}")
      })
      assert.deepInclude(yield* send([server.host], server.origin), { _tag: "Answer", status: 200, body: "{}" })
    })
  )

  it.live("a refused connection was never sent", () =>
    Effect.gen(function* () {
      // No server listens on a port of compressnet. A free port could be taken by another process meanwhile.
      const seen = yield* send(["127.0.0.1:2"], "http://127.0.0.1:2/")
      assert.deepStrictEqual(seen, { _tag: "NotSent", reason: "connect_failed ECONNREFUSED" })
    })
  )

  it.live("a request to a name that does not exist was never sent", () =>
    Effect.gen(function* () {
      // Too long for a label, so no name server has to be asked.
      const host = `${"x".repeat(64)}.invalid`
      assert.strictEqual((yield* send([host], `https://${host}/`, {}))._tag, "NotSent")
    })
  )

  it.live("a TLS request to a server without TLS was never sent", () =>
    Effect.gen(function* () {
      const server = yield* HttpFixture.make(HttpFixture.json({}))
      const seen = yield* send([server.host], `https://${server.host}/`)
      assert.strictEqual(seen._tag, "NotSent", JSON.stringify(seen))
    })
  )

  it.live("a request to a server with an untrusted or foreign certificate was never sent", () =>
    Effect.gen(function* () {
      const server = yield* Effect.acquireRelease(
        Effect.promise(async () => {
          const server = createTlsServer(provider, (_, response) => void response.end("{}"))
          await once(server.listen(0, "127.0.0.1"), "listening")
          return server
        }),
        (server) => Effect.promise(async () => void server.close().closeAllConnections())
      )
      const address = server.address()
      const port = typeof address === "object" ? address?.port : 0
      for (const name of ["localhost", "127.0.0.1"]) {
        const seen = yield* send([`${name}:${port}`], `https://${name}:${port}/`, undefined, "grant")
        assert.strictEqual(seen._tag, "NotSent", JSON.stringify(seen))
      }
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
      const host = yield* tcpServer((socket) => socket.once("data", () => void socket.resetAndDestroy()))
      assert.deepInclude(yield* send([host], `http://${host}/`, undefined, "grant"), { _tag: "NoAnswer" })
    })
  )

  it.live("an answer cut in the middle of its body is ambiguous", () =>
    Effect.gen(function* () {
      const server = yield* HttpFixture.make((_, response) => {
        response.writeHead(200, { "content-length": "100" })
        response.write('{"access_token":"a', () => void response.destroy())
      })
      assert.deepInclude(yield* send([server.host], server.origin), { _tag: "NoAnswer", status: 200 })
    })
  )

  it.live("answers that arrived while the event loop was blocked are read: 40 of 40", () =>
    Effect.gen(function* () {
      const count = 40
      const server = yield* otherThread(count)
      const egress = yield* Egress
      const request = { url: `http://${server.host}/token`, method: "POST", body: "grant" }
      const all = yield* Effect.forkChild(
        Effect.all(
          Array.from({ length: count }, () => egress.send([server.host], request)),
          { concurrency: "unbounded" }
        )
      )
      while (!server.haveArrived()) yield* Effect.sleep("2 millis")
      // Longer than the time limit of a request: every timer is due before a socket is read.
      server.block(1_100)
      const seen = yield* Fiber.join(all)
      assert.lengthOf(
        seen.filter(({ _tag }) => _tag === "Answer"),
        count
      )
    }).pipe(Effect.provide(layerOf({ privateHosts: ["*"], timeout: "1 second" })))
  )

  it.live("a request at its time limit continues if it is taken over, and ends when it is interrupted", () =>
    Effect.gen(function* () {
      const egress = yield* Egress
      const closed: Array<string> = []
      let answerLate = () => {}
      const server = yield* HttpFixture.make(({ path }, response) => {
        response.on("close", () => void closed.push(path))
        if (path === "/slow") answerLate = () => void response.writeHead(200).end("late")
      })
      const overdue: Array<Fiber.Fiber<Observation>> = []
      for (const path of ["/slow", "/silent"]) {
        const seen = yield* egress.send([server.host], { url: `${server.origin}${path}` }).pipe(
          Effect.provideService(Passage, {
            refusal: () => undefined,
            takeOver: (request) => void overdue.push(request)
          })
        )
        assert.deepStrictEqual(seen, { _tag: "NoAnswer", reason: "timed_out" })
      }
      const [slow, silent] = overdue
      if (slow === undefined || silent === undefined) return assert.fail("not taken over")
      answerLate()
      assert.deepInclude(yield* Fiber.join(slow), { _tag: "Answer", body: "late" })
      yield* Fiber.interrupt(silent)
      while (!closed.includes("/silent")) yield* Effect.sleep("2 millis")
    }).pipe(Effect.provide(layerOf({ privateHosts: ["*"], timeout: "100 millis" })))
  )

  it.live("a request that is refused at the last moment was never sent", () =>
    Effect.gen(function* () {
      const egress = yield* Egress
      const server = yield* HttpFixture.make(HttpFixture.json({}))
      const send = (refusal: string | undefined) =>
        egress
          .send([server.host], { url: server.origin, method: "POST", body: "grant" })
          .pipe(Effect.provideService(Passage, { refusal: () => refusal, takeOver: undefined }))
      assert.deepStrictEqual(yield* send("the lease is over"), { _tag: "NotSent", reason: "the lease is over" })
      assert.strictEqual((yield* send(undefined))._tag, "Answer")
      assert.lengthOf(server.requests, 1)
      // Also over a connection that is kept alive.
      assert.deepStrictEqual(yield* send("the lease is over"), { _tag: "NotSent", reason: "the lease is over" })
      assert.strictEqual((yield* send(undefined))._tag, "Answer")
      assert.lengthOf(server.requests, 2)
    }).pipe(Effect.provide(layerOf({ privateHosts: ["*"] })))
  )

  it.live("a missing answer is ambiguous after the time limit, even for an uninterruptible caller", () =>
    Effect.gen(function* () {
      const silent = yield* HttpFixture.make(() => {})
      const dripping = yield* HttpFixture.make((_, response) => void response.writeHead(200).write("{"))
      for (const server of [silent, dripping]) {
        const sent = send([server.host], server.origin, { privateHosts: ["*"], timeout: "150 millis" })
        assert.deepStrictEqual(yield* sent, { _tag: "NoAnswer", reason: "timed_out" })
        const patient = yield* Effect.timeoutOption(Effect.uninterruptible(sent), "5 seconds")
        assert.deepStrictEqual(patient.valueOrUndefined, { _tag: "NoAnswer", reason: "timed_out" })
      }
    })
  )
})

describe.each([
  { client: "undici", layerOf: Egress.layerUndici, code: "UND_ERR_CONNECT_TIMEOUT" },
  { client: "node:http", layerOf: Egress.layerNodeHttp, code: "ETIMEDOUT" }
])("over $client, which reports when it begins to send", ({ code, layerOf }) => {
  const send = (host: string, options: EgressOptions = {}) =>
    Effect.flatMap(Egress, (egress) =>
      egress.send([host], { url: `https://${host}/`, method: "POST", body: "grant" })
    ).pipe(Effect.provide(layerOf({ privateHosts: ["*"], ...options })))

  it.live("a connection that breaks in the TLS handshake was never sent", () =>
    Effect.gen(function* () {
      const reset = yield* tcpServer((socket) => socket.once("data", () => void socket.resetAndDestroy()))
      const closed = yield* tcpServer((socket) => socket.once("data", () => void socket.destroy()))
      for (const host of [reset, closed]) assert.strictEqual((yield* send(host))._tag, "NotSent")
    })
  )

  it.live("an unanswered TLS handshake was never sent, and is given up after half of the time limit", () =>
    Effect.gen(function* () {
      const silent = yield* tcpServer(() => {})
      // long compared with the half second that undici's timers are off by
      const seen = yield* send(silent, { timeout: "4 seconds" })
      assert.deepStrictEqual(seen, { _tag: "NotSent", reason: `connect_failed ${code}` })
    })
  )
})

it.live("HTTP/2 is not offered, because undici repeats requests over it", () =>
  Effect.gen(function* () {
    const hellos: Array<string> = []
    const host = yield* tcpServer((socket) =>
      socket.once("data", (bytes) => {
        hellos.push(bytes.toString("latin1"))
        socket.destroy()
      })
    )
    yield* Effect.flatMap(Egress, (egress) => egress.send([host], { url: `https://${host}/` })).pipe(
      Effect.provide(Egress.layerUndici({ privateHosts: ["*"] }))
    )
    assert.lengthOf(hellos, 1)
    assert.include(hellos[0], "\x08http/1.1")
    assert.notInclude(hellos[0], "\x02h2")
  })
)

describe("over a client that reports only why it failed", () => {
  const failing = (fields: object) => {
    const cause = new TypeError("fetch failed", { cause: Object.assign(new Error("the cause"), fields) })
    return Layer.succeed(FetchHttpClient.Fetch, () => Promise.reject(cause))
  }
  const sent = (fetch: Layer.Layer<never>, url = "http://127.0.0.1:2/") =>
    Effect.flatMap(Egress, (egress) => egress.send([new URL(url).host], { url, method: "POST", body: "grant" })).pipe(
      Effect.provide([overFetch({ privateHosts: ["*"] }), fetch])
    )

  it.effect.each([
    ["EHOSTUNREACH", "read"],
    ["ENETUNREACH", "read"],
    ["ETIMEDOUT", "read"],
    ["EPIPE", "write"]
  ])("%s of a %s is not reported as unsent: the connection was made", ([code, syscall]) =>
    Effect.map(sent(failing({ code, syscall })), (seen) => assert.strictEqual(seen._tag, "NoAnswer"))
  )

  it.effect.each([{ code: "ETIMEDOUT", syscall: "connect" }, { code: "HOSTNAME_MISMATCH" }, { code: "CERT_REVOKED" }])(
    "%o was never sent",
    (fields) => Effect.map(sent(failing(fields)), (seen) => assert.strictEqual(seen._tag, "NotSent"))
  )

  it.live("an answer from a redirect's target is ambiguous: the client followed it nevertheless", () =>
    Effect.gen(function* () {
      const elsewhere = yield* HttpFixture.make(HttpFixture.json({ access_token: "planted" }))
      const server = yield* HttpFixture.make((_, response) => {
        response.writeHead(302, { location: `${elsewhere.origin}/token` }).end()
      })
      const following: typeof fetch = (input, init) => fetch(input, { ...init, redirect: "follow" })
      const seen = yield* sent(Layer.succeed(FetchHttpClient.Fetch, following), `${server.origin}/token`)
      assert.deepStrictEqual(seen, { _tag: "NoAnswer", reason: "redirect_followed" })
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
        Egress.layerHttpClient({ unpinned: "accepted" }),
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
  it("are distinguished from public addresses", () => {
    for (const address of [
      "127.8.8.8",
      "::1",
      "::ffff:10.0.0.1",
      "::ffff:a00:1",
      "fe80::1",
      "100.64.0.1",
      "2002:a00:1::",
      "::7f00:1",
      "::ffff:0:7f00:1",
      "64:ff9b::a9fe:a9fe",
      "64:ff9b:1::808:808",
      "fe80::1%eth0",
      "::ffff:127.0.0.1%1",
      "168.63.129.16",
      "::ffff:a83f:8110",
      "192.88.99.1",
      "192.31.196.1",
      "192.175.48.1",
      "3fff::1",
      "3fff:fff:ffff::1",
      "5f00::1",
      "2001:2::1",
      "2001:10::1",
      "2001:2f:ffff::1",
      "2001:30::1",
      "2001:0:4136:e378:8000:63bf:3fff:fdd2",
      "100::1",
      "100:0:0:1::1",
      "2620:4f:8000::1",
      "not an address",
      "1.2.3",
      "1::2::3",
      ":::"
    ]) {
      assert.isTrue(isInternalAddress(address), address)
    }
    // the last one is the address by which a network without IPv4 reaches 8.8.8.8 (RFC 6052)
    for (const address of [
      "8.8.8.8",
      "168.63.129.17",
      "2606:4700::1111",
      "2001:200::1",
      "4000::1",
      "::ffff:8.8.8.8",
      "172.32.0.1",
      "64:ff9b::808:808",
      "64:ff9b::8.8.8.8"
    ]) {
      assert.isFalse(isInternalAddress(address), address)
    }
  })
})
