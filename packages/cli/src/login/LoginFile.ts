/**
 * The server and key that `rekindle login` keeps: `rekindle/login.json` in the user's configuration directory (`XDG_CONFIG_HOME`, or
 * `.config` in the home directory, as the XDG Base Directory Specification has it). Only the user can read it.
 *
 * @module
 */
import { Config, Effect, FileSystem, Option, Path, Redacted, Schema } from "effect"
import { CommandFailed } from "../commands/failure.ts"

/** A server, and the key to send to it. */
export const Login = Schema.Struct({ server: Schema.String, key: Schema.RedactedFromValue(Schema.String) })
export type Login = typeof Login.Type

const LoginJson = Schema.fromJsonString(Login)
const decode = Schema.decodeUnknownOption(LoginJson)

/** Where the file is. */
export const path = Effect.gen(function* () {
  const paths = yield* Path.Path
  const home = yield* Config.String("HOME").pipe(
    Config.orElse(() => Config.String("USERPROFILE")),
    Config.option
  )
  const given = yield* Config.option(Config.String("XDG_CONFIG_HOME"))
  // The specification has a relative path ignored.
  const base = Option.orElse(Option.filter(given, paths.isAbsolute), () =>
    Option.map(home, (home) => paths.join(home, ".config"))
  )
  return Option.map(base, (base) => paths.join(base, "rekindle", "login.json"))
})

const hasModes = process.platform !== "win32"

/** Reads the login. None if nobody has logged in. Fails if other users can read the file, or if it is damaged. */
export const read = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const file = yield* path
  if (Option.isNone(file) || !(yield* fs.exists(file.value))) return Option.none<Login>()
  const { mode } = yield* fs.stat(file.value)
  if (hasModes && (mode & 0o077) !== 0) {
    return yield* new CommandFailed({
      message: `other users can read the key in ${file.value}`,
      fix: `chmod 600 ${file.value}; if somebody may have read it, revoke the key`,
      exit: "usage"
    })
  }
  const login = decode(yield* fs.readFileString(file.value))
  if (Option.isSome(login)) return login
  return yield* new CommandFailed({ message: `${file.value} is damaged`, fix: "rekindle login", exit: "usage" })
})

/** Writes the login in place of an earlier one. A reader sees the old file or the new one, never a part. Returns the path. */
export const write = Effect.fnUntraced(function* (login: { readonly server: string; readonly key: Redacted.Redacted }) {
  const fs = yield* FileSystem.FileSystem
  const paths = yield* Path.Path
  const file = yield* path
  if (Option.isNone(file)) {
    return yield* new CommandFailed({
      message: "there is no home directory",
      fix: "set XDG_CONFIG_HOME",
      exit: "usage"
    })
  }
  yield* fs.makeDirectory(paths.dirname(file.value), { recursive: true, mode: 0o700 })
  const draft = `${file.value}.${process.pid}.new`
  const text = `${JSON.stringify({ server: login.server, key: Redacted.value(login.key) }, null, 2)}\n`
  yield* fs
    .writeFileString(draft, text, { flag: "wx", mode: 0o600 })
    .pipe(Effect.andThen(fs.rename(draft, file.value)), Effect.ensuring(Effect.ignore(fs.remove(draft))))
  return file.value
})

/** Removes the login. */
export const remove = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const file = yield* path
  if (Option.isSome(file)) yield* fs.remove(file.value, { force: true })
})
