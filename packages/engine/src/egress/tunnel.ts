/**
 * A way through a proxy: it is asked for a tunnel (RFC 9110 §9.3.6), also where the request is plain http. So the proxy sees no request,
 * and until the tunnel is there nothing has been sent.
 *
 * @module
 */
import http from "node:http"
import https from "node:https"
import type { Socket } from "node:net"
import type { SecureContext } from "node:tls"

/** The tunnel is not there; `code` says what the proxy answered, or why it was not reached. */
class TunnelFailed extends Error {
  readonly code: string

  constructor(why: string | number | undefined) {
    super("the proxy gave no tunnel")
    this.code = `PROXY_${why ?? "FAILED"}`
  }
}

const credentials = ({ password, username }: URL): http.OutgoingHttpHeaders => {
  if (username === "") return {}
  const pair = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`
  return { "proxy-authorization": `Basic ${Buffer.from(pair).toString("base64")}` }
}

/** Opens a tunnel to a host and port, and hands over its socket. */
export const tunnel = (
  {
    proxy,
    secureContext,
    target,
    timeout
  }: {
    readonly proxy: URL
    /** Host and port. */
    readonly target: string
    /** In milliseconds. */
    readonly timeout: number
    readonly secureContext: SecureContext | undefined
  },
  done: (error: Error | null, socket: Socket | null) => void
): void => {
  const request = (proxy.protocol === "https:" ? https : http).request({
    host: proxy.hostname.replace(/^\[(.*)\]$/, "$1"),
    port: proxy.port === "" ? (proxy.protocol === "https:" ? 443 : 80) : proxy.port,
    method: "CONNECT",
    path: target,
    headers: { host: target, ...credentials(proxy) },
    agent: false,
    ...(secureContext === undefined ? {} : { secureContext })
  })
  const timer = setTimeout(() => request.destroy(new TunnelFailed("TIMEOUT")), timeout)
  request.once("close", () => clearTimeout(timer))
  const fail = (error: Error) => {
    clearTimeout(timer)
    done(error, null)
  }
  request.once("connect", (response, socket: Socket, head: Buffer) => {
    clearTimeout(timer)
    if (response.statusCode === 200) {
      if (head.length > 0) socket.unshift(head)
      return done(null, socket)
    }
    socket.on("error", () => {}).destroy()
    fail(new TunnelFailed(response.statusCode))
  })
  request.on("error", (error) =>
    fail(error instanceof TunnelFailed ? error : new TunnelFailed("code" in error ? String(error.code) : undefined))
  )
  request.end()
}

/** The host and port of a url, as a proxy is asked for them. */
export const targetOf = (url: URL): string =>
  `${url.hostname}:${url.port === "" ? (url.protocol === "https:" ? 443 : 80) : url.port}`
