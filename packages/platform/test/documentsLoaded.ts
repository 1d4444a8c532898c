/**
 * Prints how often the script of the docs page was loaded: by a server that is up, and once somebody has read the page. It runs in a process of
 * its own, because a process loads a module once.
 *
 * @module
 */
import { Effect } from "effect"
import { registerHooks } from "node:module"

let loaded = 0
registerHooks({
  load: (url, context, next) => {
    if (/internal\/\w*scalar\.[jt]s/i.test(url)) loaded++
    return next(url, context)
  }
})

const { RekindleServer } = await import("@rekindle/platform")
const { callRaw, serve } = await import("./support.ts")

await Effect.gen(function* () {
  const url = yield* serve({}, RekindleServer.docs)
  const atFirst = loaded
  yield* callRaw(`${url}/docs`, {})
  process.stdout.write(JSON.stringify([atFirst, loaded]))
}).pipe(Effect.scoped, Effect.runPromise)
