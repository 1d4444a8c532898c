/** Why a request failed, from the socket to the error, the row and the log. */
import { assert, describe, it } from "@effect/vitest"
import { AuthConfig, ConnectedAccounts, Connections, ProviderProfile, type RefreshError } from "@rekindle/core"
import { AccountStore, type EgressOptions } from "@rekindle/engine"
import { DateTime, Effect, Layer, Logger, Option, Redacted, References } from "effect"
import { once } from "node:events"
import { createServer as createTlsServer } from "node:https"
import * as HttpFixture from "./support/HttpFixture.ts"
import { memory } from "./support/TestEngine.ts"
import * as tls from "./support/tls.ts"

const profile = ProviderProfile.make({ name: "reasons", rotation: "none" })

const secret = "the-client-secret"

/** The consent page is on the host of the token endpoint, unless the settings say otherwise. */
const configOf = (id: string, given: AuthConfig["settings"], hosts: ReadonlyArray<string>) => {
  const { tokenEndpoint } = given
  const settings =
    typeof tokenEndpoint === "string"
      ? { authorizationEndpoint: new URL("/authorize", tokenEndpoint).href, ...given }
      : given
  return configWith(id, settings, hosts)
}

const configWith = (id: string, settings: AuthConfig["settings"], hosts: ReadonlyArray<string>) =>
  AuthConfig.make({
    id,
    toolkit: "reasons",
    scheme: "OAUTH2",
    profile,
    settings: { clientId: "c", ...settings },
    secrets: { client_secret: Redacted.make(secret) },
    hosts
  })

/** An engine, and every line that it logs. */
const engine = (egress: EgressOptions) => {
  const lines: Array<string> = []
  const logged = Logger.layer([Logger.make(({ message }) => void lines.push(JSON.stringify(message)))])
  return {
    lines,
    layer: Layer.provideMerge(
      memory({ egress: { timeout: "2 seconds", ...egress } }),
      Layer.merge(logged, Layer.succeed(References.MinimumLogLevel, "Trace"))
    )
  }
}

/** The error of a refresh of an account with an expired access token, and its row. */
const refusal = Effect.fnUntraced(function* (config: AuthConfig, validateCredentials = false) {
  const connections = yield* Connections
  const accounts = yield* ConnectedAccounts
  yield* connections.authConfigs.register(config)
  const { id } = yield* connections.create({
    authConfigId: config.id,
    userId: "person",
    secrets:
      config.scheme === "API_KEY"
        ? { api_key: Redacted.make("the-key") }
        : { access_token: Redacted.make("at"), refresh_token: Redacted.make("rt") },
    ...(config.scheme === "API_KEY" ? {} : { expiresAt: DateTime.makeUnsafe(0) })
  })
  const error: RefreshError = yield* Effect.flip(accounts.refresh(id, { validateCredentials }))
  const { lastAttempt } = Option.getOrThrow(yield* (yield* AccountStore).find(id))
  return {
    slug: "slug" in error ? error.slug : error._tag,
    errors: "errors" in error ? (error.errors ?? []) : [],
    code: lastAttempt?.code
  }
})

const redirecting = (status: number) =>
  HttpFixture.make((_, response) => void response.writeHead(status, { location: "https://elsewhere.example/" }).end())

describe("a request that does not get through says why, in its error, its row and the log", () => {
  it.live("each mistake by its own name", () =>
    Effect.gen(function* () {
      const untrusted = createTlsServer(tls.provider, (_, response) => void response.end("{}"))
      yield* Effect.acquireRelease(
        Effect.promise(() => once(untrusted.listen(0, "127.0.0.1"), "listening")),
        () => Effect.sync(() => void untrusted.close().closeAllConnections())
      )
      const address = untrusted.address()
      const port = typeof address === "object" ? address?.port : 0
      const [moved, elsewhere, broken] = [
        yield* redirecting(308),
        yield* redirecting(302),
        yield* HttpFixture.make((_, response) => void response.destroy())
      ]
      const cases: ReadonlyArray<readonly [id: string, origin: string, slug: string, reason: string]> = [
        ["nobody", "http://127.0.0.1:2", "provider_unreachable", "connect_failed ECONNREFUSED"],
        ["no-name", `https://${"x".repeat(64)}.invalid`, "provider_unreachable", "dns_failed ENOTFOUND"],
        ["no-trust", `https://localhost:${port}`, "provider_unreachable", "tls_failed UNABLE_TO_VERIFY_LEAF_SIGNATURE"],
        ["moved", moved.origin, "refresh_refused", "redirected_308"],
        ["elsewhere", elsewhere.origin, "provider_silent", "redirected_302"],
        ["broken", broken.origin, "provider_silent", "connection_lost UND_ERR_SOCKET"]
      ]
      const { layer, lines } = engine({ privateHosts: ["*"] })
      const found = yield* Effect.forEach(
        cases,
        ([id, origin]) => refusal(configOf(id, { tokenEndpoint: `${origin}/token` }, [new URL(origin).host])),
        { concurrency: "unbounded" }
      ).pipe(Effect.provide(layer))
      assert.deepStrictEqual(
        found,
        cases.map(([, , slug, reason]) => ({ slug, errors: [reason], code: reason }))
      )
      for (const [, , , reason] of cases)
        assert.isTrue(
          lines.some((line) => line.includes(reason)),
          reason
        )
      assert.isFalse(lines.some((line) => line.includes(secret)))
    })
  )

  it.live(
    "a name that leads to this machine is no outage: the setting that allows it is named, and it is tried once",
    () =>
      Effect.gen(function* () {
        const { layer, lines } = engine({})
        const found = yield* refusal(
          configOf("own", { tokenEndpoint: "https://localhost:3000/token" }, ["localhost:3000"])
        ).pipe(Effect.provide(layer))
        const reason = "private_address: localhost:3000 is not on the public internet; egress.privateHosts can allow it"
        assert.deepStrictEqual(found, { slug: "refresh_impossible", errors: [reason], code: reason })
        assert.lengthOf(
          lines.filter((line) => line.includes("a renewal was tried")),
          1
        )
      })
  )

  it.effect("what is refused in any case is refused at registration", () =>
    Effect.gen(function* () {
      const register = (url: string, hosts = [new URL(url).host]) =>
        Effect.flatMap(Connections, (connections) =>
          Effect.flip(connections.authConfigs.register(configOf("loopback", { tokenEndpoint: url }, hosts)))
        )
      for (const [url, reason] of [
        ["http://127.0.0.1:3000/token", "plain_http: 127.0.0.1:3000"],
        ["http://provider.example/token", "plain_http: provider.example"],
        ["https://127.0.0.1:3000/token", "private_address: 127.0.0.1:3000"]
      ] as const) {
        const { message } = yield* register(url)
        assert.include(message, reason)
        assert.include(message, "egress.privateHosts")
      }
      const { message } = yield* register("https://provider.example/token", ["other.example"])
      assert.include(message, "host_not_declared: provider.example")
      // The same host in another spelling is declared.
      const connections = yield* Connections
      yield* connections.authConfigs.register(
        configOf("spelled", { tokenEndpoint: "HTTPS://Bücher.Example:443/token" }, ["xn--bcher-kva.example"])
      )
    }).pipe(Effect.provide(engine({}).layer))
  )

  it.live("metadata, a pushed request and a probe say it too", () =>
    Effect.gen(function* () {
      const silent = "http://127.0.0.1:2"
      const { layer } = engine({ privateHosts: ["127.0.0.1:2"] })
      const hosts = ["127.0.0.1:2", "localhost:3000"]
      const { consent, metadata, owned, probe } = yield* Effect.gen(function* () {
        const accounts = yield* ConnectedAccounts
        const connections = yield* Connections
        const metadata = yield* refusal(configOf("metadata", { issuer: silent }, hosts))
        const pushed = {
          pushedRequests: true,
          pushedRequestEndpoint: `${silent}/par`,
          tokenEndpoint: `${silent}/token`
        }
        yield* connections.authConfigs.register(
          configOf("par", { ...pushed, authorizationEndpoint: `${silent}/authorize` }, hosts)
        )
        const { id } = yield* connections.create({ authConfigId: "par", userId: "person" })
        const consent = yield* Effect.flip(accounts.refresh(id))
        const keyed = (id: string, probeUrl: string) =>
          refusal(
            AuthConfig.make({ id, toolkit: "t", scheme: "API_KEY", profile, settings: { probeUrl }, hosts }),
            true
          )
        const probe = yield* keyed("probe", `${silent}/me`)
        const owned = yield* keyed("owned", "https://localhost:3000/me")
        return { metadata, consent, probe, owned }
      }).pipe(Effect.provide(layer))
      assert.deepStrictEqual(metadata.slug, "provider_unreachable")
      assert.include(metadata.errors[0], "connect_failed ECONNREFUSED")
      assert.include(JSON.stringify(consent), "connect_failed ECONNREFUSED")
      assert.deepInclude(probe, { slug: "unverified", errors: ["connect_failed ECONNREFUSED"] })
      assert.include(owned.errors[0], "private_address: localhost:3000")
    })
  )
})
