/**
 * One idempotency key for each logical refresh, kept over its retries.
 *
 * Placing this stage is a statement: *the other side honours the key*, by answering the first attempt's result again. Retry then
 * repeats an ambiguous attempt without looking first. Against a server that ignores the header this would be a blind re-send, so
 * `standard` leaves it out unless told. It goes outside retry (a key for each send would mean nothing) and inside coalesce (callers
 * with different keys would not share a flight).
 *
 * @module
 */
import { Effect, Random } from "effect"
import { type Policy, policy } from "./Policy.ts"

const word = (random: { nextDoubleUnsafe(): number }): string =>
  Math.floor(random.nextDoubleUnsafe() * 0x1_0000_0000)
    .toString(16)
    .padStart(8, "0")

/**
 * Gives each refresh without a key of its own 128 random bits in hex, from Effect's `Random`.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict"
 * import { ConnectedAccountId, ConnectedAccounts, Ready, Resilience } from "@rekindle/core"
 * import { Effect, Layer } from "effect"
 *
 * const keys: Array<string | undefined> = []
 * const provider = Layer.succeed(ConnectedAccounts, {
 *   refresh: (id, options) =>
 *     Effect.sync(() => {
 *       keys.push(options?.idempotencyKey)
 *       return Ready.make({ id })
 *     }),
 *   get: () => Effect.die("not used here")
 * })
 *
 * await ConnectedAccounts.use((accounts) => accounts.refresh(ConnectedAccountId.make("ca_4CkFF_cKATwg"))).pipe(
 *   Effect.provide(Resilience.layer(Resilience.idempotencyKey()).pipe(Layer.provide(provider))),
 *   Effect.runPromise
 * )
 * assert.match(keys[0] ?? "", /^[0-9a-f]{32}$/)
 * ```
 */
export const idempotencyKey = (): Policy =>
  policy("idempotency-key", {}, (next) =>
    Effect.succeed({
      get: next.get,
      refresh: (id, options) =>
        options?.idempotencyKey !== undefined
          ? next.refresh(id, options)
          : Effect.withFiber((fiber) => {
              const random = fiber.getRef(Random.Random)
              return next.refresh(id, {
                ...options,
                idempotencyKey: word(random) + word(random) + word(random) + word(random)
              })
            })
    })
  )
