/**
 * What a process sees of the world through Effect's own references: scheduler, clock, chance, crypto, tracer and logger.
 *
 * @module
 */
import { Cause, Clock, Console, Context, Exit, Logger, Metric, Random, Scheduler, Tracer } from "effect"
import { WebCrypto } from "effect/crypto"
import { Chance } from "./chance.ts"
import { makeClock, type WallClock } from "./clock.ts"
import { makeCrypto } from "./crypto.ts"
import { scaled } from "./faults.ts"
import type { Process } from "./process.ts"
import { type Core, textOf } from "./world.ts"

/** A span whose ids come from the seed. Effect's own take them from `Math.random`. */
class SeededSpan extends Tracer.NativeSpan {
  private readonly chance: Chance

  constructor(chance: Chance, options: ConstructorParameters<typeof Tracer.NativeSpan>[0]) {
    super(options)
    this.chance = chance
    this._traceId = options.parent._tag === "Some" ? options.parent.value.traceId : undefined
  }

  override get spanId(): string {
    return (this._spanId ??= this.hex(2))
  }

  override get traceId(): string {
    return (this._traceId ??= this.hex(4))
  }

  private hex(words: number): string {
    return Array.from({ length: words }, () => this.chance.next().toString(16).padStart(8, "0")).join("")
  }
}

const lineOf = (parts: ReadonlyArray<unknown>): string => parts.map(textOf).join(" ")

/** What a process logs is part of the story, without time and fiber: the story has the one, and the other differs between runs. */
const storyLogger = (core: Core, node: string) =>
  Logger.make<unknown, void>(({ logLevel, message }) => {
    core.note(node, `logs ${logLevel.toUpperCase()} ${lineOf(Array.isArray(message) ? message : [message])}`)
  })

/** A plain copy, because each life copies it again. */
const realConsole = { ...globalThis.console }

/** What a process prints with Effect's `Console` is part of the story too. */
const storyConsole = (core: Core, node: string): Console.Console => {
  const print = (...parts: ReadonlyArray<unknown>) => core.note(node, `prints ${lineOf(parts)}`)
  return { ...realConsole, log: print, info: print, warn: print, error: print, debug: print }
}

/**
 * Notes fibers that die. A program that forks its work does not die with it, so nothing else would tell that the work has ended. Effect tells
 * its metrics when a fiber ends.
 */
const storyOfDeaths = (core: Core, process: Process): Metric.FiberRuntimeMetricsService => {
  let last: unknown
  return {
    recordFiberStart: () => {},
    recordFiberEnd: (_, exit) => {
      if (Exit.isSuccess(exit) || process.state === "ended") return
      const died = exit.cause.reasons.find(Cause.isDieReason)
      // A fiber that waits for one that dies, dies of the same.
      if (died === undefined || died.defect === last) return
      last = died.defect
      core.note(process.owner.name, `has a fiber that died: ${textOf(died.defect)}`)
    }
  }
}

/** The references for one life of a node. What one life draws moves nothing that another draws. */
export const servicesOf = (core: Core, process: Process, wall: WallClock, life: number): Context.Context<never> => {
  const { name } = process.owner
  const chance = new Chance(core.seed, `chance ${name} ${life}`)
  let spans: Chance | undefined
  // Monotonic time begins anywhere, and elsewhere in each life.
  const origin = scaled(chance.nextDoubleUnsafe(), 1, 1e9)
  return Context.empty().pipe(
    Context.add(Scheduler.Scheduler, process),
    Context.add(Clock.Clock, makeClock(core, process, wall, origin)),
    Context.add(Random.Random, chance),
    Context.add(WebCrypto.WebCrypto, makeCrypto(chance, core.outside)),
    Context.add(
      Tracer.Tracer,
      Tracer.make({
        span: (options) => new SeededSpan((spans ??= new Chance(core.seed, `spans ${name} ${life}`)), options)
      })
    ),
    Context.add(Logger.CurrentLoggers, new Set([storyLogger(core, name)])),
    Context.add(Console.Console, storyConsole(core, name)),
    Context.add(Metric.FiberRuntimeMetrics, storyOfDeaths(core, process))
  )
}
