/**
 * Tripwires: what a step must not use, because it is different in every run. Time, chance, timers, sockets, processes and threads of the real
 * world fail the run, and the failure names the line that used them. Outside of a step they work as ever.
 *
 * **Gotchas**
 *
 * A module that keeps a function for itself when it is loaded (`const now = Date.now`) is not seen. Files are not watched: what reads
 * the stack of an error may read them.
 *
 * @module
 */
import { later } from "./later.ts"
import { current } from "./process.ts"

type Callable = (...values: ReadonlyArray<unknown>) => unknown

const isObject = (value: unknown): value is object =>
  typeof value === "function" || (typeof value === "object" && value !== null)

/** A property of what may not be there. */
const read = (value: unknown, key: string): unknown => (isObject(value) ? Reflect.get(value, key) : undefined)

const isCallable = (value: unknown): value is Callable => typeof value === "function"

/** The nearest line of a stack that is not part of a library. The nearest of all is named too if it is another. */
export const lineOf = (stack: string): string => {
  const lines = stack
    .split("\n")
    .filter((line) => /^\s+at /.test(line))
    .map((line) => line.trim().replace(/^at /, ""))
  const [nearest = "a line that is not known"] = lines
  const own = lines.find((line) => !/node_modules|\bnode:|<anonymous>/.test(line)) ?? nearest
  return own === nearest ? own : `${own}, through ${nearest}`
}

/** The stack of whoever called `wire`. */
const stackAbove = (wire: Callable): string => {
  const error = new Error("stack")
  const limit: unknown = Reflect.get(Error, "stackTraceLimit")
  const capture: unknown = Reflect.get(Error, "captureStackTrace")
  if (isCallable(capture)) {
    Reflect.set(Error, "stackTraceLimit", 100)
    Reflect.apply(capture, Error, [error, wire])
    Reflect.set(Error, "stackTraceLimit", limit)
  }
  return error.stack ?? ""
}

/** Whether a call trips. */
type Trips = (values: ReadonlyArray<unknown>) => boolean

const always: Trips = () => true

/**
 * Effect hashes functions and some objects by a random number, which it keeps for ever. In a step every such hash is the same: a map whose keys
 * are hashed so keeps the order in which they were added, in the first world as in the second.
 */
const isHashOfEffect = (stack: string): boolean => /^.*\n.*[\\/]effect[\\/](?:src|dist)[\\/]Hash\./.test(stack)

/** A stand-in that fails the run if a step calls it. It also serves with `new`, and has everything that is on the original. */
const wired = (name: string, was: Callable, trips: Trips): Callable => {
  const wire = function (this: unknown, ...values: ReadonlyArray<unknown>): unknown {
    const process = current()
    if (process !== undefined && (new.target === undefined || trips(values))) {
      const stack = stackAbove(wire)
      if (name === "Math.random" && isHashOfEffect(stack)) return 0.5
      process.queue.trip(process, name, lineOf(stack))
      throw new Error(`${name} is not part of a simulation`)
    }
    if (new.target === undefined) return Reflect.apply(was, this, values)
    return Reflect.construct(was, values, new.target === wire ? was : new.target)
  }
  return Object.defineProperties(wire, Object.getOwnPropertyDescriptors(was))
}

/** The stand-ins. */
const wires = new WeakSet<Callable>()

/** How to take a stand-in away again. */
const undo = new Array<() => void>()

/** Puts a stand-in in the place of a function, if there is none yet. Who takes that place later keeps it. */
const replace = (target: unknown, key: string, name: string, trips = always): void => {
  if (!isObject(target)) return
  const was: unknown = Reflect.get(target, key)
  const before = Reflect.getOwnPropertyDescriptor(target, key)
  if (!isCallable(was) || wires.has(was) || before?.configurable === false) return
  const wire = wired(name, was, trips)
  wires.add(wire)
  Object.defineProperty(target, key, {
    value: wire,
    configurable: true,
    enumerable: before?.enumerable ?? true,
    writable: true
  })
  undo.push(() => {
    if (Reflect.get(target, key) !== wire) return
    if (before === undefined) Reflect.deleteProperty(target, key)
    else Object.defineProperty(target, key, before)
  })
}

const globals = [
  "setTimeout",
  "setInterval",
  "setImmediate",
  "fetch",
  "WebSocket",
  "EventSource",
  "Worker",
  "BroadcastChannel"
]

const installGlobals = (): void => {
  const { crypto, Date, Math, performance } = globalThis
  const process = read(globalThis, "process")
  replace(Date, "now", "Date.now")
  replace(globalThis, "Date", "Date", (values) => values.length === 0)
  replace(performance, "now", "performance.now")
  replace(read(process, "hrtime"), "bigint", "process.hrtime.bigint")
  replace(process, "hrtime", "process.hrtime")
  replace(Math, "random", "Math.random")
  replace(crypto, "randomUUID", "crypto.randomUUID")
  replace(crypto, "getRandomValues", "crypto.getRandomValues")
  replace(read(globalThis, "AbortSignal"), "timeout", "AbortSignal.timeout")
  for (const name of globals) replace(globalThis, name, name)
}

/** Modules of Node, with what trips in them. A dot leads to a prototype. */
const builtins: Readonly<Record<string, ReadonlyArray<string>>> = {
  "node:child_process": ["exec", "execFile", "execFileSync", "execSync", "fork", "spawn", "spawnSync"],
  "node:crypto": ["randomBytes", "randomFill", "randomFillSync", "randomInt", "randomUUID"],
  "node:dgram": ["createSocket"],
  "node:dns": ["lookup", "resolve"],
  "node:dns/promises": ["lookup", "resolve"],
  "node:http": ["get", "request"],
  "node:http2": ["connect"],
  "node:https": ["get", "request"],
  "node:net": ["Server.listen", "Socket.connect"],
  "node:timers": ["setImmediate", "setInterval", "setTimeout"],
  "node:timers/promises": ["setImmediate", "setInterval", "setTimeout"],
  "node:worker_threads": ["Worker"]
}

/** Those of Node's modules stay: taking them away again costs more than a world. */
const installBuiltins = (): void => {
  const load = read(read(globalThis, "process"), "getBuiltinModule")
  if (!isCallable(load)) return
  for (const [name, keys] of Object.entries(builtins)) {
    for (const key of keys) {
      const [first = "", method] = key.split(".")
      const target = load(name)
      if (method === undefined) replace(target, first, `${name} ${key}`)
      else replace(read(read(target, first), "prototype"), method, `${name} ${key}`)
    }
  }
  const sync = read(load("node:module"), "syncBuiltinESMExports")
  if (isCallable(sync)) sync()
  undo.length = 0
}

let worlds = 0
let isFirst = true

/** Sets the tripwires. Returns how to take them away again. They stay a moment longer, since the next world often follows at once. */
export const set = (): (() => void) => {
  if (isFirst) installBuiltins()
  isFirst = false
  installGlobals()
  worlds++
  return () => {
    if (--worlds > 0) return
    later(() => {
      if (worlds > 0) return
      for (const takeAway of undo.splice(0).toReversed()) takeAway()
    })
  }
}
