/**
 * The stored form of an auth config, and the error for a config that cannot be used.
 *
 * @module
 */
import { AuthConfig, Expected } from "@rekindle/core"
import { Effect, Schema } from "effect"
import type { SealContext } from "../vault/CredentialVault.ts"

/** The form that is sealed and stored. */
export const AuthConfigJson = Schema.fromJsonString(AuthConfig)

/** The context that an auth config is sealed in. */
export const authConfigContext = ({ id, projectId }: Pick<AuthConfig, "id" | "projectId">): SealContext => ({
  purpose: "auth-config",
  projectId,
  owner: id
})

/**
 * The auth config cannot be used, for the reason in `reason`. No account was changed. Correct the config and register it again. No message
 * repeats a value of the config.
 */
export class AuthConfigError extends Schema.TaggedError<AuthConfigError>("@rekindle/engine/AuthConfigError")(
  "AuthConfigError",
  {
    message: Schema.String,
    authConfigId: Schema.String,
    reason: Schema.Literals([
      /** The config has mistakes. */
      "invalid",
      /** The project has no auth config with that id. */
      "not-registered",
      /** The stored config cannot be opened with the present keys, or does not decode. */
      "unreadable",
      /** The config is disabled. */
      "disabled"
    ]).pipe(Schema.withConstructorDefault(Effect.succeed("invalid" as const))),
    /** If `reason` is `invalid`: the fields to correct, such as `settings.tokenEndpoint`. */
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
