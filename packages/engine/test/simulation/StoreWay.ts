/**
 * The way of one node to the store: operations take time, are refused, and are lost before or after they are carried out. The store itself is
 * sound, as a database is. Each operation is atomic there, and every change of a row is a fact.
 *
 * @module
 */
import { type AccountStore, StoreError } from "@rekindle/engine"
import type { Simulation } from "@rekindle/testing"
import { Clock, Effect } from "effect"
import type { Fact } from "./Facts.ts"
import { type ModelStore, reachedOn } from "./ModelStore.ts"

/** What a way needs of its world. */
export interface Surroundings {
  readonly world: Simulation.World
  readonly tell: (fact: Fact) => void
  readonly model: ModelStore
  readonly node: Simulation.Node<Perform>
}

/** Carries an operation out at the store, for a node with that clock. */
export type Perform = <A, E>(effect: Effect.Effect<A, E>, node: string, clock: Clock.Clock) => Effect.Effect<A, E>

const kinds = ["store-refused", "store-request-lost", "store-request-slow", "store-answer-lost", "store-cut"]

const between = (amount: number, min: number, max: number): number => min * (max / min) ** amount

/** How long a driver waits for an answer that was lost before it takes the connection for dead, in milliseconds. */
const silence = 15_000

/** Makes the way of one node. `cut` begins a time in which the node does not reach the store. */
export const make = ({ model, node: store, tell, world }: Surroundings, from: { readonly name: string }) => {
  let cuts = 0
  let cutUntil = 0
  const changed = (by: number) => {
    const before = cuts > 0
    cuts += by
    if (before !== cuts > 0) tell({ _tag: "Reaches", at: world.now(), node: from.name, store: cuts === 0 })
  }
  /** The time that an effect takes counts as time without the store. */
  const without = <A, E>(effect: Effect.Effect<A, E>): Effect.Effect<A, E> =>
    Effect.suspend(() => {
      changed(1)
      return Effect.ensuring(
        effect,
        Effect.sync(() => changed(-1))
      )
    })
  const cut = (millis: number): void => {
    cutUntil = Math.max(cutUntil, world.now() + millis)
  }

  const failed = Effect.suspend(() => {
    tell({ _tag: "StoreFailed" })
    return Effect.fail(new StoreError({ message: "the account store failed" }))
  })

  /** How long the next write is held up, in milliseconds. */
  let held = 0
  let refusedUntil = 0

  const service: AccountStore["Service"] = reachedOn(model.store, (operation, effect) =>
    Effect.flatMap(Clock.Clock, (clock) => {
      const fault = world.fault(`store ${from.name}`, kinds)
      const what = fault?.what
      const amount = fault?.amount ?? 0
      if (fault !== undefined) world.note(`asks the store to ${operation}: ${fault.what}`)
      if (what === "store-cut") cut(between(amount, 1000, 60_000))
      if (what === "store-refused") return Effect.delay(failed, 1)
      const lost = without(Effect.delay(failed, amount < 0.5 ? 5 : silence))
      if (world.now() < cutUntil) return without(Effect.delay(failed, Math.min(silence, cutUntil - world.now())))
      if (what === "store-request-lost") return lost
      const restores = model.restores()
      const asked = store
        .call((perform) => (model.restores() === restores ? perform(effect, from.name, clock) : failed))
        .pipe(Effect.catchTag("NetworkError", () => failed))
      if (what === "store-answer-lost") return Effect.andThen(asked, lost)
      if (operation === "write" && world.now() < refusedUntil) return without(Effect.delay(failed, 1))
      if (held > 0 && operation === "write") {
        const wait = held
        held = 0
        return without(Effect.delay(asked, wait))
      }
      return what === "store-request-slow" ? without(Effect.delay(asked, between(amount, 10, 20_000))) : asked
    })
  )
  return {
    service,
    cut,
    /** Holds up the next write. Later ones overtake it. */
    holdUp: (millis: number): void => {
      held = millis
    },
    /** Refuses each write, while everything else is carried out. */
    refuseCommits: (millis: number): void => {
      refusedUntil = world.now() + millis
    },
    /** Told of the process. When it ends, so does everything that it waited for. One that is frozen goes on waiting. */
    follow: (to: "running" | "frozen" | "ended" | "without power") => {
      if (to === "running" || to === "frozen") return
      if (cuts > 0) changed(-cuts)
      held = 0
    }
  }
}

/** The way of one node. */
export type Way = ReturnType<typeof make>
