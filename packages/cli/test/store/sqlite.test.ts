/** The parts of the service that are on the database, on SQLite. */
import { describe, it } from "@effect/vitest"
import { auditLog } from "../audit/auditLog.ts"
import { keys } from "../keys/keys.ts"
import { Databases } from "../support/databases.ts"
import { queue } from "../webhooks/queue.ts"

describe("the service on SQLite", () => {
  it.layer(Databases.sqlite, { excludeTestServices: true })((it) => {
    describe("the audit log", () => {
      auditLog(it)
    })
    describe("keys and projects", () => {
      keys(it)
    })
    describe("webhooks", () => {
      queue(it)
    })
  })
})
