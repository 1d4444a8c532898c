/**
 * Runs the command of the process. `bin.ts` loads it, and the single executable begins here.
 *
 * @module
 */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Effect, Runtime } from "effect"
import { main } from "./commands/exit.ts"
import { exitCodes } from "./commands/failure.ts"
import { rekindle } from "./rekindle.ts"
import { version } from "./version.ts"

/**
 * Like `NodeRuntime.runMain`, except for three things. A command that listens for a signal itself, as `serve` does, is not interrupted by it.
 * A second signal ends the process at once. And a command ends when nobody reads its output any more, as after `| head -1`.
 */
const runMain = Runtime.makeRunMain(({ fiber, teardown }) => {
  let signals = 0
  const onSignal = (signal: "SIGINT" | "SIGTERM") => {
    signals++
    if (signals > 1) process.exit(signal === "SIGINT" ? 130 : 143)
    if (process.listenerCount(signal) === 1) fiber.interruptUnsafe(fiber.id)
  }
  process.on("SIGINT", onSignal).on("SIGTERM", onSignal)
  let output: NodeJS.ErrnoException | undefined
  process.stdout.on("error", (error) => {
    output ??= error
    fiber.interruptUnsafe(fiber.id)
  })
  process.stderr.on("error", () => {})
  fiber.addObserver((exit) => {
    process.off("SIGINT", onSignal).off("SIGTERM", onSignal)
    teardown(exit, (code) => {
      if (output?.code === "EPIPE") process.exit(exitCodes.done)
      if (output !== undefined) {
        console.error(
          `error: the output cannot be written: ${output.code}\nwhat to do: make room, or write it elsewhere`
        )
        process.exit(exitCodes.failed)
      }
      if (signals > 0 || code !== 0) process.exit(code)
    })
  })
})

main(rekindle, { version }).pipe(Effect.provide(NodeServices.layer), runMain)
