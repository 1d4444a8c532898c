/**
 * The key ring of a database: from `REKINDLE_KEYS`, or from a file that only its user can read.
 *
 * **Gotchas**
 *
 * Whoever has the ring and the database can read every credential. Without the ring nobody can, so it has to be backed up, apart from the
 * database.
 *
 * @module
 */
import { CredentialVault, type VaultError } from "@rekindle/engine"
import { Config, ConfigProvider, Context, Effect, FileSystem, Layer, Option, Path } from "effect"
import { SecureRandom } from "effect/crypto"
import { Base64 } from "effect/encoding"
import { CommandFailed, faultOf } from "../commands/failure.ts"
import type { DatabasePlace } from "../settings/settings.ts"

/** Where the ring came from, for the text of the start. */
export class KeyRing extends Context.Service<
  KeyRing,
  {
    /** The file; undefined if the ring is from the environment. */
    readonly file: string | undefined
    /** Whether this start made the file. */
    readonly isNew: boolean
  }
>()("@rekindle/cli/KeyRing") {}

const variable = "REKINDLE_KEYS"

const refused = (message: string, fix: string) => new CommandFailed({ message, fix })

/** Whether the environment has the ring, so that no file is read or made. */
export const isInEnvironment = Effect.map(Config.option(Config.Redacted(variable)), Option.isSome)

/** The file of a database's ring, unless a setting names another. */
export const defaultFile = (database: DatabasePlace) =>
  Effect.map(Path.Path, (path) =>
    database._tag === "Postgres" || database.file === ":memory:"
      ? "rekindle.keys"
      : path.join(path.dirname(database.file), "rekindle.keys")
  )

const header = `# The key ring of Rekindle: id:key, the newest first. Whoever has it and the database can read every credential.
# Without it nobody can: keep a copy of it, apart from the copies of the database.
`

/** Makes a ring of one key. Its id is random too, so that the rings of two databases are told apart. */
const newRing = Effect.gen(function* () {
  const random = yield* SecureRandom.SecureRandom
  const id = Array.from(yield* random.randomBytes(4), (byte) => byte.toString(16).padStart(2, "0")).join("")
  return `${header}k-${id}:${Base64.encode(yield* random.randomBytes(32))}\n`
}).pipe(Effect.orDie, Effect.provide(SecureRandom.layerWebCrypto))

/** Makes a key file, unless it exists. Returns whether it did. A reader never sees a part of it, because it is written elsewhere and linked. */
export const create = Effect.fnUntraced(function* (file: string) {
  const fs = yield* FileSystem.FileSystem
  const draft = `${file}.${process.pid}.new`
  const write = Effect.scoped(
    Effect.gen(function* () {
      const handle = yield* fs.open(draft, { flag: "wx", mode: 0o600 })
      yield* handle.writeAll(new TextEncoder().encode(yield* newRing))
      yield* handle.sync
    })
  )
  return yield* write.pipe(
    Effect.andThen(fs.link(draft, file)),
    Effect.as(true),
    Effect.catchTag("PlatformError", (error) =>
      error.reason._tag === "AlreadyExists"
        ? Effect.succeed(false)
        : Effect.fail(refused(`cannot make the key file ${file}: ${faultOf(error)}`, "name a file with --key-file"))
    ),
    Effect.ensuring(Effect.ignore(fs.remove(draft)))
  )
})

const octal = (mode: number): string => (mode & 0o777).toString(8).padStart(3, "0")

const read = Effect.fnUntraced(
  function* (file: string) {
    const fs = yield* FileSystem.FileSystem
    const { mode, type } = yield* fs.stat(file)
    if (type !== "File") return yield* refused(`the key file ${file} is not a file`, "name a file with --key-file")
    if (process.platform !== "win32" && (mode & 0o077) !== 0)
      return yield* refused(
        `other users can read the key file ${file} (mode ${octal(mode)})`,
        `chmod 600 ${file}; if somebody may have read it, put a new key in front and run rekindle reseal`
      )
    return yield* fs.readFileString(file)
  },
  (reading, file) =>
    Effect.catchTag(reading, "PlatformError", (error) =>
      Effect.fail(
        refused(`cannot read the key file ${file}: ${faultOf(error)}`, "let this user read it, or set REKINDLE_KEYS")
      )
    )
)

/**
 * Removes the file that this start made, because the keys of the database are somewhere else. Fails then, with where they were looked for.
 */
export const discardIfNew = Effect.fnUntraced(function* ({ file, isNew }: KeyRing["Service"]) {
  if (!isNew || file === undefined) return
  yield* Effect.ignore(FileSystem.FileSystem.use((fs) => fs.remove(file)))
  return yield* refused(
    `the database is sealed with keys that are not here: there is no key file ${file}, and ${variable} is not set`,
    `name the file of this database with --key-file, or set ${variable}`
  )
})

/** The entries of a file, in the form of the variable. */
const entries = (text: string): string =>
  text
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "" && !line.startsWith("#"))
    .join()

/**
 * The vault of a database. `create` says whether a missing file is made, as the first start of a server does. A command that reads an
 * existing database must not.
 */
export const layer = (options: {
  readonly database: DatabasePlace
  readonly keyFile: string | undefined
  readonly create: boolean
}): Layer.Layer<
  CredentialVault | KeyRing,
  CommandFailed | VaultError | Config.ConfigError,
  FileSystem.FileSystem | Path.Path
> =>
  Layer.unwrap(
    Effect.gen(function* () {
      const vault = CredentialVault.layerConfig()
      if (yield* isInEnvironment) return Layer.merge(vault, Layer.succeed(KeyRing, { file: undefined, isNew: false }))
      const fs = yield* FileSystem.FileSystem
      const file = options.keyFile ?? (yield* defaultFile(options.database))
      const exists = yield* Effect.orElseSucceed(fs.exists(file), () => false)
      if (!exists && !options.create)
        return yield* refused(
          `there is no key file ${file}, and ${variable} is not set`,
          `name the file of this database with --key-file, or set ${variable}`
        )
      const isNew = !exists && (yield* create(file))
      const ring = entries(yield* read(file))
      if (ring === "")
        return yield* refused(`the key file ${file} holds no key`, "put the keys of this database back into it")
      return Layer.merge(
        Layer.provide(vault, ConfigProvider.layer(ConfigProvider.fromEnvRecord({ [variable]: ring }))),
        Layer.succeed(KeyRing, { file, isNew })
      )
    })
  )
