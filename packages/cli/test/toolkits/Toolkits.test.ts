/** The engine's providers as toolkits, and auth configs from what people enter for them. */
import { assert, describe, it } from "@effect/vitest"
import { Connections, type InvalidRequest } from "@rekindle/core"
import { CredentialVault, Engine, Providers } from "@rekindle/engine"
import { Toolkits } from "@rekindle/platform"
import { Effect, Layer, Option } from "effect"
import * as CliToolkits from "#cli/toolkits/Toolkits.ts"
import { catalogue } from "#cli/toolkits/catalogue.ts"

const services = Layer.merge(
  CliToolkits.layer,
  Engine.layerSqlite(":memory:", { consent: { callbackUrl: "https://app.example/callback" } }).pipe(
    Layer.provide(CredentialVault.layerEphemeral)
  )
).pipe(Layer.orDie)

const entered = { client_id: "client-1", client_secret: "GOCSPX-0123456789", scopes: "one, two" }

/** Registers what people entered, as the endpoint does. */
const register = Effect.fnUntraced(function* (
  id: string,
  toolkit: string,
  credentials: Readonly<Record<string, string>>,
  scheme: "OAUTH2" | "API_KEY" = "OAUTH2"
) {
  const { authConfig } = yield* Toolkits
  const { authConfigs } = yield* Connections
  return yield* authConfigs.register(yield* authConfig({ id, toolkit, scheme, credentials }))
})

const mistakesOf = <A, R>(refused: Effect.Effect<A, unknown, R>) =>
  Effect.map(Effect.flip(refused as Effect.Effect<A, InvalidRequest, R>), ({ errors }) => errors ?? [])

it("the catalogue has every provider of the engine, once", () => {
  const functions = Object.values(Providers).filter((provider) => typeof provider === "function")
  // Without `make`, which makes further ones.
  assert.lengthOf(catalogue, Object.keys(Providers).length - 1)
  assert.lengthOf(
    catalogue.filter((entry) => entry.scheme === "OAUTH2" && entry.label !== undefined),
    functions.length - 1
  )
  assert.strictEqual(new Set(catalogue.map(({ scheme, slug }) => `${slug} ${scheme}`)).size, catalogue.length)
})

it.layer(services)("an auth config from credentials", (it) => {
  it.effect.each(catalogue.map((entry) => [entry.slug, entry] as const))("is complete for %s", ([, entry]) =>
    Effect.gen(function* () {
      const label = entry.scheme === "OAUTH2" && entry.label !== undefined ? { [entry.label.name]: "acme" } : {}
      const credentials = entry.scheme === "OAUTH2" ? { ...entered, ...label } : {}
      const { hosts, secretNames, toolkit } = yield* register(`of-${entry.slug}`, entry.slug, credentials, entry.scheme)
      assert.strictEqual(toolkit, entry.slug)
      assert.isNotEmpty(hosts)
      assert.deepStrictEqual([...secretNames], entry.scheme === "OAUTH2" ? ["client_secret"] : [])
    })
  )

  it.effect("takes the endpoints of an unknown toolkit, and declares their hosts", () =>
    Effect.gen(function* () {
      const { hosts, profile, settings } = yield* register("of-nobody", "nobody", {
        ...entered,
        authorization_url: "https://login.nobody.example/authorize",
        token_url: "https://api.nobody.example/token",
        oauth_redirect_uri: "https://elsewhere.example/callback",
        hosts: "eu.nobody.example"
      })
      assert.sameMembers([...hosts], ["login.nobody.example", "api.nobody.example", "eu.nobody.example"])
      assert.strictEqual(profile.rotation, "single-use")
      assert.deepStrictEqual(settings, {
        clientId: "client-1",
        authorizationEndpoint: "https://login.nobody.example/authorize",
        tokenEndpoint: "https://api.nobody.example/token",
        scopes: ["one", "two"]
      })
    })
  )

  it.effect("names what is missing or unknown, and repeats no value", () =>
    Effect.gen(function* () {
      const secret = "GOCSPX-misplaced"
      assert.match((yield* mistakesOf(register("a", "google", {}))).join(), /client_id/)
      assert.match((yield* mistakesOf(register("a", "shopify", entered))).join(), /shop/)
      assert.match((yield* mistakesOf(register("a", "shopify", { ...entered, shop: "evil.example/" }))).join(), /shop/)
      const misnamed = yield* mistakesOf(register("a", "google", { ...entered, clientSecret: secret }))
      assert.match(misnamed.join(), /clientSecret/)
      assert.notInclude(misnamed.join(), secret)
      assert.isTrue(Option.isNone(yield* (yield* Connections).authConfigs.get("a")))
    })
  )
})

describe("changed scopes", () => {
  it.effect("go where the provider takes them, and leave the other parameters", () =>
    Effect.gen(function* () {
      const { changes } = yield* Toolkits
      const { authConfigs } = yield* Connections
      const google = yield* register("google", "google", entered)
      assert.deepStrictEqual((yield* changes(google, { scopes: ["three"] })).settings, { scopes: ["three"] })
      const user = yield* register("user", "slack-user", { ...entered })
      yield* authConfigs.update("user", { settings: { authorizationParameters: { team: "T1", user_scope: "one" } } })
      const kept = Option.getOrThrow(yield* authConfigs.get(user.id))
      assert.deepStrictEqual((yield* changes(kept, { scopes: "two three" })).settings, {
        authorizationParameters: { team: "T1", user_scope: "two,three" }
      })
    }).pipe(Effect.provide(services))
  )
})
