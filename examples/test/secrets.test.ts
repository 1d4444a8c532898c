/**
 * No log line, span, error or database file of a whole run holds a secret. The run is the tour, and then failures of every part with secrets in
 * reach.
 *
 * @module
 */
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { ConnectedAccountId, ConnectedAccounts, Connections, Resilience } from "@rekindle/core"
import { CredentialVault } from "@rekindle/engine"
import { RekindleClient } from "@rekindle/platform"
import * as UndiciHttpClient from "@rekindle/platform/UndiciHttpClient"
import { Effect, Layer, Redacted } from "effect"
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { AuthorizationServer } from "../src/support/AuthorizationServer.ts"
import { connect } from "../src/support/connect.ts"
import { KeyedApi } from "../src/support/KeyedApi.ts"
import { layer, Service } from "../src/support/Service.ts"
import { parts } from "../src/tour.ts"
import { capture, type Captured, show } from "./support/Capture.ts"

/** The test's own secrets, besides those that are made during the run. */
const ours = {
  apiKey: "rk_an_api_key_of_nobody",
  accessToken: "an-access-token-from-elsewhere",
  refreshToken: "a-refresh-token-from-elsewhere",
  clientSecret: "a-client-secret-that-is-wrong",
  vaultKey: "a-vault-key-that-is-too-short"
}

/** Failures of every part, as text. Each had a secret in reach. */
const failures = Effect.gen(function* () {
  const { url } = yield* Service
  const connections = yield* Connections
  const provider = yield* AuthorizationServer
  const api = yield* KeyedApi
  const accounts = yield* Resilience.standard({ retry: false }).make(yield* ConnectedAccounts)

  const clientSecret = Redacted.make(ours.clientSecret)
  yield* connections.authConfigs.register(
    provider.authConfig({ id: "wrong", secrets: { client_secret: clientSecret } })
  )
  const { settings } = provider.authConfig()
  const lost = { ...settings, tokenEndpoint: `${settings["tokenEndpoint"]}/of-nothing` }
  yield* connections.authConfigs.register(provider.authConfig({ id: "lost", settings: lost }))
  yield* connections.authConfigs.register(api.authConfig("down", "/down"))
  const tokens = {
    access_token: Redacted.make(ours.accessToken),
    refresh_token: Redacted.make(ours.refreshToken)
  }
  const create = (authConfigId: string, secrets: Readonly<Record<string, Redacted.Redacted>> = tokens) =>
    Effect.map(connections.create({ authConfigId, userId: "ada", secrets }), ({ id }) => id)
  const apiKey = Redacted.make(ours.apiKey)
  const client = (baseUrl: string) =>
    RekindleClient.make({ baseUrl, apiKey }).pipe(Effect.provide(UndiciHttpClient.layer))
  const id = yield* connect("grace")

  const attempts: ReadonlyArray<Effect.Effect<unknown, unknown>> = [
    accounts.refresh(yield* create("wrong")),
    accounts.refresh(yield* create("lost")),
    accounts.refresh(yield* create("calendar")),
    accounts.refresh(yield* create("down", { api_key: api.key }), { validateCredentials: true }),
    accounts.refresh(ConnectedAccountId.make(`ca_${"x".repeat(80)}`, { disableChecks: true })),
    accounts.get(id),
    Effect.flatMap(client(url), (stranger) => stranger.refresh(id)),
    Effect.flatMap(client("http://127.0.0.1:1"), (nobody) => nobody.refresh(id)),
    client(`http://user:${ours.apiKey}@127.0.0.1`),
    connections.create({ id, authConfigId: "calendar", userId: "ada", secrets: tokens }),
    connections.authConfigs.register(provider.authConfig({ id: "stray", hosts: ["elsewhere.example"] })),
    Effect.scoped(Layer.build(CredentialVault.layer([{ id: "k", key: Redacted.make(ours.vaultKey) }])))
  ]
  return yield* Effect.forEach(attempts, (attempt) => Effect.map(Effect.exit(attempt), show))
}).pipe(Effect.scoped)

/** Every file below a directory, as bytes. */
const filesBelow = (directory: string): ReadonlyArray<Buffer> =>
  readdirSync(directory, { recursive: true, encoding: "utf8" })
    .map((name) => join(directory, name))
    .filter((path) => statSync(path).isFile())
    .map((path) => readFileSync(path))

const everything = (directory: string) =>
  Effect.gen(function* () {
    yield* parts
    const errors = yield* failures
    const { apiKey, vaultKey } = yield* Service
    const made = yield* Effect.map(AuthorizationServer, ({ secrets }) => secrets())
    const { key } = yield* KeyedApi
    const given = [apiKey, vaultKey.key, key].map((secret) => Redacted.value(secret))
    return { errors, files: filesBelow(directory), made, secrets: [...made, ...given, ...Object.values(ours)] }
  }).pipe(Effect.provide(layer()))

/** The secrets that show in any of the texts. */
const found = (secrets: ReadonlyArray<string>, texts: ReadonlyArray<string | Buffer>): ReadonlyArray<string> =>
  secrets.filter((secret) =>
    [secret, encodeURIComponent(secret)].some((form) => texts.some((text) => text.includes(form)))
  )

describe("a whole run", () => {
  const directory = mkdtempSync(join(tmpdir(), "rekindle-secrets-"))
  let run: Effect.Success<ReturnType<typeof everything>>
  let captured: Captured
  beforeAll(async () => {
    process.env["TMPDIR"] = directory
    const { captured: all, result } = await Effect.runPromise(capture(everything(directory)))
    run = result
    captured = all
  })
  afterAll(() => {
    delete process.env["TMPDIR"]
    rmSync(directory, { recursive: true, force: true })
  })

  it("makes secrets, logs, traces, fails and stores: there is something to search, and something to search for", () => {
    assert.isAbove(run.made.length, 20)
    assert.isAbove(captured.lines.length, 20)
    assert.isAbove(captured.spans.length, 50)
    assert.isAbove(captured.output.length, 10)
    assert.isAbove(run.files.length, 0)
    assert.isTrue(run.files.some((file) => file.includes("calendar")))
    for (const tag of ["RefreshFailed", "Unavailable", "Unauthorized", "TransportError", "VaultError", "ConfigError"]) {
      assert.isTrue(
        run.errors.some((error) => error.includes(tag)),
        tag
      )
    }
  })

  it("lets no secret into a log line", () => assert.deepStrictEqual(found(run.secrets, captured.lines), []))
  it("lets no secret into a span", () => assert.deepStrictEqual(found(run.secrets, captured.spans), []))
  it("lets no secret into an error", () => assert.deepStrictEqual(found(run.secrets, run.errors), []))
  it("prints no secret", () => assert.deepStrictEqual(found(run.secrets, captured.output), []))
  it("writes no secret into the database in the clear", () => assert.deepStrictEqual(found(run.secrets, run.files), []))
  it("leaves no file behind", () => assert.deepStrictEqual(readdirSync(directory), []))
})

describe("the search", () => {
  const secret = "planted-secret"
  const plants: Readonly<Record<keyof Captured, Effect.Effect<void>>> = {
    lines: Effect.logTrace("renewed", { token: secret }),
    spans: Effect.withSpan(Effect.void, "renew", { attributes: { token: secret } }),
    output: Effect.sync(() => console.info(secret))
  }

  it.effect.each(["lines", "spans", "output"] as const)("finds a secret that is planted in the %s", (where) =>
    Effect.gen(function* () {
      const { captured } = yield* capture(plants[where])
      assert.deepStrictEqual(found([secret], captured[where]), [secret])
      const others = Object.values({ ...captured, [where]: [] }).flat()
      assert.deepStrictEqual(found([secret], others), [])
    })
  )

  it.effect("finds a secret in an annotation, a failed span, an error's cause, and in a query string", () =>
    Effect.gen(function* () {
      const { captured } = yield* capture(
        Effect.fail({ token: secret }).pipe(
          Effect.withSpan("failing"),
          Effect.tapCause((cause) => Effect.logDebug("it failed", cause)),
          Effect.ignore,
          Effect.andThen(Effect.annotateLogs(Effect.logInfo("fine"), { token: "x y" }))
        )
      )
      assert.deepStrictEqual(found([secret], captured.spans), [secret])
      assert.deepStrictEqual(found([secret, "x y"], captured.lines), [secret, "x y"])
      assert.deepStrictEqual(found([secret], [show(new Error("outer", { cause: new Error(secret) }))]), [secret])
      assert.deepStrictEqual(found(["a/b"], ["?token=a%2Fb"]), ["a/b"])
    })
  )

  it.effect("does not see into what is redacted", () =>
    Effect.gen(function* () {
      const { captured } = yield* capture(Effect.logInfo("token", Redacted.make(secret)))
      assert.lengthOf(captured.lines, 1)
      assert.deepStrictEqual(found([secret], captured.lines), [])
    })
  )
})
