/**
 * The transport on `node:http` and `node:https`, for runtimes without undici, such as Bun and Deno. It connects to the address that was
 * checked and follows no redirect.
 *
 * A socket reports when it is connected, and a request is not written before. A failure before that was never sent, whatever its code.
 *
 * @module
 */
import { Duration, Effect, type Scope } from "effect"
import http from "node:http"
import https from "node:https"
import { isIP } from "node:net"
import { Duplex } from "node:stream"
import { connect as connectTls } from "node:tls"
import { notSent, type Observation } from "../answer/Verdict.ts"
import { answered, failure, guardedLookup, oversized, type Transport, type TransportOptions } from "./transport.ts"
import { targetOf, tunnel } from "./tunnel.ts"

class ConnectTimeout extends Error {
  readonly code = "ETIMEDOUT"
  readonly syscall = "connect"
}

/** Makes an agent open its connections through the proxy, if there is one for them. */
const throughProxy = <A extends http.Agent>(agent: A, secure: boolean, options: TransportOptions): A => {
  const direct = agent.createConnection.bind(agent)
  const timeout = Duration.toMillis(options.connectTimeout)
  agent.createConnection = (connection, callback) => {
    const host = connection.host ?? "localhost"
    const authority = `${isIP(host) === 6 ? `[${host}]` : host}:${connection.port ?? ""}`
    const url = new URL(`${secure ? "https" : "http"}://${authority}/`)
    const proxy = options.proxyFor(url)
    if (proxy === undefined) return direct(connection, callback)
    const secureContext = secure || proxy.protocol === "https:" ? options.trust?.() : undefined
    tunnel({ proxy, target: targetOf(url), timeout, secureContext }, (error, socket) => {
      if (error !== null || socket === null) callback?.(error ?? new Error("no tunnel"), new Duplex())
      else if (secure) {
        const servername = isIP(host) === 0 ? host : ""
        callback?.(
          null,
          connectTls({ socket, host, servername, ...(secureContext === undefined ? {} : { secureContext }) })
        )
      } else callback?.(null, socket)
    })
    return undefined
  }
  return agent
}

/** On agents that are closed with the scope. */
export const overNodeHttp = (options: TransportOptions): Effect.Effect<Transport, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => ({
        "http:": throughProxy(new http.Agent({ keepAlive: true }), false, options),
        "https:": throughProxy(new https.Agent({ keepAlive: true }), true, options)
      })),
      (agents) => Effect.sync(() => Object.values(agents).forEach((agent) => agent.destroy()))
    ),
    (agents): Transport => {
      const lookup = guardedLookup(options)
      const connectTimeout = Duration.toMillis(options.connectTimeout)
      return ({ body, headers, method, refusal, url }) =>
        Effect.callback<Observation>((resume) => {
          const secure = url.protocol === "https:"
          let began = false
          let status: number | undefined
          const fail = (cause: unknown) => resume(Effect.succeed(failure(url, cause, began, status)))
          try {
            const request = (secure ? https : http).request(url, {
              method,
              headers: { ...headers },
              agent: agents[secure ? "https:" : "http:"],
              ...(options.mayBeInternal(url) ? {} : { lookup }),
              ...(secure && options.trust !== undefined ? { secureContext: options.trust() } : {})
            })
            /** Sends the request: Node writes nothing before `end`. */
            const leave = () => {
              const refused = refusal()
              if (refused === undefined) {
                began = true
                request.end(body)
              } else {
                resume(Effect.succeed(notSent(refused)))
                request.destroy()
              }
            }
            request.on("socket", (socket) => {
              // A kept-alive socket is connected already, and so is a tunnel.
              if (request.reusedSocket || (!secure && !socket.connecting)) return leave()
              const timer = setTimeout(() => request.destroy(new ConnectTimeout()), connectTimeout)
              socket.once("close", () => clearTimeout(timer))
              socket.once(secure ? "secureConnect" : "connect", () => {
                clearTimeout(timer)
                leave()
              })
            })
            request.on("response", (response) => {
              const answeredWith = response.statusCode ?? 0
              status = answeredWith
              const chunks: Array<Uint8Array> = []
              let size = 0
              response.on("data", (chunk: Uint8Array) => {
                chunks.push(chunk)
                size += chunk.length
                if (size <= options.maxBodyBytes) return
                resume(Effect.succeed(oversized(answeredWith)))
                request.destroy()
              })
              response.on("end", () => resume(answered(answeredWith, response.headers, chunks, options.maxBodyBytes)))
              // An answer that is cut off ends in one of these events.
              response.on("error", fail)
              response.on("close", () => fail(undefined))
            })
            request.on("error", fail)
            request.on("close", () => fail(undefined))
            return Effect.sync(() => request.destroy())
          } catch (cause) {
            fail(cause)
            return undefined
          }
        })
    }
  )
