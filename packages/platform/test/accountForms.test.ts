import { assert, describe, it } from "@effect/vitest"
import { type ConnectedAccount, CustomAuthScheme, KnownAuthScheme, KnownStatus, UnknownStatus } from "@rekindle/core"
import { Effect } from "effect"
import { account, call, callUnheld, id, serve } from "./support.ts"

/** The account as each prefix answers it; {@link call} holds it to the published schema. */
const shown = (shown: ConnectedAccount, prefix: "v3" | "v3.1") =>
  Effect.gen(function* () {
    const url = yield* serve({ get: () => Effect.succeed(shown) })
    return JSON.parse((yield* call(`${url}/api/${prefix}/connected_accounts/${id}`)).text)
  }).pipe(Effect.scoped)

// v3 has no S2S_OAUTH2.
const cases = KnownAuthScheme.literals.flatMap((authScheme) =>
  KnownStatus.literals.flatMap((status) =>
    (["v3", "v3.1"] as const)
      .filter((prefix) => prefix === "v3.1" || authScheme !== "S2S_OAUTH2")
      .map((prefix) => ({ authScheme, status, prefix }))
  )
)

describe("an account of a server", () => {
  it.live.each(cases)("has the published form: $authScheme, $status, $prefix", ({ authScheme, prefix, status }) =>
    Effect.gen(function* () {
      const wire = yield* shown({ ...account, status, state: { authScheme, val: {} } }, prefix)
      assert.strictEqual(wire.status, status)
      assert.strictEqual(wire.auth_config.auth_scheme, authScheme)
      assert.deepStrictEqual(wire.data, wire.state.val)
      assert.deepStrictEqual(wire.params, {})
    })
  )

  it.live("shows in its state the fields that it has, and masks the others of its form", () =>
    Effect.gen(function* () {
      const val = { oauth_token: "********", realm: "r1" }
      const wire = yield* shown({ ...account, state: { authScheme: "OAUTH1", val } }, "v3")
      assert.deepStrictEqual(wire.state.val, { ...val, oauth_token_secret: "********", status: "ACTIVE" })
    })
  )

  it.live("has the provider's alias, word id and auth config, in the form of each version", () =>
    Effect.gen(function* () {
      const known = {
        ...account,
        alias: "work",
        wordId: "gmail_red-castle",
        authConfig: { id: "ac_1", isManaged: true, isDisabled: true }
      }
      const later = yield* shown(known, "v3.1")
      assert.deepInclude(later, { alias: "work", word_id: "gmail_red-castle" })
      assert.deepInclude(later.auth_config, { is_composio_managed: true, is_disabled: true })
      const earlier = yield* shown(known, "v3")
      assert.doesNotHaveAnyKeys(earlier, ["alias", "word_id"])
    })
  )

  it.live("passes on a scheme and a status that the contract does not have", () =>
    Effect.gen(function* () {
      const odd = {
        ...account,
        status: UnknownStatus.make("PAUSED"),
        state: { authScheme: CustomAuthScheme.make("MY_OWN"), val: { a: 1 } }
      }
      const url = yield* serve({ get: () => Effect.succeed(odd) })
      const { text } = yield* callUnheld(`${url}/api/v3/connected_accounts/${id}`, {})
      const wire = JSON.parse(text)
      assert.strictEqual(wire.status, "PAUSED")
      assert.deepStrictEqual(wire.state, { authScheme: "MY_OWN", val: { a: 1, status: "PAUSED" } })
    }).pipe(Effect.scoped)
  )
})
