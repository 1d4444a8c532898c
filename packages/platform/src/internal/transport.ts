/**
 * What a failed connection says about a request that must not be sent twice.
 *
 * `not-sent` has to be proven: by a failure of name resolution, of the connection, or of the certificate check, each of which comes
 * before the first byte of a request. All else, a reset above all, is ambiguous. `fetch` hides what happened in a chain of causes,
 * undici says it at once, and Node collects one error for each address it tried.
 *
 * @module
 */
import { TransportError } from "@rekindle/core"
import type { HttpClientError } from "effect/http"

/** Codes that only a connection never made has: Node, undici and Bun. Others, such as ETIMEDOUT, count by their system call. */
const connectCodes = new Set([
  "ECONNREFUSED",
  "ENOTFOUND",
  "EAI_AGAIN",
  "UND_ERR_CONNECT_TIMEOUT",
  "ConnectionRefused",
  "ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE",
  "ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION",
  "ERR_SSL_UNSUPPORTED_PROTOCOL"
])

/** The certificate was refused on our side (the names OpenSSL gives its X.509 verdicts). */
const certificateCode =
  /^(?:CERT_|UNABLE_TO_|SELF_SIGNED_CERT|DEPTH_ZERO_SELF_SIGNED|HOSTNAME_MISMATCH|INVALID_CA|INVALID_PURPOSE|PATH_LENGTH_EXCEEDED|ERR_TLS_CERT_ALTNAME)/

const resetCodes = new Set(["ECONNRESET", "EPIPE", "ECONNABORTED", "UND_ERR_SOCKET", "ConnectionClosed"])

interface SystemError {
  readonly code?: unknown
  readonly syscall?: unknown
  readonly cause?: unknown
  readonly errors?: unknown
}

/** What a connection's failure means for the request. The message never quotes the underlying one, which may quote a header. */
export const transportErrorOf = ({ reason }: HttpClientError.HttpClientError): TransportError => {
  if (reason._tag === "EncodeError" || reason._tag === "InvalidUrlError") {
    return new TransportError({
      message: "The request could not be built",
      reason: "encode",
      disposition: "not-sent"
    })
  }
  const code = codeOf(reason.cause)
  const suffix = code === undefined ? "" : ` (${code})`
  // Once there is a response, whatever its cause looks like, the request had been sent.
  if (reason._tag === "TransportError") {
    if (code === "UND_ERR_INVALID_ARG") {
      return new TransportError({
        message: `The request could not be built${suffix}`,
        reason: "encode",
        disposition: "not-sent"
      })
    }
    if (neverConnected(reason.cause)) {
      return new TransportError({
        message: `The server could not be reached${suffix}`,
        reason: "connect",
        disposition: "not-sent"
      })
    }
  }
  return new TransportError({
    message: `The connection failed before a whole answer arrived${suffix}`,
    reason: code !== undefined && resetCodes.has(code) ? "reset" : "unknown",
    disposition: "ambiguous"
  })
}

const isSystemError = (cause: unknown): cause is SystemError => typeof cause === "object" && cause !== null

/** Deep enough for every wrapper there is; a cycle ends here too. */
const maxDepth = 8

const neverConnected = (cause: unknown, depth = 0): boolean => {
  if (!isSystemError(cause) || depth > maxDepth) return false
  if (typeof cause.code === "string" && (connectCodes.has(cause.code) || certificateCode.test(cause.code))) return true
  if (cause.syscall === "connect" || cause.syscall === "getaddrinfo") return true
  return Array.isArray(cause.errors) && cause.errors.length > 0
    ? cause.errors.every((each) => neverConnected(each, depth + 1))
    : neverConnected(cause.cause, depth + 1)
}

const codeOf = (cause: unknown, depth = 0): string | undefined => {
  if (!isSystemError(cause) || depth > maxDepth) return undefined
  return typeof cause.code === "string" && /^\w{1,64}$/.test(cause.code) ? cause.code : codeOf(cause.cause, depth + 1)
}
