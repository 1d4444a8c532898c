/**
 * A whole engine against a scripted provider, on virtual time: SQLite in memory, no socket, no sleep.
 *
 * Not everything inside is an Effect (the body of a `Response` is read by promises), so moving the clock is not enough to complete a call.
 * {@link settle} lets work in progress come to rest before each step of time.
 *
 * @module
 */
import {
  type AuthConfig,
  AuthConfig as AuthConfigSchema,
  type ConnectedAccountId,
  ConnectedAccounts,
  Connections,
  ProviderProfile,
  type RefreshOptions
} from "@rekindle/core"
import {
  type Account,
  AccountStore,
  CredentialVault,
  Egress,
  type EgressOptions,
  Engine,
  Journal,
  type JournalError,
  SqlAccountStore,
  SqliteClient,
  type StoreError,
  TokenCommit,
  type VaultError
} from "@rekindle/engine"
import { ScriptedProvider } from "@rekindle/testing"
import {
  Clock,
  type Config,
  Context,
  DateTime,
  Duration,
  Effect,
  Exit,
  type Fiber,
  Layer,
  Option,
  Redacted,
  Scope,
  Tracer
} from "effect"
import { HttpClient, HttpClientResponse } from "effect/http"
import type { Migrator, SqlClient, SqlError } from "effect/sql"
import { TestClock } from "effect/testing"

/** The callback address. */
export const callbackUrl = "https://engine.test/callback"
/** The provider's consent page. */
export const consentPage = "https://provider.test/authorize"
/** The probe address of static credentials. */
export const probeUrl = "https://provider.test/probe"
/** The start time of every scenario, in epoch milliseconds. */
export const beginning = Date.UTC(2026, 10, 1)

/** The options of a scenario. Everything has a default. */
export interface Options {
  readonly provider?: ScriptedProvider.ProviderOptions
  readonly engine?: Partial<Engine.EngineOptions>
  /** The hosts that the egress allows. Default all. */
  readonly egress?: EgressOptions
  /** Wraps the engine's store. */
  readonly store?: (store: AccountStore["Service"]) => AccountStore["Service"]
  /** A database that outlives the engine; default in memory. */
  readonly filename?: string
  /** A journal that outlives the engine; default in memory. */
  readonly journal?: Layer.Layer<Journal, JournalError>
  /** A provider that outlives the engine, as {@link ScriptedProvider.make} makes it. */
  readonly sharedProvider?: ScriptedProvider.Provider
}

/** The requests on the wire, and the answers of the probe address. */
export class Wire extends Context.Service<
  Wire,
  {
    /** The refresh token (or the grant type) of each token request, including refused connections. */
    readonly sent: Array<string>
    /** The fields of each token request. */
    readonly bodies: Array<URLSearchParams>
    /** The fate of one request, by the token that it spends: an answer of its own, or none, perhaps after a delay. */
    meets: (spent: string) => Effect.Effect<Response | undefined>
    /** The statuses of the next probes. 200 when none are left. */
    readonly probes: Array<number>
    /** The `x-key` header of each probe. */
    readonly probed: Array<string>
  }
>()("test/Wire") {}

/** The same key in every engine, so that one can open values that another sealed. */
export const vault = CredentialVault.layer([
  { id: "test", key: Redacted.make(Buffer.alloc(32, "test key").toString("base64")) }
])

const wired = (options: Options) =>
  Layer.effectContext(
    Effect.gen(function* () {
      const provider = options.sharedProvider ?? (yield* ScriptedProvider.make(options.provider))
      const inner = ScriptedProvider.httpClient([provider])
      const wire: Wire["Service"] = { sent: [], bodies: [], meets: () => Effect.undefined, probes: [], probed: [] }
      const client = HttpClient.make((request, url) => {
        if (url.href === probeUrl) {
          wire.probed.push(request.headers["x-key"] ?? "")
          const status = wire.probes.shift() ?? 200
          return Effect.succeed(HttpClientResponse.fromWeb(request, new Response("", { status })))
        }
        const text = request.body._tag === "Uint8Array" ? new TextDecoder().decode(request.body.body) : ""
        const fields = new URLSearchParams(text)
        const spent = fields.get("refresh_token") ?? fields.get("grant_type") ?? ""
        wire.sent.push(spent)
        wire.bodies.push(fields)
        return Effect.flatMap(wire.meets(spent), (response) =>
          response === undefined
            ? inner.execute(request)
            : Effect.succeed(HttpClientResponse.fromWeb(request, response))
        )
      })
      return Context.make(Wire, wire).pipe(
        Context.add(ScriptedProvider.ScriptedProvider, provider),
        Context.add(HttpClient.HttpClient, client)
      )
    })
  )

/** The services of a scenario. */
export type Services =
  | Engine.Provided
  | ScriptedProvider.ScriptedProvider
  | Wire
  | CredentialVault
  | Journal
  | HttpClient.HttpClient
  | SqlClient.SqlClient

/** The engine and its provider. */
export const layer = (
  options: Options = {}
): Layer.Layer<
  Services,
  Config.ConfigError | StoreError | VaultError | JournalError | Migrator.MigrationError | SqlError.SqlError
> => {
  const store = Layer.effect(
    AccountStore,
    Effect.map(AccountStore, (store) => options.store?.(store) ?? store)
  ).pipe(Layer.provide(SqlAccountStore.layer), Layer.provideMerge(SqliteClient.layer(options.filename ?? ":memory:")))
  return Engine.layerNoDeps({ consent: { callbackUrl }, ...options.engine }).pipe(
    Layer.provideMerge(Egress.layerHttpClient({ privateHosts: ["*"], ...options.egress, unpinned: "accepted" })),
    Layer.provideMerge(Layer.mergeAll(store, vault, options.journal ?? Journal.layerMemory)),
    Layer.provideMerge(wired(options))
  )
}

/** An engine that is closed by hand, like a process that ends. */
export const start = Effect.fnUntraced(function* (options: Options = {}) {
  const scope = yield* Scope.make()
  const context = yield* Layer.buildWithScope(layer(options), scope)
  return { context, stop: Scope.close(scope, Exit.void) }
})

/** Runs a scenario on an engine of its own, from {@link beginning} on. */
export const scenario =
  (options: Options = {}) =>
  <A, E>(body: Effect.Effect<A, E, Services>) =>
    Effect.andThen(
      TestClock.setTime(beginning),
      Effect.acquireUseRelease(
        start(options),
        ({ context }) => Effect.provideContext(body, context),
        // A flight is completed first, which takes time.
        ({ stop }) => settle(stop, "1 second")
      )
    )

/** Whether a file is being read or written. The clock must not move while a slow disk works. */
const atDisk = () => process.getActiveResourcesInfo().some((name) => name.startsWith("FSReq") || name === "CloseReq")

/** Lets all work come to rest that needs no time. */
export const rest = Effect.promise(async () => {
  do {
    for (let turn = 0; turn < 25; turn++) await new Promise<void>((resolve) => setImmediate(resolve))
  } while (atDisk())
})

/** Moves the clock until the fiber has ended. */
export const join = Effect.fnUntraced(function* <A, E>(fiber: Fiber.Fiber<A, E>, step: Duration.Input = "100 millis") {
  for (let steps = 0; steps < 5000; steps++) {
    yield* rest
    const exit = fiber.pollUnsafe()
    if (exit !== undefined) return yield* exit
    yield* TestClock.adjust(step)
  }
  return yield* Effect.die(new Error("it does not come to an end"))
})

/** Runs an effect to its end, moving the clock as far as needed. */
export const settle = <A, E, R>(effect: Effect.Effect<A, E, R>, step?: Duration.Input) =>
  Effect.flatMap(Effect.forkChild(effect), (fiber) => join(fiber, step))

/** Moves the clock, in steps that work in progress can follow. */
export const elapse = Effect.fnUntraced(function* (duration: Duration.Input, step: Duration.Input = "1 second") {
  const end = (yield* Clock.currentTimeMillis) + Duration.toMillis(Duration.fromInputUnsafe(duration))
  const stride = Duration.toMillis(Duration.fromInputUnsafe(step))
  while (true) {
    yield* rest
    const left = end - (yield* Clock.currentTimeMillis)
    if (left <= 0) return
    yield* TestClock.adjust(Math.min(left, stride))
  }
})

/** A refresh, run to its end. */
export const refresh = (id: ConnectedAccountId, options?: RefreshOptions) =>
  Effect.flatMap(ConnectedAccounts, (accounts) => settle(accounts.refresh(id, options)))

/** The error of a refresh that has to fail. */
export const refused = (id: ConnectedAccountId, options?: RefreshOptions) => Effect.flip(refresh(id, options))

/** An auth config of the scripted provider. */
export const authConfig = (
  id: string,
  profile: Partial<Parameters<typeof ProviderProfile.make>[0]> = {},
  overrides: Partial<Parameters<typeof AuthConfigSchema.make>[0]> = {}
): AuthConfig =>
  AuthConfigSchema.make({
    id,
    toolkit: "scripted",
    scheme: "OAUTH2",
    profile: ProviderProfile.make({ name: "scripted", rotation: "single-use", ...profile }),
    settings: {
      clientId: "client",
      tokenEndpoint: "https://provider.test/token",
      authorizationEndpoint: consentPage
    },
    secrets: { client_secret: Redacted.make("secret") },
    hosts: ["provider.test"],
    ...overrides
  })

/** A config that keeps the company, which only the callback states. */
export const companyConfig = authConfig(
  "scripted",
  {},
  {
    settings: { ...authConfig("scripted").settings, keptParameters: ["company", "department"] }
  }
)

/** Registers a config and connects an account with it. */
export const connected = Effect.fnUntraced(function* (
  options: {
    readonly profile?: Parameters<typeof authConfig>[1]
    readonly configId?: string
    /** Whether the access token has expired. */
    readonly expired?: boolean
    /** How long the access token lasts. Default: as the provider states. */
    readonly expiresIn?: Duration.Input
  } = {}
) {
  const provider = yield* ScriptedProvider.ScriptedProvider
  const connections = yield* Connections
  const authConfigId = options.configId ?? "scripted"
  yield* connections.authConfigs.register(authConfig(authConfigId, options.profile))
  const { accessToken, expiresAt, refreshToken } = yield* provider.connect
  const now = yield* Clock.currentTimeMillis
  const { id } = yield* connections.create({
    authConfigId,
    userId: "person",
    secrets: { access_token: Redacted.make(accessToken), refresh_token: Redacted.make(refreshToken) },
    expiresAt: DateTime.makeUnsafe(
      options.expired === true
        ? now - 1
        : options.expiresIn === undefined
          ? expiresAt
          : now + Duration.toMillis(Duration.fromInputUnsafe(options.expiresIn))
    )
  })
  return { id, accessToken, refreshToken, expiresAt }
})

/** The account as stored. */
export const stored = (id: ConnectedAccountId) =>
  Effect.flatMap(AccountStore, (store) => Effect.map(store.find(id), Option.getOrThrow))

/** The secrets of a stored account. */
export const secretsOf = (id: ConnectedAccountId) =>
  Effect.gen(function* () {
    const credential = yield* (yield* TokenCommit).open(yield* stored(id))
    return Object.fromEntries(Object.entries(credential.secrets).map(([name, value]) => [name, Redacted.value(value)]))
  })

/** The public form of the stored credential. */
export const attributesOf = (id: ConnectedAccountId) =>
  Effect.gen(function* () {
    return (yield* (yield* TokenCommit).open(yield* stored(id))).attributes
  })

/** The announcements, oldest first. */
export const events = Effect.flatMap(AccountStore, (store) =>
  Effect.map(store.readOutbox(0, 10_000), ({ items }) => items.map(({ type }) => type))
)

/** Takes the lease as another process would. */
export const leaseAs = Effect.fnUntraced(function* (id: ConnectedAccountId, owner: string, leaseMillis = 60_000) {
  const store = yield* AccountStore
  const account = yield* stored(id)
  const leased = yield* store.begin({
    account,
    owner,
    leaseMillis,
    now: yield* Clock.currentTimeMillis
  })
  return Option.getOrThrow(leased)
})

/** The fields of an account that an attempt changes. */
export const summary = (account: Account) => ({
  status: account.status,
  reason: account.statusReason,
  generation: account.generation,
  intent: account.intent === null ? "closed" : "open",
  leased: account.lease !== null
})

/** Connects a service: its own client is the credential, and no person consents. */
export const connectedService = Effect.gen(function* () {
  const connections = yield* Connections
  const settings = { clientId: "client", tokenEndpoint: "https://provider.test/token" }
  yield* connections.authConfigs.register(authConfig("robots", {}, { scheme: "S2S_OAUTH2", settings, secrets: {} }))
  const secrets = { client_id: Redacted.make("own"), client_secret: Redacted.make("s") }
  return yield* connections.create({ authConfigId: "robots", userId: "robot", secrets })
})

/** A tracer that collects the spans. */
export const collectingTracer = () => {
  const spans: Array<Tracer.Span> = []
  const tracer = Tracer.make({
    span: (options) => {
      const span = new Tracer.NativeSpan(options)
      spans.push(span)
      return span
    }
  })
  return { spans, tracer }
}
