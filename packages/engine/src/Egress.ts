/**
 * The only way out. Every request that carries a credential goes through here, and here only to the hosts its auth config declares:
 * nothing private or link-local, no redirect followed, no unbounded body read, no unbounded wait.
 *
 * It also turns what happened on the wire into an {@link Observation}, and that is a safety question too: "not sent" is claimed only
 * when the connection was provably never made.
 *
 * @module
 */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { Clock, Context, Duration, Effect, Layer, Predicate, Stream } from "effect"
import {
  FetchHttpClient,
  HttpClient,
  type HttpClientError,
  HttpClientRequest,
  type HttpClientResponse,
  HttpMethod
} from "effect/http"
import { lookup as lookupCallback } from "node:dns"
import { lookup } from "node:dns/promises"
import { BlockList, isIP } from "node:net"
import type { Observation } from "./Verdict.ts"

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
  /** How long one request may take altogether. It must stay well below the lease. Default 10 seconds. */
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
    /** The longest that one request takes. */
    readonly timeout: Duration.Duration
  }
>()("@rekindle/engine/Egress") {
  /** Over any client. Names are resolved and checked before each request. */
  static readonly layer = (options: EgressOptions = {}): Layer.Layer<Egress, never, HttpClient.HttpClient> =>
    Layer.effect(Egress, make(options, true))

  /**
   * Over Node's undici with kept-alive connections. Names are checked while connecting, so that a name which resolves differently the
   * second time (DNS rebinding) gains nothing.
   */
  static readonly layerNode = (options: EgressOptions = {}): Layer.Layer<Egress> =>
    Layer.effect(Egress, make(options, false)).pipe(
      Layer.provide(
        NodeHttpClient.layerUndiciOptions({
          maxResponseSize: maxBodyBytes(options),
          connect: {
            lookup: (hostname, lookupOptions, callback) =>
              lookupCallback(hostname, { ...lookupOptions, all: true }, (error, addresses) => {
                const refused =
                  error === null &&
                  !allowsHostname(options, hostname) &&
                  addresses.some(({ address }) => isInternalAddress(address))
                const failure = refused ? new RefusedAddress(`${hostname} resolves to an internal address`) : error
                if (lookupOptions.all === true) callback(failure, addresses)
                else callback(failure, addresses[0]?.address ?? "", addresses[0]?.family)
              })
          }
        })
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
] as const)
  internal.addSubnet(network, prefix, "ipv4")
for (const [network, prefix] of [
  ["::", 128],
  ["::1", 128],
  ["64:ff9b::", 96],
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

const maxBodyBytes = (options: EgressOptions): number => options.maxBodyBytes ?? 1024 * 1024

const allows = (options: EgressOptions, host: string): boolean =>
  options.privateHosts?.some((allowed) => allowed === "*" || allowed === host) === true

const allowsHostname = (options: EgressOptions, hostname: string): boolean =>
  options.privateHosts?.some((allowed) => allowed === "*" || allowed.replace(/:\d+$/, "") === hostname) === true

class RefusedAddress extends Error {
  readonly code = "REFUSED_ADDRESS"
}

// Failures of connecting, before a byte of the request left. Anything not listed may have been sent.
const neverConnected = new Set([
  "REFUSED_ADDRESS",
  "ECONNREFUSED",
  "ENOTFOUND",
  "EAI_AGAIN",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "UND_ERR_CONNECT_TIMEOUT",
  "DEPTH_ZERO_SELF_SIGNED_CERT",
  "SELF_SIGNED_CERT_IN_CHAIN",
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
  "UNABLE_TO_GET_ISSUER_CERT",
  "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  "CERT_HAS_EXPIRED",
  "CERT_NOT_YET_VALID",
  "ERR_TLS_CERT_ALTNAME_INVALID",
  "ERR_SSL_WRONG_VERSION_NUMBER"
])

/** The first code on the chain of causes; fetch wraps its cause, undici does not. */
const codeOf = (error: unknown): string | undefined => {
  for (let cause = error, depth = 0; depth < 5 && Predicate.isObject(cause); depth++) {
    if (Predicate.hasProperty(cause, "code") && Predicate.isString(cause.code)) return cause.code
    // a name with several addresses fails with all of their errors together
    if (cause instanceof AggregateError) return codeOf(cause.errors[0])
    cause = Predicate.hasProperty(cause, "cause") ? cause.cause : undefined
  }
  return undefined
}

const fromFailure = ({ reason }: HttpClientError.HttpClientError): Observation => {
  if (reason._tag === "EncodeError" || reason._tag === "InvalidUrlError") {
    return { _tag: "NotSent", reason: "the request could not be built" }
  }
  const code = codeOf(reason.cause)
  return code !== undefined && neverConnected.has(code)
    ? { _tag: "NotSent", reason: code }
    : { _tag: "NoAnswer", reason: code ?? reason._tag }
}

// The address literal without the brackets of IPv6.
const literal = (url: URL): string => url.hostname.replace(/^\[(.*)\]$/, "$1")

/** @param anyClient whether nothing is known of the client: then names are resolved and bodies counted here, not by undici. */
const make = Effect.fnUntraced(function* (options: EgressOptions, anyClient: boolean) {
  const client = yield* HttpClient.HttpClient
  const timeout = Duration.fromInputUnsafe(options.timeout ?? "10 seconds")
  const limit = maxBodyBytes(options)
  const notSent = (reason: string): Observation => ({ _tag: "NotSent", reason })

  const refusal = (hosts: ReadonlyArray<string>, url: URL | undefined): string | undefined => {
    if (url === undefined) return "the url is malformed"
    if (!hosts.includes(url.host)) return `${url.host} is not a host of this auth config`
    if (allows(options, url.host)) return undefined
    if (url.protocol !== "https:") return "plain http is refused"
    const address = literal(url)
    return isIP(address) !== 0 && isInternalAddress(address) ? `${address} is an internal address` : undefined
  }

  const resolvesInternally = (url: URL) =>
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

  const oversized: Observation = { _tag: "NoAnswer", reason: "the body is too large" }

  const boundedText = (response: HttpClientResponse.HttpClientResponse) => {
    const decoder = new TextDecoder()
    let size = 0
    return response.stream.pipe(
      Stream.takeWhile((chunk) => (size += chunk.length) <= limit),
      Stream.runFold(
        () => "",
        (text, chunk) => text + decoder.decode(chunk, { stream: true })
      ),
      Effect.map((text) => (size > limit ? undefined : text + decoder.decode())),
      Effect.catchIf(
        ({ reason }) => reason._tag === "EmptyBodyError",
        () => Effect.succeed("")
      )
    )
  }

  const exchange = (request: HttpClientRequest.HttpClientRequest) =>
    Effect.gen(function* () {
      const response = yield* client.execute(request)
      const body = yield* anyClient ? boundedText(response) : response.text
      if (body === undefined) return oversized
      return {
        _tag: "Answer",
        status: response.status,
        contentType: response.headers["content-type"],
        retryAfter: response.headers["retry-after"],
        body,
        receivedAt: yield* Clock.currentTimeMillis,
        headers: response.headers
      } satisfies Observation
    }).pipe(
      Effect.provideService(FetchHttpClient.RequestInit, { redirect: "manual" }),
      // Requests carry credentials in bodies and headers: no span is made of them, and the provider gets no trace ids.
      Effect.provideService(HttpClient.TracerDisabledWhen, () => true),
      Effect.provideService(HttpClient.TracerPropagationEnabled, false),
      Effect.catchTag("HttpClientError", (error) => Effect.succeed(fromFailure(error))),
      Effect.timeoutOrElse({
        duration: timeout,
        orElse: () => Effect.succeed<Observation>({ _tag: "NoAnswer", reason: "timeout" })
      })
    )

  return Egress.of({
    timeout,
    isPrivateAllowed: (host) => allows(options, host),
    send: Effect.fnUntraced(function* (hosts, { body, headers = {}, method = "GET", url }) {
      const target = URL.parse(url) ?? undefined
      const refused =
        refusal(hosts, target) ??
        (anyClient && target !== undefined && !allows(options, target.host) && isIP(literal(target)) === 0
          ? yield* resolvesInternally(target)
          : undefined)
      if (refused !== undefined) return notSent(refused)
      if (!HttpMethod.isHttpMethod(method)) return notSent("the method is not one of HTTP")
      const request = HttpClientRequest.make(method)(url, { headers })
      const contentType = Object.entries(headers).find(([name]) => name.toLowerCase() === "content-type")?.[1]
      return yield* exchange(
        body === undefined ? request : HttpClientRequest.bodyText(request, body, contentType ?? "text/plain")
      )
    })
  })
})
