/**
 * `rekindle init`: makes the file of settings and the key file in the current directory. It never overwrites one.
 *
 * @module
 */
import { Effect, FileSystem, Option, Record } from "effect"
import { Command } from "effect/cli"
import * as Setting from "../settings/Setting.ts"
import * as Settings from "../settings/settings.ts"
import * as KeyRing from "../store/KeyRing.ts"
import { CommandFailed, faultOf } from "./failure.ts"
import * as Output from "./output.ts"

/** Writes the settings that the command line gives, under their keys. Nobody else can read them, because a database's password is among them. */
const writeSettings = Effect.fnUntraced(function* (path: string, given: Setting.Given<typeof Settings.serve>) {
  const fs = yield* FileSystem.FileSystem
  const written = Record.mapEntries(Settings.serve, ({ key, fallbackText }, name) => [
    key,
    Option.getOrUndefined(given[name]) ?? (name === "database" || name === "port" ? fallbackText : undefined)
  ])
  yield* fs.writeFileString(path, `${JSON.stringify(written, null, 2)}\n`, { flag: "wx", mode: 0o600 }).pipe(
    Effect.mapError((error) =>
      error.reason._tag === "AlreadyExists"
        ? new CommandFailed({ message: `${path} exists; nothing was done`, fix: `edit ${path}, or remove it` })
        : new CommandFailed({
            message: `cannot write ${path}: ${faultOf(error)}`,
            fix: "name another file with --config"
          })
    )
  )
})

export const init = Command.make(
  "init",
  { config: Setting.configFlag, ...Setting.flags(Settings.serve) },
  ({ config, ...given }) =>
    Effect.gen(function* () {
      const path = Option.getOrElse(config, () => Setting.defaultFile)
      // Wrong values are refused before anything is written.
      const settings = yield* Setting.resolve(Settings.serve, given, Setting.noFile)
      yield* writeSettings(path, given)
      const inEnvironment = yield* KeyRing.isInEnvironment
      const keyFile = settings.keyFile ?? (yield* KeyRing.defaultFile(settings.database))
      const isNew = !inEnvironment && (yield* KeyRing.create(keyFile))
      const next = `rekindle serve${path === Setting.defaultFile ? "" : ` --config ${path}`}`
      yield* Output.print(
        { settings: path, key_file: inEnvironment ? null : keyFile, key_file_is_new: isNew, next },
        [
          `${path} has the settings.`,
          inEnvironment
            ? "The key ring is in REKINDLE_KEYS."
            : isNew
              ? `${keyFile} has the key ring, readable by you alone. Back it up, apart from the database: without it no credential can be read.`
              : `${keyFile} exists and is kept.`,
          "",
          "Next:",
          "",
          `  ${next}`
        ].join("\n")
      )
    })
).pipe(Command.withDescription("Makes a file of settings and a key file, for rekindle serve in this directory"))
