/**
 * The database goes away during renewals and comes back. Answers of the authorization server meanwhile are only in the journal.
 *
 * @module
 */
import { Effect, Fiber } from "effect"
import { join } from "node:path"
import { AuthorizationServer } from "../support/AuthorizationServer.ts"
import { Postgres } from "../support/Postgres.ts"
import { recordsIn } from "../support/StoreTrouble.ts"
import * as Fleet from "./Fleet.ts"
import { connect, folder, placeFor, rows, sum, total, broken } from "./ground.ts"
import type { Wiring } from "./Job.ts"
import { working } from "./manyProcesses.ts"

/** The size of a run. Times are in milliseconds. */
export interface Options {
  readonly processes: number
  readonly accounts: number
  readonly before: number
  readonly outage: number
  readonly after: number
  /** The workers' lease. Their other limits follow from it. */
  readonly lease: number
  readonly seed: number
}

/** Runs it. It needs a slow authorization server, so that renewals are in flight when the database goes away. */
export const run = Effect.fnUntraced(function* (options: Options) {
  const { accounts, lease, processes, seed } = options
  const server = yield* AuthorizationServer
  const postgres = yield* Postgres
  const place = yield* placeFor("postgres")
  const home = yield* folder
  const wiringOf = (name: string): Wiring => ({
    place,
    journal: join(home, name),
    lease,
    requestTimeout: Math.round(lease / 6),
    giveUp: Math.round(lease * 0.75)
  })
  const wiring = wiringOf("parent")
  const names = Array.from({ length: processes }, (_, index) => `worker-${index}`)
  const grants = yield* Effect.replicateEffect(server.mintRefreshToken("person"), accounts)
  const ids = yield* connect(
    wiring,
    server.authConfig(),
    grants.map(({ refreshToken }) => refreshToken)
  )

  const startedAt = Date.now()
  const workers = yield* Effect.forEach(names, (name, index) =>
    Fleet.start({
      wiring: wiringOf(name),
      ids,
      work: { _tag: "AskAtRandom", times: Number.MAX_SAFE_INTEGER, concurrency: 16, seed: seed + index }
    })
  )
  const journaled = Effect.map(
    Effect.forEach(names, (name) => Effect.catchCause(recordsIn(join(home, name)), () => Effect.succeed([]))),
    (records) => records.flat().length
  )
  let mostJournaled = 0
  const watch = yield* Effect.forkChild(
    Effect.forever(
      Effect.andThen(
        Effect.map(journaled, (count) => {
          mostJournaled = Math.max(mostJournaled, count)
        }),
        Effect.sleep(50)
      )
    )
  )
  const spentBy = Effect.sync(() => server.tally().spent)
  yield* Effect.forEach(workers, ({ open }) => open)
  while ((yield* spentBy) === 0) yield* Effect.sleep(50)
  yield* Effect.sleep(options.before)
  const spentBefore = yield* spentBy
  yield* postgres.stop
  yield* Effect.sleep(options.outage)
  const spentAfter = yield* spentBy
  yield* postgres.start
  yield* Effect.sleep(options.after)
  yield* Effect.forEach(workers, ({ stop }) => stop)
  const reports = yield* Effect.forEach(workers, ({ ended }) =>
    Effect.flatMap(ended, (report) =>
      report === "killed" ? Effect.die(new Error("a worker was killed")) : Effect.succeed(report)
    )
  )
  yield* Fiber.interrupt(watch)
  const leftInJournal = yield* journaled

  const fresh = yield* Fleet.run({ wiring: wiringOf("fresh"), ids, work: { _tag: "RefreshEach", concurrency: 50 } })
  const stored = yield* rows(wiring)
  const { replays, revoked, spent, stories } = server.tally()
  const committed = sum(stored.map(({ renewals }) => renewals))
  const notActive = stored.filter(({ status }) => status !== "ACTIVE").length
  const works = yield* working(fresh.endings)
  return {
    scenario: "outage",
    kind: "postgres",
    seed,
    processes,
    accounts,
    outage: options.outage,
    lease,
    seconds: Math.round((Date.now() - startedAt) / 1000),
    answers: total(reports),
    spentInTheOutage: spentAfter - spentBefore,
    mostJournaled,
    leftInJournal,
    spent,
    committed,
    replays,
    revoked: revoked.length,
    notActive,
    working: works,
    stories,
    broken: broken({
      "the journal is needed": mostJournaled > 0,
      "the journal is emptied": leftInJournal === 0,
      "no grant is revoked": revoked.length === 0 && replays === 0,
      "no account is lost": notActive === 0,
      "every grant spent is a renewal committed": spent === committed,
      "every access token works": works === accounts
    })
  }
})
