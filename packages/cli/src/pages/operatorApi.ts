/**
 * What the operator's page reads and does, for admin keys: the state of a project's accounts, and links with which their owners connect them
 * anew. The page refreshes an account with the published endpoint.
 *
 * @module
 */
import {
  ConnectedAccountId,
  ConnectedAccounts,
  Connections,
  type ConnectionsError,
  CurrentProject,
  InvalidRequest,
  KnownStatus,
  RefreshUnsupported,
  Unauthorized,
  Unavailable
} from "@rekindle/core"
import { AccountStore, AuthStrategies, RefreshCoordinator, type StoreError } from "@rekindle/engine"
import { ApiKeys, Toolkits } from "@rekindle/platform"
import { Clock, DateTime, Duration, Effect, type Layer, Option, Redacted, Schema } from "effect"
import { HttpRouter, type HttpServerRequest, HttpServerResponse } from "effect/http"
import { isForPeople } from "./fields.ts"
import { Links } from "./Links.ts"
import { serviceName } from "./serviceName.ts"

/** The address of the overview. */
export const overviewPath = "/api/v3/operator/overview"

/** The due curve: how long one span is, and how many are shown. */
const span = Duration.toMillis("10 minutes")
const spans = 12

/** How many failing accounts are shown, of those that were added last. */
const failuresAtMost = 100

/** The answer of the overview. Times are ISO 8601. */
export interface Overview {
  readonly project: string
  readonly at: string
  readonly accounts: ReadonlyArray<{ readonly status: string; readonly count: number }>
  /** How many accounts are due in each span. Overdue ones are in the first. */
  readonly due: ReadonlyArray<{ readonly from: string; readonly count: number }>
  /** Auth configs whose renewals this process holds back, because several accounts met the same fault. */
  readonly circuits: ReadonlyArray<{
    readonly auth_config_id: string
    readonly cause: string
    readonly accounts: number
    readonly open_seconds: number
    readonly retry_seconds: number
  }>
  readonly failures: {
    readonly count: number
    readonly items: ReadonlyArray<{
      readonly id: string
      readonly alias: string | null
      readonly user_id: string
      /** The name of the service for people. */
      readonly service: string
      readonly auth_config_id: string
      readonly status: string
      readonly reason: string | null
      /** The verdict of the last attempt, and the code of the provider or of the engine. */
      readonly verdict: string | null
      readonly code: string | null
      readonly since: string
      readonly retry_at: string | null
    }>
  }
}

/** The envelope of a failure. */
const failure = (error: ConnectionsError) => {
  const status = "status" in error && typeof error.status === "number" ? error.status : 500
  return HttpServerResponse.jsonUnsafe(
    {
      error: {
        message: error.message,
        code: status * 100,
        status,
        ...("slug" in error && error.slug !== undefined && { slug: error.slug }),
        ...("errors" in error && error.errors !== undefined && { errors: error.errors })
      }
    },
    {
      status,
      headers:
        "retryAfter" in error && error.retryAfter !== undefined
          ? { "retry-after": String(Math.ceil(Duration.toSeconds(error.retryAfter))) }
          : {}
    }
  )
}

const storeDown = ({ message }: StoreError) =>
  new Unavailable({ message, slug: "store_unavailable", retryAfter: Duration.seconds(1) })

const iso = (millis: number): string => new Date(millis).toISOString()

const isId = Schema.is(ConnectedAccountId)

const make = Effect.gen(function* () {
  const accounts = yield* ConnectedAccounts
  const connections = yield* Connections
  const coordinator = yield* RefreshCoordinator
  const keys = yield* ApiKeys
  const links = yield* Links
  const store = yield* AccountStore
  const strategies = yield* AuthStrategies
  const toolkits = yield* Toolkits

  /** Runs a request in the project of its admin key. */
  const asAdmin = (request: HttpServerRequest.HttpServerRequest, answer: Effect.Effect<unknown, ConnectionsError>) =>
    Effect.gen(function* () {
      const key = request.headers["x-api-key"] ?? ""
      if (key === "") {
        return yield* new Unauthorized({ message: "The x-api-key header is missing", slug: "missing_api_key" })
      }
      const principal = yield* keys.check(Redacted.make(key), { address: Option.getOrUndefined(request.remoteAddress) })
      yield* ApiKeys.permit(principal, "admin")
      return HttpServerResponse.jsonUnsafe(yield* Effect.provideService(answer, CurrentProject, principal.projectId))
    }).pipe(Effect.catch((error) => Effect.succeed(failure(error))))

  const failures = Effect.fnUntraced(function* (projectId: string, now: number) {
    const query = { projectId, isFailing: true, now }
    const [count, { items }] = yield* Effect.all([
      store.count(query),
      store.list({ ...query, limit: failuresAtMost })
    ]).pipe(Effect.mapError(storeDown))
    const shown = yield* Effect.forEach(
      items,
      ({ lastAttempt, publicId, updatedAt, userId, authConfigId }) =>
        accounts.get(publicId).pipe(
          Effect.flatMap((account) =>
            Effect.map(serviceName(toolkits, account.toolkit.slug), (service) => ({ account, service }))
          ),
          Effect.map(({ account: { alias, status, statusReason }, service }) => [
            {
              id: publicId,
              alias: alias ?? null,
              user_id: userId,
              service,
              auth_config_id: authConfigId,
              status,
              reason: statusReason,
              verdict: lastAttempt?.verdict ?? null,
              code: lastAttempt?.code ?? null,
              since: iso(lastAttempt?.since ?? updatedAt),
              retry_at: lastAttempt === null || lastAttempt.retryAt === null ? null : iso(lastAttempt.retryAt)
            }
          ]),
          // It was removed meanwhile.
          Effect.catchTag("AccountNotFound", () => Effect.succeed([]))
        ),
      // Together, so that the reads share a statement.
      { concurrency: "unbounded" }
    )
    return { count, items: shown.flat().toSorted((one, other) => (one.since < other.since ? 1 : -1)) }
  })

  const overview = Effect.gen(function* () {
    const projectId = yield* CurrentProject
    const now = yield* Clock.currentTimeMillis
    const byStatus = yield* Effect.forEach(KnownStatus.literals, (status) =>
      Effect.map(connections.count({ statuses: [status] }), (count) => ({ status, count }))
    )
    const due = yield* store
      .dueCurve({ projectId, from: now, step: span, steps: spans })
      .pipe(Effect.mapError(storeDown))
    const circuits = yield* coordinator.openCircuits
    return {
      project: projectId,
      at: iso(now),
      accounts: byStatus,
      due: due.map((count, index) => ({ from: iso(now + index * span), count })),
      circuits: circuits
        .filter((circuit) => circuit.projectId === projectId)
        .map(({ accounts, authConfigId, cause, openFor, retryAfter }) => ({
          auth_config_id: authConfigId,
          cause,
          accounts,
          open_seconds: Math.round(Duration.toSeconds(openFor)),
          retry_seconds: Math.ceil(Duration.toSeconds(retryAfter))
        })),
      failures: yield* failures(projectId, now)
    } satisfies Overview
  })

  const link = Effect.fnUntraced(function* (id: string | undefined) {
    if (!isId(id)) return yield* new InvalidRequest({ message: "malformed connected account id", slug: "invalid_id" })
    const { state, status } = yield* accounts.get(id)
    if (status === "REVOKED" || status === "INACTIVE") {
      return yield* new InvalidRequest({
        message: `the account is ${status} and cannot be connected`,
        slug: "account_not_refreshable"
      })
    }
    if (!isForPeople(strategies.get(state.authScheme))) {
      return yield* new RefreshUnsupported({
        message: `accounts of the scheme ${state.authScheme} are not connected by a person`,
        slug: "scheme_unsupported"
      })
    }
    const { expiresAt, url } = yield* links.create({
      projectId: yield* CurrentProject,
      accountId: id,
      callbackUrl: undefined
    })
    return { url, expires_at: DateTime.formatIso(expiresAt) }
  })

  return { asAdmin, overview, link }
})

/** `GET` of the overview, and `POST` of a link for an account. */
export const routes: Layer.Layer<
  never,
  never,
  | AccountStore
  | ApiKeys
  | AuthStrategies
  | ConnectedAccounts
  | Connections
  | HttpRouter.HttpRouter
  | Links
  | RefreshCoordinator
  | Toolkits
> = HttpRouter.use(
  Effect.fnUntraced(function* (router) {
    const { asAdmin, link, overview } = yield* make
    yield* router.add("GET", overviewPath, (request) => asAdmin(request, overview))
    yield* router.add("POST", "/api/v3/operator/accounts/:nanoid/link", (request) =>
      Effect.flatMap(HttpRouter.params, ({ nanoid }) => asAdmin(request, link(nanoid)))
    )
  })
)
