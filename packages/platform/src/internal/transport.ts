/**
 * Converts a failed connection into an error of the client. Core's `ConnectionFailure` decides whether the request may have been sent.
 *
 * @module
 */
import { TransportError, ConnectionFailure } from "@rekindle/core"
import type { HttpClientError } from "effect/http"

const resetCodes = new Set(["ECONNRESET", "EPIPE", "ECONNABORTED", "UND_ERR_SOCKET", "ConnectionClosed"])

const notBuilt = (suffix = "") =>
  new TransportError({ message: `The request could not be built${suffix}`, reason: "encode" })

/** The error for a failed connection. Its message does not quote the underlying one, which may contain a header. */
export const transportErrorOf = ({ reason }: HttpClientError.HttpClientError): TransportError => {
  if (reason._tag === "EncodeError" || reason._tag === "InvalidUrlError") return notBuilt()
  const { code, neverSent, stage } = ConnectionFailure.fromCause(reason.cause)
  const suffix = code === undefined ? "" : ` (${code})`
  // After a response has begun, the request was sent, whatever the cause looks like.
  if (reason._tag === "TransportError" && neverSent) {
    return stage === "build"
      ? notBuilt(suffix)
      : new TransportError({
          message: `The server could not be reached${suffix}`,
          reason: "connect"
        })
  }
  return new TransportError({
    message: `The connection failed before a whole answer arrived${suffix}`,
    reason: code !== undefined && resetCodes.has(code) ? "reset" : "unknown"
  })
}
