/**
 * S2S_OAUTH2: the client-credentials grant (RFC 6749 §4.4). No person is involved, so there is no consent, and what is spent is not
 * consumed: the same client secret or key buys the next access token, even for an account that never had one.
 *
 * An account may bring a client of its own (the secrets `client_id` and `client_secret`). Only then is a refused client held against the
 * account; the client of the auth config is the application's.
 *
 * @module
 */
import { Effect, Schema, Struct } from "effect"
import * as oauth from "oauth4webapi"
import type { AuthStrategy, Connection } from "./AuthStrategy.ts"
import { decide, refused } from "../answer/Verdict.ts"
import * as Credential from "../account/Credential.ts"
import * as TokenEndpoint from "./TokenEndpoint.ts"

/** Settings of an S2S_OAUTH2 auth config. Sender-constrained tokens (DPoP) are not among them: no consent, so no key of the account. */
export const S2SOAuth2Settings = Schema.Struct(Struct.omit(TokenEndpoint.TokenEndpointSettings.fields, ["dpop"]))
export type S2SOAuth2Settings = typeof S2SOAuth2Settings.Type

const settingsOf = TokenEndpoint.decodeSettings(S2SOAuth2Settings)
const checkSettings = TokenEndpoint.checkSettings(S2SOAuth2Settings)

/** The secret of the account's own client, if it brought one. */
const ownSecret = ({ credential }: Connection) => credential.secrets["client_secret"]

/** Makes the strategy. */
export const make = Effect.gen(function* () {
  const endpoint = yield* TokenEndpoint.make

  const send = Effect.fnUntraced(
    function* (connection: Connection) {
      const { config, credential } = connection
      const settings = yield* settingsOf(config)
      const secret = ownSecret(connection)
      return yield* endpoint.exchange(
        secret === undefined ? config : { ...config, secrets: { ...config.secrets, client_secret: secret } },
        secret === undefined
          ? settings
          : { ...settings, clientId: Credential.secret(credential, "client_id") ?? settings.clientId ?? "" },
        ({ authenticate, client, options, server }) => {
          const parameters = new URLSearchParams(settings.tokenParameters)
          if (settings.scopes !== undefined) parameters.set("scope", settings.scopes.join(" "))
          return oauth.clientCredentialsGrantRequest(server, client, authenticate, parameters, options)
        }
      )
    },
    Effect.catchTag("AuthConfigError", (error) => Effect.succeed(refused(error.message)))
  )

  const strategy: AuthStrategy = {
    scheme: "S2S_OAUTH2",
    secrets: {
      account: { forms: { client_id: "parameter", client_secret: "parameter", access_token: "header" } },
      config: TokenEndpoint.clientSecrets
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
})
