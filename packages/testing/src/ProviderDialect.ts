/**
 * How a provider words its token answers. RFC 6749 §5 says how; these providers do otherwise, and a client has to cope.
 *
 * A dialect is two functions, so a test can bring its own.
 *
 * @module
 */
import type { Schema } from "effect"

/** Tokens to be worded. */
export interface Granted {
  readonly accessToken: string
  /** Absent when the old one stays in use. */
  readonly refreshToken: string | undefined
  /** Seconds. */
  readonly expiresIn: number
}

/** Why a request is refused: an RFC 6749 §5.2 code, and for a token the closer reason. */
export interface Refused {
  readonly code: "invalid_grant" | "invalid_client" | "invalid_request" | "unsupported_grant_type"
  readonly why: string
}

/** A status and the fields of the body; undefined is an empty body. */
export interface Worded {
  readonly status: number
  readonly fields: Readonly<Record<string, Schema.Json>> | undefined
}

export interface Dialect {
  readonly granted: (tokens: Granted) => Worded
  readonly refused: (refusal: Refused) => Worded
}

/** By the book: RFC 6749 §5.1 and §5.2. */
export const rfc6749: Dialect = {
  granted: ({ accessToken, expiresIn, refreshToken }) => ({
    status: 200,
    fields: {
      access_token: accessToken,
      token_type: "Bearer",
      expires_in: expiresIn,
      ...(refreshToken === undefined ? {} : { refresh_token: refreshToken })
    }
  }),
  refused: ({ code, why }) => ({
    status: code === "invalid_client" ? 401 : 400,
    fields: { error: code, error_description: why }
  })
}

/** GitHub Apps: every refusal is a 200, and a dead token has a code of its own. */
export const github: Dialect = {
  granted: rfc6749.granted,
  refused: ({ code, why }) => ({
    status: 200,
    fields: {
      error:
        code === "invalid_grant"
          ? "bad_refresh_token"
          : code === "invalid_client"
            ? "incorrect_client_credentials"
            : code,
      error_description: why
    }
  })
}

/** Slack with token rotation: `ok` tells, the status does not. */
export const slack: Dialect = {
  granted: (tokens) => ({ status: 200, fields: { ok: true, ...rfc6749.granted(tokens).fields } }),
  refused: ({ code }) => ({
    status: 200,
    fields: {
      ok: false,
      error: code === "invalid_grant" ? "invalid_refresh_token" : code === "invalid_client" ? "bad_client_secret" : code
    }
  })
}

/** HubSpot: a dead token is a `status` in the body, and there is no `error`. */
export const hubspot: Dialect = {
  granted: rfc6749.granted,
  refused: ({ code, why }) => ({
    status: code === "invalid_client" ? 401 : 400,
    fields: { status: code === "invalid_grant" ? "BAD_REFRESH_TOKEN" : code.toUpperCase(), message: why }
  })
}

/** Box: sending a spent token once more may be answered by a 409 with nothing in it. */
export const box: Dialect = {
  granted: rfc6749.granted,
  refused: (refusal) => (refusal.why === "replayed" ? { status: 409, fields: undefined } : rfc6749.refused(refusal))
}
