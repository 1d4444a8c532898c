/**
 * What goes wrong in a world, as data. A fault names the site where it strikes, such as `node a` or `a > store`, and at which use of that
 * site: the fifth step of the node, the third call. A seed draws faults by their rates. A list of faults can be given instead, such as
 * the one that a failed run returned, or a part of it.
 *
 * @module
 */
import { Chance } from "./chance.ts"

/** One thing that goes wrong. */
export interface Fault {
  /** Where: `node a`, `a > store`, `disk a append`, or a site of the application's own. */
  readonly site: string
  /** At which use of the site, counted from 0 in each world. */
  readonly at: number
  /** The kind, such as `kill` or `drop-answer`. */
  readonly what: string
  /** From 0 to 1: how much of it. A kind has its own range for it, such as how long a freeze lasts. */
  readonly amount: number
}

/** How often each kind of fault strikes, as a share of the uses of its sites. A kind that is not named never strikes. */
export type FaultRates = Readonly<Record<string, number>>

/** Faults that strike as they are, in any order. */
export type FaultPlan = ReadonlyArray<Fault>

/** One place where faults can strike. */
export interface Site {
  /** Uses the site once. Returns the fault that strikes there. */
  readonly strike: () => Fault | undefined
}

/** The kinds that strike at a step of a node. */
export const kindsOfNode: ReadonlyArray<string> = ["kill", "power-loss", "freeze", "clock-jump"]
/** The kinds that strike at a call. */
export const kindsOfCall: ReadonlyArray<string> = [
  "refuse",
  "drop-request",
  "drop-answer",
  "duplicate",
  "delay",
  "partition"
]
/** The kinds that strike at a write to a disk. */
export const kindsOfWrite: ReadonlyArray<string> = ["disk-full", "disk-slow", "disk-torn", "disk-fails"]
/** The kinds that strike when a disk is synced. All of them strike at writes too. */
export const kindsOfSync: ReadonlyArray<string> = ["disk-slow", "disk-fails"]

const isPlan = (faults: FaultRates | FaultPlan): faults is FaultPlan => Array.isArray(faults)

/** `amount` of the way from `min` to `max`, both above 0, in equal factors: as many small ones as large ones. */
export const scaled = (amount: number, min: number, max: number): number => min * (max / min) ** amount

/** The faults of one world. */
export class Faults {
  /** The faults that struck. */
  readonly struck = new Array<Fault>()
  private readonly sites = new Map<string, Site>()
  private readonly seed: number
  private readonly faults: FaultRates | FaultPlan
  private readonly enabled = new Map<string, boolean>()
  private readonly kinds = new Set([...kindsOfNode, ...kindsOfCall, ...kindsOfWrite])
  private readonly refuse: (message: string) => void
  private stopped = false

  /** `refuse` is told of a given fault that its site does not have. */
  constructor(seed: number, faults: FaultRates | FaultPlan, refuse: (message: string) => void) {
    this.seed = seed
    this.faults = faults
    this.refuse = refuse
  }

  /** The kinds with a rate that no site has had so far. */
  unknown(): ReadonlyArray<string> {
    return isPlan(this.faults) ? [] : Object.keys(this.faults).filter((kind) => !this.kinds.has(kind))
  }

  /** No fault strikes from now on. */
  stop(): void {
    this.stopped = true
  }

  /** The site of this name. Its kinds are those of the first time it is asked for. */
  site(name: string, kinds: ReadonlyArray<string>): Site {
    const known = this.sites.get(name)
    if (known !== undefined) return known
    for (const kind of kinds) this.kinds.add(kind)
    const following = isPlan(this.faults)
      ? this.planned(this.faults, name, kinds)
      : this.drawn(this.faults, name, kinds)
    let uses = 0
    let next = following()
    const site: Site = {
      strike: () => {
        const use = uses++
        if (next === undefined || next.at !== use) return undefined
        const fault = next
        next = following()
        if (this.stopped) return undefined
        this.struck.push(fault)
        return fault
      }
    }
    this.sites.set(name, site)
    return site
  }

  /**
   * Half of the kinds are left out of each world. A world with every kind of fault at once mostly fails early and always in the same way
   * (Groce et al., Swarm testing, ISSTA 2012).
   */
  private isEnabled(kind: string): boolean {
    const known = this.enabled.get(kind)
    if (known !== undefined) return known
    const enabled = new Chance(this.seed, `fault ${kind}`).below(2) === 0
    this.enabled.set(kind, enabled)
    return enabled
  }

  /** The uses between two faults are drawn, so that a use without a fault costs a comparison. */
  private drawn(rates: FaultRates, site: string, kinds: ReadonlyArray<string>): () => Fault | undefined {
    const candidates = kinds
      .map((what) => ({ what, rate: this.isEnabled(what) ? (rates[what] ?? 0) : 0 }))
      .filter(({ rate }) => rate > 0)
    const total = candidates.reduce((sum, { rate }) => sum + rate, 0)
    if (total === 0) return () => undefined
    const chance = new Chance(this.seed, `faults ${site}`)
    let at = -1
    return () => {
      at += 1 + (total >= 1 ? 0 : Math.floor(Math.log(1 - chance.nextDoubleUnsafe()) / Math.log(1 - total)))
      let left = chance.nextDoubleUnsafe() * total
      const what = candidates.find(({ rate }) => (left -= rate) < 0)?.what ?? candidates[0]?.what ?? ""
      return { site, at, what, amount: chance.nextDoubleUnsafe() }
    }
  }

  private planned(plan: FaultPlan, site: string, kinds: ReadonlyArray<string>): () => Fault | undefined {
    const faults = plan.filter((fault) => fault.site === site).sort((one, other) => one.at - other.at)
    const wrong = faults.find(({ what }) => !kinds.includes(what))
    if (wrong !== undefined) this.refuse(`the site ${site} has no fault ${wrong.what}, only ${kinds.join(", ")}`)
    let next = 0
    return () => faults[next++]
  }
}
