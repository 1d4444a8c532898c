/**
 * What the three servers beside this file have in common: the profile of a user at the provider, or the link that connects the account.
 * The program never holds a token.
 *
 * @module
 */
import type { AllAccounts, Engine } from "@rekindle/engine/Promise"
import type { ConsentRequired } from "@rekindle/core"

/** The id of the auth config. */
export const authConfigId = "profile"

/** The user's account, made at the first visit. */
const accountOf = async (rekindle: AllAccounts, userId: string) =>
  (await rekindle.find({ userId, authConfigId })) ?? (await rekindle.create({ userId, authConfigId }))

const isConsentRequired = (error: unknown): error is ConsentRequired =>
  error instanceof Error && "_tag" in error && error._tag === "ConsentRequired"

/** Answers with the profile, or with 409 and the link. `signal` ends the wait if the browser has left. */
export const profile = async (engine: Engine, api: string, user: string, signal: AbortSignal): Promise<Response> => {
  const rekindle = engine.with({ signal })
  const { id } = await accountOf(rekindle, user)
  try {
    return Response.json(await (await rekindle.fetchAs(id)(api)).json())
  } catch (error) {
    if (isConsentRequired(error)) return Response.json({ connect: error.redirectUrl }, { status: 409 })
    throw error
  }
}
