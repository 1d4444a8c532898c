/**
 * A fast path for sending, for clients that have one.
 *
 * `RekindleClient` makes its own span, follows no redirects, knows the parts of the URL, and has a deadline. For most clients that takes services
 * provided around each request, a URL to parse, and a fiber with a timer. A client that accepts these directly registers a function here, and a
 * call costs half as much.
 *
 * @module
 */
import type { Resilience } from "@rekindle/core"
import type { Effect } from "effect"
import type { HttpClient, HttpClientError, HttpClientRequest, HttpClientResponse } from "effect/http"

/** The URL of a request, in parts. */
export interface Target {
  readonly origin: string
  /** The path with the query. */
  readonly path: string
}

/** An answer whose body has arrived. */
export interface Collected extends HttpClientResponse.HttpClientResponse {
  /** The body; `undefined` if it was cut off or has more than `maxSize` bytes. */
  readonly wholeText: (maxSize: number) => string | undefined
}

/** Sends without a span and without following redirects. It closes the connection at `limit`. */
export type SendUntraced = <E = never>(
  request: HttpClientRequest.HttpClientRequest,
  target: Target,
  limit?: Resilience.Limit<E>
) => Effect.Effect<Collected, HttpClientError.HttpClientError | E>

const registered = new WeakMap<HttpClient.HttpClient, SendUntraced>()

/** Registers the fast path of exactly this client. A client derived from it may do more, so it does not inherit the path. */
export const registerUntraced = (client: HttpClient.HttpClient, send: SendUntraced): void =>
  void registered.set(client, send)

export const untracedOf = (client: HttpClient.HttpClient): SendUntraced | undefined => registered.get(client)
