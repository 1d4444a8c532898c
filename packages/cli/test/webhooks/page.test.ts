/** `docs/webhooks.md` says what is sent. Its program runs with the other snippets. */
import { assert, describe, it } from "@effect/vitest"
import { ConnectedAccount, type ConnectionEventType } from "@rekindle/core"
import { WebhookEvents } from "@rekindle/platform"
import { DateTime, Effect, Schema } from "effect"
import { readFileSync } from "node:fs"
import { join } from "node:path"

const page = readFileSync(join(import.meta.dirname, "../../../../docs/webhooks.md"), "utf8")
const bodies = Array.from(page.matchAll(/```json\n([^]*?)```/g), ([, body = ""]) => JSON.parse(body))

describe("docs/webhooks.md", () => {
  it("has each type that is sent, and says of it what the service says", () => {
    const rows = Array.from(page.matchAll(/^\| `([\w.]+)` +\| (.*?) +\|$/gm), ([, type, says]) => [type, says])
    assert.deepStrictEqual(
      rows,
      WebhookEvents.webhookEventTypes
        .filter(({ eventType }) => eventType.includes("connected_account"))
        .map(({ description, eventType }) => [eventType, description])
    )
  })

  it.effect("shows the bodies as they are sent", () =>
    Effect.gen(function* () {
      const account = Schema.decodeUnknownSync(ConnectedAccount)({ ...bodies[0].data, status_reason: null })
      const sent = (at: number, type: ConnectionEventType, known: ConnectedAccount | undefined) => {
        const { data, id, metadata, timestamp } = bodies[at]
        return WebhookEvents.webhookBody({
          id,
          projectId: metadata.project_id,
          event: {
            sequence: metadata.sequence,
            accountId: account.id,
            type,
            status: data.status,
            statusReason: data.status_reason,
            at: DateTime.makeUnsafe(Date.parse(timestamp))
          },
          account: known
        })
      }
      assert.lengthOf(bodies, 2)
      assert.deepStrictEqual(JSON.parse((yield* sent(0, "expired", account)) ?? ""), bodies[0])
      assert.deepStrictEqual(JSON.parse((yield* sent(1, "renewed", undefined)) ?? ""), bodies[1])
    })
  )
})
