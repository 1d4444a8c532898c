/**
 * Reads the network settings of the machine's environment: the proxy (`HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY`, in upper or lower case) and
 * the certificate authorities to trust besides the runtime's own (`SSL_CERT_FILE`, `SSL_CERT_DIR`, `NODE_EXTRA_CA_CERTS`).
 *
 * @module
 */
import { Config, Effect, Option } from "effect"
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { createSecureContext, getCACertificates, type SecureContext } from "node:tls"
import { isWithin, unbracketed } from "./addresses.ts"
import { portOf } from "./tunnel.ts"

/** The network settings of the environment. */
export interface Environment {
  /** The proxy for a url. Undefined: it is reached directly. */
  readonly proxyFor: (url: URL) => URL | undefined
  /** Makes a context that trusts further authorities besides the runtime's own. Undefined if the environment names none. */
  readonly trust: (() => SecureContext) | undefined
}

const read = (name: string): Effect.Effect<string> =>
  Effect.map(Effect.option(Config.String(name)), (found) => Option.getOrElse(found, () => "").trim())

/** The lower-case name wins, as in curl. */
const readEither = (name: string): Effect.Effect<string> =>
  Effect.flatMap(read(name.toLowerCase()), (found) => (found === "" ? read(name) : Effect.succeed(found)))

const readProxy = Effect.fnUntraced(function* (name: string) {
  const text = yield* readEither(name)
  if (text === "") return undefined
  const url = URL.parse(/^[a-z][a-z\d+.-]*:\/\//i.test(text) ? text : `http://${text}`)
  // The error does not repeat the value, which may hold a password.
  return url !== null && /^https?:$/.test(url.protocol)
    ? url
    : yield* Effect.die(new Error(`${name} is not the address of an http(s) proxy`))
})

/** Whether an entry of `NO_PROXY` matches a url. An entry is `*`, a network, or a name with its subdomains; each may have a port. */
const matches = (entry: string, url: URL): boolean => {
  const host = unbracketed(url.hostname)
  const withPort = /^(\[.*\]|[^:]*):(\d+)$/.exec(entry)
  if (withPort?.[2] !== undefined && withPort[2] !== portOf(url)) return false
  const name = unbracketed(withPort?.[1] ?? entry).replace(/^\*?\./, "")
  return name === "*" || name === host || host.endsWith(`.${name}`) || isWithin(name, host)
}

/** Through a proxy these would be the proxy's own loopback, not this machine's. */
const alwaysDirect = ["localhost", "127.0.0.0/8", "::1"]

/** Certificates in PEM by path. They are read once for all egresses of a process. */
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
  const direct = [...alwaysDirect, ...(yield* readEither("NO_PROXY")).toLowerCase().split(/[\s,]+/)].filter(
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
      "requests go through a proxy, which resolves names itself; the addresses behind names are not checked",
      {
        proxies: [...new Set(proxied)]
      }
    )
  }
  let context: SecureContext | undefined
  return {
    proxyFor: (url) => {
      const proxy = url.protocol === "https:" ? proxies["https:"] : proxies["http:"]
      return proxy === undefined || direct.some((entry) => matches(entry, url)) ? undefined : proxy
    },
    trust:
      authorities.size === 0
        ? undefined
        : // Made on first use: it is slow, and a process may never use TLS.
          () => (context ??= createSecureContext({ ca: [...getCACertificates("default"), ...authorities] }))
  }
})
