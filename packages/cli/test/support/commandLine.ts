/**
 * Runs a command in the process of the test, as a shell would: arguments and environment in; exit code, standard output and error out.
 *
 * @module
 */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { ConfigProvider, Console, Effect, Layer, Sink, Stdio, Stream } from "effect"
import { TerminalCapabilities, type Command } from "effect/cli"
import { run } from "#cli/commands/exit.ts"
import { rekindle } from "#cli/rekindle.ts"

/** What surrounds a command. */
export interface Surroundings {
  readonly env?: Readonly<Record<string, string>>
  /** What comes on standard input. Default: nothing. */
  readonly stdin?: string
  /** Whether standard output and error are terminals. Default false. */
  readonly terminal?: boolean
}

/** What a command left behind. */
export interface Ended {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** Runs a command with its arguments. */
export const runCommand = <Name extends string, Input, E, R, ContextInput>(
  command: Command.Command<Name, Input, ContextInput, E, R>,
  args: ReadonlyArray<string>,
  { env = {}, stdin = "", terminal = false }: Surroundings = {}
) =>
  Effect.gen(function* () {
    const out: Array<string> = []
    const err: Array<string> = []
    const into = (lines: Array<string>) => (text: string | Uint8Array) =>
      Effect.sync(() => void lines.push(typeof text === "string" ? text : new TextDecoder().decode(text)))
    const line =
      (lines: Array<string>) =>
      (...parts: ReadonlyArray<unknown>) =>
        void lines.push(`${parts.join(" ")}\n`)
    const captured = Object.assign(Object.create(console), { log: line(out), error: line(err) })
    const stdio = Stdio.layerTest({
      args: Effect.succeed(args),
      stdin: stdin === "" ? Stream.empty : Stream.make(new TextEncoder().encode(stdin)),
      stdout: () => Sink.forEach(into(out)),
      stderr: () => Sink.forEach(into(err)),
      stdoutIsTerminal: Effect.succeed(terminal),
      stderrIsTerminal: Effect.succeed(terminal)
    })
    const code = yield* run(command, { version: "0.0.0" })(args).pipe(
      Effect.provide(Layer.merge(NodeServices.layer, stdio)),
      Effect.provideService(Console.Console, captured),
      Effect.provideService(TerminalCapabilities.TerminalCapabilities, {
        canColor: false,
        canAnimate: false,
        canPrompt: false
      }),
      Effect.provideService(ConfigProvider.ConfigProvider, ConfigProvider.fromUnknown(env))
    )
    return { code, stdout: out.join(""), stderr: err.join("") } satisfies Ended
  })

/** Runs `rekindle` with arguments. */
export const runRekindle = (args: ReadonlyArray<string>, surroundings?: Surroundings) =>
  runCommand(rekindle, args, surroundings)
