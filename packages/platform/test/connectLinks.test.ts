import { assert, describe, it } from "@effect/vitest"
import { AuthConfig, Connections } from "@rekindle/core"
import { ConnectLinks } from "@rekindle/platform"
import { layer } from "@rekindle/testing/ScriptedConnections"
import { Effect, Layer } from "effect"

const config = (id: string, scheme: AuthConfig["scheme"]) =>
  AuthConfig.make({ id, toolkit: "crm", scheme, hosts: ["crm.example"] })

const Links = ConnectLinks.layerDirect.pipe(
  Layer.provideMerge(layer({ authConfigs: [config("oauth", "OAUTH2"), config("key", "API_KEY")] }))
)

describe("a link that leads to the provider", () => {
  it.effect("connects the account that it was made for", () =>
    Effect.gen(function* () {
      const links = yield* ConnectLinks
      const connections = yield* Connections
      const one = yield* links.create({ authConfigId: "oauth", userId: "u1", callbackUrl: "https://app.example/done" })
      const other = yield* links.create({ authConfigId: "oauth", userId: "u1" })
      const { items } = yield* connections.list({ userIds: ["u1"] })
      assert.sameMembers(
        items.map(({ id }) => id),
        [one.accountId, other.accountId]
      )
      assert.match(one.url, /^https:/)
      assert.match(one.token, /^lt_[\w-]{43}$/)
      assert.notStrictEqual(one.token, other.token)
    }).pipe(Effect.provide(Links))
  )

  it.effect("leaves no account behind where the scheme has no page of the provider", () =>
    Effect.gen(function* () {
      const links = yield* ConnectLinks
      const error = yield* Effect.flip(links.create({ authConfigId: "key", userId: "u1" }))
      assert.strictEqual(error._tag, "RefreshUnsupported")
      assert.strictEqual(yield* (yield* Connections).count(), 0)
    }).pipe(Effect.provide(Links))
  )
})
