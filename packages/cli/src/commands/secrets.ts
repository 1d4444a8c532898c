/**
 * How a command gets a secret: from the environment, from standard input, or from a prompt that does not show it. Never as the value of a
 * flag, which shells keep in their history and other users see among the processes.
 *
 * @module
 */
import { Config, Effect, Option, Record, Redacted, Schema, Stdio, Stream } from "effect"
import { Flag, Prompt, TerminalCapabilities } from "effect/cli"
import { CommandFailed } from "./failure.ts"

const usage = (message: string, fix: string) => new CommandFailed({ message, fix, exit: "usage" })

/** All of standard input, without the white space around it. */
export const stdin = Stdio.Stdio.use(({ stdin }) => Stream.mkString(Stream.decodeText(stdin))).pipe(
  Effect.map((text) => text.trim())
)

/** Asks for one secret on a terminal. None elsewhere, and for an empty answer. */
export const prompt = Effect.fnUntraced(function* (message: string) {
  const { canPrompt } = yield* TerminalCapabilities.TerminalCapabilities
  if (!canPrompt) return Option.none<Redacted.Redacted>()
  const entered = yield* Prompt.Hidden({ message })
  return Redacted.value(entered) === "" ? Option.none<Redacted.Redacted>() : Option.some(entered)
})

/** The flags of a command that takes several secrets by name. */
export const flags = {
  secretEnv: Flag.KeyValuePair("secret-env").pipe(
    Flag.withDescription("Take a secret from a variable: client_secret=VARIABLE; may be repeated"),
    Flag.withDefault({})
  ),
  secretsStdin: Flag.Boolean("secrets-stdin").pipe(
    Flag.withDescription('Take secrets from standard input, as JSON: {"client_secret": "…"}'),
    Flag.withDefault(false)
  )
}

const decodeSecrets = Schema.decodeUnknownOption(Schema.fromJsonString(Schema.Record(Schema.String, Schema.String)))

/** Reads the secrets that the flags name. On a terminal it asks for each of `wanted` that they do not give; nobody has to answer. */
export const read = Effect.fnUntraced(function* (
  { secretEnv, secretsStdin }: { readonly secretEnv: Readonly<Record<string, string>>; readonly secretsStdin: boolean },
  wanted: ReadonlyArray<{ readonly name: string; readonly title: string }>
) {
  const secrets: Record<string, Redacted.Redacted> = {}
  for (const [name, variable] of Object.entries(secretEnv)) {
    const value = yield* Config.option(Config.Redacted(variable))
    if (Option.isNone(value))
      return yield* usage(`the variable of the secret ${name} is not set`, "set it, or correct --secret-env")
    secrets[name] = value.value
  }
  if (secretsStdin) {
    const given = decodeSecrets(yield* stdin)
    if (Option.isNone(given))
      return yield* usage("standard input is not a JSON object of texts", 'send {"client_secret": "…"}')
    Object.assign(
      secrets,
      Record.map(given.value, (secret) => Redacted.make(secret))
    )
  }
  for (const { name, title } of wanted) {
    if (name in secrets) continue
    const entered = yield* prompt(title)
    if (Option.isSome(entered)) secrets[name] = entered.value
  }
  return secrets
})
