/**
 * Somebody else's API with one key: it answers 200 with the key and 401 without. `/down` simulates an outage.
 *
 * @module
 */
import { AuthConfig } from "@rekindle/core"
import { Context, Effect, Layer, Redacted } from "effect"
import { randomBytes } from "node:crypto"
import { listen } from "./listen.ts"

/** A running API. */
export class KeyedApi extends Context.Service<
  KeyedApi,
  {
    /** The key that it accepts. */
    readonly key: Redacted.Redacted
    /** An auth config for this API. A validation requests `path`. */
    readonly authConfig: (id: string, path: string) => AuthConfig
  }
>()("examples/KeyedApi") {
  static readonly layer = Layer.effect(
    KeyedApi,
    Effect.gen(function* () {
      const { host, http, origin } = yield* listen
      const key = randomBytes(24).toString("base64url")
      http.on("request", (request, response) => {
        response.writeHead(request.url === "/down" ? 500 : request.headers["x-key"] === key ? 200 : 401).end()
      })
      return KeyedApi.of({
        key: Redacted.make(key),
        authConfig: (id, path) =>
          AuthConfig.make({
            id,
            toolkit: "weather",
            scheme: "API_KEY",
            settings: { probeUrl: `${origin}${path}`, keyHeader: "x-key" },
            hosts: [host]
          })
      })
    })
  )
}
