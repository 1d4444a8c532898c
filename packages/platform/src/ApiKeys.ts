/**
 * Who may call the server.
 *
 * The check is a service, because where keys live (a list in the environment, a table, another service) is the application's affair.
 * Keys are compared as SHA-256 hashes, every one of them, so that the time an answer takes tells nothing about how close a guess was.
 *
 * @module
 */
import { type Forbidden, Unauthorized, CurrentProject } from "@rekindle/core"
import { Context, Effect, Layer, Redacted } from "effect"

/** The caller an API key stands for. Handlers behind the key check can read it. */
export class ApiPrincipal extends Context.Service<
  ApiPrincipal,
  {
    /** The project the key belongs to: `defaultProject` where there is only one. No key stands for all projects. */
    readonly projectId: string
  }
>()("@rekindle/platform/ApiPrincipal") {}

/** Checks the `x-api-key` of a request. */
export class ApiKeys extends Context.Service<
  ApiKeys,
  {
    /** Says whom the key stands for; `Unauthorized` for an unknown key, `Forbidden` for one that may not do this. */
    readonly check: (key: Redacted.Redacted) => Effect.Effect<ApiPrincipal["Service"], Unauthorized | Forbidden>
  }
>()("@rekindle/platform/ApiKeys") {
  /**
   * A fixed list of keys, all for one project. No keys means that nobody may call. White space around a key is not part of it: no header
   * could carry it.
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

/** Looks at every byte whatever it finds: both sides are digests of one length. */
const equal = (a: Uint8Array, b: Uint8Array): boolean => {
  let difference = 0
  for (const [index, byte] of a.entries()) difference |= byte ^ (b[index] ?? -1)
  return difference === 0
}
