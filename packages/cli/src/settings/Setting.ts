/**
 * Settings of commands. One definition gives the flag, the variable of the environment, the key in the file, the line in `--help`, and the
 * row of `docs/serve.md`.
 *
 * A flag takes precedence over a variable, a variable over the file, and the file over the default.
 *
 * **Gotchas**
 *
 * A value that is refused is never repeated, because it may be a secret.
 *
 * @module
 */
import { Config, Effect, FileSystem, Option, Record, Schema } from "effect"
import { Flag } from "effect/cli"
import { CommandFailed, faultOf } from "../commands/failure.ts"

/** One setting. */
export interface Setting<out A> {
  /** The name of the flag, in kebab-case. */
  readonly name: string
  /** What a value is, for errors and the page: "a port, from 0 to 65535". */
  readonly form: string
  readonly description: string
  /** The value if nothing sets it. */
  readonly fallback: A
  /** The fallback in words. */
  readonly fallbackText: string
  /** The variable of the environment. */
  readonly variable: string
  /** The key in the file. */
  readonly key: string
  /** Reads a value. None if it does not have the form. */
  readonly decode: (text: string) => Option.Option<A>
}

/** A set of settings. */
export type Settings = Readonly<Record<string, Setting<unknown>>>

/** The values of a set of settings. */
export type Values<S extends Settings> = { readonly [K in keyof S]: S[K] extends Setting<infer A> ? A : never }

/** What the command line gives, by the names of a set. */
export type Given<S extends Settings> = { readonly [K in keyof S]: Option.Option<string> }

/** Defines a setting. By default its variable is the name in capitals behind `REKINDLE_`, and its key is the name in camelCase. */
export const make = <A>(
  definition: Omit<Setting<A>, "variable" | "key"> & { readonly variable?: string }
): Setting<A> => ({
  variable: `REKINDLE_${definition.name.replaceAll("-", "_").toUpperCase()}`,
  key: definition.name.replaceAll(/-(\w)/g, (_, letter: string) => letter.toUpperCase()),
  ...definition
})

/** The flags of a set, for `Command.make`. */
export const flags = <K extends string>(settings: Readonly<Record<K, Setting<unknown>>>) =>
  Record.map(settings, ({ description, fallbackText, form, name, variable }) =>
    Flag.String(name).pipe(
      Flag.withDescription(`${description} (${form}; default: ${fallbackText}; variable: ${variable})`),
      Flag.optional
    )
  )

const refused = (message: string, fix = "see --help") => new CommandFailed({ message, fix, exit: "usage" })

/** The file that is read if none is named and if it exists, in the current directory. */
export const defaultFile = "rekindle.json"

/** The setting that names the file. It is the only one that the file cannot have. */
export const config: Setting<string | undefined> = make({
  name: "config",
  form: "a JSON file",
  description: "Where settings are read that have neither a flag nor a variable.",
  fallback: undefined,
  fallbackText: `${defaultFile}, if there is one`,
  decode: Option.some<string>
})

/** Its flag. */
export const configFlag = flags({ config }).config

/** The place of a setting in a file, for people: "port in rekindle.json". */
export const placeInFile = ({ key }: Setting<unknown>, path = defaultFile): string => `${key} in ${path}`

const FileValue = Schema.Union([Schema.String, Schema.Finite, Schema.Boolean, Schema.Array(Schema.String)])
const decodeFile = Schema.decodeUnknownOption(Schema.fromJsonString(Schema.Record(Schema.String, FileValue)))

const environment = (variable: string) => Effect.orDie(Config.option(Config.String(variable)))

/** A file of settings: its texts by key. */
export interface SettingsFile {
  readonly path: string
  readonly texts: ReadonlyMap<string, string>
}

/** The file of a command that reads none. */
export const noFile: SettingsFile = { path: defaultFile, texts: new Map() }

/** Reads the file. `all` are the settings that it may have. */
const readFile = Effect.fnUntraced(function* (all: ReadonlyArray<Setting<unknown>>, flag: Option.Option<string>) {
  const fs = yield* FileSystem.FileSystem
  const named = Option.isSome(flag) ? flag : yield* environment(config.variable)
  const path = Option.getOrElse(named, () => defaultFile)
  if (Option.isNone(named) && !(yield* Effect.orElseSucceed(fs.exists(path), () => false))) return noFile
  const text = yield* Effect.mapError(fs.readFileString(path), (error) =>
    refused(`cannot read the settings in ${path}: ${faultOf(error)}`)
  )
  const values = decodeFile(text)
  if (Option.isNone(values))
    return yield* refused(
      `${path} is not a JSON object of texts, numbers, true, false and lists of texts`,
      `correct ${path}`
    )
  const keys = all.map(({ key }) => key)
  const unknown = Object.keys(values.value).find((key) => !keys.includes(key))
  if (unknown !== undefined)
    return yield* refused(`${path} has "${unknown}", which is no setting`, `use ${keys.join(", ")}`)
  const texts = new Map(Object.entries(values.value).map(([key, value]) => [key, String(value)]))
  return { path, texts }
})

/** The values of a set. Fails with a sentence that names the setting and the place of a value that does not have its form. */
export const resolve = Effect.fnUntraced(function* <S extends Settings>(
  settings: S,
  given: Given<S>,
  { path, texts }: SettingsFile
) {
  const valueOf = Effect.fnUntraced(function* <A>(setting: Setting<A>, flag: Option.Option<string>) {
    const { decode, fallback, form, key, name, variable } = setting
    const places = [
      [`--${name}`, flag],
      [variable, yield* environment(variable)],
      [placeInFile(setting, path), Option.fromUndefinedOr(texts.get(key))]
    ] as const
    for (const [place, text] of places) {
      if (Option.isNone(text)) continue
      const value = decode(text.value)
      return Option.isSome(value) ? value.value : yield* refused(`${place} is not ${form}`, `correct ${place}`)
    }
    return fallback
  })
  const values: Record<string, unknown> = {}
  for (const [name, setting] of Object.entries(settings)) {
    values[name] = yield* valueOf(setting, given[name] ?? Option.none())
  }
  // The record has the names of the set, each with a value that its own setting decoded.
  return values as Values<S>
})

/** Reads the file and the values of a set. */
export const read = <S extends Settings>(
  all: ReadonlyArray<Setting<unknown>>,
  settings: S,
  given: Given<S>,
  configFlag: Option.Option<string>
) => Effect.flatMap(readFile(all, configFlag), (file) => resolve(settings, given, file))
