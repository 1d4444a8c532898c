/**
 * The UUIDs that older clients expect besides an id. One is derived from the id, so it needs no column (RFC 9562 §5.5).
 *
 * @module
 */
import { Effect } from "effect"

const encoder = new TextEncoder()

/** The version 5 UUID of an id, in a namespace of Rekindle's own. */
export const uuidOf = (id: string): Effect.Effect<string> =>
  Effect.map(
    Effect.promise(() => crypto.subtle.digest("SHA-1", encoder.encode(`rekindle:${id}`))),
    (digest) => {
      const bytes = new Uint8Array(digest, 0, 16)
      const hex = Array.from(bytes, (byte, index) => {
        const shaped = index === 6 ? (byte & 0x0f) | 0x50 : index === 8 ? (byte & 0x3f) | 0x80 : byte
        return shaped.toString(16).padStart(2, "0")
      }).join("")
      return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-")
    }
  )
