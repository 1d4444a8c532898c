/**
 * The only way out. Every request that carries a credential goes through here, and here only to the hosts its auth config declares:
 * nothing private or link-local, no redirect followed, no unbounded body read, no unbounded wait.
 *
 * It also turns what happened on the wire into an {@link Observation}, and that is a safety question too: "not sent" is claimed only
 * when the connection was provably never made.
 *
 * @module
 */
import { Context, Duration, Effect, Layer } from "effect"
import { HttpClient } from "effect/http"
import { lookup } from "node:dns/promises"
import { BlockList, isIP } from "node:net"
import { overHttpClient, overUndici, type Transport } from "./transport.ts"
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
  /** Over any client. Names are resolved and checked before each request. */
  static readonly layer = (options: EgressOptions = {}): Layer.Layer<Egress, never, HttpClient.HttpClient> =>
    Layer.effect(
      Egress,
      Effect.map(HttpClient.HttpClient, (client) =>
        make(options, overHttpClient(client, maxBodyBytes(options)), resolvesInternally)
      )
    )

  /**
   * Over Node's undici with kept-alive connections. Names are checked while connecting, so that a name which resolves differently the
   * second time (DNS rebinding) gains nothing.
   */
  static readonly layerNode = (options: EgressOptions = {}): Layer.Layer<Egress> =>
    Layer.effect(
      Egress,
      Effect.map(
        overUndici({
          maxBodyBytes: maxBodyBytes(options),
          connectTimeout: Duration.times(timeoutOf(options), 0.5),
          mayBeInternal: (host) => allows(options, host),
          refuses: isInternalAddress
        }),
        (transport) => make(options, transport)
      )
    )
}

// RFC 6890 and its registry: addresses that are not the public internet.
const internal = new BlockList()
for (const [network, prefix] of [
  ["0.0.0.0", 8],
  ["10.0.0.0", 8],
  ["100.64.0.0", 10],
  ["127.0.0.0", 8],
  ["169.254.0.0", 16],
  ["172.16.0.0", 12],
  ["192.0.0.0", 24],
  ["192.0.2.0", 24],
  ["192.168.0.0", 16],
  ["198.18.0.0", 15],
  ["198.51.100.0", 24],
  ["203.0.113.0", 24],
  ["224.0.0.0", 4],
  ["240.0.0.0", 4]
] as const) {
  internal.addSubnet(network, prefix, "ipv4")
  // RFC 6052: how a network without IPv4 reaches such an address. The public ones it reaches so are public.
  internal.addSubnet(`64:ff9b::${network}`, 96 + prefix, "ipv6")
}
for (const [network, prefix] of [
  ["::", 96],
  ["::ffff:0:0:0", 96],
  ["64:ff9b:1::", 48],
  ["100::", 64],
  ["2001::", 32],
  ["2001:db8::", 32],
  ["2002::", 16],
  ["fc00::", 7],
  ["fe80::", 10],
  ["fec0::", 10],
  ["ff00::", 8]
] as const)
  internal.addSubnet(network, prefix, "ipv6")

/** Whether an address (not a name) belongs to a private, loopback, link-local or otherwise special network. */
export const isInternalAddress = (address: string): boolean => {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1]
  const plain = mapped ?? address
  return internal.check(plain, isIP(plain) === 6 ? "ipv6" : "ipv4")
}

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
      const sent = limited(transport({ url, method, headers: lowerCased(headers), body }), timeout, () =>
        Effect.succeed<Observation>({ _tag: "NoAnswer", reason: "timeout" })
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
