import { assert, describe, it } from "@effect/vitest"
import { ConnectionFailure } from "@rekindle/core"
import { once } from "node:events"
import { createServer, request as httpRequest } from "node:http"
import { request as httpsRequest } from "node:https"
import { type AddressInfo, createServer as createTcpServer, type Server, type Socket } from "node:net"

const error = (fields: object, cause?: unknown) => Object.assign(new Error("it failed", { cause }), fields)
const fetchFailed = (cause: unknown) => new TypeError("fetch failed", { cause })

describe("the system call of an error decides before its code", () => {
  it.each([
    ["ECONNREFUSED", "connect", "connect"],
    ["ETIMEDOUT", "connect", "connect"],
    ["EHOSTUNREACH", "connect", "connect"],
    ["ENETUNREACH", "connect", "connect"],
    ["EACCES", "connect", "connect"],
    ["ENOTFOUND", "getaddrinfo", "dns"],
    ["EAI_AGAIN", "getaddrinfo", "dns"],
    ["EHOSTUNREACH", "read", "lost"],
    ["ENETUNREACH", "read", "lost"],
    ["ETIMEDOUT", "read", "lost"],
    ["ECONNREFUSED", "read", "lost"],
    ["ECONNRESET", "read", "lost"],
    ["EPIPE", "write", "lost"],
    ["EPROTO", "write", "lost"]
  ] as const)("%s of %s", (code, syscall, stage) => {
    for (const cause of [error({ code, syscall }), fetchFailed(error({ code, syscall }))])
      assert.deepStrictEqual(ConnectionFailure.fromCause(cause), { stage, neverSent: stage !== "lost", code })
  })
})

describe("without a system call the code decides", () => {
  it.each([
    ["ECONNREFUSED", "connect"],
    ["UND_ERR_CONNECT_TIMEOUT", "connect"],
    ["ENOTFOUND", "dns"],
    ["HOSTNAME_MISMATCH", "tls"],
    ["ERR_TLS_CERT_ALTNAME_INVALID", "tls"],
    ["SELF_SIGNED_CERT_IN_CHAIN", "tls"],
    ["UND_ERR_INVALID_ARG", "build"],
    // they may come of a connection that was made
    ["EHOSTUNREACH", "lost"],
    ["ETIMEDOUT", "lost"],
    ["ECONNRESET", "lost"],
    ["UND_ERR_SOCKET", "lost"],
    ["UND_ERR_HEADERS_TIMEOUT", "lost"],
    ["ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE", "lost"],
    ["ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED", "lost"]
  ] as const)("%s", (code, stage) => {
    assert.deepStrictEqual(ConnectionFailure.fromCause(error({ code })), { stage, neverSent: stage !== "lost", code })
  })
})

describe("several addresses", () => {
  const refused = error({ code: "ECONNREFUSED", syscall: "connect" })
  it("that all failed before sending give not-sent", () => {
    const tried = Object.assign(new AggregateError([error({ code: "ETIMEDOUT", syscall: "connect" }), refused]), {
      code: "ETIMEDOUT"
    })
    assert.deepStrictEqual(ConnectionFailure.fromCause(tried), { stage: "connect", neverSent: true, code: "ETIMEDOUT" })
  })
  it("of which one may have been sent give lost", () => {
    const tried = new AggregateError([refused, error({ code: "ECONNRESET", syscall: "read" })])
    assert.isFalse(ConnectionFailure.fromCause(tried).neverSent)
    assert.isFalse(ConnectionFailure.fromCause(new AggregateError([refused, new Error("unknown")])).neverSent)
  })
})

it("Deno's errors are classified by the step in their message", () => {
  const failed = (message: string) => ConnectionFailure.fromCause(fetchFailed(new Error(message)))
  const url = "error sending request for url (https://a.test/)"
  assert.strictEqual(failed(`${url}: client error (Connect): dns error: failed to lookup address`).stage, "dns")
  assert.strictEqual(failed(`${url}: client error (Connect): tcp connect error: Connection refused`).stage, "connect")
  assert.strictEqual(failed(`${url}: client error (Connect): tls handshake eof`).stage, "tls")
  assert.strictEqual(failed(`${url}: client error (SendRequest): connection closed`).stage, "lost")
  assert.strictEqual(failed("Connection reset by peer (os error 104)").stage, "lost")
})

it("a code that does not look like one is not shown", () => {
  assert.isUndefined(ConnectionFailure.fromCause(error({ code: "Bearer secret" })).code)
  assert.isUndefined(ConnectionFailure.fromCause(error({ code: 5 })).code)
})

it("a cycle of causes ends", () => {
  const loop = error({})
  loop.cause = loop
  assert.deepStrictEqual(ConnectionFailure.fromCause(loop), { stage: "lost", neverSent: false, code: undefined })
  for (const nothing of [undefined, null, "text", {}]) assert.isFalse(ConnectionFailure.fromCause(nothing).neverSent)
})

describe("the error of a real request", () => {
  const serving = async <A>(server: Server, use: (port: number) => Promise<A>): Promise<A> => {
    const sockets = new Set<Socket>()
    server.on("connection", (socket) => void sockets.add(socket.on("error", () => {})))
    await once(server.listen(0, "127.0.0.1"), "listening")
    try {
      return await use((server.address() as AddressInfo).port)
    } finally {
      for (const socket of sockets) socket.destroy()
      server.close()
    }
  }
  /** By Node's own client and by `fetch`. */
  const stagesOf = async (url: string) => {
    const request = (url.startsWith("https") ? httpsRequest : httpRequest)(url, { method: "POST" })
    const byNode = new Promise<unknown>((resolve) => {
      request.on("error", resolve).on("response", () => resolve(undefined))
    })
    request.end("grant")
    const byFetch = fetch(url, { method: "POST", body: "grant" }).catch((cause: unknown) => cause)
    return [ConnectionFailure.fromCause(await byNode).stage, ConnectionFailure.fromCause(await byFetch).stage]
  }

  it("to a port without a server", async () => {
    assert.deepStrictEqual(await stagesOf("http://127.0.0.1:2/"), ["connect", "connect"])
  })
  it("to the broadcast address", async () => {
    assert.deepStrictEqual(await stagesOf("http://255.255.255.255:2/"), ["connect", "connect"])
  })
  it("to an unknown name", async () => {
    assert.deepStrictEqual(await stagesOf(`http://${"x".repeat(64)}.invalid/`), ["dns", "dns"])
  })
  it("to a port without TLS, which Node reports as a failed write", async () => {
    const plain = createServer((_, response) => void response.end("hello"))
    assert.deepStrictEqual(await serving(plain, (port) => stagesOf(`https://127.0.0.1:${port}/`)), ["lost", "tls"])
  })
  it.each([["closed"], ["reset"]])("whose connection is %s after it has arrived", async (how) => {
    const rude = createTcpServer((socket) =>
      socket.once("data", () => void (how === "reset" ? socket.resetAndDestroy() : socket.destroy()))
    )
    assert.deepStrictEqual(await serving(rude, (port) => stagesOf(`http://127.0.0.1:${port}/`)), ["lost", "lost"])
  })
})
