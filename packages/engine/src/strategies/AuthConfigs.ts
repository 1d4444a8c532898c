/**
 * Registers auth configs and loads them. Each belongs to one project and is stored sealed. Registration checks that the scheme has a
 * strategy, that the settings decode, and that the egress allows every address in them.
 *
 * @module
 */
import { CurrentProject, KnownAuthScheme } from "@rekindle/core"
import { Clock, Context, Duration, Effect, Equal, Layer, Option, Result, Schema } from "effect"
import { AccountStore, type AuthConfigRef, type StoreError } from "../account/AccountStore.ts"
import type { AuthConfig } from "@rekindle/core"
import { authConfigContext, AuthConfigError, AuthConfigJson, invalidConfig } from "../account/AuthConfig.ts"
import { AuthStrategies } from "./AuthStrategy.ts"
import { CredentialVault } from "../vault/CredentialVault.ts"
import * as Credential from "../account/Credential.ts"
import { Egress } from "../egress/Egress.ts"
import { monotonicMillis } from "../egress/timeLimit.ts"

const isKnownScheme = Schema.is(KnownAuthScheme)

/** How long a loaded config is used. A change by another process takes effect after at most this long. */
const cacheFor = Duration.seconds(10)

/** Registers and loads auth configs. */
export class AuthConfigs extends Context.Service<
  AuthConfigs,
  {
    /** Adds a config to the current project, or replaces the project's config of the same id. A faulty config changes nothing. */
    readonly register: (config: AuthConfig) => Effect.Effect<void, AuthConfigError | StoreError>
    /** Loads a config and opens it. */
    readonly load: (config: AuthConfigRef) => Effect.Effect<AuthConfig, AuthConfigError | StoreError>
  }
>()("@rekindle/engine/AuthConfigs") {
  static readonly layer: Layer.Layer<AuthConfigs, never, AccountStore | AuthStrategies | CredentialVault | Egress> =
    Layer.effect(
      AuthConfigs,
      Effect.gen(function* () {
        const store = yield* AccountStore
        const strategies = yield* AuthStrategies
        const vault = yield* CredentialVault
        const egress = yield* Egress
        const cache = new Map<string, { readonly config: AuthConfig; readonly until: number }>()
        let registrations = 0

        const fault = (id: string, message: string) =>
          new AuthConfigError({ authConfigId: id, message: `auth config ${id}: ${message}` })

        const keyOf = ({ authConfigId, projectId }: AuthConfigRef) => `${projectId}/${authConfigId}`

        /** The config with its secrets cleaned. */
        const admitted = (config: AuthConfig) =>
          Result.match(Credential.admit(config.secrets, strategies.get(config.scheme)?.secrets?.config), {
            onFailure: (mistakes) => Effect.fail(invalidConfig(config, mistakes)),
            onSuccess: (secrets) => Effect.succeed({ ...config, secrets })
          })

        /** Finds mistakes that the first refresh would otherwise meet. Gives the config that this one replaces. */
        const check = Effect.fnUntraced(function* (config: AuthConfig) {
          const strategy = strategies.get(config.scheme)
          if (strategy !== undefined) {
            const mistakes = (yield* strategy.check(config)).flatMap(({ field, url }) => {
              const message = egress.refusal(config.hosts, url)
              return message === undefined ? [] : [{ field: `settings.${field}`, message }]
            })
            if (mistakes.length > 0) return yield* invalidConfig(config, mistakes)
          }
          // NO_AUTH is a scheme of the contract without a strategy: there is nothing to check or to refresh. An unknown scheme is a mistake.
          else if (!isKnownScheme(config.scheme))
            return yield* invalidConfig(config, [{ field: "scheme", message: "it has no strategy here" }])
          const ref = { projectId: config.projectId, authConfigId: config.id }
          // A stored config that cannot be read may be replaced.
          const before = yield* Effect.asSome(load(ref)).pipe(
            Effect.catchTag("AuthConfigError", () => Effect.succeedNone)
          )
          // The config's accounts have credentials of its present scheme.
          if (Option.isSome(before) && before.value.scheme !== config.scheme) {
            const message = `it is registered with the scheme ${before.value.scheme}; another scheme needs an id of its own`
            return yield* invalidConfig(config, [{ field: "scheme", message }])
          }
          return before
        })

        const register = Effect.fnUntraced(function* (given: AuthConfig) {
          const config = yield* admitted(given)
          if (config.projectId !== (yield* CurrentProject))
            return yield* fault(config.id, `it is registered for the project ${config.projectId}, on behalf of another`)
          const before = yield* check(config)
          const now = yield* Clock.currentTimeMillis
          const text = yield* Effect.orDie(Schema.encodeEffect(AuthConfigJson)(config))
          yield* store.putAuthConfig({
            id: config.id,
            projectId: config.projectId,
            sealed: yield* vault.seal(authConfigContext(config), text),
            updatedAt: now
          })
          const ref = { projectId: config.projectId, authConfigId: config.id }
          cache.delete(keyOf(ref))
          registrations++
          // Accounts that failed with the previous config are due at once.
          if (!Option.exists(before, (previous) => Equal.equals(previous, config)))
            yield* store.resume({ config: ref, now })
        })

        const load: AuthConfigs["Service"]["load"] = Effect.fnUntraced(function* (wanted: AuthConfigRef) {
          const { authConfigId: id } = wanted
          const key = keyOf(wanted)
          const now = yield* monotonicMillis
          const before = registrations
          const cached = cache.get(key)
          if (cached !== undefined && cached.until > now) return cached.config
          const stored = yield* store.findAuthConfig(wanted)
          if (Option.isNone(stored)) return yield* fault(id, "it is not registered")
          const config = yield* vault.open(authConfigContext(stored.value), stored.value.sealed).pipe(
            Effect.flatMap(Schema.decodeEffect(AuthConfigJson)),
            Effect.mapError((error) => fault(id, error._tag === "VaultError" ? error.message : "it does not decode"))
          )
          // A registration in the meantime may have replaced what was read.
          if (before === registrations) cache.set(key, { config, until: now + Duration.toMillis(cacheFor) })
          return config
        })

        return AuthConfigs.of({ register, load })
      })
    )
}
