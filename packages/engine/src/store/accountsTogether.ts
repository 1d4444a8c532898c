/**
 * Reads, leases and commits of many accounts on Postgres, each as one statement.
 *
 * The requests are passed as one JSON document, so the text of the statement does not depend on their number. Locked rows are skipped:
 * waiting for one would delay all others, and two batches that wait for each other's rows would deadlock.
 *
 * @module
 */
import { Effect, Exit, Option, Schema } from "effect"
import {
  announcedAt,
  attemptsOf,
  type Begin,
  endsLease,
  epochOf,
  type Find,
  type FindIn,
  nextEpoch,
  underWay,
  type Write
} from "./accountRequests.ts"
import type { Database } from "./database.ts"
import { AccountRow, changeable, decodeAll, LeaseRow } from "./rows.ts"
import type { Shareable } from "./sharedStatement.ts"

/** The types of the columns that a write may change. */
const changeableTypes: { readonly [Column in keyof ReturnType<typeof changeable>]: string } = {
  alias: "text",
  status: "text",
  status_reason: "text",
  generation: "bigint",
  grant_id: "text",
  credential: "text",
  previous_credential: "text",
  obtained_at: "bigint",
  obtained_epoch: "bigint",
  expires_at: "bigint",
  renew_at: "bigint",
  consent_until: "bigint",
  withdrawal: "text",
  updated_at: "bigint"
}
const changeableColumns = Object.keys(changeableTypes)

const Located = Schema.Struct({ id: Schema.String, project_id: Schema.String, public_id: Schema.String })
const locate = Schema.decodeUnknownSync(Located)
const decodeAccount = Schema.decodeUnknownExit(AccountRow)
const decodeLeases = decodeAll(Schema.Struct({ id: Schema.String, ...LeaseRow.fields }))
const decodeIds = decodeAll(Schema.Struct({ id: Schema.String }))

const placeOf = (projectId: string, publicId: string): string => `${projectId}/${publicId}`

export const makeTogether = ({ clock, sql }: Database) => {
  /** The requests as rows. */
  const asked = (requests: ReadonlyArray<object>, columns: Readonly<Record<string, string>>) =>
    sql`SELECT * FROM json_to_recordset(CAST(${JSON.stringify(requests)} AS json)) AS requests (${sql.literal(
      Object.entries(columns)
        .map(([name, type]) => `${name} ${type}`)
        .join(", ")
    )})`

  /** The ids of the requested rows that are not locked by others. They are locked here. */
  const free = sql.literal(`SELECT accounts.id FROM rekindle_accounts accounts JOIN asked ON accounts.id = asked.id
    FOR NO KEY UPDATE OF accounts SKIP LOCKED`)

  const present = (
    rows: ReadonlyArray<object>,
    keyOf: (row: typeof Located.Type) => string,
    keys: ReadonlyArray<string>
  ) => {
    const found = new Map<string, Exit.Exit<Option.Option<typeof AccountRow.Type>, Schema.SchemaError>>(
      keys.map((key) => [key, Exit.succeed(Option.none())])
    )
    for (const row of rows) found.set(keyOf(locate(row)), Exit.map(decodeAccount(row), Option.some))
    return found
  }

  const find: Omit<Shareable<Find, Option.Option<typeof AccountRow.Type>>, "alone"> = {
    key: ({ id }) => id,
    answersAll: true,
    together: (inputs) =>
      Effect.map(
        sql`SELECT accounts.*, ${clock(0)} AS clock FROM rekindle_accounts accounts
          JOIN (${asked(
            inputs.map(({ id }) => ({ id })),
            { id: "text" }
          )}) asked ON accounts.id = asked.id`,
        (rows) =>
          present(
            rows,
            ({ id }) => id,
            inputs.map(({ id }) => id)
          )
      )
  }

  const findIn: Omit<Shareable<FindIn, Option.Option<typeof AccountRow.Type>>, "alone"> = {
    key: ({ projectId, publicId }) => placeOf(projectId, publicId),
    answersAll: true,
    together: (inputs) =>
      Effect.map(
        sql`SELECT accounts.*, ${clock(0)} AS clock FROM rekindle_accounts accounts
          JOIN (${asked(
            inputs.map(({ projectId, publicId }) => ({ project_id: projectId, public_id: publicId })),
            { project_id: "text", public_id: "text" }
          )}) asked USING (project_id, public_id)`,
        (rows) =>
          present(
            rows,
            (row) => placeOf(row.project_id, row.public_id),
            inputs.map(({ projectId, publicId }) => placeOf(projectId, publicId))
          )
      )
  }

  const begin: Omit<Shareable<Begin, Option.Option<typeof LeaseRow.Type>>, "alone"> = {
    key: ({ account }) => account.id,
    answersAll: false,
    together: (inputs) =>
      sql`WITH asked AS (${asked(
        inputs.map((input) => ({
          id: input.account.id,
          revision: input.account.revision,
          epoch: input.account.epoch,
          next_epoch: nextEpoch(input),
          generation: input.account.generation,
          attempted: input.account.intent?.attempts ?? null,
          attempts: attemptsOf(input),
          owner: input.owner,
          lease_millis: input.leaseMillis,
          take_over: input.takeOver === true
        })),
        {
          id: "text",
          revision: "bigint",
          epoch: "bigint",
          next_epoch: "bigint",
          generation: "bigint",
          attempted: "bigint",
          attempts: "bigint",
          owner: "text",
          lease_millis: "bigint",
          take_over: "boolean"
        }
      )}), free AS (${free})
      UPDATE rekindle_accounts accounts SET
        lease_owner = asked.owner,
        lease_until = ${clock(0)} + asked.lease_millis,
        epoch = asked.next_epoch,
        intent_generation = asked.generation,
        intent_since = COALESCE(accounts.intent_since, ${clock(0)}),
        intent_attempts = asked.attempts
      FROM asked, free
      WHERE accounts.id = asked.id AND accounts.id = free.id
        AND accounts.revision = asked.revision AND accounts.epoch = asked.epoch
        AND accounts.intent_attempts IS NOT DISTINCT FROM asked.attempted
        AND (asked.take_over OR accounts.lease_owner IS NULL OR accounts.lease_until <= ${clock(0)})
      RETURNING accounts.id, accounts.lease_until, accounts.intent_since, ${clock(0)} AS clock, 0 AS leases`.pipe(
        Effect.flatMap(decodeLeases),
        Effect.map((rows) => new Map(rows.map((row) => [row.id, Exit.succeed(Option.some(row))])))
      )
  }

  const changes = sql.literal(
    [
      ...changeableColumns.map((column) => `${column} = asked.${column}`),
      ...underWay.map((column) => `${column} = CASE WHEN asked.ends THEN NULL ELSE accounts.${column} END`)
    ].join(", ")
  )

  const write: Omit<Shareable<Write, boolean>, "alone"> = {
    key: ({ from }) => from.id,
    answersAll: false,
    together: (inputs) =>
      sql`WITH asked AS (${asked(
        inputs.map((input) => ({
          id: input.from.id,
          revision: input.from.revision,
          epoch: epochOf(input),
          ends: endsLease(input),
          announce: input.announce.join(","),
          announced_at: announcedAt(input),
          ...changeable(input.to)
        })),
        {
          id: "text",
          revision: "bigint",
          epoch: "bigint",
          ends: "boolean",
          announce: "text",
          announced_at: "bigint",
          ...changeableTypes
        }
      )}), free AS (${free}), written AS (
        UPDATE rekindle_accounts accounts SET revision = accounts.revision + 1, ${changes}
        FROM asked, free
        WHERE accounts.id = asked.id AND accounts.id = free.id
          AND accounts.revision = asked.revision AND (asked.epoch IS NULL OR accounts.epoch = asked.epoch)
        RETURNING accounts.id, accounts.project_id, accounts.public_id, accounts.status, accounts.status_reason,
          accounts.generation, asked.announced_at, asked.announce
      ), announced AS (
        INSERT INTO rekindle_outbox (project_id, account_id, type, status, status_reason, generation, at)
        SELECT written.project_id, written.public_id, events.type, written.status, written.status_reason,
          written.generation, written.announced_at
        FROM written, unnest(string_to_array(written.announce, ',')) WITH ORDINALITY AS events (type, place)
        ORDER BY written.id, events.place
      )
      SELECT id FROM written`.pipe(
        Effect.flatMap(decodeIds),
        Effect.map((rows) => new Map(rows.map(({ id }) => [id, Exit.succeed(true)])))
      )
  }

  return { find, findIn, begin, write }
}
