/**
 * What the machine says about the way out, as every program on it is told: the proxy to go through (`HTTPS_PROXY`, `HTTP_PROXY`,
 * `NO_PROXY`, in either case) and the certificate authorities to trust besides the runtime's own (`SSL_CERT_FILE`, `SSL_CERT_DIR`,
 * `NODE_EXTRA_CA_CERTS`).
 *
 * @module
 */
import { Config, Effect, Option } from "effect"
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { createSecureContext, getCACertificates, type SecureContext } from "node:tls"
import { isWithin } from "./addresses.ts"

/** The way out of this machine. */
export interface Environment {
  /** The proxy for a url; undefined: straight. */
  readonly proxyFor: (url: URL) => URL | undefined
  /** Trusts the given authorities besides the runtime's own. Undefined: none are given. */
  readonly trust: (() => SecureContext) | undefined
}

const read = (name: string): Effect.Effect<string> =>
  Effect.map(Effect.option(Config.String(name)), (found) => Option.getOrElse(found, () => "").trim())

/** As curl does: the name in lower case first. */
const readEither = (name: string): Effect.Effect<string> =>
  Effect.flatMap(read(name.toLowerCase()), (found) => (found === "" ? read(name) : Effect.succeed(found)))

const readProxy = Effect.fnUntraced(function* (name: string) {
  const text = yield* readEither(name)
  if (text === "") return undefined
  const url = URL.parse(/^[a-z][a-z\d+.-]*:\/\//i.test(text) ? text : `http://${text}`)
  // Its text may hold a password.
  return url !== null && /^https?:$/.test(url.protocol)
    ? url
    : yield* Effect.die(new Error(`${name} is not the address of an http(s) proxy`))
})

const hostOf = (url: URL): string => url.hostname.replace(/^\[(.*)\]$/, "$1")

/** Whether an entry of `NO_PROXY` is about a url: `*`, a network, or a name with those below it, each perhaps with a port. */
const concerns = (entry: string, url: URL): boolean => {
  const host = hostOf(url)
  const withPort = /^(\[.*\]|[^:]*):(\d+)$/.exec(entry)
  const port = url.port === "" ? (url.protocol === "https:" ? "443" : "80") : url.port
  if (withPort?.[2] !== undefined && withPort[2] !== port) return false
  const name = (withPort?.[1] ?? entry).replace(/^\[(.*)\]$/, "$1").replace(/^\*?\./, "")
  return name === "*" || name === host || host.endsWith(`.${name}`) || isWithin(name, host)
}

/** A proxy's own loopback is nobody's business, and ours is not to be reached through it. */
const alwaysStraight = ["localhost", "127.0.0.0/8", "::1"]

/** Certificates in PEM, read once: every egress of a process trusts the same. */
const bundles = new Map<string, ReadonlyArray<string>>()

const certificatesIn = (text: string): ReadonlyArray<string> =>
  text.match(/-----BEGIN (?:TRUSTED )?CERTIFICATE-----[^]+?-----END (?:TRUSTED )?CERTIFICATE-----/g) ?? []

const bundle = (path: string, files: (path: string) => ReadonlyArray<string>): ReadonlyArray<string> => {
  const known = bundles.get(path)
  if (known !== undefined) return known
  const certificates = files(path).flatMap((file) => certificatesIn(readFileSync(file, "utf8")))
  bundles.set(path, certificates)
  return certificates
}

const filesIn = (directories: string): ReadonlyArray<string> =>
  directories.split(":").flatMap((directory) =>
    readdirSync(directory, { withFileTypes: true })
      .filter((entry) => !entry.isDirectory())
      .map(({ name }) => join(directory, name))
  )

const readCertificates = (name: string, files: (path: string) => ReadonlyArray<string>) =>
  Effect.flatMap(read(name), (path) =>
    path === ""
      ? Effect.succeed<ReadonlyArray<string>>([])
      : Effect.try({
          try: () => bundle(path, files),
          catch: (cause) => (cause instanceof Error ? cause.message : "it cannot be read")
        }).pipe(
          Effect.catch((message) =>
            Effect.as(Effect.logWarning(`the certificates that ${name} names cannot be read`, { message }), [])
          )
        )
  )

/** Reads the environment. */
export const environment: Effect.Effect<Environment> = Effect.gen(function* () {
  const proxies = { "https:": yield* readProxy("HTTPS_PROXY"), "http:": yield* readProxy("HTTP_PROXY") }
  const straight = [...alwaysStraight, ...(yield* readEither("NO_PROXY")).toLowerCase().split(/[\s,]+/)].filter(
    (entry) => entry !== ""
  )
  const file = (path: string) => [path]
  const authorities = new Set([
    ...(yield* readCertificates("SSL_CERT_FILE", file)),
    ...(yield* readCertificates("SSL_CERT_DIR", filesIn)),
    ...(yield* readCertificates("NODE_EXTRA_CA_CERTS", file))
  ])
  const proxied = Object.values(proxies).flatMap((proxy) => (proxy === undefined ? [] : [proxy.host]))
  if (proxied.length > 0) {
    yield* Effect.logInfo(
      "requests leave through a proxy, which resolves their names: only declared hosts are held to",
      {
        proxies: [...new Set(proxied)]
      }
    )
  }
  let context: SecureContext | undefined
  return {
    proxyFor: (url) => {
      const proxy = url.protocol === "https:" ? proxies["https:"] : proxies["http:"]
      return proxy === undefined || straight.some((entry) => concerns(entry, url)) ? undefined : proxy
    },
    trust:
      authorities.size === 0
        ? undefined
        : // It takes a while to make, and nothing may ever speak TLS.
          () => (context ??= createSecureContext({ ca: [...getCACertificates("default"), ...authorities] }))
  }
})
