/**
 * A failed connection as an error of the client: what it says about a request that must not be sent twice is core's `ConnectionFailure`.
 *
 * @module
 */
import { TransportError, ConnectionFailure } from "@rekindle/core"
import type { HttpClientError } from "effect/http"

const resetCodes = new Set(["ECONNRESET", "EPIPE", "ECONNABORTED", "UND_ERR_SOCKET", "ConnectionClosed"])

const notBuilt = (suffix = "") =>
  new TransportError({ message: `The request could not be built${suffix}`, reason: "encode" })

/** What a connection's failure means for the request. The message never quotes the underlying one, which may quote a header. */
export const transportErrorOf = ({ reason }: HttpClientError.HttpClientError): TransportError => {
  if (reason._tag === "EncodeError" || reason._tag === "InvalidUrlError") return notBuilt()
  const { code, neverSent, stage } = ConnectionFailure.fromCause(reason.cause)
  const suffix = code === undefined ? "" : ` (${code})`
  // Once there is a response, whatever its cause looks like, the request had been sent.
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
