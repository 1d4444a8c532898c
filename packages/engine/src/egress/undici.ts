/**
 * Out over Node's undici, which costs a third of `fetch`. Its dispatcher says when a request begins to leave: what fails before was never
 * sent, whatever its code.
 *
 * @module
 */
import { Agent, buildConnector, type Dispatcher } from "@effect/platform-node/Undici"
import { Duration, Effect, type Scope } from "effect"
import { notSent, type Observation } from "../answer/Verdict.ts"
import {
  answered,
  failure,
  guardedLookup,
  type IncomingHeaders,
  type Transport,
  type TransportOptions
} from "./transport.ts"

/** Over an undici agent of its own, closed with the scope. */
export const overUndici = (options: TransportOptions): Effect.Effect<Transport, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => {
        // Over HTTP/2 undici sends a request again by itself.
        const connection = { timeout: Duration.toMillis(options.connectTimeout), allowH2: false }
        const anywhere = buildConnector(connection)
        const outside = buildConnector({ ...connection, lookup: guardedLookup(options.refuses) })
        return new Agent({
          allowH2: false,
          // The egress limits a request altogether, and lets what has arrived be read first.
          headersTimeout: 0,
          bodyTimeout: 0,
          maxResponseSize: options.maxBodyBytes,
          connect: (target, callback) => {
            const { host = target.hostname, protocol } = target
            const connect = options.mayBeInternal(new URL(`${protocol}//${host}/`)) ? anywhere : outside
            connect(target, callback)
          }
        })
      }),
      (agent) => Effect.promise(() => agent.destroy())
    ),
    (agent): Transport =>
      ({ body, headers, method, refusal, url }) =>
        Effect.callback<Observation>((resume) => {
          const exchange = new Exchange(options.maxBodyBytes, refusal, resume)
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

/** One request and its answer, collected as undici reports it: the bodies are small, and a stream for each costs more than the request. */
class Exchange implements Dispatcher.DispatchHandler {
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
    maxBodyBytes: number,
    refusal: () => string | undefined,
    done: (observation: Effect.Effect<Observation>) => void
  ) {
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
    this.#done(Effect.succeed(failure(cause, this.#controller !== undefined)))
  }
}
