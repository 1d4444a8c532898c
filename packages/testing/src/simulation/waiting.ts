/**
 * Who waits for what, told when nothing is left to do in a world. It costs too much to know in every world, so a world that has stalled is run
 * once more for it.
 *
 * @module
 */
import { Fiber } from "effect"
import { current, type Process } from "./process.ts"

type AnyFiber = Fiber.Fiber<unknown, unknown>

/** Where a fiber is, as far as it says so: the innermost function of `Effect.fn`, or span, that it is in. */
const placeOf = ({ cache }: AnyFiber): string => {
  const { span, stackFrame } = cache
  const line = stackFrame?.stack()?.trim().replace(/^at /, "")
  if (stackFrame !== undefined) return `in ${stackFrame.name}${line === undefined ? "" : ` (${line})`}`
  return span?._tag === "Span" ? `in ${span.name}` : "in code without a name: Effect.fn and Effect.withSpan give it one"
}

/** Follows the fibers of a world. */
export class Waiting {
  private readonly fibers = new Map<AnyFiber, Process>()
  private readonly targets = new Map<AnyFiber, string>()
  private readonly idle = new Set<AnyFiber>()

  /** Follows every fiber of a process. */
  follow(process: Process): void {
    const { shouldYield } = process
    process.shouldYield = (fiber) => {
      this.fibers.set(fiber, process)
      // It goes on, so whatever it waited for has come.
      this.targets.delete(fiber)
      return shouldYield.call(process, fiber)
    }
  }

  /** The running fiber waits for this now. */
  waitsFor(what: string): void {
    const fiber = Fiber.getCurrent()
    if (fiber !== undefined && current() !== undefined) this.targets.set(fiber, what)
  }

  /** The running fiber has nothing to do, and nobody waits for it. */
  isIdle(): void {
    const fiber = Fiber.getCurrent()
    if (fiber !== undefined) this.idle.add(fiber)
  }

  /** Notices the promises that fibers wait for. Returns how to stop that. */
  followPromises(): () => void {
    const { prototype } = Promise
    const then = Object.getOwnPropertyDescriptor(prototype, "then")
    const waitsFor = () => this.waitsFor("a promise of the real world")
    if (then === undefined) return () => {}
    Object.defineProperty(prototype, "then", {
      ...then,
      value(this: Promise<unknown>, ...callbacks: ReadonlyArray<unknown>): unknown {
        waitsFor()
        return Reflect.apply(then.value, this, callbacks)
      }
    })
    return () => {
      Object.defineProperty(prototype, "then", then)
    }
  }

  /** One line for each fiber that waits. */
  describe(): ReadonlyArray<string> {
    return [...this.fibers]
      .filter(([fiber, { state }]) => fiber.pollUnsafe() === undefined && state !== "ended" && !this.idle.has(fiber))
      .map(
        ([fiber, { owner }]) => `${owner.name} waits for ${this.targets.get(fiber) ?? "something"} ${placeOf(fiber)}`
      )
  }
}
