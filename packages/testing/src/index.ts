/**
 * Test doubles for `ConnectedAccounts` and for the providers behind it.
 *
 * The contract suite registers vitest tests, so it is a module of its own, `@rekindle/testing/ConnectedAccountsContract`; nothing
 * reachable from here imports vitest.
 *
 * @module
 */
export * as Arbitraries from "./Arbitraries.ts"
export * as Faults from "./Faults.ts"
export * as ProviderDialect from "./ProviderDialect.ts"
export * as ScriptedAccounts from "./ScriptedAccounts.ts"
export * as ScriptedConnections from "./ScriptedConnections.ts"
export * as ScriptedProvider from "./ScriptedProvider.ts"
export * as Simulation from "./Simulation.ts"
