/**
 * The event loop of the real world.
 *
 * @module
 */

/** Taken here, since steps are kept from timers. */
const { setTimeout } = globalThis
const setImmediate: unknown = Reflect.get(globalThis, "setImmediate")

/** Calls a function in the next turn of the event loop. */
export const later = (run: () => void): void => {
  if (typeof setImmediate === "function") setImmediate(run)
  else setTimeout(run, 0)
}

/** Returns in the next turn of the event loop. What promises can settle without the outside is settled then. */
export const settle = (): Promise<void> => new Promise(later)
