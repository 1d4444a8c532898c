/**
 * Somebody else's API that lets one key in: 200 with it, 401 without. `/down` is where it is out of order.
 *
 * @module
 */
import { AuthConfig } from "@rekindle/engine"
import { Context, Effect, Layer, Redacted } from "effect"
import { randomBytes } from "node:crypto"
import { listen } from "./listen.ts"

/** A running API. */
export class KeyedApi extends Context.Service<
  KeyedApi,
  {
    /** The key it lets in. */
    readonly key: Redacted.Redacted
    /** How accounts connect here; `path` is what a validation asks for. */
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
