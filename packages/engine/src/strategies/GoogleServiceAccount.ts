/**
 * GOOGLE_SERVICE_ACCOUNT: a signed assertion is exchanged for an access token (RFC 7523 §2.1; Google, "Using OAuth 2.0 for server to server
 * applications"). The credential is the key file as Google issues it, in the secret `service_account_json`. It is not consumed.
 *
 * **Gotchas**
 *
 * The key file names the token endpoint. Its host must also be declared in the auth config, so that a forged file cannot send an assertion
 * elsewhere.
 *
 * @module
 */
import { Clock, Effect, Option, Redacted, Schema } from "effect"
import { SecureRandom } from "effect/crypto"
import type { AuthStrategy, Connection } from "./AuthStrategy.ts"
import { Egress } from "../egress/Egress.ts"
import { decide, refused } from "../answer/Verdict.ts"
import { signer } from "./jws.ts"
import { addressesOf, checkSettings as settingsCheck, decodeSettings, refuseFaultyConfig } from "./settings.ts"

/** Settings of a GOOGLE_SERVICE_ACCOUNT auth config. */
export const GoogleServiceAccountSettings = Schema.Struct({
  /** The scopes to ask for. */
  scopes: Schema.Array(Schema.String).check(Schema.isNonEmpty()),
  /** The person to act for, if domain-wide delegation is granted. */
  subject: Schema.optionalKey(Schema.String)
})
export type GoogleServiceAccountSettings = typeof GoogleServiceAccountSettings.Type

/** The fields of a key file that are used. */
const KeyFile = Schema.fromJsonString(
  Schema.Struct({
    client_email: Schema.String,
    private_key: Schema.RedactedFromValue(Schema.String),
    private_key_id: Schema.optionalKey(Schema.String),
    token_uri: Schema.String.pipe(Schema.withDecodingDefaultKey(Effect.succeed("https://oauth2.googleapis.com/token")))
  })
)

const settingsOf = decodeSettings(GoogleServiceAccountSettings)
const checkSettings = settingsCheck(GoogleServiceAccountSettings)
const algorithm = "RS256"
const grantType = "urn:ietf:params:oauth:grant-type:jwt-bearer"

/** How long an assertion is valid, in seconds. Google accepts no longer. */
const assertionLife = 3600

const keyFileOf = ({ credential }: Connection) => credential.secrets["service_account_json"]

const decodeKeyFile = (file: Redacted.Redacted<string> | undefined) =>
  Schema.decodeUnknownOption(KeyFile)(file === undefined ? undefined : Redacted.value(file))

const malformed = refused("credential_malformed: service_account_json is not a service account key")

/** Makes the strategy. */
export const make = Effect.gen(function* () {
  const egress = yield* Egress
  const random = yield* SecureRandom.SecureRandom

  const send = Effect.fnUntraced(function* (connection: Connection) {
    const { scopes, subject } = yield* settingsOf(connection.config)
    const file = decodeKeyFile(keyFileOf(connection))
    if (Option.isNone(file)) return malformed
    const { client_email, private_key, private_key_id, token_uri } = file.value
    const issuedAt = Math.floor((yield* Clock.currentTimeMillis) / 1000)
    const header = { typ: "JWT", ...(private_key_id === undefined ? {} : { kid: private_key_id }) }
    const claims = {
      scope: scopes.join(" "),
      iss: client_email,
      aud: token_uri,
      iat: issuedAt,
      exp: issuedAt + assertionLife,
      jti: yield* random.uuidV4(),
      ...(subject === undefined ? {} : { sub: subject })
    }
    const assertion = yield* Effect.option(
      Effect.flatMap(signer(Redacted.value(private_key), algorithm), (sign) => sign(header, claims))
    )
    if (Option.isNone(assertion)) return malformed
    return yield* egress.send(connection.config.hosts, {
      url: token_uri,
      method: "POST",
      headers: { accept: "application/json", "content-type": "application/x-www-form-urlencoded" },
      body: new URLSearchParams({ grant_type: grantType, assertion: assertion.value }).toString()
    })
  }, refuseFaultyConfig)

  const strategy: AuthStrategy = {
    scheme: "GOOGLE_SERVICE_ACCOUNT",
    publishedNames: { service_account_json: "credentials_json" },
    secrets: {
      account: {
        forms: { service_account_json: "document", access_token: "header" },
        needs: [["service_account_json"]]
      },
      config: { forms: {} }
    },
    check: (config) => Effect.map(checkSettings(config), addressesOf),
    renewal: {
      rotation: "none",
      statesTime: true,
      spends: keyFileOf,
      send,
      decide: (observation, { config, credential }) => {
        // `unauthorized_client` means that the scopes were not delegated to this account's key. It says nothing about other accounts.
        const verdict = decide(observation, config.profile, credential.secrets)
        return verdict._tag === "AppFault" ? { _tag: "Misconfigured", code: verdict.code } : verdict
      }
    }
  }
  return strategy
}).pipe(Effect.provide(SecureRandom.layerWebCrypto))
