/** The client of `Connections` keeps their contract, before a server of the script. */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { AuthConfig, type ConnectedAccountId } from "@rekindle/core"
import { RekindleClient } from "@rekindle/platform"
import * as Contract from "@rekindle/testing/ConnectionsContract"
import { layer, ScriptedConnections } from "@rekindle/testing/ScriptedConnections"
import { Effect, Layer, Redacted } from "effect"
import { apiKey, serveConnections } from "./support.ts"

const config = (id: string, scheme: AuthConfig["scheme"], settings: AuthConfig["settings"] = {}) =>
  AuthConfig.make({ id, toolkit: "scripted", scheme, settings, hosts: ["api.contract.test"] })

let issued = 0
const fixtures = Layer.effect(
  Contract.Fixtures,
  Effect.map(ScriptedConnections, ({ consentTo }) => ({
    oauth: config("oauth", "OAUTH2"),
    apiKey: config("key", "API_KEY", { keyHeader: "x-key" }),
    basic: config("basic", "BASIC"),
    secrets: Effect.sync(() => {
      issued++
      return {
        access_token: Redacted.make(`contract-access-${issued}`),
        refresh_token: Redacted.make(`contract-refresh-${issued}`)
      }
    }),
    consent: (_url: string, id: ConnectedAccountId) => consentTo(id)
  }))
)

const overHttp = Layer.effectContext(
  Effect.flatMap(serveConnections(), (baseUrl) =>
    RekindleClient.makeConnections({ baseUrl, apiKey: Redacted.make(apiKey) })
  )
).pipe(Layer.provide(NodeHttpClient.layerUndici))

const script = layer()

Contract.suite(
  "The client over HTTP, before a server of the script,",
  Layer.merge(overHttp.pipe(Layer.provide(script)), fixtures.pipe(Layer.provide(script))),
  { clock: "live", gaps: ["mistaken"] }
)
