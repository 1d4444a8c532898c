/**
 * The long chaos runs: `node chaos/run.ts [--seed 1] [--kills 50] [--only kills-sqlite]`. `--kills` is the number of kills at each point.
 * Each run prints one line of JSON. The exit code is 1 if a run broke a promise. The engine's tests have a short version of each.
 *
 * With `--hours 1` there is one run instead, of everything at once. Progress goes to the standard error. Ctrl-C ends it early, and it reports
 * what was done.
 *
 * @module
 */
import { Effect, Layer, type Scope } from "effect"
import { parseArgs } from "node:util"
import * as Disturbances from "../../engine/test/chaos/disturbances.ts"
import * as Kills from "../../engine/test/chaos/kills.ts"
import * as ManyProcesses from "../../engine/test/chaos/manyProcesses.ts"
import * as Mixture from "../../engine/test/chaos/mixture.ts"
import * as Outage from "../../engine/test/chaos/outage.ts"
import * as SmallDisk from "../../engine/test/chaos/SmallDisk.ts"
import { AuthorizationServer, type AuthorizationServerOptions } from "../../engine/test/support/AuthorizationServer.ts"
import { Postgres } from "../../engine/test/support/Postgres.ts"

const { values } = parseArgs({
  options: {
    seed: { type: "string", default: "1" },
    only: { type: "string" },
    kills: { type: "string", default: "50" },
    hours: { type: "string" }
  }
})
const seed = Number(values.seed)
const killsPerPoint = Number(values.kills)
const hours = values.hours === undefined ? undefined : Number(values.hours)

interface Outcome {
  readonly broken: ReadonlyArray<string>
}

/** A run, on a server and a database of its own. */
const on =
  (options: AuthorizationServerOptions) =>
  (run: Effect.Effect<Outcome, never, AuthorizationServer | Postgres | Scope.Scope>): Effect.Effect<Outcome> =>
    Effect.scoped(run).pipe(Effect.provide(Layer.merge(Postgres.layer, AuthorizationServer.layer(options))))

// Access tokens that expire during the run, and renewals slow enough to meet each other.
const expiring = on({ ttl: { accessToken: "3 seconds" } })
const slow = on({ ttl: { accessToken: "3 seconds" }, latency: "100 millis" })
const calm = on({})
// Token requests that take long, so that clocks are set during them.
const ponderous = on({ latency: "3 seconds" })

const outage = { processes: 4, accounts: 100, before: 5_000, after: 10_000, seed }

const crowd = { processes: 8, accounts: 200, concurrency: 4, times: 100, seed }
const stalled = (kind: "sqlite" | "postgres") =>
  slow(
    Disturbances.stalls({
      ...crowd,
      kind,
      stall: [1_000, 30_000],
      pause: [3_000, 8_000],
      patience: { lease: 60_000, requestTimeout: 10_000 }
    })
  )
const stepped = (kind: "sqlite" | "postgres") =>
  ponderous(
    Disturbances.clockSteps({
      ...crowd,
      kind,
      reach: 4 * 3_600_000,
      pause: [500, 2_500],
      patience: { lease: 20_000, requestTimeout: 6_000, egress: 5_000 }
    })
  )

const filled = (kind: "sqlite" | "postgres") =>
  slow(
    Disturbances.fullDisks({
      ...crowd,
      kind,
      times: 200,
      // One disk on SQLite, eight at the same time on Postgres.
      full: kind === "sqlite" ? [300, 2_500] : [1_000, 20_000],
      pause: [300, 1_500],
      patience: { lease: 60_000, requestTimeout: 10_000 }
    })
  )

/** Killed with an answer in hand: not one may be lost. */
const answered = (kind: "sqlite" | "postgres") =>
  calm(
    Kills.run({
      kind,
      killsPerPoint,
      points: ["after-response", "in-commit"],
      strictOnly: true,
      lease: 12_000,
      seed
    })
  )

const runs: Readonly<Record<string, Effect.Effect<Outcome>>> = {
  "processes-postgres": expiring(
    ManyProcesses.run({ kind: "postgres", processes: 4, accounts: 200, asks: 20_000, seed })
  ),
  "processes-sqlite": expiring(ManyProcesses.run({ kind: "sqlite", processes: 1, accounts: 200, asks: 20_000, seed })),
  "kills-sqlite": calm(Kills.run({ kind: "sqlite", killsPerPoint, lease: 12_000, seed })),
  "kills-postgres": calm(Kills.run({ kind: "postgres", killsPerPoint, lease: 12_000, seed })),
  "answered-sqlite": answered("sqlite"),
  "answered-postgres": answered("postgres"),
  "stalls-sqlite": stalled("sqlite"),
  "stalls-postgres": stalled("postgres"),
  "clock-steps-sqlite": stepped("sqlite"),
  "clock-steps-postgres": stepped("postgres"),
  "full-disk-sqlite": filled("sqlite"),
  "full-disk-postgres": filled("postgres"),
  outage: slow(Outage.run({ ...outage, outage: 10_000, lease: 60_000 })),
  "outage-beyond-the-lease": slow(Outage.run({ ...outage, outage: 10_000, lease: 6_000 }))
}

/** Only root can mount small disks. */
const smallDisks = (count: number) =>
  Effect.replicateEffect(SmallDisk.make, count).pipe(
    Effect.catchCause(() =>
      Effect.sync(() => {
        console.error("no small disk can be mounted (run it on Linux, as root), so no disk will be full")
        return []
      })
    )
  )

/** 1,000,000 refreshes take about an hour of two quiet cores. */
const mixture = (hours: number): Effect.Effect<Outcome> =>
  Effect.gen(function* () {
    let interrupted = false
    process.once("SIGINT", () => {
      console.error("interrupted: what is under way ends")
      interrupted = true
    })
    const processes = 4
    return yield* Mixture.run({
      processes,
      accounts: 2_000,
      concurrency: 32,
      lasting: hours * 3_600_000,
      pause: [5_000, 40_000],
      databasePause: [10_000, 60_000],
      stall: [500, 8_000],
      full: [500, 8_000],
      outage: [500, 6_000],
      reach: 4 * 3_600_000,
      patience: { lease: 30_000, requestTimeout: 6_000, egress: 5_000 },
      disks: yield* smallDisks(processes),
      settles: true,
      seed,
      progress: (line) => console.error(line),
      isInterrupted: () => interrupted
    })
  }).pipe(Effect.scoped, Effect.provide(Postgres.layer))

const chosen =
  hours === undefined
    ? Object.keys(runs).filter((name) => values.only === undefined || name === values.only)
    : ["mixture"]
if (
  chosen.length === 0 ||
  !Number.isSafeInteger(seed) ||
  !Number.isSafeInteger(killsPerPoint) ||
  (hours !== undefined && !(hours > 0))
) {
  console.error(
    `Usage: node chaos/run.ts [--seed <number>] [--hours <number> | [--kills <number>] [--only ${Object.keys(runs).join("|")}]]`
  )
  process.exitCode = 2
} else {
  for (const name of chosen) {
    const outcome = await Effect.runPromise(hours === undefined ? (runs[name] ?? Effect.die(name)) : mixture(hours))
    console.log(JSON.stringify({ run: name, ...outcome }))
    if (outcome.broken.length > 0) process.exitCode = 1
  }
}
