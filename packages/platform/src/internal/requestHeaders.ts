/**
 * The request headers that are Rekindle's own. They are apart from the contract because the client needs them and not the rest: it
 * would double the client's weight in a browser.
 *
 * @module
 */

/** Request header: how many milliseconds the caller still waits. Relative, so that the two clocks need not agree. */
export const timeoutHeader = "x-rekindle-timeout-ms"

/** Request header: `true` if a third party refused the access token in use. */
export const tokenRefusedHeader = "x-rekindle-token-refused"

/** Request header: repeats of a request under one key get the first one's answer. */
export const idempotencyKeyHeader = "idempotency-key"
