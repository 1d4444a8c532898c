/**
 * Authenticates callers of the server by API key, and limits each key to its scopes.
 *
 * The check is a service, because the application decides where keys are stored: in the environment, in a table, in another service. Keys are
 * compared as SHA-256 hashes, and with all known keys, so that the response time reveals nothing about a guess.
 *
 * @module
 */
import { CurrentProject, Forbidden, type RateLimited, Unauthorized, type Unavailable } from "@rekindle/core"
import { Context, Effect, Layer, Redacted, Schema } from "effect"

/**
 * What a key may do. No scope includes another one.
 *
 * - `read`: read accounts, auth configs, toolkits and events, with secrets masked
 * - `refresh`: refresh accounts
 * - `credential`: read the credential of an account
 * - `admin`: change everything else, keys included
 */
export const ApiKeyScope = Schema.Literals(["read", "refresh", "credential", "admin"]).pipe(
  Schema.annotate({ identifier: "ApiKeyScope" })
)
export type ApiKeyScope = typeof ApiKeyScope.Type

/** The caller that an API key identifies. Handlers behind the key check can read it. */
export class ApiPrincipal extends Context.Service<
  ApiPrincipal,
  {
    /** The project of the key; `defaultProject` if there is only one. No key is for all projects. */
    readonly projectId: string
    /** What the key may do. All scopes if absent. */
    readonly scopes?: ReadonlyArray<ApiKeyScope> | undefined
    /** The id of the key, which is no secret. Absent if keys have no ids. */
    readonly keyId?: string | undefined
  }
>()("@rekindle/platform/ApiPrincipal") {}

/** Where a request with a key comes from. */
export interface ApiCaller {
  /**
   * The network address, if it is known. Behind a proxy it is the proxy's, unless `HttpMiddleware.xForwardedHeaders` with the proxy's network
   * wraps the server. A header is never believed without it.
   */
  readonly address?: string | undefined
}

/** The scope that an endpoint requires. An endpoint that is not annotated requires `admin`, so that a forgotten annotation opens nothing. */
export const RequiredScope = Context.Reference<ApiKeyScope>("@rekindle/platform/RequiredScope", {
  defaultValue: () => "admin"
})

/** Checks the `x-api-key` of a request. */
export class ApiKeys extends Context.Service<
  ApiKeys,
  {
    /**
     * Returns the caller of a key. Fails with `Unauthorized` for an unknown, expired or revoked key, `Forbidden` for one that may not be used
     * at all, `RateLimited` for a key or an address with too many requests, and `Unavailable` if the keys cannot be read now.
     *
     * It is called once for each request that has a key, before the request is decoded, so throttles belong here. `caller` is who sends it.
     */
    readonly check: (
      key: Redacted.Redacted,
      caller?: ApiCaller
    ) => Effect.Effect<ApiPrincipal["Service"], Unauthorized | Forbidden | RateLimited | Unavailable>
  }
>()("@rekindle/platform/ApiKeys") {
  /**
   * The annotation of an endpoint that requires a scope: `endpoint.annotateMerge(ApiKeys.requires("read"))`, or
   * `group.annotateEndpointsMerge(…)` for all endpoints that a group has so far. A key without the scope gets a 403.
   */
  static readonly requires = (scope: ApiKeyScope): Context.Context<never> => Context.make(RequiredScope, scope)

  /** Fails with `Forbidden` if the caller's key lacks a scope. */
  static readonly permit = ({ scopes }: ApiPrincipal["Service"], scope: ApiKeyScope): Effect.Effect<void, Forbidden> =>
    scopes === undefined || scopes.includes(scope)
      ? Effect.void
      : Effect.fail(
          new Forbidden({
            message: `The API key lacks the scope ${scope}`,
            slug: "missing_scope",
            suggestedFix: "Use a key with the scope"
          })
        )

  /**
   * A fixed list of keys for one project, with all scopes unless `principal` says otherwise. With an empty list, nobody may call. White space around a key is removed, because a header cannot
   * carry it.
   *
   * ```ts
   * import { ApiKeys } from "@rekindle/platform"
   * import { Effect, Redacted } from "effect"
   * import assert from "node:assert/strict"
   *
   * const program = Effect.gen(function*() {
   *   const keys = yield* ApiKeys
   *   const principal = yield* keys.check(Redacted.make("right"))
   *   const error = yield* Effect.flip(keys.check(Redacted.make("wrong")))
   *   return [principal.projectId, error._tag]
   * }).pipe(Effect.provide(ApiKeys.layerStatic([Redacted.make("right")], { projectId: "demo" })))
   *
   * assert.deepEqual(await Effect.runPromise(program), ["demo", "Unauthorized"])
   * ```
   */
  static readonly layerStatic = (
    keys: ReadonlyArray<Redacted.Redacted>,
    principal: ApiPrincipal["Service"] = { projectId: CurrentProject.defaultValue() }
  ): Layer.Layer<ApiKeys> =>
    Layer.effect(
      ApiKeys,
      Effect.gen(function* () {
        const known = yield* Effect.forEach(keys, hash)
        return ApiKeys.of({
          check: (key) =>
            Effect.flatMap(hash(key), (candidate) => {
              let found = false
              for (const digest of known) found = equal(digest, candidate) || found
              return found
                ? Effect.succeed(principal)
                : Effect.fail(new Unauthorized({ message: "The API key is unknown", slug: "unknown_api_key" }))
            })
        })
      })
    )
}

const encoder = new TextEncoder()

const hash = (key: Redacted.Redacted): Effect.Effect<Uint8Array> =>
  Effect.map(
    Effect.promise(() => crypto.subtle.digest("SHA-256", encoder.encode(Redacted.value(key).trim()))),
    (digest) => new Uint8Array(digest)
  )

/** Compares in constant time. Both sides are digests of the same length. */
const equal = (a: Uint8Array, b: Uint8Array): boolean => {
  let difference = 0
  for (const [index, byte] of a.entries()) difference |= byte ^ (b[index] ?? -1)
  return difference === 0
}
