/**
 * The nodes of a world: machines with a name and a wall clock, on which one program runs, is killed, and is started again.
 *
 * @module
 */
import { Cause, type Context, Effect, Exit, Fiber, type Scope } from "effect"
import { WallClock } from "./clock.ts"
import { type Disk, SimulatedDisk } from "./disk.ts"
import { type Fault, kindsOfNode, scaled, type Site } from "./faults.ts"
import { Misuse } from "./misuse.ts"
import type { Network, NetworkError } from "./network.ts"
import { current, type Owner, type Process } from "./process.ts"
import { servicesOf } from "./services.ts"
import type { Core } from "./world.ts"

/** How a node behaves. */
export interface NodeOptions {
  /** Whether faults strike the node, and the calls to it. Default true. */
  readonly faults?: boolean | undefined
  /** Told when the program starts, ends, loses power, is frozen and goes on, whoever did it. */
  readonly changed?: ((to: "running" | "frozen" | "ended" | "without power") => void) | undefined
}

/** A machine of the world. */
export interface Machine {
  readonly name: string
  /** Whether its program has been started and has not ended. A frozen program counts as running. */
  readonly isRunning: () => boolean
  /** The wall clock. Setting its `skew` makes wall time jump. Monotonic time does not. */
  readonly wallClock: WallClock
  readonly disk: Disk
  /** Ends the program at once. No finalizer runs. Its tasks, its timers and the answers that it waits for are gone. */
  readonly kill: Effect.Effect<void>
  /** As `kill`, and what was not synced to the disk is lost, in part. Callers hear nothing. */
  readonly losePower: Effect.Effect<void>
  /** Interrupts the program, and waits until its finalizers have run. */
  readonly stop: Effect.Effect<void>
  /** The program stands still while time goes on, as in a long pause of the garbage collector or on a suspended machine. */
  readonly freeze: Effect.Effect<void>
  /** Lets a frozen program go on. What became due meanwhile becomes due at once. */
  readonly thaw: Effect.Effect<void>
  /** Kills the program if it runs, and starts it again. */
  readonly restart: Effect.Effect<void>
}

/** A machine, and the service that its program gives. */
export interface Node<S> extends Machine {
  /**
   * Sends a request to the node. The node carries it out as work of its program, and the answer comes back. Both take time on the way, and the
   * faults of the world lose, delay and repeat them. A caller whose request or answer was lost may never hear anything, so it needs a time limit.
   * A node whose program has not returned its service yet refuses.
   */
  readonly call: <A, E>(request: (service: S) => Effect.Effect<A, E>) => Effect.Effect<A, E | NetworkError>
}

/** One life of a node's program. */
export interface Life<S> {
  readonly process: Process
  readonly context: Context.Context<never>
  /** What to tell the callers whose requests are being carried out if the process ends. */
  readonly callers: Set<() => void>
  /** Undefined until the program has returned it. */
  service: { readonly value: S } | undefined
  main: Fiber.Fiber<unknown> | undefined
}

/** Makes a node, and starts it. */
export class SimulatedNode<S> implements Node<S>, Owner {
  readonly name: string
  readonly wallClock = new WallClock()
  life: Life<S> | undefined
  private readonly core: Core
  private readonly network: Network
  private readonly outside: Process
  private readonly boot: () => Effect.Effect<S, never, Scope.Scope>
  readonly hasFaults: boolean
  private readonly changed: NonNullable<NodeOptions["changed"]>
  private readonly site: Site
  private lives = 0
  private usedDisk: SimulatedDisk | undefined
  /** Whether a fault keeps the program from running. Told apart from what the test did itself, which stays when the world is healed. */
  private struckDown: { readonly end: () => void } | undefined

  constructor(
    core: Core,
    network: Network,
    outside: Process,
    name: string,
    boot: (machine: Machine) => Effect.Effect<S, never, Scope.Scope>,
    options: NodeOptions
  ) {
    this.core = core
    this.network = network
    this.outside = outside
    this.name = name
    this.boot = () => boot(this)
    this.hasFaults = options.faults !== false
    this.changed = options.changed ?? (() => {})
    this.site = core.faults.site(`node ${name}`, kindsOfNode)
    this.start()
  }

  /** Made when it is asked for: most nodes use none. */
  get disk(): SimulatedDisk {
    return (this.usedDisk ??= new SimulatedDisk(this.core, this.name, this.hasFaults, {
      kill: (amount) => this.killFor(amount),
      pause: (amount) => this.freezeFor(amount)
    }))
  }

  readonly isRunning = (): boolean => this.life !== undefined

  readonly beforeStep = (): boolean => {
    const fault = this.hasFaults ? this.site.strike() : undefined
    if (fault === undefined) return true
    this.suffer(fault)
    return fault.what === "clock-jump"
  }

  readonly call = <A, E>(request: (service: S) => Effect.Effect<A, E>): Effect.Effect<A, E | NetworkError> =>
    Effect.callback((resume) => {
      const from = current()
      this.core.waiting?.waitsFor(`an answer of ${this.name}`)
      if (from?.queue === this.core) this.network.send(from, this, request, resume)
      else resume(Effect.die(new Misuse({ message: `${this.name} is called from outside of its world` })))
    })

  readonly kill = Effect.suspend(() => {
    this.core.note(this.name, "is killed")
    return this.end() ? Effect.never : Effect.void
  })

  readonly losePower = Effect.suspend(() => {
    this.core.note(this.name, "loses power")
    return this.losesPower() ? Effect.never : Effect.void
  })

  readonly freeze = Effect.suspend(() => {
    this.core.note(this.name, "is frozen")
    this.hold()
    return Effect.yieldNow
  })

  readonly thaw = Effect.sync(() => {
    this.core.note(this.name, "goes on")
    this.release()
  })

  readonly restart = Effect.suspend(() => {
    const itself = this.end()
    this.core.note(this.name, "is restarted")
    this.start()
    return itself ? Effect.never : Effect.void
  })

  readonly stop = Effect.suspend(() => {
    const main = this.life?.main
    this.core.note(this.name, "is stopped")
    return main === undefined ? Effect.void : Fiber.interrupt(main)
  })

  /** What faults have done to the node is over. */
  heal(): void {
    this.wallClock.skew = 0
    this.usedDisk?.heal()
    this.struckDown?.end()
  }

  private suffer(fault: Fault): void {
    const { amount, what } = fault
    switch (what) {
      case "kill":
        return this.killFor(amount)
      case "power-loss":
        this.core.note(this.name, "loses power")
        this.losesPower()
        return this.mendAfter(scaled(amount, 1000, 120_000), () => this.start())
      case "freeze":
        return this.freezeFor(amount)
      default: {
        const jump = amount < 0.5 ? -scaled(amount * 2, 1, 3_600_000) : scaled(amount * 2 - 1, 1, 3_600_000)
        this.core.note(this.name, `has its wall clock jump by ${jump.toFixed(0)} ms`)
        this.wallClock.skew += jump
      }
    }
  }

  private killFor(amount: number): void {
    if (this.life === undefined) return
    const millis = scaled(amount, 1, 60_000)
    this.core.note(this.name, `is killed for ${millis.toFixed(0)} ms`)
    this.end()
    this.mendAfter(millis, () => this.start())
  }

  private freezeFor(amount: number): void {
    if (this.life === undefined) return
    const millis = scaled(amount, 1, 120_000)
    this.core.note(this.name, `is frozen for ${millis.toFixed(0)} ms`)
    this.hold()
    this.mendAfter(millis, () => this.release())
  }

  /** Returns whether the program has ended itself. */
  private losesPower(): boolean {
    // Callers are not told: nobody is there to do it.
    this.life?.callers.clear()
    const itself = this.end("without power")
    this.usedDisk?.losePower()
    return itself
  }

  private mendAfter(millis: number, end: () => void): void {
    const struckDown = { end }
    this.struckDown = struckDown
    this.core.startTimer(millis, this.outside, () => {
      if (this.struckDown === struckDown) end()
    })
  }

  private start(): void {
    this.struckDown = undefined
    const process = this.core.makeProcess(this)
    const context = servicesOf(this.core, process, this.wallClock, this.lives++)
    const life: Life<S> = { process, context, callers: new Set(), service: undefined, main: undefined }
    this.life = life
    this.changed("running")
    const program = Effect.scoped(
      Effect.flatMap(Effect.suspend(this.boot), (service) => {
        life.service = { value: service }
        this.core.waiting?.isIdle()
        return Effect.never
      })
    )
    life.main = Effect.runForkWith(life.context)(program)
    life.main.addObserver((exit) => {
      if (Exit.isFailure(exit) && !Cause.hasInterruptsOnly(exit.cause)) this.core.failWith(this.name, exit.cause)
      this.end()
    })
  }

  /** Returns whether the program has ended itself. Nothing may return to it then. */
  private end(how: "ended" | "without power" = "ended"): boolean {
    const { life } = this
    this.struckDown = undefined
    if (life === undefined) return false
    this.life = undefined
    const itself = life.process === current()
    life.process.end()
    this.changed(how)
    for (const tell of life.callers) tell()
    return itself
  }

  private hold(): void {
    if (this.life === undefined) return
    // What is left of a step that froze its own process waits too.
    this.core.budget = 0
    this.life.process.state = "frozen"
    this.changed("frozen")
  }

  private release(): void {
    // A node that is down stays down until whoever ended it starts it again.
    if (this.life?.process.state !== "frozen") return
    this.struckDown = undefined
    this.core.thaw(this.life.process)
    this.changed("running")
  }
}
