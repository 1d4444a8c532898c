/**
 * `rekindle login` and `rekindle logout`: the server that commands work on by default, and the key for it.
 *
 * @module
 */
import { ConnectedAccountId, ConnectedAccounts } from "@rekindle/core"
import { RekindleClient } from "@rekindle/platform"
import { Config, Effect, Layer, Option, Redacted } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { FetchHttpClient } from "effect/http"
import * as LoginFile from "../login/LoginFile.ts"
import { CommandFailed } from "./failure.ts"
import * as Output from "./output.ts"
import * as Secrets from "./secrets.ts"
import * as Target from "./target.ts"

/** No server has this account. A server that says so knows the key. */
const nobody = ConnectedAccountId.make("ca_00000000")

/** Asks the server whether it knows the key. A key that may not read is a key all the same. */
const verify = (server: string, key: Redacted.Redacted) =>
  ConnectedAccounts.use(({ get }) => get(nobody)).pipe(
    Effect.catchTags({ AccountNotFound: () => Effect.void, Forbidden: () => Effect.void }),
    Effect.provide(
      RekindleClient.layerConfig(Target.clientConfig(server, key)).pipe(Layer.provide(FetchHttpClient.layer))
    )
  )

const keyOf = Effect.fnUntraced(function* (server: string, keyStdin: boolean) {
  if (keyStdin) return Redacted.make(yield* Secrets.stdin)
  const given = yield* Config.option(Config.Redacted("REKINDLE_API_KEY"))
  const key = Option.isSome(given) ? given : yield* Secrets.prompt(`API key of ${server}`)
  if (Option.isSome(key)) return key.value
  return yield* new CommandFailed({
    message: "there is no key",
    fix: "enter it at the prompt of a terminal, set REKINDLE_API_KEY, or send it with --key-stdin",
    exit: "usage"
  })
})

export const login = Command.make(
  "login",
  {
    server: Argument.String("server").pipe(
      Argument.withDescription("The address of the server"),
      Argument.withDefault("http://127.0.0.1:8080")
    ),
    keyStdin: Flag.Boolean("key-stdin").pipe(
      Flag.withDescription("Take the key from standard input"),
      Flag.withDefault(false)
    )
  },
  ({ keyStdin, server: given }) =>
    Effect.gen(function* () {
      const server = given.replace(/\/+$/, "")
      const key = yield* keyOf(server, keyStdin)
      yield* verify(server, key)
      const file = yield* LoginFile.write({ server, key })
      yield* Output.print({ server, file }, `logged in to ${server}; the key is in ${file}, readable by you alone`)
    })
).pipe(
  Command.withDescription(
    "Keeps the address of a server and a key for it, which other commands then use. The key comes from a prompt, REKINDLE_API_KEY or standard input"
  ),
  Command.withShortDescription("Keeps a server's address and key for other commands")
)

export const logout = Command.make("logout", {}, () =>
  Effect.andThen(LoginFile.remove, Output.print({ logged_out: true }, "logged out; the key still works elsewhere"))
).pipe(Command.withDescription("Forgets the server and its key"))
