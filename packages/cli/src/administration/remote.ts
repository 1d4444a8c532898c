/**
 * Keys, projects and the audit log of a server, through its admin routes.
 *
 * @module
 */
import { TransportError, UnexpectedResponse } from "@rekindle/core"
import { Effect, Layer, Redacted, type Schema } from "effect"
import { FetchHttpClient, HttpClient, type HttpClientError, HttpClientRequest } from "effect/http"
import { HttpApiClient } from "effect/http-api"
import { AdminApi } from "./AdminApi.ts"
import { Administration, type AdministrationError } from "./Administration.ts"

/** The failures of the contract as they are, and what is none of them by what is known of it. */
const understood = <A>(
  effect: Effect.Effect<A, AdministrationError | HttpClientError.HttpClientError | Schema.SchemaError>
): Effect.Effect<A, AdministrationError> =>
  effect.pipe(
    Effect.catchTags({
      HttpClientError: (error): Effect.Effect<never, AdministrationError> =>
        Effect.fail(
          error.response === undefined
            ? new TransportError({ message: "the server cannot be reached", reason: "unknown" })
            : outside(error.response.status)
        ),
      // What did not decode may be a key.
      SchemaError: (): Effect.Effect<never, AdministrationError> => Effect.fail(outside(200))
    })
  )

const outside = (status: number) =>
  new UnexpectedResponse({ message: "the server's answer is outside the contract", status, excerpt: "" })

const make = Effect.fnUntraced(function* (server: string, key: Redacted.Redacted) {
  const client = yield* HttpApiClient.make(AdminApi, {
    baseUrl: server,
    transformClient: HttpClient.mapRequest(HttpClientRequest.setHeader("x-api-key", Redacted.value(key)))
  })
  const { administration } = client
  const itemsOf = <A>({ items }: { readonly items: A }) => items
  return Administration.of({
    listKeys: (projectId) =>
      understood(
        Effect.map(
          administration.listKeys({ query: projectId === undefined ? {} : { project_id: projectId } }),
          itemsOf
        )
      ),
    createKey: (payload) => understood(administration.createKey({ payload })),
    revokeKey: (id) => understood(administration.revokeKey({ params: { id } })),
    listProjects: understood(Effect.map(administration.listProjects({}), itemsOf)),
    createProject: (id, origins) =>
      understood(administration.createProject({ payload: { id, redirect_origins: origins } })),
    setRedirectOrigins: (id, origins) =>
      understood(administration.updateProject({ params: { id }, payload: { redirect_origins: origins } })),
    listAudit: ({ actor, before, limit, projectId }) =>
      understood(
        Effect.map(
          administration.listAudit({
            query: {
              limit,
              ...(actor !== undefined && { actor }),
              ...(before !== undefined && { before }),
              ...(projectId !== undefined && { project_id: projectId })
            }
          }),
          itemsOf
        )
      ),
    verifyAudit: (noted) => understood(administration.verifyAudit({ query: noted ?? {} }))
  })
})

/** Administration of a server. */
export const layer = (server: string, key: Redacted.Redacted): Layer.Layer<Administration> =>
  Layer.effect(Administration, make(server, key)).pipe(Layer.provide(FetchHttpClient.layer))
