/**
 * The same small application three times, on Hono, as Next.js routes and on Node alone. None of them is written in Effect.
 *
 * @module
 */
import { getRequestListener } from "@hono/node-server"
import { engine, type Engine } from "@rekindle/engine/Promise"
import { callbackPath } from "@rekindle/platform/Promise"
import { Effect, Layer } from "effect"
import assert from "node:assert/strict"
import type { RequestListener } from "node:http"
import { AuthorizationServer } from "../support/AuthorizationServer.ts"
import { listen } from "../support/listen.ts"
import { consent } from "../support/Person.ts"
import { step } from "../support/Step.ts"
import { honoApp } from "./hono.ts"
import { callbackRoute, profileRoute } from "./next.ts"
import { nodeListener } from "./node.ts"
import { authConfigId } from "./profile.ts"

/** Routes a request to the files of a Next.js application. */
const nextRouter = (rekindle: Engine, api: string) => {
  const callback = callbackRoute(rekindle)
  const profile = profileRoute(rekindle, api)
  return (request: Request) => {
    const { pathname } = new URL(request.url)
    return pathname === callbackPath
      ? callback.GET(request)
      : profile.GET(request, { params: Promise.resolve({ user: pathname.slice("/profile/".length) }) })
  }
}

const servers: Readonly<Record<string, (rekindle: Engine, api: string) => RequestListener>> = {
  Hono: (rekindle, api) => getRequestListener(honoApp(rekindle, api).fetch),
  "Next.js routes": (rekindle, api) => getRequestListener(nextRouter(rekindle, api)),
  Node: nodeListener
}

/** Plays one server, with its own provider and engine. */
const play = Effect.fnUntraced(function* (name: string, listener: (rekindle: Engine, api: string) => RequestListener) {
  const { http, origin } = yield* listen
  const callbackUrl = origin + callbackPath
  const {
    authConfig,
    forgetAccessTokens,
    origin: provider,
    revoke,
    spent
  } = yield* Effect.provideContext(AuthorizationServer, yield* Layer.build(AuthorizationServer.layer(callbackUrl)))
  const rekindle = yield* Effect.acquireRelease(
    Effect.promise(() => engine({ sqlite: ":memory:", callbackUrl, egress: { privateHosts: ["*"] } })),
    ({ dispose }) => Effect.promise(dispose)
  )
  yield* Effect.promise(() => rekindle.authConfigs.register(authConfig({ id: authConfigId, apiHosts: [provider] })))
  http.on("request", listener(rekindle, `${provider}/me`))
  const visit = Effect.promise(async () => {
    const response = await fetch(`${origin}/profile/ada`)
    return [response.status, await response.json()] as const
  })
  const link = Effect.map(visit, ([status, body]) => {
    assert.equal(status, 409)
    return String(body.connect)
  })

  yield* step(
    `${name}: ada follows the link, and comes back connected`,
    Effect.gen(function* () {
      assert.match((yield* consent(yield* link, "ada")).text, /Connected/)
      assert.deepEqual(yield* visit, [200, { sub: "ada" }])
    })
  )
  yield* step(
    `${name}: the provider invalidates the access token; ten visits need one refresh`,
    Effect.gen(function* () {
      yield* forgetAccessTokens
      const before = spent()
      for (const [status] of yield* Effect.replicateEffect(visit, 10, { concurrency: "unbounded" }))
        assert.equal(status, 200)
      assert.equal(spent() - before, 1)
    })
  )
  yield* step(
    `${name}: ada withdraws her consent; every visit has the link`,
    Effect.gen(function* () {
      yield* revoke("ada")
      yield* forgetAccessTokens
      yield* link
      yield* link
    })
  )
}, Effect.scoped)

export const example = Effect.forEach(Object.entries(servers), ([name, listener]) => play(name, listener))
