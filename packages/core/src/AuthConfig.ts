/**
 * How accounts of one toolkit connect: scheme, endpoints, the application's own secrets, and the provider's token behaviour. Many
 * accounts share one auth config. A fault of the config changes none of their statuses.
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
 * `settings` belong to the scheme. Its strategy decodes them with its own schema at registration, so a mistake is found before the first
 * refresh. `secrets` holds the application's own secrets (`client_secret`, `private_key`).
 */
export const AuthConfig = Schema.Struct({
  /** Unique in its project. */
  id: Schema.String.check(Schema.isPattern(/^[\w-]{1,64}$/, { expected: "1 to 64 letters, digits, - or _" })),
  /** The project that it belongs to. Default: the `CurrentProject`, `"default"`. */
  projectId: Schema.String.pipe(Schema.withConstructorDefault(Effect.succeed(CurrentProject.defaultValue()))),
  /** A name for people. Default: none. */
  name: Schema.optionalKey(Schema.String),
  /** The name of the service that accounts connect to, such as `gmail`. */
  toolkit: Schema.String,
  /** How its accounts authenticate, such as `OAUTH2` or `API_KEY`. */
  scheme: AuthScheme,
  /** The token behaviour of the provider. Default: the cautious profile, with single-use tokens and no reuse window. */
  profile: ProviderProfile.pipe(Schema.withConstructorDefault(Effect.succeed(strict))),
  /** The settings of the scheme, such as its endpoints. Default: none. */
  settings: Schema.Record(Schema.String, Schema.Json).pipe(Schema.withConstructorDefault(Effect.succeed({}))),
  /** The application's own secrets, such as `client_secret`. They are sealed, and cannot be read again. Default: none. */
  secrets: Schema.Record(Schema.String, Schema.RedactedFromValue(Schema.String)).pipe(
    Schema.withConstructorDefault(Effect.succeed({}))
  ),
  /** Whether a later consent may come from another person, or be for another workspace, than the account's first. Default false. */
  allowAnotherIdentity: Schema.optionalKey(Schema.Boolean),
  /**
   * The hosts that requests for this config may go to, each with its port unless it is the default. Every endpoint in `settings` must be on
   * one of them. Credentials of this config never go to another host.
   */
  hosts: Schema.Array(Schema.String),
  /**
   * The hosts of the API that requests may carry an account's credential to (`Connections.authorize`), over https. Default: `hosts`.
   *
   * - `api.example.com`, with its port if it is not 443
   * - `*.example.com`: every host below it
   * - `{instance_url}`: the host that this attribute of the account names, where each customer has one of their own
   * - `http://127.0.0.1:3000`: plain http has to be named
   */
  apiHosts: Schema.optionalKey(Schema.Array(Schema.String))
}).pipe(Expected.sayExpected("AuthConfig", { unknownFields: "refused" }))
export type AuthConfig = typeof AuthConfig.Type
