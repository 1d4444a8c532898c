/**
 * Registers auth configs, each for one project, and hands them out opened. A config is checked when it is registered: its scheme has a
 * strategy, its settings decode, and every address in them is on a host it declares.
 *
 * @module
 */
import { CurrentProject, KnownAuthScheme } from "@rekindle/core"
import { Clock, Context, Duration, Effect, Layer, Option, Schema } from "effect"
import { AccountStore, type AuthConfigRef, type StoreError } from "../account/AccountStore.ts"
import { type AuthConfig, authConfigContext, AuthConfigError, AuthConfigJson } from "../account/AuthConfig.ts"
import { AuthStrategies } from "./AuthStrategy.ts"
import { CredentialVault } from "../vault/CredentialVault.ts"
import { monotonicMillis } from "../egress/timeLimit.ts"

const isKnownScheme = Schema.is(KnownAuthScheme)

/** A change made by another process is seen after at most this long. */
const cacheFor = Duration.seconds(10)

/** Registers and loads auth configs. */
export class AuthConfigs extends Context.Service<
  AuthConfigs,
  {
    /** Adds a config of the current project, or replaces the project's with the same id. On a mistake nothing is changed. */
    readonly register: (config: AuthConfig) => Effect.Effect<void, AuthConfigError | StoreError>
    readonly load: (config: AuthConfigRef) => Effect.Effect<AuthConfig, AuthConfigError | StoreError>
  }
>()("@rekindle/engine/AuthConfigs") {
  static readonly layer: Layer.Layer<AuthConfigs, never, AccountStore | AuthStrategies | CredentialVault> =
    Layer.effect(
      AuthConfigs,
      Effect.gen(function* () {
        const store = yield* AccountStore
        const strategies = yield* AuthStrategies
        const vault = yield* CredentialVault
        const cache = new Map<string, { readonly config: AuthConfig; readonly until: number }>()
        let registrations = 0

        const fault = (id: string, message: string) =>
          new AuthConfigError({ authConfigId: id, message: `auth config ${id}: ${message}` })

        const keyOf = ({ authConfigId, projectId }: AuthConfigRef) => `${projectId}/${authConfigId}`

        const register = Effect.fnUntraced(function* (config: AuthConfig) {
          if (config.projectId !== (yield* CurrentProject))
            return yield* fault(config.id, `it is registered for the project ${config.projectId}, on behalf of another`)
          const strategy = strategies.get(config.scheme)
          if (strategy !== undefined) yield* strategy.check(config)
          // A scheme of the contract without a strategy (NO_AUTH) has nothing to check and nothing to refresh; any other is a mistake.
          else if (!isKnownScheme(config.scheme))
            return yield* fault(config.id, `no strategy for the scheme ${config.scheme}`)
          const stray = addresses(config.settings).find((url) => !config.hosts.includes(url.host))
          if (stray !== undefined) return yield* fault(config.id, `${stray.host} is not among its hosts`)
          const text = yield* Effect.orDie(Schema.encodeEffect(AuthConfigJson)(config))
          yield* store.putAuthConfig({
            id: config.id,
            projectId: config.projectId,
            sealed: yield* vault.seal(authConfigContext(config), text),
            updatedAt: yield* Clock.currentTimeMillis
          })
          cache.delete(keyOf({ projectId: config.projectId, authConfigId: config.id }))
          registrations++
        })

        const load = Effect.fnUntraced(function* (wanted: AuthConfigRef) {
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
          // What was read before a registration may be what it replaced.
          if (before === registrations) cache.set(key, { config, until: now + Duration.toMillis(cacheFor) })
          return config
        })

        return AuthConfigs.of({ register, load })
      })
    )
}

/** Settings whose urls are names and not addresses: nothing is sent there. */
const namesOnly = new Set(["scopes", "tokenParameters", "authorizationParameters"])

/** Every http(s) address anywhere in the settings. */
const addresses = (value: Schema.Json): ReadonlyArray<URL> => {
  if (typeof value === "string") {
    const url = /^https?:\/\//i.test(value) ? URL.parse(value) : null
    return url === null ? [] : [url]
  }
  return value !== null && typeof value === "object"
    ? Object.entries(value).flatMap(([name, inner]) => (namesOnly.has(name) ? [] : addresses(inner)))
    : []
}
