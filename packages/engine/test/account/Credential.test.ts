import { assert, describe, it } from "@effect/vitest"
import * as Credential from "@rekindle/engine/Credential"
import { attributesOf, issuedTokens } from "@rekindle/engine/TokenResponse"
import { strict } from "@rekindle/core/ProviderProfile"

describe("what is shown of a credential", () => {
  const shown = (body: Readonly<Record<string, unknown>>, held: Readonly<Record<string, string>> = {}) => {
    const tokens = issuedTokens(body, strict, 0)
    if (tokens === undefined) return assert.fail("no tokens")
    return Credential.masked(Credential.make({ ...held, access_token: tokens.accessToken }, attributesOf(tokens)))
  }

  it("is a token type that the profile knows, and none that a provider made up", () => {
    assert.strictEqual(shown({ access_token: "at-12345678", token_type: "Bearer" })["token_type"], "Bearer")
    const odd = shown({ access_token: "at-12345678", token_type: "session=4711" })
    assert.notInclude(JSON.stringify(odd), "4711")
  })

  it("holds no secret, wherever a provider repeats it", () => {
    const held = { refresh_token: "rt-87654321" }
    const echoed = shown({ access_token: "at-12345678", token_type: "at-12345678", scope: "read rt-87654321" }, held)
    assert.notInclude(JSON.stringify(echoed), "12345678")
    assert.notInclude(JSON.stringify(echoed), "87654321")
    assert.strictEqual(echoed["scope"], "********")
  })
})
