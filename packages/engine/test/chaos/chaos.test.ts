import { assert, layer } from "@effect/vitest"
import { Effect, type Scope } from "effect"
import { AuthorizationServer, type AuthorizationServerOptions } from "../support/AuthorizationServer.ts"
import { Postgres } from "../support/Postgres.ts"
import * as Disturbances from "./disturbances.ts"
import type { Kind } from "./ground.ts"
import * as Kills from "./kills.ts"
import * as ManyProcesses from "./manyProcesses.ts"
import * as Mixture from "./mixture.ts"
import * as Outage from "./outage.ts"

const expiring = { ttl: { accessToken: "2 seconds" } } as const
const seed = 1

/** Runs a scenario on both databases at the same time, each with its own server, because most of a run is waiting. */
const onBoth = (
  options: AuthorizationServerOptions,
  run: (kind: Kind) => Effect.Effect<void, never, AuthorizationServer | Postgres | Scope.Scope>
) =>
  Effect.forEach(
    ["sqlite", "postgres"] as const,
    (kind) => Effect.provide(run(kind), AuthorizationServer.layer(options)),
    { concurrency: "unbounded", discard: true }
  )

// The long versions of these are `packages/bench/chaos`.
layer(Postgres.layer, { excludeTestServices: true })("real processes against a server that forgives nothing", (it) => {
  it.effect("three on one Postgres spend each grant once and lose none", () =>
    Effect.gen(function* () {
      const { broken } = yield* ManyProcesses.run({ kind: "postgres", processes: 3, accounts: 20, asks: 400, seed })
      assert.deepStrictEqual(broken, [])
    }).pipe(Effect.provide(AuthorizationServer.layer(expiring)))
  )

  it.effect("one on SQLite spends each grant once and loses none", () =>
    Effect.gen(function* () {
      const { broken } = yield* ManyProcesses.run({ kind: "sqlite", processes: 1, accounts: 20, asks: 400, seed })
      assert.deepStrictEqual(broken, [])
    }).pipe(Effect.provide(AuthorizationServer.layer(expiring)))
  )

  it.effect("killed at every point of a renewal, they lose at most an answer that was under way", () =>
    onBoth({}, (kind) =>
      Effect.gen(function* () {
        const { broken, kills, wronged } = yield* Kills.run({ kind, killsPerPoint: 1, lease: 8_000, seed })
        assert.deepStrictEqual({ broken, wronged, kills }, { broken: [], wronged: [], kills: Kills.points.length })
      })
    )
  )

  const small = { processes: 2, accounts: 20, concurrency: 8, seed }

  it.effect("stopped at any moment, they lose no answer and send nothing too late", () =>
    onBoth({ ...expiring, latency: "100 millis" }, (kind) =>
      Effect.gen(function* () {
        const { broken, stories } = yield* Disturbances.stalls({
          ...small,
          kind,
          times: 4,
          stall: [300, 2_000],
          pause: [300, 800],
          patience: { lease: 10_000, requestTimeout: 800, egress: 500 }
        })
        assert.deepStrictEqual({ broken, stories }, { broken: [], stories: [] }, kind)
      })
    )
  )

  it.effect("with clocks that are set, nobody sends a token beside the one who holds the lease", () =>
    onBoth({ latency: "3 seconds" }, (kind) =>
      Effect.gen(function* () {
        const { broken, stories } = yield* Disturbances.clockSteps({
          ...small,
          kind,
          times: 6,
          reach: 4 * 3_600_000,
          pause: [300, 600],
          patience: { lease: 10_000, requestTimeout: 4_500, egress: 4_000 }
        })
        assert.deepStrictEqual({ broken, stories }, { broken: [], stories: [] }, kind)
      })
    )
  )

  it.effect("the database may go away in the middle, and no token is lost", () =>
    Effect.gen(function* () {
      const { broken, stories } = yield* Outage.run({
        processes: 2,
        accounts: 20,
        before: 500,
        outage: 2_500,
        after: 1_000,
        lease: 18_000,
        seed
      })
      assert.deepStrictEqual({ broken, stories }, { broken: [], stories: [] })
    }).pipe(Effect.provide(AuthorizationServer.layer({ ...expiring, latency: "100 millis" })))
  )

  it.effect("with everything at once, each grant spent is a renewal committed, or a kill lost its answer", () =>
    Effect.gen(function* () {
      const said: Array<string> = []
      const { broken } = yield* Mixture.run({
        processes: 2,
        accounts: 30,
        concurrency: 8,
        lasting: 2_500,
        pause: [100, 700],
        databasePause: [300, 900],
        stall: [100, 500],
        full: [100, 500],
        outage: [100, 500],
        reach: 4 * 3_600_000,
        patience: { lease: 20_000, requestTimeout: 4_000, egress: 3_500 },
        disks: [],
        settles: false,
        seed,
        progress: (line) => said.push(line),
        isInterrupted: () => false
      })
      assert.deepStrictEqual(broken, [], said.join("\n"))
    })
  )
})
