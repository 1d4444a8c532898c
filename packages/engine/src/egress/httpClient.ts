/**
 * The transport on any `HttpClient`: a scripted provider in tests, or a platform that has only `fetch`.
 *
 * **Gotchas**
 *
 * - The client resolves names itself, so it may connect to another address than the one that was checked.
 * - It may follow redirects, which is only seen afterwards.
 * - It reports why a request failed, and not whether the request had been sent. "Not sent" is therefore reported less often.
 *
 * @module
 */
import { Clock, Effect, Stream } from "effect"
import {
  FetchHttpClient,
  HttpClient,
  type HttpClientError,
  HttpClientRequest,
  type HttpClientResponse,
  HttpMethod
} from "effect/http"
import { noAnswer, notSent, type Observation, refused } from "../answer/Verdict.ts"
import { answer, failure, oversized, type Transport } from "./transport.ts"

const fromFailure = (url: URL, { reason }: HttpClientError.HttpClientError): Observation => {
  if (reason._tag === "EncodeError" || reason._tag === "InvalidUrlError") return refused("request_malformed")
  // The other reasons come with a response, so the request had been sent.
  return reason._tag === "TransportError"
    ? failure(url, reason.cause)
    : failure(url, reason.cause, true, reason.response.status)
}

const isElsewhere = (answeredFrom: string, asked: URL): boolean => {
  const from = URL.parse(answeredFrom)
  return from !== null && (from.origin !== asked.origin || from.pathname !== asked.pathname)
}

/** On any client. Bodies are counted while they are read. */
export const overHttpClient = (client: HttpClient.HttpClient, maxBodyBytes: number): Transport => {
  const text = (response: HttpClientResponse.HttpClientResponse) => {
    const decoder = new TextDecoder()
    let size = 0
    return response.stream.pipe(
      Stream.takeWhile((chunk) => (size += chunk.length) <= maxBodyBytes),
      Stream.runFold(
        () => "",
        (text, chunk) => text + decoder.decode(chunk, { stream: true })
      ),
      Effect.map((text) => (size > maxBodyBytes ? undefined : text + decoder.decode())),
      Effect.catchIf(
        ({ reason }) => reason._tag === "EmptyBodyError",
        () => Effect.succeed("")
      )
    )
  }
  return ({ body, headers, method, refusal, url }) => {
    if (!HttpMethod.isHttpMethod(method))
      return Effect.succeed(refused("request_malformed: the method is not an HTTP method"))
    const request = HttpClientRequest.make(method)(url, { headers })
    const contentType = headers["content-type"] ?? "text/plain"
    return Effect.gen(function* () {
      // The client does not report when it connects, so this is the last moment that is known.
      const objection = refusal()
      if (objection !== undefined) return notSent(objection)
      const response = yield* client.execute(
        body === undefined ? request : HttpClientRequest.bodyText(request, body, contentType)
      )
      // Some clients follow redirects in spite of `redirect: "manual"`. Then the answer comes from a url that was not checked.
      if (response.status === 0 || isElsewhere(response.url, url)) return noAnswer("redirect_followed")
      const received = yield* text(response)
      return received === undefined
        ? oversized(response.status)
        : answer(response.status, response.headers, received, yield* Clock.currentTimeMillis)
    }).pipe(
      Effect.provideService(FetchHttpClient.RequestInit, { redirect: "manual" }),
      // Requests carry credentials, so they get no spans. The provider gets no trace ids.
      Effect.provideService(HttpClient.TracerDisabledWhen, () => true),
      Effect.provideService(HttpClient.TracerPropagationEnabled, false),
      Effect.catchTag("HttpClientError", (error) => Effect.succeed(fromFailure(url, error)))
    )
  }
}
