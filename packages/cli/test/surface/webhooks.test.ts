/** Webhook subscriptions and deliveries, as the official clients make and verify them. */
import Later from "@composio/client"
import { Composio as Core, ConnectionExpiredEventSchema } from "@composio/core"
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { happen, connected } from "../webhooks/service.ts"
import * as Receiver from "../webhooks/Receiver.ts"
import { apiKey, layer, readerKey, Service } from "./service.ts"

const call = <A>(evaluate: () => PromiseLike<A>) => Effect.promise(async () => evaluate())

const clients = Effect.gen(function* () {
  const { url: baseURL } = yield* Service
  return {
    later: new Later({ baseURL, apiKey }),
    core: new Core({ baseURL, apiKey, allowTracking: false, disableVersionCheck: true })
  }
})

/** A request as any client could send it. */
const asked = Effect.fnUntraced(function* (method: string, path: string, body?: unknown, key = apiKey) {
  const { url } = yield* Service
  return yield* Effect.promise(async () => {
    const response = await fetch(`${url}/api/v3/webhook_subscriptions${path}`, {
      method,
      headers: { "x-api-key": key, "content-type": "application/json" },
      ...(body !== undefined && { body: JSON.stringify(body) })
    })
    return { status: response.status, body: await response.json() }
  })
})

it.layer(layer, { excludeTestServices: true })("webhook subscriptions", (it) => {
  it.effect("are created, read, changed, rotated and deleted by the official client", () =>
    Effect.gen(function* () {
      const { later } = yield* clients
      const { webhookSubscriptions: subscriptions } = later
      const types = yield* call(() => subscriptions.listEventTypes())
      assert.deepInclude(
        types.items.find(({ event_type }) => event_type === "composio.connected_account.expired"),
        { supported_versions: ["V3"] }
      )
      const made = yield* call(() =>
        subscriptions.create({
          webhook_url: "https://1.1.1.1/hook",
          enabled_events: ["composio.trigger.message", "composio.connected_account.expired"]
        })
      )
      assert.match(made.secret, /^whsec_[\w+/]{43}=$/)
      assert.strictEqual(made.version, "V3")
      const read = yield* call(() => subscriptions.retrieve(made.id))
      assert.deepStrictEqual({ ...read, secret: made.secret }, made)
      assert.notStrictEqual(read.secret, made.secret)
      const changed = yield* call(() =>
        subscriptions.update(made.id, { enabled_events: ["rekindle.connected_account.renewed"] })
      )
      assert.deepStrictEqual(changed.enabled_events, ["rekindle.connected_account.renewed"])
      const rotated = yield* call(() => subscriptions.rotateSecret(made.id))
      assert.strictEqual(rotated.id, made.id)
      assert.notStrictEqual(rotated.secret, made.secret)
      const page = yield* call(() => subscriptions.list({ limit: 1 }))
      assert.deepInclude(page, { total_items: 1, total_pages: 1, current_page: 1, next_cursor: null })
      assert.deepStrictEqual(
        page.items.map(({ id }) => id),
        [made.id]
      )
      assert.deepStrictEqual(yield* call(() => subscriptions.delete(made.id)), { success: true })
      const gone = yield* asked("GET", `/${made.id}`)
      assert.deepInclude(gone.body.error, { status: 404, slug: "webhook_subscription_not_found" })
    })
  )

  it.effect(
    "are refused with a private address, an unknown type, or a version without the type, and name what is wrong",
    () =>
      Effect.gen(function* () {
        const events = ["composio.connected_account.expired"]
        const refused: ReadonlyArray<readonly [body: object, slug: string, error: RegExp]> = [
          [{ webhook_url: "not an address", enabled_events: events }, "webhook_url_refused", /^url_malformed/],
          [{ webhook_url: "ftp://1.1.1.1/", enabled_events: events }, "webhook_url_refused", /^url_malformed/],
          [{ webhook_url: "https://a:b@1.1.1.1/", enabled_events: events }, "webhook_url_refused", /^url_credentials/],
          [{ webhook_url: "https://1.1.1.1/", enabled_events: ["a.b"] }, "unknown_event_type", /enabled_events\[0\]/],
          [{ webhook_url: "https://1.1.1.1/", enabled_events: events, version: "V2" }, "unsupported_version", /V3/]
        ]
        for (const [body, slug, error] of refused) {
          const answer = yield* asked("POST", "", body)
          assert.deepInclude(answer.body.error, { status: 400, slug })
          assert.match(answer.body.error.errors[0], error)
        }
        assert.deepInclude((yield* asked("POST", "", { enabled_events: events })).body.error, { slug: "invalid_body" })
        assert.strictEqual((yield* asked("POST", "", refused[0]?.[0], readerKey)).status, 403)
      })
  )

  it.effect("deliver what the official SDK verifies and parses, before and after a rotation", () =>
    Effect.gen(function* () {
      const { core, later } = yield* clients
      const receiver = yield* Receiver.make()
      const set = yield* call(() =>
        core.triggers.setWebhookSubscription({
          webhookUrl: receiver.url,
          enabledEvents: ["composio.connected_account.expired"]
        })
      )
      const verify = ({ body: payload, headers, id }: Receiver.Received, secret = "") =>
        call(() =>
          core.triggers.verifyWebhook({
            id,
            payload,
            secret,
            signature: headers["webhook-signature"] ?? "",
            timestamp: headers["webhook-timestamp"] ?? ""
          })
        )
      yield* happen(yield* connected, "expired")
      const first = yield* receiver.next
      assert.deepInclude(yield* verify(first, set.secret), { version: "V3" })
      const parsed = ConnectionExpiredEventSchema.parse(JSON.parse(first.body))
      assert.deepInclude(parsed.data, { status: "EXPIRED", user_id: "person" })
      const rotated = yield* call(() => later.webhookSubscriptions.rotateSecret(set.id))
      yield* happen(yield* connected, "expired")
      const second = yield* receiver.next
      yield* verify(second, rotated.secret)
      yield* verify(second, set.secret)
      const [delivery] = (yield* asked("GET", `/${set.id}/deliveries?state=delivered`)).body.items
      assert.deepInclude(delivery, { id: second.id, answered: 204, attempts: 1 })
      assert.deepStrictEqual((yield* asked("POST", `/${set.id}/replay`, { delivery_ids: [first.id] })).body, {
        queued: 1
      })
      assert.strictEqual((yield* receiver.next).id, first.id)
    })
  )
})
