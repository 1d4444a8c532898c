/**
 * The secrets of a subscription: made, sealed, opened, and rotated.
 *
 * @module
 */
import type { CredentialVault, SealContext } from "@rekindle/engine"
import { Duration, Effect, Redacted, Schema } from "effect"
import { SecureRandom } from "effect/crypto"
import { Base64 } from "effect/encoding"
import { secretPrefix } from "./signature.ts"

/** How long an earlier secret signs besides the newest. */
const overlap = Duration.days(1)

/** A subscription that is rotated again and again signs with the newest of its secrets only. */
const atMost = 5

/** A secret, and until when it signs, in epoch milliseconds. The newest has no end. */
const Secrets = Schema.fromJsonString(
  Schema.Array(Schema.Struct({ secret: Schema.String, until: Schema.NullOr(Schema.Int) }))
)
type Secrets = typeof Secrets.Type

const decode = Schema.decodeUnknownEffect(Secrets)
const encode = Schema.encodeSync(Secrets)

/** The subscription whose secrets they are. */
interface Owner {
  readonly id: string
  readonly projectId: string
}

const contextOf = ({ id, projectId }: Owner): SealContext => ({ purpose: "webhook-secrets", projectId, owner: id })

const make = Effect.map(
  Effect.flatMap(SecureRandom.SecureRandom, (random) => Effect.orDie(random.randomBytes(32))),
  (bytes) => `${secretPrefix}${Base64.encode(bytes)}`
).pipe(Effect.provide(SecureRandom.layerWebCrypto))

/** Secrets that `vault` seals. */
export const makeSecrets = (vault: CredentialVault["Service"]) => {
  const seal = (owner: Owner, secrets: Secrets) => vault.seal(contextOf(owner), encode(secrets))
  const open = (owner: Owner, sealed: string) => Effect.flatMap(vault.open(contextOf(owner), sealed), decode)

  return {
    /** The secret of a new subscription, and what to store. */
    first: Effect.fnUntraced(function* (owner: Owner) {
      const secret = yield* make
      return { secret: Redacted.make(secret), sealed: yield* seal(owner, [{ secret, until: null }]) }
    }),

    /** A new secret in front of the ones that sign at `now`. Those end after a day. */
    rotate: Effect.fnUntraced(function* (owner: Owner, sealed: string, now: number) {
      const until = now + Duration.toMillis(overlap)
      const earlier = (yield* open(owner, sealed))
        .filter((held) => held.until === null || held.until > now)
        .map((held) => ({ secret: held.secret, until: held.until ?? until }))
      const secret = yield* make
      const all = [{ secret, until: null }, ...earlier].slice(0, atMost)
      return { secret: Redacted.make(secret), sealed: yield* seal(owner, all) }
    }),

    /** The secrets that sign at `now`, newest first. */
    signing: (owner: Owner, sealed: string, now: number) =>
      Effect.map(open(owner, sealed), (secrets) =>
        secrets.filter(({ until }) => until === null || until > now).map(({ secret }) => Redacted.make(secret))
      ),

    /** The same secrets, sealed with the newest key. Undefined if they are already. */
    resealed: (owner: Owner, sealed: string) =>
      vault.isStale(sealed)
        ? Effect.flatMap(open(owner, sealed), (secrets) => seal(owner, secrets))
        : Effect.succeed(undefined)
  }
}
