/**
 * What the commands for keys, projects and the audit log work on: a database, or the admin routes of a server.
 *
 * @module
 */
import { Effect, Layer, Option, Struct } from "effect"
import { type Command, Flag } from "effect/cli"
import { userInfo } from "node:os"
import * as Local from "../administration/Administration.ts"
import * as Remote from "../administration/remote.ts"
import { migrate } from "../store/migrations.ts"
import * as Target from "./target.ts"

/** The flags of the target. */
export const flags = Struct.omit(Target.flags, ["project"])

/** `--project`, for a command that names one. */
export const project = Flag.String("project").pipe(Flag.withDescription("The project"), Flag.optional)

/** Who is at the machine. A user id of a container may have no name. */
const user = (): string => {
  try {
    return userInfo().username
  } catch {
    return String(process.getuid?.() ?? "unknown")
  }
}

/** Provides {@link Local.Administration} for the target of the flags. */
export const layer = (given: Command.Command.Config.Infer<typeof flags>) =>
  Layer.unwrap(
    Effect.map(Target.resolve({ ...given, project: Option.none() }), (target) =>
      target._tag === "Remote"
        ? Remote.layer(target.server, target.key)
        : Layer.effect(Local.Administration, Local.make({ name: `cli:${user()}` })).pipe(
            Layer.provide(Local.services),
            Layer.provide(Layer.effectDiscard(migrate)),
            Layer.provide(Target.sqlClient(target))
          )
    )
  )
