/**
 * A provider on a port of this machine whose refresh tokens work once, and a directory for an engine's files.
 *
 * @module
 */
import type { AuthConfig } from "@rekindle/effect3"
import { Effect, Redacted } from "effect"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { listen } from "./server.ts"

/** Starts a provider, which is there until the scope closes. */
export const provider = Effect.gen(function* () {
  let current = 0
  let requests = 0
  let isDead = false
  let held: Array<() => void> | undefined
  let arrived = () => {}

  const origin = yield* listen(async (request, response) => {
    let body = ""
    for await (const chunk of request) body += chunk
    requests++
    const form = new URLSearchParams(body)
    const isLive = form.get("grant_type") === "authorization_code" || form.get("refresh_token") === `rt-${current}`
    const tokens = () => ({
      access_token: `at-${++current}`,
      refresh_token: `rt-${current}`,
      token_type: "Bearer",
      expires_in: 3600
    })
    const [status, answer] = isLive && !isDead ? [200, tokens()] : [400, { error: "invalid_grant" }]
    const send = () => response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(answer))
    if (held === undefined) send()
    else held.push(send)
    arrived()
  })
  const { host } = new URL(origin)
  const config: AuthConfig = {
    id: "mail",
    toolkit: "mail",
    scheme: "OAUTH2",
    profile: { name: "mail", rotation: "single-use", accessTokenTtl: "1 hour", margin: "1 minute" },
    hosts: [host],
    apiHosts: [`http://${host}`],
    settings: { clientId: "id", tokenEndpoint: `${origin}/token`, authorizationEndpoint: `${origin}/authorize` },
    secrets: { client_secret: Redacted.make("secret-hunter2") }
  }

  return {
    config,
    origin,
    /** How many token requests have arrived. */
    requests: () => requests,
    /** Revokes every grant. */
    kill: () => {
      isDead = true
    },
    /** Honours grants again. */
    revive: () => {
      isDead = false
    },
    /** Holds answers back. The request is applied. */
    hold: () => {
      held = []
    },
    /** Sends the answers that are held back. */
    release: () => {
      for (const send of held ?? []) send()
      held = undefined
    },
    /** Waits until a number of token requests has arrived. */
    awaitRequests: (count: number) =>
      Effect.async<void>((resume) => {
        arrived = () => {
          if (requests >= count) resume(Effect.void)
        }
        arrived()
      })
  }
})

/** A directory that goes when the scope closes. */
export const directory = Effect.acquireRelease(
  Effect.promise(() => mkdtemp(join(tmpdir(), "rekindle-effect3-"))),
  (folder) => Effect.promise(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }))
)
