/**
 * The links of the connect page, in the database.
 *
 * A link is for one account, and for the browser that uses it first. Only the hash of its token is stored, so a reader of the database cannot
 * use it. It is spent once the account is connected.
 *
 * @module
 */
import { ConnectedAccountId, Unavailable } from "@rekindle/core"
import { Clock, Context, DateTime, Duration, Effect, Layer, Schedule, Schema, SchemaTransformation } from "effect"
import { SecureRandom } from "effect/crypto"
import { Base64Url } from "effect/encoding"
import { SqlClient } from "effect/sql"
import { createHash } from "node:crypto"

/** The path of the connect page. */
export const path = "/connect"

/** The query parameter that carries the token of a link. */
export const tokenParameter = "token"

/** The account that a link connects. */
export interface Target {
  readonly projectId: string
  readonly accountId: ConnectedAccountId
  /** Where the browser goes once the account is connected. Undefined for a page of this server. */
  readonly callbackUrl: string | undefined
}

/** A link that may be used. */
export interface OpenLink extends Target {
  readonly _tag: "Open"
  readonly expiresAt: DateTime.Utc
}

/** What a token stands for, as a browser sees it. */
export type Link =
  | OpenLink
  /** There is no such link, or it has expired. */
  | { readonly _tag: "Gone" }
  /** The account was connected with it. */
  | { readonly _tag: "Spent" }
  /** Another browser used it first. */
  | { readonly _tag: "Taken" }

/** Where links lead, and how long. */
export interface LinksOptions {
  /** The address of this service in browsers, such as `https://connect.example.com`. */
  readonly publicUrl: string
  /** How long a link can be used. Default 30 minutes. */
  readonly lifetime?: Duration.Input | undefined
}

// Postgres returns 64-bit integers as bigint, SQLite as number.
const Int = Schema.Union([
  Schema.Number,
  Schema.BigInt.pipe(Schema.decodeTo(Schema.Number, SchemaTransformation.transform({ decode: Number, encode: BigInt })))
])

const decodeRows = Schema.decodeUnknownEffect(
  Schema.Array(
    Schema.Struct({
      project_id: Schema.String,
      account_id: ConnectedAccountId,
      callback_url: Schema.NullOr(Schema.String),
      browser_hash: Schema.NullOr(Schema.String),
      spent_at: Schema.NullOr(Int),
      expires_at: Int
    })
  )
)

/** A plain digest is enough, because tokens and the values of browsers are random and have 256 bits. */
const hashOf = (secret: string): string => createHash("sha256").update(secret).digest("base64url")

/** How long a link is remembered after it has expired, so that its page can say what became of it. */
const rememberedFor = Duration.toMillis("1 day")

const storeDown = () =>
  new Unavailable({
    message: "the database is unavailable; nothing was changed",
    slug: "store_unavailable",
    retryAfter: Duration.seconds(1)
  })

const make = Effect.fnUntraced(function* ({ lifetime = "30 minutes", publicUrl }: LinksOptions) {
  const sql = yield* SqlClient.SqlClient
  const random = yield* SecureRandom.SecureRandom
  const base = publicUrl.replace(/\/+$/, "")
  const life = Duration.toMillis(Duration.fromInputUnsafe(lifetime))

  const find = Effect.fnUntraced(function* (
    token: string,
    browser: string | undefined
  ): Effect.fn.Return<Link, Unavailable> {
    const [row] = yield* sql`SELECT project_id, account_id, callback_url, browser_hash, spent_at, expires_at
      FROM rekindle_connect_links WHERE token_hash = ${hashOf(token)}`.pipe(
      Effect.flatMap(decodeRows),
      Effect.mapError(storeDown)
    )
    if (row === undefined) return { _tag: "Gone" }
    if (row.spent_at !== null) return { _tag: "Spent" }
    if (row.expires_at <= (yield* Clock.currentTimeMillis)) return { _tag: "Gone" }
    if (row.browser_hash !== null && (browser === undefined || row.browser_hash !== hashOf(browser))) {
      return { _tag: "Taken" }
    }
    return {
      _tag: "Open",
      projectId: row.project_id,
      accountId: row.account_id,
      callbackUrl: row.callback_url ?? undefined,
      expiresAt: DateTime.makeUnsafe(row.expires_at)
    }
  })

  const sweep = Effect.flatMap(
    Clock.currentTimeMillis,
    (now) => sql`DELETE FROM rekindle_connect_links WHERE expires_at < ${now - rememberedFor}`
  )
  yield* sweep.pipe(
    Effect.catchCause((cause) => Effect.logWarning("connect links that have expired could not be deleted", cause)),
    Effect.repeat(Schedule.spaced("1 hour")),
    Effect.forkScoped
  )

  return Links.of({
    create: Effect.fnUntraced(function* ({ accountId, callbackUrl, projectId }: Target) {
      const token = `lt_${Base64Url.encode(yield* random.randomBytes(32))}`
      const expiresAt = (yield* Clock.currentTimeMillis) + life
      yield* sql`INSERT INTO rekindle_connect_links ${sql.insert({
        token_hash: hashOf(token),
        project_id: projectId,
        account_id: accountId,
        callback_url: callbackUrl ?? null,
        browser_hash: null,
        spent_at: null,
        expires_at: expiresAt
      })}`.pipe(Effect.mapError(storeDown))
      return {
        token,
        url: `${base}${path}?${tokenParameter}=${token}`,
        expiresAt: DateTime.makeUnsafe(expiresAt)
      }
    }),

    find,

    claim: (token, browser) =>
      sql`UPDATE rekindle_connect_links SET browser_hash = ${hashOf(browser)}
        WHERE token_hash = ${hashOf(token)} AND browser_hash IS NULL AND spent_at IS NULL`.pipe(
        Effect.mapError(storeDown),
        Effect.andThen(find(token, browser))
      ),

    spend: (accountId, browser) =>
      Effect.flatMap(
        Clock.currentTimeMillis,
        (now) =>
          sql`UPDATE rekindle_connect_links SET spent_at = ${now}
            WHERE browser_hash = ${hashOf(browser)} AND account_id = ${accountId} AND spent_at IS NULL`
      ).pipe(Effect.asVoid, Effect.mapError(storeDown))
  })
})

/** The links of the database. */
export class Links extends Context.Service<
  Links,
  {
    readonly create: (
      target: Target
    ) => Effect.Effect<{ readonly token: string; readonly url: string; readonly expiresAt: DateTime.Utc }, Unavailable>
    /** Reads a link. It changes nothing, so a preview of the page does not spend it. */
    readonly find: (token: string, browser: string | undefined) => Effect.Effect<Link, Unavailable>
    /** Binds the link to the browser, unless another browser was faster, and reads it. */
    readonly claim: (token: string, browser: string) => Effect.Effect<Link, Unavailable>
    /** Spends the links of an account that this browser has used. */
    readonly spend: (accountId: ConnectedAccountId, browser: string) => Effect.Effect<void, Unavailable>
  }
>()("@rekindle/cli/pages/Links") {
  /** Links of the database. Those that have expired are deleted after a day. */
  static readonly layer = (options: LinksOptions): Layer.Layer<Links, never, SqlClient.SqlClient> =>
    Layer.effect(Links, make(options)).pipe(Layer.provide(SecureRandom.layerWebCrypto))
}
