/**
 * Processes that are stopped, whose clocks are set or whose disk is full, at random moments of renewals, against a server that revokes the
 * grant on a replay.
 *
 * A stall stops one process (`SIGSTOP`). A clock step sets wall clocks: on SQLite the machine's, so all processes at once; on Postgres that
 * of the database and, separately, those of the processes. Durations are not affected, as on a machine whose clock is set.
 *
 * @module
 */
import { Effect, Random, type Scope } from "effect"
import { SqlClient } from "effect/sql"
import { join } from "node:path"
import { AuthorizationServer } from "../support/AuthorizationServer.ts"
import { clientOf, type Place, type PostgresAddress } from "../support/Place.ts"
import type { Postgres } from "../support/Postgres.ts"
import * as Fleet from "./Fleet.ts"
import { broken, connect, folder, type Kind, placeFor, rows, sum, total } from "./ground.ts"
import type { Wiring } from "./Job.ts"
import { working } from "./manyProcesses.ts"
import * as SmallDisk from "./SmallDisk.ts"

/** The size of a run. Times are in milliseconds. */
export interface Options {
  readonly kind: Kind
  readonly processes: number
  readonly accounts: number
  /** Concurrent refreshes in each process. */
  readonly concurrency: number
  /** The number of stalls or steps. */
  readonly times: number
  /** The workers' lease and limits. Stalls have to be well below the lease. */
  readonly patience: Pick<Wiring, "lease" | "requestTimeout" | "egress">
  readonly seed: number
}

/** The smallest and the largest value. */
export type Range = readonly [number, number]

/** A random number of milliseconds in a range. */
export const between = ([least, most]: Range) =>
  Effect.map(Random.next, (share) => Math.round(least + share * (most - least)))

/** The workers and the database of a scenario. */
interface Scene {
  readonly workers: ReadonlyArray<Fleet.Worker>
  readonly place: Place
  /** Kills a worker when all of its requests are answered, and starts it again until its engine is open. */
  readonly replace: (index: number) => Effect.Effect<void, never, Scope.Scope>
}

/** The places of the database and the journals. */
interface Ground {
  readonly place: Place
  readonly journalOf: (name: string) => string
}

const ground = (kind: Kind): Effect.Effect<Ground, never, Postgres | Scope.Scope> =>
  Effect.gen(function* () {
    const home = yield* folder
    return { place: yield* placeFor(kind), journalOf: (name) => join(home, name) }
  })

/** Runs a disturbance against working processes, and then checks every grant. */
const run = Effect.fnUntraced(function* (
  scenario: string,
  options: Options,
  { journalOf, place }: Ground,
  disturb: (scene: Scene, times: number) => Effect.Effect<void, never, Scope.Scope>
) {
  const { accounts, concurrency, kind, patience, processes, seed, times } = options
  const server = yield* AuthorizationServer
  const wiringOf = (name: string): Wiring => ({
    place,
    journal: journalOf(name),
    giveUp: Math.round(patience.lease * 0.75),
    ...patience
  })
  const wiring = wiringOf("parent")
  const grants = yield* Effect.replicateEffect(server.mintRefreshToken("person"), accounts)
  const ids = yield* connect(
    wiring,
    server.authConfig(),
    grants.map(({ refreshToken }) => refreshToken)
  )
  const startedAt = Date.now()
  const start = (index: number) =>
    Fleet.start({
      wiring: wiringOf(`worker-${index}`),
      ids,
      work: { _tag: "AskAtRandom", times: Number.MAX_SAFE_INTEGER, concurrency, seed: seed + index }
    })
  const workers = yield* Effect.forEach(
    Array.from({ length: processes }, (_, index) => index),
    start
  )
  let kills = 0
  const replace = Effect.fnUntraced(function* (index: number) {
    const worker = workers[index]
    if (worker === undefined) return
    worker.die()
    yield* Effect.timeoutOrElse(worker.ended, {
      duration: patience.requestTimeout * 1.5,
      orElse: () => Effect.sync(worker.kill)
    })
    kills++
    while (true) {
      const next = yield* start(index)
      workers[index] = next
      if (yield* next.open) return
      yield* Effect.sleep(500)
    }
  })
  const ended = Effect.suspend(() => Effect.forEach(workers, ({ ended }) => ended, { concurrency: "unbounded" }))
  // A worker that cannot start ends the run.
  yield* Effect.raceFirst(
    Effect.delay(Effect.void, 50).pipe(Effect.repeat({ while: () => server.tally().spent === 0 })),
    ended
  )
  yield* Random.withSeed(disturb({ workers, place, replace }, times), seed)
  yield* Effect.forEach(workers, ({ stop }) => stop)
  const reports = (yield* ended).filter((report) => report !== "killed")
  const fresh = yield* Fleet.run({ wiring: wiringOf("fresh"), ids, work: { _tag: "RefreshEach", concurrency: 50 } })
  const stored = yield* rows(wiring)
  const { replays, revoked, spent, stories } = server.tally()
  const committed = sum(stored.map(({ renewals }) => renewals))
  const notActive = stored.filter(({ status }) => status !== "ACTIVE").length
  const works = yield* working(fresh.endings)
  return {
    scenario,
    kind,
    seed,
    processes,
    accounts,
    times,
    kills,
    seconds: Math.round((Date.now() - startedAt) / 1000),
    answers: total(reports),
    spent,
    committed,
    replays,
    revoked: revoked.length,
    stories,
    notActive,
    working: works,
    broken: broken({
      "every worker works again": reports.length === processes,
      "no grant is revoked": revoked.length === 0 && replays === 0,
      "no account is lost": notActive === 0,
      "every grant spent is a renewal committed": spent === committed && spent > accounts,
      "every access token works": works === accounts
    })
  }
})

/** Stops each process repeatedly for `stall`, with `pause` in between, in which its requests in flight can end. */
export const stalls = (options: Options & { readonly stall: Range; readonly pause: Range }) =>
  Effect.flatMap(ground(options.kind), (ground) =>
    run("stalls", options, ground, ({ workers }, times) =>
      Effect.forEach(
        workers,
        (worker) =>
          Effect.gen(function* () {
            for (let left = Math.ceil(times / workers.length); left > 0; left--) {
              yield* Effect.sleep(yield* between(options.pause))
              worker.freeze()
              yield* Effect.sleep(yield* between(options.stall))
              worker.wake()
            }
          }),
        { concurrency: "unbounded", discard: true }
      )
    )
  )

/** Sets the clocks repeatedly, each time by up to `reach` off the true time, in either direction. */
export const clockSteps = (options: Options & { readonly reach: number; readonly pause: Range }) =>
  Effect.flatMap(
    Effect.tap(ground(options.kind), ({ place }) =>
      "filename" in place ? Effect.void : Effect.orDie(letClockBeSet(place))
    ),
    (ground) =>
      run("clock-steps", options, ground, ({ place, workers }, times) =>
        Effect.gen(function* () {
          const somewhere = between([-options.reach, options.reach])
          const set = Effect.fnUntraced(function* (database: Effect.Effect<number>, process: Effect.Effect<number>) {
            const offBy = yield* database
            if (!("filename" in place)) yield* Effect.orDie(setDatabaseClock(place, offBy))
            for (const worker of workers) worker.setClock("filename" in place ? offBy : yield* process)
          })
          for (let left = times; left > 0; left--) {
            yield* Effect.sleep(yield* between(options.pause))
            yield* set(somewhere, somewhere)
          }
          yield* set(Effect.succeed(0), Effect.succeed(0))
        })
      )
  )

/**
 * Fills disks to the last byte repeatedly for `full`, with `pause` in between. On SQLite the database and all journals are on one disk. On
 * Postgres each process has a disk for its journal. At every fourth of these moments a process is killed, and started again at once.
 */
export const fullDisks = Effect.fnUntraced(function* (
  options: Options & { readonly full: Range; readonly pause: Range }
) {
  const { full, kind, pause, processes, times } = options
  const server = yield* AuthorizationServer
  const shares = kind === "sqlite"
  const disks = yield* Effect.replicateEffect(SmallDisk.make, shares ? 1 : processes)
  const elsewhere = yield* ground(kind)
  const diskOf = (name: string) => disks[shares ? 0 : Number(name.replace("worker-", ""))]?.folder
  const where: Ground = {
    place: shares ? { filename: join(diskOf("") ?? "", "engine.db") } : elsewhere.place,
    journalOf: (name) => {
      const folder = diskOf(name)
      return folder === undefined ? elsewhere.journalOf(name) : join(folder, "journal")
    }
  }
  let fullNow = 0
  let spentWhileFull = 0
  const fillFor = Effect.fnUntraced(function* (disk: SmallDisk.SmallDisk, duration: number) {
    if (fullNow++ === 0) spentWhileFull -= server.tally().spent
    for (const end = Date.now() + duration; Date.now() < end; yield* Effect.sleep(100)) {
      // Space that the engine frees meanwhile is filled too.
      disk.fill()
    }
    disk.free()
    if (--fullNow === 0) spentWhileFull += server.tally().spent
  })
  const outcome = yield* run("full-disk", options, where, ({ replace }) =>
    Effect.forEach(
      disks,
      Effect.fnUntraced(function* (disk, index) {
        for (let left = Math.ceil(times / disks.length); left > 0; left--) {
          yield* Effect.sleep(yield* between(pause))
          const duration = yield* between(full)
          const victim = shares ? Math.floor((yield* Random.next) * processes) : index
          const killing = Effect.delay(replace(victim), yield* between([0, duration]))
          yield* Effect.all([fillFor(disk, duration), left % 4 === 0 ? killing : Effect.void], {
            concurrency: "unbounded"
          })
        }
      }),
      { concurrency: "unbounded", discard: true }
    )
  )
  return { ...outcome, spentWhileFull }
})

/**
 * Lets Postgres report another time: functions of the schema `steps` come before its own in the search path. It affects later connections.
 */
export const letClockBeSet = (place: PostgresAddress) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    yield* sql`CREATE SCHEMA steps`
    yield* sql`ALTER DATABASE ${sql(place.database)} SET search_path = public, steps, pg_catalog`
  }).pipe(Effect.provide(clientOf(place)), Effect.andThen(setDatabaseClock(place, 0)))

/** Sets the clock of a database to so many milliseconds off the true time. The function is so plain that Postgres puts it into each plan. */
export const setDatabaseClock = (place: PostgresAddress, offBy: number) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) =>
    sql.unsafe(`CREATE OR REPLACE FUNCTION steps.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE AS
      'SELECT pg_catalog.clock_timestamp() + interval ''${offBy} milliseconds'''`)
  ).pipe(Effect.provide(clientOf(place)))
