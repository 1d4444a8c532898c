/**
 * Everything at once, for hours: processes on one Postgres are killed, stopped, get other clocks and full disks, and the database goes away,
 * loses its connections or gets another clock, while they renew against a provider that revokes a grant on a replay.
 *
 * Each process has a row of disturbances of its own, and so has the database. A seed decides which and when. A kill may lose the answers that
 * were under way to its process. An account whose answer was lost expires, is judged, and consents again. Everything that a run keeps is
 * bounded by the number of accounts and kills.
 *
 * @module
 */
import { Effect, Exit, Latch, Layer, Random, Scope } from "effect"
import { SqlClient } from "effect/sql"
import { join } from "node:path"
import { clientOf } from "../support/Place.ts"
import { Postgres } from "../support/Postgres.ts"
import * as StrictProvider from "../support/StrictProvider.ts"
import { between, letClockBeSet, type Range, setDatabaseClock } from "./disturbances.ts"
import * as Fleet from "./Fleet.ts"
import { broken, connect, consents, folder, rows, sum, total } from "./ground.ts"
import { type Answers, engineOn, type Wiring } from "./Job.ts"
import type { SmallDisk } from "./SmallDisk.ts"
import * as Ward from "./ward.ts"

/** The size of a run. Times are in milliseconds. */
export interface Options {
  readonly processes: number
  readonly accounts: number
  /** Concurrent requests of each process. */
  readonly concurrency: number
  /** How long it goes on. */
  readonly lasting: number
  /** The pauses between two disturbances of one process, and of the database. */
  readonly pause: Range
  readonly databasePause: Range
  /** How long a process is stopped, a disk is full and the database is away. Together they have to be well below the lease. */
  readonly stall: Range
  readonly full: Range
  readonly outage: Range
  /** The most that a clock is set off the true time, in either direction. */
  readonly reach: number
  readonly patience: Pick<Wiring, "lease" | "requestTimeout" | "egress">
  /** A small disk for the journal of each process. Without them no disk is full. */
  readonly disks: ReadonlyArray<SmallDisk>
  /** Whether the end waits until every account is decided, which takes two leases. */
  readonly settles: boolean
  readonly seed: number
  readonly progress: (line: string) => void
  /** Ends the disturbances early. */
  readonly isInterrupted: () => boolean
}

/** A process at work, and the scope that ends it. */
interface Life {
  readonly worker: Fleet.Worker
  readonly scope: Scope.Closeable
}

const kindsOfProcess = ["kill", "stall", "stall and kill", "clock step", "full disk"] as const
const kindsOfDatabase = ["cut connections", "database crash", "database stop", "database clock step"] as const

/** Runs it. */
export const run = Effect.fnUntraced(function* (options: Options) {
  const { accounts, concurrency, disks, patience, processes, progress, seed } = options
  const postgres = yield* Postgres
  const place = yield* postgres.database
  yield* Effect.orDie(letClockBeSet(place))
  const provider = yield* StrictProvider.make({ accessTokenTtl: "1 hour", latency: [1, 20] })
  const home = yield* folder
  const wiringOf = (name: string, journal = join(home, name)): Wiring => ({
    place,
    journal,
    giveUp: Math.round(patience.lease * 0.75),
    ...patience
  })
  const wiring = wiringOf("parent")
  const minted = Array.from({ length: accounts }, () => provider.mint())
  const ids = yield* connect(
    wiring,
    provider.authConfig(),
    minted.map(({ refreshToken }) => refreshToken)
  )
  /** The present grant of each account. */
  const grants = new Map<string, number>(ids.map((id, index) => [id, minted[index]?.grantId ?? -1]))

  let startedAt = performance.now()
  const elapsed = () => performance.now() - startedAt
  const isOver = () => elapsed() >= options.lasting || options.isInterrupted()
  const counts: Record<string, number> = {}
  const count = (name: string) => {
    counts[name] = (counts[name] ?? 0) + 1
  }

  // --- processes --------------------------------------------------------------------------------------------------------------------

  const lives: Array<Life> = []
  const offsets: Array<number> = []
  const kills: Array<StrictProvider.Kill> = []
  /** The results of processes that are dead. */
  let ofTheDead: Answers = {}
  /** Closed while the database is away. */
  const database = Latch.makeUnsafe(true)
  /** Processes that ended by themselves. */
  const ends: Array<string> = []
  let starts = 0
  const start = Effect.fnUntraced(function* (index: number) {
    const scope = yield* Scope.make()
    const worker = yield* Fleet.start({
      wiring: wiringOf(`worker-${index}`, disks[index] && join(disks[index].folder, "journal")),
      ids,
      work: { _tag: "AskAtRandom", times: Number.MAX_SAFE_INTEGER, concurrency, seed: seed * 1_000_000 + starts++ }
    }).pipe(Scope.provide(scope))
    lives[index] = { worker, scope }
    const opened = yield* worker.open
    if (opened) worker.setClock(offsets[index] ?? 0)
    return opened
  })
  const bury = Effect.fnUntraced(function* ({ scope, worker }: Life) {
    ofTheDead = total([{ answers: ofTheDead }, { answers: worker.answers() }])
    yield* Scope.close(scope, Exit.void)
  })
  yield* Effect.addFinalizer(() => Effect.forEach(lives, ({ scope }) => Scope.close(scope, Exit.void)))
  const kill = Effect.fnUntraced(function* (index: number, life: Life, readUntil = performance.now()) {
    kills.push({ at: performance.now(), readUntil })
    life.worker.kill()
    const end = yield* Effect.exit(life.worker.ended)
    if (!Exit.isSuccess(end) || end.value !== "killed") ends.push(`before it was killed: ${String(end)}`)
    yield* bury(life)
    yield* database.await
    // If the database goes away meanwhile, it ends by itself.
    while (!(yield* start(index))) {
      yield* Effect.forEach(lives.slice(index, index + 1), bury)
      yield* database.await
    }
  })

  const disturbProcess = Effect.fnUntraced(function* (index: number) {
    const life = lives[index]
    const disk = disks[index]
    const kinds = kindsOfProcess.filter((kind) => kind !== "full disk" || disk !== undefined)
    const kind = kinds[yield* Random.nextIntBetween(0, kinds.length - 1)]
    if (life === undefined || kind === undefined) return
    count(kind)
    switch (kind) {
      case "kill":
        return yield* kill(index, life)
      case "stall":
        life.worker.freeze()
        yield* Effect.sleep(yield* between(options.stall))
        return life.worker.wake()
      case "stall and kill": {
        const stoppedAt = performance.now()
        life.worker.freeze()
        yield* Effect.sleep(yield* between(options.stall))
        return yield* kill(index, life, stoppedAt)
      }
      case "clock step": {
        const offBy = yield* between([-options.reach, options.reach])
        offsets[index] = offBy
        return life.worker.setClock(offBy)
      }
      case "full disk":
        for (let left = yield* between(options.full); left > 0; left -= 100) {
          // Space that the engine frees meanwhile is filled too.
          disk?.fill()
          yield* Effect.sleep(100)
        }
        return disk?.free()
    }
  })

  // --- the database -----------------------------------------------------------------------------------------------------------------

  const cutConnections = Effect.flatMap(
    SqlClient.SqlClient,
    (sql) => sql`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
      WHERE datname = ${place.database} AND pid <> pg_backend_pid()`
  ).pipe(Effect.provide(clientOf(place)), Effect.orDie)

  const disturbDatabase = Effect.gen(function* () {
    const kind = kindsOfDatabase[yield* Random.nextIntBetween(0, kindsOfDatabase.length - 1)]
    if (kind === undefined) return
    count(kind)
    switch (kind) {
      case "cut connections":
        return yield* cutConnections
      case "database clock step":
        return yield* Effect.orDie(setDatabaseClock(place, yield* between([-options.reach, options.reach])))
      case "database crash":
      case "database stop":
        yield* database.close
        yield* kind === "database crash" ? postgres.crash : postgres.stop
        yield* Effect.sleep(yield* between(options.outage))
        yield* postgres.start
        yield* database.open
        return
    }
  })

  // --- the run ----------------------------------------------------------------------------------------------------------------------

  const services = yield* Effect.orDie(Layer.build(engineOn(wiring)))
  const { findings, tend } = yield* Effect.provideContext(Ward.make(provider, grants, kills), services)
  const results = () => total([{ answers: ofTheDead }, ...lives.map(({ worker }) => ({ answers: worker.answers() }))])
  /** How many refreshes were answered with an outcome. */
  const refreshes = () => {
    const { Ready = 0, RedirectRequired = 0 } = results()
    return Ready + RedirectRequired
  }
  let mostMegabytes = 0
  const report = Effect.sync(() => {
    const { spent } = provider.tally()
    const { lost, wronged } = findings()
    const megabytes = Math.round(process.memoryUsage.rss() / 1024 / 1024)
    mostMegabytes = Math.max(mostMegabytes, megabytes)
    progress(
      `${Math.round(elapsed() / 1000)} s: ${refreshes()} refreshes, ${spent} renewals (${Math.round((1000 * spent) / elapsed())}/s), ` +
        `${kills.length} kills, ${lost} answers lost, ${wronged.length} wronged, ${megabytes} MB`
    )
  })
  const until = (step: Effect.Effect<unknown, never, Postgres | Scope.Scope>, pause: Range) =>
    Effect.gen(function* () {
      while (true) {
        for (let left = yield* between(pause); left > 0 && !isOver(); left -= 500) {
          yield* Effect.sleep(Math.min(left, 500))
        }
        if (isOver()) return
        yield* step
      }
    })
  const every = (millis: number, step: Effect.Effect<unknown>) => until(step, [millis, millis])
  const indexes = Array.from({ length: processes }, (_, index) => index)

  yield* Effect.forEach(indexes, start, { concurrency: "unbounded" })
  startedAt = performance.now()
  yield* Effect.all(
    [
      ...indexes.map((index) => Random.withSeed(until(disturbProcess(index), options.pause), seed + index)),
      Random.withSeed(until(disturbDatabase, options.databasePause), seed - 1),
      every(1_000, tend),
      every(Math.min(30_000, options.lasting / 4), report)
    ],
    { concurrency: "unbounded", discard: true }
  )
  const stopped = elapsed()

  // --- the end: clocks are right, and every account is decided ----------------------------------------------------------------------

  progress("the disturbances are over")
  yield* Effect.orDie(setDatabaseClock(place, 0))
  for (const { worker } of lives) worker.setClock(0)
  yield* Effect.forEach(lives, ({ worker }) => worker.stop)
  yield* Effect.forEach(
    lives,
    ({ worker }) =>
      Effect.map(Effect.exit(worker.ended), (end) => {
        if (!Exit.isSuccess(end)) ends.push(String(end))
      }),
    { concurrency: "unbounded" }
  )
  yield* report
  const refreshed = refreshes()
  const check = Fleet.run({
    wiring: wiringOf("fresh"),
    ids,
    work: { _tag: "RefreshEach", concurrency: 100, tokenRefused: options.settles }
  })
  yield* check
  // What expired at the very end is judged too, and works again.
  for (let tries = 0; tries < 100 && (yield* tend) !== 0; tries++) yield* Effect.sleep(200)
  const { endings } = yield* check
  const stored = yield* rows(wiring)
  const undecided = stored.filter(({ isOpen }) => isOpen).length
  const consented = yield* consents(wiring)
  const { refused, spent } = provider.tally()
  const { expired, longestUnread, lost, wronged } = findings()
  const answered = spent - lost - wronged.length
  const committed = sum(stored.map(({ renewals }) => renewals)) - consented
  const works = endings.filter(
    ({ id, token }) => token !== null && provider.grantOfAccessToken(token) === grants.get(id)
  ).length
  return {
    scenario: "mixture",
    seed,
    processes,
    accounts,
    seconds: Math.round(stopped / 1000),
    refreshes: refreshed,
    "refreshes/s": Math.round((1000 * refreshed) / stopped),
    spent,
    "renewals/s": Math.round((1000 * spent) / stopped),
    committed,
    disturbances: counts,
    kills: kills.length,
    answersLostByKills: lost,
    longestUnreadMillis: Math.round(longestUnread),
    expiredByReason: expired,
    consents: consented,
    refused,
    undecided,
    working: works,
    megabytes: mostMegabytes,
    answers: results(),
    wronged,
    ends,
    broken: broken({
      "no process ends by itself": ends.length === 0,
      "no grant is wronged":
        wronged.length === 0 && provider.replayed().every((grantId) => provider.lostTo(grantId, kills) !== undefined),
      "every account works, or is undecided": works + undecided >= accounts,
      "every grant spent is a renewal committed, or its answer was lost by a kill":
        committed <= answered && committed >= answered - undecided && spent > accounts,
      "every account is decided": !options.settles || undecided === 0
    })
  }
})
