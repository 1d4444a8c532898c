import { assert, describe, it } from "@effect/vitest"
import { RekindleServer } from "@rekindle/platform"
import { Effect } from "effect"
import { execFile } from "node:child_process"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { gunzipSync } from "node:zlib"
import { callRaw, serve } from "./support.ts"

/** One request as `fetch` cannot make it: nothing is decompressed behind its back. */
const read = (url: string, headers: Record<string, string> = {}, method = "GET") =>
  callRaw(url, { method, headers: { "x-api-key": "", ...headers } })

const gzip = { "accept-encoding": "gzip, br" }

describe("/docs", () => {
  it("does not load its script of 3 MB before somebody reads it", async () => {
    const file = fileURLToPath(new URL("documentsLoaded.ts", import.meta.url))
    const { stdout } = await promisify(execFile)(process.execPath, [file])
    assert.deepStrictEqual(JSON.parse(stdout), [0, 1])
  })
})

describe.each([
  ["/docs", 1_200_000],
  ["/openapi.json", 20_000]
] as const)("%s, which everybody may read,", (path, limit) => {
  const served = Effect.map(serve({}, RekindleServer.docs), (url) => url + path)

  it.live("is sent compressed, and is the same page", () =>
    Effect.gen(function* () {
      const url = yield* served
      const plain = yield* read(url)
      const compressed = yield* read(url, gzip)
      assert.strictEqual(plain.headers.get("content-encoding"), null)
      assert.strictEqual(compressed.headers.get("content-encoding"), "gzip")
      assert.strictEqual(compressed.headers.get("content-type"), plain.headers.get("content-type"))
      assert.strictEqual(compressed.headers.get("vary"), "accept-encoding")
      assert.isBelow(compressed.bytes.length, limit)
      assert.isTrue(gunzipSync(compressed.bytes).equals(plain.bytes))
    }).pipe(Effect.scoped)
  )

  it.live("is not sent again to a browser that has it", () =>
    Effect.gen(function* () {
      const url = yield* served
      const first = yield* read(url, gzip)
      assert.strictEqual(first.headers.get("cache-control"), "public, max-age=3600, immutable")
      const etag = first.headers.get("etag") ?? ""
      for (const known of [etag, `"other", ${etag}`, etag.replace("W/", ""), "*"]) {
        const again = yield* read(url, { ...gzip, "if-none-match": known })
        assert.deepStrictEqual([again.status, again.bytes.length], [304, 0])
        assert.strictEqual(again.headers.get("etag"), etag)
      }
      assert.strictEqual((yield* read(url, { ...gzip, "if-none-match": '"other"' })).status, 200)
    }).pipe(Effect.scoped)
  )

  it.live.each([undefined, "", "br", "gzip;q=0", "identity", "*;q=0", "gzip;q=0.0, *"])(
    "is sent uncompressed to a client that accepts %o",
    (accepted) =>
      Effect.gen(function* () {
        const answer = yield* read(yield* served, accepted === undefined ? {} : { "accept-encoding": accepted })
        assert.deepStrictEqual([answer.status, answer.headers.get("content-encoding")], [200, null])
      }).pipe(Effect.scoped)
  )

  it.live("has the same headers for HEAD, and no body", () =>
    Effect.gen(function* () {
      const url = yield* served
      const head = yield* read(url, gzip, "HEAD")
      assert.deepStrictEqual([head.status, head.bytes.length], [200, 0])
      assert.strictEqual(head.headers.get("content-encoding"), "gzip")
    }).pipe(Effect.scoped)
  )

  it.live("is absent if it is switched off", () =>
    Effect.gen(function* () {
      const url = yield* serve({}, undefined, RekindleServer.layerWith({ docs: false }))
      assert.strictEqual((yield* read(url + path)).status, 404)
    }).pipe(Effect.scoped)
  )
})
