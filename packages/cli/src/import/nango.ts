/**
 * Connections of a self-hosted Nango, read from its database or an export of it.
 *
 * Nango seals credentials with AES-256-GCM: ciphertext, nonce and tag are in three columns, each in base64, and the key is that of
 * `NANGO_ENCRYPTION_KEY`. A Nango without a key stores them as they are. It keeps a hash of the key, which shows a wrong one at once.
 *
 * @module
 */
import { Config, Effect, Option, Redacted, Schema, Stream } from "effect"
import { createDecipheriv, pbkdf2 } from "node:crypto"
import { CommandFailed } from "../commands/failure.ts"
import {
  clientOf,
  column,
  type Connection,
  type Found,
  idOf,
  objectOf,
  type Row,
  secretOf,
  textOf,
  timeOf
} from "./Connection.ts"
import type { Source } from "./Source.ts"

/** The schemas that Nango uses: its default, and that of a database of its own. */
export const schemas = ["nango", "public"]

const keyBytes = 32

/** How Nango hashes its key. */
const hashing = { salt: "X89FHEGqR3yNK0+v7rPWxQ==", iterations: 310_000, length: 32, digest: "sha256" } as const

const hashOf = (key: string) =>
  Effect.callback<string>((resume) => {
    pbkdf2(key, hashing.salt, hashing.iterations, hashing.length, hashing.digest, (error, hash) =>
      resume(error === null ? Effect.succeed(hash.toString("base64")) : Effect.die(error))
    )
  })

const wrongKey = (message: string) =>
  new CommandFailed({ message, fix: "set NANGO_ENCRYPTION_KEY to the value that Nango runs with", exit: "usage" })

/** Reads the key, and compares it with the hash in the database. */
const readKey = Effect.fnUntraced(function* (source: Source) {
  const given = Option.map(yield* Config.option(Config.Redacted("NANGO_ENCRYPTION_KEY")), Redacted.value)
  const key = Option.getOrUndefined(Option.filter(given, (key) => key !== ""))
  if (key === undefined) return undefined
  if (Buffer.from(key, "base64").byteLength !== keyBytes)
    return yield* wrongKey("NANGO_ENCRYPTION_KEY is not 32 bytes in base64")
  const config = source.tables.has("_nango_db_config")
    ? yield* Stream.runHead(source.rows("_nango_db_config"))
    : Option.none()
  const hash = Option.isSome(config) ? textOf(config.value["encryption_key_hash"]) : undefined
  if (hash !== undefined && hash !== (yield* hashOf(key)))
    return yield* wrongKey("NANGO_ENCRYPTION_KEY is not the key of this database")
  return key
})

const decipher = (key: string, sealed: string, nonce: string, tag: string) =>
  Effect.try({
    try: () => {
      const opening = createDecipheriv("aes-256-gcm", Buffer.from(key, "base64"), Buffer.from(nonce, "base64"))
      opening.setAuthTag(Buffer.from(tag, "base64"))
      return opening.update(sealed, "base64", "utf8") + opening.final("utf8")
    },
    catch: () => undefined
  })

/** The credentials of a connection. `undefined` if the key does not open them. */
const opened = Effect.fnUntraced(function* (row: Row, key: string | undefined) {
  const stored = objectOf(row["credentials"])
  const sealed = textOf(stored["encrypted_credentials"])
  const nonce = textOf(row["credentials_iv"])
  const tag = textOf(row["credentials_tag"])
  if (sealed === undefined || nonce === undefined || tag === undefined) return stored
  if (key === undefined) return yield* wrongKey("the credentials are sealed, and NANGO_ENCRYPTION_KEY is not set")
  return objectOf(Option.getOrUndefined(yield* Effect.option(decipher(key, sealed, nonce, tag))))
})

type Credential = Pick<Connection, "scheme" | "secrets"> & { readonly clientId?: string | undefined }

/** The credential in Rekindle's names, or why there is none. */
const credentialOf = (credentials: Row): Credential | string => {
  const override = objectOf(credentials["config_override"])
  const raw = objectOf(credentials["raw"])
  const token = (name: string) => secretOf(name, credentials[name])
  switch (credentials["type"]) {
    case "OAUTH2":
      return {
        scheme: "OAUTH2",
        secrets: { ...token("access_token"), ...token("refresh_token"), ...secretOf("id_token", raw["id_token"]) },
        clientId: textOf(override["client_id"]) ?? clientOf(raw["id_token"])
      }
    case "OAUTH1":
      return {
        scheme: "OAUTH1",
        secrets: {
          ...secretOf("access_token", credentials["oauth_token"]),
          ...secretOf("oauth_token_secret", credentials["oauth_token_secret"])
        }
      }
    case "OAUTH2_CC":
      return {
        scheme: "S2S_OAUTH2",
        secrets: { ...token("client_id"), ...token("client_secret"), ...secretOf("access_token", credentials["token"]) }
      }
    case "BASIC":
      return { scheme: "BASIC", secrets: { ...token("username"), ...token("password") } }
    case "API_KEY":
      return { scheme: "API_KEY", secrets: secretOf("api_key", credentials["apiKey"]) }
    case undefined:
    case "NONE":
      return Object.keys(credentials).length === 0 || credentials["type"] === "NONE"
        ? { scheme: "NO_AUTH", secrets: {} }
        : "its credentials have no type"
    default:
      return `Rekindle has no scheme for Nango's ${String(credentials["type"])}`
  }
}

const isPublic = Schema.is(Schema.Union([Schema.String, Schema.Number, Schema.Boolean]))

/** Inputs of the connection, such as the address of a customer's instance. Nango's own settings are left out. */
const attributesOf = (row: Row): Record<string, Schema.Json> => {
  const attributes: Record<string, Schema.Json> = {}
  for (const [name, value] of Object.entries(objectOf(row["connection_config"])))
    if (isPublic(value) && !name.startsWith("oauth_scopes")) attributes[name] = value
  return attributes
}

const tables = ["_nango_connections", "_nango_configs", "_nango_environments"]

/** The rows of a table by their id. */
const byId = (source: Source, table: string) =>
  source.tables.has(table)
    ? Stream.runFold(
        source.rows(table),
        () => new Map<string, Row>(),
        (rows, row) => rows.set(textOf(row["id"]) ?? "", row)
      )
    : Effect.succeed(new Map<string, Row>())

/** The one environment to read, by its name or its id. */
const environmentOf = Effect.fnUntraced(function* (source: Source, wanted: Option.Option<string>) {
  const environments = yield* byId(source, "_nango_environments")
  for (const [id, row] of environments) if (row["deleted"] === true) environments.delete(id)
  const names = [...environments.values()].map(({ name }) => textOf(name) ?? "")
  const name = Option.getOrElse(wanted, () => (names.length === 1 ? (names[0] ?? "") : "prod"))
  const ids = [...environments].flatMap(([id, row]) => (row["name"] === name || id === name ? [id] : []))
  const [id] = ids
  if (ids.length === 1 && id !== undefined) return id
  return yield* new CommandFailed({
    message: `Nango has ${ids.length === 0 ? "no environment" : "several environments"} ${name}`,
    fix: `name one with --environment, by name or id: ${[...environments].map(([id, row]) => `${textOf(row["name"]) ?? ""} (${id})`).join(", ")}`,
    exit: "usage"
  })
})

/** The connections of one environment. */
export const connections = (
  source: Source,
  options: { readonly environment: Option.Option<string> }
): Stream.Stream<Found, CommandFailed | Config.ConfigError> =>
  Stream.unwrap(
    Effect.gen(function* () {
      const missing = tables.filter((table) => !source.tables.has(table))
      if (missing.length > 0)
        return yield* new CommandFailed({
          message: `the source has no table ${missing.join(", ")}`,
          fix: "check --from and --schema",
          exit: "usage"
        })
      const key = yield* readKey(source)
      const environment = yield* environmentOf(source, options.environment)
      const configs = yield* byId(source, "_nango_configs")
      const endUsers = yield* byId(source, "end_users")

      const found = Effect.fnUntraced(function* (row: Row) {
        const config = configs.get(textOf(row["config_id"]) ?? "") ?? {}
        const provider = textOf(row["provider_config_key"]) ?? ""
        const connectionId = textOf(row["connection_id"]) ?? ""
        const name = `${provider}/${connectionId}`
        const endUser = endUsers.get(textOf(row["end_user_id"]) ?? "") ?? {}
        const credentials = yield* opened(row, key)
        const isOpen =
          credentials["type"] !== undefined || objectOf(row["credentials"])["encrypted_credentials"] === undefined
        const credential = isOpen ? credentialOf(credentials) : "the key does not open its credentials"
        if (typeof credential === "string") return { _tag: "Other", name, reason: credential } as const
        const connection: Connection = {
          _tag: "Connection",
          name,
          id: idOf("nango", environment, provider, connectionId),
          provider,
          userId: textOf(endUser["end_user_id"]) ?? connectionId,
          ...credential,
          expiresAt: timeOf(column(credentials, "expires_at") ?? row["credentials_expires_at"]),
          attributes: { ...attributesOf(row), nango_connection_id: connectionId },
          answer: credentials["raw"],
          clientId: credential.clientId ?? textOf(config["oauth_client_id"]),
          lost: row["refresh_exhausted"] === true ? "Nango has given up on renewing it" : undefined
        }
        return connection
      })

      return source.rows("_nango_connections").pipe(
        Stream.filter(
          (row) =>
            textOf(row["environment_id"]) === environment &&
            row["deleted_at"] === null &&
            (row["deleted"] ?? false) === false
        ),
        Stream.mapEffect(found)
      )
    })
  )
