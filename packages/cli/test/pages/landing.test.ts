import { assert, describe, it } from "@effect/vitest"
import { ConnectedAccountId, ConsentFailureReason } from "@rekindle/core"
import { ConsentCallback } from "@rekindle/platform"
import { Effect } from "effect"
import { HttpServerResponse } from "effect/http"
import { layer } from "#cli/pages/landing.ts"

const accountId = ConnectedAccountId.make("ca_4CkFF_cKATwg")

const landing = (
  shown: Pick<ConsentCallback.Landing, "result" | "status">
): Effect.Effect<{ readonly status: number; readonly text: string }> =>
  Effect.gen(function* () {
    const response = HttpServerResponse.toWeb(
      (yield* ConsentCallback.ConsentLanding)({ title: "", text: "", ...shown })
    )
    return { status: response.status, text: yield* Effect.promise(() => response.text()) }
  }).pipe(Effect.provide(layer))

const failed = (reason: ConsentFailureReason, status: "ACTIVE" | "FAILED" = "FAILED", code: string | null = null) =>
  landing({
    status: 200,
    result: { accountId, status, redirectUrl: undefined, failure: { reason, message: "said by the engine", code } }
  })

describe("the landing page", () => {
  it.effect("says that the account is connected", () =>
    Effect.gen(function* () {
      const result = { accountId, status: "ACTIVE", redirectUrl: undefined, failure: undefined } as const
      assert.include((yield* landing({ result, status: 200 })).text, "<h1>Connected</h1>")
    })
  )

  it.effect("says what to do after each failure, in its own words", () =>
    Effect.gen(function* () {
      const pages = yield* Effect.forEach(ConsentFailureReason.literals, (reason) => failed(reason))
      assert.lengthOf(new Set(pages.map(({ text }) => text)), ConsentFailureReason.literals.length)
      for (const { text } of pages) assert.notInclude(text, "said by the engine")
      assert.include((yield* failed("denied")).text, "You did not give access")
      assert.include((yield* failed("identity-mismatch")).text, "another account than the one")
    })
  )

  it.effect("says that the connection from before keeps working", () =>
    Effect.gen(function* () {
      assert.include((yield* failed("denied", "ACTIVE")).text, "keeps working")
      assert.notInclude((yield* failed("denied")).text, "keeps working")
    })
  )

  it.effect("shows the beginning of the provider's code, escaped", () =>
    Effect.gen(function* () {
      const { text } = yield* failed("refused", "FAILED", `<script>alert(1)</script>${"x".repeat(10_000)}`)
      assert.notInclude(text, "<script")
      assert.include(text, "&lt;script&gt;")
      assert.notInclude(text, "x".repeat(100))
    })
  )

  it.effect.each([
    [400, "This link does not work any more"],
    [503, "Please try again"]
  ] as const)("of a callback without a consent, with status %i, says: %s", ([status, title]) =>
    Effect.gen(function* () {
      const page = yield* landing({ result: undefined, status })
      assert.strictEqual(page.status, status)
      assert.include(page.text, `<h1>${title}</h1>`)
    })
  )
})
