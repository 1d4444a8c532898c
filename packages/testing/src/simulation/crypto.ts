/**
 * Web Crypto whose random bytes come from the seed. Everything else is the platform's: a digest or a signature is the same in every run, but
 * when it is ready is not. The world therefore waits for it between two steps, and hands out the results in the order of the calls.
 *
 * @module
 */
import type { Chance } from "./chance.ts"

/** Waits for a promise of the real world between two steps. */
export type Outside = <A>(promise: PromiseLike<A>) => Promise<A>

const fill = (chance: Chance, bytes: Uint8Array): void => {
  for (let at = 0; at < bytes.length; at++) bytes[at] = chance.next() >>> 24
}

const hex = (bytes: Uint8Array): string => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")

/** A UUID of version 4 (RFC 9562 §5.4). */
const uuid = (chance: Chance): `${string}-${string}-${string}-${string}-${string}` => {
  const bytes = new Uint8Array(16)
  fill(chance, bytes)
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x40
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80
  const text = hex(bytes)
  return `${text.slice(0, 8)}-${text.slice(8, 12)}-${text.slice(12, 16)}-${text.slice(16, 20)}-${text.slice(20)}`
}

/** Makes the Web Crypto of a process. */
export const makeCrypto = (chance: Chance, outside: Outside): Crypto => {
  const { subtle } = globalThis.crypto
  return {
    getRandomValues: (array) => {
      if (ArrayBuffer.isView(array)) fill(chance, new Uint8Array(array.buffer, array.byteOffset, array.byteLength))
      return array
    },
    randomUUID: () => uuid(chance),
    subtle: new Proxy(subtle, {
      get: (target, name) => {
        const method: unknown = Reflect.get(target, name, target)
        return typeof method === "function"
          ? (...values: ReadonlyArray<unknown>) => outside(Promise.resolve(Reflect.apply(method, target, values)))
          : method
      }
    })
  }
}
