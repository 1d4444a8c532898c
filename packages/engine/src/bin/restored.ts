#!/usr/bin/env node
/**
 * `rekindle-restored`: marks a database as restored from an older snapshot. Its refresh tokens may have been spent since, so the engine then
 * treats each as ambiguous. Run it after the restore and before the engine starts. The engine notices a SQLite file that is older than its
 * mark by itself.
 *
 * @module
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Console, Effect } from "effect"
import { Command } from "effect/cli"
import { AccountStore } from "../account/AccountStore.ts"
import { sqlite, store } from "./database.ts"
import { version } from "./version.ts"

const command = Command.make("rekindle-restored", { sqlite }, ({ sqlite }) =>
  Effect.gen(function* () {
    const accounts = yield* AccountStore.use(({ doubtAll }) => doubtAll)
    yield* Console.log(
      `${accounts} account${accounts === 1 ? "" : "s"} in doubt: a single-use refresh token is sent once, after its access token has expired`
    )
  }).pipe(Effect.provide(store(sqlite)))
).pipe(
  Command.withDescription("Marks the database as restored from an older snapshot: its refresh tokens may be spent")
)

Command.run(command, { version }).pipe(Effect.provide(NodeServices.layer), NodeRuntime.runMain)
