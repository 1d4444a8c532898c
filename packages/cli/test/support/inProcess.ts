/**
 * The service of `rekindle serve` in the process of the test, on a SQLite file and a free port.
 *
 * @module
 */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { ConfigProvider, Context, Duration, Effect, Layer, Redacted, References } from "effect"
import { IpNetwork } from "effect/net"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Server from "#cli/server/Server.ts"
import { runRekindle, type Surroundings } from "./commandLine.ts"

const env = { REKINDLE_KEYS: "k1:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=" }

/** Starts the service, which makes its admin key. It stops with the scope. */
export const start = Effect.fnUntraced(function* (trustedProxies: ReadonlyArray<string> = []) {
  const directory = yield* Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "rekindle-service-"))),
    (directory) => Effect.sync(() => rmSync(directory, { recursive: true }))
  )
  const file = join(directory, "rekindle.db")
  const settings: Server.ServerSettings = {
    database: { _tag: "Sqlite", file },
    keyFile: undefined,
    journal: undefined,
    databaseConnections: 1,
    host: "127.0.0.1",
    port: 0,
    publicUrl: undefined,
    applicationName: undefined,
    privateHosts: [],
    trustedProxies: trustedProxies.map(IpNetwork.fromStringUnsafe),
    webhookPrivateHosts: [],
    renewer: false,
    renewals: 1,
    docs: false,
    metrics: false,
    otlpEndpoint: undefined,
    logFormat: "auto",
    shutdownTimeout: Duration.millis(100)
  }
  const built = yield* Layer.build(Server.layer(settings)).pipe(
    Effect.provide(NodeServices.layer),
    Effect.provideService(ConfigProvider.ConfigProvider, ConfigProvider.fromUnknown(env)),
    // A line for each request would hide what a test says.
    Effect.provideService(References.MinimumLogLevel, "Error"),
    Effect.orDie
  )
  const { address, adminKey = Redacted.make("") } = Context.get(built, Server.Service)
  const surroundings = { HOME: directory, ...env }
  return {
    address,
    file,
    adminKey: Redacted.value(adminKey),
    /** Runs `rekindle` on the database. */
    onDatabase: (args: ReadonlyArray<string>, given: Surroundings = {}) =>
      runRekindle(args, { ...given, env: { ...surroundings, REKINDLE_DATABASE: file } }),
    /** Runs `rekindle` on the server with a key. */
    onServer: (key: string, args: ReadonlyArray<string>, given: Surroundings = {}) =>
      runRekindle(args, { ...given, env: { ...surroundings, REKINDLE_BASE_URL: address, REKINDLE_API_KEY: key } }),
    /** One request. */
    call: (key: string, path: string, init: RequestInit = {}) =>
      Effect.promise(async () => {
        const response = await fetch(address + path, {
          ...init,
          headers: { "x-api-key": key, "content-type": "application/json", ...init.headers }
        })
        return { status: response.status, headers: response.headers, body: JSON.parse(await response.text()) }
      })
  }
})
