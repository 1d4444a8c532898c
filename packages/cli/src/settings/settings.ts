/**
 * All settings of the commands. `docs/serve.md` lists them.
 *
 * @module
 */
import { Duration, type LogLevel, Option, Redacted, Result, Schema } from "effect"
import { IpNetwork, NetAddress } from "effect/net"
import * as Setting from "./Setting.ts"

const nonEmpty = Schema.decodeOption(Schema.NonEmptyString)

const number = (minimum: number, maximum: number) =>
  Schema.decodeOption(Schema.FiniteFromString.check(Schema.isInt(), Schema.isBetween({ minimum, maximum })))

const boolean = (word: string): Option.Option<boolean> =>
  word === "true" ? Option.some(true) : word === "false" ? Option.some(false) : Option.none()

const list = (words: string): Option.Option<ReadonlyArray<string>> =>
  Option.some(words.split(",").flatMap((word) => word.trim() || []))

/** An address stands for the network that has no other. */
const networks = (words: string): Option.Option<ReadonlyArray<IpNetwork.IpNetwork>> =>
  Option.flatMap(list(words), (words) =>
    Result.getSuccess(
      Result.all(
        words.map((word) =>
          word.includes("/")
            ? IpNetwork.fromString(word)
            : Result.map(NetAddress.ipFromString(word), (ip) => IpNetwork.makeUnsafe(ip, NetAddress.width(ip)))
        )
      )
    )
  )

/** An absolute http(s) URL without a query. It keeps no slash at its end. */
const baseUrl = (address: string): Option.Option<string> => {
  const url = URL.parse(address)
  const isBase =
    url !== null && /^https?:$/.test(url.protocol) && url.search === "" && url.hash === "" && url.username === ""
  return isBase ? Option.some(url.href.replace(/\/+$/, "")) : Option.none()
}

/** Where accounts are stored. */
export type DatabasePlace =
  | { readonly _tag: "Sqlite"; readonly file: string }
  | { readonly _tag: "Postgres"; readonly url: Redacted.Redacted }

const databasePlace = (address: string): Option.Option<DatabasePlace> =>
  /^postgres(?:ql)?:\/\//.test(address)
    ? Option.some({ _tag: "Postgres", url: Redacted.make(address) })
    : address === "" || address.includes("://")
      ? Option.none()
      : Option.some({ _tag: "Sqlite", file: address })

/** The settings of a database and its key ring, for every command that opens one. */
export const database = {
  database: Setting.make<DatabasePlace>({
    name: "database",
    form: "a SQLite file, or postgres://user:password@host/name",
    description: "The database. A file is created if it is missing. Give a password by the variable or the file.",
    fallback: { _tag: "Sqlite", file: "rekindle.db" },
    fallbackText: "rekindle.db",
    decode: databasePlace
  }),
  keyFile: Setting.make<string | undefined>({
    name: "key-file",
    form: "a file",
    description:
      "The key ring, one id:key a line, the newest first. It is not read if REKINDLE_KEYS has the ring. The first start makes it, with mode 0600.",
    fallback: undefined,
    fallbackText: "rekindle.keys beside the SQLite file; with Postgres, in the current directory",
    decode: nonEmpty
  }),
  journal: Setting.make<string | undefined>({
    name: "journal",
    form: "a directory",
    description:
      "Where answers of providers are written before they are committed. It has to be on a disk that outlives the process. Processes of one machine may share it.",
    fallback: undefined,
    fallbackText: "the SQLite file's name with .journal; with Postgres, rekindle.journal in the current directory",
    decode: nonEmpty
  }),
  databaseConnections: Setting.make({
    name: "database-connections",
    form: "a number from 1 to 1000",
    description: "How many connections this process opens to Postgres at most.",
    fallback: 10,
    fallbackText: "10",
    decode: number(1, 1000)
  })
}

/** The settings of `rekindle serve`. */
export const serve = {
  ...database,
  host: Setting.make({
    name: "host",
    form: "an address or name of this machine",
    description: "Where to listen. 0.0.0.0 is every address of the machine; put TLS in front of it.",
    fallback: "127.0.0.1",
    fallbackText: "127.0.0.1",
    decode: nonEmpty
  }),
  port: Setting.make({
    name: "port",
    form: "a port from 0 to 65535",
    description: "The port to listen on. 0 takes a free one.",
    fallback: 8080,
    fallbackText: "8080",
    decode: number(0, 65_535)
  }),
  publicUrl: Setting.make<string | undefined>({
    name: "public-url",
    form: "an http(s) URL without a query",
    description:
      "The address of this service for browsers and providers, as the proxy in front of it has it. Register <public-url>/api/v3/callback with each provider.",
    fallback: undefined,
    fallbackText: "the address where it listens",
    decode: baseUrl
  }),
  applicationName: Setting.make<string | undefined>({
    name: "application-name",
    form: "a name for people",
    description: "The name of the application on the pages on which people connect their accounts.",
    fallback: undefined,
    fallbackText: "the host that a person returns to",
    decode: nonEmpty
  }),
  privateHosts: Setting.make<ReadonlyArray<string>>({
    name: "private-hosts",
    form: "hosts with a comma between them; * is every host",
    description:
      "Hosts of providers that may have a private address or plain http. Every other request to one is refused.",
    fallback: [],
    fallbackText: "none",
    decode: list
  }),
  trustedProxies: Setting.make<ReadonlyArray<IpNetwork.IpNetwork>>({
    name: "trusted-proxies",
    form: "networks or addresses with a comma between them",
    description:
      "The proxies in front of this service. The address of a caller, for throttles and logs, is read from X-Forwarded-For only of requests that come from one of these.",
    fallback: [],
    fallbackText: "none",
    decode: networks
  }),
  webhookPrivateHosts: Setting.make<ReadonlyArray<string>>({
    name: "webhook-private-hosts",
    form: "hosts with a comma between them; * is every host",
    description:
      "Hosts of webhook receivers that may have a private address or plain http. Whoever may subscribe can send requests to them.",
    fallback: [],
    fallbackText: "none",
    decode: list
  }),
  renewer: Setting.make({
    name: "renewer",
    form: "true or false",
    description: "Whether this process renews due credentials in the background. At least one process has to.",
    fallback: true,
    fallbackText: "true",
    decode: boolean
  }),
  renewals: Setting.make({
    name: "renewals",
    form: "a number from 1 to 10000",
    description: "How many credentials this process renews at the same time, in the background.",
    fallback: 32,
    fallbackText: "32",
    decode: number(1, 10_000)
  }),
  docs: Setting.make({
    name: "docs",
    form: "true or false",
    description: "Whether /docs and /openapi.json are served. They need no API key.",
    fallback: true,
    fallbackText: "true",
    decode: boolean
  }),
  metrics: Setting.make({
    name: "metrics",
    form: "true or false",
    description:
      "Whether /metrics is served. It needs no API key: keep it from strangers in the proxy, or switch it off.",
    fallback: true,
    fallbackText: "true",
    decode: boolean
  }),
  otlpEndpoint: Setting.make<string | undefined>({
    name: "otlp-endpoint",
    variable: "OTEL_EXPORTER_OTLP_ENDPOINT",
    form: "an http(s) URL without a query",
    description:
      "The OpenTelemetry collector that gets logs, metrics and traces as JSON over HTTP. The other OTEL_… variables of the standard are obeyed too.",
    fallback: undefined,
    fallbackText: "none, and nothing is exported",
    decode: baseUrl
  }),
  logFormat: Setting.make<"auto" | "pretty" | "json" | "logfmt">({
    name: "log-format",
    form: "auto, pretty, json or logfmt",
    description: "The form of the log on the standard output. auto is pretty on a terminal and json elsewhere.",
    fallback: "auto",
    fallbackText: "auto",
    decode: Schema.decodeUnknownOption(Schema.Literals(["auto", "pretty", "json", "logfmt"]))
  }),
  shutdownTimeout: Setting.make({
    name: "shutdown-timeout",
    form: 'a duration, such as "20 seconds"',
    description:
      "How long a stop waits for requests in flight. Renewals in flight end within their own limits. A second signal stops at once.",
    fallback: Duration.seconds(20),
    fallbackText: "20 seconds",
    decode: Schema.decodeOption(Schema.DurationFromString)
  })
}

/** The private hosts of an egress, and the setting that its refusals name. */
export const privateHosts = (
  setting: "privateHosts" | "webhookPrivateHosts",
  hosts: ReadonlyArray<string> | undefined
) => ({ privateHosts: hosts, privateHostsSetting: Setting.placeInFile(serve[setting]) })

const levels = {
  trace: "Trace",
  debug: "Debug",
  info: "Info",
  warn: "Warn",
  error: "Error",
  fatal: "Fatal",
  none: "None"
} as const

/** The level of the log. `effect/cli` defines the flag for every command. */
export const logLevel = Setting.make<LogLevel.LogLevel>({
  name: "log-level",
  form: Object.keys(levels).join(", "),
  description: "The least severe lines that are logged.",
  fallback: "Info",
  fallbackText: "info",
  decode: (word) => Option.fromUndefinedOr(Object.entries(levels).find(([name]) => name === word)?.[1])
})

/** All settings that the file may have. */
export const all: ReadonlyArray<Setting.Setting<unknown>> = [...Object.values(serve), logLevel]
