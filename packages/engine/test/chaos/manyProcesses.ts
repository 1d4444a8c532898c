/**
 * Many processes, one database, and one authorization server that revokes the grant when a refresh token is presented twice.
 *
 * @module
 */
import { Effect } from "effect"
import { join } from "node:path"
import { AuthorizationServer } from "../support/AuthorizationServer.ts"
import type { Ending, Wiring } from "./Job.ts"
import * as Fleet from "./Fleet.ts"
import { connect, folder, type Kind, placeFor, rows, sum, total, broken } from "./ground.ts"

/** The size of a run. */
export interface Options {
  readonly kind: Kind
  readonly processes: number
  readonly accounts: number
  /** The number of refreshes of all processes together. */
  readonly asks: number
  readonly seed: number
}

/** Whether each of these access tokens is accepted. */
export const working = (endings: ReadonlyArray<Ending>) =>
  Effect.gen(function* () {
    const server = yield* AuthorizationServer
    const alive = yield* Effect.forEach(endings, ({ token }) =>
      token === null ? Effect.succeed(false) : server.isAccessTokenAlive(token)
    )
    return alive.filter((each) => each).length
  })

/** Runs it. It needs an authorization server whose access tokens expire during the run. */
export const run = Effect.fnUntraced(function* ({ accounts, asks, kind, processes, seed }: Options) {
  const server = yield* AuthorizationServer
  const place = yield* placeFor(kind)
  const home = yield* folder
  const wiringOf = (name: string): Wiring => ({
    place,
    journal: join(home, name),
    lease: 60_000,
    requestTimeout: 10_000,
    giveUp: 45_000
  })
  const wiring = wiringOf("parent")
  const grants = yield* Effect.replicateEffect(server.mintRefreshToken("person"), accounts)
  const ids = yield* connect(
    wiring,
    server.authConfig(),
    grants.map(({ refreshToken }) => refreshToken)
  )
  const before = server.tally()
  const startedAt = Date.now()
  const reports = yield* Effect.forEach(
    Array.from({ length: processes }, (_, index) => index),
    (index) =>
      Fleet.run({
        wiring: wiringOf(`worker-${index}`),
        ids,
        work: {
          _tag: "AskAtRandom",
          times: Math.ceil(asks / processes),
          concurrency: 16,
          seed: seed + index
        }
      }),
    { concurrency: "unbounded" }
  )
  const seconds = (Date.now() - startedAt) / 1000
  const answers = total(reports)

  const fresh = yield* Fleet.run({ wiring: wiringOf("fresh"), ids, work: { _tag: "RefreshEach", concurrency: 16 } })
  const stored = yield* rows(wiring)
  const after = server.tally()
  const spent = after.spent - before.spent
  const committed = sum(stored.map(({ renewals }) => renewals))
  const replays = after.replays - before.replays
  const revoked = after.revoked.length - before.revoked.length
  const notActive = stored.filter(({ status }) => status !== "ACTIVE").length
  const works = yield* working(fresh.endings)
  return {
    scenario: "many-processes",
    kind,
    seed,
    processes,
    accounts,
    asked: sum(Object.values(answers)),
    seconds: Math.round(seconds),
    answers,
    spent,
    committed,
    replays,
    revoked,
    notActive,
    working: works,
    broken: broken({
      "no grant is revoked": revoked === 0 && replays === 0,
      "no account is lost": notActive === 0,
      "every grant spent is a renewal committed": spent === committed && spent > accounts,
      "every access token works": works === accounts
    })
  }
})
