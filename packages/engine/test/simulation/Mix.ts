/**
 * What a world is made of. Each part is a size that the seed draws, so that worlds differ much from each other and a failing one can be made
 * smaller part by part.
 *
 * @module
 */
import { ProviderDialect, type Simulation } from "@rekindle/testing"
import type { EngineTimes } from "./EngineNode.ts"
import { type RotationClass, type Rules, rotationClasses } from "./Ledger.ts"

const second = 1000
const minute = 60 * second

/** One provider, and the application that is registered there. */
export interface ProviderMix {
  readonly name: string
  /** The name of its profile. Two auth configs may have one profile. */
  readonly profile: string
  readonly rotation: RotationClass
  readonly rules: Rules
  readonly dialect: ProviderDialect.Dialect
  readonly accounts: number
  /** How many of them begin with an access token that has run out. */
  readonly over: number
}

export interface Mix {
  readonly nodes: number
  /** Whether the one node has a SQLite database in memory, and not the model of a store. */
  readonly onSqlite: boolean
  readonly providers: ReadonlyArray<ProviderMix>
  readonly callers: number
  /** How many callers come at the same time to any nodes, and whether for several accounts or for one. */
  readonly herd: number
  readonly mixesHerds: boolean
  /** How many milliseconds lie between two calls of a caller, on average. */
  readonly pace: number
  readonly people: boolean
  readonly operator: boolean
  /** Whether the provider ends what a person granted before when the person consents again. */
  readonly onlyOneGrant: boolean
  /** Whether the disks are full at first. */
  readonly fullDisks: boolean
  /** Whether a provider carries out one request for a token at a time, so that the answers of two come together. */
  readonly inTurn: boolean
  readonly renews: boolean
  readonly traces: boolean
  readonly durability: "process" | "power"
  /** Whether the store has a clock of its own, as Postgres has, and not the clocks of those who ask. */
  readonly storeHasClock: boolean
  readonly times: EngineTimes
  /** How long providers take to answer, in milliseconds. */
  readonly thinking: number
  /** How long faults may strike, in milliseconds. */
  readonly trouble: number
}

const classes = Object.keys(rotationClasses) as ReadonlyArray<RotationClass>
const dialects = [ProviderDialect.rfc6749, ProviderDialect.github, ProviderDialect.slack, ProviderDialect.hubspot]

/** The sizes that make a world a large one, and one on SQLite. They are drawn from 0 on, so one of 16 worlds is large. */
export const largest = { extent: 15, sqlite: 95 }

/** Draws the mix of a world. */
export const draw = (world: Simulation.World): Mix => {
  const one = <A>(name: string, choices: readonly [A, ...ReadonlyArray<A>]): A =>
    choices[world.size(name, 0, choices.length - 1)] ?? choices[0]
  const yes = (name: string): boolean => world.size(name, 0, 1) === 1
  const requestTimeout = one("request timeout", [0.5 * second, 1.5 * second, 10 * second])
  const renews = yes("renewer")
  // A small world costs a third of a large one and meets most of what there is to meet, so that most worlds are small.
  const isLarge = world.size("extent", 0, largest.extent) === largest.extent
  const lease = requestTimeout * one("lease", [3, 6])
  // Trouble lasts for some leases, because much of what can go wrong begins when one ends.
  const trouble = lease * (isLarge ? one("trouble", [5, 10]) : one("trouble", [0.5, 1.5, 3]))
  // The statements of a real database cost much time.
  const onSqlite = world.size("sqlite", 0, largest.sqlite) === largest.sqlite
  const nodes = onSqlite ? 1 : world.size("nodes", 1, isLarge ? one("crowd", [2, 3, 5]) : one("crowd", [2, 2, 3]))
  const isOneProfile = yes("one profile")
  const providers = Array.from(
    { length: world.size("providers", 1, isLarge ? 2 : one("more providers", [1, 1, 2])) },
    (_, index): ProviderMix => {
      const name = `p${index}`
      const rotation = classes[world.size(`rotation of ${name}`, 0, classes.length - 1)] ?? "single-use"
      const accessTokenLife = one(`access tokens of ${name}`, [15 * second, 45 * second, 90 * second, 5 * minute])
      const reuseWindow = one(`reuse window of ${name}`, [lease, 15 * second, minute])
      const accounts = world.size(`accounts of ${name}`, 1, isLarge ? 5 : 2)
      return {
        name,
        profile: isOneProfile ? "p" : name,
        rotation,
        rules: { ...rotationClasses[rotation], accessTokenLife, ...(rotation === "grace" ? { reuseWindow } : {}) },
        dialect: dialects[world.size(`dialect of ${name}`, 0, dialects.length - 1)] ?? ProviderDialect.rfc6749,
        accounts,
        over: world.size(`ran out at ${name}`, 0, accounts)
      }
    }
  )
  return {
    nodes,
    onSqlite,
    providers,
    callers: world.size("callers", renews ? 0 : 1, isLarge ? 3 : 2),
    mixesHerds: yes("mixed herds"),
    herd: isLarge ? one("herd", [1, 2, 4]) : one("herd", [1, 2, 2, 4]),
    pace: trouble / (isLarge ? one("calls", [6, 25]) : one("calls", [2, 4, 8])),
    people: yes("people"),
    operator: yes("operator"),
    onlyOneGrant: yes("only one grant"),
    fullDisks: world.size("full disks", 0, 3) === 3,
    inTurn: yes("in turn"),
    renews,
    traces: world.size("traces", 0, 7) === 7,
    durability: one("durability", ["process", "power"]),
    storeHasClock: yes("clock of the store"),
    times: {
      lease,
      requestTimeout,
      egressTimeout: requestTimeout * 0.8,
      pollInterval: one("poll interval", [15 * second, 40 * second]),
      recoveryInterval: 30 * second,
      claimFor: one("claim", [30 * second, 2 * minute])
    },
    thinking: one("thinking", [1, 300, requestTimeout / 3]),
    trouble
  }
}
