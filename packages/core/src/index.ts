/**
 * The services, schemas, outcomes, errors and policies of Rekindle.
 *
 * Services, schemas and errors are exported by name. Functions are exported in a namespace.
 *
 * @module
 */
export { AuthConfig } from "./AuthConfig.ts"
export * from "./ConnectedAccount.ts"
export { ConnectedAccounts, CurrentProject, type RefreshOptions } from "./ConnectedAccounts.ts"
export {
  type AccountChanges,
  type AccountFilter,
  type AuthConfigChanges,
  type AuthConfigFilter,
  type AuthConfigListOptions,
  type AuthConfigRegistry,
  type Authorization,
  type AuthorizeError,
  type ConnectionEvent,
  ConnectionEventType,
  Connections,
  type ConnectionsError,
  type CredentialInUse,
  EventsMissed,
  type EventsOptions,
  type Link,
  type LinkOptions,
  type ListOptions,
  type NewAccount,
  type Page,
  type PageOptions,
  type RegisteredAuthConfig,
  type RequestToAuthorize,
  type RevokeOptions,
  type Withdrawn
} from "./Connections.ts"
export * as ConnectionFailure from "./ConnectionFailure.ts"
export {
  ConsentCallback,
  ConsentCallbackError,
  type ConsentFailure,
  ConsentFailureReason,
  type ConsentResult
} from "./ConsentCallback.ts"
export * as Expected from "./Expected.ts"
export * as Failures from "./Failures.ts"
export * as MonotonicClock from "./MonotonicClock.ts"
export { AnswerMatcher, ProviderProfile, Rotation } from "./ProviderProfile.ts"
export {
  AccountNotFound,
  ClientError,
  DeadlineExceeded,
  Disposition,
  ErrorEnvelope,
  Forbidden,
  InvalidRequest,
  RateLimited,
  ReadError,
  RefreshError,
  RefreshFailed,
  RefreshUnsupported,
  RefusedLocally,
  StatusError,
  TransportError,
  Unauthorized,
  Unavailable,
  UnexpectedResponse
} from "./RefreshError.ts"
export * from "./RefreshOutcome.ts"
export { ConnectionNotReady, ConsentExpired, ConsentRequired } from "./resilience/Consent.ts"
export * as Resilience from "./resilience/Resilience.ts"
