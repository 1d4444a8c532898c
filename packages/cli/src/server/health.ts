/**
 * `/healthz` and `/readyz`, for whatever restarts the process and whatever sends it requests. They need no API key.
 *
 * `/healthz` answers while the process does. `/readyz` answers 200 if the process can serve: the database answers, the key ring opens what
 * the database holds, and the renewer polls. A backlog is reported and does not make the process unready, because that would stop the
 * requests of callers too.
 *
 * @module
 */
import { type AccountStore, type CredentialVault, KeyRotation, Renewer } from "@rekindle/engine"
import { Clock, Duration, Effect, type Layer, Option } from "effect"
import { HttpMiddleware, HttpRouter, HttpServerResponse } from "effect/http"
import * as ReadCache from "../store/ReadCache.ts"

/** How long a check may take. */
const checkTimeout = "3 seconds"

/** How long an answer of `/readyz` is served again, so that strangers cannot keep the database busy with it. */
const readyFor = Duration.seconds(1)

/** How long the renewer may not have polled, in milliseconds. It polls every 5 seconds. */
const stalledAfter = 60_000

interface Check {
  readonly status: "ok" | "failed" | "off"
  readonly [detail: string]: string | number
}

const failed = (message: string): Check => ({ status: "failed", message })

const storage = Effect.matchEffect(Effect.timeout(KeyRotation.verify, checkTimeout), {
  onSuccess: () => Effect.succeed<Record<string, Check>>({ database: { status: "ok" }, vault: { status: "ok" } }),
  onFailure: (error) =>
    Effect.succeed<Record<string, Check>>(
      error._tag === "VaultError"
        ? { database: { status: "ok" }, vault: failed(error.message) }
        : { database: failed(error._tag === "TimeoutError" ? "no answer" : error.message) }
    )
})

/** What the renewer says of itself. It gets a minute for its first poll. */
const renewing = Effect.fnUntraced(function* (renewer: Option.Option<Renewer["Service"]>, startedAt: number) {
  if (Option.isNone(renewer)) return { status: "off" } satisfies Check
  const { lastLookAt, oldestDueFor, outstanding } = yield* renewer.value.progress
  const sinceLook = (yield* Clock.currentTimeMillis) - Math.max(lastLookAt, startedAt)
  return {
    status: sinceLook > stalledAfter ? "failed" : "ok",
    last_poll_ms_ago: sinceLook,
    oldest_due_ms: oldestDueFor,
    outstanding
  } satisfies Check
})

const answer = (status: number, body: object) =>
  HttpServerResponse.jsonUnsafe(body, { status, headers: { "cache-control": "no-store" } })

/** `/healthz`: the process runs. */
export const alive = { status: "ok" }

/** `/readyz` while the process starts. */
export const starting = { status: "starting" }

/** The two routes. */
export const routes: Layer.Layer<never, never, AccountStore | CredentialVault | HttpRouter.HttpRouter> = HttpRouter.use(
  Effect.fnUntraced(function* (router) {
    const services = yield* Effect.context<AccountStore | CredentialVault>()
    const renewer = yield* Effect.serviceOption(Renewer)
    const startedAt = yield* Clock.currentTimeMillis
    const check = Effect.gen(function* () {
      const checks = { ...(yield* storage), renewer: yield* renewing(renewer, startedAt) }
      const isReady = Object.values(checks).every(({ status }) => status !== "failed")
      return answer(isReady ? 200 : 503, { status: isReady ? "ready" : "not ready", checks })
    }).pipe(Effect.provideContext(services), Effect.withTracerEnabled(false))
    const answers = yield* ReadCache.make(() => check, { capacity: 1, freshFor: readyFor })
    yield* router.add("GET", "/healthz", HttpMiddleware.withLoggerDisabled(Effect.succeed(answer(200, alive))))
    yield* router.add("GET", "/readyz", HttpMiddleware.withLoggerDisabled(answers.get("/readyz")))
  })
)
