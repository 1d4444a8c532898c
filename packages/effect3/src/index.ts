/**
 * Rekindle for applications on Effect 3. The engine, which needs Node, is a module of its own: `@rekindle/effect3/RekindleEngine`.
 *
 * @module
 */
export * from "./AuthConfig.ts"
export * from "./ConnectedAccount.ts"
export { ConnectedAccounts, type RefreshOptions } from "./ConnectedAccounts.ts"
export * from "./Connections.ts"
export * from "./ConsentCallback.ts"
export { CurrentProject } from "./CurrentProject.ts"
export * from "./Errors.ts"
export * as RekindleClient from "./RekindleClient.ts"
export { withRefresh, type WithRefreshOptions } from "./WithRefresh.ts"
