/**
 * One scenario in a process of its own, so that its memory and CPU can be read off. It gets the scenario's name and its place as arguments,
 * and sends one message: what was measured.
 *
 * @module
 */
import { Effect, Logger, Schema } from "effect"
import { layer, Place, type Scenario } from "./ground.ts"
import { scenarios } from "./scenarios.ts"

const [, , name = "", argument = ""] = process.argv
const byName: Readonly<Record<string, Scenario<unknown>>> = scenarios
const scenario = byName[name]
if (scenario === undefined) throw new Error(`no scenario ${name}`)
const place = Schema.decodeSync(Schema.fromJsonString(Place))(argument)

const measured = await scenario(place).pipe(
  Effect.scoped,
  Effect.provide([layer(place), Logger.layer([])]),
  Effect.runPromise
)
process.send?.(measured)
process.disconnect?.()
