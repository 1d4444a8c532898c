/**
 * The admin routes, which are Rekindle's own: API keys, projects and the audit log. All require the scope `admin`.
 *
 * @module
 */
import { ApiKeys, IsAudited, RekindleApi, RekindleServer } from "@rekindle/platform"
import { Effect, Schema, SchemaTransformation } from "effect"
import { HttpApi, HttpApiBuilder, HttpApiEndpoint, HttpApiGroup, OpenApi } from "effect/http-api"
import type { AuditLog } from "../audit/AuditLog.ts"
import type { Keys } from "../keys/Keys.ts"
import type { Projects } from "../keys/Projects.ts"
import { actorOfRequest, type LocalError, make, type Shape } from "./Administration.ts"
import * as Forms from "./forms.ts"

const { forbidden, invalidRequest, rateLimited, unavailable } = RekindleApi.errors

const error = [invalidRequest, forbidden, rateLimited, unavailable] as const

const documented = (summary: string, description: string) => OpenApi.annotations({ summary, description })

/** A number in a query. */
const count = (maximum: number) =>
  Schema.String.check(Schema.isPattern(/^\d{1,15}$/u, { expected: `a whole number from 0 to ${maximum}` })).pipe(
    Schema.decodeTo(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum })), SchemaTransformation.numberFromString)
  )

const listOf = <S extends Schema.Top>(item: S) => Schema.Struct({ items: Schema.Array(item) })

const listKeys = HttpApiEndpoint.get("listKeys", "/api_keys", {
  query: { project_id: Schema.optionalKey(Schema.String) },
  success: listOf(Forms.ApiKey),
  error
}).annotateMerge(
  documented("List API keys", "Of the caller's project, of a named one, or of all. Without their secrets.")
)

const createKey = HttpApiEndpoint.post("createKey", "/api_keys", {
  payload: Forms.NewApiKey,
  success: Forms.MadeApiKey,
  error
}).annotateMerge(
  documented(
    "Make an API key",
    "The answer has the key, which cannot be read again. No key makes one that may do more."
  )
)

const revokeKey = HttpApiEndpoint.delete("revokeKey", "/api_keys/:id", {
  params: { id: Schema.String },
  success: Forms.ApiKey,
  error
}).annotateMerge(documented("Revoke an API key", "For good. Every process refuses it within two seconds."))

const listProjects = HttpApiEndpoint.get("listProjects", "/projects", {
  success: listOf(Forms.ProjectForm),
  error
}).annotateMerge(documented("List projects", "Those that the caller manages."))

const createProject = HttpApiEndpoint.post("createProject", "/projects", {
  payload: Forms.NewProject,
  success: Forms.ProjectForm,
  error
}).annotateMerge(documented("Make a project", "Takes an admin key of the project default."))

const updateProject = HttpApiEndpoint.patch("updateProject", "/projects/:id", {
  params: { id: Schema.String },
  payload: Forms.ProjectChanges,
  success: Forms.ProjectForm,
  error
}).annotateMerge(
  documented(
    "Set the allowed origins of a project",
    "Where people may land after consent. Takes an admin key of the project default."
  )
)

const listAudit = HttpApiEndpoint.get("listAudit", "/audit_log", {
  query: {
    actor: Schema.optionalKey(Schema.String),
    project_id: Schema.optionalKey(Schema.String),
    before: Schema.optionalKey(count(Number.MAX_SAFE_INTEGER)),
    limit: Schema.optionalKey(count(500))
  },
  success: listOf(Forms.AuditEntryForm),
  error
}).annotateMerge(
  documented("List the audit log", "Who did what, the newest first. 50 entries unless limit says otherwise.")
)

const verifyAudit = HttpApiEndpoint.get("verifyAudit", "/audit_log/verification", {
  query: { sequence: Schema.optionalKey(count(Number.MAX_SAFE_INTEGER)), hash: Schema.optionalKey(Schema.String) },
  success: Forms.AuditVerdictForm,
  error
}).annotateMerge(
  documented(
    "Verify the audit log",
    "Names the first broken entry. With sequence and hash of a head that was noted, it also detects a log that was written anew. Takes an admin key of the project default."
  )
)

const group = HttpApiGroup.make("administration")
  .add(listKeys, createKey, revokeKey, listProjects, createProject, updateProject, listAudit, verifyAudit)
  .annotateEndpointsMerge(ApiKeys.requires("admin"))
  // Keys and projects are recorded with what became of them, in the transaction that changes them.
  .annotateEndpoints(IsAudited, false)
  .prefix("/api/v3")
  .middleware(RekindleApi.RequestValidation)
  .middleware(RekindleApi.ApiKeyAuth)
  .annotateMerge(OpenApi.annotations({ title: "Administration" }))

/** The contract of the admin routes. */
export class AdminApi extends HttpApi.make("rekindle-administration").add(group) {}

const items = <A>(items: ReadonlyArray<A>) => ({ items })

/** A head needs both of its parts. */
const headOf = ({ hash, sequence }: { readonly hash?: string; readonly sequence?: number }) =>
  hash === undefined || sequence === undefined ? undefined : { hash, sequence }

/** The admin routes, on the database. */
export const routes = RekindleServer.endpoints(
  AdminApi,
  HttpApiBuilder.group(
    AdminApi,
    "administration",
    Effect.fnUntraced(function* (group) {
      const services = yield* Effect.context<Keys | Projects | AuditLog>()
      const administration = Effect.provideContext(Effect.flatMap(actorOfRequest, make), services)
      const use = <A, E>(call: (administration: Shape<LocalError>) => Effect.Effect<A, E>) =>
        Effect.flatMap(administration, call)
      return group.handleAll({
        listKeys: ({ query }) =>
          Effect.map(
            use(({ listKeys }) => listKeys(query.project_id)),
            items
          ),
        createKey: ({ payload }) => use(({ createKey }) => createKey(payload)),
        revokeKey: ({ params }) => use(({ revokeKey }) => revokeKey(params.id)),
        listProjects: () =>
          Effect.map(
            use(({ listProjects }) => listProjects),
            items
          ),
        createProject: ({ payload: { id, redirect_origins = null } }) =>
          use(({ createProject }) => createProject(id, redirect_origins)),
        updateProject: ({ params, payload }) =>
          use(({ setRedirectOrigins }) => setRedirectOrigins(params.id, payload.redirect_origins)),
        listAudit: ({ query: { actor, before, limit = 50, project_id } }) =>
          Effect.map(
            use(({ listAudit }) => listAudit({ actor, projectId: project_id, before, limit })),
            items
          ),
        verifyAudit: ({ query }) => use(({ verifyAudit }) => verifyAudit(headOf(query)))
      })
    })
  )
)
