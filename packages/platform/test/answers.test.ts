import { assert, describe, it } from "@effect/vitest"
import { RefreshOutcomeFromWire } from "@rekindle/core"
import { RekindleClient } from "@rekindle/platform"
import { Effect, Exit, Redacted, Schema } from "effect"
import { HttpClient, HttpClientResponse } from "effect/http"
import { apiKey, id } from "./support.ts"

const decode = Schema.decodeUnknownExit(RefreshOutcomeFromWire)

/** Every combination of the three fields, each right, odd, of the wrong type, and absent. */
const combinations = [id, "ca_another-one", "x", 1, undefined].flatMap((id) =>
  ["ACTIVE", "EXPIRED", "PAUSED", null, undefined].flatMap((status) =>
    [null, "https://idp.example/consent", 1, undefined].map((redirect_url) => ({ id, status, redirect_url }))
  )
)

describe("the client reads an answer as the codec does:", () => {
  it.effect.each([...combinations, [], null, "text", 1].map((wire) => JSON.stringify(wire)))("%s", (text) =>
    Effect.gen(function* () {
      const http = HttpClient.make((request) => Effect.succeed(HttpClientResponse.fromWeb(request, new Response(text))))
      const client = yield* RekindleClient.make({
        baseUrl: "https://server.example",
        apiKey: Redacted.make(apiKey)
      }).pipe(Effect.provideService(HttpClient.HttpClient, http))
      const read = yield* Effect.exit(client.refresh(id))
      const decoded = decode(JSON.parse(text))
      assert.strictEqual(read._tag, decoded._tag)
      if (Exit.isSuccess(read) && Exit.isSuccess(decoded)) assert.deepStrictEqual(read.value, decoded.value)
    })
  )
})
