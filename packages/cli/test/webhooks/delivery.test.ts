/** What happens to accounts reaches the endpoints that subscribed to it. */
import { assert, describe, it } from "@effect/vitest"
import { Connections, CurrentProject } from "@rekindle/core"
import { type WebhookDeliveryState, WebhookSubscriptions } from "@rekindle/platform"
import { Clock, Effect, Redacted } from "effect"
import { TestClock } from "effect/testing"
import { Webhook } from "standardwebhooks"
import * as Receiver from "./Receiver.ts"
import { connected, eventually, happen, service, subscribe, until } from "./service.ts"

/** standardwebhooks compares with the clock of the machine. */
const presently = <A, E, R>(test: Effect.Effect<A, E, R>) =>
  Effect.andThen(Effect.flatMap(TestClock.withLive(Clock.currentTimeMillis), TestClock.setTime), test)

const deliveriesOf = (id: string) =>
  Effect.flatMap(WebhookSubscriptions, ({ deliveries }) => deliveries(id, { limit: 500 }))

const areAll = (id: string, count: number, state: WebhookDeliveryState) =>
  Effect.map(deliveriesOf(id), (all) => all.length === count && all.every((one) => one.state === state))

describe("an event", () => {
  it.effect("reaches a subscription, signed so that standardwebhooks verifies it", () =>
    Effect.gen(function* () {
      const receiver = yield* Receiver.make()
      const { secret } = yield* subscribe(receiver.url)
      const id = yield* connected
      yield* happen(id, "expired")
      const { body, headers, id: messageId } = yield* eventually(receiver.next)
      const verified: unknown = new Webhook(Redacted.value(secret)).verify(body, { ...headers })
      assert.deepStrictEqual(verified, JSON.parse(body))
      const other = new Webhook(`whsec_${Buffer.alloc(32).toString("base64")}`)
      assert.throws(() => other.verify(body, { ...headers }))
      assert.throws(() => new Webhook(Redacted.value(secret)).verify(`${body} `, { ...headers }))
      assert.strictEqual(JSON.parse(body).id, messageId)
      assert.strictEqual(headers["content-type"], "application/json")
    }).pipe(service(), presently)
  )

  it.effect("that an account expired has the published V3 form, and no secret", () =>
    Effect.gen(function* () {
      const receiver = yield* Receiver.make()
      yield* subscribe(receiver.url)
      const id = yield* connected
      yield* happen(id, "expired")
      const { body } = yield* eventually(receiver.next)
      const sent = JSON.parse(body)
      assert.deepInclude(sent, { type: "composio.connected_account.expired" })
      assert.deepInclude(sent.metadata, { project_id: "default", org_id: "default" })
      assert.match(sent.timestamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
      assert.deepInclude(sent.data, {
        id,
        toolkit: { slug: "crm" },
        user_id: "person",
        status: "EXPIRED",
        status_reason: "credential_rejected",
        is_disabled: false,
        params: {}
      })
      assert.deepInclude(sent.data.auth_config, { id: "config", auth_scheme: "API_KEY", is_composio_managed: false })
      assert.deepInclude(sent.data.state, { authScheme: "API_KEY" })
      assert.notInclude(body, "nobody may see")
    }).pipe(service())
  )

  it.effect("reaches no subscription of another type, another project or another time", () =>
    Effect.gen(function* () {
      const receiver = yield* Receiver.make()
      const id = yield* connected
      yield* happen(id, "renewed")
      yield* eventually(Effect.sleep("5 seconds"))
      yield* subscribe(receiver.url, ["composio.connected_account.expired"])
      yield* Effect.provideService(subscribe(receiver.url), CurrentProject, "another")
      yield* happen(id, "renewed", "expired")
      assert.include((yield* eventually(receiver.next)).body, "composio.connected_account.expired")
      yield* eventually(Effect.sleep("1 minute"))
      assert.lengthOf(receiver.received, 1)
    }).pipe(service())
  )

  it.effect(
    "of an account that was removed since is sent with what is known, and not in a form that it cannot fill",
    () =>
      Effect.gen(function* () {
        const receiver = yield* Receiver.make()
        yield* subscribe(receiver.url)
        const id = yield* connected
        yield* happen(id, "renewed", "expired")
        const connections = yield* Connections
        yield* connections.remove(id)
        const { body } = yield* eventually(receiver.next)
        assert.deepStrictEqual(JSON.parse(body).data, { id, status: "ACTIVE", status_reason: null })
        yield* eventually(Effect.sleep("1 minute"))
        assert.lengthOf(receiver.received, 1)
      }).pipe(service())
  )
})

describe("an endpoint", () => {
  it.effect("gets its events in order, and one that failed before those behind it, with the same id", () =>
    Effect.gen(function* () {
      const receiver = yield* Receiver.make((_, index) => (index === 1 || index === 2 ? 500 : 204))
      const { id: subscription } = yield* subscribe(receiver.url)
      const id = yield* connected
      yield* happen(id, "renewed", "renewed", "renewed", "expired")
      yield* until(areAll(subscription, 4, "delivered"))
      const sequences = receiver.received.map(({ body }): number => JSON.parse(body).metadata.sequence)
      const [first = 0] = sequences
      assert.deepStrictEqual(
        sequences.map((sequence) => sequence - first),
        [0, 1, 1, 1, 2, 3]
      )
      const [, second, again, andAgain] = receiver.received
      assert.deepStrictEqual([again?.id, andAgain?.id], [second?.id, second?.id])
      assert.deepStrictEqual([again?.body, andAgain?.body], [second?.body, second?.body])
      assert.isAbove(Number(again?.headers["webhook-timestamp"]), Number(second?.headers["webhook-timestamp"]))
      assert.strictEqual(new Set(receiver.received.map(({ id }) => id)).size, 4)
    }).pipe(service())
  )

  it.effect("that fails for a day is tried ten times, and its event is then listed as dead and can be replayed", () =>
    Effect.gen(function* () {
      let works = false
      const receiver = yield* Receiver.make(() => (works ? 204 : 503))
      const { id: subscription } = yield* subscribe(receiver.url)
      const id = yield* connected
      const since = yield* Clock.currentTimeMillis
      yield* happen(id, "renewed", "expired")
      yield* until(areAll(subscription, 2, "dead"), "10 minutes")
      const hours = ((yield* Clock.currentTimeMillis) - since) / 3_600_000
      assert.isAbove(hours, 24)
      assert.isBelow(hours, 32)
      assert.isAtLeast(receiver.received.length, 9)
      assert.isAtMost(receiver.received.length, 12)
      // Those behind it waited, so that the order is kept.
      assert.strictEqual(new Set(receiver.received.map(({ id }) => id)).size, 1)
      const { replay } = yield* WebhookSubscriptions
      const [newest, oldest] = yield* deliveriesOf(subscription)
      assert.deepInclude(oldest, { state: "dead", answered: 503, error: "the endpoint answered 503" })
      assert.deepInclude(newest, { state: "dead", attempts: 0 })
      works = true
      assert.strictEqual(yield* replay(subscription), 2)
      yield* until(areAll(subscription, 2, "delivered"), "10 minutes")
      assert.deepStrictEqual(
        receiver.received.slice(-2).map(({ id }) => id),
        [oldest?.id, newest?.id]
      )
    }).pipe(service({ privateHosts: ["*"], pollInterval: "10 minutes" }))
  )

  it.effect("that answers 410 gets nothing more, until somebody wants it to", () =>
    Effect.gen(function* () {
      const receiver = yield* Receiver.make((_, index) => (index === 0 ? 410 : 204))
      const { id: subscription } = yield* subscribe(receiver.url)
      const { get, update } = yield* WebhookSubscriptions
      const id = yield* connected
      yield* happen(id, "renewed", "renewed")
      yield* until(Effect.map(get(subscription), ({ disabledAt }) => disabledAt !== undefined))
      yield* happen(id, "renewed")
      yield* eventually(Effect.sleep("1 minute"))
      assert.lengthOf(receiver.received, 1)
      assert.deepStrictEqual(
        (yield* deliveriesOf(subscription)).map(({ state }) => state),
        ["dead", "dead"]
      )
      assert.isUndefined((yield* update(subscription, { url: receiver.url })).disabledAt)
      yield* happen(id, "expired")
      yield* until(Effect.sync(() => receiver.received.length === 2))
      assert.include(receiver.received[1]?.body, "composio.connected_account.expired")
    }).pipe(service())
  )

  it.effect("asks for a longer wait with Retry-After", () =>
    Effect.gen(function* () {
      const receiver = yield* Receiver.make((_, index) =>
        index > 0 ? 204 : (response) => void response.writeHead(429, { "retry-after": "60" }).end()
      )
      yield* subscribe(receiver.url)
      yield* happen(yield* connected, "renewed")
      const [first, second] = [yield* eventually(receiver.next), yield* eventually(receiver.next)]
      const waited = Number(second.headers["webhook-timestamp"]) - Number(first.headers["webhook-timestamp"])
      assert.isAtLeast(waited, 60)
      assert.isBelow(waited, 70)
    }).pipe(service())
  )

  it.effect("that never answers, or is dead, holds up no other", () =>
    Effect.gen(function* () {
      const silent = yield* Receiver.make(() => () => {})
      const dead = yield* Receiver.make(() => 500)
      const quick = yield* Receiver.make()
      for (let each = 0; each < 5; each++) {
        yield* subscribe(silent.url)
        yield* subscribe(dead.url)
      }
      const { id: subscription } = yield* subscribe(quick.url)
      const id = yield* connected
      const since = yield* Clock.currentTimeMillis
      yield* happen(id, "renewed", "renewed", "renewed")
      yield* until(areAll(subscription, 3, "delivered"))
      assert.isBelow((yield* Clock.currentTimeMillis) - since, 9_000)
      assert.isAtLeast(silent.received.length, 5)
      // A stop waits for attempts that are under way.
      yield* silent.hangUp
    }).pipe(service())
  )

  it.effect("that answers with an endless body has answered, and a redirect is not followed", () =>
    Effect.gen(function* () {
      const elsewhere = yield* Receiver.make()
      const talkative = yield* Receiver.make(() => (response) => {
        response.writeHead(200)
        const write = (): void => {
          if (!response.destroyed) response.write("x".repeat(4096), () => setImmediate(write))
        }
        write()
      })
      const moved = yield* Receiver.make(
        () => (response) => void response.writeHead(307, { location: elsewhere.url }).end()
      )
      const answered = yield* subscribe(talkative.url)
      const redirected = yield* subscribe(moved.url)
      yield* happen(yield* connected, "renewed")
      yield* until(
        Effect.gen(function* () {
          const [one] = yield* deliveriesOf(answered.id)
          const [other] = yield* deliveriesOf(redirected.id)
          return one?.state === "delivered" && other?.answered === 307
        })
      )
      assert.lengthOf(talkative.received, 1)
      assert.lengthOf(elsewhere.received, 0)
    }).pipe(service())
  )
})
