/**
 * Captures the output of a program: log lines at every level, spans, and what it writes to the console and the standard streams.
 *
 * @module
 */
import { Console, Effect, Layer, Logger, References, Tracer } from "effect"
import { Console as NodeConsole } from "node:console"
import { Writable } from "node:stream"
import { inspect } from "node:util"

/** A value as text, with everything that any common way of printing shows. */
export const show = (value: unknown): string =>
  [
    inspect(value, { depth: 20, maxArrayLength: null, maxStringLength: null }),
    String(value),
    JSON.stringify(value, (_key, part: unknown) => (typeof part === "bigint" ? String(part) : part)),
    value instanceof Error ? value.stack : ""
  ].join("\n")

/** Captured output: `lines` are the log lines, `spans` the spans as text, and `output` the rest. */
export interface Captured {
  readonly lines: ReadonlyArray<string>
  readonly spans: ReadonlyArray<string>
  readonly output: ReadonlyArray<string>
}

const showSpan = ({ attributes, events, links, name, status }: Tracer.NativeSpan): string =>
  show({ name, attributes, events, links: links.map(({ attributes }) => attributes), status })

/**
 * Redirects the console and the standard streams into `output` until the scope closes. Returns the replacing console. It has to be provided,
 * because Effect's console service may already hold the previous one.
 */
const redirect = (output: Array<string>) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const { console } = globalThis
      const keep = (chunk: unknown) => output.push(String(chunk)) > 0
      const sink = new Writable({
        write: (chunk, _encoding, done) => {
          keep(chunk)
          done()
        }
      })
      const [stdout, stderr] = [process.stdout.write, process.stderr.write]
      const standIn = new NodeConsole(sink)
      globalThis.console = standIn
      process.stdout.write = keep
      process.stderr.write = keep
      return { console, standIn, stderr, stdout }
    }),
    ({ console, stderr, stdout }) =>
      Effect.sync(() => {
        globalThis.console = console
        process.stdout.write = stdout
        process.stderr.write = stderr
      })
  ).pipe(Effect.map(({ standIn }) => standIn))

/** Runs `effect`, and returns its result with the captured output. */
export const capture = <A, E, R>(
  effect: Effect.Effect<A, E, R>
): Effect.Effect<{ readonly result: A; readonly captured: Captured }, E, R> =>
  Effect.suspend(() => {
    const lines: Array<string> = []
    const output: Array<string> = []
    const spans: Array<Tracer.NativeSpan> = []
    const logger = Logger.map(Logger.formatStructured, (line) => lines.push(show(line)))
    const tracer = Tracer.make({
      span: (options) => {
        const span = new Tracer.NativeSpan(options)
        spans.push(span)
        return span
      }
    })
    return redirect(output).pipe(
      Effect.flatMap((console) => Effect.provideService(effect, Console.Console, console)),
      Effect.scoped,
      Effect.provide(Layer.mergeAll(Logger.layer([logger]), Layer.succeed(Tracer.Tracer, tracer))),
      Effect.provideService(References.MinimumLogLevel, "All"),
      Effect.map((result) => ({ result, captured: { lines, spans: spans.map(showSpan), output } }))
    )
  })
