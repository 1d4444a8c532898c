/**
 * Sends every request that carries a credential, and only to the hosts that the auth config declares. It reaches no private or link-local
 * address, follows no redirect, and bounds the size of the answer and the time.
 *
 * It reports what happened as an {@link Observation}. It says "not sent" only if the connection was provably never made, because a request
 * that was not sent may be sent again.
 *
 * @module
 */
import { type Cause, Context, Duration, Effect, Layer, type Scope } from "effect"
import { HttpClient } from "effect/http"
import { lookup } from "node:dns/promises"
import { isIP } from "node:net"
import { isInternalAddress, unbracketed } from "./addresses.ts"
import { environment } from "./environment.ts"
import { overHttpClient } from "./httpClient.ts"
import { overNodeHttp } from "./nodeHttp.ts"
import { failure, plainHttp, privateAddress, type Transport, type TransportOptions } from "./transport.ts"
import { overUndici } from "./undici.ts"
import { Passage } from "./Passage.ts"
import { makeTimeLimit } from "./timeLimit.ts"
import { noAnswer, notSent, type Observation, refused } from "../answer/Verdict.ts"

/** One outbound request, as a strategy makes it. */
export interface EgressRequest {
  readonly url: string | URL
  readonly method?: string | undefined
  readonly headers?: Readonly<Record<string, string>> | undefined
  readonly body?: string | undefined
}

/** Which hosts may be private, and the limits of a request. */
export interface EgressOptions {
  /**
   * Hosts that may be private or loopback, and be reached over plain http: for tests and in-house providers. A port other than the scheme's
   * default belongs to the host. `*` allows every host.
   */
  readonly privateHosts?: ReadonlyArray<string> | undefined
  /** What the operator of this program sets to change `privateHosts`. A refusal names it. Default `egress.privateHosts`. */
  readonly privateHostsSetting?: string | undefined
  /**
   * The limit of one request, from connecting to the end of its answer. Default 8 seconds. Keep it below the coordinator's `requestTimeout`:
   * the egress can tell whether a request was sent, and the coordinator cannot.
   */
  readonly timeout?: Duration.Input | undefined
  /** The largest body that is read, in bytes. A larger one counts as no answer. Default 1 MiB. */
  readonly maxBodyBytes?: number | undefined
}

export type { Permitted, Transport } from "./transport.ts"

/** Resolves a name to all of its addresses. Fails with the cause, such as an error with the code `ENOTFOUND`. */
export type Lookup = (hostname: string) => Effect.Effect<ReadonlyArray<string>, Cause.UnknownError>

/** Sends requests on behalf of auth configs. */
export class Egress extends Context.Service<
  Egress,
  {
    /** Sends once. Never fails: every outcome is an observation. */
    readonly send: (hosts: ReadonlyArray<string>, request: EgressRequest) => Effect.Effect<Observation>
    /** Why `send` would refuse an address: a code and what to change. Undefined if it would not. */
    readonly refusal: (hosts: ReadonlyArray<string>, url: URL) => string | undefined
    /**
     * Like `refusal`, after resolving the name, for an address that somebody registers. A name that does not resolve is not refused, because
     * a proxy may know it. `send` checks again what the name resolves to then.
     */
    readonly refusalOnceResolved: (hosts: ReadonlyArray<string>, url: URL) => Effect.Effect<string | undefined>
  }
>()("@rekindle/engine/Egress") {
  /**
   * The transport that suits this runtime. All transports obey the same rules.
   *
   * **Gotchas**
   *
   * The proxy and the certificate authorities of the environment are honoured: `HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY`, `SSL_CERT_FILE`,
   * `SSL_CERT_DIR`, `NODE_EXTRA_CA_CERTS`. A proxy resolves names itself, so the addresses behind a name cannot be checked. Declared hosts,
   * https and address literals still are. The machine's own loopback is never reached through a proxy.
   */
  static readonly layer = (options: EgressOptions = {}): Layer.Layer<Egress> =>
    // Bun's undici is a stub.
    "bun" in process.versions ? Egress.layerNodeHttp(options) : Egress.layerUndici(options)

  /** On undici, with keep-alive. */
  static readonly layerUndici = (options: EgressOptions = {}): Layer.Layer<Egress> => overSockets(options, overUndici)

  /** On `node:http`, which Bun and Deno have too. */
  static readonly layerNodeHttp = (options: EgressOptions = {}): Layer.Layer<Egress> =>
    overSockets(options, overNodeHttp)

  /**
   * On any client: a scripted provider in a test, or a platform that has nothing else.
   *
   * **Gotchas**
   *
   * The client resolves names a second time, so a name server that changes its answer leads it to an address that was not checked (DNS
   * rebinding). If it follows redirects, that is only seen afterwards. Whoever registers auth configs can therefore reach everything that this
   * machine can reach. `unpinned: "accepted"` accepts that.
   */
  static readonly layerHttpClient = (
    options: EgressOptions & { readonly unpinned: "accepted" }
  ): Layer.Layer<Egress, never, HttpClient.HttpClient> =>
    Layer.effect(
      Egress,
      Effect.map(HttpClient.HttpClient, (client) =>
        make(options, overHttpClient(client, maxBodyBytes(options)), { lookup: lookupName, checksBeforeSending: true })
      )
    )

  /**
   * On a network of your own, such as a simulated one. The rules about hosts and addresses, and the time limit, are those of every transport.
   */
  static readonly layerTransport = (
    options: EgressOptions,
    network: { readonly transport: Transport; readonly lookup: Lookup }
  ): Layer.Layer<Egress> =>
    Layer.sync(Egress, () => make(options, network.transport, { lookup: network.lookup, checksBeforeSending: true }))
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
        refuses: isInternalAddress,
        setting: settingOf(options)
      })
      return make(options, sockets, { lookup: lookupName, checksBeforeSending: false })
    })
  )

const timeoutOf = (options: EgressOptions): Duration.Duration =>
  Duration.fromInputUnsafe(options.timeout ?? "8 seconds")

const maxBodyBytes = (options: EgressOptions): number => options.maxBodyBytes ?? 1024 * 1024

/** Whether a url is on one of these hosts. Both are parsed, so that case, a default port and an IDN make no difference. */
const isAmong = (hosts: ReadonlyArray<string>, url: URL): boolean =>
  hosts.some((host) => host === url.host || URL.parse(`${url.protocol}//${host}/`)?.href === `${url.origin}/`)

const allows = ({ privateHosts = [] }: EgressOptions, url: URL): boolean =>
  privateHosts.includes("*") || isAmong(privateHosts, url)

const settingOf = (options: EgressOptions): string => options.privateHostsSetting ?? "egress.privateHosts"

const lookupName: Lookup = (hostname) =>
  Effect.map(
    Effect.tryPromise(() => lookup(hostname, { all: true })),
    (addresses) => addresses.map(({ address }) => address)
  )

/** How names are resolved. */
interface Names {
  readonly lookup: Lookup
  /** Whether a name is checked before each request, for a transport that does not check what it connects to. */
  readonly checksBeforeSending: boolean
}

const make = (options: EgressOptions, transport: Transport, names: Names): Egress["Service"] => {
  const timeout = timeoutOf(options)
  const limited = makeTimeLimit()
  const setting = settingOf(options)

  const refusal = (hosts: ReadonlyArray<string>, url: URL): string | undefined => {
    if (url.protocol !== "https:" && url.protocol !== "http:") return "url_malformed: the address is not one of http(s)"
    if (url.username !== "" || url.password !== "") return "url_credentials: the address carries a user or password"
    if (!isAmong(hosts, url)) return `host_not_declared: ${url.host} is not among the hosts of the auth config`
    if (allows(options, url)) return undefined
    if (url.protocol !== "https:") return plainHttp(url.host, setting)
    const address = unbracketed(url.hostname)
    return isIP(address) !== 0 && isInternalAddress(address) ? privateAddress(url.host, setting) : undefined
  }

  /** Why nothing can be sent to a url, by the addresses of its name. Undefined if it can. */
  const faultOfName = (url: URL): Effect.Effect<Observation | undefined> =>
    limited(
      Effect.match(names.lookup(url.hostname), {
        onFailure: ({ cause }) => failure(url, cause, false),
        onSuccess: (addresses) =>
          addresses.some(isInternalAddress) ? refused(privateAddress(url.host, setting)) : undefined
      }),
      timeout,
      () => Effect.succeed(notSent("dns_failed timed_out"))
    )

  /** Whether a name has to be resolved to tell whether its address is internal. */
  const isUnresolved = (url: URL): boolean => !allows(options, url) && isIP(unbracketed(url.hostname)) === 0

  return Egress.of({
    refusal,
    refusalOnceResolved: (hosts, url) => {
      const problem = refusal(hosts, url)
      return problem !== undefined || !isUnresolved(url)
        ? Effect.succeed(problem)
        : Effect.map(faultOfName(url), (seen) => (seen?._tag === "Refused" ? seen.reason : undefined))
    },
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
      return names.checksBeforeSending && isUnresolved(url)
        ? Effect.flatMap(faultOfName(url), (problem) => (problem === undefined ? sent : Effect.succeed(problem)))
        : sent
    }
  })
}

const lowerCased = (headers: Readonly<Record<string, string>>): Record<string, string> =>
  Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]))
