/**
 * API keys in the database: made, listed and revoked. `KeyCheck` decides with them who may call.
 *
 * A key is shown once, when it is made. Its hash is stored, see `keyText`. Every change is an entry of the audit log, in the same
 * transaction.
 *
 * @module
 */
import { InvalidRequest } from "@rekindle/core"
import { ApiKeyScope } from "@rekindle/platform"
import { Clock, Context, Duration, Effect, Layer, Option, type Redacted, Schema } from "effect"
import { SecureRandom } from "effect/crypto"
import { SqlClient, type SqlError } from "effect/sql"
import { type AuditBroken, AuditLog } from "../audit/AuditLog.ts"
import * as ReadCache from "../store/ReadCache.ts"
import { Integer } from "../store/rows.ts"
import * as KeyText from "./keyText.ts"
import { projectNotFound, Projects } from "./Projects.ts"

/** A key without its secret. Times are in epoch milliseconds. */
export interface Key {
  readonly id: string
  readonly projectId: string
  readonly name: string
  readonly scopes: ReadonlyArray<ApiKeyScope>
  readonly createdAt: number
  /** Who made it, as in the audit log. */
  readonly createdBy: string
  readonly expiresAt: number | null
  readonly revokedAt: number | null
  /** When it was last used, to the minute. */
  readonly lastUsedAt: number | null
}

/** A key to be made. */
export interface NewKey {
  /** Default: the first project. */
  readonly projectId?: string | undefined
  /** What it is for. */
  readonly name: string
  readonly scopes: ReadonlyArray<ApiKeyScope>
  /** How long it is valid. Default: until it is revoked. */
  readonly validFor?: Duration.Duration | undefined
}

/** A key that was made. */
export interface MadeKey {
  readonly key: Key
  /** The key itself. It cannot be shown again. */
  readonly secret: Redacted.Redacted
}

const Row = Schema.Struct({
  id: Schema.String,
  project_id: Schema.String,
  name: Schema.String,
  hash: Schema.String,
  scopes: Schema.fromJsonString(Schema.Array(ApiKeyScope)),
  created_at: Integer,
  created_by: Schema.String,
  expires_at: Schema.NullOr(Integer),
  revoked_at: Schema.NullOr(Integer),
  last_used_at: Schema.NullOr(Integer)
})

const decodeRows = (rows: ReadonlyArray<unknown>) => Effect.orDie(Schema.decodeUnknownEffect(Schema.Array(Row))(rows))

const toKey = (row: typeof Row.Type): Key => ({
  id: row.id,
  projectId: row.project_id,
  name: row.name,
  scopes: row.scopes,
  createdAt: row.created_at,
  createdBy: row.created_by,
  expiresAt: row.expires_at,
  revokedAt: row.revoked_at,
  lastUsedAt: row.last_used_at
})

/** Letters, digits, marks, punctuation and single spaces: nothing invisible, which would make two names look the same. */
const isName = (name: string): boolean => /^(?! )(?:[\p{L}\p{N}\p{M}\p{P}\p{S}]| (?! )){1,100}(?<! )$/u.test(name)

const invalid = (message: string) => new InvalidRequest({ message, slug: "invalid_api_key_request" })

const maxValidity = Duration.days(3_650)

/** How long a process uses what it has read of a key. */
const freshFor = Duration.seconds(2)

/** How many keys a process keeps. */
const capacity = 10_000

const allScopes: ReadonlyArray<ApiKeyScope> = ApiKeyScope.literals

const make = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const audit = yield* AuditLog
  const random = yield* SecureRandom.SecureRandom
  const locked = sql.onDialectOrElse({ pg: () => sql` FOR UPDATE`, orElse: () => sql`` })

  const read = (id: string) =>
    Effect.map(Effect.flatMap(sql`SELECT * FROM rekindle_api_keys WHERE id = ${id}`, decodeRows), ([row]) =>
      row === undefined ? undefined : { key: toKey(row), hash: row.hash }
    )
  const cache = yield* ReadCache.make(read, { capacity, freshFor })

  const create = Effect.fnUntraced(function* (
    { name, projectId = Projects.first, scopes, validFor }: NewKey,
    actor: string
  ) {
    if (!isName(name)) return yield* invalid("the name of a key has to be 1 to 100 visible characters")
    if (scopes.length === 0) return yield* invalid(`a key needs at least one scope of ${allScopes.join(", ")}`)
    if (validFor !== undefined && !Duration.between(validFor, { minimum: Duration.seconds(1), maximum: maxValidity }))
      return yield* invalid("a key can be valid for 1 second to 3650 days")
    const { id, key: secret } = yield* Effect.provideService(KeyText.make, SecureRandom.SecureRandom, random)
    const now = yield* Clock.currentTimeMillis
    const expiresAt = validFor === undefined ? null : now + Duration.toMillis(validFor)
    // In the order of the list of all, each once.
    const held = allScopes.filter((scope) => scopes.includes(scope))
    yield* Effect.gen(function* () {
      const projects = yield* sql`SELECT id FROM rekindle_projects WHERE id = ${projectId}`
      if (projects.length === 0) return yield* projectNotFound()
      yield* sql`INSERT INTO rekindle_api_keys ${sql.insert({
        id,
        project_id: projectId,
        name,
        hash: KeyText.hashOf(secret),
        scopes: JSON.stringify(held),
        created_at: now,
        created_by: actor,
        expires_at: expiresAt
      })}`
      yield* audit.append({
        actor,
        projectId,
        action: "key.created",
        target: id,
        details: { name, scopes: held, expires_at: expiresAt }
      })
    }).pipe(sql.withTransaction)
    const key: Key = {
      id,
      projectId,
      name,
      scopes: held,
      createdAt: now,
      createdBy: actor,
      expiresAt,
      revokedAt: null,
      lastUsedAt: null
    }
    return { key, secret }
  })

  return Keys.of({
    create,

    createFirst: Effect.gen(function* () {
      // Processes that start together wait here for each other.
      yield* sql`SELECT sequence FROM rekindle_audit_head WHERE id = 1${locked}`
      const some = yield* sql`SELECT id FROM rekindle_api_keys LIMIT 1`
      return some.length > 0
        ? Option.none<MadeKey>()
        : Option.some(yield* create({ name: "first admin key", scopes: allScopes }, "first start"))
    }).pipe(sql.withTransaction),

    list: (projectId) => {
      const where = projectId === undefined ? sql`` : sql` WHERE project_id = ${projectId}`
      return Effect.map(
        Effect.flatMap(sql`SELECT * FROM rekindle_api_keys${where} ORDER BY created_at, id`, decodeRows),
        (rows) => rows.map(toKey)
      )
    },

    revoke: Effect.fnUntraced(function* (id, projectId, actor) {
      const now = yield* Clock.currentTimeMillis
      const inProject = projectId === undefined ? sql`` : sql` AND project_id = ${projectId}`
      const key = yield* Effect.gen(function* () {
        const [before] = yield* Effect.flatMap(
          sql`SELECT * FROM rekindle_api_keys WHERE id = ${id}${inProject}${locked}`,
          decodeRows
        )
        if (before === undefined)
          return yield* new InvalidRequest({ message: "there is no API key of that id", slug: "api_key_not_found" })
        if (before.revoked_at !== null) return toKey(before)
        yield* sql`UPDATE rekindle_api_keys SET revoked_at = ${now} WHERE id = ${id}`
        yield* audit.append({ actor, projectId: before.project_id, action: "key.revoked", target: id })
        return toKey({ ...before, revoked_at: now })
      }).pipe(sql.withTransaction)
      yield* cache.forget(id)
      return key
    }),

    find: cache.get,

    markUsed: (ids, at, notSince) =>
      ids.length === 0
        ? Effect.void
        : sql`UPDATE rekindle_api_keys SET last_used_at = ${at}
            WHERE ${sql.in("id", ids)} AND (last_used_at IS NULL OR last_used_at <= ${notSince})`
  })
})

/** The keys of the database. `actor` is who acts, for the audit log. */
export class Keys extends Context.Service<
  Keys,
  {
    readonly create: (
      key: NewKey,
      actor: string
    ) => Effect.Effect<MadeKey, InvalidRequest | AuditBroken | SqlError.SqlError>
    /** Makes a key with all scopes if there is no key at all, not even a revoked one. Of processes that start together, one makes it. */
    readonly createFirst: Effect.Effect<Option.Option<MadeKey>, InvalidRequest | AuditBroken | SqlError.SqlError>
    /** Lists keys from the oldest to the newest: those of a project, or all. */
    readonly list: (projectId?: string) => Effect.Effect<ReadonlyArray<Key>, SqlError.SqlError>
    /** Revokes a key for good, of a project or of any. A second time changes nothing. Other processes notice within 2 seconds. */
    readonly revoke: (
      id: string,
      projectId: string | undefined,
      actor: string
    ) => Effect.Effect<Key, InvalidRequest | AuditBroken | SqlError.SqlError>
    /** Reads a key and its hash, at most once in 2 seconds. */
    readonly find: (
      id: string
    ) => Effect.Effect<{ readonly key: Key; readonly hash: string } | undefined, SqlError.SqlError>
    /** Notes that keys were used, except those with a use noted after `notSince`. */
    readonly markUsed: (
      ids: ReadonlyArray<string>,
      at: number,
      notSince: number
    ) => Effect.Effect<unknown, SqlError.SqlError>
  }
>()("@rekindle/cli/Keys") {
  /** The keys in a database that has been migrated. */
  static readonly layer: Layer.Layer<Keys, never, AuditLog | SqlClient.SqlClient> = Layer.effect(Keys, make).pipe(
    Layer.provide(SecureRandom.layerWebCrypto)
  )
}
