/**
 * The log of who did what: append-only, each entry chained to the one before it by SHA-256.
 *
 * An entry's hash covers its fields and the hash of the previous entry. So an entry that is changed, removed, inserted or moved breaks the
 * chain at its place, and {@link AuditLog} names the first broken entry. The head, one row with the last sequence and hash, shows whether the last
 * entries were removed.
 *
 * **Gotchas**
 *
 * - Somebody who may write to the database can compute a new chain and a new head. A head that was noted elsewhere detects that: pass it to
 *   `verify`.
 * - An entry holds ids, names and paths, and never a key, a token or the body of a request.
 * - `append` joins the caller's transaction. Call it last: it locks the head, and all other writers wait until the commit.
 *
 * @module
 */
import { Clock, Context, Effect, Layer, Option, Schema } from "effect"
import { SqlClient, type SqlError } from "effect/sql"
import { createHash } from "node:crypto"
import { Integer } from "../store/rows.ts"

/** What is recorded of one act. */
export interface AuditRecord {
  /** Who acts: the id of an API key, or `cli:` and the name of the user at the machine. */
  readonly actor: string
  /** The project that it is about. */
  readonly projectId: string
  /** What is done, such as `key.created`, or a method and the path of the contract. */
  readonly action: string
  /** To what it is done: an id, or a path. */
  readonly target: string
  /** What else is worth knowing. Never a secret. */
  readonly details?: { readonly [name: string]: Schema.Json } | undefined
}

/** An entry of the log. */
export interface AuditEntry extends AuditRecord {
  readonly details: { readonly [name: string]: Schema.Json }
  /** From 1, without gaps. */
  readonly sequence: number
  /** In epoch milliseconds. */
  readonly at: number
  /** SHA-256 in hexadecimal. */
  readonly hash: string
}

/** A place in the chain: an entry and its hash. The sequence 0 is the empty log. */
export interface AuditHead {
  readonly sequence: number
  readonly hash: string
}

/** The result of a verification. */
export interface AuditVerdict {
  /** How many entries are intact, from the first. */
  readonly intact: number
  /** The head of the log. */
  readonly head: AuditHead
  /** The first broken place, and what is wrong there; `undefined` if the log is intact. */
  readonly broken: { readonly sequence: number; readonly problem: string } | undefined
}

/** Which entries are listed, newest first. */
export interface AuditFilter {
  readonly projectId?: string | undefined
  readonly actor?: string | undefined
  /** Entries before this sequence. */
  readonly before?: number | undefined
  readonly limit: number
}

/** The log cannot be continued, because its head is missing. */
export class AuditBroken extends Schema.TaggedError<AuditBroken>("@rekindle/cli/AuditBroken")("AuditBroken", {
  message: Schema.String
}) {}

const Row = Schema.Struct({
  sequence: Integer,
  at: Integer,
  project_id: Schema.String,
  actor: Schema.String,
  action: Schema.String,
  target: Schema.String,
  details: Schema.String,
  previous_hash: Schema.String,
  hash: Schema.String
})
type Row = typeof Row.Type

const Head = Schema.Struct({ sequence: Integer, hash: Schema.String })

const decodeRow = Schema.decodeUnknownOption(Row)
const decodeHead = Schema.decodeUnknownOption(Head)
const decodeDetails = Schema.decodeUnknownOption(Schema.fromJsonString(Schema.Record(Schema.String, Schema.Json)))

/** JSON separates the fields without ambiguity. The leading number is the version of this form. */
const hashOf = ({
  action,
  actor,
  at,
  details,
  previous_hash,
  project_id,
  sequence,
  target
}: Omit<Row, "hash">): string =>
  createHash("sha256")
    .update(JSON.stringify([1, sequence, at, project_id, actor, action, target, details, previous_hash]))
    .digest("hex")

const maxText = 500

/** Postgres stores no NUL and no half of a character, and both dialects have to hash what they store. */
const storable = (text: string): string => text.slice(0, maxText).toWellFormed().replaceAll("\0", "\ufffd")

const toEntry = ({ details, previous_hash: _, project_id, ...row }: Row): AuditEntry => ({
  ...row,
  projectId: project_id,
  details: Option.getOrElse(decodeDetails(details), () => ({}))
})

/** How many entries are verified at a time. */
const pageSize = 1000

const make = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const locked = sql.onDialectOrElse({ pg: () => sql` FOR UPDATE`, orElse: () => sql`` })

  const append = Effect.fnUntraced(
    function* ({ action, actor, details = {}, projectId, target }: AuditRecord) {
      const [found] = yield* sql`SELECT sequence, hash FROM rekindle_audit_head WHERE id = 1${locked}`
      const head = Option.getOrUndefined(decodeHead(found))
      if (head === undefined) {
        return yield* new AuditBroken({ message: "the head of the audit log is missing: run rekindle audit verify" })
      }
      const content = {
        sequence: head.sequence + 1,
        at: yield* Clock.currentTimeMillis,
        project_id: storable(projectId),
        actor: storable(actor),
        action: storable(action),
        target: storable(target),
        details: JSON.stringify(details),
        previous_hash: head.hash
      }
      const hash = hashOf(content)
      yield* sql`INSERT INTO rekindle_audit_log ${sql.insert({ ...content, hash })}`
      yield* sql`UPDATE rekindle_audit_head SET sequence = ${content.sequence}, hash = ${hash} WHERE id = 1`
      return content.sequence
    },
    (effect) => sql.withTransaction(effect)
  )

  const list = ({ actor, before, limit, projectId }: AuditFilter) => {
    const conditions = [
      ...(before === undefined ? [] : [sql`sequence < ${before}`]),
      ...(actor === undefined ? [] : [sql`actor = ${actor}`]),
      ...(projectId === undefined ? [] : [sql`project_id = ${projectId}`])
    ]
    const where = conditions.length === 0 ? sql`` : sql` WHERE ${sql.and(conditions)}`
    return sql`SELECT * FROM rekindle_audit_log${where} ORDER BY sequence DESC LIMIT ${limit}`.pipe(
      Effect.map((rows) => rows.flatMap((row) => Option.toArray(Option.map(decodeRow(row), toEntry))))
    )
  }

  const readHead = Effect.map(sql`SELECT sequence, hash FROM rekindle_audit_head WHERE id = 1`, ([row]) =>
    Option.getOrUndefined(decodeHead(row))
  )

  const verify = Effect.fnUntraced(function* (noted?: AuditHead): Effect.fn.Return<AuditVerdict, SqlError.SqlError> {
    let last: AuditHead = { sequence: 0, hash: "" }
    let first = true
    let head: AuditHead | undefined
    const broken = (sequence: number, problem: string): AuditVerdict => ({
      intact: last.sequence,
      head: head ?? last,
      broken: { sequence, problem }
    })
    if (noted !== undefined && noted.sequence === 0 && noted.hash !== "")
      return broken(0, "no entry has the sequence 0")
    while (true) {
      // The first page has no lower bound: what was inserted before the first entry is found too.
      const after = first ? sql`` : sql` WHERE sequence > ${last.sequence}`
      const rows = yield* sql`SELECT * FROM rekindle_audit_log${after} ORDER BY sequence LIMIT ${pageSize}`
      first = false
      for (const found of rows) {
        const expected = last.sequence + 1
        const row = Option.getOrUndefined(decodeRow(found))
        if (row === undefined) return broken(expected, "the entry cannot be read")
        if (row.sequence > expected) return broken(expected, "the entry is missing")
        if (row.sequence < expected) return broken(row.sequence, "the entry was inserted")
        if (row.previous_hash !== last.hash) return broken(expected, "the entry does not follow the one before it")
        if (row.hash !== hashOf(row)) return broken(expected, "the entry was changed")
        if (row.sequence === noted?.sequence && row.hash !== noted.hash)
          return broken(expected, "the entry is another one than the head that was noted")
        last = { sequence: row.sequence, hash: row.hash }
      }
      if (rows.length > 0) continue
      // An entry and its head are committed together, so a head that is read after the entries is never behind them.
      const previous: number | undefined = head?.sequence
      head = yield* readHead
      if (head === undefined) return broken(last.sequence + 1, "the head of the log is missing")
      if (head.sequence < last.sequence) return broken(head.sequence + 1, "the head does not know the entry")
      if (head.sequence === last.sequence) break
      // Other processes may have appended since the last page. If there is still nothing up to a head that was seen before, it was removed.
      if (previous !== undefined && previous > last.sequence) return broken(last.sequence + 1, "the entry is missing")
    }
    if (head.hash !== last.hash) return broken(last.sequence, "the head has another hash than the entry")
    if (noted !== undefined && noted.sequence > last.sequence)
      return broken(last.sequence + 1, "the entry is missing, and with it all up to the head that was noted")
    return { intact: last.sequence, head, broken: undefined }
  })

  return AuditLog.of({ append, list, verify })
})

/** Records who did what, and verifies the record. */
export class AuditLog extends Context.Service<
  AuditLog,
  {
    /** Appends an entry, in the caller's transaction if there is one. Returns its sequence. */
    readonly append: (record: AuditRecord) => Effect.Effect<number, AuditBroken | SqlError.SqlError>
    /** Lists entries, newest first. */
    readonly list: (filter: AuditFilter) => Effect.Effect<ReadonlyArray<AuditEntry>, SqlError.SqlError>
    /**
     * Verifies the chain from the first entry to the head, while other processes may append. With a head that was noted before, it also
     * detects a log that was written anew.
     */
    readonly verify: (noted?: AuditHead) => Effect.Effect<AuditVerdict, SqlError.SqlError>
  }
>()("@rekindle/cli/AuditLog") {
  /** The log in a database that has been migrated. */
  static readonly layer: Layer.Layer<AuditLog, never, SqlClient.SqlClient> = Layer.effect(AuditLog, make)
}
