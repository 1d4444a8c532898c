/**
 * Node without a framework.
 *
 * @module
 */
import type { Engine } from "@rekindle/engine/Promise"
import { callbackPath, handler } from "@rekindle/platform/Promise"
import type { IncomingMessage, ServerResponse } from "node:http"
import { profile } from "./profile.ts"

/** For `createServer`. */
export const nodeListener = (rekindle: Engine, api: string) => {
  const callback = handler(rekindle)
  const answer = async (url: URL, signal: AbortSignal): Promise<Response> => {
    if (url.pathname === callbackPath) return callback(new Request(url))
    const [, user] = /^\/profile\/([^/]+)$/.exec(url.pathname) ?? []
    return user === undefined
      ? new Response(null, { status: 404 })
      : profile(rekindle, api, decodeURIComponent(user), signal)
  }
  return async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const leaving = new AbortController()
    response.once("close", () => leaving.abort())
    try {
      const answered = await answer(new URL(request.url ?? "/", "http://localhost"), leaving.signal)
      response.writeHead(answered.status, Object.fromEntries(answered.headers)).end(await answered.bytes())
    } catch {
      response.writeHead(500).end()
    }
  }
}
