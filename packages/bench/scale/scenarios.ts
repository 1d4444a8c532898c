/**
 * What is measured at scale, each in a process and a database of its own. A scenario gives plain numbers.
 *
 * @module
 */
import { ConnectedAccounts, Connections } from "@rekindle/core"
import { Journal, Sealed } from "@rekindle/engine"
import { Clock, Effect, Metric, Schema } from "effect"
import { SqlClient } from "effect/sql"
import { oldestDue } from "../../engine/src/renewal/Renewer.ts"
import { fill, idOf, type Place, register, type Scenario, startRenewer, watch } from "./ground.ts"

/** The smaller number in a smoke test. */
const sized = ({ quick }: Place, whole: number, brief: number) => (quick ? brief : whole)

/** Seconds of measuring, in milliseconds. */
const lasting = (place: Place, seconds: number) => sized(place, seconds * 1_000, 1_500)

/** What is overdue has been due for an hour. */
const anHourAgo = Effect.map(Clock.currentTimeMillis, (now) => now - 3_600_000)

/** A renewer that is held up by nothing but the machine. */
const fullSpeed = { concurrency: 128, maxClaimed: 200 }

const providers = Array.from({ length: 10 }, (_, index) => `provider${index}`)

const One = Schema.NonEmptyArray(Schema.Struct({ value: Schema.NumberFromString }))

/** The one number that a query gives. */
const ask = (query: Effect.Effect<unknown, unknown>) =>
  Effect.map(Effect.flatMap(query, Schema.decodeUnknownEffect(One)), ([{ value }]) => value)

/** A million overdue accounts of ten providers, renewed at full speed. */
const overdue: Scenario<{
  readonly accounts: number
  readonly fillSeconds: number
  readonly perSecond: number
  readonly cpuMicros: number
  readonly cores: number
  readonly residentMegabytes: number
  readonly secondsBetween: number
}> = Effect.fnUntraced(function* (place) {
  const sql = yield* SqlClient.SqlClient
  const accounts = sized(place, 1_000_000, 5_000)
  const dueAt = yield* anHourAgo
  const begun = performance.now()
  for (const config of providers) {
    yield* register(place, config)
    const count = accounts / providers.length
    yield* fill({ config, count, dueAt, apart: 3_600_000 / count })
  }
  yield* sql`VACUUM ANALYZE rekindle_accounts`
  // What filling left in memory and in the write-ahead log belongs to no renewal.
  yield* sql`CHECKPOINT`
  global.gc?.()
  const fillSeconds = (performance.now() - begun) / 1_000
  const renewer = yield* startRenewer(fullSpeed)
  yield* Effect.sleep(lasting(place, 10))
  const { cores, cpuMicros, perSecond } = yield* watch(renewer, lasting(place, 40))
  const secondsBetween =
    (yield* ask(
      sql`SELECT AVG(renew_at - obtained_at)::text AS value FROM rekindle_accounts WHERE obtained_epoch IS NOT NULL`
    )) / 1_000
  return {
    accounts,
    fillSeconds,
    perSecond,
    cpuMicros,
    cores,
    residentMegabytes: process.memoryUsage.rss() / 1024 / 1024,
    secondsBetween
  }
})

/** Accounts that come due at four fifths of the speed measured before: how late each is renewed. */
const onTime: Scenario<{ readonly lag: number; readonly perSecond: number }> = Effect.fnUntraced(function* (place) {
  const perSecond = place.perSecond * 0.8
  const milliseconds = lasting(place, 40)
  const each = Math.ceil((perSecond * (milliseconds / 1_000) * 1.2) / providers.length)
  for (const config of providers) yield* register(place, config)
  // Filling takes time as well.
  const dueAt = (yield* Clock.currentTimeMillis) + 1_000 + (each * providers.length) / 5
  for (const config of providers) {
    yield* fill({ config, count: each, dueAt, apart: (1_000 * providers.length) / perSecond })
  }
  const renewer = yield* startRenewer(fullSpeed)
  yield* Effect.sleep(Math.max(0, dueAt - (yield* Clock.currentTimeMillis)) + milliseconds / 4)
  const watched = yield* watch(renewer, milliseconds / 2)
  return { lag: (yield* Metric.value(oldestDue)).value, perSecond: watched.perSecond }
})

/** A thousand accounts of one provider, with or without a herd of another one's: how many are renewed while the provider's limit allows all. */
const besideHerd =
  (herd: boolean): Scenario<number> =>
  (place) =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const dueAt = yield* anHourAgo
      const few = sized(place, 1_000, 50)
      yield* register(place, "herd")
      yield* register(place, "few", few / 5)
      if (herd) yield* fill({ config: "herd", count: sized(place, 100_000, 1_000), dueAt: dueAt - 1 })
      yield* fill({ config: "few", count: few, dueAt })
      const renewer = yield* startRenewer()
      yield* watch(renewer, lasting(place, 12))
      return (
        (yield* ask(sql`SELECT COUNT(*)::text AS value FROM rekindle_accounts
          WHERE auth_config_id LIKE '%few' AND obtained_epoch IS NOT NULL`)) / few
      )
    })

/** Many overdue accounts of an unlimited provider: a catch that is full has to be followed by another at once. */
const afterFullCatch =
  (pollInterval: "5 seconds" | "100 millis"): Scenario<number> =>
  (place) =>
    Effect.gen(function* () {
      yield* register(place, "many")
      yield* fill({ config: "many", count: sized(place, 40_000, 1_000), dueAt: yield* anHourAgo })
      const renewer = yield* startRenewer({ pollInterval })
      yield* Effect.sleep(lasting(place, 2))
      return (yield* watch(renewer, lasting(place, 10))).perSecond
    })

/** Intents of a process that died, beside as many accounts that are well: how many of those are renewed. */
const besideAbandoned: Scenario<number> = Effect.fnUntraced(function* (place) {
  const sql = yield* SqlClient.SqlClient
  const count = sized(place, 2_000, 50)
  const dueAt = yield* anHourAgo
  yield* register(place, "abandoned")
  yield* register(place, "healthy")
  yield* fill({ config: "abandoned", count, dueAt })
  yield* sql`UPDATE rekindle_accounts SET intent_generation = generation, intent_since = ${dueAt}, intent_attempts = 1,
    lease_owner = 'a dead process', lease_until = ${dueAt} WHERE auth_config_id LIKE '%abandoned' AND renew_at IS NOT NULL`
  yield* fill({ config: "healthy", count, dueAt })
  const renewer = yield* startRenewer()
  yield* watch(renewer, lasting(place, 15))
  return (
    (yield* ask(sql`SELECT COUNT(*)::text AS value FROM rekindle_accounts
      WHERE auth_config_id LIKE '%healthy' AND obtained_epoch IS NOT NULL`)) / count
  )
})

/** Refreshes 50 accounts at a time until `calls` are made or the time is over, and gives how many there were each second. */
const refreshFor = Effect.fnUntraced(function* (
  config: string,
  count: number,
  limit: { readonly milliseconds?: number; readonly calls?: number; readonly key?: (call: number) => string }
) {
  const { calls = Number.POSITIVE_INFINITY, key, milliseconds = Number.POSITIVE_INFINITY } = limit
  const accounts = yield* ConnectedAccounts
  const start = performance.now()
  let call = 0
  let failed = 0
  let longest = 0
  yield* Effect.forEach(
    Array.from({ length: 50 }, (_, place) => place),
    () =>
      Effect.whileLoop({
        while: () => call < calls && performance.now() - start < milliseconds,
        body: () => {
          const number = call++
          const begun = performance.now()
          return Effect.matchEffect(
            accounts.refresh(
              idOf(config, number % count),
              key === undefined ? undefined : { idempotencyKey: key(number) }
            ),
            {
              onSuccess: () => Effect.sync(() => void (longest = Math.max(longest, performance.now() - begun))),
              onFailure: () => Effect.sync(() => void failed++)
            }
          )
        },
        step: () => {}
      }),
    { concurrency: "unbounded", discard: true }
  )
  return { perSecond: (call / (performance.now() - start)) * 1_000, failed, longest }
})

/** Refreshes each second, where the journal holds answers of accounts that are not in the store, or none. */
const besideJournal =
  (records: boolean): Scenario<number> =>
  (place) =>
    Effect.gen(function* () {
      const journal = yield* Journal
      yield* register(place, "refreshed")
      yield* fill({ config: "refreshed", count: 1_000, dueAt: (yield* Clock.currentTimeMillis) + 3_600_000 })
      if (records) {
        const sealed = Sealed.make(`v2.lost.${"A".repeat(16)}.${"A".repeat(400)}`)
        for (let number = 0; number < sized(place, 10_000, 100); number++) {
          yield* journal.append({ accountId: idOf("stuck", number), sealed })
        }
      }
      yield* startRenewer()
      yield* refreshFor("refreshed", 1_000, { milliseconds: lasting(place, 3) })
      return (yield* refreshFor("refreshed", 1_000, { milliseconds: lasting(place, 10) })).perSecond
    })

/** Milliseconds until `accessToken` answers ten callers, with or without a renewer at full speed in the same process. */
const accessTokens =
  (renewing: boolean): Scenario<{ readonly p50: number; readonly p99: number }> =>
  (place) =>
    Effect.gen(function* () {
      const connections = yield* Connections
      const now = yield* Clock.currentTimeMillis
      const count = sized(place, 20_000, 500)
      yield* register(place, "asked")
      yield* fill({ config: "asked", count, dueAt: now + 3_600_000 })
      if (renewing) {
        yield* register(place, "renewed")
        yield* fill({ config: "renewed", count: sized(place, 60_000, 2_000), dueAt: now - 3_600_000 })
        yield* startRenewer({ concurrency: 64, maxClaimed: 1_000 })
        yield* Effect.sleep(lasting(place, 3))
      }
      const end = performance.now() + lasting(place, 10)
      const times: Array<number> = []
      let call = 0
      yield* Effect.forEach(
        Array.from({ length: 10 }),
        () =>
          Effect.gen(function* () {
            while (performance.now() < end) {
              // Each account once, or the cache would answer.
              const id = idOf("asked", call++ % count)
              const begun = performance.now()
              yield* connections.accessToken(id)
              times.push(performance.now() - begun)
              yield* Effect.sleep(5)
            }
          }),
        { concurrency: "unbounded", discard: true }
      )
      const sorted = times.toSorted((a, b) => a - b)
      const at = (share: number) => sorted[Math.floor(sorted.length * share)] ?? Number.NaN
      return { p50: at(0.5), p99: at(0.99) }
    })

/** Refreshes under keys while keys past their day are swept. */
const besideOldKeys: Scenario<{ readonly deadlocks: number; readonly failed: number; readonly longest: number }> =
  Effect.fnUntraced(function* (place) {
    const sql = yield* SqlClient.SqlClient
    yield* register(place, "keyed")
    yield* fill({ config: "keyed", count: 500, dueAt: (yield* Clock.currentTimeMillis) + 3_600_000 })
    yield* sql`INSERT INTO rekindle_idempotency_keys (key_hash, account_id, request_hash, created_at)
      SELECT 'old-' || n, (SELECT MIN(id) FROM rekindle_accounts), 'r', n
      FROM generate_series(1, ${sized(place, 200_000, 2_000)}) n`
    const { failed, longest } = yield* refreshFor("keyed", 500, {
      calls: sized(place, 5_000, 200),
      key: (call) => `key-${call}`
    })
    const deadlocks = yield* ask(
      sql`SELECT deadlocks::text AS value FROM pg_stat_database WHERE datname = current_database()`
    )
    return { deadlocks, failed, longest }
  })

/** How the table of accounts grows when its rows are renewed again and again. */
const growth: Scenario<{
  readonly renewals: number
  readonly tableBefore: number
  readonly tableAfter: number
  readonly indexesBefore: number
  readonly indexesAfter: number
  readonly hotShare: number
}> = Effect.fnUntraced(function* (place) {
  const sql = yield* SqlClient.SqlClient
  const count = 1_000
  const renewals = sized(place, 30_000, 500)
  yield* register(place, "grown")
  yield* fill({ config: "grown", count, dueAt: (yield* Clock.currentTimeMillis) + 3_600_000 })
  yield* sql`VACUUM ANALYZE rekindle_accounts`
  const table = ask(sql`SELECT pg_table_size('rekindle_accounts')::text AS value`)
  const indexes = ask(sql`SELECT pg_indexes_size('rekindle_accounts')::text AS value`)
  const tableBefore = yield* table
  const indexesBefore = yield* indexes
  yield* refreshFor("grown", count, { calls: renewals })
  const hotShare = yield* ask(sql`SELECT (n_tup_hot_upd::float / GREATEST(n_tup_upd, 1))::text AS value
    FROM pg_stat_user_tables WHERE relname = 'rekindle_accounts'`)
  return {
    renewals,
    tableBefore,
    tableAfter: yield* table,
    indexesBefore,
    indexesAfter: yield* indexes,
    hotShare
  }
})

/** The scenarios by name. */
export const scenarios = {
  overdue,
  onTime,
  few: besideHerd(false),
  fewBesideHerd: besideHerd(true),
  defaultPoll: afterFullCatch("5 seconds"),
  shortPoll: afterFullCatch("100 millis"),
  besideAbandoned,
  withoutJournal: besideJournal(false),
  besideJournal: besideJournal(true),
  tokensAlone: accessTokens(false),
  tokensBesideRenewer: accessTokens(true),
  besideOldKeys,
  growth
}
export type Scenarios = typeof scenarios

/** What a scenario measures. */
export type MeasuredBy<Name extends keyof Scenarios> = Effect.Success<ReturnType<Scenarios[Name]>>
