/**
 * What `rekindle doctor` found: one sentence about one thing, and what to do about it.
 *
 * @module
 */

/** One finding. */
export interface Finding {
  readonly check:
    | "database"
    | "journal"
    | "key ring"
    | "auth config"
    | "egress"
    | "endpoint"
    | "clock"
    | "callback"
    | "server"
    | "key"
  /** What was looked at, without a secret. */
  readonly subject: string
  /** `problem`: something does not work. `warning`: it works, and may not for long or for everybody. */
  readonly status: "ok" | "warning" | "problem"
  readonly says: string
  readonly fix: string | null
}

type About = Pick<Finding, "check" | "subject">

/** Nothing is wrong. */
export const ok = (about: About, says: string): Finding => ({ ...about, status: "ok", says, fix: null })

/** It works, and may not for long or for everybody. */
export const warning = (about: About, says: string, fix: string): Finding => ({
  ...about,
  status: "warning",
  says,
  fix
})

/** It does not work. */
export const problem = (about: About, says: string, fix: string): Finding => ({
  ...about,
  status: "problem",
  says,
  fix
})
