/**
 * How accounts of one toolkit connect: scheme, endpoints, the application's own secrets, and the provider's token behaviour. Many
 * accounts share one auth config; a fault in it is never held against them.
 *
 * @module
 */
import { Effect, Schema } from "effect"
import { AuthScheme } from "./ConnectedAccount.ts"
import { CurrentProject } from "./ConnectedAccounts.ts"
import * as Expected from "./Expected.ts"
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
