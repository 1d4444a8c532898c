/**
 * The exporter to an OpenTelemetry collector, from the `OTEL_…` variables of the standard. A process without a collector does not load it.
 *
 * @module
 */
import { Layer } from "effect"
import { FetchHttpClient } from "effect/http"
import { Otlp, OtlpSerialization } from "effect/observability"

/** Logs, metrics and traces, as JSON over HTTP. Other loggers stay. */
export const layer = Otlp.layerFromConfig().pipe(Layer.provide([OtlpSerialization.layerJson, FetchHttpClient.layer]))
