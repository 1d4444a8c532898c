/**
 * The way of somebody who has only the README: what they type, from an empty directory to a verified webhook and a revoked key.
 *
 * @module
 */
import Later from "@composio/client"
import { Composio } from "@composio/core"
import { ConnectedAccountId, ConnectedAccounts, Connections } from "@rekindle/core"
import { ConsentCallback, RekindleClient } from "@rekindle/platform"
import Earlier from "composio-client-v3"
import { Context, Effect, Layer, Redacted } from "effect"
import { FetchHttpClient } from "effect/http"
import assert from "node:assert/strict"
import { execFile } from "node:child_process"
import { mkdtemp, rm, stat, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"
import { Webhook } from "standardwebhooks"
import { runRekindle } from "./commandLine.ts"
import { Provider } from "./provider.ts"
import { fromSources, serve } from "./serveProcess.ts"
import * as Receiver from "../webhooks/Receiver.ts"

const [program, ...before] = fromSources.command

const call = <A>(evaluate: () => PromiseLike<A>) => Effect.promise(async () => evaluate())

/** An empty directory. */
const directory = Effect.acquireRelease(
  call(() => mkdtemp(join(tmpdir(), "rekindle-journey-"))),
  (path) => call(() => rm(path, { recursive: true, force: true }))
)

/** What a person does in a browser and in a terminal. */
export interface Person {
  /** Connects the account that the address of a connect page asks for. */
  readonly connect: (address: string) => Effect.Effect<void, never, Provider>
  /** Posts to the address and returns the answer's JSON. */
  readonly post: (url: string, key: string) => Effect.Effect<unknown>
}

/** Takes the whole way. It dies where something is not as it has to be. */
export const journey = (person: Person): Effect.Effect<void> =>
  Effect.gen(function* () {
    const home = yield* directory
    yield* call(() => promisify(execFile)(program, [...before, "init", "--port", "0"], { cwd: home }))
    for (const file of ["rekindle.json", "rekindle.keys"])
      assert.strictEqual((yield* call(() => stat(join(home, file)))).mode & 0o777, 0o600)

    const server = yield* serve({ REKINDLE_PRIVATE_HOSTS: "*", REKINDLE_WEBHOOK_PRIVATE_HOSTS: "*" }, [], {
      ...fromSources,
      cwd: home
    })
    const admin = server.adminKey()
    const { url } = server
    const env = { REKINDLE_BASE_URL: url, REKINDLE_API_KEY: admin, XDG_CONFIG_HOME: home }
    const rekindle = (...args: ReadonlyArray<string>) =>
      Effect.map(runRekindle(["--json", ...args], { env: { ...env, CRM_SECRET: "secret" } }), (ended) => {
        assert.strictEqual(ended.code, 0, ended.stderr)
        return JSON.parse(ended.stdout)
      })
    const ask = (method: string, path: string, body?: unknown, key = admin) =>
      call(async () => {
        const response = await fetch(url + path, {
          method,
          headers: { "x-api-key": key, "content-type": "application/json" },
          ...(body !== undefined && { body: JSON.stringify(body) })
        })
        return { status: response.status, body: await response.json() }
      })

    // An auth config from a file, its secret from the environment.
    const services = yield* Layer.build(Provider.layer(`${url}${ConsentCallback.path}`))
    const provider = Context.get(services, Provider)
    const file = join(home, "notes.json")
    const config = {
      id: "notes",
      toolkit: "notes",
      scheme: "OAUTH2",
      profile: { rotation: "single-use" },
      settings: {
        clientId: "pages",
        authorizationEndpoint: `${provider.issuer}/auth`,
        tokenEndpoint: `${provider.issuer}/token`,
        revocationEndpoint: `${provider.issuer}/token/revocation`,
        scopes: ["openid", "offline_access"],
        authorizationParameters: { prompt: "login consent" }
      },
      hosts: [new URL(provider.issuer).host]
    }
    yield* call(() => writeFile(file, JSON.stringify(config)))
    yield* rekindle("configs", "add", "--file", file, "--secret-env", "client_secret=CRM_SECRET")
    assert.strictEqual((yield* rekindle("configs", "list")).items[0].id, "notes")

    // A webhook, and a key for the application that may read and refresh.
    const receiver = yield* Receiver.make()
    const { body: hook } = yield* ask("POST", "/api/v3.1/webhook_subscriptions", {
      webhook_url: receiver.url,
      enabled_events: ["rekindle.connected_account.expiring"]
    })
    const made = yield* rekindle("keys", "create", "application", "--scope", "read", "--scope", "refresh")
    const key: string = made.key

    // Ann connects her account.
    const { body: link } = yield* ask("POST", "/api/v3/connected_accounts/link", {
      auth_config_id: "notes",
      user_id: "ann"
    })
    yield* Effect.provideContext(person.connect(link.redirect_url), services)
    const id: string = link.connected_account_id

    // Refreshed by plain HTTP, by both official clients, by the official SDK's account, and by ours.
    const refreshed = yield* person.post(`${url}/api/v3/connected_accounts/${id}/refresh`, key)
    assert.deepStrictEqual(refreshed, { id, status: "ACTIVE", redirect_url: null })
    for (const client of [new Earlier({ baseURL: url, apiKey: key }), new Later({ baseURL: url, apiKey: key })])
      assert.strictEqual((yield* call(() => client.connectedAccounts.refresh(id))).status, "ACTIVE")
    const core = new Composio({ baseURL: url, apiKey: key, allowTracking: false, disableVersionCheck: true })
    assert.strictEqual((yield* call(() => core.connectedAccounts.get(id))).status, "ACTIVE")
    const ours = (apiKey: string) => {
      const options = { baseUrl: url, apiKey: Redacted.make(apiKey) }
      return Layer.merge(RekindleClient.layer(options), RekindleClient.layerConnections(options)).pipe(
        Layer.provide(FetchHttpClient.layer)
      )
    }
    const accountId = ConnectedAccountId.make(id)
    const outcome = yield* ConnectedAccounts.use(({ refresh }) => refresh(accountId)).pipe(Effect.provide(ours(key)))
    assert.strictEqual(outcome._tag, "Ready")

    // The application's key reads no credential, and the admin's does.
    const refused = yield* Connections.use(({ accessToken }) => accessToken(accountId)).pipe(
      Effect.flip,
      Effect.provide(ours(key))
    )
    assert.strictEqual(refused._tag, "Forbidden")
    const token = yield* Connections.use(({ accessToken }) => accessToken(accountId)).pipe(Effect.provide(ours(admin)))
    assert.notStrictEqual(Redacted.value(token), "")

    // Ann withdraws her consent at the provider. The next refresh finds out, and the webhook says so while the access token still works.
    yield* provider.withdraw
    const dead = yield* ask("POST", `/api/v3/connected_accounts/${id}/refresh`, {}, key)
    assert.strictEqual(dead.status, 200)
    assert.equal(typeof dead.body.redirect_url, "string")
    const { body, headers } = yield* receiver.next
    const event: unknown = new Webhook(hook.secret).verify(body, { ...headers })
    assert.partialDeepStrictEqual(event, { type: "rekindle.connected_account.expiring" })
    assert.ok(body.includes(id))

    // The application's key is revoked.
    yield* rekindle("keys", "revoke", made.id, "--yes")
    assert.strictEqual((yield* ask("GET", `/api/v3/connected_accounts/${id}`, undefined, key)).status, 401)

    // What happened to keys is in the log, and nothing in it was changed.
    assert.ok((yield* rekindle("audit", "list")).items.length > 1)
    yield* rekindle("audit", "verify")
    server.signal("SIGTERM")
    assert.strictEqual(yield* server.ended, 0)
    for (const secret of [admin, key, Redacted.value(token), hook.secret]) assert.ok(!server.stdout().includes(secret))
  }).pipe(Effect.scoped, Effect.orDie)
