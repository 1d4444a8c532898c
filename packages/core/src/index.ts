/**
 * Schemas, outcomes, errors and the service that everything else provides, requires or decorates.
 *
 * @module
 */
export * from "./ConnectedAccount.ts"
export * from "./ConnectedAccounts.ts"
export * from "./ConnectionFailure.ts"
export * as Expected from "./Expected.ts"
export { failures, type Slug } from "./failures.ts"
export * from "./RefreshError.ts"
export * from "./RefreshOutcome.ts"
export * as Resilience from "./resilience/Resilience.ts"
