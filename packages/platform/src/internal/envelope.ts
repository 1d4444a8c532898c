/**
 * Converts between core's errors and the envelope in the body of every failure. Client, contract and server share it, so that they agree on the
 * names of fields.
 *
 * @module
 */
import type { ErrorEnvelope } from "@rekindle/core"

/** The fields of the envelope, under the names of core's errors. */
export interface EnvelopeFields {
  readonly message: string
  readonly code: number
  readonly slug?: string
  readonly requestId?: string
  readonly suggestedFix?: string
  readonly errors?: ReadonlyArray<string>
}

/** The slug of a 404 for an unknown route, as opposed to an unknown account. */
export const routeNotFound = "route_not_found"

/** Reads the fields of an error from an envelope. */
export const fieldsOf = ({ error }: ErrorEnvelope): EnvelopeFields => ({
  message: error.message,
  code: error.code,
  ...(error.slug !== undefined && { slug: error.slug }),
  ...(error.request_id !== undefined && { requestId: error.request_id }),
  ...(error.suggested_fix !== undefined && { suggestedFix: error.suggested_fix }),
  ...(error.errors !== undefined && { errors: error.errors })
})

/** Writes an error's fields as the envelope of `status`. */
export const envelopeOf = (status: number, fields: EnvelopeFields): ErrorEnvelope => ({
  error: {
    message: fields.message,
    code: fields.code,
    ...(fields.slug !== undefined && { slug: fields.slug }),
    status,
    ...(fields.requestId !== undefined && { request_id: fields.requestId }),
    ...(fields.suggestedFix !== undefined && { suggested_fix: fields.suggestedFix }),
    ...(fields.errors !== undefined && { errors: fields.errors })
  }
})
