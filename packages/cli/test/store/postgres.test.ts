/** The parts of the service that are on the database, on Postgres. */
import { describe, it } from "@effect/vitest"
import { auditLog } from "../audit/auditLog.ts"
import { keys } from "../keys/keys.ts"
import { Databases } from "../support/databases.ts"
import { queue } from "../webhooks/queue.ts"

describe("the service on Postgres", () => {
  it.layer(Databases.postgres, { excludeTestServices: true })((it) => {
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
