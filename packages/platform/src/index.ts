/**
 * The refresh endpoint over HTTP: its contract, a client layer that provides `ConnectedAccounts`, and server routes that expose it.
 *
 * @module
 */
export * from "./ApiAudit.ts"
export * from "./ApiKeys.ts"
export * from "./ConnectLinks.ts"
export * as ConsentCallback from "./ConsentCallback.ts"
export * as RekindleApi from "./RekindleApi.ts"
export * as RekindleServer from "./RekindleServer.ts"
export * as RekindleClient from "./RekindleClient.ts"
export * from "./Toolkits.ts"
export * as WebhookEvents from "./WebhookEvents.ts"
export * from "./WebhookSubscriptions.ts"
