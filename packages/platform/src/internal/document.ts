/**
 * A static page: rendered once, compressed once, and revalidated by the hash of its contents.
 *
 * The docs page is served without a key and has 3 MB. To render or compress it for each reader would delay every refresh in the process.
 *
 * @module
 */
import { Effect } from "effect"
import { HttpPlatform, HttpRouter, HttpServerRequest, HttpServerResponse } from "effect/http"

/** A browser revalidates after an hour. Until then not even a reload does. */
const cacheControl = "public, max-age=3600, immutable"

/** The only algorithm, because each costs a copy in memory. Every HTTP client supports it. */
const algorithm = "gzip"

interface Prepared {
  readonly plain: HttpServerResponse.HttpServerResponse
  readonly compressed: HttpServerResponse.HttpServerResponse | undefined
  readonly unchanged: HttpServerResponse.HttpServerResponse
  readonly etag: string
}

const bytesOf = (response: HttpServerResponse.HttpServerResponse): Effect.Effect<Uint8Array<ArrayBuffer>> =>
  Effect.map(
    Effect.promise(() => HttpServerResponse.toWeb(response).arrayBuffer()),
    (buffer) => new Uint8Array(buffer)
  )

const prepare = Effect.fnUntraced(function* (
  response: HttpServerResponse.HttpServerResponse,
  compression: HttpPlatform.Compression
): Effect.fn.Return<Prepared> {
  const bytes = yield* bytesOf(response)
  const digest = yield* Effect.promise(() => crypto.subtle.digest("SHA-256", bytes))
  const etag = `W/"${Array.from(new Uint8Array(digest, 0, 16), (byte) => byte.toString(16).padStart(2, "0")).join("")}"`
  const headers = {
    etag,
    "cache-control": cacheControl,
    vary: "accept-encoding",
    "x-content-type-options": "nosniff"
  }
  const options = { contentType: response.headers["content-type"] ?? "application/octet-stream", headers }
  return {
    plain: HttpServerResponse.uint8Array(bytes, options),
    compressed: compression.algorithms.has(algorithm)
      ? HttpServerResponse.uint8Array(yield* bytesOf(yield* compression.compressResponse(response, algorithm)), {
          ...options,
          headers: { ...headers, "content-encoding": algorithm }
        })
      : undefined,
    unchanged: HttpServerResponse.empty({ status: 304, headers }),
    etag
  }
})

/** RFC 9110, section 12.5.3: named, or covered by `*`, and with a quality above zero. */
const accepts = (header: string | undefined): boolean => {
  const qualities = new Map(
    (header ?? "").split(",").map((coding): [string, string] => {
      const [name = "", quality = ""] = coding.toLowerCase().split(";")
      return [name.trim(), quality.trim()]
    })
  )
  const quality = qualities.get(algorithm) ?? qualities.get("*")
  return quality !== undefined && !/^q=0(?:\.0*)?$/.test(quality)
}

/** RFC 9110, section 13.1.2: weak comparison with a list of tags or `*`. */
const matches = (header: string | undefined, etag: string): boolean =>
  header !== undefined &&
  header.split(",").some((candidate) => ["*", etag].includes(candidate.trim()) || `W/${candidate.trim()}` === etag)

/** For routes whose answer never changes while the server runs. Their handler runs once. */
export const document = HttpRouter.middleware(
  Effect.map(HttpPlatform.HttpPlatform, ({ compression }) => {
    return (handler) => {
      const once = Effect.runSync(Effect.cached(Effect.flatMap(handler, (response) => prepare(response, compression))))
      return Effect.flatMap(HttpServerRequest.HttpServerRequest, ({ headers }) =>
        Effect.map(once, ({ compressed, etag, plain, unchanged }) => {
          if (matches(headers["if-none-match"], etag)) return unchanged
          return compressed !== undefined && accepts(headers["accept-encoding"]) ? compressed : plain
        })
      )
    }
  })
).layer
