/**
 * Projects: who the accounts belong to, and where their people may land after consent.
 *
 * The project `default` is there from the start. A key belongs to one project, and sees nothing of the others.
 *
 * @module
 */
import { CurrentProject, InvalidRequest, RedirectUrl, Unavailable } from "@rekindle/core"
import { Clock, Context, Duration, Effect, Layer, Schema } from "effect"
import { SqlClient, type SqlError } from "effect/sql"
import { type AuditBroken, AuditLog } from "../audit/AuditLog.ts"
import * as ReadCache from "../store/ReadCache.ts"
import { Integer } from "../store/rows.ts"

/** A project. Times are in epoch milliseconds. */
export interface Project {
  readonly id: string
  /** The origins of `redirect_url`, such as `https://app.example.com`. `null`: every address is allowed. */
  readonly redirectOrigins: ReadonlyArray<string> | null
  readonly createdAt: number
  readonly updatedAt: number
}

/** ASCII alone, so that two projects never look the same. */
export const ProjectId = Schema.String.check(
  Schema.isPattern(/^[a-z0-9][a-z0-9_-]{0,62}$/u, {
    expected: "1 to 63 of a-z, 0-9, - and _, beginning with a letter or digit"
  })
)

const Origins = Schema.NullOr(Schema.fromJsonString(Schema.Array(Schema.String)))

const Row = Schema.Struct({ id: Schema.String, redirect_origins: Origins, created_at: Integer, updated_at: Integer })

const decodeRows = (rows: ReadonlyArray<unknown>) =>
  Effect.map(Effect.orDie(Schema.decodeUnknownEffect(Schema.Array(Row))(rows)), (rows) =>
    rows.map(({ created_at, id, redirect_origins, updated_at }): Project => ({
      id,
      redirectOrigins: redirect_origins,
      createdAt: created_at,
      updatedAt: updated_at
    }))
  )

const isProjectId = Schema.is(ProjectId)
const isRedirectUrl = Schema.is(RedirectUrl)

const maxOrigins = 100

/** The origin of an address that is nothing but an origin, in the form that browsers compare. */
const originOf = (text: string): string | undefined => {
  const url = isRedirectUrl(text) ? URL.parse(text) : null
  // A `*` would match nothing.
  return url !== null && url.href === `${url.origin}/` && !url.hostname.includes("*") ? url.origin : undefined
}

/** The origins in the form that is stored. */
const toOrigins = (
  origins: ReadonlyArray<string> | null
): Effect.Effect<ReadonlyArray<string> | null, InvalidRequest> => {
  if (origins === null) return Effect.succeed(null)
  const known = new Set<string>()
  for (const origin of origins) {
    const parsed = originOf(origin)
    if (parsed === undefined || known.size === maxOrigins) {
      return Effect.fail(
        new InvalidRequest({
          message: `redirect origins have to be at most ${maxOrigins} origins such as https://app.example.com, without a path`,
          slug: "invalid_project"
        })
      )
    }
    known.add(parsed)
  }
  return Effect.succeed([...known])
}

/** The failure for a project that does not exist. */
export const projectNotFound = () =>
  new InvalidRequest({ message: "there is no project of that id", slug: "project_not_found" })

/** How long a process uses what it has read. A change by another process takes effect after this time at most. */
const freshFor = Duration.seconds(2)

const make = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const audit = yield* AuditLog

  const read = (id: string) =>
    Effect.map(
      Effect.flatMap(sql`SELECT * FROM rekindle_projects WHERE id = ${id}`, decodeRows),
      ([project]) => project
    )

  const cache = yield* ReadCache.make(read, { capacity: 1_000, freshFor })

  return Projects.of({
    list: Effect.flatMap(sql`SELECT * FROM rekindle_projects ORDER BY id`, decodeRows),

    get: (id) =>
      Effect.flatMap(read(id), (project) => (project === undefined ? projectNotFound() : Effect.succeed(project))),

    create: Effect.fnUntraced(function* (id, redirectOrigins, actor) {
      if (!isProjectId(id)) {
        return yield* new InvalidRequest({
          message: "the id of a project has to be 1 to 63 of a-z, 0-9, - and _, beginning with a letter or digit",
          slug: "invalid_project"
        })
      }
      const origins = yield* toOrigins(redirectOrigins)
      const now = yield* Clock.currentTimeMillis
      const row = {
        id,
        redirect_origins: origins === null ? null : JSON.stringify(origins),
        created_at: now,
        updated_at: now
      }
      yield* Effect.gen(function* () {
        const added =
          yield* sql`INSERT INTO rekindle_projects ${sql.insert(row)} ON CONFLICT (id) DO NOTHING RETURNING id`
        if (added.length === 0)
          return yield* new InvalidRequest({ message: "there is a project of that id", slug: "project_exists" })
        yield* audit.append({
          actor,
          projectId: id,
          action: "project.created",
          target: id,
          details: { redirect_origins: origins }
        })
      }).pipe(sql.withTransaction)
      yield* cache.forget(id)
      return { id, redirectOrigins: origins, createdAt: now, updatedAt: now }
    }),

    setRedirectOrigins: Effect.fnUntraced(function* (id, redirectOrigins, actor) {
      const origins = yield* toOrigins(redirectOrigins)
      const now = yield* Clock.currentTimeMillis
      const stored = origins === null ? null : JSON.stringify(origins)
      const project = yield* Effect.gen(function* () {
        const [changed] = yield* Effect.flatMap(
          sql`UPDATE rekindle_projects SET redirect_origins = ${stored}, updated_at = ${now} WHERE id = ${id} RETURNING *`,
          decodeRows
        )
        if (changed === undefined) return yield* projectNotFound()
        yield* audit.append({
          actor,
          projectId: id,
          action: "project.updated",
          target: id,
          details: { redirect_origins: origins }
        })
        return changed
      }).pipe(sql.withTransaction)
      yield* cache.forget(id)
      return project
    }),

    redirectOrigins: (id) =>
      cache.get(id).pipe(
        Effect.map((project) => project?.redirectOrigins ?? undefined),
        Effect.mapError(
          () =>
            new Unavailable({
              message: "the allowed addresses of the project cannot be read now; nothing was changed",
              slug: "store_unavailable",
              retryAfter: Duration.seconds(5)
            })
        )
      )
  })
})

/** The projects of the database. `actor` is who acts, for the audit log. */
export class Projects extends Context.Service<
  Projects,
  {
    readonly list: Effect.Effect<ReadonlyArray<Project>, SqlError.SqlError>
    readonly get: (id: string) => Effect.Effect<Project, InvalidRequest | SqlError.SqlError>
    readonly create: (
      id: string,
      redirectOrigins: ReadonlyArray<string> | null,
      actor: string
    ) => Effect.Effect<Project, InvalidRequest | AuditBroken | SqlError.SqlError>
    readonly setRedirectOrigins: (
      id: string,
      redirectOrigins: ReadonlyArray<string> | null,
      actor: string
    ) => Effect.Effect<Project, InvalidRequest | AuditBroken | SqlError.SqlError>
    /**
     * For the engine's `ConsentOptions.redirectOrigins`. A change takes effect within 2 seconds in every process. `undefined`, also for a
     * project that is not registered: every address is allowed.
     */
    readonly redirectOrigins: (id: string) => Effect.Effect<ReadonlyArray<string> | undefined, Unavailable>
  }
>()("@rekindle/cli/Projects") {
  /** The projects in a database that has been migrated. */
  static readonly layer: Layer.Layer<Projects, never, AuditLog | SqlClient.SqlClient> = Layer.effect(Projects, make)

  /** The project that is there from the start. The admin keys of this project manage all others. */
  static readonly first = CurrentProject.defaultValue()
}
