/**
 * Registers auth configs and loads them. Each belongs to one project and is stored sealed. Registration checks that the scheme has a
 * strategy, that the settings decode, and that the egress allows every address in them.
 *
 * @module
 */
import {
  type AuthConfig,
  type AuthConfigChanges,
  type AuthConfigFilter,
  Connections,
  CurrentProject,
  KnownAuthScheme,
  MonotonicClock
} from "@rekindle/core"
import { Clock, Context, Duration, Effect, Equal, Layer, Option, Result, Schema, Stream } from "effect"
import {
  AccountStore,
  type AuthConfigRef,
  type IdPlace,
  type StoredAuthConfig,
  type StoreError
} from "../account/AccountStore.ts"
import { authConfigContext, AuthConfigError, AuthConfigJson, invalidConfig } from "../account/AuthConfig.ts"
import { keepNewest } from "../account/keepNewest.ts"
import { pages } from "../account/pages.ts"
import { makeJoinedRead } from "./joinedRead.ts"
import { AuthStrategies } from "./AuthStrategy.ts"
import { CredentialVault } from "../vault/CredentialVault.ts"
import * as Credential from "../account/Credential.ts"
import { Egress } from "../egress/Egress.ts"

const isKnownScheme = Schema.is(KnownAuthScheme)

/** How long a loaded config is used. A change by another process takes effect after this time at most. */
const cacheFor = Duration.seconds(10)

/** The maximum number of opened auth configs in the cache. The one that was read longest ago is dropped first. */
const capacity = 1_000

/** How many configs are read at once to be counted by their content. */
const countedAtOnce = 500

/** An opened auth config, with the stored fields around it. */
export interface KeptAuthConfig {
  readonly config: AuthConfig
  readonly isDisabled: boolean
  /** Epoch milliseconds. */
  readonly createdAt: number
  readonly updatedAt: number
}

/** Registers and loads auth configs. */
export class AuthConfigs extends Context.Service<
  AuthConfigs,
  {
    /** Adds a config to the current project, or replaces the project's config of the same id. A faulty config changes nothing. */
    readonly register: (config: AuthConfig) => Effect.Effect<KeptAuthConfig, AuthConfigError | StoreError>
    /** Loads and opens a config, even a disabled one. Work that began before it was disabled is completed with it. */
    readonly load: (config: AuthConfigRef) => Effect.Effect<AuthConfig, AuthConfigError | StoreError>
    /** Loads a config for new work. Fails if the config is disabled. */
    readonly inService: (config: AuthConfigRef) => Effect.Effect<AuthConfig, AuthConfigError | StoreError>
    /** Reads a config from the store, without the cache. */
    readonly find: (config: AuthConfigRef) => Effect.Effect<KeptAuthConfig, AuthConfigError | StoreError>
    /** Changes a config of a project. A faulty change changes nothing. */
    readonly update: (
      config: AuthConfigRef,
      changes: AuthConfigChanges
    ) => Effect.Effect<KeptAuthConfig, AuthConfigError | StoreError>
    /** A project's configs, ordered by id. A config that cannot be opened is left out and logged. */
    readonly list: (
      query: AuthConfigFilter & {
        readonly projectId: string
        readonly after?: IdPlace | undefined
        readonly limit: number
      }
    ) => Effect.Effect<
      { readonly items: ReadonlyArray<KeptAuthConfig>; readonly next: IdPlace | undefined },
      StoreError
    >
    /** The number of a project's configs. One that cannot be opened is counted unless its content decides. */
    readonly count: (query: AuthConfigFilter & { readonly projectId: string }) => Effect.Effect<number, StoreError>
    /** Enables or disables a config. Other processes follow when their cached config expires. */
    readonly setDisabled: (
      config: AuthConfigRef,
      isDisabled: boolean
    ) => Effect.Effect<void, AuthConfigError | StoreError>
    /** Deletes a config that has no accounts. False if it has accounts. */
    readonly remove: (config: AuthConfigRef) => Effect.Effect<boolean, AuthConfigError | StoreError>
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
        const joined = makeJoinedRead<KeptAuthConfig, AuthConfigError | StoreError>()
        const cache = new Map<string, { readonly kept: KeptAuthConfig; readonly until: number }>()
        let changes = 0

        const fault = (id: string, reason: AuthConfigError["reason"], message: string) =>
          new AuthConfigError({ authConfigId: id, reason, message: `auth config ${id}: ${message}` })
        const notRegistered = ({ authConfigId }: AuthConfigRef) =>
          fault(authConfigId, "not-registered", "it is not registered")

        const keyOf = ({ authConfigId, projectId }: AuthConfigRef) => `${projectId}/${authConfigId}`

        /** The config with its secrets validated and cleaned. */
        const admitted = (config: AuthConfig) =>
          Result.match(Credential.admit(config.secrets, strategies.get(config.scheme)?.secrets?.config), {
            onFailure: (mistakes) => Effect.fail(invalidConfig(config, mistakes)),
            onSuccess: (secrets) => Effect.succeed({ ...config, secrets })
          })

        /** Finds mistakes that would otherwise show at the first refresh. */
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
        })

        /** The config that this one replaces. */
        const replacedBy = Effect.fnUntraced(function* (config: AuthConfig) {
          const ref = { projectId: config.projectId, authConfigId: config.id }
          // A stored config that cannot be read may be replaced.
          const before = yield* Effect.asSome(load(ref)).pipe(
            Effect.catchTag("AuthConfigError", () => Effect.succeedNone)
          )
          // The accounts of a config have credentials of its current scheme.
          if (Option.isSome(before) && before.value.scheme !== config.scheme) {
            const message = `it is registered with the scheme ${before.value.scheme}; another scheme needs an id of its own`
            return yield* invalidConfig(config, [{ field: "scheme", message }])
          }
          return before
        })

        const register = Effect.fnUntraced(function* (given: AuthConfig) {
          const config = yield* admitted(given)
          if (config.projectId !== (yield* CurrentProject))
            return yield* fault(
              config.id,
              "invalid",
              `it belongs to the project ${config.projectId}, on behalf of another`
            )
          yield* check(config)
          const before = yield* replacedBy(config)
          const now = yield* Clock.currentTimeMillis
          const { createdAt, disabledAt } = yield* store.putAuthConfig({
            id: config.id,
            projectId: config.projectId,
            sealed: yield* seal(config),
            updatedAt: now
          })
          return yield* replaced(before, { config, isDisabled: disabledAt !== null, createdAt, updatedAt: now })
        })

        const seal = (config: AuthConfig) =>
          Effect.flatMap(Effect.orDie(Schema.encodeEffect(AuthConfigJson)(config)), (text) =>
            vault.seal(authConfigContext(config), text)
          )

        /** Ends a replacement. Accounts that failed with the previous config are due at once. */
        const replaced = Effect.fnUntraced(function* (before: Option.Option<AuthConfig>, kept: KeptAuthConfig) {
          const { config, updatedAt } = kept
          const ref = { projectId: config.projectId, authConfigId: config.id }
          forget(ref)
          if (!Option.exists(before, (previous) => Equal.equals(previous, config)))
            yield* store.resume({ config: ref, now: updatedAt })
          return kept
        })

        const update = Effect.fnUntraced(function* (ref: AuthConfigRef, changes: AuthConfigChanges) {
          while (true) {
            const stored = yield* store.findAuthConfig(ref)
            if (Option.isNone(stored)) return yield* notRegistered(ref)
            const before = yield* open(stored.value)
            const config = yield* admitted(Connections.changed(before.config, changes))
            yield* check(config)
            const updatedAt = yield* Clock.currentTimeMillis
            const { id, projectId, sealed } = stored.value
            const write = { projectId, id, from: sealed, to: yield* seal(config), updatedAt }
            if (yield* store.writeAuthConfig(write))
              return yield* replaced(Option.some(before.config), { ...before, config, updatedAt })
          }
        })

        /** The configs after a position that a filter selects. */
        const selected = (
          { isDisabled, projectId, ...filter }: AuthConfigFilter & { readonly projectId: string },
          { after, pageSize }: { readonly after?: IdPlace | undefined; readonly pageSize: number }
        ) =>
          pages(
            (after: IdPlace | undefined) => store.listAuthConfigs({ projectId, isDisabled, after, limit: pageSize }),
            after
          ).pipe(
            Stream.flatMap(({ items }) => Stream.fromIterable(items)),
            Stream.mapEffect((stored) =>
              open(stored).pipe(
                Effect.tapError(({ message }) =>
                  Effect.logWarning("an auth config that cannot be opened is left out of a list", { message })
                ),
                Effect.option
              )
            ),
            Stream.filterMap((opened) => Result.fromOption(opened, () => undefined)),
            Stream.filter(({ config }) => Connections.selects(filter, config))
          )

        /** Drops the cached config, and a read in progress. */
        const forget = (ref: AuthConfigRef): void => {
          cache.delete(keyOf(ref))
          joined.forget(keyOf(ref))
          changes++
        }

        const open = ({ createdAt, disabledAt, id, projectId, sealed, updatedAt }: StoredAuthConfig) =>
          vault.open(authConfigContext({ id, projectId }), sealed).pipe(
            Effect.flatMap(Schema.decodeEffect(AuthConfigJson)),
            Effect.mapBoth({
              onFailure: (error) =>
                fault(id, "unreadable", error._tag === "VaultError" ? error.message : "it does not decode"),
              onSuccess: (config): KeptAuthConfig => ({
                config,
                isDisabled: disabledAt !== null,
                createdAt,
                updatedAt
              })
            })
          )

        const find = Effect.fnUntraced(function* (wanted: AuthConfigRef) {
          const stored = yield* store.findAuthConfig(wanted)
          return yield* Option.isNone(stored) ? notRegistered(wanted) : open(stored.value)
        })

        const read = Effect.fnUntraced(function* (wanted: AuthConfigRef) {
          const now = yield* MonotonicClock.millis
          const before = changes
          const kept = yield* find(wanted)
          // A change during the read may have replaced the config.
          if (before === changes)
            keepNewest(cache, keyOf(wanted), { kept, until: now + Duration.toMillis(cacheFor) }, capacity)
          return kept
        })

        const cached = Effect.fnUntraced(function* (wanted: AuthConfigRef) {
          const entry = cache.get(keyOf(wanted))
          if (entry !== undefined && entry.until > (yield* MonotonicClock.millis)) return entry.kept
          return yield* joined.read(keyOf(wanted), read(wanted))
        })

        const load = (wanted: AuthConfigRef) => Effect.map(cached(wanted), ({ config }) => config)

        return AuthConfigs.of({
          register,
          load,
          inService: (wanted) =>
            Effect.flatMap(cached(wanted), ({ config, isDisabled }) =>
              isDisabled ? Effect.fail(fault(config.id, "disabled", "it is disabled")) : Effect.succeed(config)
            ),
          find,
          update,
          list: Effect.fnUntraced(function* ({ after, limit, ...query }) {
            const found = yield* selected(query, { after, pageSize: limit + 1 }).pipe(
              Stream.take(limit + 1),
              Stream.runCollect
            )
            const items = found.slice(0, limit)
            const last = found.length > limit ? items.at(-1)?.config : undefined
            const next = last && { id: keyOf({ projectId: last.projectId, authConfigId: last.id }) }
            return { items, next }
          }),
          count: ({ isDisabled, projectId, search, toolkits }) =>
            search === undefined && toolkits === undefined
              ? store.countAuthConfigs({ projectId, isDisabled })
              : Stream.runCount(selected({ isDisabled, projectId, search, toolkits }, { pageSize: countedAtOnce })),
          setDisabled: Effect.fnUntraced(function* (ref, isDisabled) {
            const now = yield* Clock.currentTimeMillis
            const done = yield* Effect.ensuring(
              store.switchAuthConfig(ref, isDisabled ? now : null),
              Effect.sync(() => forget(ref))
            )
            if (!done) return yield* notRegistered(ref)
          }),
          remove: Effect.fnUntraced(function* (ref) {
            const end = yield* Effect.ensuring(
              store.removeAuthConfig(ref),
              Effect.sync(() => forget(ref))
            )
            return end === "absent" ? yield* notRegistered(ref) : end === "removed"
          })
        })
      })
    )
}
