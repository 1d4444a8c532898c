/**
 * Doubles for the unit tests of an application on Effect 3.
 *
 * @module
 */
export * as ScriptedAccounts from "./ScriptedAccounts.ts"
export * as ScriptedConnections from "./ScriptedConnections.ts"
