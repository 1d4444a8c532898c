/**
 * Runs the command of the process. `bin.ts` loads it, and the single executable begins here.
 *
 * @module
 */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Effect, Runtime } from "effect"
import { main } from "./commands/exit.ts"
import { rekindle } from "./rekindle.ts"
import { version } from "./version.ts"

/**
 * Like `NodeRuntime.runMain`, except for two things. A command that listens for a signal itself, as `serve` does, is not interrupted by it.
 * And a second signal ends the process at once.
 */
const runMain = Runtime.makeRunMain(({ fiber, teardown }) => {
  let signals = 0
  const onSignal = (signal: "SIGINT" | "SIGTERM") => {
    signals++
    if (signals > 1) process.exit(signal === "SIGINT" ? 130 : 143)
    if (process.listenerCount(signal) === 1) fiber.interruptUnsafe(fiber.id)
  }
  process.on("SIGINT", onSignal).on("SIGTERM", onSignal)
  fiber.addObserver((exit) => {
    process.off("SIGINT", onSignal).off("SIGTERM", onSignal)
    teardown(exit, (code) => {
      if (signals > 0 || code !== 0) process.exit(code)
    })
  })
})

main(rekindle, { version }).pipe(Effect.provide(NodeServices.layer), runMain)
