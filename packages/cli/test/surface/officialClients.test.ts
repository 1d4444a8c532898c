import Later from "@composio/client"
import { Composio as Core } from "@composio/core"
import { assert, it } from "@effect/vitest"
import Earlier from "composio-client-v3"
import { Effect, Fiber } from "effect"
import { AuthorizationServer, clientId, clientSecret } from "../../../engine/test/support/AuthorizationServer.ts"
import { apiKey, layer, Service } from "./service.ts"

const clients = Effect.gen(function* () {
  const { url: baseURL } = yield* Service
  return {
    earlier: new Earlier({ baseURL, apiKey }),
    later: new Later({ baseURL, apiKey }),
    core: new Core({ baseURL, apiKey, allowTracking: false, disableVersionCheck: true })
  }
})

/** The credentials of the application at the authorization server, under the published names. */
const credentials = Effect.map(AuthorizationServer, ({ endpoints }) => ({
  client_id: clientId,
  client_secret: clientSecret,
  authorization_url: endpoints.authorization,
  token_url: endpoints.token,
  revocation_url: endpoints.revocation,
  scopes: "openid offline_access"
}))

const call = <A>(evaluate: () => PromiseLike<A>) => Effect.promise(async () => evaluate())

it.layer(layer, { excludeTestServices: true })("official clients", (it) => {
  it.effect("read the catalogue of toolkits", () =>
    Effect.gen(function* () {
      const { core, earlier, later } = yield* clients
      const one = yield* call(() => earlier.toolkits.list({ search: "goog" }))
      assert.deepStrictEqual(
        one.items.map(({ slug }) => slug),
        ["google"]
      )
      const first = yield* call(() => later.toolkits.list({ limit: 5 }))
      assert.strictEqual(first.items.length, 5)
      assert.strictEqual(first.total_pages, Math.ceil(first.total_items / 5))
      const second = yield* call(() => later.toolkits.list({ limit: 5, cursor: first.next_cursor ?? "" }))
      assert.strictEqual(second.current_page, 2)
      assert.notStrictEqual(second.items[0]?.slug, first.items[0]?.slug)
      const fields = yield* call(() => core.toolkits.getAuthConfigCreationFields("google", "OAUTH2"))
      assert.includeMembers(
        fields.map(({ name }) => name),
        ["client_id", "client_secret"]
      )
      assert.deepStrictEqual((yield* Service).faults, [])
    })
  )

  it.effect("connect an account through a person's consent", () =>
    Effect.gen(function* () {
      const { core } = yield* clients
      const service = yield* Service
      const entered = yield* credentials
      const config = yield* call(() =>
        core.authConfigs.create("oidc", { type: "use_custom_auth", authScheme: "OAUTH2", credentials: entered })
      )
      const request = yield* call(() => core.connectedAccounts.link("person", config.id))
      const waiting = yield* Effect.forkChild(call(() => request.waitForConnection(30_000)))
      yield* service.consent(request.redirectUrl ?? "")
      const connected = yield* Fiber.join(waiting)
      assert.strictEqual(connected.status, "ACTIVE")
      assert.deepStrictEqual(service.faults, [])
    })
  )
})
