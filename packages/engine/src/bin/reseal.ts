#!/usr/bin/env node
/**
 * `rekindle-reseal`: seals everything in a database again under the newest key of `REKINDLE_KEYS`.
 *
 * @module
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Config, Console, Effect, Layer, Option } from "effect"
import { Command, Flag } from "effect/cli"
import { CredentialVault } from "../vault/CredentialVault.ts"
import { reseal } from "../store/KeyRotation.ts"
import * as SqlAccountStore from "../store/SqlAccountStore.ts"
import * as SqliteClient from "../store/SqliteClient.ts"

const sqlite = Flag.String("sqlite").pipe(
  Flag.withDescription("SQLite file; without it, the Postgres of REKINDLE_DATABASE_URL"),
  Flag.optional
)

// The Postgres client is an optional peer: only who uses Postgres has it.
const postgres = Layer.unwrap(
  Effect.gen(function* () {
    const url = yield* Config.Redacted("REKINDLE_DATABASE_URL")
    const { layer } = yield* Effect.promise(() => import("@effect/sql-pg/PgClient"))
    return layer({ url })
  })
)

const command = Command.make("rekindle-reseal", { sqlite }, ({ sqlite }) =>
  Effect.gen(function* () {
    const { left, resealed } = yield* reseal
    yield* Console.log(`${resealed} sealed again, ${left} left`)
    if (left > 0) yield* Effect.sync(() => (process.exitCode = 1))
  }).pipe(
    Effect.provide(
      Layer.mergeAll(
        SqlAccountStore.layer.pipe(
          Layer.provide(
            Option.match(sqlite, {
              onNone: () => postgres,
              onSome: (file) => SqliteClient.layer(file, { create: false })
            })
          )
        ),
        CredentialVault.layerConfig
      )
    )
  )
).pipe(
  Command.withDescription(
    "Seals every credential again under the newest key of REKINDLE_KEYS (id:base64,…, newest first)"
  )
)

Command.run(command, { version: "0.1.0" }).pipe(Effect.provide(NodeServices.layer), NodeRuntime.runMain)
