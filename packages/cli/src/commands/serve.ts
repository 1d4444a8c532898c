/**
 * `rekindle serve`: the service, until it is asked to stop.
 *
 * The first signal (SIGTERM, SIGINT) stops it gracefully, and it exits with 0. A second one ends the process at once.
 *
 * @module
 */
import { Console, Context, Effect, Layer, Option, Redacted, References, Stdio } from "effect"
import { Command, GlobalFlag } from "effect/cli"
import type { HttpServerError } from "effect/http"
import { CommandFailed } from "./failure.ts"
import * as Setting from "../settings/Setting.ts"
import * as Settings from "../settings/settings.ts"
import * as Server from "../server/Server.ts"
import * as Telemetry from "../server/telemetry.ts"

/** Waits for the first signal. */
const stopRequested = Effect.callback<string>((resume) => {
  const stop = (signal: string) => resume(Effect.succeed(signal))
  process.once("SIGTERM", stop).once("SIGINT", stop)
  return Effect.sync(() => void process.off("SIGTERM", stop).off("SIGINT", stop))
})

/** Whoever reads the log may end. The service goes on. */
const withoutReader = Effect.sync(() => void process.stdout.removeAllListeners("error").on("error", () => {}))

/** What a person reads on the terminal. */
const greeting = ({ address, adminKey, database, keyRing, publicUrl }: Server.Service["Service"]): string => {
  const key = adminKey === undefined ? "<your API key>" : Redacted.value(adminKey)
  const lines = [
    `Rekindle listens on ${address}`,
    "",
    `  database    ${database}`,
    keyRing.file === undefined
      ? "  key ring    REKINDLE_KEYS"
      : `  key ring    ${keyRing.file}${keyRing.isNew ? " (made now, readable by you alone)" : ""}`,
    ...(keyRing.isNew
      ? ["              Back it up, apart from the database: without it no credential can be read."]
      : []),
    ...(publicUrl === address ? [] : [`  public URL  ${publicUrl}`]),
    ...(adminKey === undefined ? [] : [`  admin key   ${key} (shown this once)`]),
    "",
    "Next:",
    "",
    `  curl -H "x-api-key: ${key}" ${address}/api/v3/connected_accounts`,
    ""
  ]
  return lines.join("\n")
}

/** Says that it listens: in words on a terminal, and as a line of the log elsewhere. A new admin key never goes to the log. */
const announce = Effect.fnUntraced(function* (service: Server.Service["Service"]) {
  if (yield* Stdio.Stdio.use(({ stdoutIsTerminal }) => stdoutIsTerminal)) return yield* Console.log(greeting(service))
  const { address, adminKey, database, keyRing, publicUrl } = service
  const keys = keyRing.file ?? "REKINDLE_KEYS"
  if (keyRing.isNew)
    yield* Effect.logWarning("the key file is new; back it up, because without it no credential can be read", { keys })
  if (adminKey !== undefined) {
    yield* Effect.logInfo("the first admin key is made; standard error has it, this once")
    yield* Console.error(`admin key, shown this once: ${Redacted.value(adminKey)}`)
  }
  yield* Effect.logInfo("listening", { address, publicUrl, database, keyRing: keys })
})

const listenFaults: Readonly<Record<string, readonly [fault: string, fix: string]>> = {
  EADDRINUSE: ["is in use", "stop what listens there, or take another with --port"],
  EACCES: ["is not for this user", "take a port above 1023 with --port"],
  EADDRNOTAVAIL: ["is on no address of this machine", "correct --host"],
  ENOTFOUND: ["is on no address of this machine", "correct --host"]
}

/** Says why the server cannot listen. Other errors say it themselves. */
const explainListening = (error: HttpServerError.ServeError, { host, port }: Server.ServerSettings) => {
  const code = error.cause instanceof Error && "code" in error.cause ? String(error.cause.code) : ""
  const [fault, fix] = listenFaults[code] ?? [`cannot be used: ${code}`, "correct --host and --port"]
  return new CommandFailed({ message: `port ${port} of ${host} ${fault}`, fix })
}

const flags = Setting.flags(Settings.serve)

export const serve = Command.make("serve", { config: Setting.configFlag, ...flags }, ({ config, ...given }) =>
  Effect.gen(function* () {
    const builtIn = Option.map(yield* GlobalFlag.LogLevel, (level) => level.toLowerCase())
    const wanted = { ...Settings.serve, logLevel: Settings.logLevel }
    const settings = yield* Setting.read(Settings.all, wanted, { ...given, logLevel: builtIn }, config)
    const run = Effect.scoped(
      Effect.gen(function* () {
        const services = yield* Effect.catchTag(Layer.build(Server.layer(settings)), "ServeError", (error) =>
          Effect.fail(explainListening(error, settings))
        )
        yield* announce(Context.get(services, Server.Service))
        const signal = yield* stopRequested
        yield* Effect.logInfo("stopping", { signal })
      })
    )
    yield* withoutReader
    yield* Effect.andThen(run, Effect.logInfo("stopped")).pipe(
      Effect.provide(Layer.provideMerge(Telemetry.otlp(settings.otlpEndpoint), Telemetry.logs(settings.logFormat))),
      Effect.provideService(References.MinimumLogLevel, settings.logLevel)
    )
  })
).pipe(
  Command.withDescription("Serves connected accounts over HTTP, and keeps their credentials alive"),
  Command.withExamples([
    { command: "rekindle serve", description: "On a SQLite file in this directory" },
    {
      command: "rekindle serve --database postgres://rekindle@db/rekindle --public-url https://rekindle.example.com",
      description: "One of several processes on Postgres"
    }
  ])
)
