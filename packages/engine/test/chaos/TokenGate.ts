/**
 * A token endpoint in front of another one. It can kill the sender of a request before the answer.
 *
 * @module
 */
import { Effect, type Scope } from "effect"
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from "node:http"
import { text } from "node:stream/consumers"
import { listen } from "../support/listen.ts"

/** The endpoint behind the gate. */
export type Upstream = (
  body: string,
  headers: IncomingHttpHeaders
) => Promise<{ readonly status: number; readonly contentType: string; readonly body: string }>

/** The fate of a request. */
export interface Ambush {
  /** Kills the sender. */
  readonly strike: () => void
  /** Whether the endpoint carries the request out all the same. */
  readonly carriedOut: boolean
}

export interface TokenGate {
  /** Host and port. */
  readonly host: string
  readonly url: string
  /** Waits for the first request that spends this refresh token. */
  readonly lieInWait: (refreshToken: string, ambush: Ambush) => void
  /** The fates of the requests that spent this refresh token. */
  readonly history: (refreshToken: string) => ReadonlyArray<Fate>
}

/** The fate of a request: dropped, carried out and answered, or carried out after its sender was killed. */
export type Fate = "dropped" | "answered" | "answer lost"

/** Opens a gate. It closes with the scope. */
export const make = Effect.fnUntraced(function* (upstream: Upstream): Effect.fn.Return<TokenGate, never, Scope.Scope> {
  const ambushes = new Map<string, Ambush>()
  const fates = new Map<string, Array<Fate>>()

  const pass = async (request: IncomingMessage, response: ServerResponse) => {
    const body = await text(request)
    const refreshToken = new URLSearchParams(body).get("refresh_token") ?? ""
    const ambush = ambushes.get(refreshToken)
    ambushes.delete(refreshToken)
    const history = fates.get(refreshToken) ?? []
    fates.set(refreshToken, history)
    ambush?.strike()
    if (ambush?.carriedOut === false) {
      history.push("dropped")
      return void response.destroy()
    }
    const answer = await upstream(body, request.headers)
    history.push(ambush !== undefined || request.socket.destroyed ? "answer lost" : "answered")
    if (ambush !== undefined) return void response.destroy()
    response.writeHead(answer.status, { "content-type": answer.contentType }).end(answer.body)
  }

  const { host, http, origin } = yield* listen
  http.on("request", (request, response) => {
    pass(request, response).catch((error: unknown) => {
      console.error("token gate", error)
      response.destroy()
    })
  })
  return {
    host,
    url: `${origin}/token`,
    lieInWait: (refreshToken, ambush) => void ambushes.set(refreshToken, ambush),
    history: (refreshToken) => fates.get(refreshToken) ?? []
  }
})

/** A token endpoint at an address. */
export const forwardTo =
  (url: string): Upstream =>
  async (body, headers) => {
    const response = await fetch(url, {
      method: "POST",
      body,
      headers: {
        "content-type": headers["content-type"] ?? "",
        accept: headers["accept"] ?? "*/*",
        ...(headers["authorization"] === undefined ? {} : { authorization: headers["authorization"] })
      }
    })
    return {
      status: response.status,
      contentType: response.headers.get("content-type") ?? "",
      body: await response.text()
    }
  }
