import { AuthConfig } from "@rekindle/core"
import * as ConnectedAccountsContract from "@rekindle/testing/ConnectedAccountsContract"
import * as ConnectionsContract from "@rekindle/testing/ConnectionsContract"
import { Effect, Layer, Redacted } from "effect"
import { AuthorizationServer } from "./support/AuthorizationServer.ts"
import { completeConsent, fixtures, withServer } from "./support/TestEngine.ts"

// Short, so that the suite does not wait long for the busy account, and long enough for a refresh on a busy machine.
const engine = withServer({ engine: { coordinator: { patience: "2 seconds" } } })

ConnectedAccountsContract.suite("the engine", Layer.provideMerge(fixtures, engine), { clock: "live" })

const managed = Layer.effect(
  ConnectionsContract.Fixtures,
  Effect.gen(function* () {
    const server = yield* AuthorizationServer
    const context = yield* Effect.context<Effect.Services<ReturnType<typeof completeConsent>>>()
    const oauth = server.authConfig()
    let issued = 0
    return {
      oauth,
      apiKey: AuthConfig.make({
        id: "k",
        toolkit: "t",
        scheme: "API_KEY",
        settings: { keyHeader: "x-key" },
        hosts: ["api.contract.test"]
      }),
      basic: AuthConfig.make({ id: "b", toolkit: "t", scheme: "BASIC", hosts: ["api.contract.test"] }),
      mistaken: {
        config: { ...oauth, settings: { ...oauth.settings, tokenEndpoint: "not an address" } },
        field: "settings.tokenEndpoint"
      },
      secrets: Effect.map(server.mintRefreshToken("person"), ({ refreshToken }) => ({
        access_token: Redacted.make(`contract-access-${++issued}`),
        refresh_token: Redacted.make(refreshToken)
      })),
      consent: (url: string) => Effect.provideContext(Effect.asVoid(completeConsent(url)), context)
    }
  })
)

ConnectionsContract.suite("the engine", Layer.provideMerge(managed, withServer()), { clock: "live" })
