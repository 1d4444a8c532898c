/**
 * One idempotency key for each logical refresh, the same for all its attempts.
 *
 * Use it only if the server honours the key, which means that it answers with the result of the first attempt. Retry then repeats an
 * ambiguous attempt without reading the account. If a server ignored the header, that would be a blind repeat, so `standard` leaves this
 * stage out by default.
 *
 * Its place is outside retry, because all attempts need the same key, and inside coalesce, because calls with different keys share no flight.
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
 * Gives each refresh that has no key 128 random bits in hex, from Effect's `Random`.
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
