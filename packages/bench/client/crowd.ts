/**
 * A crowd of callers that want the same account refreshed at the same moment, in a process of its own. A message says how many callers there
 * are. The reply is the number of milliseconds until the last of them has its answer.
 *
 * @module
 */
import { ConnectedAccountId, ConnectedAccounts } from "@rekindle/core"
import { Effect, Fiber, ManagedRuntime } from "effect"
import { accountAt } from "./clients.ts"
import { coalescedLayer, standardLayer } from "./rekindle.ts"

export interface Crowd {
  readonly callers: number
}

const [, , pipeline = "", baseUrl = ""] = process.argv
const runtime = ManagedRuntime.make(pipeline === "standard" ? standardLayer(baseUrl) : coalescedLayer(baseUrl))

const account = ConnectedAccountId.make(accountAt(0))

/** One turn of the event loop. */
const turn = Effect.promise(() => new Promise<void>((resolve) => setImmediate(resolve)))

// The first caller is two turns ahead, so that its request has been sent when the others come. undici waits a turn before it uses an idle
// connection, and starting the crowd in that turn would be part of the measured time.
const timed = ({ callers }: Crowd) =>
  ConnectedAccounts.use((accounts) =>
    Effect.gen(function* () {
      const start = performance.now()
      const first = yield* Effect.forkChild(accounts.refresh(account), { startImmediately: true })
      yield* Effect.andThen(turn, turn)
      const others = Array.from({ length: callers - 1 }, () => accounts.refresh(account))
      yield* Effect.all(others, { concurrency: "unbounded", discard: true })
      yield* Fiber.join(first)
      return performance.now() - start
    })
  )

process.on("message", async (crowd: Crowd) => process.send?.(await runtime.runPromise(timed(crowd))))
process.on("disconnect", () => process.exit())
process.send?.("ready")
