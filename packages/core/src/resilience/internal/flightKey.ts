/**
 * Who may share one refresh: callers for whom the answer is the same, whoever of them asked.
 *
 * @module
 */
import type { Fiber } from "effect"
import type { ConnectedAccountId } from "../../ConnectedAccount.ts"
import { CurrentProject, defaultProject, type RefreshOptions } from "../../ConnectedAccounts.ts"

/** The account, what is asked for, and the project on whose behalf. */
export const flightKey = (
  fiber: Fiber.Fiber<unknown, unknown>,
  id: ConnectedAccountId,
  options: RefreshOptions | undefined
): string => {
  const project = fiber.getRef(CurrentProject)
  const { idempotencyKey, redirectUrl, tokenRefused = false, validateCredentials = false } = options ?? {}
  // Most calls ask for nothing in particular.
  return project === defaultProject &&
    !validateCredentials &&
    !tokenRefused &&
    redirectUrl === undefined &&
    idempotencyKey === undefined
    ? id
    : JSON.stringify([id, project, validateCredentials, tokenRefused, redirectUrl, idempotencyKey])
}
