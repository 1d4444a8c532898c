/**
 * The catalogue of the services that accounts connect to, and what an application has to enter to register one: the endpoints `toolkits`, and
 * the creation of an auth config by its credentials alone.
 *
 * It is a service, because the catalogue belongs to the engine, and an application may have one of its own.
 *
 * @module
 */
import type { AuthConfig, AuthConfigChanges, AuthScheme, InvalidRequest, RegisteredAuthConfig } from "@rekindle/core"
import { Context, type DateTime, type Effect, type Option, type Schema } from "effect"

/** A field of a form. */
export interface ToolkitField {
  readonly name: string
  /** The name for people. */
  readonly title: string
  readonly description: string
  readonly isRequired: boolean
  readonly isSecret: boolean
}

/** How accounts of a toolkit may authenticate. */
export interface ToolkitScheme {
  readonly scheme: AuthScheme
  /** What an auth config takes: names of {@link NewAuthConfig}'s `credentials`. */
  readonly configFields: ReadonlyArray<ToolkitField>
  /** What an account takes: published names of its credential. */
  readonly accountFields: ReadonlyArray<ToolkitField>
}

/** A service that accounts connect to. */
export interface Toolkit {
  readonly slug: string
  /** The name for people. */
  readonly name: string
  readonly description: string
  /** When its facts were last compared with their sources. */
  readonly checkedAt: DateTime.Utc
  readonly schemes: ReadonlyArray<ToolkitScheme>
}

/** The credentials of an application at a provider: `client_id`, `client_secret`, `scopes`, and settings of the scheme. */
export type ToolkitCredentials = Readonly<Record<string, Schema.Json>>

/** An auth config to make from credentials. */
export interface NewAuthConfig {
  readonly id: string
  /** The slug of a toolkit. One that the catalogue does not have takes every setting from the credentials. */
  readonly toolkit: string
  readonly scheme: AuthScheme
  readonly name?: string | undefined
  readonly credentials: ToolkitCredentials
}

/** The catalogue of toolkits. */
export class Toolkits extends Context.Service<
  Toolkits,
  {
    /** All toolkits, in the order of their slugs. */
    readonly list: Effect.Effect<ReadonlyArray<Toolkit>>
    readonly get: (slug: string) => Effect.Effect<Option.Option<Toolkit>>
    /** The auth config that the credentials describe, ready to be registered. Fails with `InvalidRequest` that names each wrong field. */
    readonly authConfig: (config: NewAuthConfig) => Effect.Effect<AuthConfig, InvalidRequest>
    /** What changes at a registered config if these credentials are entered for it. */
    readonly changes: (
      config: RegisteredAuthConfig,
      credentials: ToolkitCredentials
    ) => Effect.Effect<AuthConfigChanges, InvalidRequest>
  }
>()("@rekindle/platform/Toolkits") {}
