import { assert, describe, it } from "@effect/vitest"
import {
  ConnectedAccountId,
  NotReady,
  Ready,
  RedirectRequired,
  RefreshOutcome,
  RefreshOutcomeFromWire,
  RefreshRequest,
  RefreshResponse,
  UnknownStatus
} from "@rekindle/core"
import { Arbitraries } from "@rekindle/testing"
import { Effect, Schema } from "effect"

const id = ConnectedAccountId.make("ca_4CkFF_cKATwg")
const decode = Schema.decodeUnknownEffect(RefreshOutcomeFromWire)
const encode = Schema.encodeEffect(RefreshOutcomeFromWire)

describe("RefreshOutcomeFromWire", () => {
  const cases: ReadonlyArray<readonly [string, unknown, RefreshOutcome]> = [
    ["ACTIVE without a link is Ready", { id, status: "ACTIVE", redirect_url: null }, Ready.make({ id })],
    [
      "ACTIVE with a link still needs consent, and says that the old credential works",
      { id, status: "ACTIVE", redirect_url: "https://x.test" },
      RedirectRequired.make({ id, redirectUrl: "https://x.test", status: "ACTIVE" })
    ],
    [
      "INITIATED with a link needs consent",
      { id, status: "INITIATED", redirect_url: "https://x.test" },
      RedirectRequired.make({ id, redirectUrl: "https://x.test", status: "INITIATED" })
    ],
    [
      "EXPIRED without a link is NotReady",
      { id, status: "EXPIRED", redirect_url: null },
      NotReady.make({ id, status: "EXPIRED" })
    ],
    [
      "unknown fields of a later server are ignored",
      { id, status: "ACTIVE", redirect_url: null, expires_at: 1 },
      Ready.make({ id })
    ]
  ]
  it.effect.each(cases)("%s", ([, wire, outcome]) =>
    Effect.map(decode(wire), (decoded) => assert.deepStrictEqual({ ...decoded }, { ...outcome }))
  )

  it.effect("an unknown status is NotReady and does not fail", () =>
    Effect.gen(function* () {
      const outcome = yield* decode({ id, status: "HIBERNATING", redirect_url: null })
      const status = UnknownStatus.make("HIBERNATING")
      assert.deepStrictEqual({ ...outcome }, { _tag: "NotReady", id, status })
    })
  )

  const foreign: ReadonlyArray<readonly [string, unknown]> = [
    ["without redirect_url", { id, status: "ACTIVE" }],
    ["without status", { id, redirect_url: null }],
    ["with a malformed id", { id: "gmail", status: "ACTIVE", redirect_url: null }],
    ["that is a list", []],
    ["that is null", null]
  ]
  it.effect.each(foreign)("refuses a body %s", ([, wire]) => Effect.flip(decode(wire)))

  it.effect.prop("an outcome survives JSON", [Arbitraries.refreshOutcome], ([outcome]) =>
    Effect.gen(function* () {
      const json: unknown = JSON.parse(JSON.stringify(yield* encode(outcome)))
      assert.hasAllKeys(json, ["id", "status", "redirect_url"])
      assert.deepStrictEqual({ ...(yield* decode(json)) }, { ...outcome })
    })
  )

  it.effect.prop(
    "every published response decodes, and encodes to itself",
    [Arbitraries.refreshResponse],
    ([response]) =>
      Effect.gen(function* () {
        const wire = yield* Schema.encodeEffect(RefreshResponse)(response)
        assert.deepStrictEqual(yield* encode(yield* decode(wire)), wire)
      })
  )
})

describe("RefreshRequest", () => {
  it.effect("is in snake case on the wire, and may be empty", () =>
    Effect.gen(function* () {
      const wire = { redirect_url: "https://app.test", validate_credentials: true }
      const request = yield* Schema.decodeUnknownEffect(RefreshRequest)(wire)
      assert.deepStrictEqual(request, { redirectUrl: "https://app.test", validateCredentials: true })
      assert.deepStrictEqual(yield* Schema.encodeEffect(RefreshRequest)(request), wire)
      assert.deepStrictEqual(yield* Schema.decodeUnknownEffect(RefreshRequest)({}), {})
    })
  )

  it.effect.prop("survives JSON", [Arbitraries.refreshRequest], ([request]) =>
    Effect.gen(function* () {
      const json: unknown = JSON.parse(JSON.stringify(yield* Schema.encodeEffect(RefreshRequest)(request)))
      assert.deepStrictEqual(yield* Schema.decodeUnknownEffect(RefreshRequest)(json), request)
    })
  )
})

describe("RefreshOutcome.match", () => {
  it("folds every case", () => {
    const say = RefreshOutcome.match({
      Ready: () => "go",
      RedirectRequired: ({ redirectUrl }) => redirectUrl,
      NotReady: ({ status }) => status
    })
    assert.deepStrictEqual(
      [
        Ready.make({ id }),
        RedirectRequired.make({ id, redirectUrl: "https://x.test", status: "ACTIVE" }),
        NotReady.make({ id, status: "FAILED" })
      ].map(say),
      ["go", "https://x.test", "FAILED"]
    )
  })

  it("does not compile with a case missing", () => {
    // @ts-expect-error NotReady is missing
    const incomplete = RefreshOutcome.match({ Ready: () => "go", RedirectRequired: () => "ask" })
    // What the compiler prevents: the uncovered case blows up.
    assert.throws(() => incomplete(NotReady.make({ id, status: "FAILED" })))
  })
})
