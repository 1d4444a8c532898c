/**
 * The parts of one world, for everybody who acts in it.
 *
 * @module
 */
import type { ConnectedAccountId } from "@rekindle/core"
import type { Simulation } from "@rekindle/testing"
import { Effect, Random } from "effect"
import type * as EngineNode from "./EngineNode.ts"
import type * as Facts from "./Facts.ts"
import type { Mix } from "./Mix.ts"
import type * as ModelStore from "./ModelStore.ts"
import type * as TableVault from "./TableVault.ts"
import type * as Wire from "./Wire.ts"

/** When a world begins, by a clock that is right. See `beginning` of the simulation. */
export const beginning = Date.UTC(2030, 0, 1)

/** The invariant that what was answered is so. Whoever was answered looks whether it is. */
export const keepsItsWord = "what is answered is so"

/** A process of the world, from outside. */
export type EngineProcess = Simulation.Node<EngineNode.Running>

/** The parts of one world, for everybody who acts in it. */
export interface Scene {
  readonly world: Simulation.World
  readonly mix: Mix
  readonly facts: Facts.Facts
  readonly tell: (fact: Facts.Fact) => void
  readonly providers: ReadonlyMap<string, Wire.Provider>
  readonly model: ModelStore.ModelStore
  /** The machine that the store runs on. */
  readonly store: Simulation.Machine
  readonly vault: TableVault.TableVault
  readonly nodes: ReadonlyArray<EngineProcess>
  readonly accounts: Array<ConnectedAccountId>
  /** The keys of the vault of the next processes, newest first. */
  readonly ring: { keys: readonly [string, ...ReadonlyArray<string>] }
  readonly nextCall: () => number
  /** What the reader of events has handled, and its present turn: of two reads at once only one counts. */
  readonly heard: { through: number; turn: number }
  /** Counts something that the world was in. */
  readonly reach: (what: string) => void
  /** A person follows a link, whatever becomes of whoever had it. */
  readonly follow: (account: ConnectedAccountId, link: string) => Effect.Effect<void>
  /** Fails the world. The first failure counts. */
  readonly wrong: (name: string, message: string) => void
}

/**
 * Waits for the moment at which an account is being renewed, in half of the cases. What meets a renewal in flight finds more than what comes
 * at any time.
 */
export const whileRenewed = ({ facts }: Scene, id: ConnectedAccountId): Effect.Effect<void> =>
  Effect.gen(function* () {
    if ((yield* Random.next) < 0.5) return
    const step = 5 * 20 ** (yield* Random.next)
    for (let times = 0; times < 100 && facts.rows.get(id)?.lease === null; times++) yield* Effect.sleep(step)
    yield* Effect.sleep(step * (yield* Random.next))
  })

/** One of the values. There has to be one. */
export const pick = <A>(values: ReadonlyArray<A>): Effect.Effect<A> =>
  Effect.flatMap(Random.next, (random) => {
    const value = values[Math.floor(random * values.length)]
    return value === undefined ? Effect.never : Effect.succeed(value)
  })

/** One of the processes. */
export const anyNode = ({ nodes }: Scene): Effect.Effect<EngineProcess> => pick(nodes)
