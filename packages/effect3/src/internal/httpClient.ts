/**
 * The transport of the client: the `HttpClient` of `@effect/platform` as one of Effect 4.
 *
 * `@effect/platform` is an optional peer. It is only loaded for a program that provides a client of it.
 *
 * @module
 */
import type { HttpClient } from "@effect/platform"
import { Context, Effect, identity, Option } from "effect"
import { Layer as Layer4 } from "effect4"
import {
  FetchHttpClient as FetchHttpClient4,
  HttpClient as HttpClient4,
  HttpClientError as HttpClientError4,
  HttpClientResponse as HttpClientResponse4
} from "effect4/http"
import { toFour } from "./bridge.ts"

/** The tag of `@effect/platform`, by its key. */
const HttpClientTag = Context.GenericTag<HttpClient.HttpClient>("@effect/platform/HttpClient")

/** Statuses that a `Response` takes no body with. */
const withoutBody: ReadonlySet<number> = new Set([204, 205, 304])

/** A bundler lets an import fail that stands in a `try`, so that a program without `@effect/platform` can be bundled. */
const load = async () => {
  try {
    return {
      FetchHttpClient: await import("@effect/platform/FetchHttpClient"),
      HttpClientRequest: await import("@effect/platform/HttpClientRequest")
    }
  } catch (cause) {
    throw new Error("The HttpClient that is given needs @effect/platform, which is not installed", { cause })
  }
}

const transport = (client: HttpClient.HttpClient) =>
  Effect.map(Effect.promise(load), ({ FetchHttpClient, HttpClientRequest }) =>
    HttpClient4.make((request, url) => {
      const { body, headers } = request
      // The client has these two methods.
      const sent = (request.method === "GET" ? HttpClientRequest.get(url) : HttpClientRequest.post(url)).pipe(
        body._tag === "Uint8Array" ? HttpClientRequest.bodyUint8Array(body.body, body.contentType) : identity,
        HttpClientRequest.setHeaders(headers)
      )
      const answer = client.execute(sent).pipe(
        Effect.flatMap((response) => Effect.map(response.arrayBuffer, (body) => ({ body, response }))),
        // fetch would follow a redirect and send the key along.
        Effect.provideService(FetchHttpClient.RequestInit, { redirect: "manual" })
      )
      return toFour(
        answer,
        (error) =>
          new HttpClientError4.HttpClientError({
            reason:
              error._tag === "ResponseError"
                ? new HttpClientError4.TransportError({ request, cause: error })
                : error.reason === "Transport"
                  ? new HttpClientError4.TransportError({ request, cause: error.cause })
                  : new HttpClientError4.EncodeError({ request, cause: error.cause })
          }),
        ({ body, response: { headers, status } }) =>
          HttpClientResponse4.fromWeb(request, new Response(withoutBody.has(status) ? null : body, { status, headers }))
      )
    })
  )

/** The transport that the context has. */
export const httpClient: Effect.Effect<Layer4.Layer<HttpClient4.HttpClient>> = Effect.flatMap(
  Effect.serviceOption(HttpClientTag),
  Option.match({
    onNone: () => Effect.succeed(FetchHttpClient4.layer),
    onSome: (client) => Effect.map(transport(client), (four) => Layer4.succeed(HttpClient4.HttpClient, four))
  })
)
