import { assert, describe, it } from "@effect/vitest"
import {
  AccountNotFound,
  ClientError,
  DeadlineExceeded,
  type Disposition,
  ErrorEnvelope,
  Forbidden,
  InvalidRequest,
  RateLimited,
  ReadError,
  RefreshError,
  RefreshFailed,
  RefreshUnsupported,
  RefusedLocally,
  StatusError,
  TransportError,
  Unauthorized,
  Unavailable,
  UnexpectedResponse,
  Resilience
} from "@rekindle/core"
import { Arbitraries } from "@rekindle/testing"
import { Cause, Duration, Effect, Schema } from "effect"

const message = "no"
const statuses: ReadonlyArray<readonly [StatusError, number, Disposition]> = [
  [new InvalidRequest({ message }), 400, "rejected"],
  [new Unauthorized({ message }), 401, "rejected"],
  [new Forbidden({ message }), 403, "rejected"],
  [new AccountNotFound({ message }), 404, "rejected"],
  [new RateLimited({ message }), 429, "rejected"],
  [new RefreshFailed({ message }), 500, "ambiguous"],
  [new RefreshUnsupported({ message }), 501, "rejected"],
  [new Unavailable({ message }), 503, "rejected"]
]
const transport = new TransportError({ message, reason: "reset" })
const deadline = new DeadlineExceeded({ message, timeout: Duration.seconds(1), sent: false })
const unexpected = new UnexpectedResponse({ message, status: 502, excerpt: "<html>" })
const local = new RefusedLocally({ message, reason: "queue-full" })
const every: ReadonlyArray<RefreshError> = [...statuses.map(([error]) => error), local, transport, deadline, unexpected]

describe("the errors of the contract", () => {
  it.each(statuses.map(([error, status, disposition]) => [error._tag, status, disposition, error] as const))(
    "%s is status %i and %s, with the status times a hundred as its code",
    (_, status, disposition, error) => {
      assert.strictEqual(error.status, status)
      assert.strictEqual(error.disposition, disposition)
      assert.strictEqual(error.code, status * 100)
      assert.strictEqual(error.message, message)
      assert.instanceOf(error, Error)
    }
  )

  it("each have a status of their own", () => {
    assert.strictEqual(new Set(statuses.map(([error]) => error.status)).size, StatusError.members.length)
  })

  it("keep a server's own code and details", () => {
    const error = new InvalidRequest({ message, code: 4711, slug: "bad_id", errors: ["id"], requestId: "r" })
    assert.deepInclude(error, { code: 4711, slug: "bad_id", errors: ["id"], requestId: "r" })
  })

  it.effect("fail an effect that yields them", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(
        Effect.gen(function* () {
          return yield* new AccountNotFound({ message })
        })
      )
      assert.instanceOf(error, AccountNotFound)
    })
  )
})

describe("a refusal of this process", () => {
  it.each(["circuit-open", "queue-full", "rate-limited"] as const)("by %s is not-sent", (reason) => {
    const error = new RefusedLocally({ message, reason })
    assert.strictEqual(error.disposition, "not-sent")
    assert.isFalse(Schema.is(TransportError)(error), "nothing was wrong with a connection")
  })
})

describe("TransportError", () => {
  it.each([
    ["connect", "not-sent"],
    ["encode", "not-sent"],
    ["reset", "ambiguous"],
    ["unknown", "ambiguous"]
  ] as const)("of reason %s is %s", (reason, disposition) => {
    assert.strictEqual(new TransportError({ message, reason }).disposition, disposition)
  })
})

describe("DeadlineExceeded", () => {
  it.each([
    [false, "not-sent"],
    [true, "ambiguous"]
  ] as const)("with sent %s is %s", (sent, disposition) => {
    assert.strictEqual(new DeadlineExceeded({ message, timeout: Duration.zero, sent }).disposition, disposition)
  })
})

describe("UnexpectedResponse", () => {
  it.each([
    [402, "rejected"],
    [405, "rejected"],
    [408, "ambiguous"],
    [409, "ambiguous"],
    [410, "rejected"],
    [422, "rejected"],
    [499, "rejected"],
    [399, "ambiguous"],
    [500, "ambiguous"],
    [502, "ambiguous"],
    [504, "ambiguous"],
    [200, "ambiguous"],
    [302, "ambiguous"]
  ] as const)("with status %i is %s", (status, disposition) => {
    assert.strictEqual(new UnexpectedResponse({ message, status, excerpt: "" }).disposition, disposition)
  })
})

describe("RefreshError", () => {
  it("folds every case", () => {
    const fold = RefreshError.match({
      InvalidRequest: ({ status }) => status,
      Unauthorized: ({ status }) => status,
      Forbidden: ({ status }) => status,
      AccountNotFound: ({ status }) => status,
      RefreshFailed: ({ status }) => status,
      RefreshUnsupported: ({ status }) => status,
      RateLimited: ({ status }) => status,
      Unavailable: ({ status }) => status,
      RefusedLocally: ({ reason }) => reason,
      TransportError: ({ reason }) => reason,
      DeadlineExceeded: ({ timeout }) => Duration.toMillis(timeout),
      UnexpectedResponse: ({ excerpt }) => excerpt
    })
    assert.deepStrictEqual(every.map(fold), [
      400,
      401,
      403,
      404,
      429,
      500,
      501,
      503,
      "queue-full",
      "reset",
      1000,
      "<html>"
    ])
  })

  it("does not compile with a case missing", () => {
    // @ts-expect-error UnexpectedResponse is missing
    const incomplete = RefreshError.match({
      InvalidRequest: () => 0,
      Unauthorized: () => 0,
      Forbidden: () => 0,
      AccountNotFound: () => 0,
      RefreshFailed: () => 0,
      RefreshUnsupported: () => 0,
      RateLimited: () => 0,
      Unavailable: () => 0,
      RefusedLocally: () => 0,
      TransportError: () => 0,
      DeadlineExceeded: () => 0
    })
    // What the compiler prevents: the uncovered case blows up.
    assert.throws(() => incomplete(unexpected))
  })

  it("has the status errors and the client errors as its members", () => {
    assert.strictEqual(RefreshError.members.length, StatusError.members.length + ClientError.members.length)
    for (const error of every) assert.isTrue(Schema.is(RefreshError)(error))
  })

  it("are the failures of a read too", () => {
    for (const error of every) assert.isTrue(Schema.is(ReadError)(error))
  })

  it.effect.prop("comes through JSON as an instance of its class", [Arbitraries.refreshError], ([error]) =>
    Effect.gen(function* () {
      const json = JSON.stringify(yield* Schema.encodeEffect(RefreshError)(error))
      const again = yield* Schema.decodeUnknownEffect(RefreshError)(JSON.parse(json))
      assert.strictEqual(again.constructor, error.constructor)
      assert.strictEqual(again.disposition, error.disposition)
      assert.strictEqual(JSON.stringify(yield* Schema.encodeEffect(RefreshError)(again)), json)
    })
  )

  it.prop("always has a disposition", [Arbitraries.refreshError], ([error]) => {
    assert.include(["not-sent", "rejected", "ambiguous"], error.disposition)
  })

  it("prints its name and message", () => {
    for (const error of every) assert.include(Cause.pretty(Cause.fail(error)), message)
  })
})

describe("retryAfterOf", () => {
  it("is the requested wait, if there is one", () => {
    const wait = Duration.seconds(3)
    assert.strictEqual(Resilience.retryAfterOf(new RateLimited({ message, retryAfter: wait })), wait)
    assert.strictEqual(
      Resilience.retryAfterOf(new RefusedLocally({ message, reason: "circuit-open", retryAfter: wait })),
      wait
    )
    assert.isUndefined(Resilience.retryAfterOf(new Unavailable({ message })))
    assert.isUndefined(Resilience.retryAfterOf(new RefreshFailed({ message })))
  })
})

describe("ErrorEnvelope", () => {
  const decode = Schema.decodeUnknownEffect(ErrorEnvelope)
  const error = { message, code: 40400, status: 404 }

  it.effect.each(["message", "code", "status"] as const)("needs %s", (field) =>
    Effect.gen(function* () {
      yield* decode({ error })
      yield* Effect.flip(decode({ error: { ...error, [field]: undefined } }))
    })
  )

  it.effect("ignores unknown fields", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* decode({ error: { ...error, docs: "…" }, trace: 1 }), { error })
    })
  )

  it.effect.prop("survives JSON", [Arbitraries.errorEnvelope], ([envelope]) =>
    Effect.gen(function* () {
      const json = JSON.stringify(yield* Schema.encodeEffect(ErrorEnvelope)(envelope))
      assert.strictEqual(JSON.stringify(yield* decode(JSON.parse(json))), json)
    })
  )
})
