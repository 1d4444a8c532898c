/**
 * The soak run: mixed load on `rekindle serve`, with a `kill -9` and a SIGTERM in the middle, against a provider that revokes a grant when a
 * token is presented twice. It stops by itself, and its report says what was lost.
 *
 * @module
 */
import { Effect, Random, Schema, type Scope } from "effect"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { Place } from "../../engine/test/support/Place.ts"
import * as StrictProvider from "../../engine/test/support/StrictProvider.ts"
import { atMost, type Report, type Row } from "../report.ts"
import { type Account, adminKey, type Clients, make as makeClients, publicUrl, type World } from "./clients.ts"
import * as Counts from "./counts.ts"
import * as News from "./news.ts"
import * as Processes from "./processes.ts"

/** The size of a run. */
export interface Options {
  /** The database. A SQLite file is for one process. */
  readonly place: Place
  readonly processes: number
  /** How long the load lasts, in seconds. */
  readonly seconds: number
  readonly accounts: number
  /** Callers at the same time. Each pauses for 50 ms on average. */
  readonly clients: number
  readonly seed: number
  readonly progress: (line: string) => void
}

/**
 * What a process that was killed was renewing is not sent again for two leases of a minute. For so long callers may be told to come again, in
 * milliseconds.
 */
const recovery = 150_000

/** How long no webhook may come although some are left, in milliseconds. */
const stuck = 60_000

const folder = Effect.acquireRelease(
  Effect.promise(() => mkdtemp(join(tmpdir(), "rekindle-soak-"))),
  (folder) => Effect.promise(() => rm(folder, { recursive: true, force: true }))
)

const addressOf = (place: Place): string =>
  "filename" in place
    ? place.filename
    : `postgres://${place.username}:${place.password}@${place.host}:${place.port}/${place.database}`

const Subscription = Schema.Struct({ id: Schema.String, secret: Schema.String })
const Page = Schema.Struct({
  items: Schema.Array(Schema.Struct({ sequence: Schema.Int, connected_account_id: Schema.String, type: Schema.String }))
})
const Verdict = Schema.Struct({ intact: Schema.Int, broken: Schema.NullOr(Schema.Unknown) })
const Pending = Schema.Struct({ items: Schema.Array(Schema.Unknown) })

/** A setting up that has to work, and the value in its answer. */
const required = Effect.fnUntraced(function* <A>(
  schema: Schema.Codec<A, unknown>,
  answer: Effect.Effect<{ readonly body: unknown } | undefined>
) {
  return yield* Effect.orDie(Schema.decodeUnknownEffect(schema)((yield* answer)?.body))
})

/** Runs it. */
export const run = Effect.fnUntraced(function* (options: Options): Effect.fn.Return<Report, never, Scope.Scope> {
  const { clients: callers, processes: count, progress, seconds, seed } = options
  const home = yield* folder
  const provider = yield* StrictProvider.make({ accessTokenTtl: "5 minutes", latency: [2, 20] })
  const hook = yield* News.receiver(500)
  const counts = Counts.make()
  const problems: Array<string> = []
  const expiries: Array<Account> = []
  const kills: Array<number> = []
  const errors: Array<string> = []

  const processes = yield* Processes.start(
    {
      REKINDLE_DATABASE: addressOf(options.place),
      REKINDLE_KEYS: `k1:${Buffer.alloc(32, "soak").toString("base64")}`,
      REKINDLE_JOURNAL: join(home, "journal"),
      REKINDLE_API_KEY: adminKey,
      REKINDLE_PRIVATE_HOSTS: provider.host,
      REKINDLE_WEBHOOK_PRIVATE_HOSTS: hook.host,
      REKINDLE_PUBLIC_URL: publicUrl
    },
    count,
    (line) => errors.push(line)
  )
  const accounts: Array<Account> = []
  const world: World = {
    provider,
    counts,
    accounts,
    up: processes.up,
    isRecovering: () => kills.some((at) => performance.now() - at < recovery),
    unexpected: (what) => {
      if (problems.push(what) <= 20) progress(`unexpected: ${what}`)
    },
    expired: (account) => void expiries.push({ ...account })
  }
  const clients = yield* makeClients(world)
  const subscription = yield* setUp(clients, provider, accounts, hook, options)

  const events = News.journal()
  const tail = Effect.gen(function* () {
    const path = `/api/v3/events?after=${events.after()}&wait_ms=1000&every_ms=500`
    const answer = yield* clients.call({ route: "GET events", method: "GET", path })
    const page = answer && Schema.decodeUnknownOption(Page)(answer.body)
    if (page?._tag === "Some") events.add(page.value.items)
    return page?._tag === "Some" && page.value.items.length === 0
  })

  const startedAt = performance.now()
  const elapsed = () => (performance.now() - startedAt) / 1000
  const isOver = () => elapsed() >= seconds
  const looping = (step: Effect.Effect<unknown>, pause: Effect.Effect<number>) =>
    Effect.repeat(Effect.andThen(step, Effect.flatMap(pause, Effect.sleep)), { until: isOver })
  const every = (millis: number, step: Effect.Effect<unknown>) => looping(step, Effect.succeed(millis))

  const load = Effect.forEach(
    Array.from({ length: callers }, (_, caller) => accounts.filter((_, index) => index % callers === caller)),
    (own, caller) =>
      Random.withSeed(
        looping(
          clients.step(own),
          Effect.map(Random.next, (share) => 100 * share)
        ),
        seed + caller
      ),
    { concurrency: "unbounded", discard: true }
  )
  const trouble = Effect.gen(function* () {
    yield* Effect.sleep(seconds * 350)
    progress("SIGTERM, and a new start")
    const ended = yield* processes.end(count - 1, "SIGTERM")
    yield* processes.startAgain(count - 1)
    if (ended !== 0) world.unexpected(`a process ended with ${ended} after SIGTERM`)
    yield* Effect.sleep(seconds * 50)
    const rotated = yield* clients.call({
      route: "POST webhook_subscriptions/…/rotate_secret",
      method: "POST",
      path: `/api/v3/webhook_subscriptions/${subscription.id}/rotate_secret`
    })
    const again = Schema.decodeUnknownOption(Subscription)(rotated?.body)
    const { secret } = again._tag === "Some" ? again.value : subscription
    // What is under way has the old one only.
    hook.trust([secret, subscription.secret])
    yield* Effect.sleep(seconds * 50)
    hook.trust([secret])
    yield* Effect.sleep(seconds * 50)
    progress("kill -9, and a new start")
    kills.push(performance.now())
    yield* processes.end(0, "SIGKILL")
    yield* processes.startAgain(0)
  })
  const report = Effect.gen(function* () {
    const { spent } = provider.tally()
    progress(
      `${Math.round(elapsed())} s: ${counts.requests()} requests, ${problems.length} unexpected, ${spent} renewals, ` +
        `${hook.count()} webhooks, ${processes.resident().join(" and ")} MB`
    )
  })
  yield* Effect.all(
    [
      load,
      trouble,
      every(0, tail),
      Random.withSeed(every(10_000, clients.keyLife), seed),
      Random.withSeed(every(3_000, clients.linkLife), seed),
      every(Math.min(30_000, seconds * 100), report)
    ],
    { concurrency: "unbounded", discard: true }
  )

  const rowsOfMemory = processes.memory()
  progress("the load is over; what is under way ends")
  /** Webhooks are sent to an endpoint one after the other, so that after much load much is left. It goes on as long as they come. */
  let arrived = { count: hook.count(), at: performance.now() }
  const untilQuiet = Effect.suspend(() =>
    Effect.raceFirst(
      Effect.repeat(isQuiet, { until: (quiet) => quiet || isStuck() }),
      Effect.forever(Effect.andThen(Effect.sleep(30_000), report))
    )
  )
  const isStuck = () => {
    const count = hook.count()
    if (count !== arrived.count) arrived = { count, at: performance.now() }
    return performance.now() - arrived.at > stuck
  }
  const isQuiet = Effect.gen(function* () {
    const path = `/api/v3/webhook_subscriptions/${subscription.id}/deliveries?state=pending&limit=1`
    const route = "GET webhook_subscriptions/…/deliveries"
    const { items } = yield* required(Pending, clients.call({ route, method: "GET", path }))
    return (yield* tail) && items.length === 0 && hook.count() === events.sequences().size
  })
  yield* untilQuiet

  const wasCutOff = (grantId: number): boolean =>
    provider.lostTo(
      grantId,
      kills.map((at) => ({ at, readUntil: at }))
    ) !== undefined
  // Every account works, and so does its refresh token. What the dead process held may be held for a while yet.
  const working = yield* Effect.forEach(
    accounts,
    (account) =>
      Effect.gen(function* () {
        const answer = yield* clients.refreshOnce(account, {
          "x-rekindle-token-refused": "true",
          ...(world.isRecovering() && { "x-rekindle-timeout-ms": "500" })
        })
        yield* clients.readCredential(account)
        return answer !== undefined || world.isRecovering()
      }),
    { concurrency: callers }
  )
  yield* untilQuiet
  const audit = yield* required(
    Verdict,
    clients.call({ route: "GET audit_log/verification", method: "GET", path: "/api/v3/audit_log/verification" })
  )
  const ended = yield* Effect.forEach(
    Array.from({ length: count }, (_, index) => index),
    (index) => processes.end(index, "SIGTERM"),
    { concurrency: "unbounded" }
  )

  const mended = new Set(expiries.map(({ id }) => id))
  const { refused, spent } = provider.tally()
  const wronged = provider.replayed().filter((grantId) => !wasCutOff(grantId))
  const withoutCause = expiries.filter(({ grantId }) => !wasCutOff(grantId))
  const unannounced = accounts.filter(({ grantId, id }) => {
    const missing = provider.renewals(grantId) - events.renewals(id)
    return !mended.has(id) && missing !== 0 && !(missing === 1 && wasCutOff(grantId))
  })
  const listed = events.sequences()
  const delivered = hook.sequences()
  const undelivered = [...listed].filter((sequence) => !delivered.has(sequence))
  const unlisted = [...delivered].filter((sequence) => !listed.has(sequence))
  const newsProblems = [...hook.problems(), ...events.problems()]
  for (const problem of newsProblems.slice(0, 20)) progress(problem)
  for (const line of errors.slice(0, 20)) progress(line)
  const growth = Math.max(0, ...rowsOfMemory.map(({ growth }) => growth))

  const totals: Row = {
    name: `${"filename" in options.place ? "SQLite" : "Postgres"}, processes: ${count}`,
    s: Math.round(elapsed()),
    requests: counts.requests(),
    renewals: spent,
    "cut off by kill -9": provider.replayed().length - wronged.length,
    expired: expiries.length,
    events: listed.size,
    webhooks: delivered.size,
    "repeated with the same id": hook.repeated(),
    "entries of the audit log": audit.intact
  }
  return {
    rows: [...counts.rows(), ...rowsOfMemory, totals],
    marks: [
      atMost("unexpected answers", problems.length, 0),
      atMost("error lines in the logs", errors.length, 0),
      atMost("accounts that do not work in the end", working.filter((works) => !works).length, 0),
      atMost("grants wronged at the provider", wronged.length, 0),
      atMost(
        "token requests that were refused without cause",
        (refused["replayed"] ?? 0) + (refused["unknown"] ?? 0),
        0
      ),
      atMost("accounts that expired without cause", withoutCause.length, 0),
      atMost("accounts with renewals that no event tells", unannounced.length, 0),
      atMost("events without a webhook, or webhooks without an event", undelivered.length + unlisted.length, 0),
      atMost("webhooks or events out of order, unsigned, or with two ids", newsProblems.length, 0),
      atMost("audit log broken", audit.broken === null ? 0 : 1, 0),
      atMost("processes that did not end well after SIGTERM", ended.filter((code) => code !== 0).length, 0),
      atMost(
        "growth of the peak of memory from the first half of a process's life to the second",
        growth,
        Processes.mostGrowth
      )
    ]
  }
})

/** Registers the auth config, subscribes the receiver, and creates the accounts. Returns the subscription. */
const setUp = Effect.fnUntraced(function* (
  { call }: Clients,
  provider: StrictProvider.StrictProvider,
  accounts: Array<Account>,
  hook: Effect.Success<ReturnType<typeof News.receiver>>,
  { accounts: count }: Options
) {
  const { hosts, profile, scheme, settings, toolkit } = provider.authConfig()
  const registered = yield* call({
    route: "PUT auth_configs/…",
    method: "PUT",
    path: "/api/v3/auth_configs/strict",
    body: {
      toolkit,
      scheme,
      settings,
      hosts,
      profile: { name: profile.name, rotation: profile.rotation },
      secrets: StrictProvider.secrets
    }
  })
  if (registered === undefined) return yield* Effect.die(new Error("the auth config was refused"))
  const types = ["expired", "expiring", "renewed", "recovered", "consent_started", "consent_completed"]
  const subscription = yield* required(
    Subscription,
    call({
      route: "POST webhook_subscriptions",
      method: "POST",
      path: "/api/v3/webhook_subscriptions",
      body: {
        webhook_url: hook.url,
        version: "V3",
        enabled_events: types.map((type) =>
          type === "expired" ? "composio.connected_account.expired" : `rekindle.connected_account.${type}`
        )
      },
      expect: [201]
    })
  )
  hook.trust([subscription.secret])
  for (let index = 0; index < count; index++) {
    const { grantId, refreshToken } = provider.mint()
    const account = {
      id: `ca_soak${String(index).padStart(8, "0")}`,
      userId: `person-${index % 50}`,
      grantId,
      mending: false
    }
    const created = yield* call({
      route: "PUT …",
      method: "PUT",
      path: `/api/v3/connected_accounts/${account.id}`,
      body: {
        auth_config_id: "strict",
        user_id: account.userId,
        secrets: { access_token: "imported", refresh_token: refreshToken },
        expires_at: new Date(0).toISOString()
      }
    })
    if (created === undefined) return yield* Effect.die(new Error("an account was refused"))
    accounts.push(account)
  }
  return subscription
})
