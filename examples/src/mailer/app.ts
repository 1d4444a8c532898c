/**
 * The whole mailer: its routes, the notices to users, and the engine that keeps the mailboxes connected. In production `main` is
 * `Layer.launch(app(config, options))`, with a database file instead of ":memory:" and `CredentialVault.layerConfig()`.
 *
 * @module
 */
import { type AuthConfig, Connections } from "@rekindle/core"
import { CredentialVault, Engine } from "@rekindle/engine"
import { ConsentCallback } from "@rekindle/platform"
import { Effect, Layer } from "effect"
import { SecureRandom } from "effect/crypto"
import { FetchHttpClient, HttpRouter } from "effect/http"
import { Mailer } from "./Mailer.ts"
import * as Reconnect from "./Reconnect.ts"
import { routes } from "./routes.ts"

/** The application's credentials at the provider are registered at every start: what is in the configuration is what counts. */
const registered = (config: AuthConfig) =>
  Layer.effectDiscard(Effect.flatMap(Connections, ({ authConfigs }) => authConfigs.register(config)))

/** The mailer on an HTTP server that is there. `publicUrl` is the address at which browsers reach it. */
export const app = (config: AuthConfig, publicUrl: string, options?: Omit<Engine.EngineOptions, "consent">) =>
  HttpRouter.serve(routes, { disableListenLog: true }).pipe(
    Layer.provide([Mailer.layer, ConsentCallback.layerRedacted, SecureRandom.layerWebCrypto]),
    Layer.merge(Reconnect.layer),
    Layer.merge(registered(config)),
    Layer.provide([
      Engine.layerSqlite(":memory:", { ...options, consent: { callbackUrl: publicUrl + ConsentCallback.path } }),
      FetchHttpClient.layer
    ]),
    Layer.provide(CredentialVault.layerEphemeral)
  )
