/**
 * The transport on undici, at a third of the CPU cost of `fetch`. Its dispatcher reports when it begins to send a request. A failure before
 * that was never sent, whatever its code.
 *
 * @module
 */
import { Agent, buildConnector, type Dispatcher } from "@effect/platform-node/Undici"
import { Duration, Effect, type Scope } from "effect"
import type { SecureContext } from "node:tls"
import { notSent, type Observation } from "../answer/Verdict.ts"
import {
  answered,
  failure,
  guardedLookup,
  type IncomingHeaders,
  type Transport,
  type TransportOptions
} from "./transport.ts"
import { targetOf, tunnel } from "./tunnel.ts"

/** On an undici agent that is closed with the scope. */
export const overUndici = (options: TransportOptions): Effect.Effect<Transport, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => {
        // Over HTTP/2 undici repeats a refused request by itself.
        const timeout = Duration.toMillis(options.connectTimeout)
        const { proxyFor, trust } = options
        const connectors = (trusting: { readonly secureContext?: SecureContext }) => {
          const connection = { timeout, allowH2: false, ...trusting }
          return {
            anywhere: buildConnector(connection),
            outside: buildConnector({ ...connection, lookup: guardedLookup(options) })
          }
        }
        const plain = connectors({})
        const secure = lazily(() => connectors(trust === undefined ? {} : { secureContext: trust() }))
        return new Agent({
          allowH2: false,
          // The egress limits the whole request, and reads what has arrived before it gives up.
          headersTimeout: 0,
          bodyTimeout: 0,
          maxResponseSize: options.maxBodyBytes,
          connect: (target, callback) => {
            const { host = target.hostname, protocol } = target
            const url = new URL(`${protocol}//${host}/`)
            const { anywhere, outside } = protocol === "https:" ? secure() : plain
            const proxy = proxyFor(url)
            if (proxy === undefined) return (options.mayBeInternal(url) ? anywhere : outside)(target, callback)
            tunnel(
              {
                proxy,
                target: targetOf(url),
                timeout,
                secureContext: proxy.protocol === "https:" ? trust?.() : undefined
              },
              (error, socket) => {
                if (error !== null || socket === null) callback(error ?? new Error("no tunnel"), null)
                else if (protocol === "https:") anywhere({ ...target, httpSocket: socket }, callback)
                else callback(null, socket)
              }
            )
          }
        })
      }),
      (agent) => Effect.promise(() => agent.destroy())
    ),
    (agent): Transport =>
      ({ body, headers, method, refusal, url }) =>
        Effect.callback<Observation>((resume) => {
          const exchange = new Exchange(url, options.maxBodyBytes, refusal, resume)
          try {
            agent.dispatch(
              { origin: url.origin, path: url.pathname + url.search, method, headers, body: body ?? null },
              exchange
            )
          } catch (cause) {
            exchange.onResponseError(null, cause)
          }
          return Effect.sync(() => exchange.abandon())
        })
  )

/** Makes a value on first use. Reading all certificates of a machine is slow, and a process may never need them. */
const lazily = <A>(make: () => A): (() => A) => {
  let made: A | undefined
  return () => (made ??= make())
}

/** One request and its answer, collected from undici's callbacks. Bodies are small, and a stream for each would cost more than the request. */
class Exchange implements Dispatcher.DispatchHandler {
  readonly #url: URL
  readonly #maxBodyBytes: number
  readonly #refusal: () => string | undefined
  readonly #done: (observation: Effect.Effect<Observation>) => void
  /** Undefined until undici begins to send the request. */
  #controller: Dispatcher.DispatchController | undefined
  #abandoned = false
  #status: number | undefined
  #headers: IncomingHeaders = {}
  readonly #chunks: Array<Uint8Array> = []

  constructor(
    url: URL,
    maxBodyBytes: number,
    refusal: () => string | undefined,
    done: (observation: Effect.Effect<Observation>) => void
  ) {
    this.#url = url
    this.#maxBodyBytes = maxBodyBytes
    this.#refusal = refusal
    this.#done = done
  }

  /** Closes the connection of a request that nobody awaits. HTTP/1.1 has no other way to cancel one. */
  abandon(): void {
    this.#abandoned = true
    this.#controller?.abort(new Error("abandoned"))
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    const refused = this.#abandoned ? "abandoned" : this.#refusal()
    if (refused !== undefined) {
      // A request that is aborted here is not written.
      this.#done(Effect.succeed(notSent(refused)))
      return controller.abort(new Error(refused))
    }
    this.#controller = controller
  }

  onResponseStart(_: unknown, status: number, headers: IncomingHeaders): void {
    this.#status = status
    this.#headers = headers
  }

  onResponseData(_: unknown, chunk: Uint8Array): void {
    this.#chunks.push(chunk)
  }

  onResponseEnd(): void {
    this.#done(answered(this.#status ?? 0, this.#headers, this.#chunks, this.#maxBodyBytes))
  }

  onResponseError(_: unknown, cause: unknown): void {
    this.#done(Effect.succeed(failure(this.#url, cause, this.#controller !== undefined, this.#status)))
  }
}
