/**
 * Reads the body of a request before its handler runs, within a time limit and a size limit (`MaxBodySize`).
 *
 * Without a time limit, a caller who sends one byte per second could hold a connection and its memory for any time. Not every server has such a
 * limit, and Node's default is five minutes.
 *
 * @module
 */
import { type Duration, Effect, Fiber, Option } from "effect"
import { Headers, HttpMethod, HttpServerRequest, HttpServerResponse } from "effect/http"

/** For a body that does not arrive in time. The connection is closed, because the rest of the body would follow on it. */
const tooSlow = HttpServerResponse.empty({ status: 408, headers: { connection: "close" } })

const unsupported = HttpServerResponse.empty({ status: 415 })

const isJson = (contentType: string | undefined): boolean =>
  contentType === undefined || /^\s*application\/json\s*(?:;|$)/i.test(contentType)

/**
 * Runs `handler` with a request whose body has arrived. The content type of an empty body is ignored, because some clients send one with every
 * POST. A body that is not JSON is refused here, because the header has to be removed before the body can be read.
 */
export const withBody = <E, R>(
  handler: Effect.Effect<HttpServerResponse.HttpServerResponse, E, R>,
  limit: Duration.Input
): Effect.Effect<HttpServerResponse.HttpServerResponse, E, R | HttpServerRequest.HttpServerRequest> =>
  Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) => {
    if (!HttpMethod.hasBody(request.method)) return handler
    const { "content-length": length, "content-type": contentType } = request.headers
    const untyped = request.modify({ headers: Headers.remove(request.headers, "content-type") })
    const go = Effect.provideService(handler, HttpServerRequest.HttpServerRequest, untyped)
    if (length === "0") return go
    if (length !== undefined && !isJson(contentType)) return Effect.succeed(unsupported)
    // An interruption of the read would destroy the connection before the answer. A detached read ends with the connection.
    return Effect.orDie(Effect.forkDetach(untyped.text)).pipe(
      Effect.flatMap((reading) => Effect.timeoutOption(Fiber.join(reading), limit)),
      Effect.orDie,
      Effect.flatMap(
        Option.match({
          onNone: () => Effect.succeed(tooSlow),
          onSome: (text) => (text === "" || isJson(contentType) ? go : Effect.succeed(unsupported))
        })
      )
    )
  })
