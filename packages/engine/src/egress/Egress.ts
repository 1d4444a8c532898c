/**
 * The only way out. Every request that carries a credential goes through here, and here only to the hosts its auth config declares:
 * nothing private or link-local, no redirect followed, no unbounded body read, no unbounded wait.
 *
 * It also turns what happened on the wire into an {@link Observation}, and that is a safety question too: "not sent" is claimed only
 * when the connection was provably never made.
 *
 * @module
 */
import { Context, Duration, Effect, Layer, type Scope } from "effect"
import { HttpClient } from "effect/http"
import { lookup } from "node:dns/promises"
import { isIP } from "node:net"
import { isInternalAddress } from "./addresses.ts"
import { overHttpClient } from "./httpClient.ts"
import { overNodeHttp } from "./nodeHttp.ts"
import type { Transport, TransportOptions } from "./transport.ts"
import { overUndici } from "./undici.ts"
import { Passage } from "./Passage.ts"
import { makeTimeLimit } from "./timeLimit.ts"
import type { Observation } from "../answer/Verdict.ts"

/** One outbound request, as strategies build it. */
export interface EgressRequest {
  readonly url: string
  readonly method?: string | undefined
  readonly headers?: Readonly<Record<string, string>> | undefined
  readonly body?: string | undefined
}

/** What the outside may be, and how long it may take. */
export interface EgressOptions {
  /** Hosts (with port) that may be private or loopback, and plain http: for tests and in-house providers. `*` allows them all. */
  readonly privateHosts?: ReadonlyArray<string> | undefined
  /**
   * How long one request may take altogether. It must stay below the coordinator's `requestTimeout`, which knows less of
   * what became of the request. Default 8 seconds.
   */
  readonly timeout?: Duration.Input | undefined
  /** The largest body that is read, in bytes. Default 1 MiB. */
  readonly maxBodyBytes?: number | undefined
}

/** Sends requests on behalf of auth configs. */
export class Egress extends Context.Service<
  Egress,
  {
    /** Sends once. Never fails: whatever happened is an observation. */
    readonly send: (hosts: ReadonlyArray<string>, request: EgressRequest) => Effect.Effect<Observation>
    /** Whether plain http to this host is allowed. */
    readonly isPrivateAllowed: (host: string) => boolean
  }
>()("@rekindle/engine/Egress") {
  /** The best way out that this runtime has. All keep the same rules. */
  static readonly layer = (options: EgressOptions = {}): Layer.Layer<Egress> =>
    // Bun has undici in name only.
    "bun" in process.versions ? Egress.layerNodeHttp(options) : Egress.layerUndici(options)

  /** Over undici, with kept-alive connections. */
  static readonly layerUndici = (options: EgressOptions = {}): Layer.Layer<Egress> => overSockets(options, overUndici)

  /** Over `node:http`, which Bun and Deno have as well. */
  static readonly layerNodeHttp = (options: EgressOptions = {}): Layer.Layer<Egress> =>
    overSockets(options, overNodeHttp)

  /**
   * Over any client: a scripted provider in a test, or a platform that has nothing else.
   *
   * **Gotchas**
   *
   * Such a client connects by itself, so a name server that answers differently the second time leads it to an address that was not checked
   * (DNS rebinding); and if it follows redirects, that shows only when it has. Whoever registers auth configs can then reach what this
   * machine can reach. That has to be accepted in so many words.
   */
  static readonly layerHttpClient = (
    options: EgressOptions & { readonly unpinned: "accepted" }
  ): Layer.Layer<Egress, never, HttpClient.HttpClient> =>
    Layer.effect(
      Egress,
      Effect.map(HttpClient.HttpClient, (client) =>
        make(options, overHttpClient(client, maxBodyBytes(options)), resolvesInternally)
      )
    )
}

const overSockets = (
  options: EgressOptions,
  transport: (options: TransportOptions) => Effect.Effect<Transport, never, Scope.Scope>
): Layer.Layer<Egress> =>
  Layer.effect(
    Egress,
    Effect.map(
      transport({
        maxBodyBytes: maxBodyBytes(options),
        connectTimeout: Duration.times(timeoutOf(options), 0.5),
        mayBeInternal: (host) => allows(options, host),
        refuses: isInternalAddress
      }),
      (transport) => make(options, transport)
    )
  )

const timeoutOf = (options: EgressOptions): Duration.Duration =>
  Duration.fromInputUnsafe(options.timeout ?? "8 seconds")

const maxBodyBytes = (options: EgressOptions): number => options.maxBodyBytes ?? 1024 * 1024

const allows = (options: EgressOptions, host: string): boolean =>
  options.privateHosts?.some((allowed) => allowed === "*" || allowed === host) === true

// The address literal without the brackets of IPv6.
const literal = (url: URL): string => url.hostname.replace(/^\[(.*)\]$/, "$1")

const resolvesInternally = (url: URL): Effect.Effect<string | undefined> =>
  Effect.match(
    Effect.tryPromise(() => lookup(url.hostname, { all: true })),
    {
      onFailure: () => "the name does not resolve",
      onSuccess: (addresses) =>
        addresses.some(({ address }) => isInternalAddress(address))
          ? `${url.hostname} resolves to an internal address`
          : undefined
    }
  )

/** @param resolve checks what a name resolves to, where the transport does not do so by itself. */
const make = (
  options: EgressOptions,
  transport: Transport,
  resolve?: (url: URL) => Effect.Effect<string | undefined>
): Egress["Service"] => {
  const timeout = timeoutOf(options)
  const limited = makeTimeLimit()
  const notSent = (reason: string) => Effect.succeed<Observation>({ _tag: "NotSent", reason })

  const refusal = (hosts: ReadonlyArray<string>, url: URL): string | undefined => {
    if (!hosts.includes(url.host)) return `${url.host} is not a host of this auth config`
    if (url.username !== "" || url.password !== "") return "the url carries credentials"
    if (allows(options, url.host)) return undefined
    if (url.protocol !== "https:") return "plain http is refused"
    const address = literal(url)
    return isIP(address) !== 0 && isInternalAddress(address) ? `${address} is an internal address` : undefined
  }

  return Egress.of({
    isPrivateAllowed: (host) => allows(options, host),
    send: (hosts, { body, headers = {}, method = "GET", url: address }) => {
      const url = URL.parse(address)
      if (url === null) return notSent("the url is malformed")
      const refused = refusal(hosts, url)
      if (refused !== undefined) return notSent(refused)
      const sent = Effect.flatMap(Passage, ({ refusal, takeOver }) =>
        limited(
          transport({ url, method, headers: lowerCased(headers), body, refusal }),
          timeout,
          () => Effect.succeed<Observation>({ _tag: "NoAnswer", reason: "timeout" }),
          takeOver
        )
      )
      return resolve === undefined || allows(options, url.host) || isIP(literal(url)) !== 0
        ? sent
        : Effect.flatMap(
            limited(resolve(url), timeout, () => Effect.succeed("the name does not resolve in time")),
            (refused) => (refused === undefined ? sent : notSent(refused))
          )
    }
  })
}

const lowerCased = (headers: Readonly<Record<string, string>>): Record<string, string> =>
  Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]))
