/**
 * Resilience policies for a call that must not be sent twice.
 *
 * General libraries repeat a POST blindly. These policies obey the disposition of each failure. A policy is a value that decorates
 * `ConnectedAccounts`. {@link compose} orders policies, {@link layer} applies them to a provider, and {@link standard} is the pipeline for most
 * programs. {@link withRefresh} and {@link awaitActive} are the two loops that every application needs.
 *
 * @module
 */
export { mayPass, retryAfterOf } from "../RefreshError.ts"
export { attemptTimeout } from "./AttemptTimeout.ts"
export { awaitActive, type AwaitActiveOptions } from "./AwaitActive.ts"
export { bulkhead, type BulkheadOptions } from "./Bulkhead.ts"
export { circuitBreaker, type CircuitBreakerOptions, health } from "./CircuitBreaker.ts"
export { coalesce, type CoalesceOptions } from "./Coalesce.ts"
export { ConnectionNotReady, ConsentExpired, ConsentRequired } from "./Consent.ts"
export { deadline } from "./Deadline.ts"
export { EventBus, Events, layerEvents, type PolicyEvent } from "./Events.ts"
export { fallback, type FallbackOptions } from "./Fallback.ts"
export { idempotencyKey } from "./IdempotencyKey.ts"
export { keepsDeadlines } from "./internal/keepsDeadlines.ts"
export { type Limit, type Limiter, makeLimiter } from "./internal/Limiter.ts"
export * as Metrics from "./Metrics.ts"
export { type Accounts, compose, type Description, layer, type Policy, policy } from "./Policy.ts"
export { rateLimit, type RateLimitOptions } from "./RateLimit.ts"
export { reconcile, type ReconcileOptions } from "./Reconcile.ts"
export { type Reconfigurable, reconfigurable } from "./Reconfigurable.ts"
export { nextStep, retry, type RetryOptions } from "./Retry.ts"
export { layerRetryBudget, RetryBudget, type RetryBudgetOptions, SharedRetryBudget } from "./RetryBudget.ts"
export { Settings } from "./Settings.ts"
export { standard, type StandardOptions } from "./Standard.ts"
export { telemetry } from "./Telemetry.ts"
export { withRefresh, type WithRefreshOptions } from "./WithRefresh.ts"
