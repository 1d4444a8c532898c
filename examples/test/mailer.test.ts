/**
 * The mailer's own unit tests: its code, and doubles instead of the engine, the provider and the mail API.
 *
 * @module
 */
import { assert, describe, it } from "@effect/vitest"
import {
  AuthConfig,
  Connections,
  ConnectedAccounts,
  type ConnectionsError,
  ConsentCallback,
  ConsentCallbackError,
  EventsMissed,
  Forbidden,
  Unavailable
} from "@rekindle/core"
import { ConsentCallback as ConsentRoutes } from "@rekindle/platform"
import { ScriptedAccounts, ScriptedConnections } from "@rekindle/testing"
import { Context, Effect, Layer, Option, Ref, Schema, Stream } from "effect"
import { SecureRandom } from "effect/crypto"
import { HttpClient, HttpClientError, HttpClientResponse, HttpRouter } from "effect/http"
import { TestClock } from "effect/testing"
import { authConfigId, Mail, Mailer } from "../src/mailer/Mailer.ts"
import * as Reconnect from "../src/mailer/Reconnect.ts"
import { routes } from "../src/mailer/routes.ts"

const mail = { to: "grace@example.com", subject: "Grüße", text: "Hello Grace" }

/** The mail API as the tests need it: it answers as told, then 200, and keeps the requests. */
class Api extends Context.Service<
  Api,
  {
    readonly answers: (...answers: ReadonlyArray<number | "reset" | "garbage">) => Effect.Effect<void>
    readonly requests: Effect.Effect<ReadonlyArray<{ readonly authorization: string; readonly message: string }>>
  }
>()("Api") {
  static readonly layer = Layer.effectContext(
    Effect.gen(function* () {
      const script = yield* Ref.make<ReadonlyArray<number | "reset" | "garbage">>([])
      const seen = yield* Ref.make<ReadonlyArray<{ readonly authorization: string; readonly message: string }>>([])
      const client = HttpClient.make((request) =>
        Effect.gen(function* () {
          const text = request.body._tag === "Uint8Array" ? new TextDecoder().decode(request.body.body) : "{}"
          const { raw } = yield* Effect.orDie(
            Schema.decodeEffect(Schema.fromJsonString(Schema.Struct({ raw: Schema.String })))(text)
          )
          const message = Buffer.from(raw, "base64url").toString()
          yield* Ref.update(seen, (all) => [...all, { authorization: request.headers["authorization"] ?? "", message }])
          const [answer = 200, ...rest] = yield* Ref.get(script)
          yield* Ref.set(script, rest)
          if (answer === "reset")
            return yield* new HttpClientError.HttpClientError({
              reason: new HttpClientError.TransportError({ request, cause: new Error("reset") })
            })
          const body = answer === "garbage" ? "<html>" : JSON.stringify({ id: "mail-1" })
          return HttpClientResponse.fromWeb(
            request,
            new Response(body, { status: answer === "garbage" ? 200 : answer })
          )
        })
      )
      return Context.make(HttpClient.HttpClient, client).pipe(
        Context.add(Api, Api.of({ answers: (...answers) => Ref.set(script, answers), requests: Ref.get(seen) }))
      )
    })
  )
}

const gmail = AuthConfig.make({
  id: authConfigId,
  toolkit: "gmail",
  scheme: "OAUTH2",
  hosts: ["oauth2.googleapis.com"],
  apiHosts: ["https://gmail.googleapis.com"]
})

const doubles = Layer.merge(ScriptedConnections.layer({ authConfigs: [gmail] }), Api.layer)
const layer = Layer.provideMerge(Mailer.layer, doubles)

/** Ada, with a connected mailbox. */
const connected = Effect.gen(function* () {
  yield* (yield* Mailer).connect("ada", "session")
  const account = Option.getOrThrow(yield* (yield* Connections).find({ userId: "ada", authConfigId }))
  yield* (yield* ScriptedConnections.ScriptedConnections).consentTo(account.id)
  return account.id
})

const send = Effect.flatMap(Mailer, (mailer) => mailer.send("ada", mail))

describe("a mail", () => {
  it.effect("from a mailbox that was never connected is not sent, and one that is connected sends it", () =>
    Effect.gen(function* () {
      const { requests } = yield* Api
      assert.deepInclude(yield* Effect.flip(send), { _tag: "MailboxNotConnected", userId: "ada" })
      assert.deepStrictEqual(yield* requests, [])
      const id = yield* connected
      assert.strictEqual(yield* send, "mail-1")
      const [request] = yield* requests
      assert.strictEqual(request?.authorization, `Bearer token-1-of-${id}`)
      assert.include(request?.message ?? "", "To: grace@example.com\r\n")
      assert.include(request?.message ?? "", `Subject: =?utf-8?B?${Buffer.from("Grüße").toString("base64")}?=\r\n`)
      assert.isTrue(request?.message.endsWith(`\r\n\r\n${Buffer.from("Hello Grace").toString("base64")}`))
    }).pipe(Effect.provide(layer))
  )

  it.effect("that the API refuses with 401 goes out with a renewed token, and is sent no third time", () =>
    Effect.gen(function* () {
      const { answers, requests } = yield* Api
      const id = yield* connected
      yield* answers(401)
      assert.strictEqual(yield* send, "mail-1")
      assert.deepStrictEqual(
        (yield* requests).map(({ authorization }) => authorization),
        [`Bearer token-1-of-${id}`, `Bearer token-2-of-${id}`]
      )
      yield* answers(401, 401)
      assert.deepInclude(yield* Effect.flip(send), { _tag: "MailNotSent", later: false })
      assert.lengthOf(yield* requests, 4)
    }).pipe(Effect.provide(layer))
  )

  it.effect("whose fate nobody knows is in doubt, and is not sent again by itself", () =>
    Effect.gen(function* () {
      const { answers, requests } = yield* Api
      yield* connected
      for (const answer of [500, 503, "reset", "garbage"] as const) {
        yield* answers(answer)
        assert.strictEqual((yield* Effect.flip(send))._tag, "MailInDoubt", String(answer))
      }
      assert.lengthOf(yield* requests, 4)
    }).pipe(Effect.provide(layer))
  )

  it.effect("that the API refuses is not sent, and says whether it may be sent later", () =>
    Effect.gen(function* () {
      const { answers } = yield* Api
      yield* connected
      yield* answers(429, 400)
      assert.deepInclude(yield* Effect.flip(send), { _tag: "MailNotSent", later: true })
      assert.deepInclude(yield* Effect.flip(send), { _tag: "MailNotSent", later: false })
    }).pipe(Effect.provide(layer))
  )

  it.effect("waits for another time while the credential cannot be had", () =>
    Effect.gen(function* () {
      const script = yield* ScriptedConnections.ScriptedConnections
      yield* connected
      const cases: ReadonlyArray<readonly [ConnectionsError, boolean]> = [
        [new Unavailable({ message: "busy" }), true],
        [new Forbidden({ message: "this key may not" }), false]
      ]
      for (const [error, later] of cases) {
        yield* script.failNext("authorization", error)
        assert.deepInclude(yield* Effect.flip(send), { _tag: "MailNotSent", reason: error.message, later })
      }
      assert.deepStrictEqual(yield* (yield* Api).requests, [])
    }).pipe(Effect.provide(layer))
  )

  it.effect("from a mailbox whose grant is dead is not sent", () =>
    Effect.gen(function* () {
      const id = yield* connected
      yield* (yield* ScriptedAccounts.ScriptedAccounts).setStatus(id, "EXPIRED", "grant_dead")
      assert.strictEqual((yield* Effect.flip(send))._tag, "MailboxNotConnected")
      assert.strictEqual((yield* Effect.flip(send))._tag, "MailboxNotConnected")
    }).pipe(Effect.provide(layer))
  )

  it("has no second header in its fields", () => {
    for (const field of ["to", "subject"]) {
      assert.isFalse(Schema.is(Mail)({ ...mail, [field]: "x\r\nBcc: mallory@example.com" }))
      assert.isFalse(Schema.is(Mail)({ ...mail, [field]: "" }))
    }
  })
})

describe("a mailbox", () => {
  it.effect("that is disconnected is erased, and can be connected anew", () =>
    Effect.gen(function* () {
      const mailer = yield* Mailer
      const { count } = yield* Connections
      const first = yield* connected
      yield* mailer.disconnect("ada")
      assert.strictEqual(yield* count(), 0)
      yield* mailer.disconnect("ada")
      assert.notStrictEqual(yield* connected, first)
    }).pipe(Effect.provide(layer))
  )

  it.effect("whose withdrawal the provider has not confirmed is kept until it has, and is out of use", () =>
    Effect.gen(function* () {
      const mailer = yield* Mailer
      const { count } = yield* Connections
      yield* connected
      yield* mailer.disconnect("ada")
      assert.strictEqual(yield* count({ statuses: ["REVOKED"] }), 1)
      assert.strictEqual((yield* Effect.flip(send))._tag, "MailNotSent")
      yield* connected
      assert.strictEqual(yield* send, "mail-1")
    }).pipe(
      Effect.provide(
        Mailer.layer.pipe(
          Layer.provideMerge(
            Layer.effect(
              Connections,
              Effect.map(Connections, (connections) => ({
                ...connections,
                revoke: (id) => Effect.as(connections.revoke(id), { withdrawn: "pending" as const, answer: "503" })
              }))
            )
          ),
          Layer.provideMerge(doubles)
        )
      )
    )
  )
})

describe("a user", () => {
  /** Runs what follows the events for a while. */
  const followed = Effect.scoped(Effect.andThen(Layer.build(Reconnect.layer), TestClock.adjust("1 minute")))

  const layer = Layer.provideMerge(Layer.merge(Mailer.layer, Reconnect.Notices.layerMemory), doubles)

  it.effect("is told once of each mailbox that stops working, and before it does, whenever the mailer runs", () =>
    Effect.gen(function* () {
      const script = yield* ScriptedConnections.ScriptedConnections
      const { all } = yield* Reconnect.Notices
      const id = yield* connected
      yield* script.announce(id, "renewed")
      yield* followed
      assert.deepStrictEqual(yield* all, [])
      yield* script.announce(id, "expiring")
      yield* followed
      yield* script.announce(id, "expired")
      yield* followed
      yield* followed
      assert.deepStrictEqual(yield* all, [
        { userId: "ada", works: true },
        { userId: "ada", works: false }
      ])
    }).pipe(Effect.provide(layer))
  )

  it.effect("who has disconnected the mailbox meanwhile is not told", () =>
    Effect.gen(function* () {
      yield* (yield* ScriptedConnections.ScriptedConnections).announce(yield* connected, "expired")
      yield* (yield* Mailer).disconnect("ada")
      yield* followed
      assert.deepStrictEqual(yield* (yield* Reconnect.Notices).all, [])
    }).pipe(Effect.provide(layer))
  )

  it.effect("is told too if the events are gone, since the accounts tell", () =>
    Effect.gen(function* () {
      const notices = yield* Reconnect.Notices
      const id = yield* connected
      yield* (yield* ScriptedAccounts.ScriptedAccounts).setStatus(id, "EXPIRED", "grant_dead")
      const missed = new EventsMissed({ message: "gone", after: 0, through: 9 })
      yield* followed.pipe(
        Effect.updateService(Connections, (connections) => ({
          ...connections,
          events: (options) => (options?.after === 9 ? Stream.never : Stream.fail(missed))
        }))
      )
      assert.deepStrictEqual(yield* notices.all, [{ userId: "ada", works: false }])
      assert.strictEqual(yield* notices.handled, 9)
    }).pipe(Effect.provide(layer))
  )

  it.effect("is told later if the accounts cannot be read now", () =>
    Effect.gen(function* () {
      const accounts = yield* ConnectedAccounts
      yield* (yield* ScriptedConnections.ScriptedConnections).announce(yield* connected, "expired")
      let fails = 3
      yield* followed.pipe(
        Effect.provideService(ConnectedAccounts, {
          ...accounts,
          get: (id) =>
            Effect.suspend(() => (fails-- > 0 ? Effect.fail(new Unavailable({ message: "down" })) : accounts.get(id)))
        })
      )
      assert.deepStrictEqual(yield* (yield* Reconnect.Notices).all, [{ userId: "ada", works: false }])
    }).pipe(Effect.provide(layer))
  )
})

describe("over HTTP", () => {
  /** The callback of a provider, for the browser with the cookie. */
  const sessions: Array<string | undefined> = []
  const callback = Layer.succeed(ConsentCallback, {
    complete: (_query, session) => {
      sessions.push(session)
      return Effect.fail(new ConsentCallbackError({ reason: "invalid", message: "not yours" }))
    }
  })

  const asking = <A>(use: (ask: (path: string, init?: RequestInit) => Promise<Response>) => Promise<A>) =>
    Effect.acquireUseRelease(
      Effect.sync(() =>
        HttpRouter.toWebHandler(
          routes.pipe(Layer.provideMerge([layer, callback, SecureRandom.layerWebCrypto, ConsentRoutes.layerRedacted])),
          { disableLogger: true }
        )
      ),
      ({ handler }) =>
        Effect.promise(() => use((path, init) => handler(new Request(`http://mailer.test${path}`, init)))),
      ({ dispose }) => Effect.promise(dispose)
    )

  const headers = { "x-user": "ada", "content-type": "application/json" }

  it.live("a browser is sent to the provider with a cookie, and only the callback gets it", () =>
    asking(async (ask) => {
      const response = await ask("/connect", { headers })
      assert.strictEqual(response.status, 302)
      assert.match(response.headers.get("location") ?? "", /^https:\/\/consent\.test\//)
      const cookie = response.headers.get("set-cookie") ?? ""
      assert.match(cookie, /HttpOnly/)
      assert.include(cookie, `Path=${ConsentRoutes.path}`)
      const [pair = ""] = cookie.split(";")
      await ask(`${ConsentRoutes.path}?state=s&code=c`, { headers: { cookie: pair } })
      assert.strictEqual(sessions.at(-1), pair.split("=")[1])
    })
  )

  it.live(
    "a mail without a mailbox is a 409 that says where to connect; what is not a mail is a 400, echoing nothing",
    () =>
      asking(async (ask) => {
        const absent = await ask("/send", { method: "POST", headers, body: JSON.stringify(mail) })
        assert.strictEqual(absent.status, 409)
        assert.deepInclude(await absent.json(), { connect: "/connect" })
        for (const body of ["nonsense", JSON.stringify({ ...mail, to: "secret\r\nBcc: all" })]) {
          const refused = await ask("/send", { method: "POST", headers, body })
          assert.strictEqual(refused.status, 400)
          assert.notInclude(await refused.text(), "secret")
        }
        assert.strictEqual((await ask("/send", { method: "POST", body: JSON.stringify(mail) })).status, 400)
      })
  )
})
