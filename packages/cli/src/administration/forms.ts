/**
 * Keys, projects and the audit log as JSON: in the bodies of the admin routes, and with `--json`.
 *
 * @module
 */
import { ApiKeyScope } from "@rekindle/platform"
import { Schema } from "effect"
import type { AuditEntry } from "../audit/AuditLog.ts"
import type { Key } from "../keys/Keys.ts"
import type { Project } from "../keys/Projects.ts"

const keyFields = {
  id: Schema.String,
  project_id: Schema.String,
  name: Schema.String,
  scopes: Schema.Array(ApiKeyScope),
  created_at: Schema.String,
  /** The id of a key, or `cli:` and a user of the machine. */
  created_by: Schema.String,
  expires_at: Schema.NullOr(Schema.String),
  revoked_at: Schema.NullOr(Schema.String),
  /** To the minute. */
  last_used_at: Schema.NullOr(Schema.String)
}

/** A key without its secret. Times are in ISO 8601. */
export const ApiKey = Schema.Struct(keyFields).pipe(Schema.annotate({ identifier: "ApiKey" }))
export type ApiKey = typeof ApiKey.Type

/** A key that was just made. `key` cannot be read again. */
export const MadeApiKey = Schema.Struct({ ...keyFields, key: Schema.String }).pipe(
  Schema.annotate({ identifier: "MadeApiKey" })
)
export type MadeApiKey = typeof MadeApiKey.Type

/** A key to be made. */
export const NewApiKey = Schema.Struct({
  name: Schema.String,
  scopes: Schema.Array(ApiKeyScope),
  /** Default: the project of the caller's key. */
  project_id: Schema.optionalKey(Schema.String),
  /** Default: until it is revoked. */
  valid_for_seconds: Schema.optionalKey(Schema.Int)
}).pipe(Schema.annotate({ identifier: "NewApiKey" }))
export type NewApiKey = typeof NewApiKey.Type

const Origins = Schema.NullOr(Schema.Array(Schema.String))

/** A project. `redirect_origins` null: people may land anywhere after consent. */
export const ProjectForm = Schema.Struct({
  id: Schema.String,
  redirect_origins: Origins,
  created_at: Schema.String,
  updated_at: Schema.String
}).pipe(Schema.annotate({ identifier: "Project" }))
export type ProjectForm = typeof ProjectForm.Type

/** A project to be made. */
export const NewProject = Schema.Struct({ id: Schema.String, redirect_origins: Schema.optionalKey(Origins) }).pipe(
  Schema.annotate({ identifier: "NewProject" })
)

/** What of a project is changed. */
export const ProjectChanges = Schema.Struct({ redirect_origins: Origins }).pipe(
  Schema.annotate({ identifier: "ProjectChanges" })
)

/** An entry of the audit log. */
export const AuditEntryForm = Schema.Struct({
  sequence: Schema.Int,
  at: Schema.String,
  project_id: Schema.String,
  actor: Schema.String,
  action: Schema.String,
  target: Schema.String,
  details: Schema.Record(Schema.String, Schema.Json),
  hash: Schema.String
}).pipe(Schema.annotate({ identifier: "AuditEntry" }))
export type AuditEntryForm = typeof AuditEntryForm.Type

/** The result of a verification of the audit log. */
export const AuditVerdictForm = Schema.Struct({
  intact: Schema.Int,
  head: Schema.Struct({ sequence: Schema.Int, hash: Schema.String }),
  broken: Schema.NullOr(Schema.Struct({ sequence: Schema.Int, problem: Schema.String }))
}).pipe(Schema.annotate({ identifier: "AuditVerdict" }))
export type AuditVerdictForm = typeof AuditVerdictForm.Type

const iso = (at: number): string => new Date(at).toISOString()
const isoOrNull = (at: number | null): string | null => (at === null ? null : iso(at))

/** A key in its form. */
export const ofKey = (key: Key): ApiKey => ({
  id: key.id,
  project_id: key.projectId,
  name: key.name,
  scopes: key.scopes,
  created_at: iso(key.createdAt),
  created_by: key.createdBy,
  expires_at: isoOrNull(key.expiresAt),
  revoked_at: isoOrNull(key.revokedAt),
  last_used_at: isoOrNull(key.lastUsedAt)
})

/** A project in its form. */
export const ofProject = ({ createdAt, id, redirectOrigins, updatedAt }: Project): ProjectForm => ({
  id,
  redirect_origins: redirectOrigins,
  created_at: iso(createdAt),
  updated_at: iso(updatedAt)
})

/** An entry in its form. */
export const ofEntry = ({ at, projectId, ...entry }: AuditEntry): AuditEntryForm => ({
  ...entry,
  at: iso(at),
  project_id: projectId
})
