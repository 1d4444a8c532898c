/**
 * The handlers of the two endpoints, on `ConnectedAccounts`.
 *
 * A refresh runs in the scope of the server, and the request waits for it. If the caller disconnects or its deadline passes, the refresh still
 * runs to its end and its result is stored. To interrupt it could lose a grant that was just spent. A shutdown of the server does interrupt it;
 * the provider of `ConnectedAccounts` then decides how to end.
 *
 * @module
 */
import {
  ConnectedAccounts,
  type ConnectedAccountId,
  InvalidRequest,
  RefreshFailed,
  RefreshOutcomeFromWire,
  Unavailable
} from "@rekindle/core"
import { DateTime, Duration, Effect, Fiber, Schema } from "effect"
import { HttpServerResponse } from "effect/http"
import { type ApiVersion, idempotencyKeyHeader, timeoutHeader, tokenRefusedHeader } from "../RekindleApi.ts"
import { makeCalls } from "./calls.ts"
import { published } from "./published.ts"
import { answerChange } from "./upstream.ts"

interface RefreshRequest {
  readonly params: { readonly nanoid: ConnectedAccountId }
  readonly query: { readonly redirect_url?: string }
  readonly headers: {
    readonly [idempotencyKeyHeader]?: string
    readonly [timeoutHeader]?: number
    readonly [tokenRefusedHeader]?: "true" | "false"
  }
  readonly payload: { readonly redirect_url?: string; readonly validate_credentials?: boolean } | void
}

/** Longer than any caller waits, and short enough for any timer. */
const maxTimeout = Duration.days(1)

// The contract's schema has only the seven known statuses. A gateway before a newer server has to pass on an unknown one, so it is encoded here.
const encodeOutcome = Schema.encodeSync(RefreshOutcomeFromWire)

/** The handlers. The scope owns the refreshes that they start. */
export const handlers = Effect.gen(function* () {
  const accounts = yield* ConnectedAccounts
  const scope = yield* Effect.scope
  const { asProvider, reading } = yield* makeCalls

  const refresh = Effect.fnUntraced(function* ({ headers, params, payload, query }: RefreshRequest) {
    const redirectUrl = yield* agreeing("redirect_url", query.redirect_url, payload?.redirect_url)
    const timeout = headers[timeoutHeader]
    if (timeout === 0) {
      return yield* new Unavailable({
        message: "The deadline had passed when the request arrived; nothing was done",
        slug: "deadline_exceeded"
      })
    }
    const wait = timeout === undefined ? undefined : Duration.min(Duration.millis(timeout), maxTimeout)
    const idempotencyKey = headers[idempotencyKeyHeader]
    const flight = yield* accounts
      .refresh(params.nanoid, {
        ...(redirectUrl !== undefined && { redirectUrl }),
        ...(payload?.validate_credentials !== undefined && { validateCredentials: payload.validate_credentials }),
        ...(idempotencyKey !== undefined && { idempotencyKey }),
        ...(headers[tokenRefusedHeader] === "true" && { tokenRefused: true }),
        ...(wait !== undefined && { deadline: DateTime.addDuration(yield* DateTime.now, wait) })
      })
      .pipe(asProvider, answerChange, Effect.forkIn(scope))
    const outcome = yield* wait === undefined
      ? Fiber.join(flight)
      : Effect.timeoutOrElse(Fiber.join(flight), { duration: wait, orElse: leftWaiting })
    return HttpServerResponse.jsonUnsafe(encodeOutcome(outcome))
  })

  const get =
    (version: ApiVersion) =>
    ({ params }: { readonly params: { readonly nanoid: ConnectedAccountId } }) =>
      reading(accounts.get(params.nanoid)).pipe(
        Effect.flatMap((account) => published(account, version)),
        Effect.map((account) => HttpServerResponse.jsonUnsafe(account))
      )

  return (version: ApiVersion) => ({ get: get(version), refresh })
})

/** The value of a field that may be in the query and in the body. */
const agreeing = (field: string, query: string | undefined, body: string | undefined) =>
  query !== undefined && body !== undefined && query !== body
    ? Effect.fail(
        new InvalidRequest({
          message: `${field} has different values in the query and in the body`,
          slug: "conflicting_fields",
          suggestedFix: `Send ${field} once`
        })
      )
    : Effect.succeed(query ?? body)

/** It is a 500, because a 503 would mean that nothing was done. */
const leftWaiting = () =>
  Effect.fail(
    new RefreshFailed({
      message: "The deadline passed before the refresh ended; it continues and may take effect",
      slug: "deadline_exceeded",
      suggestedFix: "Read the account before refreshing it again"
    })
  )
