/**
 * Keys, projects and the audit log, as somebody may use them: a person at the database, or the holder of an admin key.
 *
 * - A person at the database may do everything.
 * - An admin key of the first project, `default`, manages all projects.
 * - An admin key of another project manages the keys of that project, and reads its part of the audit log.
 * - No key makes a key with a scope that it lacks itself.
 *
 * @module
 */
import {
  Forbidden,
  type InvalidRequest,
  type RateLimited,
  type TransportError,
  type Unauthorized,
  Unavailable,
  type UnexpectedResponse
} from "@rekindle/core"
import { type ApiKeyScope, ApiPrincipal } from "@rekindle/platform"
import { Context, Duration, Effect, Layer, Redacted } from "effect"
import type { SqlClient, SqlError } from "effect/sql"
import { type AuditBroken, type AuditHead, AuditLog } from "../audit/AuditLog.ts"
import { Keys } from "../keys/Keys.ts"
import { Projects } from "../keys/Projects.ts"
import * as Forms from "./forms.ts"

/** Who acts. */
export interface Actor {
  /** As in the audit log. */
  readonly name: string
  /** The only project that the actor manages. All if absent. */
  readonly projectId?: string | undefined
  /** The scopes that the actor can give to a key. All if absent. */
  readonly scopes?: ReadonlyArray<ApiKeyScope> | undefined
}

/** Which entries of the audit log are listed, newest first. */
export interface AuditQuery {
  readonly actor?: string | undefined
  readonly projectId?: string | undefined
  /** Entries before this sequence. */
  readonly before?: number | undefined
  readonly limit: number
}

/** Why something was not done. The errors of a database are `Unavailable`. The last two are those of a server alone. */
export type AdministrationError =
  | InvalidRequest
  | Unauthorized
  | Forbidden
  | RateLimited
  | Unavailable
  | TransportError
  | UnexpectedResponse

/** The errors of a database. */
export type LocalError = InvalidRequest | Forbidden | Unavailable

/** Everything that an actor may do. */
export interface Shape<E> {
  readonly listKeys: (projectId?: string) => Effect.Effect<ReadonlyArray<Forms.ApiKey>, E>
  readonly createKey: (key: Forms.NewApiKey) => Effect.Effect<Forms.MadeApiKey, E>
  readonly revokeKey: (id: string) => Effect.Effect<Forms.ApiKey, E>
  readonly listProjects: Effect.Effect<ReadonlyArray<Forms.ProjectForm>, E>
  readonly createProject: (id: string, origins: ReadonlyArray<string> | null) => Effect.Effect<Forms.ProjectForm, E>
  readonly setRedirectOrigins: (
    id: string,
    origins: ReadonlyArray<string> | null
  ) => Effect.Effect<Forms.ProjectForm, E>
  readonly listAudit: (query: AuditQuery) => Effect.Effect<ReadonlyArray<Forms.AuditEntryForm>, E>
  /** Verifies the whole log, of all projects. */
  readonly verifyAudit: (noted?: AuditHead) => Effect.Effect<Forms.AuditVerdictForm, E>
}

/** Keys, projects and the audit log of a database or a server. */
export class Administration extends Context.Service<Administration, Shape<AdministrationError>>()(
  "@rekindle/cli/Administration"
) {}

/** Keys, projects and the audit log in a database that has been migrated. */
export const services: Layer.Layer<Keys | Projects | AuditLog, never, SqlClient.SqlClient> = Layer.mergeAll(
  Keys.layer,
  Projects.layer
).pipe(Layer.provideMerge(AuditLog.layer))

const unavailable = (error: AuditBroken | SqlError.SqlError) =>
  Effect.andThen(
    Effect.logError(`keys, projects and the audit log: ${error.message}`),
    Effect.fail(
      new Unavailable({
        message: error._tag === "AuditBroken" ? error.message : "the database does not answer; nothing was changed",
        slug: "store_unavailable",
        retryAfter: Duration.seconds(5)
      })
    )
  )

/** What a database cannot do now is the caller's to try again. */
const asUnavailable = <A>(
  effect: Effect.Effect<A, InvalidRequest | Forbidden | AuditBroken | SqlError.SqlError>
): Effect.Effect<A, LocalError> =>
  effect.pipe(
    Effect.catch((error): Effect.Effect<never, LocalError> =>
      error._tag === "AuditBroken" || error._tag === "SqlError" ? unavailable(error) : Effect.fail(error)
    )
  )

const forbidden = (message: string, slug: string) => Effect.fail(new Forbidden({ message, slug }))

/** What an actor may do, on a database. */
export const make = Effect.fnUntraced(function* (
  actor: Actor
): Effect.fn.Return<Shape<LocalError>, never, Keys | Projects | AuditLog> {
  const keys = yield* Keys
  const projects = yield* Projects
  const audit = yield* AuditLog

  /** Fails if the actor does not manage the project. Without one: the actor's own, or all. */
  const managed = (projectId: string | undefined) =>
    actor.projectId === undefined || projectId === undefined || projectId === actor.projectId
      ? Effect.succeed(projectId ?? actor.projectId)
      : forbidden("the API key manages its own project alone", "other_project")

  const managesAll = Effect.suspend(() =>
    actor.projectId === undefined
      ? Effect.void
      : forbidden(`this takes an admin key of the project ${Projects.first}`, "other_project")
  )

  return {
    listKeys: Effect.fnUntraced(function* (projectId) {
      return (yield* keys.list(yield* managed(projectId))).map(Forms.ofKey)
    }, asUnavailable),

    createKey: Effect.fnUntraced(function* ({ name, project_id, scopes, valid_for_seconds }) {
      const projectId = yield* managed(project_id)
      const lacking = scopes.find((scope) => actor.scopes?.includes(scope) === false)
      if (lacking !== undefined)
        return yield* forbidden(`an API key without the scope ${lacking} cannot make one with it`, "missing_scope")
      const made = yield* keys.create(
        {
          name,
          scopes,
          projectId,
          validFor: valid_for_seconds === undefined ? undefined : Duration.seconds(valid_for_seconds)
        },
        actor.name
      )
      return { ...Forms.ofKey(made.key), key: Redacted.value(made.secret) }
    }, asUnavailable),

    revokeKey: (id) => asUnavailable(Effect.map(keys.revoke(id, actor.projectId, actor.name), Forms.ofKey)),

    listProjects: asUnavailable(
      Effect.map(projects.list, (all) =>
        all.filter(({ id }) => actor.projectId === undefined || id === actor.projectId).map(Forms.ofProject)
      )
    ),

    createProject: Effect.fnUntraced(function* (id, origins) {
      yield* managesAll
      return Forms.ofProject(yield* projects.create(id, origins, actor.name))
    }, asUnavailable),

    setRedirectOrigins: Effect.fnUntraced(function* (id, origins) {
      yield* managesAll
      return Forms.ofProject(yield* projects.setRedirectOrigins(id, origins, actor.name))
    }, asUnavailable),

    listAudit: Effect.fnUntraced(function* ({ projectId, ...query }) {
      return (yield* audit.list({ ...query, projectId: yield* managed(projectId) })).map(Forms.ofEntry)
    }, asUnavailable),

    verifyAudit: Effect.fnUntraced(function* (noted) {
      yield* managesAll
      const { broken = null, head, intact } = yield* audit.verify(noted)
      return { intact, head, broken }
    }, asUnavailable)
  }
})

/** Who acts with the key of a request. */
export const actorOfRequest: Effect.Effect<Actor, never, ApiPrincipal> = Effect.map(
  ApiPrincipal,
  ({ keyId = "a key without id", projectId, scopes }) => ({
    name: keyId,
    projectId: projectId === Projects.first ? undefined : projectId,
    scopes
  })
)
