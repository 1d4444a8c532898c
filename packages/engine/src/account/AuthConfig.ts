/**
 * How accounts of one toolkit connect: scheme, endpoints, the application's own secrets, and the provider's token behaviour. Many
 * accounts share one auth config; a fault in it is never held against them.
 *
 * @module
 */
import { AuthScheme, Expected, CurrentProject } from "@rekindle/core"
import { Effect, Schema } from "effect"
import type { SealContext } from "../vault/CredentialVault.ts"
import { ProviderProfile, strict } from "./ProviderProfile.ts"

/**
 * An auth config.
 *
 * `settings` belongs to the scheme: each strategy decodes them with its own schema when the config is registered, so a mistake is
 * found then and not at the first refresh. `secrets` holds the application's own (`client_secret`, `private_key`).
 */
export const AuthConfig = Schema.Struct({
  /** Unique in its project. */
  id: Schema.String.check(Schema.isPattern(/^[\w-]{1,64}$/, { expected: "1 to 64 letters, digits, - or _" })),
  projectId: Schema.String.pipe(Schema.withConstructorDefault(Effect.succeed(CurrentProject.defaultValue()))),
  toolkit: Schema.String,
  scheme: AuthScheme,
  profile: ProviderProfile.pipe(Schema.withConstructorDefault(Effect.succeed(strict))),
  settings: Schema.Record(Schema.String, Schema.Json).pipe(Schema.withConstructorDefault(Effect.succeed({}))),
  secrets: Schema.Record(Schema.String, Schema.RedactedFromValue(Schema.String)).pipe(
    Schema.withConstructorDefault(Effect.succeed({}))
  ),
  /** Whether a later consent may be another person's, or for another workspace, than the account's first. Default false. */
  allowAnotherIdentity: Schema.optionalKey(Schema.Boolean),
  /**
   * The hosts (with port, if not the scheme's own) that requests for this config may go to. Every endpoint in `settings` must be on one;
   * nothing else is ever contacted with its credentials.
   */
  hosts: Schema.Array(Schema.String)
}).pipe(Expected.sayExpected("AuthConfig", { unknownFields: "refused" }))
export type AuthConfig = typeof AuthConfig.Type

/** The form that is sealed and stored. */
export const AuthConfigJson = Schema.fromJsonString(AuthConfig)

/** Where an auth config is sealed. */
export const authConfigContext = ({ id, projectId }: Pick<AuthConfig, "id" | "projectId">): SealContext => ({
  purpose: "auth-config",
  projectId,
  owner: id
})

/** The auth config is not valid, or not there. Mend it and register it again; no account was touched. No message repeats a value. */
export class AuthConfigError extends Schema.TaggedError<AuthConfigError>("@rekindle/engine/AuthConfigError")(
  "AuthConfigError",
  {
    message: Schema.String,
    authConfigId: Schema.String,
    /** The fields to mend, where the config itself is at fault, such as `settings.tokenEndpoint`. */
    mistakes: Schema.Array(Schema.Struct({ field: Schema.String, message: Schema.String })).pipe(
      Schema.withConstructorDefault(Effect.succeed([]))
    )
  }
) {}

/** The error of a config with these mistakes. */
export const invalidConfig = (
  { id }: Pick<AuthConfig, "id">,
  mistakes: ReadonlyArray<Expected.Mistake>
): AuthConfigError =>
  new AuthConfigError({
    authConfigId: id,
    message: `auth config ${id}: ${mistakes.map(Expected.line).join("; ")}`,
    mistakes
  })
