/**
 * Streams of numbers from one seed. Each stream has a label: what is drawn from one does not move what another gives, so a fault that is left
 * out of a replay leaves every other choice as it was.
 *
 * @module
 */
import type { Random } from "effect"

/** 32 bits of a text: FNV-1a, and the finalizer of MurmurHash3. */
const hash = (text: string, start: number): number => {
  let bits = start
  for (let at = 0; at < text.length; at++) bits = Math.imul(bits ^ text.charCodeAt(at), 0x01000193)
  bits = Math.imul(bits ^ (bits >>> 16), 0x85ebca6b)
  bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35)
  return bits ^ (bits >>> 16)
}

/** The generator sfc32 of Chris Doty-Humphrey: four words of state, a few nanoseconds for a number. */
export class Chance implements Random.Random {
  private a: number
  private b: number
  private c: number
  private counter = 1

  constructor(seed: number, label: string) {
    const text = `${seed} ${label}`
    this.a = hash(text, 0x811c9dc5)
    this.b = hash(text, 0x9e3779b9)
    this.c = hash(text, 0x243f6a88)
    for (let round = 0; round < 12; round++) this.next()
  }

  /** A whole number from 0 to 2^32 - 1. */
  next(): number {
    const sum = (this.a + this.b + this.counter) | 0
    this.counter = (this.counter + 1) | 0
    this.a = this.b ^ (this.b >>> 9)
    this.b = (this.c + (this.c << 3)) | 0
    this.c = ((this.c << 21) | (this.c >>> 11)) + sum
    return sum >>> 0
  }

  /** A whole number from 0 to `bound` - 1. */
  below(bound: number): number {
    return Math.floor((this.next() / 0x1_0000_0000) * bound)
  }

  /** One of the values. */
  pick<A>(first: A, ...others: ReadonlyArray<A>): A {
    return others[this.below(others.length + 1) - 1] ?? first
  }

  nextDoubleUnsafe(): number {
    return ((this.next() >>> 5) * 0x400_0000 + (this.next() >>> 6)) / 0x20_0000_0000_0000
  }

  nextIntUnsafe(): number {
    return (
      Math.floor(this.nextDoubleUnsafe() * (Number.MAX_SAFE_INTEGER - Number.MIN_SAFE_INTEGER + 1)) +
      Number.MIN_SAFE_INTEGER
    )
  }
}
