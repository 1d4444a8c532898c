/** What the service exports, and what it says of its health when something is wrong. */
import { assert, describe, it } from "@effect/vitest"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { CredentialVault, Engine, Journal, SqliteClient } from "@rekindle/engine"
import { Context, Effect, Layer, Metric, Redacted } from "effect"
import { HttpRouter, HttpServer } from "effect/http"
import { SqlClient } from "effect/sql"
import * as HttpFixture from "../../../engine/test/support/HttpFixture.ts"
import * as Health from "#cli/server/health.ts"
import * as Telemetry from "#cli/server/telemetry.ts"

describe("with an endpoint of OpenTelemetry", () => {
  it.live("logs, metrics and traces arrive there under the name of the service, without further variables", () =>
    Effect.gen(function* () {
      const collector = yield* HttpFixture.make(HttpFixture.json({}))
      yield* Effect.logInfo("exported line").pipe(
        Effect.andThen(Metric.update(Metric.counter("rekindle.test.exported"), 1)),
        Effect.withSpan("exported span"),
        Effect.provide(Telemetry.otlp(collector.origin))
      )
      const bodyOf = (path: string) =>
        collector.requests
          .filter((request) => request.path === path)
          .map(({ body }) => body)
          .join()
      assert.include(bodyOf("/v1/logs"), "exported line")
      assert.include(bodyOf("/v1/traces"), "exported span")
      assert.include(bodyOf("/v1/metrics"), "rekindle.test.exported")
      assert.include(bodyOf("/v1/traces"), '"stringValue":"rekindle"')
    })
  )

  it("a process without one exports nothing", () => {
    assert.strictEqual(Telemetry.otlp(undefined), Layer.empty)
  })
})

const ring = (bytes: string) => CredentialVault.layer([{ id: "k1", key: Redacted.make(btoa(bytes)) }])

describe("/readyz", () => {
  it.live("names what is wrong: a database that fails, and a key ring that does not open it", () =>
    Effect.gen(function* () {
      const services = yield* Layer.build(
        Engine.layer({ consent: { callbackUrl: "https://app.example.com/callback" } }).pipe(
          Layer.provideMerge(
            Layer.mergeAll(
              SqliteClient.layer(":memory:"),
              ring("0123456789abcdef0123456789abcdef"),
              Journal.layerMemory
            )
          )
        )
      )
      const ask = Effect.fnUntraced(function* (context: typeof services) {
        const handler = yield* Effect.acquireRelease(
          Effect.sync(() =>
            HttpRouter.toWebHandler(
              Health.routes.pipe(Layer.provide([Layer.succeedContext(context), HttpServer.layerServices])),
              { disableLogger: true }
            )
          ),
          ({ dispose }) => Effect.promise(dispose)
        )
        const response = yield* Effect.promise(() => handler.handler(new Request("http://localhost/readyz")))
        return { status: response.status, ...(yield* Effect.promise(async () => response.json())) }
      })
      assert.deepEqual(yield* ask(services), {
        status: "ready",
        checks: { database: { status: "ok" }, vault: { status: "ok" }, renewer: { status: "off" } }
      })

      const another = yield* Layer.build(ring("fedcba9876543210fedcba9876543210"))
      const { checks, status } = yield* ask(Context.merge(services, another))
      assert.strictEqual(status, "not ready")
      assert.deepEqual([checks.database.status, checks.vault.status], ["ok", "failed"])
      assert.include(checks.vault.message, 'the key "k1" of the ring is not the one')

      yield* SqlClient.SqlClient.use((sql) => sql`DROP TABLE rekindle_vault_keys`).pipe(Effect.provideContext(services))
      const broken = yield* ask(services)
      assert.deepEqual([broken.status, broken.checks.database.status], ["not ready", "failed"])
    }).pipe(Effect.provide(NodeServices.layer))
  )
})
