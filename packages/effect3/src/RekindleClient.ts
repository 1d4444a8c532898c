/**
 * Provides `ConnectedAccounts` over HTTP.
 *
 * @module
 */
import { RekindleClient as Client4 } from "@rekindle/platform"
import { ConnectedAccounts as ConnectedAccounts4 } from "@rekindle/core"
import { type ConfigError, Effect, Layer, type Redacted } from "effect"
import { Context as Context4, Layer as Layer4 } from "effect4"
import { ConnectedAccounts } from "./ConnectedAccounts.ts"
import { accountsToThree } from "./internal/accounts.ts"
import { build } from "./internal/bridge.ts"
import { httpClient } from "./internal/httpClient.ts"
import { configErrorToThree, secretToFour } from "./internal/values.ts"

/** The server's address and the API key. */
export interface Options {
  /** The absolute http(s) URL before `/api/v3`. It may have a path. It must not contain credentials. */
  readonly baseUrl: string | URL
  /** The key to send as `x-api-key`: visible ASCII. White space around it is removed. */
  readonly apiKey: Redacted.Redacted<string>
  /** Whether the key may be sent unencrypted to another machine than this one. Default false. */
  readonly allowInsecureHttp?: boolean | undefined
  /** Which of the two prefixes to call. They have the same contract. Default `v3`. */
  readonly apiVersion?: "v3" | "v3.1" | undefined
}

/**
 * Provides `ConnectedAccounts` from the server at `baseUrl`. Fails with a `ConfigError` if the URL or the key is malformed.
 *
 * The transport is the `HttpClient` of `@effect/platform` if the layer is provided with one, and else `fetch`.
 *
 * It sends each request once. The `disposition` of an error says whether it may be sent again.
 */
export const layer = (options: Options): Layer.Layer<ConnectedAccounts, ConfigError.ConfigError> =>
  Layer.scoped(
    ConnectedAccounts,
    Effect.gen(function* () {
      const client = Client4.layer({ ...options, apiKey: secretToFour(options.apiKey) })
      const context = yield* build(Layer4.provide(client, yield* httpClient), configErrorToThree)
      return accountsToThree(Context4.get(context, ConnectedAccounts4))
    })
  )
