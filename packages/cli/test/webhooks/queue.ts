/** What the queue of webhooks has to do on every database. */
import { assert, type Vitest } from "@effect/vitest"
import { CredentialVault } from "@rekindle/engine"
import { WebhookSubscriptions } from "@rekindle/platform"
import { Context, Effect, Layer, Redacted, References } from "effect"
import { SqlClient } from "effect/sql"
import * as Webhooks from "#cli/webhooks/Webhooks.ts"
import { Databases } from "../support/databases.ts"
import { clientOf, type Place } from "../../../engine/test/support/Place.ts"
import * as Receiver from "./Receiver.ts"
import { connected, happen, processOn, subscribe } from "./service.ts"

const keyOf = (id: string, byte: number) => ({
  id,
  key: Redacted.make(Buffer.from(Array.from({ length: 32 }, (_, at) => (at + byte) % 256)).toString("base64"))
})

/** A process of its own on the database, in this one. It stops with the scope. */
const start = (place: Place) =>
  Layer.build(
    Layer.fresh(
      processOn(clientOf(place), { privateHosts: ["*"], pollInterval: "20 millis" }).pipe(
        Layer.provideMerge(CredentialVault.layer([keyOf("k1", 1)])),
        // A warning for each endpoint that fails is what this is about.
        Layer.provide(Layer.succeed(References.MinimumLogLevel, "Error")),
        Layer.orDie
      )
    )
  )

const sequenceOf = ({ body }: Receiver.Received): number => JSON.parse(body).metadata.sequence

/** Runs the contract on the databases of `it`. */
export const queue = (it: Vitest.MethodsNonLive<Databases>) => {
  it.effect("four processes deliver each event once to each endpoint, in order", () =>
    Effect.gen(function* () {
      const place = yield* Databases.use(({ make }) => make)
      const first = yield* start(place)
      yield* Effect.forEach([1, 2, 3], () => start(place))
      const events = 24
      const receivers = yield* Effect.forEach([1, 2, 3], () => Receiver.make())
      yield* Effect.gen(function* () {
        for (const { url } of receivers) yield* subscribe(url)
        const ids = [yield* connected, yield* connected]
        for (let event = 0; event < events / 2; event++) {
          yield* Effect.forEach(ids, (id) => happen(id, "renewed"), { concurrency: "unbounded" })
        }
        for (const receiver of receivers) {
          yield* Effect.forEach(Array.from({ length: events }), () => receiver.next)
          const sequences = receiver.received.map(sequenceOf)
          assert.deepStrictEqual(
            sequences,
            sequences.toSorted((one, other) => one - other)
          )
          assert.strictEqual(new Set(receiver.received.map(({ id }) => id)).size, events)
        }
        assert.deepStrictEqual(
          receivers.map(({ received }) => received.length),
          receivers.map(() => events)
        )
      }).pipe(Effect.provideContext(first))
    })
  )

  it.effect(
    "an endpoint that failed is tried again, ends with a 410, and takes its dead letters once it is wanted again",
    () =>
      Effect.gen(function* () {
        const place = yield* Databases.use(({ make }) => make)
        const context = yield* start(place)
        yield* Effect.gen(function* () {
          const receiver = yield* Receiver.make((_, index) => (index === 0 ? 500 : index === 1 ? 410 : 204))
          const { id } = yield* subscribe(receiver.url)
          const account = yield* connected
          yield* happen(account, "renewed", "expired")
          yield* receiver.next
          const sql = yield* SqlClient.SqlClient
          const { deliveries, get, replay } = yield* WebhookSubscriptions
          // The first wait is 5 seconds. The test does not wait for it.
          while ((yield* sql`SELECT id FROM rekindle_webhook_subscriptions WHERE failures = 1`).length === 0)
            yield* Effect.yieldNow
          // The second event may be queued after the first was sent.
          while ((yield* deliveries(id)).length < 2) yield* Effect.yieldNow
          const [second, first] = yield* deliveries(id)
          assert.deepInclude(first, { state: "pending", attempts: 1, answered: 500 })
          assert.deepInclude(second, { state: "pending", attempts: 0 })
          yield* sql`UPDATE rekindle_webhook_subscriptions SET retry_at = 0`
          yield* receiver.next
          while ((yield* get(id)).disabledAt === undefined) yield* Effect.yieldNow
          assert.deepStrictEqual(
            (yield* deliveries(id, { state: "dead" })).map(({ error }) => error),
            ["the endpoint answered 410", "the endpoint answered 410"]
          )
          assert.strictEqual(yield* replay(id), 2)
          yield* receiver.next
          yield* receiver.next
          assert.deepStrictEqual(
            receiver.received.slice(2).map(({ id }) => id),
            [first?.id, second?.id]
          )
        }).pipe(Effect.provideContext(context))
      })
  )

  it.effect("secrets are sealed, and a reseal lets an older key go", () =>
    Effect.gen(function* () {
      const place = yield* Databases.use(({ make }) => make)
      const context = yield* start(place)
      const sql = Context.get(context, SqlClient.SqlClient)
      const { secret } = yield* subscribe("http://127.0.0.1:2/hook").pipe(Effect.provideContext(context))
      const rows = JSON.stringify(yield* sql`SELECT secrets FROM rekindle_webhook_subscriptions`)
      assert.notInclude(rows, Redacted.value(secret).slice(6))
      assert.include(rows, ".k1.")
      const report = yield* Webhooks.reseal.pipe(
        Effect.provide(CredentialVault.layer([keyOf("k2", 2), keyOf("k1", 1)])),
        Effect.provideContext(context)
      )
      assert.deepStrictEqual(report, { resealed: 1, left: 0 })
      assert.include(JSON.stringify(yield* sql`SELECT secrets FROM rekindle_webhook_subscriptions`), ".k2.")
    })
  )
}
