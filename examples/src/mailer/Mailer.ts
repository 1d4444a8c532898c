/**
 * Sends mail from the mailbox that a user has connected. It finds the user's account, and never holds a token.
 *
 * @module
 */
import { type ConnectedAccounts, type ConnectionNotReady, Connections, type ConnectionsError } from "@rekindle/core"
import { Context, Effect, Layer, Option, Schema } from "effect"
import { Base64, Base64Url } from "effect/encoding"
import { HttpClient, HttpClientRequest, HttpClientResponse } from "effect/http"

/** The id of the auth config of the mailboxes. */
export const authConfigId = "mailbox"

/** The mail API. */
export const MailApi = Context.Reference<string>("examples/mailer/MailApi", {
  defaultValue: () => "https://gmail.googleapis.com"
})

// A line break in a header field would begin another field.
const HeaderText = Schema.String.check(
  Schema.isPattern(/^[^\p{Cc}]*$/u, { message: "no control characters" }),
  Schema.isMinLength(1),
  Schema.isMaxLength(900)
)

/** A mail to send. */
export const Mail = Schema.Struct({ to: HeaderText, subject: HeaderText, text: Schema.String })
export type Mail = typeof Mail.Type

/** The user has to connect the mailbox: it was never connected, or its grant is dead. */
export class MailboxNotConnected extends Schema.TaggedError<MailboxNotConnected>("examples/mailer/MailboxNotConnected")(
  "MailboxNotConnected",
  { userId: Schema.String }
) {}

/** The mail was not sent. With `later`, the same mail may be sent again after a while. */
export class MailNotSent extends Schema.TaggedError<MailNotSent>("examples/mailer/MailNotSent")("MailNotSent", {
  reason: Schema.String,
  later: Schema.Boolean
}) {}

/** Nobody knows whether the mail was sent. Sending it again could send it twice. */
export class MailInDoubt extends Schema.TaggedError<MailInDoubt>("examples/mailer/MailInDoubt")("MailInDoubt", {
  reason: Schema.String
}) {}

/** Sends mail for users. */
export class Mailer extends Context.Service<
  Mailer,
  {
    /** The link that connects the user's mailbox. Only the browser with this `session` can complete the consent. */
    readonly connect: (userId: string, session: string) => Effect.Effect<string, MailNotSent>
    /** Sends a mail, and returns its id. */
    readonly send: (
      userId: string,
      mail: Mail
    ) => Effect.Effect<string, MailboxNotConnected | MailNotSent | MailInDoubt>
    /** Withdraws the user's grant at the provider and erases the account. */
    readonly disconnect: (userId: string) => Effect.Effect<void, MailNotSent>
  }
>()("examples/mailer/Mailer") {
  static readonly layer: Layer.Layer<Mailer, never, Connections | ConnectedAccounts | HttpClient.HttpClient> =
    Layer.effect(
      Mailer,
      Effect.gen(function* () {
        const connections = yield* Connections
        const context = yield* Effect.context<Connections | ConnectedAccounts>()
        const http = yield* HttpClient.HttpClient
        const url = `${yield* MailApi}/gmail/v1/users/me/messages/send`

        const find = (userId: string) => connections.find({ userId, authConfigId })

        return Mailer.of({
          connect: Effect.fn("Mailer.connect")(function* (userId, session) {
            const found = yield* find(userId)
            // A revoked account stays revoked: the user gets a new one.
            const usable = Option.filter(found, ({ status }) => status !== "REVOKED")
            const { id } = Option.isSome(usable) ? usable.value : yield* connections.create({ authConfigId, userId })
            return (yield* connections.link(id, { session })).url
          }, Effect.mapError(notSent)),

          send: Effect.fn("Mailer.send")(function* (userId, mail) {
            const found = yield* Effect.mapError(find(userId), notSent)
            if (Option.isNone(found)) return yield* new MailboxNotConnected({ userId })
            const mailbox = Connections.authorize(http, found.value.id)
            const request = HttpClientRequest.bodyJsonUnsafe(HttpClientRequest.post(url), { raw: messageOf(mail) })
            const response = yield* mailbox.execute(request).pipe(
              Effect.provide(context),
              Effect.mapError((error) =>
                error._tag === "ConsentRequired"
                  ? new MailboxNotConnected({ userId })
                  : error._tag === "HttpClientError"
                    ? new MailInDoubt({ reason: "the mail API did not answer" })
                    : notSent(error)
              )
            )
            if (response.status === 200) {
              const { id } = yield* HttpClientResponse.schemaBodyJson(Sent)(response).pipe(
                Effect.mapError(() => new MailInDoubt({ reason: "the mail API's answer is not understood" }))
              )
              return id
            }
            const reason = `the mail API answered ${response.status}`
            return yield* response.status >= 500
              ? new MailInDoubt({ reason })
              : new MailNotSent({ reason, later: response.status === 429 })
          }),

          disconnect: Effect.fn("Mailer.disconnect")(function* (userId) {
            const found = yield* find(userId)
            if (Option.isNone(found)) return
            const { withdrawn } = yield* connections.revoke(found.value.id)
            // Until the provider confirms it, the withdrawal is repeated, and that takes the credential.
            if (withdrawn !== "pending") yield* connections.remove(found.value.id)
          }, Effect.mapError(notSent))
        })
      })
    )
}

const Sent = Schema.Struct({ id: Schema.String })

/** Nothing was sent: there was no credential to send it with. */
const notSent = (error: ConnectionsError | ConnectionNotReady) =>
  new MailNotSent({ reason: error.message, later: error._tag === "Unavailable" || error._tag === "RateLimited" })

/** The mail as RFC 5322 has it, encoded as the API wants it. */
const messageOf = ({ subject, text, to }: Mail): string =>
  Base64Url.encode(
    [
      `To: ${to}`,
      // RFC 2047 §2
      `Subject: =?utf-8?B?${Base64.encode(subject)}?=`,
      "MIME-Version: 1.0",
      "Content-Type: text/plain; charset=utf-8",
      "Content-Transfer-Encoding: base64",
      "",
      Base64.encode(text)
    ].join("\r\n")
  )
