/** The proxy and the certificate authorities of a machine, with a real proxy and TLS servers, on every transport with sockets. */
import { assert, describe, it } from "@effect/vitest"
import { Egress, type EgressOptions } from "@rekindle/engine/Egress"
import { ConfigProvider, Effect, Layer, References } from "effect"
import { once } from "node:events"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { createServer, type Server } from "node:http"
import { createServer as createTlsServer } from "node:https"
import { connect, type Socket } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { environment } from "#engine/egress/environment.ts"
import * as tls from "../support/tls.ts"

const listening = Effect.fnUntraced(function* (server: Server) {
  yield* Effect.acquireRelease(
    Effect.promise(() => once(server.listen(0, "127.0.0.1"), "listening")),
    () => Effect.promise(async () => void (await once(server.close(() => {}).closeAllConnections() ?? server, "close")))
  )
  const address = server.address()
  return typeof address === "object" && address !== null ? address.port : assert.fail("no port")
})

/** A server for `provider.test` and `localhost`, whose certificate is signed only by the test's authority. */
const provider = Effect.gen(function* () {
  const requests: Array<string> = []
  const port = yield* listening(
    createTlsServer(tls.provider, (request, response) => {
      let body = ""
      request.on("data", (chunk) => (body += chunk))
      request.on("end", () => {
        requests.push(`${request.method} ${request.headers.host} ${body}`)
        response.end("{}")
      })
    })
  )
  return { port, requests }
})

/** A proxy that connects every tunnel to one port of this machine, whatever its target is. */
const proxyTo = Effect.fnUntraced(function* (port: number, status = 200) {
  const asked: Array<{ readonly target: string | undefined; readonly authorization: string | undefined }> = []
  const sockets = new Set<Socket>()
  const server = createServer((_, response) => void response.writeHead(500).end("not a tunnel"))
  server.on("connect", (request, client: Socket) => {
    asked.push({ target: request.url, authorization: request.headers["proxy-authorization"] })
    sockets.add(client.on("error", () => {}))
    if (status === 0) return
    if (status !== 200) return void client.end(`HTTP/1.1 ${status} No\r\n\r\n`)
    const upstream = connect(port, "127.0.0.1", () => {
      client.write("HTTP/1.1 200 OK\r\n\r\n")
      upstream.pipe(client).pipe(upstream)
    })
    sockets.add(upstream.on("error", () => {}))
  })
  const address = yield* listening(server)
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      for (const socket of sockets) socket.destroy()
    })
  )
  return { url: `http://127.0.0.1:${address}`, asked }
})

const authorityFile = Effect.map(
  Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "rekindle-authority-"))),
    (directory) => Effect.sync(() => rmSync(directory, { recursive: true }))
  ),
  (directory) => {
    const file = join(directory, "authority.pem")
    writeFileSync(file, `# of the test\n${tls.authority}`)
    return { directory, file }
  }
)

const told = (variables: Readonly<Record<string, string>>) =>
  ConfigProvider.layer(ConfigProvider.fromUnknown(variables))

describe.each([
  { client: "undici", layerOf: Egress.layerUndici },
  { client: "node:http", layerOf: Egress.layerNodeHttp }
])("over $client", ({ layerOf }) => {
  const post = (
    variables: Readonly<Record<string, string>>,
    url: string,
    { hosts = [new URL(url).host], ...options }: EgressOptions & { readonly hosts?: ReadonlyArray<string> } = {}
  ) =>
    Effect.flatMap(Egress, (egress) => egress.send(hosts, { url, method: "POST", body: "grant" })).pipe(
      Effect.provide(Layer.provide(layerOf({ timeout: "5 seconds", ...options }), told(variables))),
      Effect.provideService(References.MinimumLogLevel, "None")
    )

  it.live("requests go through HTTPS_PROXY, and the authorities in SSL_CERT_FILE are trusted", () =>
    Effect.gen(function* () {
      const server = yield* provider
      const proxy = yield* proxyTo(server.port)
      const { file } = yield* authorityFile
      for (const name of ["HTTPS_PROXY", "https_proxy"]) {
        const seen = yield* post({ [name]: proxy.url, SSL_CERT_FILE: file }, "https://provider.test/token")
        assert.deepInclude(seen, { _tag: "Answer", status: 200, body: "{}" })
      }
      assert.deepStrictEqual(server.requests, ["POST provider.test grant", "POST provider.test grant"])
      assert.deepStrictEqual(
        proxy.asked.map(({ target }) => target),
        ["provider.test:443", "provider.test:443"]
      )
    })
  )

  it.live("the user and password of a proxy are sent to it, in every form of the variable", () =>
    Effect.gen(function* () {
      const server = yield* provider
      const proxy = yield* proxyTo(server.port)
      const { file } = yield* authorityFile
      const address = proxy.url.replace("http://", "us%40er:pass@")
      assert.strictEqual(
        (yield* post({ HTTPS_PROXY: address, SSL_CERT_FILE: file }, "https://provider.test/"))._tag,
        "Answer"
      )
      assert.strictEqual(proxy.asked[0]?.authorization, `Basic ${Buffer.from("us@er:pass").toString("base64")}`)
    })
  )

  it.live("authorities in SSL_CERT_DIR and NODE_EXTRA_CA_CERTS are trusted; without one nothing is sent", () =>
    Effect.gen(function* () {
      const server = yield* provider
      const { directory, file } = yield* authorityFile
      const url = `https://localhost:${server.port}/`
      const inHouse = { privateHosts: [`localhost:${server.port}`] }
      for (const variables of [{ SSL_CERT_DIR: directory }, { NODE_EXTRA_CA_CERTS: file }])
        assert.strictEqual((yield* post(variables, url, inHouse))._tag, "Answer")
      for (const variables of [{}, { SSL_CERT_FILE: "/nowhere/authority.pem" }]) {
        const seen = yield* post(variables, url, inHouse)
        assert.deepStrictEqual(seen, { _tag: "NotSent", reason: "tls_failed UNABLE_TO_VERIFY_LEAF_SIGNATURE" })
      }
      assert.lengthOf(server.requests, 2)
    })
  )

  it.live("the egress rules hold behind a proxy too: it receives no request that they refuse", () =>
    Effect.gen(function* () {
      const server = yield* provider
      const proxy = yield* proxyTo(server.port)
      const variables = { HTTPS_PROXY: proxy.url, HTTP_PROXY: proxy.url }
      for (const [url, code, hosts] of [
        ["https://evil.example/", "host_not_declared", ["provider.test"]],
        ["http://provider.test/", "plain_http", undefined],
        ["https://169.254.169.254/", "private_address", undefined],
        ["https://[::ffff:10.0.0.1]/", "private_address", undefined]
      ] as const) {
        const seen = yield* post(variables, url, hosts === undefined ? {} : { hosts })
        assert.match(seen._tag === "Refused" ? seen.reason : "", new RegExp(`^${code}`), url)
      }
      // The certificate is checked against the provider's name, not the proxy's.
      const { file } = yield* authorityFile
      const other = yield* post({ ...variables, SSL_CERT_FILE: file }, "https://other.test/")
      assert.deepStrictEqual(other, { _tag: "NotSent", reason: "tls_failed ERR_TLS_CERT_ALTNAME_INVALID" })
      assert.deepStrictEqual(
        proxy.asked.map(({ target }) => target),
        ["other.test:443"]
      )
      assert.lengthOf(server.requests, 0)
    })
  )

  it.live("hosts in NO_PROXY are reached directly, and the machine's own loopback always is", () =>
    Effect.gen(function* () {
      const server = yield* provider
      const proxy = yield* proxyTo(server.port)
      const { file } = yield* authorityFile
      const variables = { HTTPS_PROXY: proxy.url, SSL_CERT_FILE: file }
      // No name server has this name.
      const straight = yield* post({ ...variables, NO_PROXY: "a.test, provider.test" }, "https://provider.test/")
      assert.match(straight._tag === "NotSent" ? straight.reason : "", /^dns_failed/)
      const own = `localhost:${server.port}`
      assert.strictEqual((yield* post(variables, `https://${own}/`, { privateHosts: [own] }))._tag, "Answer")
      assert.lengthOf(proxy.asked, 0)
    })
  )

  it.live("plain http goes through a tunnel too, if it is allowed", () =>
    Effect.gen(function* () {
      const bodies: Array<string> = []
      const port = yield* listening(
        createServer((request, response) => {
          bodies.push(`${request.method} ${request.url}`)
          response.end("{}")
        })
      )
      const proxy = yield* proxyTo(port)
      const options = { privateHosts: ["inhouse.test"] }
      assert.strictEqual((yield* post({ HTTP_PROXY: proxy.url }, "http://inhouse.test/token", options))._tag, "Answer")
      assert.deepStrictEqual(bodies, ["POST /token"])
      assert.deepStrictEqual(
        proxy.asked.map(({ target }) => target),
        ["inhouse.test:80"]
      )
    })
  )

  it.live("a request that the proxy refuses was never sent, and the reason is reported", () =>
    Effect.gen(function* () {
      for (const status of [403, 407, 502]) {
        const proxy = yield* proxyTo(0, status)
        const seen = yield* post({ HTTPS_PROXY: proxy.url }, "https://provider.test/")
        assert.deepStrictEqual(seen, { _tag: "NotSent", reason: `connect_failed PROXY_${status}` })
      }
      const gone = yield* post({ HTTPS_PROXY: "http://127.0.0.1:2" }, "https://provider.test/")
      assert.deepStrictEqual(gone, { _tag: "NotSent", reason: "connect_failed PROXY_ECONNREFUSED" })
      const mute = yield* proxyTo(0, 0)
      const waited = yield* post({ HTTPS_PROXY: mute.url }, "https://provider.test/", { timeout: "1 second" })
      assert.deepStrictEqual(waited, { _tag: "NotSent", reason: "connect_failed PROXY_TIMEOUT" })
    })
  )
})

describe("the environment", () => {
  const proxyFor = (variables: Readonly<Record<string, string>>, url: string) =>
    Effect.map(
      Effect.provide(Effect.provideService(environment, References.MinimumLogLevel, "None"), told(variables)),
      ({ proxyFor }) => proxyFor(new URL(url))?.host ?? "straight"
    )

  it.effect("gives the proxy of each scheme, and the hosts that need none", () =>
    Effect.gen(function* () {
      const both = { HTTPS_PROXY: "http://s.proxy:1", HTTP_PROXY: "p.proxy:2" }
      for (const [noProxy, url, expected] of [
        ["", "https://a.test/", "s.proxy:1"],
        ["", "http://a.test/", "p.proxy:2"],
        ["", "https://localhost:5/", "straight"],
        ["", "https://127.8.8.8/", "straight"],
        ["", "https://[::1]/", "straight"],
        ["*", "https://a.test/", "straight"],
        ["a.test", "https://a.test/", "straight"],
        ["A.Test", "https://a.test/", "straight"],
        ["a.test", "https://b.a.test/", "straight"],
        ["a.test", "https://ba.test/", "s.proxy:1"],
        [".a.test", "https://b.a.test/", "straight"],
        ["*.a.test", "https://b.a.test/", "straight"],
        ["a.test:8443", "https://a.test/", "s.proxy:1"],
        ["a.test:8443", "https://a.test:8443/", "straight"],
        ["a.test:443", "https://a.test/", "straight"],
        ["x.test  a.test,b.test", "https://a.test/", "straight"],
        ["10.0.0.0/8", "https://10.9.8.7/", "straight"],
        ["10.0.0.0/8", "https://11.9.8.7/", "s.proxy:1"],
        ["10.0.0.0/99", "https://11.9.8.7/", "s.proxy:1"],
        ["[2606:4700::1]:443", "https://[2606:4700::1]/", "straight"],
        ["2606:4700::/32", "https://[2606:4700::1]/", "straight"]
      ] as const) {
        assert.strictEqual(yield* proxyFor({ ...both, NO_PROXY: noProxy }, url), expected, `${noProxy} ${url}`)
      }
      assert.strictEqual(yield* proxyFor({ HTTP_PROXY: "http://p.proxy:2" }, "https://a.test/"), "straight")
    })
  )

  it.effect("with a malformed proxy fails with the name of the variable, without its value", () =>
    Effect.gen(function* () {
      for (const value of ["socks5://user:hunter2@proxy:1", "http://"]) {
        const cause = yield* Effect.sandbox(Effect.provide(environment, told({ HTTPS_PROXY: value }))).pipe(Effect.flip)
        assert.include(String(cause), "HTTPS_PROXY is not the address of an http(s) proxy")
        assert.notInclude(String(cause), "hunter2")
      }
    })
  )
})
