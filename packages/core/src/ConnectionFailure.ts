/**
 * Decides whether a failed connection proves that a request was never sent.
 *
 * Failures of name resolution, of connecting and of the TLS handshake are proof, because they come before the first byte of a request. After
 * any other failure, such as a reset, the request may have been carried out.
 *
 * This table is the only place that decides by error codes. A client that sees when a request starts to leave has better proof, and does not
 * need the codes.
 *
 * @module
 */

/** How far a request got before it failed. */
export interface ConnectionFailure {
  /**
   * - `build`: the request could not be built.
   * - `dns`, `connect`, `tls`: the connection failed at this step.
   * - `lost`: the request may have been sent.
   */
  readonly stage: "build" | "dns" | "connect" | "tls" | "lost"
  /** Whether the request provably never left. */
  readonly neverSent: boolean
  /** The error's code, if it has one that is safe to show. */
  readonly code: string | undefined
}

type Stage = ConnectionFailure["stage"]

/** The system call of an error decides before its code: `connect ETIMEDOUT` was never sent, `read ETIMEDOUT` may have been. */
const bySystemCall: Readonly<Record<string, Stage>> = { getaddrinfo: "dns", connect: "connect" }

const all = (stage: Stage, codes: ReadonlyArray<string>) => codes.map((code) => [code, stage] as const)

/** Codes that have no system call, and that an established connection cannot report. */
const byCode = new Map<string, Stage>([
  ...all("build", ["ERR_INVALID_URL", "ERR_INVALID_CHAR", "ERR_INVALID_HTTP_TOKEN", "UND_ERR_INVALID_ARG"]),
  ...all("dns", ["ENOTFOUND", "EAI_AGAIN", "EAI_FAIL", "EAI_NODATA", "EAI_NONAME"]),
  ...all("connect", [
    "ECONNREFUSED",
    // undici and its proxy agent
    "UND_ERR_CONNECT_TIMEOUT",
    "UND_ERR_PRX_CONN",
    "UND_ERR_PRX_TLS",
    // Bun before 1.3
    "ConnectionRefused",
    "FailedToOpenSocket"
  ]),
  ...all("tls", [
    "ERR_TLS_CERT_ALTNAME_INVALID",
    "ERR_TLS_CERT_ALTNAME_FORMAT",
    // The port has no TLS, or there is no common version: both end the handshake. An alert such as `handshake_failure` is left out, because a
    // server that asks for a certificate late sends it after the request (RFC 5246 §7.4.6).
    "ERR_SSL_WRONG_VERSION_NUMBER",
    "ERR_SSL_UNSUPPORTED_PROTOCOL",
    "ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION",
    // OpenSSL's verdicts on a certificate, as `node:tls` names them ("X509 certificate error codes")
    "CA_MD_TOO_WEAK",
    "CERT_CHAIN_TOO_LONG",
    "CERT_HAS_EXPIRED",
    "CERT_NOT_YET_VALID",
    "CERT_REJECTED",
    "CERT_REVOKED",
    "CERT_SIGNATURE_FAILURE",
    "CERT_UNTRUSTED",
    "CRL_HAS_EXPIRED",
    "CRL_NOT_YET_VALID",
    "CRL_SIGNATURE_FAILURE",
    "DEPTH_ZERO_SELF_SIGNED_CERT",
    "ERROR_IN_CERT_NOT_AFTER_FIELD",
    "ERROR_IN_CERT_NOT_BEFORE_FIELD",
    "ERROR_IN_CRL_LAST_UPDATE_FIELD",
    "ERROR_IN_CRL_NEXT_UPDATE_FIELD",
    "HOSTNAME_MISMATCH",
    "INVALID_CA",
    "INVALID_PURPOSE",
    "PATH_LENGTH_EXCEEDED",
    "SELF_SIGNED_CERT_IN_CHAIN",
    "UNABLE_TO_DECODE_ISSUER_PUBLIC_KEY",
    "UNABLE_TO_DECRYPT_CERT_SIGNATURE",
    "UNABLE_TO_DECRYPT_CRL_SIGNATURE",
    "UNABLE_TO_GET_CRL",
    "UNABLE_TO_GET_ISSUER_CERT",
    "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
    "UNABLE_TO_VERIFY_LEAF_SIGNATURE"
  ])
])

/** Deno's `fetch` has no codes. Its message names the step after the address; `Connect` covers name, socket and handshake. */
const denoConnect = /: client error \(Connect\): (dns error|tls|invalid peer certificate|received fatal alert)?/

const denoStage = (message: string): Stage | undefined => {
  const found = denoConnect.exec(message)
  return found === null ? undefined : found[1] === undefined ? "connect" : found[1] === "dns error" ? "dns" : "tls"
}

interface SystemError {
  readonly code?: unknown
  readonly syscall?: unknown
  readonly message?: unknown
  readonly cause?: unknown
  readonly errors?: unknown
}

const isSystemError = (cause: unknown): cause is SystemError => typeof cause === "object" && cause !== null

/** Only a string that looks like a code is safe to show. */
const codeOf = ({ code }: SystemError): string | undefined =>
  typeof code === "string" && /^\w{1,64}$/.test(code) ? code : undefined

const stageOf = ({ code, message, syscall }: SystemError): Stage | undefined =>
  typeof syscall === "string"
    ? (bySystemCall[syscall] ?? "lost")
    : ((typeof code === "string" ? byCode.get(code) : undefined) ??
      (typeof message === "string" ? denoStage(message) : undefined))

/** Deeper than any known wrapper. It also ends a cycle. */
const maxDepth = 8

/**
 * Classifies the error of a failed request from Node, undici, Bun or Deno. `fetch` hides it in a chain of causes, which is searched. If several
 * addresses were tried, the request counts as never sent only if every attempt failed before sending.
 */
export const fromCause = (cause: unknown): ConnectionFailure => {
  const found = read(cause, 0)
  const stage = found.stage ?? "lost"
  return { stage, neverSent: stage !== "lost", code: found.code }
}

const read = (
  cause: unknown,
  depth: number
): { readonly stage: Stage | undefined; readonly code: string | undefined } => {
  if (!isSystemError(cause) || depth > maxDepth) return { stage: undefined, code: undefined }
  const code = codeOf(cause)
  const stage = stageOf(cause)
  if (Array.isArray(cause.errors) && cause.errors.length > 0) {
    const each = cause.errors.map((error) => read(error, depth + 1))
    const first = each.find((one) => one.stage === undefined || one.stage === "lost") ?? each[0]
    return { stage: first?.stage, code: code ?? first?.code }
  }
  if (stage !== undefined) return { stage, code }
  const inner = read(cause.cause, depth + 1)
  return { stage: inner.stage, code: code ?? inner.code }
}
