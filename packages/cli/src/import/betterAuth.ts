/**
 * Connections of better-auth: the rows of its table `account`, from any of its adapters.
 *
 * With `encryptOAuthTokens` it seals tokens with XChaCha20-Poly1305. The key is the SHA-256 of the secret, the nonce comes first, and all is in
 * hex; with several secrets, `$ba$<version>$` comes before it.
 *
 * @module
 */
import { Config, Effect, Option, Redacted, Stream } from "effect"
import { createHash } from "node:crypto"
import type { CommandFailed } from "../commands/failure.ts"
import {
  clientOf,
  column,
  type Connection,
  type Found,
  idOf,
  type Row,
  secretOf,
  textOf,
  timeOf
} from "./Connection.ts"
import { type Source, tableOf } from "./Source.ts"

const tables = ["account", "accounts", "Account"]

/** The secrets by version. The one of `BETTER_AUTH_SECRET` has none. */
interface Secrets {
  readonly current: string | undefined
  readonly byVersion: ReadonlyMap<string, string>
}

const readSecrets = Effect.map(
  Effect.all({
    current: Config.option(Config.Redacted("BETTER_AUTH_SECRET")),
    versions: Config.option(Config.Redacted("BETTER_AUTH_SECRETS"))
  }),
  ({ current, versions }): Secrets => ({
    current: Option.getOrUndefined(Option.map(current, Redacted.value)),
    byVersion: new Map(
      Option.getOrElse(Option.map(versions, Redacted.value), () => "")
        .split(",")
        .map((entry) => entry.trim())
        .filter((entry) => entry.includes(":"))
        .map((entry) => [entry.slice(0, entry.indexOf(":")), entry.slice(entry.indexOf(":") + 1).trim()])
    )
  })
)

const nonceBytes = 24
const tagBytes = 16
const shortest = 2 * (nonceBytes + tagBytes + 1)

const isHex = (text: string) => text.length % 2 === 0 && /^[0-9a-f]+$/i.test(text)

const opened = (secret: string, hex: string) =>
  Effect.gen(function* () {
    const { xchacha20poly1305 } = yield* Effect.promise(() => import("@noble/ciphers/chacha.js"))
    const sealed = Buffer.from(hex, "hex")
    return yield* Effect.try({
      try: () => {
        const cipher = xchacha20poly1305(createHash("sha256").update(secret).digest(), sealed.subarray(0, nonceBytes))
        return new TextDecoder().decode(cipher.decrypt(sealed.subarray(nonceBytes)))
      },
      catch: () => undefined
    })
  })

/** A token, opened if it is sealed. None if it is sealed and no secret opens it. */
const tokenOf = (secrets: Secrets, value: unknown): Effect.Effect<Option.Option<string | undefined>> => {
  const text = textOf(value)
  const envelope = /^\$ba\$(\d+)\$([0-9a-f]+)$/i.exec(text ?? "")
  if (text === undefined) return Effect.succeedSome(undefined)
  if (envelope !== null) {
    const secret = secrets.byVersion.get(envelope[1] ?? "")
    return secret === undefined ? Effect.succeedNone : Effect.option(opened(secret, envelope[2] ?? ""))
  }
  if (!isHex(text) || text.length < shortest) return Effect.succeedSome(text)
  const candidates = [secrets.current, ...secrets.byVersion.values()].filter((secret) => secret !== undefined)
  if (candidates.length === 0) return Effect.succeedNone
  return Effect.option(Effect.firstSuccessOf(candidates.map((secret) => opened(secret, text))))
}

const noSecret = "its tokens are sealed, and neither BETTER_AUTH_SECRET nor BETTER_AUTH_SECRETS opens them"

const found = Effect.fnUntraced(function* (row: Row, secrets: Secrets) {
  const provider = textOf(column(row, "providerId", "provider_id")) ?? ""
  const accountId = textOf(column(row, "accountId", "account_id")) ?? ""
  const userId = textOf(column(row, "userId", "user_id")) ?? ""
  const name = `${provider}/${accountId}`
  if (provider === "credential")
    return { _tag: "Other", name, reason: "it is a password of better-auth and no connection" } as const
  const tokens = {
    access_token: yield* tokenOf(secrets, column(row, "accessToken", "access_token")),
    refresh_token: yield* tokenOf(secrets, column(row, "refreshToken", "refresh_token"))
  }
  const idToken = column(row, "idToken", "id_token")
  const connection: Connection = {
    _tag: "Connection",
    name,
    id: idOf("better-auth", provider, accountId),
    provider,
    userId,
    scheme: "OAUTH2",
    secrets: {
      ...secretOf("access_token", Option.getOrUndefined(tokens.access_token)),
      ...secretOf("refresh_token", Option.getOrUndefined(tokens.refresh_token)),
      ...secretOf("id_token", idToken)
    },
    expiresAt: timeOf(column(row, "accessTokenExpiresAt", "access_token_expires_at")),
    renewableUntil: timeOf(column(row, "refreshTokenExpiresAt", "refresh_token_expires_at")),
    attributes: {},
    answer: undefined,
    clientId: clientOf(idToken),
    lost: Object.values(tokens).some(Option.isNone) ? noSecret : undefined
  }
  return connection
})

/** The connections of a table. */
export const connections = (
  source: Source,
  options: { readonly table: Option.Option<string> }
): Stream.Stream<Found, CommandFailed | Config.ConfigError> =>
  Stream.unwrap(
    Effect.gen(function* () {
      const table = yield* tableOf(source, options.table, tables)
      const secrets = yield* readSecrets
      return Stream.mapEffect(source.rows(table), (row) => found(row, secrets))
    })
  )
