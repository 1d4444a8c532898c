#!/usr/bin/env node
/**
 * The executable `rekindle`.
 *
 * @module
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Effect } from "effect"
import { main } from "./commands/exit.ts"
import { rekindle } from "./rekindle.ts"
import { version } from "./version.ts"

main(rekindle, { version }).pipe(Effect.provide(NodeServices.layer), NodeRuntime.runMain)
