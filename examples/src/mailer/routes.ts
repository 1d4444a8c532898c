/**
 * The mailer over HTTP. A proxy in front of it has authenticated the user, and names the user in the header `x-user`.
 *
 * | route              | what it does                                                                          |
 * | ------------------ | ------------------------------------------------------------------------------------- |
 * | `GET /connect`     | redirects the browser to the provider, to connect the mailbox                          |
 * | `POST /send`       | sends a mail: 200 with its id; 409 with `connect` if the mailbox has to be connected   |
 * | `POST /disconnect` | withdraws the grant at the provider and erases the account                             |
 *
 * @module
 */
import { ConsentCallback } from "@rekindle/platform"
import { Effect, Layer, Schema } from "effect"
import { SecureRandom } from "effect/crypto"
import { HttpRouter, HttpServerRequest, HttpServerResponse } from "effect/http"
import { Mail, type MailInDoubt, Mailer, type MailNotSent } from "./Mailer.ts"

/** The cookie that binds a consent to the browser that began it. */
const sessionCookie = "mailbox_session"

const userId = Effect.map(
  HttpServerRequest.schemaHeaders(Schema.Struct({ "x-user": Schema.NonEmptyString })),
  (headers) => headers["x-user"]
)

const json = (status: number, body: Schema.Json, headers: Readonly<Record<string, string>> = {}) =>
  HttpServerResponse.jsonUnsafe(body, { status, headers })

const connect = Effect.gen(function* () {
  const user = yield* userId
  const session = yield* (yield* SecureRandom.SecureRandom).uuidV4()
  const url = yield* (yield* Mailer).connect(user, session)
  return HttpServerResponse.redirect(url, { headers: { "cache-control": "no-store" } }).pipe(
    HttpServerResponse.setCookieUnsafe(sessionCookie, session, {
      httpOnly: true,
      // The provider sends the browser back by a link from another site.
      sameSite: "lax",
      path: ConsentCallback.path,
      maxAge: "10 minutes"
    })
  )
})

const send = Effect.gen(function* () {
  const user = yield* userId
  const mail = yield* HttpServerRequest.schemaBodyJson(Mail)
  return json(200, { id: yield* (yield* Mailer).send(user, mail) })
})

const disconnect = Effect.gen(function* () {
  yield* (yield* Mailer).disconnect(yield* userId)
  return HttpServerResponse.empty({ status: 204 })
})

/** Every failure has its answer. */
const answered = Effect.catchTags({
  SchemaError: () => Effect.succeed(json(400, { error: "the request is not understood" })),
  HttpServerError: () => Effect.succeed(json(400, { error: "the request cannot be read" })),
  MailboxNotConnected: () =>
    Effect.succeed(json(409, { error: "the mailbox has to be connected", connect: "/connect" })),
  MailNotSent: ({ later, reason }: MailNotSent) =>
    Effect.succeed(later ? json(503, { error: reason }, { "retry-after": "30" }) : json(502, { error: reason })),
  MailInDoubt: ({ reason }: MailInDoubt) =>
    Effect.succeed(json(504, { error: `${reason}; the mail may have been sent` }))
})

/** The routes of the mailer, and the address to which the provider sends the browser back. */
export const routes = HttpRouter.addAll([
  HttpRouter.route("GET", "/connect", answered(connect)),
  HttpRouter.route("POST", "/send", answered(send)),
  HttpRouter.route("POST", "/disconnect", answered(disconnect))
]).pipe(
  Layer.merge(ConsentCallback.routes),
  Layer.provide(Layer.succeed(ConsentCallback.ConsentSession, ({ cookies }) => cookies[sessionCookie]))
)
