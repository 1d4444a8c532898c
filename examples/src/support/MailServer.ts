/**
 * Somebody else's mail API, in Gmail's form. It accepts the access tokens of the authorization server, and keeps the mails that it was given.
 *
 * @module
 */
import { Context, Effect, Layer } from "effect"
import { AuthorizationServer } from "./AuthorizationServer.ts"
import { listen } from "./listen.ts"

/** A mail that was sent. */
export interface SentMail {
  /** Whose mailbox it was sent from, as the authorization server knows the person. */
  readonly from: string
  readonly message: string
}

/** A running mail API. */
export class MailServer extends Context.Service<
  MailServer,
  {
    /** Where it listens. */
    readonly origin: string
    readonly sent: () => ReadonlyArray<SentMail>
  }
>()("examples/MailServer") {
  static readonly layer = Layer.effect(
    MailServer,
    Effect.gen(function* () {
      const provider = yield* AuthorizationServer
      const { http, origin } = yield* listen
      const sent: Array<SentMail> = []
      http.on("request", (request, response) => {
        const answer = async () => {
          const chunks: Array<Buffer> = []
          for await (const chunk of request) chunks.push(Buffer.from(chunk))
          const { authorization = "" } = request.headers
          const person = await fetch(`${provider.origin}/me`, { headers: { authorization } })
          if (!person.ok) return response.writeHead(401).end()
          const { sub } = await person.json()
          const { raw } = JSON.parse(Buffer.concat(chunks).toString())
          sent.push({ from: sub, message: Buffer.from(raw, "base64url").toString() })
          return response
            .writeHead(200, { "content-type": "application/json" })
            .end(JSON.stringify({ id: `mail-${sent.length}` }))
        }
        answer().catch(() => response.writeHead(400).end())
      })
      return MailServer.of({ origin, sent: () => sent })
    })
  )
}
