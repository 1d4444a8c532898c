/**
 * Serves the pages for a browser, with a provider, and prints its address. The addresses below `/test` make what a test needs: a link, or
 * accounts that do not work.
 *
 * @module
 */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { ConnectedAccounts, Connections, CurrentProject } from "@rekindle/core"
import { ConnectLinks } from "@rekindle/platform"
import { Console, Effect, Layer, Redacted } from "effect"
import { HttpRouter, HttpServerResponse } from "effect/http"
import { once } from "node:events"
import { createServer } from "node:http"
import { Links } from "#cli/pages/Links.ts"
import * as Pages from "#cli/pages/Pages.ts"
import { routes, withProvider } from "./pages.ts"
import { goodKey } from "./provider.ts"

/** A port that was free a moment ago: the provider has to know the address before the server listens. */
const freePort = Effect.promise(async () => {
  const server = createServer()
  await once(server.listen(0, "127.0.0.1"), "listening")
  const address = server.address()
  server.close()
  return typeof address === "object" && address !== null ? address.port : 0
})

/** Text that must not become markup. */
const hostile = `<img src=x onerror="document.title='hacked'">`

const parametersOf = (url: string) => new URLSearchParams(url.split("?")[1])

const preparations = HttpRouter.use(
  Effect.fnUntraced(function* (router) {
    const accounts = yield* ConnectedAccounts
    const connections = yield* Connections
    const links = yield* ConnectLinks
    const pages = yield* Links

    yield* router.add("GET", "/test/link", ({ url }) => {
      const parameters = parametersOf(url)
      return links
        .create({
          authConfigId: parameters.get("config") ?? "oidc",
          userId: parameters.get("user") ?? "ann@example.com",
          callbackUrl: parameters.get("callback") ?? undefined,
          alias: parameters.get("alias") ?? undefined
        })
        .pipe(
          Effect.map(({ accountId, url }) => HttpServerResponse.jsonUnsafe({ accountId, url })),
          Effect.orDie
        )
    })

    const status = (parameters: URLSearchParams) =>
      connections
        .list({ userIds: [parameters.get("user") ?? ""] })
        .pipe(Effect.map(({ items }) => HttpServerResponse.jsonUnsafe(items.map(({ status }) => status))))
    yield* router.add("GET", "/test/statuses", ({ url }) => Effect.orDie(status(parametersOf(url))))

    /** A link with which the owner of an account connects it anew. */
    const again = Effect.fnUntraced(function* (user: string) {
      const { items } = yield* connections.list({ userIds: [user] })
      const response = yield* Effect.forEach(items, ({ id }) =>
        pages.create({ projectId: CurrentProject.defaultValue(), accountId: id, callbackUrl: undefined })
      )
      return HttpServerResponse.text(response[0]?.url ?? "")
    })
    yield* router.add("GET", "/test/again", ({ url }) => Effect.orDie(again(parametersOf(url).get("user") ?? "")))

    const fail = Effect.gen(function* () {
      const add = (authConfigId: string, userId: string, secrets: Readonly<Record<string, string>>, alias?: string) =>
        connections.create({
          authConfigId,
          userId,
          alias,
          secrets: Object.fromEntries(Object.entries(secrets).map(([name, value]) => [name, Redacted.make(value)]))
        })
      for (const user of ["ben", "cleo", "dora"]) yield* add("key", user, { api_key: goodKey })
      const refused = yield* add("key", hostile, { api_key: "withdrawn" }, hostile)
      yield* accounts.refresh(refused.id, { validateCredentials: true })
      for (const user of ["one", "two", "three"]) {
        const { id } = yield* add("down", `${user}@example.com`, { client_id: "id", client_secret: "secret" })
        yield* Effect.ignore(accounts.refresh(id))
      }
      return HttpServerResponse.empty()
    })
    yield* router.add("GET", "/test/failing", Effect.orDie(fail))
  })
)

const main = Effect.gen(function* () {
  const port = yield* freePort
  const publicUrl = `http://127.0.0.1:${port}`
  const options = { publicUrl, applicationName: () => Effect.succeed("Acme Calendar") }
  yield* HttpRouter.serve(Layer.merge(routes(options), preparations), {
    disableLogger: true,
    disableListenLog: true
  }).pipe(
    Layer.provide(Pages.layerRedacted),
    Layer.provide(withProvider(options)),
    Layer.provideMerge(NodeHttpServer.layer(createServer, { host: "127.0.0.1", port })),
    Layer.build
  )
  yield* Console.log(publicUrl)
  return yield* Effect.never
})

NodeRuntime.runMain(Effect.scoped(main))
