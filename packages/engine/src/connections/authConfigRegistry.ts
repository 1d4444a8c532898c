/**
 * The auth configs of the current project, as the registry of `@rekindle/core`.
 *
 * @module
 */
import {
  type AuthConfigRegistry,
  CurrentProject,
  Expected,
  InvalidRequest,
  type RegisteredAuthConfig
} from "@rekindle/core"
import { DateTime, Effect, Option, Schema, Struct } from "effect"
import type { AuthConfigError } from "../account/AuthConfig.ts"
import type { AuthConfigRef, StoreError } from "../account/AccountStore.ts"
import { configFailure, storeDown } from "../renewal/renewal.ts"
import type { AuthConfigs, KeptAuthConfig } from "../strategies/AuthConfigs.ts"
import { makePaging } from "./paging.ts"

const paging = makePaging(Schema.Struct({ id: Schema.String }))

/** The public form of an auth config. The secrets are left out. */
const shown = ({ config, createdAt, isDisabled, updatedAt }: KeptAuthConfig): RegisteredAuthConfig => ({
  ...Struct.omit(config, ["projectId", "secrets"]),
  secretNames: Object.keys(config.secrets),
  isDisabled,
  createdAt: DateTime.makeUnsafe(createdAt),
  updatedAt: DateTime.makeUnsafe(updatedAt)
})

/** The error for a call about an auth config. An unknown id and an invalid config are mistakes of the request. */
export const requestFailure = (error: AuthConfigError | StoreError) => {
  if (error._tag === "AuthConfigError") {
    if (error.reason === "not-registered")
      return new InvalidRequest({ message: error.message, slug: "auth_config_not_found" })
    if (error.reason === "invalid") {
      const errors = error.mistakes.map(Expected.line)
      return new InvalidRequest({
        message: error.message,
        slug: "invalid_auth_config",
        ...(errors.length === 0 ? {} : { errors })
      })
    }
  }
  return configFailure(error)
}

/** Makes the registry. */
export const makeAuthConfigRegistry = (configs: AuthConfigs["Service"]): AuthConfigRegistry => {
  const named = <A>(id: string, use: (ref: AuthConfigRef) => Effect.Effect<A, AuthConfigError | StoreError>) =>
    Effect.flatMap(CurrentProject, (projectId) => Effect.mapError(use({ projectId, authConfigId: id }), requestFailure))
  return {
    register: (config) => Effect.mapBoth(configs.register(config), { onFailure: requestFailure, onSuccess: shown }),
    get: (id) =>
      named(id, (ref) =>
        configs.find(ref).pipe(
          Effect.asSome,
          Effect.catchIf(
            (error) => error._tag === "AuthConfigError" && error.reason === "not-registered",
            () => Effect.succeedNone
          ),
          Effect.map(Option.map(shown))
        )
      ),
    list: Effect.fnUntraced(function* ({ cursor, limit, ...filter } = {}) {
      const page = yield* paging.read({ cursor, limit })
      const projectId = yield* CurrentProject
      const { items, next } = yield* Effect.mapError(configs.list({ ...filter, projectId, ...page }), storeDown)
      return { items: items.map(shown), nextCursor: paging.cursorOf(next) }
    }),
    count: (filter = {}) =>
      Effect.flatMap(CurrentProject, (projectId) =>
        Effect.mapError(configs.count({ ...filter, projectId }), storeDown)
      ),
    update: (id, changes) =>
      Effect.map(
        named(id, (ref) => configs.update(ref, changes)),
        shown
      ),
    enable: (id) => named(id, (ref) => configs.setDisabled(ref, false)),
    disable: (id) => named(id, (ref) => configs.setDisabled(ref, true)),
    remove: (id) =>
      Effect.flatMap(
        named(id, (ref) => configs.remove(ref)),
        (removed) =>
          removed
            ? Effect.void
            : Effect.fail(
                new InvalidRequest({
                  message: `auth config ${id} has accounts`,
                  slug: "auth_config_in_use",
                  suggestedFix: "remove them first, or disable the auth config"
                })
              )
      )
  }
}
