/**
 * The engine that keeps connected accounts alive.
 *
 * @module
 */
export * from "./Account.ts"
export * from "./AccountStore.ts"
export * from "./AuthConfig.ts"
export * from "./AuthConfigs.ts"
export * from "./AuthStrategy.ts"
export { Connections, type NewAccount } from "./Connections.ts"
export * from "./Consent.ts"
export * as Credential from "./Credential.ts"
export * from "./CredentialVault.ts"
export * from "./Egress.ts"
export * as Engine from "./Engine.ts"
export * from "./Escrow.ts"
export * as KeyRotation from "./KeyRotation.ts"
export * from "./ProviderProfile.ts"
export * as Providers from "./Providers.ts"
export * from "./RefreshCoordinator.ts"
export { Renewer, type RenewerOptions, type RenewerProgress } from "./Renewer.ts"
export * as SqlAccountStore from "./sql/SqlAccountStore.ts"
export * as SqliteClient from "./sql/SqliteClient.ts"
export * as OAuth2 from "./strategies/OAuth2.ts"
export * as StaticCredential from "./strategies/StaticCredential.ts"
export * from "./TokenCommit.ts"
export * as TokenResponse from "./TokenResponse.ts"
export * from "./Verdict.ts"
