import { assert, describe, it } from "@effect/vitest"
import { AuthScheme, ConnectedAccount, ConnectedAccountId, ConnectedAccountStatus, KnownStatus } from "@rekindle/core"
import { Arbitraries } from "@rekindle/testing"
import { Arbitrary, DateTime, Effect, Schema } from "effect"

describe("ConnectedAccountId", () => {
  const isId = Schema.is(ConnectedAccountId)

  it.each(["con_1a2b3c4d5e6f", "ca_4CkFF_cKATwg", "ca_-l3FzWqTw58L", "ca_12345678", `con_${"Z".repeat(64)}`])(
    "accepts %s",
    (id) => assert.isTrue(isId(id))
  )

  it.each([
    ["", "nothing"],
    ["ca_", "no nanoid"],
    ["ca_1234567", "a nanoid that is too short"],
    [`ca_${"Z".repeat(65)}`, "a nanoid that is too long"],
    ["1a2b3c4d5e6f", "no prefix"],
    ["ac_1a2b3c4d5e6f", "another kind's prefix"],
    ["CA_1a2b3c4d5e6f", "a prefix in capitals"],
    ["ca-1a2b3c4d5e6f", "a dash for the underscore"],
    ["ca_1a2b3c4d 5e6f", "a space"],
    [" ca_1a2b3c4d5e6f", "a space before"],
    ["ca_1a2b3c4d5e6f\n", "a line end after"],
    ["ca_1a2b3c4d/../x", "a path"],
    ["ca_1a2b3c4d%2F5e", "an escape"],
    ["ca_1a2b3c4d5e6f?a=b", "a query"],
    ["ca_1a2b3c4dé5e6f", "a letter outside ASCII"],
    ["con_1a2b3c4d5e6f;drop", "punctuation"]
  ])("refuses %j: %s", (id) => {
    assert.isFalse(isId(id))
    assert.throws(() => ConnectedAccountId.make(id))
    assert.throws(() => Schema.decodeUnknownSync(ConnectedAccountId)(id), /a connected account id such as ca_/)
  })

  it.prop("generates only ids that a URL path carries as they are", [Arbitraries.connectedAccountId], ([id]) => {
    assert.strictEqual(encodeURIComponent(id), id)
  })
})

describe("status and scheme", () => {
  it("know the seven statuses of the contract", () => {
    assert.deepStrictEqual(
      [...KnownStatus.literals],
      ["INITIALIZING", "INITIATED", "ACTIVE", "FAILED", "EXPIRED", "INACTIVE", "REVOKED"]
    )
  })

  it.effect("decode to a branded unknown if this version does not know them", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* Schema.decodeUnknownEffect(ConnectedAccountStatus)("HIBERNATING"), "HIBERNATING")
      assert.strictEqual(yield* Schema.decodeUnknownEffect(AuthScheme)("WEBAUTHN"), "WEBAUTHN")
    })
  )

  it.effect("do not decode from anything but text", () =>
    Effect.gen(function* () {
      yield* Effect.flip(Schema.decodeUnknownEffect(ConnectedAccountStatus)(7))
      yield* Effect.flip(Schema.decodeUnknownEffect(ConnectedAccountStatus)(null))
    })
  )
})

describe("ConnectedAccount", () => {
  const wire = {
    id: "ca_4CkFF_cKATwg",
    status: "ACTIVE",
    status_reason: null,
    toolkit: { slug: "gmail" },
    auth_config: { id: "ac_1" },
    user_id: "user",
    is_disabled: false,
    created_at: "2026-01-02T03:04:05.678Z",
    updated_at: "2026-01-02T03:04:05.678Z",
    state: { authScheme: "OAUTH2", val: { access_token: "ya29…" } }
  }
  const decode = Schema.decodeUnknownEffect(ConnectedAccount)

  it.effect("decodes the published body", () =>
    Effect.gen(function* () {
      const account = yield* decode(wire)
      assert.strictEqual(account.authConfig.id, "ac_1")
      assert.strictEqual(DateTime.formatIso(account.createdAt), wire.created_at)
      assert.deepStrictEqual(yield* Schema.encodeEffect(ConnectedAccount)(account), wire)
    })
  )

  it.effect("ignores unknown fields at any depth", () =>
    Effect.gen(function* () {
      const later = { ...wire, uuid: "…", toolkit: { slug: "gmail", logo: "…" }, state: { ...wire.state, extra: [1] } }
      assert.deepStrictEqual(yield* decode(later), yield* decode(wire))
    })
  )

  // The published contract means to drop user_id.
  it.effect.each(Object.keys(wire).filter((field) => field !== "user_id"))("refuses a body without %s", (field) =>
    Effect.flip(decode(Object.fromEntries(Object.entries(wire).filter(([name]) => name !== field))))
  )

  // V8 13.6 parses a key that is one escape, such as "\n", as "\\" once it has seen that key in the same place.
  const unescaped = Arbitrary.filter(
    Arbitraries.connectedAccount,
    ({ state }) => !JSON.stringify(state.val).includes("\\")
  )
  it.effect.prop("survives JSON", [unescaped], ([account]) =>
    Effect.gen(function* () {
      const json = JSON.stringify(yield* Schema.encodeEffect(ConnectedAccount)(account))
      const again = yield* decode(JSON.parse(json))
      assert.strictEqual(JSON.stringify(yield* Schema.encodeEffect(ConnectedAccount)(again)), json)
    })
  )
})
