/**
 * The log of the process, and the export to an OpenTelemetry collector.
 *
 * @module
 */
import { ConfigProvider, Effect, Layer, Logger, Stdio } from "effect"

/** The log, on standard output. Spans get its lines too. Other commands log to standard error, beside what they print. */
export const logs = (format: "auto" | "pretty" | "json" | "logfmt"): Layer.Layer<never, never, Stdio.Stdio> =>
  Layer.unwrap(
    Effect.gen(function* () {
      const onTerminal = yield* Stdio.Stdio.use(({ stdoutIsTerminal }) => stdoutIsTerminal)
      const chosen = format === "auto" ? (onTerminal ? "pretty" : "json") : format
      const loggers = { pretty: Logger.consolePretty(), json: Logger.consoleJson, logfmt: Logger.consoleLogFmt }
      return Layer.merge(Logger.layer([loggers[chosen], Logger.tracerLogger]), Layer.succeed(Logger.LogToStderr, false))
    })
  )

/** What the standard has as defaults: everything is exported over OTLP once there is an endpoint. */
const defaults = {
  OTEL_SERVICE_NAME: "rekindle",
  OTEL_TRACES_EXPORTER: "otlp",
  OTEL_METRICS_EXPORTER: "otlp",
  OTEL_LOGS_EXPORTER: "otlp"
}

/** Exports logs, metrics and traces, if there is an endpoint. The exporter is loaded only then. */
export const otlp = (endpoint: string | undefined): Layer.Layer<never> =>
  endpoint === undefined
    ? Layer.empty
    : Layer.unwrap(
        Effect.map(
          Effect.promise(() => import("./otlp.ts")),
          ({ layer }) => layer
        )
      ).pipe(
        Layer.provide(ConfigProvider.layerAdd(ConfigProvider.fromEnvRecord(defaults))),
        Layer.provide(
          ConfigProvider.layerAdd(ConfigProvider.fromEnvRecord({ OTEL_EXPORTER_OTLP_ENDPOINT: endpoint }), {
            asPrimary: true
          })
        )
      )
