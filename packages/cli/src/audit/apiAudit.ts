/**
 * Records requests in the audit log: those that change something, and those that read a credential.
 *
 * The entry is made before the request is carried out, so nothing is done that is not recorded. A request that fails has a second entry, which
 * names the first. Reads of one path with one key are recorded once an hour by each process, because an application may read a credential for
 * every call that it makes.
 *
 * @module
 */
import { Unavailable } from "@rekindle/core"
import { ApiAudit, type ApiCall } from "@rekindle/platform"
import { Duration, Effect, Layer } from "effect"
import * as Throttle from "../keys/Throttle.ts"
import { AuditLog } from "./AuditLog.ts"

const isRead = ({ method }: ApiCall): boolean => method === "GET" || method === "HEAD"

/** Refreshes are in the events of an account. What is read without secrets is recorded nowhere. */
const isRecorded = (call: ApiCall): boolean => call.scope === "credential" || (call.scope === "admin" && !isRead(call))

const unrecorded = () =>
  new Unavailable({
    message: "The audit log cannot be written now; nothing was done",
    slug: "store_unavailable",
    retryAfter: Duration.seconds(5)
  })

const make = Effect.gen(function* () {
  const audit = yield* AuditLog
  const reads = Throttle.make({ burst: 1, per: "1 hour" })

  return Effect.fnUntraced(function* (call: ApiCall) {
    if (!isRecorded(call)) return Effect.void
    const { address = null, method, path, principal, route } = call
    const { keyId: actor = "a key without id", projectId } = principal
    const read = `${actor} ${path}`
    if (isRead(call) && (yield* reads.wait(read)) !== undefined) return Effect.void
    const entry = { actor, projectId, action: `${method} ${route}`, target: path }
    const sequence = yield* Effect.mapError(audit.append({ ...entry, details: { address } }), unrecorded)
    if (isRead(call)) yield* reads.take(read)
    return audit.append({ ...entry, details: { address, failed: sequence } }).pipe(
      Effect.asVoid,
      Effect.catch((error) =>
        Effect.logError(`the failure of entry ${sequence} is not in the audit log: ${error.message}`)
      )
    )
  })
})

/** Platform's `ApiAudit` with the audit log. */
export const layer: Layer.Layer<never, never, AuditLog> = Layer.effect(ApiAudit, make)
