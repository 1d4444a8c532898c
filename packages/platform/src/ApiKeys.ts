/**
 * Authenticates callers of the server by API key.
 *
 * The check is a service, because the application decides where keys are stored: in the environment, in a table, in another service. Keys are
 * compared as SHA-256 hashes, and with all known keys, so that the response time reveals nothing about a guess.
 *
 * @module
 */
import { type Forbidden, Unauthorized, CurrentProject } from "@rekindle/core"
import { Context, Effect, Layer, Redacted } from "effect"

/** The caller that an API key identifies. Handlers behind the key check can read it. */
export class ApiPrincipal extends Context.Service<
  ApiPrincipal,
  {
    /** The project of the key; `defaultProject` if there is only one. No key is for all projects. */
    readonly projectId: string
  }
>()("@rekindle/platform/ApiPrincipal") {}

/** Checks the `x-api-key` of a request. */
export class ApiKeys extends Context.Service<
  ApiKeys,
  {
    /** Returns the caller of a key. Fails with `Unauthorized` for an unknown key, `Forbidden` for one without the permission. */
    readonly check: (key: Redacted.Redacted) => Effect.Effect<ApiPrincipal["Service"], Unauthorized | Forbidden>
  }
>()("@rekindle/platform/ApiKeys") {
  /**
   * A fixed list of keys for one project. With an empty list, nobody may call. White space around a key is removed, because a header cannot
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
