/**
 * The body of a request, read before anything else is done with it: within a time, and within a size (`MaxBodySize`).
 *
 * A caller who sends a byte a second would hold a connection and its memory for as long as it likes. Servers have limits of their own
 * for that, but not every one does, and Node's default is five minutes.
 *
 * @module
 */
import { type Duration, Effect, Fiber, Option } from "effect"
import { Headers, HttpMethod, HttpServerRequest, HttpServerResponse } from "effect/http"

/** Where the body does not arrive in time. The connection cannot be used again: the rest of the body would follow on it. */
const tooSlow = HttpServerResponse.empty({ status: 408, headers: { connection: "close" } })

const unsupported = HttpServerResponse.empty({ status: 415 })

const isJson = (contentType: string | undefined): boolean =>
  contentType === undefined || /^\s*application\/json\s*(?:;|$)/i.test(contentType)

/**
 * Runs `handler` with a request whose body has arrived. An empty body has no type, whatever the header says: some clients name one for
 * every POST. What is not JSON is refused here, because the header has to be taken off before the body can be looked at.
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
    // Interrupting the read would destroy the connection, and the answer with it. The read ends with the connection.
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
