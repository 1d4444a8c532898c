/**
 * `start` runs the tour, and `start <name>` one example. The exit code is 1 if a claim of an example does not hold.
 *
 * @module
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Cause, Console, Effect, References } from "effect"
import { StepFailed } from "./support/Step.ts"

interface Example {
  readonly about: string
  readonly load: () => Promise<{ readonly example: Effect.Effect<unknown, unknown> }>
}

const examples: Readonly<Record<string, Example>> = {
  tour: { about: "the whole system: consent, renewal, revocation, failures", load: () => import("./tour.ts") },
  compose: { about: "an engine, a pipeline and a caller in fifteen lines", load: () => import("./compose.ts") },
  "self-hosted-server": { about: "server routes on the engine", load: () => import("./selfHostedServer.ts") },
  gateway: { about: "server routes on policies on a client", load: () => import("./gateway.ts") },
  "custom-scheme": { about: "an authentication scheme of your own", load: () => import("./customScheme.ts") },
  "unit-test": { about: "swapping in the test layer", load: () => import("./unitTest.ts") },
  "standard-pipeline": { about: "the policies most people want, at work", load: () => import("./standardPipeline.ts") },
  breaker: { about: "a circuit breaker that opens and recovers", load: () => import("./breaker.ts") },
  "ambiguous-timeout": {
    about: "an answer lost after the grant was spent",
    load: () => import("./ambiguousTimeout.ts")
  },
  "with-refresh": {
    about: "token, API call, dead grant, link, consent, call again",
    load: () => import("./withRefresh.ts")
  },
  "authorized-client": {
    about: "an HTTP client that carries the credential, and a program without tokens",
    load: () => import("./authorizedClient.ts")
  },
  mailer: {
    about: "a whole application: mail from its users' mailboxes, consent, notices",
    load: () => import("./mailer/example.ts")
  },
  promises: {
    about: "without Effect: Hono, Next.js routes and Node alone",
    load: () => import("./promises/example.ts")
  },
  "await-active": { about: "showing the link and waiting for consent", load: () => import("./awaitActive.ts") }
}

const list = Object.entries(examples).map(([name, { about }]) => `  ${name.padEnd(20)} ${about}`)

const run = Effect.fnUntraced(function* (name: string) {
  const found = Object.hasOwn(examples, name) ? examples[name] : undefined
  if (found === undefined) {
    yield* Console.error([`There is no example "${name}". There are:`, ...list].join("\n"))
    return yield* Effect.fail("unknown example")
  }
  yield* Console.log(`${name}: ${found.about}`)
  // A failed step has printed its line already. Any other failure is printed here. Failures of the tour's parts come as a list.
  yield* Effect.promise(found.load).pipe(
    Effect.flatMap(({ example }) => example),
    Effect.tapCause((cause) =>
      Effect.forEach(
        [Cause.squash(cause)].flat().filter((error) => !(error instanceof StepFailed)),
        (error) => Console.error(`  ✗ ${error}`)
      )
    )
  )
})

run(process.argv[2] ?? "tour").pipe(
  Effect.provideService(References.MinimumLogLevel, "Warn"),
  NodeRuntime.runMain({ disableErrorReporting: true })
)
