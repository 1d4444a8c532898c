/**
 * What a failed connection says about a request that must not be sent twice.
 *
 * "Never sent" has to be proven: by a failure of name resolution, of connecting, or of the TLS handshake, each of which comes before the
 * first byte of a request. Everything else, a reset above all, leaves open what became of it.
 *
 * This table is the only place that decides by codes. A client that sees more, such as the moment at which a request begins to leave, has
 * a proof of its own and needs no code.
 *
 * @module
 */

/** How far a request without an answer came. */
export interface ConnectionFailure {
  /**
   * - `build`: the request could not be made.
   * - `dns`, `connect`, `tls`: the connection was not made, at this step.
   * - `lost`: it may have been sent.
   */
  readonly stage: "build" | "dns" | "connect" | "tls" | "lost"
  /** Whether it provably never left. */
  readonly neverSent: boolean
  /** The code of the error, where it has one that can be shown. */
  readonly code: string | undefined
}

type Stage = ConnectionFailure["stage"]

/** Where an error names its system call, that decides, whatever the code: `connect ETIMEDOUT` was never sent, `read ETIMEDOUT` may have been. */
const bySystemCall: Readonly<Record<string, Stage>> = { getaddrinfo: "dns", connect: "connect" }

const all = (stage: Stage, codes: ReadonlyArray<string>) => codes.map((code) => [code, stage] as const)

/** Codes that come without a system call and that a connection once made cannot have. */
const byCode = new Map<string, Stage>([
  ...all("build", ["ERR_INVALID_URL", "ERR_INVALID_CHAR", "ERR_INVALID_HTTP_TOKEN", "UND_ERR_INVALID_ARG"]),
  ...all("dns", ["ENOTFOUND", "EAI_AGAIN", "EAI_FAIL", "EAI_NODATA", "EAI_NONAME"]),
  ...all("connect", [
    "ECONNREFUSED",
    // undici, and what its proxy agent says
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
    // No TLS at this port, or no version of it in common: both end the handshake. An alert such as `handshake_failure` may also answer a
    // request, where the server asks for a certificate only then (RFC 5246 §7.4.6), so it is not here.
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

/** Deno's `fetch` has no codes. Its client names the step (`Connect` covers name, socket and handshake) behind the address. */
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

/** A code can be shown; what stands in its place may be anything. */
const codeOf = ({ code }: SystemError): string | undefined =>
  typeof code === "string" && /^\w{1,64}$/.test(code) ? code : undefined

const stageOf = ({ code, message, syscall }: SystemError): Stage | undefined =>
  typeof syscall === "string"
    ? (bySystemCall[syscall] ?? "lost")
    : ((typeof code === "string" ? byCode.get(code) : undefined) ??
      (typeof message === "string" ? denoStage(message) : undefined))

/** Deep enough for every wrapper there is; a cycle ends here too. */
const maxDepth = 8

/**
 * Reads the error of a failed request: Node's, undici's, Bun's or Deno's, by itself or in the chain of causes in which `fetch` hides it.
 * Where several addresses were tried, each of them has to have failed before anything was sent.
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
