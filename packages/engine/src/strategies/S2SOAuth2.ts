/**
 * S2S_OAUTH2: the client-credentials grant (RFC 6749 §4.4). No person is involved, so there is no consent. The client secret or key is not
 * consumed: it obtains the next access token too, even for an account that never had one.
 *
 * **Gotchas**
 *
 * An account may bring a client of its own, in its secrets `client_id` and `client_secret`. If the provider refuses that client, the
 * account's credential is dead. If it refuses the auth config's client, the application is at fault.
 *
 * @module
 */
import { Effect, Schema, Struct } from "effect"
import { SecureRandom } from "effect/crypto"
import type { AuthStrategy, Connection } from "./AuthStrategy.ts"
import { decide } from "../answer/Verdict.ts"
import * as Credential from "../account/Credential.ts"
import { clientSecrets } from "./clientAuthentication.ts"
import { checkSettings as settingsCheck, decodeSettings, refuseFaultyConfig } from "./settings.ts"
import * as TokenEndpoint from "./TokenEndpoint.ts"

/** Settings of an S2S_OAUTH2 auth config. There is no `dpop`, because an account gets its DPoP key from a consent. */
export const S2SOAuth2Settings = Schema.Struct(Struct.omit(TokenEndpoint.TokenEndpointSettings.fields, ["dpop"]))
export type S2SOAuth2Settings = typeof S2SOAuth2Settings.Type

const settingsOf = decodeSettings(S2SOAuth2Settings)
const checkSettings = settingsCheck(S2SOAuth2Settings)

/** The secret of the account's own client, if it brought one. */
const ownSecret = ({ credential }: Connection) => credential.secrets["client_secret"]

/** Makes the strategy. */
export const make = Effect.gen(function* () {
  const endpoint = yield* TokenEndpoint.make

  const send = Effect.fnUntraced(function* (connection: Connection) {
    const { config, credential } = connection
    const settings = yield* settingsOf(config)
    const secret = ownSecret(connection)
    return yield* endpoint.grant(
      secret === undefined ? config : { ...config, secrets: { ...config.secrets, client_secret: secret } },
      secret === undefined
        ? settings
        : { ...settings, clientId: Credential.secret(credential, "client_id") ?? settings.clientId ?? "" },
      "client_credentials",
      settings.scopes === undefined ? {} : { scope: settings.scopes.join(" ") }
    )
  }, refuseFaultyConfig)

  const strategy: AuthStrategy = {
    scheme: "S2S_OAUTH2",
    secrets: {
      account: { forms: { client_id: "parameter", client_secret: "parameter", access_token: "header" } },
      config: clientSecrets
    },
    check: (config) =>
      Effect.flatMap(checkSettings(config), (settings) => endpoint.check(config, settings, "of the account")),
    renewal: {
      rotation: "none",
      spends: (connection) =>
        ownSecret(connection) ?? connection.config.secrets["client_secret"] ?? connection.config.secrets["private_key"],
      send,
      decide: (observation, connection) => {
        const verdict = decide(observation, connection.config.profile, connection.credential.secrets)
        return verdict._tag === "AppFault" && ownSecret(connection) !== undefined
          ? { _tag: "Dead", code: verdict.code }
          : verdict
      }
    }
  }
  return strategy
}).pipe(Effect.provide(SecureRandom.layerWebCrypto))
