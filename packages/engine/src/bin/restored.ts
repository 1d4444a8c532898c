#!/usr/bin/env node
/**
 * `rekindle-restored`: says that a database was put back from an older snapshot, so that no token in it is sent as if it were unspent. Run it
 * after the restore and before the engine starts. The engine notices by itself where a SQLite file is older than its mark.
 *
 * @module
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Console, Effect } from "effect"
import { Command } from "effect/cli"
import { AccountStore } from "../account/AccountStore.ts"
import { sqlite, store } from "./database.ts"

const command = Command.make("rekindle-restored", { sqlite }, ({ sqlite }) =>
  Effect.gen(function* () {
    const accounts = yield* AccountStore.use(({ doubtAll }) => doubtAll)
    yield* Console.log(
      `${accounts} account${accounts === 1 ? "" : "s"} in doubt: a single-use token is tried once, when its access token is over`
    )
  }).pipe(Effect.provide(store(sqlite)))
).pipe(Command.withDescription("Says that the database was put back from an older snapshot: its tokens may be spent"))

Command.run(command, { version: "0.1.0" }).pipe(Effect.provide(NodeServices.layer), NodeRuntime.runMain)
