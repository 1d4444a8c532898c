/**
 * Hono: the routes of an application, and the consent callback beside them.
 *
 * @module
 */
import type { Engine } from "@rekindle/engine/Promise"
import { callbackPath, handler } from "@rekindle/platform/Promise"
import { Hono } from "hono"
import { profile } from "./profile.ts"

export const honoApp = (rekindle: Engine, api: string) => {
  const callback = handler(rekindle)
  return new Hono()
    .get(callbackPath, ({ req }) => callback(req.raw))
    .get("/profile/:user", ({ req }) => profile(rekindle, api, req.param("user"), req.raw.signal))
}
