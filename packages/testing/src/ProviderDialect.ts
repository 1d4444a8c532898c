/**
 * How a provider words its token answers. These providers deviate from RFC 6749 §5.
 *
 * A dialect is two functions, so a test can define its own.
 *
 * @module
 */
import type { Schema } from "effect"

/** Issued tokens, before they are worded. */
export interface Granted {
  readonly accessToken: string
  /** Undefined if the old refresh token stays in use. */
  readonly refreshToken: string | undefined
  /** Seconds. */
  readonly expiresIn: number
}

/** Why a request is refused: a code of RFC 6749 §5.2, and the reason in words. */
export interface Refused {
  readonly code: "invalid_grant" | "invalid_client" | "invalid_request" | "unsupported_grant_type"
  readonly why: string
}

/** An answer: its status and the fields of its body. */
export interface Worded {
  readonly status: number
  /** Undefined: the body is empty. */
  readonly fields: Readonly<Record<string, Schema.Json>> | undefined
}

/** How one provider words its answers. */
export interface Dialect {
  readonly granted: (tokens: Granted) => Worded
  readonly refused: (refusal: Refused) => Worded
}

/** The answers of RFC 6749 §5.1 and §5.2. */
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

/** GitHub Apps: every refusal has the status 200, and a dead token has its own code. */
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

/** Slack with token rotation: `ok` tells success from failure, and the status is always 200. */
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

/** HubSpot: the body states a dead token in `status`, and has no `error`. */
export const hubspot: Dialect = {
  granted: rfc6749.granted,
  refused: ({ code, why }) => ({
    status: code === "invalid_client" ? 401 : 400,
    fields: { status: code === "invalid_grant" ? "BAD_REFRESH_TOKEN" : code.toUpperCase(), message: why }
  })
}

/** Box: a replayed token may be answered with 409 and an empty body. */
export const box: Dialect = {
  granted: rfc6749.granted,
  refused: (refusal) => (refusal.why === "replayed" ? { status: 409, fields: undefined } : rfc6749.refused(refusal))
}
