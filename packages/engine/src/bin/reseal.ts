#!/usr/bin/env node
/**
 * `rekindle-reseal`: seals everything in a database again under the newest key of `REKINDLE_KEYS`.
 *
 * @module
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Console, Effect, Layer } from "effect"
import { Command } from "effect/cli"
import { CredentialVault } from "../vault/CredentialVault.ts"
import { reseal } from "../store/KeyRotation.ts"
import { sqlite, store } from "./database.ts"
import { version } from "./version.ts"

const command = Command.make("rekindle-reseal", { sqlite }, ({ sqlite }) =>
  Effect.gen(function* () {
    const { left, resealed } = yield* reseal
    yield* Console.log(`${resealed} sealed again, ${left} left`)
    if (left > 0) yield* Effect.sync(() => (process.exitCode = 1))
  }).pipe(Effect.provide(Layer.mergeAll(store(sqlite), CredentialVault.layerConfig())))
).pipe(
  Command.withDescription(
    "Seals every credential again under the newest key of REKINDLE_KEYS (id:base64,…, newest first)"
  )
)

Command.run(command, { version }).pipe(Effect.provide(NodeServices.layer), NodeRuntime.runMain)
