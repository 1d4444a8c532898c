/**
 * A short way to send, for clients that have one.
 *
 * `RekindleClient` makes its own span, wants no redirects, knows the URL's parts and has a deadline. Any `HttpClient` learns that from
 * settings provided around each request, a URL to be parsed, and a fiber that stands by with a timer. One that can be told directly
 * registers it here, and a call costs half as much.
 *
 * @module
 */
import type { Resilience } from "@rekindle/core"
import type { Effect } from "effect"
import type { HttpClient, HttpClientError, HttpClientRequest, HttpClientResponse } from "effect/http"

/** Where a request goes, its URL already in parts. */
export interface Target {
  readonly origin: string
  /** With the query. */
  readonly path: string
}

/** Sends without a span of its own and without following redirects, and lets go of the connection at `limit`. */
export type SendUntraced = <E = never>(
  request: HttpClientRequest.HttpClientRequest,
  target: Target,
  limit?: Resilience.Limit<E>
) => Effect.Effect<HttpClientResponse.HttpClientResponse, HttpClientError.HttpClientError | E>

const registered = new WeakMap<HttpClient.HttpClient, SendUntraced>()

/** Registers the short way for this very client: one derived from it may do more, and has to be asked the long way. */
export const registerUntraced = (client: HttpClient.HttpClient, send: SendUntraced): void =>
  void registered.set(client, send)

export const untracedOf = (client: HttpClient.HttpClient): SendUntraced | undefined => registered.get(client)
