import { assert, describe, it } from "@effect/vitest"
import { RekindleServer } from "@rekindle/platform"
import { Effect } from "effect"
import { accountsWith, apiKey, exchange, id, serve } from "./support.ts"

const head = (headers: ReadonlyArray<string>) =>
  [`POST /api/v3/connected_accounts/${id}/refresh HTTP/1.1`, "host: server", ...headers, "", ""].join("\r\n")

const json = "content-type: application/json"

describe("a body that never arrives completely", () => {
  const impatient = serve(
    { refresh: () => Effect.die("must not be asked") },
    undefined,
    RekindleServer.layerWith({ bodyTimeout: "100 millis" })
  )

  it.live.each([
    ["of a stated length", `${head([`x-api-key: ${apiKey}`, json, "content-length: 60000"])}{"redirect_url":`],
    ["in chunks", `${head([`x-api-key: ${apiKey}`, json, "transfer-encoding: chunked"])}1\r\n{\r\n`],
    ["without a type", `${head([`x-api-key: ${apiKey}`, "transfer-encoding: chunked"])}`]
  ] as const)("%s is answered 408 in the envelope, and its connection is closed", ([, bytes]) =>
    Effect.gen(function* () {
      const url = yield* impatient
      const answer = yield* exchange(url, bytes)
      assert.match(answer, /^HTTP\/1\.1 408 /)
      assert.match(answer, /^connection: close\r$/im)
      const { error } = JSON.parse(answer.slice(answer.indexOf("\r\n\r\n")))
      assert.deepInclude(error, { status: 408, code: 40800, slug: "body_too_slow" })
    }).pipe(Effect.scoped)
  )

  it.live("is not awaited from an unauthenticated caller", () =>
    Effect.gen(function* () {
      const url = yield* serve()
      const answer = yield* exchange(
        url,
        `${head(["x-api-key: guess", json, "connection: close", "content-length: 60000"])}{`
      )
      assert.match(answer, /^HTTP\/1\.1 401 /)
    }).pipe(Effect.scoped)
  )

  it.live("delays no other request", () =>
    Effect.gen(function* () {
      const url = yield* serve(accountsWith(), undefined, RekindleServer.layerWith({ bodyTimeout: "1 second" }))
      const slow = `${head([`x-api-key: ${apiKey}`, json, "content-length: 60000"])}{`
      const answers = yield* Effect.all(
        Array.from({ length: 50 }, () => exchange(url, slow)),
        { concurrency: "unbounded" }
      )
      assert.lengthOf(
        answers.filter((answer) => answer.startsWith("HTTP/1.1 408 ")),
        50
      )
      const quick = `${head([`x-api-key: ${apiKey}`, json, "connection: close", "content-length: 2"])}{}`
      assert.match(yield* exchange(url, quick), /^HTTP\/1\.1 200 /)
    }).pipe(Effect.scoped)
  )
})
