/**
 * The engine takes nothing from its surroundings but what its ports give it: time, chance, crypto, the store, the network and the disk. So it
 * runs in a simulated world within steps, and no promise of the real world is waited for.
 */
import { assert, describe, it } from "@effect/vitest"
import { AuthConfig, ConnectedAccounts, Connections, ProviderProfile } from "@rekindle/core"
import { AccountStore, CredentialVault, Egress, Engine, Journal, type Transport } from "@rekindle/engine"
import { Simulation } from "@rekindle/testing"
import { Clock, type Context, DateTime, Effect, Layer, Redacted } from "effect"
import * as ModelStore from "./ModelStore.ts"

/** A token endpoint: each refresh token is honoured once, and brings the next one. */
const makeProvider = () => {
  const state = { issued: 0, refused: 0, authentication: new Array<string>() }
  const alive = new Set<string>()
  const issue = () => {
    const token = `refresh-${++state.issued}`
    alive.add(token)
    return token
  }
  const transport: Transport = ({ body, headers, refusal, url }) =>
    Effect.gen(function* () {
      yield* Effect.sleep("20 millis")
      assert.isUndefined(refusal())
      assert.strictEqual(url.href, "https://provider.test/token")
      const fields = new URLSearchParams(body)
      state.authentication.push(headers["authorization"] ?? fields.get("client_secret") ?? "none")
      const isGranted = fields.get("grant_type") !== "refresh_token" || alive.delete(fields.get("refresh_token") ?? "")
      if (!isGranted) state.refused++
      return {
        _tag: "Answer",
        status: isGranted ? 200 : 400,
        contentType: "application/json",
        retryAfter: undefined,
        body: JSON.stringify(
          isGranted
            ? { access_token: `access-${state.issued}`, token_type: "bearer", expires_in: 300, refresh_token: issue() }
            : { error: "invalid_grant" }
        ),
        receivedAt: yield* Clock.currentTimeMillis
      }
    })
  return { state, issue, transport }
}

const configOf = (clientAuth: string) =>
  AuthConfig.make({
    id: clientAuth,
    toolkit: "scripted",
    scheme: "OAUTH2",
    profile: ProviderProfile.make({ name: "scripted", rotation: "single-use" }),
    settings: {
      clientId: "client",
      clientAuth,
      tokenEndpoint: "https://provider.test/token",
      authorizationEndpoint: "https://provider.test/authorize"
    },
    secrets: { client_secret: Redacted.make("secret") },
    hosts: ["provider.test"]
  })

/** One engine in a world, and what it did there. */
const run = <A>(
  seed: number,
  use: (given: {
    readonly engine: Context.Context<Engine.Provided | CredentialVault>
    readonly provider: ReturnType<typeof makeProvider>
    readonly model: ModelStore.ModelStore
  }) => Effect.Effect<A>
) => {
  const provider = makeProvider()
  const model = ModelStore.make()
  const key = Redacted.make(Buffer.alloc(32, "key").toString("base64"))
  const engineOn = ({ disk }: Simulation.Machine) =>
    Engine.layerNoDeps({ consent: { callbackUrl: "https://app.test/callback" } }).pipe(
      Layer.provideMerge(Layer.succeed(AccountStore, model.store)),
      Layer.provideMerge(CredentialVault.layer([{ id: "key", key }])),
      Layer.provide(Journal.layerDisk(disk, { durability: "power" })),
      Layer.provide(
        Egress.layerTransport({}, { transport: provider.transport, lookup: () => Effect.succeed(["93.184.215.14"]) })
      ),
      Layer.build,
      Effect.orDie
    )
  return Simulation.run({ seed, promises: false }, (world) =>
    world.node("engine", engineOn, { faults: false }).call((engine) => use({ engine, provider, model }))
  ).then((outcome) => {
    assert.isUndefined(outcome.failure, Simulation.report(outcome))
    return { outcome, provider, model }
  })
}

const refreshed = Effect.fnUntraced(function* (clientAuth: string, issue: () => string) {
  const connections = yield* Connections
  const accounts = yield* ConnectedAccounts
  yield* connections.authConfigs.register(configOf(clientAuth))
  const now = yield* Clock.currentTimeMillis
  const { id } = yield* connections.create({
    authConfigId: clientAuth,
    userId: "person",
    secrets: { access_token: Redacted.make("stale"), refresh_token: Redacted.make(issue()) },
    expiresAt: DateTime.makeUnsafe(now - 1)
  })
  return yield* accounts.refresh(id)
})

describe("an engine in a simulated world", () => {
  it("registers, connects and refreshes with nothing of the real world, whichever way the client authenticates", async () => {
    const { model, provider } = await run(1, ({ engine, provider }) =>
      Effect.forEach(["basic", "post"], (clientAuth) => refreshed(clientAuth, provider.issue)).pipe(
        Effect.provideContext(engine),
        Effect.orDie
      )
    )
    assert.deepStrictEqual(
      [...model.accounts().values()].map(({ generation, status }) => ({ generation, status })),
      [
        { generation: 2, status: "ACTIVE" },
        { generation: 2, status: "ACTIVE" }
      ]
    )
    assert.deepStrictEqual(provider.state.authentication, [`Basic ${btoa("client:secret")}`, "secret"])
    assert.strictEqual(provider.state.refused, 0)
  })
})
