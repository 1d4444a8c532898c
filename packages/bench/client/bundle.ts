/**
 * The size of the client for a browser: core, the standard pipeline, the HTTP client on `fetch`, and the parts of Effect that they use.
 *
 * @module
 */
import { build } from "esbuild"
import { gzipSync } from "node:zlib"

const program = `
import { ConnectedAccountId, ConnectedAccounts } from "@rekindle/core"
import * as Resilience from "@rekindle/core/Resilience"
import * as RekindleClient from "@rekindle/platform/RekindleClient"
import { Effect, Layer, Redacted } from "effect"
import { FetchHttpClient } from "effect/http"

const accounts = Resilience.layer(Resilience.standard()).pipe(
  Layer.provide(RekindleClient.layer({ baseUrl: location.origin, apiKey: Redacted.make("key") })),
  Layer.provide(FetchHttpClient.layer)
)
ConnectedAccounts.use((accounts) => accounts.refresh(ConnectedAccountId.make("ca_4CkFF_cKATwg"))).pipe(
  Effect.provide(accounts),
  Effect.runPromise
).then(console.log)
`

/** Bytes minified, and bytes gzipped after that. */
export const bundle = async (): Promise<{ readonly minified: number; readonly gzipped: number }> => {
  const { outputFiles } = await build({
    stdin: { contents: program, resolveDir: import.meta.dirname, loader: "ts" },
    bundle: true,
    minify: true,
    format: "esm",
    platform: "browser",
    target: "es2024",
    write: false
  })
  const [{ contents } = { contents: new Uint8Array() }] = outputFiles
  return { minified: contents.length, gzipped: gzipSync(contents, { level: 9 }).length }
}
