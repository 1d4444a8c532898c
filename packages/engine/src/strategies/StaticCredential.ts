/**
 * API_KEY, BEARER_TOKEN and BASIC: credentials that a person enters once and that are never renewed. They can only be validated, with a
 * harmless request to an address in the settings.
 *
 * @module
 */
import { Connections, type KnownAuthScheme } from "@rekindle/core"
import { Effect, Record, Redacted, Schema } from "effect"
import type { AuthStrategy, Connection } from "./AuthStrategy.ts"
import * as Credential from "../account/Credential.ts"
import { Egress } from "../egress/Egress.ts"
import { decideValidity, type Validity } from "../answer/Validity.ts"
import { addressesOf, checkSettings as settingsCheck, decodeSettings, Url } from "./settings.ts"

/** Settings of an auth config with a static credential. */
export const StaticSettings = Schema.Struct({
  /** The address of a harmless request that shows whether the credential works. Without it the credential cannot be validated. */
  probeUrl: Schema.optionalKey(Url),
  /** The header that carries an API key. Default `authorization`. */
  keyHeader: Schema.optionalKey(Schema.String),
  /** Text before the key in that header, such as `Token `. */
  keyPrefix: Schema.optionalKey(Schema.String),
  /** The query parameter that carries the key instead of a header. */
  keyParameter: Schema.optionalKey(Schema.String),
  /** Further headers of the probe, such as a version. */
  probeHeaders: Schema.optionalKey(Schema.Record(Schema.String, Schema.String)),
  /** Statuses besides 401 that mean a wrong credential, such as 403 at a provider that answers so for an unknown key. */
  rejectedStatuses: Schema.optionalKey(Schema.Array(Schema.Int))
})
export type StaticSettings = typeof StaticSettings.Type

const settingsOf = decodeSettings(StaticSettings)
const checkSettings = settingsCheck(StaticSettings)

const defaultKeyHeader = "authorization"

const make = (scheme: KnownAuthScheme, account: Credential.SecretNames, inUse: NonNullable<AuthStrategy["inUse"]>) =>
  Effect.gen(function* () {
    const egress = yield* Egress

    const probe = Effect.fnUntraced(function* (connection: Connection): Effect.fn.Return<Validity> {
      const { config } = connection
      const settings = yield* Effect.orDie(settingsOf(config))
      const credential = yield* Effect.orDie(inUse(connection, undefined))
      const { headers, parameters } = (credential && Connections.present(credential)) ?? { headers: {}, parameters: {} }
      const url = new URL(settings.probeUrl ?? "")
      for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, Redacted.value(value))
      const seen = yield* egress.send(config.hosts, {
        url,
        headers: { ...settings.probeHeaders, ...Record.map(headers, Redacted.value) }
      })
      return decideValidity(seen, settings.rejectedStatuses)
    })

    const strategy: AuthStrategy = {
      scheme,
      secrets: { account, config: { forms: {} } },
      check: (config) => Effect.map(checkSettings(config), addressesOf),
      inUse,
      validate: (connection) =>
        typeof connection.config.settings["probeUrl"] === "string" ? probe(connection) : undefined
    }
    return strategy
  })

/** API_KEY: the secret `api_key`, in a header or query parameter of the provider's choice. */
export const apiKey = make(
  "API_KEY",
  { forms: { api_key: "header" }, needs: [["api_key"]] },
  ({ config, credential }) =>
    Effect.map(settingsOf(config), ({ keyHeader = defaultKeyHeader, keyParameter, keyPrefix = "" }) => {
      const key = credential.secrets["api_key"]
      const placement =
        keyParameter === undefined
          ? ({ in: "header", name: keyHeader, prefix: keyPrefix } as const)
          : ({ in: "query", name: keyParameter } as const)
      return key === undefined ? undefined : { _tag: "ApiKey", key, placement }
    })
)

/** BEARER_TOKEN: the secret `token` (RFC 6750 §2.1). */
export const bearerToken = make(
  "BEARER_TOKEN",
  { forms: { token: "header" }, needs: [["token"]] },
  ({ credential }, expiresAt) => {
    const token = credential.secrets["token"]
    return Effect.succeed(
      token === undefined ? undefined : { _tag: "AccessToken", token, tokenType: "Bearer", expiresAt }
    )
  }
)

/** BASIC: the secrets `username` and `password` (RFC 7617). */
export const basic = make(
  "BASIC",
  { forms: { username: "password", password: "password" }, needs: [["username"]] },
  ({ credential }) =>
    Effect.succeed({
      _tag: "Basic",
      username: Credential.secret(credential, "username") ?? "",
      password: credential.secrets["password"] ?? Redacted.make("", { label: "password" })
    })
)
