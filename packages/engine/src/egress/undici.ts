/**
 * Out over Node's undici, which costs a third of `fetch`. Its dispatcher says when a request begins to leave: what fails before was never
 * sent, whatever its code.
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

/** Over an undici agent of its own, closed with the scope. */
export const overUndici = (options: TransportOptions): Effect.Effect<Transport, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => {
        // Over HTTP/2 undici sends a request again by itself.
        const timeout = Duration.toMillis(options.connectTimeout)
        const { proxyFor, trust } = options
        const connectors = (trusting: { readonly secureContext?: SecureContext }) => {
          const connection = { timeout, allowH2: false, ...trusting }
          return {
            anywhere: buildConnector(connection),
            outside: buildConnector({ ...connection, lookup: guardedLookup(options.refuses) })
          }
        }
        const plain = connectors({})
        const secure = lazily(() => connectors(trust === undefined ? {} : { secureContext: trust() }))
        return new Agent({
          allowH2: false,
          // The egress limits a request altogether, and lets what has arrived be read first.
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

/** The certificates of a whole machine take a while to read, and nothing may ever need them. */
const lazily = <A>(make: () => A): (() => A) => {
  let made: A | undefined
  return () => (made ??= make())
}

/** One request and its answer, collected as undici reports it: the bodies are small, and a stream for each costs more than the request. */
class Exchange implements Dispatcher.DispatchHandler {
  readonly #url: URL
  readonly #maxBodyBytes: number
  readonly #refusal: () => string | undefined
  readonly #done: (observation: Effect.Effect<Observation>) => void
  /** Undefined until the request begins to leave. */
  #controller: Dispatcher.DispatchController | undefined
  #abandoned = false
  #status = 0
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

  /** Closes the connection of a request nobody waits for any more: HTTP/1.1 has no other way to take one back. */
  abandon(): void {
    this.#abandoned = true
    this.#controller?.abort(new Error("abandoned"))
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    const refused = this.#abandoned ? "abandoned" : this.#refusal()
    if (refused !== undefined) {
      // Aborted here it is not written. Connecting may have taken long, and its sender may have changed its mind.
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
    this.#done(answered(this.#status, this.#headers, this.#chunks, this.#maxBodyBytes))
  }

  onResponseError(_: unknown, cause: unknown): void {
    this.#done(Effect.succeed(failure(this.#url, cause, this.#controller !== undefined)))
  }
}
