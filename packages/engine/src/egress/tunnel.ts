/**
 * Opens a tunnel through a proxy with CONNECT (RFC 9110 §9.3.6), for plain http too. The proxy then never sees a request, and nothing has been
 * sent before the tunnel is open.
 *
 * @module
 */
import http from "node:http"
import https from "node:https"
import type { Socket } from "node:net"
import type { SecureContext } from "node:tls"
import { unbracketed } from "./addresses.ts"

/** The tunnel could not be opened. `code` holds the proxy's status, or why the proxy was not reached. */
class TunnelFailed extends Error {
  readonly code: string

  constructor(why: string | number | undefined) {
    super("the proxy opened no tunnel")
    this.code = `PROXY_${why ?? "FAILED"}`
  }
}

const credentials = ({ password, username }: URL): http.OutgoingHttpHeaders => {
  if (username === "") return {}
  const pair = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`
  return { "proxy-authorization": `Basic ${Buffer.from(pair).toString("base64")}` }
}

/** The port of a url, or the default port of its scheme. */
export const portOf = ({ port, protocol }: URL): string => (port !== "" ? port : protocol === "https:" ? "443" : "80")

/** The host and port of a url, in the form of a CONNECT request. */
export const targetOf = (url: URL): string => `${url.hostname}:${portOf(url)}`

/** Opens a tunnel to a host and port, and passes its socket on. */
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
    host: unbracketed(proxy.hostname),
    port: portOf(proxy),
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
