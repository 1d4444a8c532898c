/**
 * What the two endpoints do with `ConnectedAccounts`.
 *
 * A refresh, once begun, belongs to the server and not to the request: it runs in the server's scope, and the request merely waits for
 * it. A caller that hangs up or runs out of time leaves; the refresh is finished and its result kept. Interrupting it would abandon a
 * grant that may just have been spent. A server that closes does interrupt it: how to end well is then for the provider to know.
 *
 * @module
 */
import {
  ConnectedAccounts,
  type ConnectedAccountId,
  InvalidRequest,
  type ReadError,
  type RefreshError,
  RefreshFailed,
  RefreshOutcomeFromWire,
  type StatusError,
  Unavailable,
  Resilience
} from "@rekindle/core"
import { DateTime, Duration, Effect, Fiber, Schema } from "effect"
import { HttpServerRequest, HttpServerResponse } from "effect/http"
import { type ApiVersion, idempotencyKeyHeader, timeoutHeader, tokenRefusedHeader } from "../RekindleApi.ts"
import { published } from "./published.ts"

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

/** Longer than anybody waits, and short enough for every timer. */
const maxTimeout = Duration.days(1)

// Encoded here and not by the contract, whose schema names the seven known statuses: a gateway in front of a newer server has to pass
// on a status it does not know.
const encodeOutcome = Schema.encodeSync(RefreshOutcomeFromWire)

/** The handlers, bound to the scope that owns the refreshes they begin. */
export const handlers = Effect.gen(function* () {
  const accounts = yield* ConnectedAccounts
  const scope = yield* Effect.scope
  // The limit on what a caller may send is not one on what the provider may receive from its own servers.
  const ambientLimit = yield* HttpServerRequest.MaxBodySize
  const asProvider = Effect.provideService(HttpServerRequest.MaxBodySize, ambientLimit)

  const refresh = Effect.fnUntraced(function* ({ headers, params, payload, query }: RefreshRequest) {
    const redirectUrl = yield* agreeing("redirect_url", query.redirect_url, payload?.redirect_url)
    const timeout = headers[timeoutHeader]
    if (timeout === 0) {
      return yield* new Unavailable({
        message: "The caller's deadline had passed on arrival; nothing was done",
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
      .pipe(asProvider, Effect.catch(answerRefreshError), Effect.forkIn(scope))
    const outcome = yield* wait === undefined
      ? Fiber.join(flight)
      : Effect.timeoutOrElse(Fiber.join(flight), { duration: wait, orElse: leftWaiting })
    return HttpServerResponse.jsonUnsafe(encodeOutcome(outcome))
  })

  const get =
    (version: ApiVersion) =>
    ({ params }: { readonly params: { readonly nanoid: ConnectedAccountId } }) =>
      accounts.get(params.nanoid).pipe(
        asProvider,
        Effect.catch(answerReadError),
        Effect.flatMap((account) => published(account, version)),
        Effect.map((account) => HttpServerResponse.jsonUnsafe(account))
      )

  return (version: ApiVersion) => ({ get: get(version), refresh })
})

/** One value for a field that may come in the query and in the body. */
const agreeing = (field: string, query: string | undefined, body: string | undefined) =>
  query !== undefined && body !== undefined && query !== body
    ? Effect.fail(
        new InvalidRequest({
          message: `${field} has one value in the query and another in the body`,
          slug: "conflicting_fields",
          suggestedFix: `Send ${field} once`
        })
      )
    : Effect.succeed(query ?? body)

/** A 503 would promise that nothing was done. */
const leftWaiting = () =>
  Effect.fail(
    new RefreshFailed({
      message: "The caller's deadline passed first; the refresh goes on and may take effect",
      slug: "deadline_exceeded",
      suggestedFix: "Read the account before refreshing it again"
    })
  )

/**
 * A provider that is itself a client of another server meets failures that are no status of the contract. What the caller has to know
 * of them is their disposition; what they were is for our log.
 */
const answerRefreshError = (error: RefreshError): Effect.Effect<never, StatusError> => {
  switch (error._tag) {
    case "RefusedLocally":
    case "TransportError":
    case "DeadlineExceeded":
    case "UnexpectedResponse":
      return Effect.andThen(
        Effect.logWarning(`Upstream refresh: ${error.message}`),
        Effect.fail(
          error.disposition === "ambiguous"
            ? new RefreshFailed({
                message: "The refresh was sent upstream and no trustworthy answer came back",
                slug: "upstream_ambiguous",
                suggestedFix: "Read the account before refreshing it again"
              })
            : upstreamUnavailable(error)
        )
      )
    default:
      return Effect.fail(error)
  }
}

/** A read changes nothing, so that only an upstream speaking another language is more than "try again". */
const answerReadError = (error: ReadError): Effect.Effect<never, StatusError> => {
  switch (error._tag) {
    case "RefusedLocally":
    case "TransportError":
    case "DeadlineExceeded":
      return Effect.andThen(
        Effect.logWarning(`Upstream read: ${error.message}`),
        Effect.fail(upstreamUnavailable(error))
      )
    case "UnexpectedResponse":
      return Effect.andThen(
        Effect.logWarning(`Upstream read: ${error.message}`),
        Effect.fail(
          new RefreshFailed({ message: "The upstream answered something unexpected", slug: "upstream_unexpected" })
        )
      )
    default:
      return Effect.fail(error)
  }
}

const upstreamUnavailable = (error: RefreshError) => {
  const retryAfter = Resilience.retryAfterOf(error)
  return new Unavailable({
    message: "The upstream could not be asked; nothing was done",
    slug: "upstream_unavailable",
    ...(retryAfter !== undefined && { retryAfter })
  })
}
