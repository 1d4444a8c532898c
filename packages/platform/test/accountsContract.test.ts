import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { ConnectedAccountId, ConnectedAccounts, Unavailable } from "@rekindle/core"
import { RekindleClient } from "@rekindle/platform"
import * as Contract from "@rekindle/testing/ConnectedAccountsContract"
import { account, layer, redirectRequired, ScriptedAccounts } from "@rekindle/testing/ScriptedAccounts"
import { Effect, Layer, Redacted } from "effect"
import { apiKey, serve } from "./support.ts"

const fixtures = Layer.effect(
  Contract.Fixtures,
  Effect.gen(function* () {
    const script = yield* ScriptedAccounts
    let made = 0
    const fresh = (fields: Omit<Parameters<typeof account>[0], "id">) =>
      Effect.suspend(() => {
        const scripted = account({ id: `ca_fixture-${made++}`, ...fields })
        return Effect.as(script.put(scripted), scripted.record.id)
      })
    return {
      renewable: fresh({}),
      dead: fresh({ status: "EXPIRED" }),
      expiring: fresh({ statusReason: "grant_dead" }),
      consentOnActive: fresh({ answers: [redirectRequired()] }),
      inactive: fresh({ status: "INACTIVE" }),
      unsupported: fresh({ authScheme: "NO_AUTH" }),
      unknown: Effect.succeed(ConnectedAccountId.make("ca_nobody-here")),
      busy: fresh({ answers: [new Unavailable({ message: "another holder is renewing it" })] }),
      secrets: Effect.succeed([apiKey])
    }
  })
)

/** The client of a server of the script. */
const overHttp = Layer.effect(
  ConnectedAccounts,
  Effect.gen(function* () {
    const url = yield* Effect.flatMap(ConnectedAccounts, serve)
    return yield* RekindleClient.make({ baseUrl: url, apiKey: Redacted.make(apiKey) })
  })
).pipe(Layer.provide(NodeHttpClient.layerUndici))

const script = layer()

Contract.suite(
  "The client over HTTP, before a server of the script,",
  Layer.merge(overHttp.pipe(Layer.provide(script)), fixtures.pipe(Layer.provide(script))),
  { clock: "live" }
)
