/**
 * Rekindle for applications on Effect 3.
 *
 * @module
 */
export * from "./ConnectedAccount.ts"
export { ConnectedAccounts, type RefreshOptions } from "./ConnectedAccounts.ts"
export { CurrentProject } from "./CurrentProject.ts"
export * from "./Errors.ts"
export * as RekindleClient from "./RekindleClient.ts"
