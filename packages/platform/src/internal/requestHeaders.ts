/**
 * Rekindle's own request headers. The client needs them and not the contract, which would double its size in a browser.
 *
 * @module
 */

/** Request header: how many milliseconds the caller still waits. It is relative, so that the clocks need not agree. */
export const timeoutHeader = "x-rekindle-timeout-ms"

/** Request header: `true` if a third party refused the access token in use. */
export const tokenRefusedHeader = "x-rekindle-token-refused"

/** Request header: repeats of a request with the same key get the answer of the first one. */
export const idempotencyKeyHeader = "idempotency-key"
