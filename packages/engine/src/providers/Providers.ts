/**
 * Providers ready to be registered: how their tokens behave, where their endpoints are, and what they want beyond the RFC. Every fact has
 * its source beside it; what a provider does not document is taken for the worse.
 *
 * ```ts
 * import * as assert from "node:assert/strict"
 * import * as Providers from "@rekindle/engine/Providers"
 *
 * const config = Providers.google.authConfig({
 *   id: "google-calendar",
 *   clientId: "1234.apps.googleusercontent.com",
 *   clientSecret: "GOCSPX-…",
 *   scopes: ["https://www.googleapis.com/auth/calendar.readonly"]
 * })
 *
 * assert.equal(config.scheme, "OAUTH2")
 * assert.ok(config.hosts.includes("oauth2.googleapis.com"))
 * ```
 *
 * A fact that differs for one application is replaced when it is registered: `profile: { rotation: "none" }`. A provider that is not here
 * is made with {@link make}.
 *
 * @module
 */
export * from "./ApiKeys.ts"
export * from "./NonRotating.ts"
export { type Definition, make, type Provider, type ProviderSettings, type Registration } from "./Provider.ts"
export * from "./Reusable.ts"
export * from "./SingleUse.ts"
