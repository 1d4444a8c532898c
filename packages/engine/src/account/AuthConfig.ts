/**
 * How the engine keeps an auth config, and how it says what is wrong with one.
 *
 * @module
 */
import { AuthConfig, Expected } from "@rekindle/core"
import { Effect, Schema } from "effect"
import type { SealContext } from "../vault/CredentialVault.ts"

/** The form that is sealed and stored. */
export const AuthConfigJson = Schema.fromJsonString(AuthConfig)

/** Where an auth config is sealed. */
export const authConfigContext = ({ id, projectId }: Pick<AuthConfig, "id" | "projectId">): SealContext => ({
  purpose: "auth-config",
  projectId,
  owner: id
})

/** The auth config cannot be used; `reason` says why. Mend it and register it again; no account was touched. No message repeats a value. */
export class AuthConfigError extends Schema.TaggedError<AuthConfigError>("@rekindle/engine/AuthConfigError")(
  "AuthConfigError",
  {
    message: Schema.String,
    authConfigId: Schema.String,
    reason: Schema.Literals([
      /** The config has mistakes. */
      "invalid",
      /** The project has none of that id. */
      "not-registered",
      /** What is stored cannot be opened with the keys at hand, or does not decode. */
      "unreadable",
      /** It is switched off. */
      "disabled"
    ]).pipe(Schema.withConstructorDefault(Effect.succeed("invalid" as const))),
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
