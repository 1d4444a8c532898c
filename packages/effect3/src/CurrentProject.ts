/**
 * The project of a call.
 *
 * @module
 */
import { Context } from "effect"

/**
 * The project that a call is made for. Accounts of another project do not exist for the call: they are `AccountNotFound`. Default `"default"`.
 * `Effect.provideService(CurrentProject, "acme")` sets it.
 */
export class CurrentProject extends Context.Reference<CurrentProject>()("@rekindle/effect3/CurrentProject", {
  defaultValue: (): string => "default"
}) {}
