/**
 * Reads the settings of an auth config. Each scheme has a schema of its own for them; this file has what those schemas share.
 *
 * Settings are read twice. {@link checkSettings} is strict and runs when a config is registered. {@link decodeSettings} runs when a config is
 * used; it ignores unknown settings, because an earlier version may have accepted them.
 *
 * @module
 */
import { type AuthConfig, Expected } from "@rekindle/core"
import { Effect, Schema, type SchemaIssue, SchemaTransformation } from "effect"
import { type AuthConfigError, invalidConfig } from "../account/AuthConfig.ts"
import { type Observation, refused } from "../answer/Verdict.ts"
import type { Addresses } from "./AuthStrategy.ts"

/**
 * An absolute http(s) url without credentials, in the form of RFC 3986. Url parsers also accept other forms, such as `https:/host` and
 * `https:\\host`, and each repairs them in its own way.
 */
export const Address = Schema.String.check(
  Schema.makeFilter((value) => {
    const url = /^https?:\/\/[^/\\\s][^\s\\]*$/i.test(value) ? URL.parse(value) : null
    const usable = url !== null && url.username === "" && url.password === ""
    return usable || "Expected an absolute http(s) url without credentials in it"
  })
)

/** An address, parsed once. Everything after this works on its parts. */
export const Url = Address.pipe(Schema.decodeTo(Schema.URL, SchemaTransformation.urlFromString))

/** The addresses in settings, each with the name of its setting. */
export const addressesOf = (settings: object): Addresses =>
  Object.entries(settings).flatMap(([field, value]) => (value instanceof URL ? [{ field, url: value }] : []))

const settingsMistakes = (issue: SchemaIssue.Issue, known?: ReadonlyArray<string>) =>
  Expected.mistakes(issue, known).map(({ field, message }) => ({ field: `settings.${field}`, message }))

/** Reports every mistake in a scheme's settings. An unknown setting is a mistake. */
export const checkSettings = <S extends Schema.ConstraintDecoder<unknown> & { readonly fields: Schema.Struct.Fields }>(
  schema: S
) => {
  const decode = Schema.decodeUnknownEffect(schema)
  const known = Object.keys(schema.fields)
  return (config: AuthConfig): Effect.Effect<S["Type"], AuthConfigError> =>
    decode(config.settings, { errors: "all", onExcessProperty: "error" }).pipe(
      Effect.mapError(({ issue }) => invalidConfig(config, settingsMistakes(issue, known)))
    )
}

/** Decodes a scheme's settings, once for each auth config object. */
export const decodeSettings = <S extends Schema.ConstraintDecoder<unknown>>(schema: S) => {
  const decode = Schema.decodeUnknownEffect(schema)
  const known = new WeakMap<AuthConfig, S["Type"]>()
  return (config: AuthConfig): Effect.Effect<S["Type"], AuthConfigError> => {
    const settings = known.get(config)
    if (settings !== undefined) return Effect.succeed(settings)
    return decode(config.settings).pipe(
      Effect.mapError(({ issue }) => invalidConfig(config, settingsMistakes(issue))),
      Effect.tap((settings) => Effect.sync(() => known.set(config, settings)))
    )
  }
}

/** Reports a faulty auth config as an observation: nothing was sent, and nothing will be until the config is changed. */
export const refuseFaultyConfig = <R>(
  send: Effect.Effect<Observation, AuthConfigError, R>
): Effect.Effect<Observation, never, R> =>
  Effect.catchTag(send, "AuthConfigError", ({ message }) => Effect.succeed(refused(message)))
