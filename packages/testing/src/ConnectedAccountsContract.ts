/**
 * One contract for every provider of `ConnectedAccounts`: a script, an engine, an HTTP client in front of a server.
 *
 * Every provider makes accounts in its own way. The layer under test therefore also provides {@link Fixtures}, which make an account for each
 * named situation. If a provider cannot produce a situation, leave it out and name it in `gaps`: its clauses are then listed as skipped. A
 * situation that is left out without being named fails.
 *
 * This module imports vitest, so it is not part of the package's index.
 *
 * @module
 */
import { assert, layer } from "@effect/vitest"
import {
  ConnectedAccount,
  type ConnectedAccountId,
  ConnectedAccounts,
  type ConnectedAccountStatus,
  type ReadError,
  type RefreshOptions,
  type RefreshError,
  type RefreshOutcome
} from "@rekindle/core"
import { Context, DateTime, type Duration, Effect, Fiber, type Layer, Predicate, Schema } from "effect"
import { TestClock } from "effect/testing"
import { malformedIds } from "./internal/malformedIds.ts"

/**
 * The situations of an account that the contract distinguishes.
 *
 * - `renewable`: refresh renews the credential without a person.
 * - `dead`: its credential is dead, so refresh starts consent; the account is not ACTIVE meanwhile.
 * - `expiring`: its grant is dead and its access token works, so refresh starts consent and the account is ACTIVE until the token ends or
 *   is refused.
 * - `consentOnActive`: ACTIVE, and refresh nevertheless starts consent; the old credential stays in service.
 * - `inactive`: INACTIVE or REVOKED, cannot be refreshed.
 * - `unsupported`: its scheme has nothing to refresh.
 * - `unknown`: a well-formed id of no account.
 * - `busy`: another holder is renewing it, and will not be done in time.
 */
export type Situation =
  | "renewable"
  | "dead"
  | "expiring"
  | "consentOnActive"
  | "inactive"
  | "unsupported"
  | "unknown"
  | "busy"

/** The situations that a provider may leave out. */
export type Gap = Situation | "secrets"

/** Makes the accounts of the suite. Each effect runs once for each clause that needs it, and should make a new account each time. */
export class Fixtures extends Context.Service<
  Fixtures,
  { readonly [S in Situation]?: Effect.Effect<ConnectedAccountId> } & {
    /** Every secret so far. None may appear in an answer. It is read after the calls, so that it includes rotated tokens. */
    readonly secrets?: Effect.Effect<ReadonlyArray<string>>
    /** A `redirectUrl` that the provider accepts. Default `https://app.example.com/connected`. */
    readonly redirectUrl?: string
  }
>()("@rekindle/testing/ConnectedAccountsContract/Fixtures") {}

/** One sentence of the contract. It holds if the effect succeeds. */
export interface Clause {
  readonly name: string
  readonly needs: ReadonlyArray<Gap>
  readonly holds: Effect.Effect<void, unknown, ConnectedAccounts | Fixtures>
}

/**
 * Registers a vitest suite that checks every clause against the provider.
 *
 * By default it runs on `TestClock`, where real waits never end. `clock: "live"` is for providers with sockets, files or waits of their own.
 * `timeout` limits building and closing the layer.
 */
export const suite = <E>(
  name: string,
  provider: Layer.Layer<ConnectedAccounts | Fixtures, E>,
  options?: {
    readonly gaps?: ReadonlyArray<Gap>
    readonly clock?: "test" | "live"
    readonly timeout?: Duration.Input
  }
): void => {
  const gaps = options?.gaps ?? []
  const settings = {
    excludeTestServices: options?.clock === "live",
    ...(options?.timeout === undefined ? {} : { timeout: options.timeout })
  }
  layer(provider, settings)(`${name} keeps the contract of ConnectedAccounts`, (it) => {
    for (const clause of clauses) {
      const missing = clause.needs.filter((need) => gaps.includes(need))
      const title = missing.length === 0 ? clause.name : `${clause.name} (gap: ${missing.join(", ")})`
      it.effect.skipIf(missing.length > 0)(title, () => clause.holds)
    }
    if (gaps.length === 0) return
    it.effect("a gap that is named is really one", () =>
      Effect.map(Fixtures, (fixtures) => {
        assert.deepStrictEqual(
          gaps.filter((gap) => fixtures[gap] !== undefined),
          []
        )
      })
    )
  })
}

const given = (situation: Situation) =>
  Effect.flatMap(
    Fixtures,
    (fixtures) =>
      fixtures[situation] ??
      Effect.die(new Error(`The fixtures have no account that is "${situation}", and it is not named as a gap`))
  )

const refresh = (id: ConnectedAccountId, options?: RefreshOptions) =>
  Effect.flatMap(ConnectedAccounts, (accounts) => accounts.refresh(id, options))

const get = (id: ConnectedAccountId) => Effect.flatMap(ConnectedAccounts, (accounts) => accounts.get(id))

/** Reads the account, and checks that the answer is about the right one. */
const statusOf = (id: ConnectedAccountId): Effect.Effect<ConnectedAccountStatus, ReadError, ConnectedAccounts> =>
  Effect.map(get(id), (account) => {
    assert.strictEqual(account.id, id)
    return account.status
  })

/** Lets a moment pass on the provider's clock, because events in one millisecond have the same date. */
const aMoment = Effect.clockWith((clock) =>
  Predicate.hasProperty(clock, "adjust") ? TestClock.adjust("1 second") : Effect.sleep("10 millis")
)

const encode = Schema.encodeSync(ConnectedAccount)

const assertReady = (id: ConnectedAccountId, outcome: RefreshOutcome) =>
  assert.deepStrictEqual({ ...outcome }, { _tag: "Ready", id })

const assertLink = (id: ConnectedAccountId, outcome: RefreshOutcome, status: ConnectedAccountStatus) => {
  if (outcome._tag !== "RedirectRequired") return assert.fail(`Expected RedirectRequired, got ${outcome._tag}`)
  assert.strictEqual(outcome.id, id)
  assert.strictEqual(outcome.status, status)
  assert.match(new URL(outcome.redirectUrl).protocol, /^https?:$/)
}

const assertRejected = (
  error: RefreshError,
  tag: "InvalidRequest" | "AccountNotFound" | "RefreshUnsupported" | "Unavailable"
) => {
  if (error._tag !== tag) return assert.fail(`Expected ${tag}, got ${error._tag}: ${error.message}`)
  assert.isNotEmpty(error.message)
  assert.isTrue(Number.isFinite(error.code), "an error carries a code")
}

/** Checks that a refresh fails with the error and does not change the account. */
const refused = (situation: Situation, tag: "InvalidRequest" | "RefreshUnsupported" | "Unavailable") =>
  Effect.gen(function* () {
    const id = yield* given(situation)
    const before = yield* get(id)
    assertRejected(yield* Effect.flip(refresh(id)), tag)
    assert.deepStrictEqual(encode(yield* get(id)), encode(before))
  })

/** The contract itself, for runners other than vitest and for tests of the suite. */
export const clauses: ReadonlyArray<Clause> = [
  {
    name: "a renewable account is Ready under its own id, and then reads ACTIVE",
    needs: ["renewable"],
    holds: Effect.gen(function* () {
      const id = yield* given("renewable")
      assertReady(id, yield* refresh(id))
      assert.strictEqual(yield* statusOf(id), "ACTIVE")
    })
  },
  {
    name: "a renewal moves updatedAt, by which a caller who lost the answer knows that it happened",
    needs: ["renewable"],
    holds: Effect.gen(function* () {
      const id = yield* given("renewable")
      const before = yield* get(id)
      yield* aMoment
      assertReady(id, yield* refresh(id))
      const after = yield* get(id)
      assert.isTrue(DateTime.isGreaterThan(after.updatedAt, before.updatedAt), "updatedAt is later than before")
      yield* aMoment
      assert.deepStrictEqual(encode(yield* get(id)), encode(after), "a read moves nothing")
    })
  },
  {
    name: "a dead credential answers an http link, and the account reads INITIATED until consent",
    needs: ["dead"],
    holds: Effect.gen(function* () {
      const id = yield* given("dead")
      assertLink(id, yield* refresh(id), "INITIATED")
      assert.strictEqual(yield* statusOf(id), "INITIATED")
    })
  },
  {
    name: "asked again while consent is pending, it answers a link again",
    needs: ["dead"],
    holds: Effect.gen(function* () {
      const id = yield* given("dead")
      yield* refresh(id)
      assertLink(id, yield* refresh(id), "INITIATED")
      assert.strictEqual(yield* statusOf(id), "INITIATED")
    })
  },
  {
    name: "a dead grant takes no access token out of service that works; one that is refused is out of service at once",
    needs: ["expiring"],
    holds: Effect.gen(function* () {
      const id = yield* given("expiring")
      assertLink(id, yield* refresh(id), "ACTIVE")
      const account = yield* get(id)
      assert.strictEqual(account.status, "ACTIVE")
      assert.isNotNull(account.statusReason)
      assertLink(id, yield* refresh(id, { tokenRefused: true }), "INITIATED")
      assert.strictEqual(yield* statusOf(id), "INITIATED")
    })
  },
  {
    name: "an ACTIVE account stays ACTIVE while its consent is pending, and does not read as if it had moved on",
    needs: ["consentOnActive"],
    holds: Effect.gen(function* () {
      const id = yield* given("consentOnActive")
      const before = yield* get(id)
      assert.strictEqual(before.status, "ACTIVE")
      yield* aMoment
      assertLink(id, yield* refresh(id), "ACTIVE")
      assert.deepStrictEqual(encode(yield* get(id)), encode(before))
    })
  },
  {
    name: "an inactive account is refused as InvalidRequest, and nothing changes",
    needs: ["inactive"],
    holds: refused("inactive", "InvalidRequest")
  },
  {
    name: "a scheme with nothing to refresh is RefreshUnsupported, and nothing changes",
    needs: ["unsupported"],
    holds: refused("unsupported", "RefreshUnsupported")
  },
  {
    name: "a busy account is Unavailable, and nothing changes",
    needs: ["busy"],
    holds: refused("busy", "Unavailable")
  },
  {
    name: "an unknown account is AccountNotFound, to refresh and to get",
    needs: ["unknown"],
    holds: Effect.gen(function* () {
      const id = yield* given("unknown")
      assertRejected(yield* Effect.flip(refresh(id)), "AccountNotFound")
      assertRejected(yield* Effect.flip(get(id)), "AccountNotFound")
    })
  },
  {
    name: "a malformed id is refused as InvalidRequest, to refresh and to get, and nothing changes",
    needs: ["renewable"],
    holds: Effect.gen(function* () {
      const bystander = yield* given("renewable")
      const before = yield* get(bystander)
      for (const id of malformedIds) {
        assertRejected(yield* Effect.flip(refresh(id)), "InvalidRequest")
        assertRejected(yield* Effect.flip(get(id)), "InvalidRequest")
      }
      assert.deepStrictEqual(encode(yield* get(bystander)), encode(before))
    })
  },
  {
    name: "a malformed id and an account in the wrong state are told apart by slug",
    needs: ["inactive"],
    holds: Effect.gen(function* () {
      const slugOf = (error: RefreshError) => (error._tag === "InvalidRequest" ? error.slug : assert.fail(error._tag))
      const state = slugOf(yield* Effect.flip(refresh(yield* given("inactive"))))
      const [id] = malformedIds
      if (id === undefined || state === undefined) return assert.fail("the wrong state has a slug")
      assert.notStrictEqual(slugOf(yield* Effect.flip(refresh(id))), state)
    })
  },
  {
    name: "twenty callers at once all get the same answer",
    needs: ["renewable"],
    holds: Effect.gen(function* () {
      const id = yield* given("renewable")
      const outcomes = yield* Effect.all(
        Array.from({ length: 20 }, () => refresh(id)),
        { concurrency: "unbounded" }
      )
      for (const outcome of outcomes) assertReady(id, outcome)
      assert.strictEqual(yield* statusOf(id), "ACTIVE")
    })
  },
  {
    name: "interrupting one caller does not disturb another, nor the account",
    needs: ["renewable"],
    holds: Effect.gen(function* () {
      const id = yield* given("renewable")
      const leaves = yield* Effect.forkChild(refresh(id), { startImmediately: true })
      const stays = yield* Effect.forkChild(refresh(id), { startImmediately: true })
      yield* Fiber.interrupt(leaves)
      assertReady(id, yield* Fiber.join(stays))
      assertReady(id, yield* refresh(id))
      assert.strictEqual(yield* statusOf(id), "ACTIVE")
    })
  },
  {
    name: "a redirect_url is accepted, whether consent is needed or not",
    needs: ["renewable", "dead"],
    holds: Effect.gen(function* () {
      const { redirectUrl = "https://app.example.com/connected" } = yield* Fixtures
      const [renewable, dead] = [yield* given("renewable"), yield* given("dead")]
      assertReady(renewable, yield* refresh(renewable, { redirectUrl }))
      assertLink(dead, yield* refresh(dead, { redirectUrl }), "INITIATED")
    })
  },
  {
    name: "no secret shows in any account, outcome or error",
    needs: ["secrets"],
    holds: Effect.gen(function* () {
      const fixtures = yield* Fixtures
      const shown: Array<{ readonly where: string; readonly text: string }> = []
      const show = <A, E, R>(where: string, call: Effect.Effect<A, E, R>) =>
        Effect.map(Effect.result(call), (result) => {
          const answer = result._tag === "Success" ? result.success : result.failure
          shown.push({ where, text: `${JSON.stringify(answer)} ${answer}` })
        })
      const showBoth = (where: string, id: ConnectedAccountId) =>
        Effect.andThen(
          show(`refresh of an account that is ${where}`, refresh(id)),
          show(`get of an account that is ${where}`, Effect.map(get(id), encode))
        )
      for (const situation of situations) {
        const id = yield* fixtures[situation] ?? Effect.succeed(undefined)
        if (id !== undefined) yield* showBoth(situation, id)
      }
      for (const id of malformedIds) yield* showBoth("malformed", id)
      const secrets = yield* (
        fixtures.secrets ?? Effect.die(new Error(`The fixtures have no "secrets", and it is not named as a gap`))
      )
      assert.isNotEmpty(secrets, "without a secret this clause proves nothing")
      // In plain text, in JSON and in a URL. The assertion's message must not show it either.
      const forms = secrets.flatMap((secret) => [
        secret,
        JSON.stringify(secret).slice(1, -1),
        encodeURIComponent(secret)
      ])
      assert.deepStrictEqual(
        shown.filter(({ text }) => forms.some((form) => text.includes(form))).map(({ where }) => where),
        [],
        "a secret shows"
      )
    })
  }
]

const situations: ReadonlyArray<Situation> = [
  "renewable",
  "dead",
  "expiring",
  "consentOnActive",
  "inactive",
  "unsupported",
  "unknown",
  "busy"
]
