/**
 * What a soak run is told of its accounts, on both ways: webhooks, as they arrive, and the events that the service lists. In the end both have
 * to tell the same.
 *
 * @module
 */
import { Effect, Schema } from "effect"
import type { IncomingMessage, ServerResponse } from "node:http"
import { text } from "node:stream/consumers"
import { Webhook } from "standardwebhooks"
import { listen } from "../../engine/test/support/listen.ts"

const Message = Schema.fromJsonString(
  Schema.Struct({
    id: Schema.String,
    type: Schema.String,
    metadata: Schema.Struct({ sequence: Schema.Int }),
    data: Schema.Struct({ id: Schema.String })
  })
)
const decode = Schema.decodeUnknownSync(Message)

/** Starts an endpoint. It refuses one delivery in `refuseOneIn`, which is then repeated before any later one. */
export const receiver = Effect.fnUntraced(function* (refuseOneIn: number) {
  const { host, http, origin } = yield* listen
  let verifiers: ReadonlyArray<Webhook> = []
  const ids = new Map<number, string>()
  const problems: Array<string> = []
  let arrived = 0
  let repeated = 0
  let latest = 0

  const receive = (body: string, headers: Record<string, string>): boolean => {
    const signed = verifiers.some((verifier) => {
      try {
        verifier.verify(body, headers)
        return true
      } catch {
        return false
      }
    })
    if (!signed) {
      problems.push(`a webhook is not signed with a secret of its subscription`)
      return false
    }
    const {
      id,
      metadata: { sequence }
    } = decode(body)
    if (id !== headers["webhook-id"]) problems.push(`webhook ${sequence} has two ids`)
    const known = ids.get(sequence)
    if (known === undefined && sequence < latest) problems.push(`webhook ${sequence} came after ${latest}`)
    if (known !== undefined && known !== id) problems.push(`webhook ${sequence} was repeated with another id`)
    if (known !== undefined) repeated++
    ids.set(sequence, id)
    latest = sequence
    return ++arrived % refuseOneIn !== 0
  }
  const answer = async (request: IncomingMessage, response: ServerResponse) => {
    const headers = Object.fromEntries(Object.entries(request.headers).map(([name, value]) => [name, String(value)]))
    response.writeHead(receive(await text(request), headers) ? 204 : 503).end()
  }
  http.on("request", (request, response) => {
    answer(request, response).catch((error: unknown) => {
      // Its sender was killed while it sent.
      if (!request.socket.destroyed) problems.push(`a webhook of another form: ${String(error)}`)
      response.destroy()
    })
  })
  return {
    host,
    url: `${origin}/hook`,
    /** Accepts what is signed with one of these. */
    trust: (secrets: ReadonlyArray<string>) => {
      verifiers = secrets.map((secret) => new Webhook(secret))
    },
    /** The sequences that arrived. */
    sequences: (): ReadonlySet<number> => new Set(ids.keys()),
    count: () => ids.size,
    repeated: () => repeated,
    problems: (): ReadonlyArray<string> => problems
  }
})

/** An event as the service lists it. */
export interface Event {
  readonly sequence: number
  readonly connected_account_id: string
  readonly type: string
}

/** Collects the listed events. */
export const journal = () => {
  const sequences = new Set<number>()
  /** How often each account was renewed, and how often it expired. */
  const renewals = new Map<string, number>()
  const expired = new Map<string, number>()
  const problems: Array<string> = []
  let after = 0
  return {
    after: () => after,
    add: (events: ReadonlyArray<Event>) => {
      for (const { connected_account_id: id, sequence, type } of events) {
        if (sequence <= after) problems.push(`event ${sequence} was listed after ${after}`)
        after = sequence
        sequences.add(sequence)
        if (type === "renewed") renewals.set(id, (renewals.get(id) ?? 0) + 1)
        if (type === "expired") expired.set(id, (expired.get(id) ?? 0) + 1)
      }
    },
    sequences: (): ReadonlySet<number> => sequences,
    renewals: (id: string): number => renewals.get(id) ?? 0,
    expired: (id: string): number => expired.get(id) ?? 0,
    problems: (): ReadonlyArray<string> => problems
  }
}
