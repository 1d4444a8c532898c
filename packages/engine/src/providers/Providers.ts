/**
 * Providers, ready to be registered: the behaviour of their tokens, their endpoints, and their deviations from the RFC. Each fact has its source
 * beside it. For what a provider does not document, the cautious value is used.
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
 * Replace a fact that differs for your application when you register it: `profile: { rotation: "none" }`. Parameters and headers are added to
 * the provider's: `settings: { authorizationParameters: { hd: "example.com" } }`. To define another provider, use {@link make};
 * `docs/adding-a-provider.md` shows how.
 *
 * @module
 */
export type { ApiKeyProvider, ApiKeyRegistration } from "./ApiKeyProvider.ts"
export {
  type About,
  type Changes,
  type Definition,
  make,
  type Provider,
  type ProviderSettings,
  type Registration
} from "./Provider.ts"
export * from "./anthropic.ts"
export * from "./atlassian.ts"
export * from "./box.ts"
export * from "./calendly.ts"
export * from "./discord.ts"
export * from "./dropbox.ts"
export * from "./entra.ts"
export * from "./exactOnline.ts"
export * from "./githubApp.ts"
export * from "./githubOAuthApp.ts"
export * from "./google.ts"
export * from "./hubspot.ts"
export * from "./linear.ts"
export * from "./linkedin.ts"
export * from "./notion.ts"
export * from "./openai.ts"
export * from "./quickbooks.ts"
export * from "./ringcentral.ts"
export * from "./salesforce.ts"
export * from "./sendgrid.ts"
export * from "./shopify.ts"
export * from "./slack.ts"
export * from "./spotify.ts"
export * from "./stripe.ts"
export * from "./x.ts"
export * from "./xero.ts"
export * from "./zendesk.ts"
export * from "./zoom.ts"
