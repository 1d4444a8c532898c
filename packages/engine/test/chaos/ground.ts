/**
 * The ground of every scenario: a directory, a database, and accounts in it.
 *
 * @module
 */
import { type AuthConfig, ConnectedAccountId, Connections } from "@rekindle/core"
import { DateTime, Effect, Redacted, type Scope } from "effect"
import { SqlClient } from "effect/sql"
import { randomUUID } from "node:crypto"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { Place } from "../support/Place.ts"
import { Postgres } from "../support/Postgres.ts"
import { engineOn, type Wiring } from "./Job.ts"

/** The databases that scenarios run on. */
export type Kind = "sqlite" | "postgres"

/** A directory that is removed with the scope. */
export const folder: Effect.Effect<string, never, Scope.Scope> = Effect.acquireRelease(
  Effect.promise(() => mkdtemp(join(tmpdir(), "rekindle-chaos-"))),
  (folder) => Effect.promise(() => rm(folder, { recursive: true, force: true }))
)

/** An empty database. */
export const placeFor = (kind: Kind): Effect.Effect<Place, never, Postgres | Scope.Scope> =>
  kind === "postgres"
    ? Effect.flatMap(Postgres, ({ database }) => database)
    : Effect.map(folder, (folder) => ({ filename: join(folder, "engine.db") }))

/** Adds accounts with expired access tokens, one for each refresh token. */
export const connect = (wiring: Wiring, config: AuthConfig, refreshTokens: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const connections = yield* Connections
    yield* connections.authConfigs.register(config)
    return yield* Effect.forEach(
      refreshTokens,
      (refreshToken) => {
        const id = ConnectedAccountId.make(`ca_${randomUUID().replaceAll("-", "")}`)
        return Effect.as(
          connections.create({
            id,
            authConfigId: config.id,
            userId: "person",
            secrets: { access_token: Redacted.make("over"), refresh_token: Redacted.make(refreshToken) },
            expiresAt: DateTime.makeUnsafe(Date.now() - 60_000)
          }),
          id
        )
      },
      { concurrency: 20 }
    )
  }).pipe(Effect.provide(engineOn(wiring)), Effect.orDie)

/** One account as stored. */
export interface Row {
  readonly id: string
  readonly status: string
  readonly reason: string | null
  readonly renewals: number
  /** Whether its refresh token may be spent by a request whose answer is not known. */
  readonly isOpen: boolean
}

/** All accounts as stored, read without an engine. */
export const rows = (wiring: Wiring): Effect.Effect<ReadonlyArray<Row>> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const found = yield* sql`SELECT id, status, status_reason, generation, intent_since FROM rekindle_accounts`
    return found.map((row) => ({
      id: String(row["id"]),
      status: String(row["status"]),
      reason: row["status_reason"] === null ? null : String(row["status_reason"]),
      renewals: Number(row["generation"]) - 1,
      isOpen: row["intent_since"] !== null
    }))
  }).pipe(Effect.provide(engineOn(wiring)), Effect.orDie)

/** How many consents were committed. */
export const consents = (wiring: Wiring): Effect.Effect<number> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const [row] = yield* sql`SELECT COUNT(*) AS count FROM rekindle_outbox WHERE type = 'consent_completed'`
    return Number(row?.["count"])
  }).pipe(Effect.provide(engineOn(wiring)), Effect.orDie)

/** The names of the promises that were broken. */
export const broken = (promises: Readonly<Record<string, boolean>>): ReadonlyArray<string> =>
  Object.keys(promises).filter((name) => promises[name] !== true)

/** The sum of numbers. */
export const sum = (numbers: ReadonlyArray<number>): number => numbers.reduce((total, each) => total + each, 0)

/** The sum of the workers' results. */
export const total = (reports: ReadonlyArray<{ readonly answers: Readonly<Record<string, number>> }>) => {
  const answers: Record<string, number> = {}
  for (const report of reports) {
    for (const [kind, count] of Object.entries(report.answers)) answers[kind] = (answers[kind] ?? 0) + count
  }
  return answers
}
