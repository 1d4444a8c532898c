/**
 * Which callers may share one refresh: those who would get the same answer.
 *
 * @module
 */
import type { Fiber } from "effect"
import type { ConnectedAccountId } from "../../ConnectedAccount.ts"
import { CurrentProject, defaultProject, type RefreshOptions } from "../../ConnectedAccounts.ts"

/** The account, the options that change the answer, and the project. */
export const flightKey = (
  fiber: Fiber.Fiber<unknown, unknown>,
  id: ConnectedAccountId,
  options: RefreshOptions | undefined
): string => {
  const project = fiber.getRef(CurrentProject)
  const { idempotencyKey, redirectUrl, tokenRefused = false, validateCredentials = false } = options ?? {}
  // Most calls have no options.
  return project === defaultProject &&
    !validateCredentials &&
    !tokenRefused &&
    redirectUrl === undefined &&
    idempotencyKey === undefined
    ? id
    : JSON.stringify([id, project, validateCredentials, tokenRefused, redirectUrl, idempotencyKey])
}
