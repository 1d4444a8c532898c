/**
 * A process that starts a Postgres, reports its port, and waits to be killed.
 *
 * @module
 */
import { ManagedRuntime } from "effect"
import { Postgres } from "./Postgres.ts"

const server = ManagedRuntime.make(Postgres.layer)
const { port } = await server.runPromise(Postgres.use(({ database }) => database))
console.log(port)
