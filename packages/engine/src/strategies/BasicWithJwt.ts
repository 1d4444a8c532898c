/**
 * BASIC_WITH_JWT: a username and password are exchanged at a login endpoint for a JWT, which is the access token. There is no standard for
 * this, so the settings say where the credentials go and where the token is in the answer.
 *
 * **Gotchas**
 *
 * The answer is rewritten into the form of a token endpoint's and judged by the decision table. A 401 is judged here: for the table it would
 * be the application's fault, but here the person's password is wrong.
 *
 * @module
 */
import { Effect, Option, Predicate, Schema } from "effect"
import type { AuthStrategy, Connection } from "./AuthStrategy.ts"
import * as Credential from "../account/Credential.ts"
import { Egress, type EgressRequest } from "../egress/Egress.ts"
import { claimsOf } from "../answer/claims.ts"
import { at, bare, parseBody } from "../answer/TokenResponse.ts"
import { decide, type Observation } from "../answer/Verdict.ts"
import { addressesOf, checkSettings as settingsCheck, decodeSettings, refuseFaultyConfig, Url } from "./settings.ts"

/** Settings of a BASIC_WITH_JWT auth config. */
export const BasicWithJwtSettings = Schema.Struct({
  /** The address of the login. */
  loginUrl: Url,
  /** How the credentials travel: in a Basic header (RFC 7617), or as fields of a JSON or form body. Default `basic`. */
  credentialsIn: Schema.optionalKey(Schema.Literals(["basic", "json", "form"])),
  /** The name of the username's field. Default `username`. */
  usernameField: Schema.optionalKey(Schema.String),
  /** The name of the password's field. Default `password`. */
  passwordField: Schema.optionalKey(Schema.String),
  /** Further fields of the body. */
  loginFields: Schema.optionalKey(Schema.Record(Schema.String, Schema.String)),
  /** Further headers. */
  loginHeaders: Schema.optionalKey(Schema.Record(Schema.String, Schema.String)),
  /** The dotted path of the token in the answer. Default `access_token`, otherwise `token`. */
  tokenField: Schema.optionalKey(Schema.String),
  /** Statuses besides 401 that mean wrong credentials. */
  rejectedStatuses: Schema.optionalKey(Schema.Array(Schema.Int))
})
export type BasicWithJwtSettings = typeof BasicWithJwtSettings.Type

const settingsOf = decodeSettings(BasicWithJwtSettings)
const checkSettings = settingsCheck(BasicWithJwtSettings)
const readSettings = Schema.decodeUnknownOption(BasicWithJwtSettings)
const none: Partial<BasicWithJwtSettings> = {}

const loginRequest = (settings: BasicWithJwtSettings, { credential }: Connection): EgressRequest => {
  const username = Credential.secret(credential, "username") ?? ""
  const password = Credential.secret(credential, "password") ?? ""
  const asBasic = (settings.credentialsIn ?? "basic") === "basic"
  const fields: Record<string, string> = {
    ...settings.loginFields,
    ...(asBasic
      ? {}
      : { [settings.usernameField ?? "username"]: username, [settings.passwordField ?? "password"]: password })
  }
  const asForm = settings.credentialsIn === "form"
  const empty = Object.keys(fields).length === 0
  return {
    url: settings.loginUrl,
    method: "POST",
    headers: {
      accept: "application/json",
      ...settings.loginHeaders,
      ...(asBasic ? { authorization: `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}` } : {}),
      ...(empty ? {} : { "content-type": asForm ? "application/x-www-form-urlencoded" : "application/json" })
    },
    body: empty ? undefined : asForm ? new URLSearchParams(fields).toString() : JSON.stringify(fields)
  }
}

const lifeClaims = claimsOf(Schema.Struct({ exp: Schema.Number }))

/** Seconds until the token's own `exp` (RFC 7519 §4.1.4). The signature is not checked: the token came from the provider over TLS. */
const secondsLeft = (token: string, now: number): number | undefined =>
  Option.match(lifeClaims(bare(token)), {
    onNone: () => undefined,
    onSome: ({ exp }) => Math.max(0, exp - Math.floor(now / 1000))
  })

/** The login's answer in the form of a token endpoint's (RFC 6749 §5.1). An answer without a token is left as it is. */
const asTokenAnswer = (observation: Observation, tokenField: string | undefined): Observation => {
  if (observation._tag !== "Answer") return observation
  const body = parseBody(observation.body, observation.contentType)
  const token = (tokenField === undefined ? ["access_token", "token"] : [tokenField])
    .map((path) => at(body, path))
    .find((value) => Predicate.isString(value))
  if (body === undefined || token === undefined) return observation
  const expiresIn = body["expires_in"] ?? secondsLeft(token, observation.receivedAt)
  return {
    ...observation,
    contentType: "application/json",
    body: JSON.stringify({ token_type: "bearer", ...body, access_token: token, expires_in: expiresIn })
  }
}

/** Makes the strategy. */
export const make = Effect.gen(function* () {
  const egress = yield* Egress

  const strategy: AuthStrategy = {
    scheme: "BASIC_WITH_JWT",
    secrets: {
      account: {
        forms: { username: "password", password: "password", access_token: "header" },
        needs: [["username"], ["password"]]
      },
      config: { forms: {} }
    },
    check: (config) => Effect.map(checkSettings(config), addressesOf),
    renewal: {
      rotation: "none",
      password: true,
      spends: ({ credential }) => credential.secrets["password"],
      send: (connection) =>
        settingsOf(connection.config).pipe(
          Effect.flatMap((settings) => egress.send(connection.config.hosts, loginRequest(settings, connection))),
          refuseFaultyConfig
        ),
      decide: (observation, { config, credential }) => {
        const { rejectedStatuses = [], tokenField } = Option.getOrElse(readSettings(config.settings), () => none)
        return observation._tag === "Answer" && [401, ...rejectedStatuses].includes(observation.status)
          ? { _tag: "Dead", code: `http_${observation.status}` }
          : decide(asTokenAnswer(observation, tokenField), config.profile, credential.secrets)
      }
    }
  }
  return strategy
})
