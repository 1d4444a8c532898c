/**
 * Next.js: route handlers. A module of the application opens the engine once, and each route file exports a handler:
 *
 * - `app/api/v3/callback/route.ts`: `export const { GET } = callbackRoute(rekindle)`
 * - `app/profile/[user]/route.ts`: `export const { GET } = profileRoute(rekindle, api)`
 *
 * @module
 */
import type { Engine } from "@rekindle/engine/Promise"
import { handler } from "@rekindle/platform/Promise"
import { profile } from "./profile.ts"

export const callbackRoute = (rekindle: Engine) => ({ GET: handler(rekindle) })

export const profileRoute = (rekindle: Engine, api: string) => ({
  GET: async (request: Request, { params }: { readonly params: Promise<{ readonly user: string }> }) =>
    profile(rekindle, api, (await params).user, request.signal)
})
