/**
 * The store of a world with one node: the real store on a real SQLite database in memory, with faults around each statement. The database
 * outlives the node's program, as a file does. What a program that ends leaves in a transaction is rolled back.
 *
 * @module
 */
import type { ConnectedAccountId } from "@rekindle/core"
import { type Account, AccountStore, OutboxEventType, SqlAccountStore, SqliteClient } from "@rekindle/engine"
import type { Simulation } from "@rekindle/testing"
import { Context, Effect, Layer, Schema } from "effect"
import { DatabaseSync, type SQLInputValue, type SQLOutputValue } from "node:sqlite"
import type { Fact } from "./Facts.ts"

/** What the store needs of its world. `kill` does not return to the statement. */
export interface Surroundings {
  readonly world: Simulation.World
  readonly tell: (fact: Fact) => void
  readonly node: string
  /** Counts something that the world was in. */
  readonly reach: (what: string) => void
  /** Ends the node's program, and starts it again later. */
  readonly kill: (amount: number) => void
}

const kinds = ["sqlite-full", "sqlite-io", "sqlite-io-after", "sqlite-kill", "sqlite-kill-after"]

/** SQLite's result codes. */
const codes: Readonly<Record<string, number>> = { "sqlite-full": 13, "sqlite-io": 10, "sqlite-io-after": 10 }

const failure = (what: string): Error =>
  Object.assign(new Error("the statement failed"), { errcode: codes[what] ?? 10 })

const EventRow = Schema.Struct({ sequence: Schema.Int, account_id: Schema.String, type: OutboxEventType })
const decodeEvents = Schema.decodeUnknownSync(Schema.Array(EventRow))

/** Makes the database. */
export const make = Effect.fnUntraced(function* ({ kill, node, reach, tell, world }: Surroundings) {
  const database = new DatabaseSync(":memory:")
  yield* Effect.addFinalizer(() => Effect.sync(() => database.close()))
  database.exec("PRAGMA foreign_keys = ON")
  const context = yield* Layer.build(Layer.provide(SqlAccountStore.layer, SqliteClient.layerDatabase(database)))
  const observer = Context.get(context, AccountStore)
  const services = yield* Effect.context<never>()

  let rows = new Map<ConnectedAccountId, Account>()
  let sequence = 0
  const eventsAfter = database.prepare(
    "SELECT sequence, account_id, type FROM rekindle_outbox WHERE sequence > ? ORDER BY sequence"
  )
  /** Tells what a commit has changed. */
  const observe = (): void => {
    const { items } = Effect.runSyncWith(services)(
      Effect.orDie(observer.list({ projectId: "default", now: 0, limit: 100 }))
    )
    const events = decodeEvents(eventsAfter.all(sequence))
    sequence = events.at(-1)?.sequence ?? sequence
    const stored = new Map(items.map((account) => [account.id, account] as const))
    const facts = [...new Set([...rows.keys(), ...stored.keys()])].map((id): Extract<Fact, { _tag: "Stored" }> => {
      const [before, after] = [rows.get(id), stored.get(id)]
      const announced = events.filter(({ account_id }) => account_id === (after ?? before)?.publicId)
      return { _tag: "Stored", at: world.now(), node, before, after, announced }
    })
    // A commit of several accounts is told in the order of its events.
    const first = ({ announced }: (typeof facts)[number]) => announced[0]?.sequence ?? 0
    for (const fact of facts.toSorted((one, two) => first(one) - first(two))) {
      if (fact.announced.length > 0 || JSON.stringify(fact.before) !== JSON.stringify(fact.after)) tell(fact)
    }
    rows = stored
  }

  /** The database as one life of the program has it. */
  const open = (): { readonly database: SqliteClient.OpenDatabase; readonly end: () => void } => {
    let hasEnded = false
    const run = (sql: string, statement: () => Array<Record<string, SQLOutputValue>>) => {
      if (hasEnded) throw new Error("the process has ended")
      // A rollback needs nothing of the disk.
      const fault = sql === "ROLLBACK" ? undefined : world.fault(`sqlite ${node}`, kinds)
      const what = fault?.what ?? ""
      if (fault !== undefined) {
        world.note(`${what}: ${sql.slice(0, 60)}`)
        reach(what)
        tell({ _tag: "StoreFailed" })
      }
      if (what === "sqlite-kill") {
        kill(fault?.amount ?? 0)
        throw new Error("the process has ended")
      }
      if (what === "sqlite-full" || what === "sqlite-io") {
        throw failure(what)
      }
      const found = statement()
      if (!database.isTransaction && !/^\s*(SELECT|PRAGMA|BEGIN|ROLLBACK)/i.test(sql)) observe()
      if (what === "sqlite-kill-after") {
        kill(fault?.amount ?? 0)
        throw new Error("the process has ended")
      }
      // A statement that fails has done nothing. Of a commit nobody knows.
      if (what === "sqlite-io-after" && sql === "COMMIT") throw failure(what)
      return found
    }
    return {
      database: {
        get isTransaction() {
          return database.isTransaction
        },
        prepare: (sql) => {
          const statement = database.prepare(sql)
          return {
            all: (...values: Array<SQLInputValue>) => run(sql, () => statement.all(...values))
          }
        }
      },
      end: () => {
        hasEnded = true
        if (database.isTransaction) database.exec("ROLLBACK")
      }
    }
  }

  let life = open()
  observe()
  return {
    /** The store for what is there before the world begins. */
    store: observer,
    observe,
    /** The store of the next life of the program. */
    layer: Layer.suspend(() => {
      life = open()
      return Layer.provide(SqlAccountStore.layer, SqliteClient.layerDatabase(life.database))
    }),
    /** The program has ended. */
    ended: () => life.end()
  }
})
