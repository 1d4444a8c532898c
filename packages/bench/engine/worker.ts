/**
 * One contender in a process of its own, so that no other's garbage or compiled code is measured with it.
 *
 * @module
 */
import { type Contender, contenders, type Database } from "./contenders.ts"

export interface Stint {
  /** Milliseconds. */
  readonly duration: number
  /** Renewals at the same time. */
  readonly inFlight: number
}

export interface Measured {
  readonly perSecond: number
  /** User and system time of the whole process for each renewal, garbage collection included. */
  readonly cpuMicros: number
  /** Statements for each renewal. */
  readonly statements: number
}

const [, , database, name, environment = ""] = process.argv
const ofDatabase: Readonly<Record<string, Contender>> = contenders[database as Database]
const open = ofDatabase[name ?? ""]
if (open === undefined) throw new Error(`no contender ${name} on ${database}`)
const { count, ...where } = JSON.parse(environment)
const { close, renew, statements } = await open({ count, ...where })

process.on("message", async ({ duration, inFlight }: Stint) => {
  const before = statements()
  const cpu = process.cpuUsage()
  const start = performance.now()
  let done = 0
  // Every place in flight has accounts of its own.
  const place = async (first: number) => {
    for (let account = first; performance.now() < start + duration; account = (account + inFlight) % count) {
      await renew(account)
      done++
    }
  }
  await Promise.all(Array.from({ length: inFlight }, (_, index) => place(index)))
  const { system, user } = process.cpuUsage(cpu)
  const measured: Measured = {
    perSecond: (done / (performance.now() - start)) * 1_000,
    cpuMicros: (user + system) / done,
    statements: (statements() - before) / done
  }
  process.send?.(measured)
})
process.on("disconnect", () => void close().then(() => process.exit()))
process.send?.("ready")
