/** Who may call: keys that were revoked elsewhere, that expire, that are guessed, and callers that ask too often. */
import { assert, describe, it } from "@effect/vitest"
import { SqliteClient } from "@rekindle/engine"
import { ApiKeys } from "@rekindle/platform"
import { Clock, Duration, Effect, Layer, Redacted } from "effect"
import { SqlClient } from "effect/sql"
import { TestClock } from "effect/testing"
import { AuditLog } from "#cli/audit/AuditLog.ts"
import * as KeyCheck from "#cli/keys/KeyCheck.ts"
import { Keys, type NewKey } from "#cli/keys/Keys.ts"
import { migrate } from "#cli/store/migrations.ts"

const deploy: NewKey = { name: "deploy", scopes: ["refresh"] }
const here = { address: "192.0.2.1" }

/** A process that checks keys. `keys` are those of another process on the same database, and `marked` the keys that were marked as used. */
const withCheck = <A, E>(
  test: (world: {
    readonly marked: ReadonlyArray<string>
    readonly keys: Keys["Service"]
  }) => Effect.Effect<A, E, ApiKeys | Keys | SqlClient.SqlClient>,
  limits: KeyCheck.Limits = {}
) => {
  const marked: Array<string> = []
  const watched = Layer.effect(
    Keys,
    Effect.map(Keys, (keys) => ({
      ...keys,
      markUsed: (ids: ReadonlyArray<string>, at: number, notSince: number) =>
        Effect.andThen(
          Effect.sync(() => marked.push(...ids)),
          keys.markUsed(ids, at, notSince)
        )
    }))
  ).pipe(Layer.provide(Layer.fresh(Keys.layer)))
  return Effect.gen(function* () {
    const keys = yield* Keys
    return yield* Effect.provide(test({ marked, keys }), Layer.provideMerge(KeyCheck.layer(limits), watched))
  }).pipe(
    Effect.provide(
      Keys.layer.pipe(
        Layer.provideMerge(AuditLog.layer),
        Layer.provideMerge(Layer.provideMerge(Layer.effectDiscard(migrate), SqliteClient.layer(":memory:")))
      )
    )
  )
}

/** Runs while the keys cannot be read. */
const unreadable = Effect.fnUntraced(function* <A, E, R>(effect: Effect.Effect<A, E, R>) {
  const sql = yield* SqlClient.SqlClient
  yield* sql`ALTER TABLE rekindle_api_keys RENAME TO elsewhere`
  const result = yield* effect
  yield* sql`ALTER TABLE elsewhere RENAME TO rekindle_api_keys`
  return result
})

const check = (key: Redacted.Redacted | string, caller: { readonly address?: string } = here) =>
  ApiKeys.use((keys) => keys.check(typeof key === "string" ? Redacted.make(key) : key, caller))

/** How a check ends: the scopes, or the slug of the refusal. */
const outcome = (key: Redacted.Redacted | string, caller?: { readonly address?: string }) =>
  Effect.match(check(key, caller), {
    onSuccess: ({ scopes }) => scopes?.join() ?? "",
    onFailure: ({ slug }) => slug
  })

const outcomes = (count: number, key: Redacted.Redacted | string, caller?: { readonly address?: string }) =>
  Effect.map(Effect.all(Array.from({ length: count }, () => outcome(key, caller))), (all) => {
    const counts: Record<string, number> = {}
    for (const each of all) counts[each ?? "none"] = (counts[each ?? "none"] ?? 0) + 1
    return counts
  })

const unknown = `rk_${"0".repeat(12)}_${"0".repeat(40)}`

describe("a key", () => {
  it.effect("calls for its project with its scopes, whatever white space a file put around it", () =>
    withCheck(({ keys }) =>
      Effect.gen(function* () {
        const { key, secret } = yield* keys.create(deploy, "cli:ann")
        const principal = { projectId: "default", scopes: key.scopes, keyId: key.id }
        assert.deepStrictEqual(yield* check(secret), principal)
        assert.deepStrictEqual(yield* check(` ${Redacted.value(secret)}\r\n`), principal)
      })
    )
  )

  it.effect("is read once for many requests", () =>
    withCheck(({ keys }) =>
      Effect.gen(function* () {
        const { secret } = yield* keys.create(deploy, "cli:ann")
        yield* check(secret)
        yield* (yield* SqlClient.SqlClient)`UPDATE rekindle_api_keys SET scopes = '["read"]'`
        assert.deepStrictEqual(yield* unreadable(outcomes(50, secret)), { refresh: 50 })
        yield* TestClock.adjust("2 seconds")
        assert.strictEqual(yield* outcome(secret), "read")
      })
    )
  )

  it.effect("that this process revoked is refused at once", () =>
    withCheck(({ keys }) =>
      Effect.gen(function* () {
        const { key, secret } = yield* keys.create(deploy, "cli:ann")
        yield* check(secret)
        yield* Keys.use((own) => own.revoke(key.id, undefined, "cli:ann"))
        assert.strictEqual(yield* outcome(secret), "revoked_api_key")
      })
    )
  )

  it.effect("that another process revoked is refused within two seconds", () =>
    withCheck(({ keys }) =>
      Effect.gen(function* () {
        const { key, secret } = yield* keys.create(deploy, "cli:ann")
        yield* check(secret)
        yield* keys.revoke(key.id, undefined, "cli:ann")
        yield* TestClock.adjust("2 seconds")
        assert.strictEqual(yield* outcome(secret), "revoked_api_key")
      })
    )
  )

  it.effect("that another process revoked is refused as soon, if the clock is set back meanwhile", () =>
    withCheck(({ keys }) =>
      Effect.gen(function* () {
        const clock = yield* Clock.Clock
        const { key, secret } = yield* keys.create(deploy, "cli:ann")
        yield* check(secret)
        yield* keys.revoke(key.id, undefined, "cli:ann")
        yield* TestClock.adjust("2 seconds")
        const currentTimeMillisUnsafe = () => clock.currentTimeMillisUnsafe() - Duration.toMillis("1 hour")
        const setBack = {
          ...clock,
          currentTimeMillisUnsafe,
          currentTimeMillis: Effect.sync(currentTimeMillisUnsafe)
        }
        assert.strictEqual(yield* Effect.provideService(outcome(secret), Clock.Clock, setBack), "revoked_api_key")
      })
    )
  )

  it.effect("is refused from the moment it expires, even if it was just read", () =>
    withCheck(({ keys }) =>
      Effect.gen(function* () {
        const { secret } = yield* keys.create({ ...deploy, validFor: Duration.seconds(10) }, "cli:ann")
        yield* TestClock.adjust("9999 millis")
        assert.strictEqual(yield* outcome(secret), "refresh")
        yield* TestClock.adjust("1 millis")
        assert.strictEqual(yield* outcome(secret), "expired_api_key")
      })
    )
  )

  it.effect("does not pass while the keys cannot be read, and its refusal is not remembered", () =>
    withCheck(({ keys }) =>
      Effect.gen(function* () {
        const { secret } = yield* keys.create(deploy, "cli:ann")
        yield* check(secret)
        yield* TestClock.adjust("2 seconds")
        const error = yield* unreadable(Effect.flip(check(secret)))
        assert.deepInclude({ ...error }, { _tag: "Unavailable", slug: "store_unavailable" })
        assert.strictEqual(yield* outcome(secret), "refresh")
      })
    )
  )

  it.effect("shows its last use to the minute, written outside of requests", () =>
    withCheck(({ keys, marked }) =>
      Effect.gen(function* () {
        const { key, secret } = yield* keys.create(deploy, "cli:ann")
        const lastUsed = Effect.map(keys.list(), ([key]) => key?.lastUsedAt)
        for (let second = 0; second < 59; second++) {
          yield* check(secret)
          yield* TestClock.adjust("1 second")
        }
        assert.deepStrictEqual([yield* lastUsed, marked], [null, []])
        yield* TestClock.adjust("1 second")
        assert.deepStrictEqual([yield* lastUsed, marked], [yield* Clock.currentTimeMillis, [key.id]])
        // It is not used again, so nothing is written.
        yield* TestClock.adjust("10 minutes")
        assert.deepStrictEqual(marked, [key.id])
      })
    )
  )

  it.effect("that was used until the process stops shows it", () =>
    Effect.gen(function* () {
      let lastUsed: number | null | undefined
      yield* withCheck(({ keys }) =>
        Effect.gen(function* () {
          const { secret } = yield* keys.create(deploy, "cli:ann")
          yield* Effect.scoped(
            Effect.flatMap(Layer.build(KeyCheck.layer()), (context) => Effect.provideContext(check(secret), context))
          ).pipe(Effect.provideService(Keys, keys))
          lastUsed = (yield* keys.list())[0]?.lastUsedAt
        })
      )
      assert.isNumber(lastUsed)
    })
  )
})

describe("a text that is no key", () => {
  it.effect("is refused as unknown, without a look into the database if it cannot be one", () =>
    withCheck(({ keys }) =>
      Effect.gen(function* () {
        const { secret } = yield* keys.create(deploy, "cli:ann")
        const text = Redacted.value(secret)
        const lookalikes = [
          "",
          "rk_",
          text.slice(0, -1),
          `${text}0`,
          text.toUpperCase(),
          text.replace("rk_", "sk_"),
          // Cyrillic, full-width and invisible characters.
          text.replace("k", "\u043a"),
          text.replace("r", "\uff52"),
          text.replace("_", "\uff3f"),
          text.replace("_", "_\u200b"),
          `${text}\u0000`,
          text.replace(/[0-9](?=[0-9a-f]*$)/, (digit) => String.fromCodePoint(0xff10 + Number(digit))),
          "' OR 1=1 --"
        ]
        for (const [index, lookalike] of lookalikes.entries()) {
          assert.notStrictEqual(lookalike, text)
          const refused = yield* unreadable(outcome(lookalike, { address: `198.51.100.${index}` }))
          assert.strictEqual(refused, "unknown_api_key", lookalike)
        }
        const wrongSecret = text.slice(0, -1) + (text.endsWith("0") ? "1" : "0")
        assert.strictEqual(yield* outcome(wrongSecret), "unknown_api_key")
        assert.strictEqual(yield* outcome(secret), "refresh")
      })
    )
  )
})

describe("a caller who asks too often", () => {
  it.effect("gets a 429 by key, with the time to wait, and other keys do not", () =>
    withCheck(
      ({ keys }) =>
        Effect.gen(function* () {
          const { secret } = yield* keys.create(deploy, "cli:ann")
          const other = yield* keys.create(deploy, "cli:ann")
          assert.deepStrictEqual(yield* outcomes(12, secret), { refresh: 10, too_many_requests: 2 })
          assert.strictEqual(yield* outcome(other.secret), "refresh")
          const error = yield* Effect.flip(check(secret))
          assert.strictEqual(error._tag, "RateLimited")
          assert.strictEqual("retryAfter" in error && Duration.toMillis(error.retryAfter ?? 0), 100)
          yield* TestClock.adjust("100 millis")
          assert.deepStrictEqual(yield* outcomes(2, secret), { refresh: 1, too_many_requests: 1 })
        }),
      { perKey: { burst: 10, per: "1 second" } }
    )
  )

  it.effect("gets a 429 by address, whatever the keys", () =>
    withCheck(
      ({ keys }) =>
        Effect.gen(function* () {
          const { secret } = yield* keys.create(deploy, "cli:ann")
          assert.deepStrictEqual(yield* outcomes(3, unknown), { unknown_api_key: 3 })
          assert.deepStrictEqual(yield* outcomes(4, secret), { refresh: 2, too_many_requests: 2 })
          assert.strictEqual(yield* outcome(secret, { address: "192.0.2.2" }), "refresh")
        }),
      { perAddress: { burst: 5, per: "1 second" } }
    )
  )

  it.effect("cannot guess on: too many wrong keys get a 429 without a statement", () =>
    withCheck(() =>
      Effect.gen(function* () {
        for (let guess = 0; guess < 30; guess++) {
          const key = `rk_${String(guess).padStart(12, "0")}_${"0".repeat(40)}`
          assert.strictEqual(yield* outcome(key), guess < 20 ? "unknown_api_key" : "too_many_requests")
        }
        const error = yield* unreadable(Effect.flip(check(unknown)))
        assert.strictEqual("retryAfter" in error && Duration.toMillis(error.retryAfter ?? 0), 3_000)
        yield* TestClock.adjust("3 seconds")
        assert.strictEqual(yield* outcome(unknown), "unknown_api_key")
        assert.strictEqual(yield* outcome(unknown), "too_many_requests")
      })
    )
  )

  it.effect("does not stop a good key behind the same proxy", () =>
    withCheck(({ keys }) =>
      Effect.gen(function* () {
        const { key, secret } = yield* keys.create(deploy, "cli:ann")
        yield* check(secret)
        assert.deepStrictEqual(yield* outcomes(25, unknown), { unknown_api_key: 20, too_many_requests: 5 })
        assert.strictEqual(yield* outcome(secret), "refresh")
        yield* keys.revoke(key.id, undefined, "cli:ann")
        yield* TestClock.adjust("2 seconds")
        assert.strictEqual(yield* outcome(secret), "revoked_api_key")
      })
    )
  )
})

describe("the addresses that share a limit", () => {
  it.each([
    ["192.0.2.1", "192.0.2.1"],
    ["::ffff:192.0.2.1", "192.0.2.1"],
    ["::ffff:c000:201", "192.0.2.1"],
    ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"],
    ["2001:db8:1:2::", "2001:DB8:1:2:ffff:ffff:ffff:ffff"],
    ["fe80::1%eth0", "fe80::2"],
    ["nonsense", "192.0.2.1, 192.0.2.2"],
    [undefined, ""]
  ])("%s and %s do", (one, other) => {
    assert.strictEqual(KeyCheck.limitOf(one), KeyCheck.limitOf(other))
  })

  it.each([
    ["192.0.2.1", "192.0.2.2"],
    ["2001:db8:1:2::1", "2001:db8:1:3::1"],
    ["192.0.2.1", undefined]
  ])("%s and %s do not", (one, other) => {
    assert.notStrictEqual(KeyCheck.limitOf(one), KeyCheck.limitOf(other))
  })
})
