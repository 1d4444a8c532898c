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
import { environment } from "./environment.ts"
import { overHttpClient } from "./httpClient.ts"
import { overNodeHttp } from "./nodeHttp.ts"
import { failure, privateAddress, type Transport, type TransportOptions } from "./transport.ts"
import { overUndici } from "./undici.ts"
import { Passage } from "./Passage.ts"
import { makeTimeLimit } from "./timeLimit.ts"
import { noAnswer, notSent, type Observation, refused } from "../answer/Verdict.ts"

/** One outbound request, as strategies build it. */
export interface EgressRequest {
  readonly url: string | URL
  readonly method?: string | undefined
  readonly headers?: Readonly<Record<string, string>> | undefined
  readonly body?: string | undefined
}

/** What the outside may be, and how long it may take. */
export interface EgressOptions {
  /** Hosts (with port, if not the scheme's own) that may be private or loopback, and plain http: for tests and in-house providers. `*` allows them all. */
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
    /** Why `send` would refuse an address, for whoever wants to know before: a code and what to change. Undefined: it would not. */
    readonly refusal: (hosts: ReadonlyArray<string>, url: URL) => string | undefined
    /** Whether an address may be private, and asked over plain http. */
    readonly isPrivateAllowed: (url: URL) => boolean
  }
>()("@rekindle/engine/Egress") {
  /**
   * The best way out that this runtime has. All keep the same rules.
   *
   * **Gotchas**
   *
   * The proxy and the certificate authorities of the environment are honoured: `HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY`, `SSL_CERT_FILE`,
   * `SSL_CERT_DIR`, `NODE_EXTRA_CA_CERTS`. A proxy resolves names by itself, so behind one the addresses they lead to cannot be checked:
   * declared hosts, https and address literals still are. The machine's own loopback is never asked through a proxy.
   */
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
    Effect.gen(function* () {
      const sockets = yield* transport({
        ...(yield* environment),
        maxBodyBytes: maxBodyBytes(options),
        connectTimeout: Duration.times(timeoutOf(options), 0.5),
        mayBeInternal: (url) => allows(options, url),
        refuses: isInternalAddress
      })
      return make(options, sockets)
    })
  )

const timeoutOf = (options: EgressOptions): Duration.Duration =>
  Duration.fromInputUnsafe(options.timeout ?? "8 seconds")

const maxBodyBytes = (options: EgressOptions): number => options.maxBodyBytes ?? 1024 * 1024

/** Whether a url is on one of these hosts. Both are taken apart the same way, so that case, a default port or an IDN make no difference. */
const isAmong = (hosts: ReadonlyArray<string>, url: URL): boolean =>
  hosts.some((host) => host === url.host || URL.parse(`${url.protocol}//${host}/`)?.href === `${url.origin}/`)

const allows = ({ privateHosts = [] }: EgressOptions, url: URL): boolean =>
  privateHosts.includes("*") || isAmong(privateHosts, url)

// The address literal without the brackets of IPv6.
const literal = (url: URL): string => url.hostname.replace(/^\[(.*)\]$/, "$1")

const resolvesInternally = (url: URL): Effect.Effect<Observation | undefined> =>
  Effect.match(
    Effect.tryPromise(() => lookup(url.hostname, { all: true })),
    {
      onFailure: ({ cause }) => failure(url, cause, false),
      onSuccess: (addresses) =>
        addresses.some(({ address }) => isInternalAddress(address)) ? refused(privateAddress(url.host)) : undefined
    }
  )

/** @param resolve checks what a name resolves to, where the transport does not do so by itself. */
const make = (
  options: EgressOptions,
  transport: Transport,
  resolve?: (url: URL) => Effect.Effect<Observation | undefined>
): Egress["Service"] => {
  const timeout = timeoutOf(options)
  const limited = makeTimeLimit()

  const refusal = (hosts: ReadonlyArray<string>, url: URL): string | undefined => {
    if (url.protocol !== "https:" && url.protocol !== "http:") return "url_malformed: the address is not one of http(s)"
    if (url.username !== "" || url.password !== "") return "url_credentials: the address carries a user or password"
    if (!isAmong(hosts, url)) return `host_not_declared: ${url.host} is not among the hosts of the auth config`
    if (allows(options, url)) return undefined
    if (url.protocol !== "https:")
      return `plain_http: ${url.host} is asked over plain http; egress.privateHosts can allow it`
    const address = literal(url)
    return isIP(address) !== 0 && isInternalAddress(address) ? privateAddress(url.host) : undefined
  }

  return Egress.of({
    refusal,
    isPrivateAllowed: (url) => allows(options, url),
    send: (hosts, { body, headers = {}, method = "GET", url: address }) => {
      const url = typeof address === "string" ? URL.parse(address) : address
      const problem = url === null ? "url_malformed: the address is not an absolute url" : refusal(hosts, url)
      if (url === null || problem !== undefined) return Effect.succeed(refused(problem ?? ""))
      const sent = Effect.flatMap(Passage, ({ refusal, takeOver }) =>
        limited(
          transport({ url, method, headers: lowerCased(headers), body, refusal }),
          timeout,
          () => Effect.succeed(noAnswer("timed_out")),
          takeOver
        )
      )
      return resolve === undefined || allows(options, url) || isIP(literal(url)) !== 0
        ? sent
        : Effect.flatMap(
            limited(resolve(url), timeout, () => Effect.succeed(notSent("dns_failed timed_out"))),
            (problem) => (problem === undefined ? sent : Effect.succeed(problem))
          )
    }
  })
}

const lowerCased = (headers: Readonly<Record<string, string>>): Record<string, string> =>
  Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]))
