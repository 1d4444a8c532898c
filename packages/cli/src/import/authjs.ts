/**
 * Connections of Auth.js (NextAuth): the rows of its table of accounts, from any of its adapters.
 *
 * @module
 */
import { Effect, type Option, Stream } from "effect"
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

const tables = ["accounts", "account", "Account"]

const oauth: ReadonlySet<unknown> = new Set(["oauth", "oidc"])

const found = (row: Row): Found => {
  const provider = textOf(row["provider"]) ?? ""
  const accountId = textOf(column(row, "providerAccountId", "provider_account_id")) ?? ""
  const name = `${provider}/${accountId}`
  if (!oauth.has(row["type"]))
    return { _tag: "Other", name, reason: `it is a sign-in by ${textOf(row["type"]) ?? "?"} and no connection` }
  // Providers of OAuth 1, such as the former Twitter, have columns of their own.
  const tokenSecret = row["oauth_token_secret"]
  const isOAuth1 = textOf(tokenSecret) !== undefined
  const connection: Connection = {
    _tag: "Connection",
    name,
    id: idOf("authjs", provider, accountId),
    provider,
    userId: textOf(column(row, "userId", "user_id")) ?? "",
    scheme: isOAuth1 ? "OAUTH1" : "OAUTH2",
    secrets: isOAuth1
      ? { ...secretOf("access_token", row["oauth_token"]), ...secretOf("oauth_token_secret", tokenSecret) }
      : {
          ...secretOf("access_token", row["access_token"]),
          ...secretOf("refresh_token", row["refresh_token"]),
          ...secretOf("id_token", row["id_token"])
        },
    expiresAt: timeOf(row["expires_at"]),
    attributes: {},
    answer: undefined,
    clientId: clientOf(row["id_token"]),
    lost: undefined
  }
  return connection
}

/** The connections of a table. */
export const connections = (
  source: Source,
  options: { readonly table: Option.Option<string> }
): Stream.Stream<Found, CommandFailed> =>
  Stream.unwrap(Effect.map(tableOf(source, options.table, tables), (table) => Stream.map(source.rows(table), found)))
