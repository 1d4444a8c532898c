/**
 * One client in a process of its own, so that neither the garbage nor the compiled code of another is measured with it.
 *
 * @module
 */
import { type ClientName, clients } from "./clients.ts"

export interface Stint {
  readonly inFlight: number
  /** Milliseconds before measuring begins. */
  readonly warmUp: number
  /** Milliseconds. */
  readonly duration: number
}

export interface Measured {
  readonly perSecond: number
  /** User and system time of the whole process for each call, garbage collection included. */
  readonly cpuMicros: number
  /** Calls sent, those of the warm-up included. */
  readonly sent: number
}

const [, , name, baseUrl = ""] = process.argv
const run = await clients[name as ClientName](baseUrl)

process.on("message", async ({ duration, inFlight, warmUp }: Stint) => {
  const before = await run(inFlight, performance.now() + warmUp)
  const cpu = process.cpuUsage()
  const start = performance.now()
  const calls = await run(inFlight, start + duration)
  const milliseconds = performance.now() - start
  const { system, user } = process.cpuUsage(cpu)
  const measured: Measured = {
    perSecond: (calls / milliseconds) * 1_000,
    cpuMicros: (user + system) / calls,
    sent: before + calls
  }
  process.send?.(measured)
})
process.on("disconnect", () => process.exit())
process.send?.("ready")
