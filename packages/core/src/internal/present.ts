/**
 * How a request carries a credential, where that takes no signature: a bearer token, a basic credential, an API key.
 *
 * @module
 */
import { Redacted } from "effect"
import { Base64 } from "effect/encoding"
import type { Authorization, CredentialInUse } from "../Connections.ts"

/** What a request with this credential carries. Undefined: a request has to be signed, or only the application knows. */
export const present = (credential: CredentialInUse): Authorization | undefined => {
  const inHeader = (name: string, value: string): Authorization => ({
    headers: { [name]: Redacted.make(value, { label: name }) },
    parameters: {}
  })
  switch (credential._tag) {
    case "AccessToken":
      return credential.tokenType === "Bearer"
        ? inHeader("authorization", `Bearer ${Redacted.value(credential.token)}`)
        : undefined
    case "ApiKey": {
      const { key, placement } = credential
      return placement.in === "header"
        ? inHeader(placement.name, `${placement.prefix}${Redacted.value(key)}`)
        : { headers: {}, parameters: { [placement.name]: key } }
    }
    case "Basic": {
      const pair = `${credential.username}:${Redacted.value(credential.password)}`
      return inHeader("authorization", `Basic ${Base64.encode(pair)}`)
    }
    case "NoAuth":
      return { headers: {}, parameters: {} }
    case "OAuth1":
    case "Custom":
      return undefined
  }
}
