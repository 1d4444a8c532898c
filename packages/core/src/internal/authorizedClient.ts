/**
 * An HTTP client whose requests carry an account's credential: the part of `Connections.authorize` that knows HTTP.
 *
 * @module
 */
import { Effect, Option, Redacted, Result, Schema, Stream } from "effect"
import {
  FetchHttpClient,
  Headers,
  type HttpBody,
  HttpClient,
  HttpClientError,
  HttpClientRequest,
  type HttpClientResponse,
  Url,
  UrlParams
} from "effect/http"
import type { ConnectedAccountId } from "../ConnectedAccount.ts"
import type { ConnectedAccounts } from "../ConnectedAccounts.ts"
import type { Authorization, ConnectionsError, RequestToAuthorize } from "../Connections.ts"
import type { ConnectionNotReady, ConsentRequired } from "../resilience/Consent.ts"
import { withRefresh } from "../resilience/WithRefresh.ts"

/** The API refused the credential. */
class CredentialRefused extends Schema.TaggedError<CredentialRefused>()("CredentialRefused", {}) {}

const formType = "application/x-www-form-urlencoded"

/** The fields of a form, which an OAuth 1 signature covers (RFC 5849 §3.4.1.3). */
const formOf = (body: HttpBody.HttpBody): ReadonlyArray<readonly [string, string]> | undefined =>
  body._tag === "Uint8Array" && body.contentType.startsWith(formType)
    ? [...new URLSearchParams(new TextDecoder().decode(body.body))]
    : undefined

/** A stream can be read once. */
const canBeSentAgain = ({ _tag }: HttpBody.HttpBody): boolean => _tag !== "Stream" && _tag !== "Raw"

/** Whether a resource server asks for a DPoP proof with its nonce (RFC 9449 §9). */
const asksForNonce = ({ headers, status }: HttpClientResponse.HttpClientResponse): boolean =>
  status === 401 && headers["www-authenticate"]?.includes("use_dpop_nonce") === true

/** Lets go of a response that nobody reads. */
const discard = (response: HttpClientResponse.HttpClientResponse) =>
  Effect.ignore(Stream.runDrain(Stream.take(response.stream, 1)))

/** Puts the credential on a request, and keeps it out of spans and logs. */
const carrying = <E, R>(
  client: HttpClient.HttpClient.With<E, R>,
  request: HttpClientRequest.HttpClientRequest,
  { headers, parameters }: Authorization
) =>
  Effect.gen(function* () {
    const headerNames = yield* Headers.CurrentRedactedNames
    const parameterNames = yield* UrlParams.CurrentRedactedNames
    const init = yield* Effect.serviceOption(FetchHttpClient.RequestInit)
    const sendable = request.pipe(
      HttpClientRequest.setHeaders(
        Object.entries(headers).map(([name, value]) => [name, Redacted.value(value)] as const)
      ),
      HttpClientRequest.appendUrlParams(Object.entries(parameters))
    )
    return yield* client.postprocess(Effect.succeed(sendable)).pipe(
      Effect.provideService(Headers.CurrentRedactedNames, [...headerNames, ...Object.keys(headers)]),
      Effect.provideService(UrlParams.CurrentRedactedNames, [...parameterNames, ...Object.keys(parameters)]),
      // A redirect would take the credential with it.
      Effect.provideService(FetchHttpClient.RequestInit, { ...Option.getOrUndefined(init), redirect: "manual" })
    )
  })

/** Makes the client. */
export const authorizedClient = <E, R, R2>(
  client: HttpClient.HttpClient.With<E, R>,
  id: ConnectedAccountId,
  authorizationFor: (
    request: RequestToAuthorize
  ) => Effect.Effect<Authorization, ConnectionsError | ConnectionNotReady, R2>
): HttpClient.HttpClient.With<
  E | ConnectionsError | ConnectionNotReady | ConsentRequired | HttpClientError.HttpClientError,
  R | R2 | ConnectedAccounts
> => {
  /** The last nonce of each origin. There are as many origins as the auth config declares. */
  const nonces = new Map<string, string>()

  const attempt = Effect.fnUntraced(function* (request: HttpClientRequest.HttpClientRequest, url: URL) {
    const authorization = yield* authorizationFor({
      method: request.method,
      url: url.href,
      form: formOf(request.body),
      dpopNonce: nonces.get(url.origin)
    })
    const response = yield* carrying(client, request, authorization)
    const nonce = response.headers["dpop-nonce"]
    if (nonce !== undefined) nonces.set(url.origin, nonce)
    return response
  })

  const send = Effect.fnUntraced(function* (request: HttpClientRequest.HttpClientRequest) {
    const made = Url.make(request.url, request.urlParams, Option.getOrUndefined(request.hash))
    if (Result.isFailure(made)) {
      return yield* new HttpClientError.HttpClientError({
        reason: new HttpClientError.InvalidUrlError({ request, cause: made.failure })
      })
    }
    const url = made.success
    const again = canBeSentAgain(request.body)
    let refused: HttpClientResponse.HttpClientResponse | undefined
    const call = Effect.gen(function* () {
      // It is renewed for the next request.
      if (refused !== undefined && !again) return refused
      let response = yield* attempt(request, url)
      if (again && asksForNonce(response)) {
        yield* discard(response)
        response = yield* attempt(request, url)
      }
      if (response.status !== 401 || refused !== undefined) return response
      refused = response
      if (again) yield* discard(response)
      return yield* new CredentialRefused()
    })
    return yield* withRefresh(id, call, { isAuthFailure: (error) => error instanceof CredentialRefused }).pipe(
      // The second response is returned whatever it is.
      Effect.catchTag("CredentialRefused", Effect.die)
    )
  })

  return HttpClient.makeWith((request) => Effect.flatMap(request, send), client.preprocess)
}
