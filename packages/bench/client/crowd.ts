/**
 * A crowd of callers that want the same account refreshed at the same moment. In a process of its own; each message says how many, and
 * is answered with the milliseconds until the last of them had its answer.
 *
 * @module
 */
import { ConnectedAccounts } from "@rekindle/core"
import { Effect, ManagedRuntime } from "effect"
import { accountAt, coalesced, standard } from "./clients.ts"

export interface Crowd {
  readonly callers: number
}

const [, , pipeline = "", baseUrl = ""] = process.argv
const runtime = ManagedRuntime.make(pipeline === "standard" ? standard(baseUrl) : coalesced(baseUrl))

const timed = ({ callers }: Crowd) =>
  ConnectedAccounts.use((accounts) =>
    Effect.suspend(() => {
      const start = performance.now()
      const crowd = Array.from({ length: callers }, () => accounts.refresh(accountAt(0)))
      return Effect.all(crowd, { concurrency: "unbounded", discard: true }).pipe(
        Effect.map(() => performance.now() - start)
      )
    })
  )

process.on("message", async (crowd: Crowd) => process.send?.(await runtime.runPromise(timed(crowd))))
process.on("disconnect", () => process.exit())
process.send?.("ready")
