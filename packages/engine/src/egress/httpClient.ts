/**
 * Out over an `HttpClient` that somebody else made: a scripted provider in tests, or a platform with nothing but `fetch`.
 *
 * Such a client connects by itself, so the address that was checked is not the address that it connects to. It may follow redirects by
 * itself, which shows only afterwards. And it tells why a request failed, not whether it began to leave, so "not sent" is said less often.
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
  // Once there is a response, whatever its cause looks like, the request had been sent.
  return reason._tag === "TransportError" ? failure(url, reason.cause) : failure(url, reason.cause, true)
}

const isElsewhere = (answeredFrom: string, asked: URL): boolean => {
  const from = URL.parse(answeredFrom)
  return from !== null && (from.origin !== asked.origin || from.pathname !== asked.pathname)
}

/** Over any client, its bodies counted while they are read. */
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
      return Effect.succeed(refused("request_malformed: the method is not one of HTTP"))
    const request = HttpClientRequest.make(method)(url, { headers })
    const contentType = headers["content-type"] ?? "text/plain"
    return Effect.gen(function* () {
      // A client does not tell when its connection is made; this is the last that is known of.
      const objection = refusal()
      if (objection !== undefined) return notSent(objection)
      const response = yield* client.execute(
        body === undefined ? request : HttpClientRequest.bodyText(request, body, contentType)
      )
      // Some clients follow redirects whatever they are told, and then the answer is not from where the request was let go.
      if (response.status === 0 || isElsewhere(response.url, url)) return noAnswer("redirect_followed")
      const received = yield* text(response)
      return received === undefined
        ? oversized
        : answer(response.status, response.headers, received, yield* Clock.currentTimeMillis)
    }).pipe(
      Effect.provideService(FetchHttpClient.RequestInit, { redirect: "manual" }),
      // Requests carry credentials in bodies and headers: no span is made of them, and the provider gets no trace ids.
      Effect.provideService(HttpClient.TracerDisabledWhen, () => true),
      Effect.provideService(HttpClient.TracerPropagationEnabled, false),
      Effect.catchTag("HttpClientError", (error) => Effect.succeed(fromFailure(url, error)))
    )
  }
}
