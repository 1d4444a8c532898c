/** The client of `Connections` keeps their contract on the whole way: HTTP, the routes of the service, a real engine on SQLite. */
import { AuthConfig } from "@rekindle/core"
import { RekindleClient } from "@rekindle/platform"
import * as UndiciHttpClient from "@rekindle/platform/UndiciHttpClient"
import * as Contract from "@rekindle/testing/ConnectionsContract"
import { Effect, Layer, Redacted } from "effect"
import { AuthorizationServer } from "../../../engine/test/support/AuthorizationServer.ts"
import { apiKey, layer, Service } from "./service.ts"

const hosts = ["api.contract.test"]

const fixtures = Layer.effect(
  Contract.Fixtures,
  Effect.gen(function* () {
    const provider = yield* AuthorizationServer
    const { consent } = yield* Service
    const oauth = provider.authConfig()
    let issued = 0
    return {
      oauth,
      apiKey: AuthConfig.make({ id: "k", toolkit: "t", scheme: "API_KEY", settings: { keyHeader: "x-key" }, hosts }),
      basic: AuthConfig.make({ id: "b", toolkit: "t", scheme: "BASIC", hosts }),
      mistaken: {
        config: { ...oauth, settings: { ...oauth.settings, tokenEndpoint: "not an address" } },
        field: "settings.tokenEndpoint"
      },
      secrets: Effect.map(provider.mintRefreshToken("person"), ({ refreshToken }) => ({
        access_token: Redacted.make(`contract-access-${++issued}`),
        refresh_token: Redacted.make(refreshToken)
      })),
      consent
    }
  })
)

const overHttp = Layer.unwrap(
  Effect.map(Service, ({ url }) => RekindleClient.layerConnections({ baseUrl: url, apiKey: Redacted.make(apiKey) }))
).pipe(Layer.provide(UndiciHttpClient.layer))

Contract.suite("The client over HTTP, before an engine,", Layer.merge(overHttp, fixtures).pipe(Layer.provide(layer)), {
  clock: "live"
})
