/**
 * The mailer at work, against a real authorization server and a mail API that accepts its tokens.
 *
 * @module
 */
import { ConsentCallback } from "@rekindle/platform"
import { Effect, Layer, Schedule } from "effect"
import { HttpServer } from "effect/http"
import assert from "node:assert/strict"
import { AuthorizationServer } from "../support/AuthorizationServer.ts"
import { MailServer } from "../support/MailServer.ts"
import { consent } from "../support/Person.ts"
import { freePort } from "../support/serve.ts"
import { step } from "../support/Step.ts"
import { app } from "./app.ts"
import { authConfigId, MailApi } from "./Mailer.ts"
import { Notices } from "./Reconnect.ts"
/** A mailer that is running, and what its users see of it. */
const running = Effect.gen(function* () {
  const provider = yield* AuthorizationServer
  const mails = yield* MailServer
  const url = HttpServer.formatAddress((yield* HttpServer.HttpServer).address)

  const ask = (path: string, user: string, init?: RequestInit) =>
    Effect.promise(() =>
      fetch(url + path, {
        ...init,
        redirect: "manual",
        headers: { "x-user": user, "content-type": "application/json" }
      })
    )
  const send = (user: string) =>
    Effect.flatMap(
      ask("/send", user, {
        method: "POST",
        body: JSON.stringify({ to: "grace@example.com", subject: "Grüße", text: "Hello Grace" })
      }),
      (response) => Effect.promise(async () => ({ status: response.status, body: await response.json() }))
    )
  const connect = Effect.fnUntraced(function* (user: string, person = user) {
    const { headers } = yield* ask("/connect", user)
    const [cookie = ""] = (headers.get("set-cookie") ?? "").split(";")
    return yield* consent(headers.get("location") ?? "", person, cookie)
  })
  return { ask, connect, mails, provider, send, url }
})

const story = Effect.gen(function* () {
  const { ask, connect, mails, provider, send } = yield* running
  const notices = yield* Notices

  yield* step(
    "ada has not connected her mailbox: the mailer says so, and where",
    Effect.gen(function* () {
      assert.deepEqual(yield* send("ada"), {
        status: 409,
        body: { error: "the mailbox has to be connected", connect: "/connect" }
      })
    })
  )
  yield* step(
    "another browser cannot complete her consent; hers can, and the mail goes out from her mailbox",
    Effect.gen(function* () {
      const { headers } = yield* ask("/connect", "ada")
      const stolen = yield* consent(headers.get("location") ?? "", "mallory")
      assert.equal(stolen.status, 400)
      assert.match((yield* connect("ada")).text, /Connected/)
      assert.deepEqual(yield* send("ada"), { status: 200, body: { id: "mail-1" } })
      assert.deepEqual(
        mails.sent().map(({ from }) => from),
        ["ada"]
      )
    })
  )
  yield* step(
    "the provider invalidates the access token: ten mails go out, on one refresh",
    Effect.gen(function* () {
      yield* provider.forgetAccessTokens
      const before = provider.spent()
      const ten = yield* Effect.replicateEffect(send("ada"), 10, { concurrency: "unbounded" })
      assert.ok(ten.every(({ status }) => status === 200))
      assert.equal(provider.spent() - before, 1)
    })
  )
  yield* step(
    "ada withdraws her consent at the provider: no mail goes out, and she is asked to reconnect",
    Effect.gen(function* () {
      yield* provider.revoke("ada")
      yield* provider.forgetAccessTokens
      assert.equal((yield* send("ada")).status, 409)
      assert.equal(mails.sent().length, 11)
      const told = yield* Effect.repeat(notices.all, {
        until: ({ length }) => length > 0,
        schedule: Schedule.spaced("50 millis")
      })
      assert.deepEqual(told, [{ userId: "ada", works: false }])
    })
  )
  yield* step(
    "she connects it again, and disconnects it for good",
    Effect.gen(function* () {
      yield* connect("ada")
      assert.equal((yield* send("ada")).status, 200)
      assert.equal((yield* ask("/disconnect", "ada", { method: "POST" })).status, 204)
      assert.equal((yield* send("ada")).status, 409)
    })
  )
})

const Surroundings = Layer.unwrap(
  Effect.map(HttpServer.HttpServer, ({ address }) =>
    MailServer.layer.pipe(
      Layer.provideMerge(AuthorizationServer.layer(HttpServer.formatAddress(address) + ConsentCallback.path))
    )
  )
)

const Application = Layer.unwrap(
  Effect.gen(function* () {
    const provider = yield* AuthorizationServer
    const { origin } = yield* MailServer
    const url = HttpServer.formatAddress((yield* HttpServer.HttpServer).address)
    const config = provider.authConfig({ id: authConfigId, toolkit: "mail", apiHosts: [origin] })
    // Real providers and APIs have public addresses; these are on this machine.
    return Layer.provide(app(config, url, { egress: { privateHosts: ["*"] } }), Layer.succeed(MailApi, origin))
  })
)

export const example = story.pipe(
  Effect.provide(
    Application.pipe(Layer.provideMerge(Surroundings), Layer.provideMerge([Notices.layerMemory, freePort]))
  )
)
