/**
 * The network between nodes. A call is one request and one answer, each of which travels for a time that the seed draws, so that later ones
 * overtake earlier ones. A caller learns only what a real network tells: an answer, a refusal, a reset, or nothing.
 *
 * @module
 */
import { Effect, Exit, Schema } from "effect"
import { Chance } from "./chance.ts"
import { type Fault, kindsOfCall, scaled } from "./faults.ts"
import type { SimulatedNode } from "./node.ts"
import type { Process } from "./process.ts"
import type { Core } from "./world.ts"

/** A call without an answer. */
export class NetworkError extends Schema.TaggedError<NetworkError>()("NetworkError", {
  /**
   * - `refused`: there was no connection. The request was not carried out.
   * - `reset`: the connection broke. Nobody knows whether the request was carried out.
   */
  reason: Schema.Literals(["refused", "reset"])
}) {
  override get message(): string {
    return `the connection was ${this.reason}`
  }
}

const refused = Exit.fail(new NetworkError({ reason: "refused" }))
const reset = Exit.fail(new NetworkError({ reason: "reset" }))

/** Both directions. */
const pair = (one: string, other: string): string => (one < other ? `${one} - ${other}` : `${other} - ${one}`)

/** Half of the callers whose message is lost see their connection break. The others hear nothing. */
const isTold = (fault: Fault): boolean => fault.amount < 0.5

/** The network of a world. */
export class Network {
  private readonly core: Core
  private readonly outside: Process
  private readonly chance: Chance
  private readonly latency: number
  /** Until when nothing passes between two nodes. */
  private readonly partitions = new Map<string, number>()

  constructor(core: Core, outside: Process) {
    this.core = core
    this.outside = outside
    this.chance = new Chance(core.seed, "network")
    this.latency = this.chance.pick(0.1, 1, 20)
  }

  /** Lets nothing pass between two nodes, for a time in milliseconds. */
  cut(one: string, other: string, millis: number): void {
    this.partitions.set(pair(one, other), this.core.now + millis)
  }

  /** What faults have done to the network is over. */
  heal(): void {
    this.partitions.clear()
  }

  send<S, A, E>(
    from: Process,
    to: SimulatedNode<S>,
    request: (service: S) => Effect.Effect<A, E>,
    resume: (answer: Effect.Effect<A, E | NetworkError>) => void
  ): void {
    const link = `${from.owner.name} > ${to.name}`
    const fault = to.hasFaults ? this.core.faults.site(link, kindsOfCall).strike() : undefined
    if (fault !== undefined) this.core.note(from.owner.name, `calls ${to.name}: ${fault.what}`)
    // The second answer to a repeated request is not heard: an Effect is resumed once.
    const answer = (exit: Exit.Exit<A, E | NetworkError>): void => {
      if (this.isCut(from, to)) return
      const late = fault?.what === "delay" && fault.amount >= 0.5 ? scaled(fault.amount * 2 - 1, 1, 60_000) : 0
      this.core.startTimer(this.travel() + late, from, () => resume(exit))
    }
    const arrive = (): void => {
      if (this.isCut(from, to)) return
      if (fault?.what !== "drop-answer") return this.carryOut(to, request, answer)
      this.carryOut(to, request, () => {
        if (isTold(fault)) answer(reset)
      })
    }
    const early = fault?.what === "delay" && fault.amount < 0.5 ? scaled(fault.amount * 2, 1, 60_000) : 0
    switch (fault?.what) {
      case "partition":
        return this.cut(from.owner.name, to.name, scaled(fault.amount, 10, 120_000))
      case "refuse":
        return answer(refused)
      case "drop-request":
        if (isTold(fault)) answer(reset)
        return
      case "duplicate":
        this.core.startTimer(this.travel() + scaled(fault.amount, 1, 60_000), this.outside, arrive)
    }
    this.core.startTimer(this.travel() + early, this.outside, arrive)
  }

  /** Carries the request out as work of the node that it arrived at. */
  private carryOut<S, A, E>(
    to: SimulatedNode<S>,
    request: (service: S) => Effect.Effect<A, E>,
    answer: (exit: Exit.Exit<A, E | NetworkError>) => void
  ): void {
    const { life } = to
    if (life?.service === undefined) return answer(refused)
    const { value } = life.service
    const broken = () => answer(reset)
    life.callers.add(broken)
    const work = Effect.runForkWith(life.context)(Effect.suspend(() => request(value)))
    work.addObserver((exit) => {
      life.callers.delete(broken)
      answer(exit)
    })
  }

  private travel(): number {
    return this.latency * (0.5 + this.chance.nextDoubleUnsafe())
  }

  private isCut(from: Process, to: { readonly name: string }): boolean {
    return this.partitions.size > 0 && (this.partitions.get(pair(from.owner.name, to.name)) ?? 0) > this.core.now
  }
}
