/**
 * One engine process. It does the job that is given as argument, reports to its parent, and may die on the way.
 *
 * @module
 */
import { type ConnectedAccountId, ConnectedAccounts, Connections } from "@rekindle/core"
import { AtCheckpoint, type Checkpoint } from "@rekindle/engine"
import { Cause, Clock, DateTime, Effect, Layer, Random, Redacted, Schedule, Schema } from "effect"
import { SqlClient } from "effect/sql"
import { clientOf } from "../support/Place.ts"
import { type Ending, engineIsOpen, engineOn, JobJson, Order, type Progress, type Report } from "./Job.ts"

const job = Schema.decodeSync(JobJson)(process.argv[2] ?? "")
const victim = job.ids[0]

let stopping = false
let dying = false
let offBy = 0
process.on("message", (message) => {
  const order = Schema.decodeUnknownSync(Order)(message)
  if (order._tag === "SetClock") offBy = order.offBy
  else {
    stopping = true
    dying = order._tag === "Die"
  }
})

// It ends when its parent ends. Ctrl-C in a terminal is for the parent alone.
process.on("disconnect", () => process.exit())
process.on("SIGINT", () => {})

/** A clock whose wall time can be set. Durations are not affected. */
const settable = (clock: Clock.Clock): Clock.Clock => ({
  currentTimeMillisUnsafe: () => clock.currentTimeMillisUnsafe() + offBy,
  currentTimeMillis: Effect.sync(() => clock.currentTimeMillisUnsafe() + offBy),
  currentTimeNanosUnsafe: () => clock.currentTimeNanosUnsafe() + BigInt(offBy) * 1_000_000n,
  currentTimeNanos: Effect.sync(() => clock.currentTimeNanosUnsafe() + BigInt(offBy) * 1_000_000n),
  monotonicTimeNanosUnsafe: () => clock.monotonicTimeNanosUnsafe(),
  monotonicTimeNanos: clock.monotonicTimeNanos,
  sleep: (duration) => clock.sleep(duration)
})

const die = Effect.andThen(
  Effect.sync(() => process.kill(process.pid, "SIGKILL")),
  Effect.never
)

/**
 * A client that dies in the commit. On SQLite it dies when the account and its announcement are written and the transaction is open. On
 * Postgres it dies at some moment while the server has the statement.
 */
const mortalClient = Layer.effect(
  SqlClient.SqlClient,
  Effect.map(
    SqlClient.SqlClient,
    (sql) =>
      new Proxy(sql, {
        apply: (target, self, args) => {
          const statement = Reflect.apply(target, self, args)
          const text = Array.isArray(args[0]) ? args[0].join(" ") : ""
          const commits = sql.onDialectOrElse({
            sqlite: () => "status, status_reason, generation",
            orElse: () => "INSERT INTO rekindle_outbox"
          })
          if (!text.includes(commits)) return statement
          return sql.onDialectOrElse({
            sqlite: () => Effect.andThen(statement, die),
            orElse: () =>
              Effect.forkChild(statement, { startImmediately: true }).pipe(
                Effect.andThen(Effect.flatMap(Random.next, (share) => Effect.sleep(Math.round(3 * share)))),
                Effect.andThen(die)
              )
          })
        }
      })
  )
).pipe(Layer.provide(clientOf(job.wiring.place)))

/** The accounts with a request in flight. */
const underWay = new Set<ConnectedAccountId>()

const atCheckpoint = (point: Checkpoint, id: ConnectedAccountId) =>
  Effect.suspend(() => {
    if (point === job.death && id === victim) return die
    if (point === "after-intent") underWay.add(id)
    if (point === "after-response") underWay.delete(id)
    if (!dying) return Effect.void
    return underWay.size === 0 ? die : point === "before-lease" ? Effect.never : Effect.void
  })

const answers: Record<string, number> = {}
const count = (answer: string) => {
  answers[answer] = (answers[answer] ?? 0) + 1
}

setInterval(() => process.send?.({ _tag: "Progress", answers } satisfies Progress), 500).unref()

const kindOf = (error: { readonly _tag: string; readonly slug?: string | undefined }) =>
  error.slug === undefined ? error._tag : `${error._tag} ${error.slug}`

/**
 * Sends a random request: mostly a refresh, sometimes one with a short deadline or after an API has refused the access token, sometimes a read
 * of the access token.
 */
const ask = Effect.gen(function* () {
  const accounts = yield* ConnectedAccounts
  const connections = yield* Connections
  const id = job.ids[Math.floor((yield* Random.next) * job.ids.length)]
  if (id === undefined) return
  const choice = yield* Random.next
  const now = yield* Clock.currentTimeMillis
  const asked =
    choice < 0.1
      ? accounts.refresh(id, { deadline: DateTime.makeUnsafe(now + 20) })
      : choice < 0.8
        ? accounts.refresh(id, choice < 0.15 ? { tokenRefused: true, deadline: DateTime.makeUnsafe(now + 2_000) } : {})
        : Effect.as(connections.accessToken(id, "1 second"), { _tag: "Token" })
  yield* Effect.matchEffect(asked, {
    onSuccess: ({ _tag }) => Effect.sync(() => count(_tag)),
    onFailure: (error) =>
      Effect.andThen(
        Effect.sync(() => count(kindOf(error))),
        Effect.sleep(20)
      )
  })
})

const refreshToItsEnd = Effect.fnUntraced(function* (id: ConnectedAccountId, tokenRefused: boolean) {
  const accounts = yield* ConnectedAccounts
  const connections = yield* Connections
  const outcome = yield* accounts.refresh(id, { tokenRefused }).pipe(
    Effect.retry({
      // A slow machine sends late, and the result is known a lease later.
      while: (error) =>
        error._tag === "Unavailable" || error._tag === "DeadlineExceeded" || error.disposition === "ambiguous",
      schedule: Schedule.spaced("250 millis"),
      times: 200
    }),
    Effect.matchEager({ onSuccess: ({ _tag }) => _tag, onFailure: kindOf })
  )
  count(outcome)
  const token = yield* connections.accessToken(id, 0).pipe(
    Effect.map(Redacted.value),
    Effect.orElseSucceed(() => null)
  )
  return { id, outcome, token: outcome === "Ready" ? token : null } satisfies Ending
})

const program = Effect.gen(function* () {
  process.send?.(engineIsOpen)
  const { work } = job
  if (work._tag === "RefreshEach") {
    const { concurrency, tokenRefused = false } = work
    return yield* Effect.forEach(job.ids, (id) => refreshToItsEnd(id, tokenRefused), { concurrency })
  }
  let left = work.times
  const loop = Effect.whileLoop({ while: () => !stopping && left-- > 0, body: () => ask, step: () => {} })
  yield* Random.withSeed(
    Effect.replicateEffect(loop, work.concurrency, { concurrency: "unbounded", discard: true }),
    work.seed
  )
  if (dying) return yield* Effect.andThen(Effect.repeat(Effect.sleep(20), { while: () => underWay.size > 0 }), die)
  return []
})

const endings = await program.pipe(
  Effect.provide(engineOn(job.wiring, job.death === "in-commit" ? mortalClient : undefined)),
  Effect.provideService(AtCheckpoint, atCheckpoint),
  Effect.updateService(Clock.Clock, settable),
  // It cannot start without its database, and one line says so.
  Effect.tapCause((cause) => Effect.sync(() => console.error(`worker: ${Cause.pretty(cause).split("\n")[0]}`))),
  Effect.orElseSucceed(() => process.exit(1)),
  Effect.runPromise
)
process.send?.({ _tag: "Report", answers, endings } satisfies Report, () => process.disconnect())
