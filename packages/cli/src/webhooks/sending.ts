/**
 * Sends one delivery to its endpoint.
 *
 * It goes through the engine's egress: https and public addresses only, also after the name was resolved, no redirects, and bounds on time and
 * on the answer. Only the status of the answer counts, so an answer whose body is cut off or too large counts with the status that it had.
 *
 * @module
 */
import type { Egress, Verdict } from "@rekindle/engine"
import { Clock, DateTime, Duration, Effect, Option, type Redacted, Result } from "effect"
import { Headers } from "effect/http"
import { version } from "../version.ts"
import type { PendingRow } from "./queue.ts"
import type { SubscriptionRow } from "./rows.ts"
import { signatureOf } from "./signature.ts"

/** What an attempt came to. `gone` ends the subscription (410). */
export type Sent =
  | { readonly _tag: "Delivered"; readonly answered: number }
  | { readonly _tag: "Gone"; readonly answered: number; readonly error: string }
  | {
      readonly _tag: "Failed"
      readonly answered: number | null
      readonly error: string
      readonly retryAfter: Duration.Duration | undefined
    }

const waitOf = (retryAfter: string | undefined, now: number): Duration.Duration | undefined => {
  if (retryAfter === undefined) return undefined
  const parsed = Option.getOrUndefined(Result.getSuccess(Headers.parseRetryAfter(retryAfter)))
  if (parsed === undefined) return undefined
  return parsed._tag === "Duration"
    ? parsed.duration
    : Duration.millis(Math.max(0, DateTime.toEpochMillis(parsed.dateTime) - now))
}

const judge = (status: number, retryAfter: Duration.Duration | undefined): Sent => {
  if (status >= 200 && status < 300) return { _tag: "Delivered", answered: status }
  if (status === 410) return { _tag: "Gone", answered: status, error: "the endpoint answered 410" }
  return { _tag: "Failed", answered: status, error: `the endpoint answered ${status}`, retryAfter }
}

const seen = (observation: Verdict.Observation, now: number): Sent => {
  switch (observation._tag) {
    case "Answer":
      return judge(observation.status, waitOf(observation.retryAfter, now))
    case "NoAnswer":
      return observation.status === undefined
        ? { _tag: "Failed", answered: null, error: observation.reason, retryAfter: undefined }
        : judge(observation.status, undefined)
    case "NotSent":
    case "Refused":
      return { _tag: "Failed", answered: null, error: observation.reason, retryAfter: undefined }
  }
}

/** Signs a delivery at the present time and sends it once. */
export const makeSend = (egress: Egress["Service"]) =>
  Effect.fnUntraced(function* (
    { url }: SubscriptionRow,
    { body, message_id: id }: PendingRow,
    secrets: ReadonlyArray<Redacted.Redacted<string>>
  ) {
    const now = yield* Clock.currentTimeMillis
    const timestamp = Math.floor(now / 1000)
    const observation = yield* egress.send([URL.parse(url)?.host ?? ""], {
      url,
      method: "POST",
      body,
      headers: {
        "content-type": "application/json",
        "user-agent": `rekindle/${version}`,
        "webhook-id": id,
        "webhook-timestamp": String(timestamp),
        "webhook-signature": signatureOf({ id, timestamp, body }, secrets),
        // The hosted service names the form of the body so.
        "x-composio-webhook-version": "V3"
      }
    })
    return seen(observation, yield* Clock.currentTimeMillis)
  })
