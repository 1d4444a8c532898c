/**
 * `pnpm runtimes` installs the runtimes beside this file and checks what each supports: the engine and the client on Node 22, the pinned Node, Bun
 * and Deno; the client, the server routes and the testing package on workerd and in a browser.
 *
 * **Gotchas**
 *
 * The browser is the machine's own Chromium. If there is none, the output says that it was left out.
 *
 * @module
 */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { Cause, Deferred, Effect, Exit, Layer, type Scope } from "effect"
import { HttpRouter, HttpServer, HttpServerRequest, HttpServerResponse } from "effect/http"
import { type ChildProcess, execFile, spawn, type StdioOptions } from "node:child_process"
import { once } from "node:events"
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { createServer } from "node:http"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"
import { routes } from "./client.ts"

const installed = (name: string): string => join(import.meta.dirname, "node_modules", ".bin", name)

const run = (command: string, ...args: ReadonlyArray<string>) =>
  Effect.tryPromise(() => promisify(execFile)(command, args))

/** Runs a program until the scope closes. */
const start = (command: string, args: ReadonlyArray<string>, stdio: StdioOptions) =>
  Effect.acquireRelease(
    Effect.sync((): ChildProcess => spawn(command, args, { stdio })),
    (child) => Effect.sync(() => child.kill())
  )

const folder = Effect.acquireRelease(
  Effect.promise(() => mkdtemp(join(tmpdir(), "rekindle-runtimes-"))),
  (folder) => Effect.promise(() => rm(folder, { recursive: true, maxRetries: 5 }))
)

/** Serves the routes of `client.ts`, and returns their origin. */
const serve = (pages: Layer.Layer<never, never, HttpRouter.HttpRouter> = Layer.empty) =>
  HttpRouter.serve(Layer.merge(routes, pages), { disableLogger: true, disableListenLog: true }).pipe(
    Layer.provideMerge(
      NodeHttpServer.layer(createServer, { host: "127.0.0.1", port: 0, gracefulShutdownTimeout: "100 millis" })
    ),
    Layer.fresh,
    Layer.build,
    Effect.flatMap((context) => Effect.provideContext(HttpServer.HttpServer, context)),
    Effect.map(({ address }) => HttpServer.formatAddress(address))
  )

/** Bundles a program into one file, for a runtime without a file system. */
const bundle = (entry: string, outfile: string) =>
  run(installed("esbuild"), join(import.meta.dirname, entry), "--bundle", "--format=esm", `--outfile=${outfile}`)

const engineOn = (command: string, ...args: ReadonlyArray<string>) =>
  serve().pipe(
    Effect.flatMap((origin) => run(command, ...args, join(import.meta.dirname, "engine.ts"), origin)),
    Effect.asVoid
  )

const workerConfig = `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "main", worker = (
      modules = [(name = "worker", esModule = embed "worker.js")],
      compatibilityDate = "2026-11-01"
    )),
    (name = "internet", network = (allow = ["public", "private"]))
  ],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "main")]
);`

const onWorkerd = Effect.gen(function* () {
  const origin = yield* serve()
  const home = yield* folder
  yield* bundle("worker.ts", join(home, "worker.js"))
  yield* Effect.promise(() => writeFile(join(home, "config.capnp"), workerConfig))
  const worker = yield* start(
    installed("workerd"),
    ["serve", join(home, "config.capnp"), "--control-fd=3"],
    ["ignore", "inherit", "inherit", "pipe"]
  )
  yield* Effect.tryPromise(async () => {
    // workerd reports its port in a line of JSON.
    const [line] = await once(worker.stdio[3] ?? worker, "data")
    const { port } = JSON.parse(String(line))
    const outcome = await (await fetch(`http://127.0.0.1:${port}/?origin=${encodeURIComponent(origin)}`)).text()
    if (outcome !== "ok") throw new Error(outcome)
  })
})

const inChromium = (chromium: string) =>
  Effect.gen(function* () {
    const home = yield* folder
    const script = join(home, "page.js")
    yield* bundle("page.ts", script)
    const outcome = yield* Deferred.make<string>()
    const origin = yield* serve(
      Layer.mergeAll(
        HttpRouter.add("GET", "/", HttpServerResponse.html(`<script type="module" src="/page.js"></script>`)),
        HttpRouter.add(
          "GET",
          "/page.js",
          Effect.map(
            Effect.promise(() => readFile(script, "utf8")),
            (source) => HttpServerResponse.text(source, { contentType: "text/javascript" })
          )
        ),
        HttpRouter.add(
          "POST",
          "/outcome",
          Effect.gen(function* () {
            const request = yield* HttpServerRequest.HttpServerRequest
            yield* Deferred.succeed(outcome, yield* Effect.orDie(request.text))
            return HttpServerResponse.empty()
          })
        )
      )
    )
    const flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
    const quiet = ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    yield* start(chromium, [...flags, ...quiet, `--user-data-dir=${join(home, "profile")}`, origin], "ignore")
    const result = yield* Deferred.await(outcome)
    if (result !== "ok") return yield* Effect.fail(result)
  })

const inBrowser = run(
  "/bin/sh",
  "-c",
  "command -v chromium || command -v chromium-browser || command -v google-chrome"
).pipe(
  Effect.match({ onFailure: () => undefined, onSuccess: ({ stdout }) => stdout.trim() }),
  Effect.flatMap((path) => (path === undefined ? Effect.succeed("left out: no Chromium here") : inChromium(path)))
)

const checks: Readonly<Record<string, Effect.Effect<unknown, unknown, Scope.Scope>>> = {
  "Node 22": engineOn(installed("node")),
  [`Node ${process.versions.node.split(".")[0]}`]: engineOn(process.execPath),
  Bun: engineOn(installed("bun")),
  Deno: engineOn(installed("deno"), "run", "--allow-all"),
  workerd: onWorkerd,
  Chromium: inBrowser
}

for (const [name, check] of Object.entries(checks)) {
  const exit = await Effect.runPromiseExit(Effect.scoped(Effect.timeout(check, "1 minute")))
  console.log(`${name}: ${Exit.isSuccess(exit) ? (exit.value ?? "ok") : `failed: ${Cause.pretty(exit.cause)}`}`)
  if (Exit.isFailure(exit)) process.exitCode = 1
}
