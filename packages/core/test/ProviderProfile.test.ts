import { assert, describe, it } from "@effect/vitest"
import { ProviderProfile } from "@rekindle/core"
import { Exit, Schema } from "effect"

const decode = Schema.decodeUnknownExit(ProviderProfile)

const stored = Schema.encodeSync(ProviderProfile)(ProviderProfile.make({ name: "provider", rotation: "single-use" }))

describe("ProviderProfile", () => {
  it("survives storing", () => {
    assert.deepStrictEqual(
      decode(stored),
      Exit.succeed(ProviderProfile.make({ name: "provider", rotation: "single-use" }))
    )
  })

  for (const [field, value, expected] of [
    ["requestsPerSecond", 0, "a number above 0"],
    ["requestsPerSecond", -1, "a number above 0"],
    ["margin", -1, "a finite duration, from 0"],
    ["minimumAge", -1, "a finite duration, from 0"],
    ["reuseWindow", Number.POSITIVE_INFINITY, "a finite duration, from 0"],
    ["accessTokenTtl", -1, "a finite duration, from 0"],
    ["refreshTokenIdle", -1, "a finite duration, from 0"],
    ["refreshTokenLife", -1, "a finite duration, from 0"]
  ] as const) {
    it(`refuses ${value} for ${field}`, () => {
      const exit = decode({ ...stored, [field]: value })
      assert.isTrue(Exit.isFailure(exit))
      assert.include(String(exit), field)
      assert.include(String(exit), expected)
    })
  }
})
