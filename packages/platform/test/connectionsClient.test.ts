/** The client of `Connections`: failures as they are locally, servers that are hostile, secrets, and events over a connection that dies. */
import { assert, describe, it } from "@effect/vitest"
import {
  AccountNotFound,
  AuthConfig,
  ConnectedAccount,
  ConnectedAccountId,
  Connections,
  type ConnectionsError,
  EventsMissed,
  Forbidden,
  InvalidRequest,
  RateLimited,
  RefreshFailed,
  RefreshUnsupported,
  Resilience,
  Unauthorized,
  Unavailable,
  UnexpectedResponse
} from "@rekindle/core"
import { RekindleClient } from "@rekindle/platform"
import * as UndiciHttpClient from "@rekindle/platform/UndiciHttpClient"
import { account as scripted } from "@rekindle/testing/ScriptedAccounts"
import { layer as script, type Operation, ScriptedConnections } from "@rekindle/testing/ScriptedConnections"
import {
  Context,
  Duration,
  Effect,
  Fiber,
  Inspectable,
  Logger,
  Option,
  Queue,
  Redacted,
  Schema,
  Stream,
  Struct,
  Tracer
} from "effect"
import { FetchHttpClient } from "effect/http"
import { TestClock } from "effect/testing"
import type { RequestListener } from "node:http"
import { account, apiKey, id, impostor, nobody, serveConnections } from "./support.ts"

type Service = Connections["Service"]

const connect = (baseUrl: string) =>
  Effect.map(RekindleClient.makeConnections({ baseUrl, apiKey: Redacted.make(apiKey) }), Context.get(Connections))

/** The client of a server that does what it likes. */
const facing = (listener: RequestListener) => Effect.flatMap(impostor(listener), connect)

const answering = (status: number, body: unknown, headers: Record<string, string> = {}) =>
  facing((_, response) =>
    response.writeHead(status, headers).end(typeof body === "string" ? body : JSON.stringify(body))
  )

const config = AuthConfig.make({
  id: "gmail",
  toolkit: "gmail",
  scheme: "OAUTH2",
  hosts: ["idp.test"],
  secrets: { client_secret: Redacted.make("s3cr3t-config") }
})
const secrets = { access_token: Redacted.make("s3cr3t-token") }
const request = { method: "POST", url: "https://api.test/", form: [["password", "s3cr3t-form"]] } as const

/** Every call that is one request, by its operation. */
const callsOf = ({ authConfigs, ...connections }: Service): Readonly<Partial<Record<Operation, Call>>> => ({
  "authConfigs.register": authConfigs.register(config),
  "authConfigs.get": authConfigs.get("gmail"),
  "authConfigs.list": authConfigs.list(),
  "authConfigs.count": authConfigs.count(),
  "authConfigs.update": authConfigs.update("gmail", { secrets: config.secrets }),
  "authConfigs.enable": authConfigs.enable("gmail"),
  "authConfigs.disable": authConfigs.disable("gmail"),
  "authConfigs.remove": authConfigs.remove("gmail"),
  create: connections.create({ id, authConfigId: "gmail", userId: "ann", secrets }),
  list: connections.list(),
  count: connections.count(),
  link: connections.link(id, { session: "s3cr3t-session" }),
  update: connections.update(id, { secrets }),
  replaceSecrets: connections.replaceSecrets(id, secrets),
  enable: connections.enable(id),
  disable: connections.disable(id),
  revoke: connections.revoke(id),
  remove: connections.remove(id),
  credential: connections.credential(id, "5 minutes"),
  authorization: connections.authorization(id, request),
  events: Stream.runCollect(connections.events({ follow: false }))
})

type Call = Effect.Effect<unknown, ConnectionsError | Resilience.ConnectionNotReady | EventsMissed>

const eachCall = <E, R>(connections: Service, test: (call: Call, operation: Operation) => Effect.Effect<void, E, R>) =>
  Effect.forEach(
    Object.entries(callsOf(connections)) as ReadonlyArray<[Operation, Call]>,
    ([operation, call]) => test(call, operation),
    { discard: true }
  )

const failures: ReadonlyArray<ConnectionsError> = [
  new InvalidRequest({
    message: "no",
    slug: "invalid_auth_config",
    errors: ["settings.a: expected b"],
    suggestedFix: "b"
  }),
  new Unauthorized({ message: "no", slug: "unknown_api_key" }),
  new Forbidden({ message: "no", slug: "missing_scope" }),
  new AccountNotFound({ message: "no", slug: "connected_account_not_found" }),
  new RateLimited({ message: "no", retryAfter: Duration.seconds(3) }),
  new RefreshFailed({ message: "no", slug: "refresh_refused", errors: ["invalid_scope"] }),
  new RefreshFailed({ message: "no", slug: "provider_silent" }),
  new RefreshUnsupported({ message: "no", slug: "scheme_unsupported" }),
  new Unavailable({ message: "no", slug: "busy", retryAfter: Duration.seconds(2) })
]

/** What a program decides by. The server adds the id of the request. */
const essence = (error: object) => ({
  ...Struct.omit({ requestId: "", ...error }, ["requestId"]),
  class: error.constructor
})

it.live("a failure arrives as the class, slug, details and disposition that it has locally, whatever was called", () =>
  Effect.gen(function* () {
    const { failNext } = yield* ScriptedConnections
    const connections = yield* Effect.flatMap(serveConnections(), connect)
    yield* eachCall(connections, (call, operation) =>
      Effect.forEach(
        failures,
        Effect.fnUntraced(function* (failure) {
          yield* failNext(operation, failure)
          assert.deepStrictEqual(essence(yield* Effect.flip(call)), essence(failure), operation)
        }),
        { discard: true }
      )
    )
  }).pipe(Effect.scoped, Effect.provide([script(), UndiciHttpClient.layer]))
)

describe("a hostile server", () => {
  const other = ConnectedAccountId.make("ca_another-account")
  const withToken = {
    id: other,
    credential: { type: "AccessToken", token: "s3cr3t-theirs", token_type: "Bearer", expires_at: null },
    authorization: null,
    headers: { authorization: "Bearer s3cr3t-theirs" },
    parameters: {},
    url: "https://idp.test/s3cr3t-theirs",
    open_until: "2026-10-01T00:00:00.000Z",
    status: "ACTIVE",
    withdrawn: "confirmed",
    answer: null
  }

  it.live.each([
    ["answers about another account", withToken],
    ["answers nothing", ""],
    ["answers with a page", "<html>s3cr3t-theirs</html>"],
    ["answers null", "null"],
    ["answers a list", "[]"],
    ["has a credential of a type that nobody knows", { id, credential: { type: "Later", token: "s3cr3t-theirs" } }],
    ["has a text where a number belongs", { items: [], total_items: "s3cr3t-theirs", next_cursor: 1 }]
  ] as const)("that %s is not believed, and nothing that it said is shown", ([, body]) =>
    Effect.gen(function* () {
      const connections = yield* answering(200, body)
      const { create, credential, authorization, link, list, revoke, update } = connections
      const calls: ReadonlyArray<Call> = [
        create({ id, authConfigId: "gmail", userId: "ann" }),
        credential(id),
        authorization(id, request),
        link(id, { session: "s" }),
        list(),
        revoke(id),
        update(id, { alias: "mine" }),
        connections.authConfigs.get("gmail"),
        connections.authConfigs.register(config)
      ]
      for (const call of calls) {
        const error = yield* Effect.flip(call)
        assert.instanceOf(error, UnexpectedResponse)
        assert.notInclude(`${String(error)} ${Inspectable.toStringUnknown(error)}`, "s3cr3t")
        assert.strictEqual(error instanceof UnexpectedResponse && error.excerpt, "")
      }
    }).pipe(Effect.scoped, Effect.provide(UndiciHttpClient.layer))
  )

  it.live("that says of another account that it is not ready says nothing of this one", () =>
    Effect.gen(function* () {
      const body = (status: unknown, of: string) => ({
        error: { message: "no", code: 40900, status: 409 },
        connected_account: { id: of, status }
      })
      for (const wrong of [body("EXPIRED", other), body(7, id), { error: body("EXPIRED", id).error }]) {
        const { accessToken } = yield* answering(409, wrong)
        const error = yield* Effect.flip(accessToken(id))
        assert.deepInclude(error, { _tag: "UnexpectedResponse", status: 409 })
      }
      const { accessToken } = yield* answering(409, body("EXPIRED", id))
      assert.deepStrictEqual(
        yield* Effect.flip(accessToken(id)),
        new Resilience.ConnectionNotReady({ accountId: id, status: "EXPIRED" })
      )
    }).pipe(Effect.scoped, Effect.provide(UndiciHttpClient.layer))
  )

  it.live("that echoes what it got finds its way into no error", () =>
    Effect.gen(function* () {
      for (const status of [400, 404, 418, 500, 502]) {
        const connections = yield* facing((request, response) => {
          request.pipe(response.writeHead(status))
        })
        yield* eachCall(connections, (call, operation) =>
          Effect.gen(function* () {
            const error = yield* Effect.flip(call)
            assert.instanceOf(error, UnexpectedResponse, operation)
            assert.notInclude(`${String(error)} ${Inspectable.toStringUnknown(error)}`, "s3cr3t", operation)
          })
        )
      }
    }).pipe(Effect.scoped, Effect.provide(UndiciHttpClient.layer))
  )

  it.live.each([
    ["fetch", FetchHttpClient.layer],
    ["undici's dispatcher", UndiciHttpClient.layer]
  ] as const)("whose answer does not end is not read to the end, over %s", ([, httpClient]) =>
    Effect.gen(function* () {
      const { list } = yield* facing((_, response) => {
        const more = () => {
          while (!response.destroyed && response.write(" ".repeat(64 * 1024)));
        }
        response.on("drain", more).on("error", () => {})
        response.writeHead(200)
        more()
      })
      const error = yield* Effect.flip(list())
      assert.include(["UnexpectedResponse", "TransportError"], error._tag)
      assert.strictEqual(error.disposition, "ambiguous")
    }).pipe(Effect.scoped, Effect.provide(httpClient))
  )
})

it.live("a secret travels in a body, and in no address, header or span", () =>
  Effect.gen(function* () {
    const seen: Array<string> = []
    const connections = yield* facing((request, response) => {
      seen.push(`${request.url} ${JSON.stringify(request.headers)}`)
      response.writeHead(503).end(JSON.stringify({ error: { message: "no", code: 1, status: 503 } }))
    })
    const spans: Array<Tracer.Span> = []
    const tracer = Tracer.make({
      span: (options) => {
        const span = new Tracer.NativeSpan(options)
        spans.push(span)
        return span
      }
    })
    yield* eachCall(connections, (call) => Effect.ignore(call)).pipe(Effect.withTracer(tracer))
    assert.isAbove(seen.length, 20)
    assert.notInclude(seen.join("\n"), "s3cr3t")
    assert.isAbove(spans.length, 20)
    const recorded = spans.map((span) => `${span.name} ${JSON.stringify([...span.attributes])}`).join("\n")
    assert.include(recorded, "Connections.authConfigs.register")
    assert.notInclude(recorded, "s3cr3t")
    assert.notInclude(recorded, apiKey)
  }).pipe(Effect.scoped, Effect.provide(UndiciHttpClient.layer))
)

it.live("what a query cannot say is not asked: no values, an empty one, a limit out of range", () =>
  Effect.gen(function* () {
    const paths: Array<string | undefined> = []
    const { authConfigs, count, list, revoke } = yield* facing((request, response) => {
      paths.push(request.url?.replace(/^.*\?/, ""))
      response.end(JSON.stringify({ items: [], next_cursor: null, total_items: 0 }))
    })
    for (const userIds of [[], [""]]) {
      assert.deepStrictEqual(yield* list({ userIds }), { items: [], nextCursor: undefined })
      assert.strictEqual(yield* count({ userIds }), 0)
      assert.strictEqual(yield* authConfigs.count({ toolkits: userIds }), 0)
    }
    assert.deepInclude(yield* Effect.flip(list({ limit: 501 })), { slug: "invalid_limit" })
    assert.deepStrictEqual(paths, [])
    // A server that splits a single value at its commas must not split this one.
    yield* list({ userIds: ["a,b"], orderBy: "updatedAt", direction: "asc", statuses: ["ACTIVE", "EXPIRED"] })
    yield* Effect.ignore(revoke(id, { ifUnsupported: "refuse" }))
    assert.deepStrictEqual(paths, [
      "user_ids=a%2Cb&user_ids=&statuses=ACTIVE&statuses=EXPIRED&order_by=updated_at&order_direction=asc",
      "if_unsupported=refuse"
    ])
  }).pipe(Effect.scoped, Effect.provide(UndiciHttpClient.layer))
)

it.live("a malformed id of an auth config is not sent, and not repeated", () =>
  Effect.gen(function* () {
    const paths: Array<string | undefined> = []
    const { authConfigs } = yield* facing((request, response) => {
      paths.push(request.url)
      response.end("{}")
    })
    const bad = "../admin?s3cr3t"
    assert.isTrue(Option.isNone(yield* authConfigs.get(bad)))
    const registered = yield* Effect.flip(authConfigs.register({ ...config, id: bad }))
    assert.deepInclude(registered, {
      slug: "invalid_auth_config",
      errors: ["id: Expected 1 to 64 letters, digits, - or _"]
    })
    const disabled = yield* Effect.flip(authConfigs.disable(bad))
    assert.deepInclude(disabled, { _tag: "InvalidRequest", slug: "auth_config_not_found" })
    assert.notInclude(`${String(registered)} ${String(disabled)}`, "s3cr3t")
    assert.deepStrictEqual(paths, [])
  }).pipe(Effect.scoped, Effect.provide(UndiciHttpClient.layer))
)

it.live("the person whose id has a comma is found, and nobody else", () =>
  Effect.gen(function* () {
    const { authConfigs, create, find, list } = yield* Effect.flatMap(serveConnections(), connect)
    yield* authConfigs.register(config)
    const ids = yield* Effect.forEach(["a,b", "a", "b"], (userId) =>
      Effect.map(create({ authConfigId: "gmail", userId }), ({ id }) => id)
    )
    const found = yield* find({ authConfigId: "gmail", userId: "a,b" })
    assert.deepStrictEqual(
      Option.map(found, ({ id }) => id),
      Option.fromUndefinedOr(ids[0])
    )
    assert.strictEqual((yield* list({ userIds: ["a,b"] })).items.length, 1)
  }).pipe(Effect.scoped, Effect.provide([script(), UndiciHttpClient.layer]))
)

it.live("a gateway passes failures on with their disposition", () =>
  Effect.gen(function* () {
    const upstream = yield* RekindleClient.makeConnections({ baseUrl: nobody, apiKey: Redacted.make(apiKey) })
    const gateway = yield* Effect.provideContext(serveConnections(), upstream)
    const connections = yield* connect(gateway)
    yield* eachCall(connections, (call, operation) =>
      Effect.map(Effect.flip(call), (error) =>
        assert.deepInclude(error, { _tag: "Unavailable", slug: "upstream_unavailable" }, operation)
      )
    )
    const through = yield* Effect.gen(function* () {
      const context = yield* RekindleClient.makeConnections({
        baseUrl: yield* serveConnections(),
        apiKey: Redacted.make(apiKey)
      })
      const { accessToken } = yield* Effect.flatMap(Effect.provideContext(serveConnections(), context), connect)
      return yield* Effect.flip(accessToken(id))
    }).pipe(Effect.provide(script({ accounts: [scripted({ id, status: "EXPIRED" })] })))
    assert.deepStrictEqual(through, new Resilience.ConnectionNotReady({ accountId: id, status: "EXPIRED" }))
  }).pipe(Effect.scoped, Effect.provide([UndiciHttpClient.layer, Logger.layer([])]))
)

describe("events", () => {
  const event = (sequence: number, type = "expired") => ({
    sequence,
    connected_account_id: id,
    type,
    status: "EXPIRED",
    status_reason: null,
    at: "2026-10-01T00:00:00.000Z"
  })
  const enveloped = (status: number) => ({ error: { message: "no", code: status * 100, status } })

  /** A server whose answers the test gives one by one, and the queries that it got. Without an answer it says nothing. */
  const prompted = Effect.gen(function* () {
    const asked = yield* Queue.unbounded<string>()
    const answers: Array<readonly [status: number, body: unknown]> = []
    const connections = yield* facing((request, response) => {
      Queue.offerUnsafe(asked, request.url?.replace(/^[^?]*\??/, "") ?? "")
      const [status, body] = answers.shift() ?? []
      if (status !== undefined) response.writeHead(status).end(JSON.stringify(body))
    })
    return { ...connections, answers, asked: Queue.take(asked) }
  })

  it.effect("are resumed after the last one when a connection is dead", () =>
    Effect.gen(function* () {
      const { answers, asked, events } = yield* prompted
      answers.push([200, { items: [event(3), event(5)] }])
      const reading = yield* Effect.forkChild(Stream.runCollect(Stream.take(events({ after: 2 }), 3)))
      assert.strictEqual(yield* asked, "after=2&wait_ms=10000&every_ms=1000")
      assert.strictEqual(yield* asked, "after=5&wait_ms=10000&every_ms=1000")
      answers.push([502, "a proxy"], [503, enveloped(503)], [200, { items: [event(6)] }])
      // It said nothing for longer than it was asked to wait.
      yield* TestClock.adjust("21 seconds")
      assert.match(yield* asked, /^after=5/)
      yield* TestClock.adjust("2 seconds")
      assert.match(yield* asked, /^after=5/)
      yield* TestClock.adjust("4 seconds")
      const read = yield* Fiber.join(reading)
      assert.deepStrictEqual(
        read.map(({ sequence }) => sequence),
        [3, 5, 6]
      )
    }).pipe(Effect.scoped, Effect.provide(UndiciHttpClient.layer))
  )

  it.effect("end with the failure after five in a row, and at once with one that stays", () =>
    Effect.gen(function* () {
      const { answers, asked, events } = yield* prompted
      for (let time = 0; time < 6; time++) answers.push([503, enveloped(503)])
      const reading = yield* Effect.forkChild(Effect.flip(Stream.runDrain(events())))
      for (const pause of [1, 2, 4, 8, 16]) {
        yield* asked
        yield* Effect.yieldNow
        yield* TestClock.adjust(Duration.seconds(pause))
      }
      yield* asked
      assert.strictEqual((yield* Fiber.join(reading))._tag, "Unavailable")
      for (const status of [400, 401, 403]) {
        answers.push([status, enveloped(status)])
        assert.deepInclude(yield* Effect.flip(Stream.runDrain(events())), { status })
      }
    }).pipe(Effect.scoped, Effect.provide(UndiciHttpClient.layer))
  )

  it.live("that are deleted are missed as they are locally", () =>
    Effect.gen(function* () {
      const { answers, events } = yield* prompted
      answers.push([410, { ...enveloped(410), events: { after: 2, through: 9 } }])
      assert.deepStrictEqual(
        yield* Effect.flip(Stream.runDrain(events({ after: 2 }))),
        new EventsMissed({ message: "no", after: 2, through: 9 })
      )
    }).pipe(Effect.scoped, Effect.provide(UndiciHttpClient.layer))
  )

  it.live("of a later server are left out, and their sequence counts", () =>
    Effect.gen(function* () {
      const { answers, events } = yield* prompted
      answers.push([200, { items: [event(1), { sequence: 2, type: "frozen" }] }], [200, { items: [] }])
      const read = yield* Stream.runCollect(events({ follow: false }))
      assert.deepStrictEqual(
        read.map(({ sequence }) => sequence),
        [1]
      )
    }).pipe(Effect.scoped, Effect.provide(UndiciHttpClient.layer))
  )

  it.live.each([
    ["twice", [event(3), event(3)]],
    ["that were there before", [event(2)]],
    ["of no account", [{ ...event(3), connected_account_id: "../admin" }]]
  ] as const)("%s are not believed", ([, items]) =>
    Effect.gen(function* () {
      const { answers, events } = yield* prompted
      answers.push([200, { items }])
      const error = yield* Effect.flip(Stream.runDrain(events({ after: 2, follow: false })))
      assert.instanceOf(error, UnexpectedResponse)
    }).pipe(Effect.scoped, Effect.provide(UndiciHttpClient.layer))
  )

  it.effect("of a server that does not wait are asked for once an interval", () =>
    Effect.gen(function* () {
      const { answers, asked, events } = yield* prompted
      for (let time = 0; time < 3; time++) answers.push([200, { items: [] }])
      const reading = yield* Effect.forkChild(Stream.runDrain(events({ pollInterval: "5 seconds" })))
      assert.strictEqual(yield* asked, "wait_ms=10000&every_ms=5000")
      yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
      yield* TestClock.adjust("4 seconds")
      const second = yield* Effect.forkChild(asked)
      assert.isUndefined(second.pollUnsafe())
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(second)
      yield* Fiber.interrupt(reading)
    }).pipe(Effect.scoped, Effect.provide(UndiciHttpClient.layer))
  )
})

it.live("a new account has an id of its own, which its request chose", () =>
  Effect.gen(function* () {
    const ids = new Array<string>()
    const { create } = yield* facing((request, response) => {
      const own = ConnectedAccountId.make(request.url?.replace(/^.*\//, "") ?? "")
      ids.push(own)
      response.end(JSON.stringify(Schema.encodeSync(ConnectedAccount)({ ...account, id: own })))
    })
    const made = [
      yield* create({ authConfigId: "gmail", userId: "ann" }),
      yield* create({ authConfigId: "gmail", userId: "ann" })
    ]
    assert.deepStrictEqual(
      made.map(({ id }) => id as string),
      ids
    )
    assert.strictEqual(new Set(ids).size, 2)
  }).pipe(Effect.scoped, Effect.provide(UndiciHttpClient.layer))
)
