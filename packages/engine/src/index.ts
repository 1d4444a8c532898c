/**
 * The engine that keeps connected accounts alive.
 *
 * Services, schemas, errors and types are exported by name. Functions are exported in a namespace, or in a module of their own such as
 * `@rekindle/engine/Account`.
 *
 * @module
 */
export {
  type Account,
  AttemptResult,
  type Intent,
  type Lease,
  OutboxEventType,
  type StatusEvent,
  StatusReason,
  type Transition,
  Withdrawal
} from "./account/Account.ts"
export * from "./account/AccountStore.ts"
export { AuthConfigError, AuthConfigJson } from "./account/AuthConfig.ts"
export * from "./strategies/AuthConfigs.ts"
export {
  type Addresses,
  AuthStrategies,
  type AuthStrategy,
  type Connection,
  type ConsentPage,
  ConsentError,
  type Validity
} from "./strategies/AuthStrategy.ts"
export { Consent, type ConsentOptions, type StartedConsent, type StartOptions } from "./consent/Consent.ts"
export * as Credential from "./account/Credential.ts"
export { CredentialVault, type SealContext, Sealed, VaultError, type VaultKey } from "./vault/CredentialVault.ts"
export * from "./egress/Egress.ts"
export * as Engine from "./Engine.ts"
export {
  type DiskFile,
  type DiskLock,
  Journal,
  type JournalDisk,
  type JournalEntry,
  JournalError,
  type JournalOptions,
  type JournalRecord
} from "./renewal/Journal.ts"
export * as KeyRotation from "./store/KeyRotation.ts"
export * as Providers from "./providers/Providers.ts"
export * from "./renewal/RefreshCoordinator.ts"
export { Renewer, type RenewerOptions, type RenewerProgress } from "./renewal/Renewer.ts"
export * as SqlAccountStore from "./store/SqlAccountStore.ts"
export * as SqliteClient from "./store/SqliteClient.ts"
export * as BasicWithJwt from "./strategies/BasicWithJwt.ts"
export * as GoogleServiceAccount from "./strategies/GoogleServiceAccount.ts"
export * as OAuth1 from "./strategies/OAuth1.ts"
export * as OAuth2 from "./strategies/OAuth2.ts"
export * as S2SOAuth2 from "./strategies/S2SOAuth2.ts"
export * as StaticCredential from "./strategies/StaticCredential.ts"
export * from "./renewal/TokenCommit.ts"
export * as TokenResponse from "./answer/TokenResponse.ts"
export type { Revocation } from "./answer/Revocation.ts"
export * as Verdict from "./answer/Verdict.ts"
