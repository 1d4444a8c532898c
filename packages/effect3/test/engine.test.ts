import { assert, describe, it } from "@effect/vitest"
import {
  AccountNotFound,
  ConnectedAccounts,
  ConnectionNotReady,
  Connections,
  ConsentCallback,
  ConsentCallbackError,
  ConsentRequired,
  CurrentProject,
  InvalidRequest,
  RefreshUnsupported,
  withRefresh
} from "@rekindle/effect3"
import * as RekindleEngine from "@rekindle/effect3/RekindleEngine"
import {
  Chunk,
  Context,
  DateTime,
  Duration,
  Effect,
  Exit,
  Fiber,
  Layer,
  Logger,
  Option,
  Redacted,
  Scope,
  Stream
} from "effect"
import { randomBytes } from "node:crypto"
import { join } from "node:path"
import { inspect } from "node:util"
import { directory, provider } from "./support/provider.ts"

const keys = [{ id: "k1", key: Redacted.make(randomBytes(32).toString("base64")) }]

const engine = (file: string, options: Partial<RekindleEngine.Options> = {}) =>
  RekindleEngine.layerSqlite(file, {
    callbackUrl: "https://app.test/callback",
    keys,
    renewer: false,
    egress: { privateHosts: ["*"] },
    ...options
  })

const inMemory = Effect.provide(engine(":memory:"))

const expired = {
  authConfigId: "mail",
  userId: "ada",
  secrets: { access_token: Redacted.make("at-0"), refresh_token: Redacted.make("rt-0") },
  expiresAt: DateTime.unsafeMake(0)
}

const services = Effect.all({ accounts: ConnectedAccounts, connections: Connections, callback: ConsentCallback })

/** An account whose access token is no longer valid. */
const connected = Effect.gen(function* () {
  const mail = yield* provider
  const { accounts, callback, connections } = yield* services
  yield* connections.authConfigs.register(mail.config)
  const { id } = yield* connections.create(expired)
  return { accounts, callback, connections, id, mail }
})

describe("an engine", () => {
  it.scopedLive("renews, reads and hands out tokens", () =>
    Effect.gen(function* () {
      const { accounts, connections, id, mail } = yield* connected
      assert.deepStrictEqual(yield* accounts.refresh(id), { _tag: "Ready", id })
      assert.strictEqual(Redacted.value(yield* connections.accessToken(id, "10 minutes")), "at-1")
      const credential = yield* connections.credential(id, Duration.minutes(10))
      assert.isTrue(credential._tag === "AccessToken" && Redacted.value(credential.token) === "at-1")
      const { headers } = yield* connections.authorization(id, { method: "GET", url: `${mail.origin}/messages` })
      assert.deepStrictEqual(Object.values(headers).map(Redacted.value), ["Bearer at-1"])
      assert.strictEqual((yield* accounts.get(id)).status, "ACTIVE")
      assert.strictEqual(mail.requests(), 1)
    }).pipe(inMemory)
  )

  it.scopedLive("finds, lists, counts, disables, revokes and removes accounts", () =>
    Effect.gen(function* () {
      const { accounts, connections, id } = yield* connected
      const found = yield* connections.find({ userId: "ada", authConfigId: "mail" })
      assert.deepStrictEqual(
        Option.map(found, (account) => account.id),
        Option.some(id)
      )
      assert.isTrue(Option.isNone(yield* connections.find({ userId: "bob", authConfigId: "mail" })))
      const { items, nextCursor } = yield* connections.list({ userIds: ["ada"], ids: [id], limit: 1 })
      assert.deepStrictEqual([items.map((account) => account.id), nextCursor], [[id], undefined])
      assert.strictEqual(yield* connections.count(), 1)
      yield* connections.disable(id)
      assert.instanceOf(yield* Effect.flip(accounts.refresh(id)), InvalidRequest)
      yield* connections.enable(id)
      assert.deepInclude(yield* connections.revoke(id), { withdrawn: "unsupported" })
      yield* connections.remove(id)
      assert.instanceOf(yield* Effect.flip(accounts.get(id)), AccountNotFound)
    }).pipe(inMemory)
  )

  it.scopedLive("keeps auth configs, and names each mistake in one", () =>
    Effect.gen(function* () {
      const { config } = yield* provider
      const { connections } = yield* services
      const { authConfigs } = connections
      const registered = yield* authConfigs.register(config)
      assert.deepStrictEqual(registered.secretNames, ["client_secret"])
      assert.deepStrictEqual(registered.profile.margin, Duration.minutes(1))
      assert.deepStrictEqual(registered.profile.accessTokenTtl, Duration.hours(1))
      assert.deepStrictEqual((yield* authConfigs.list()).items, [registered])
      assert.deepStrictEqual(yield* authConfigs.get("mail"), Option.some(registered))
      yield* authConfigs.disable("mail")
      assert.isTrue(Option.exists(yield* authConfigs.get("mail"), ({ isDisabled }) => isDisabled))
      yield* authConfigs.enable("mail")
      yield* authConfigs.remove("mail")
      assert.isTrue(Option.isNone(yield* authConfigs.get("mail")))
      const invalid = yield* Effect.flip(authConfigs.register({ ...config, id: "no id at all", settings: {} }))
      assert.deepInclude(invalid, { _tag: "InvalidRequest", slug: "invalid_auth_config" })
    }).pipe(inMemory)
  )

  it.scopedLive("hands out an API key, and says that it is no access token", () =>
    Effect.gen(function* () {
      const { accounts, connections } = yield* services
      yield* connections.authConfigs.register({
        id: "mailer",
        toolkit: "mailer",
        scheme: "API_KEY",
        hosts: ["api.test"],
        settings: { keyHeader: "x-key" }
      })
      const { id } = yield* connections.create({
        authConfigId: "mailer",
        userId: "ada",
        secrets: { api_key: Redacted.make("key-1") }
      })
      const credential = yield* connections.credential(id)
      assert.isTrue(credential._tag === "ApiKey" && Redacted.value(credential.key) === "key-1")
      assert.instanceOf(yield* Effect.flip(connections.accessToken(id)), RefreshUnsupported)
      yield* connections.replaceSecrets(id, { api_key: Redacted.make("key-2") })
      const replaced = yield* connections.credential(id)
      assert.isTrue(replaced._tag === "ApiKey" && Redacted.value(replaced.key) === "key-2")
      assert.deepStrictEqual(yield* accounts.refresh(id), { _tag: "Ready", id })
    }).pipe(inMemory)
  )

  it.scopedLive("asks for consent when the grant is dead, and is back once the person consents", () =>
    Effect.gen(function* () {
      const { callback, connections, id, mail } = yield* connected
      mail.kill()
      const token = withRefresh(id, connections.accessToken(id))
      const required = yield* Effect.flip(token)
      assert.instanceOf(required, ConsentRequired)
      assert.instanceOf(yield* Effect.flip(connections.accessToken(id)), ConnectionNotReady)
      const caught = yield* Effect.catchTag(token, "ConsentRequired", ({ redirectUrl }) => Effect.succeed(redirectUrl))
      assert.include(String(caught), mail.origin)
      const { openUntil, url } = yield* connections.link(id, { redirectUrl: "https://app.test/done", session: "ada-1" })
      assert.isTrue(yield* DateTime.isFuture(openUntil))
      const query = new URLSearchParams({ code: "c", state: new URL(url).searchParams.get("state") ?? "" })
      assert.instanceOf(yield* Effect.flip(callback.complete(query, "another browser")), ConsentCallbackError)
      mail.revive()
      assert.deepStrictEqual(yield* callback.complete(query, "ada-1"), {
        accountId: id,
        status: "ACTIVE",
        redirectUrl: "https://app.test/done",
        failure: undefined
      })
      assert.strictEqual(Redacted.value(yield* token), "at-1")
      const events = yield* Stream.runCollect(connections.events({ follow: false }))
      assert.deepStrictEqual(
        Chunk.toReadonlyArray(Chunk.map(events, ({ type }) => type)).filter((type) => type !== "consent_started"),
        ["expired", "consent_completed", "recovered"]
      )
    }).pipe(inMemory)
  )

  it.scopedLive("renews once for callers that fail together", () =>
    Effect.gen(function* () {
      const { connections, id, mail } = yield* connected
      yield* (yield* ConnectedAccounts).refresh(id)
      let refused = 0
      const call = Effect.flatMap(connections.accessToken(id), (token) =>
        Redacted.value(token) === "at-1"
          ? Effect.zipRight(
              Effect.sync(() => refused++),
              Effect.fail({ status: 401 })
            )
          : Effect.succeed(Redacted.value(token))
      )
      const tokens = yield* Effect.all(
        Array.from({ length: 20 }, () =>
          withRefresh(id, call, { isAuthFailure: (error) => "status" in error && error.status === 401 })
        ),
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual([...new Set(tokens)], ["at-2"])
      assert.strictEqual(refused, 20)
      assert.strictEqual(mail.requests(), 2)
    }).pipe(inMemory)
  )

  it.scopedLive("warns through the logger of the application", () => {
    const lines: Array<string> = []
    const collecting = Logger.replace(
      Logger.defaultLogger,
      Logger.make(({ logLevel, message }) => lines.push(`${logLevel.label} ${inspect(message)}`))
    )
    return Effect.gen(function* () {
      const { accounts, id, mail } = yield* connected
      mail.kill()
      yield* accounts.refresh(id)
      assert.strictEqual(lines.length, 1)
      assert.match(lines.join(), /^WARN .*an account stopped working/s)
      assert.include(lines.join(), id)
    }).pipe(inMemory, Effect.provide(collecting))
  })

  it.scopedLive("keeps projects apart", () =>
    Effect.gen(function* () {
      const { accounts, id } = yield* connected
      const elsewhere = Effect.provideService(CurrentProject, "acme")
      assert.instanceOf(yield* Effect.flip(elsewhere(accounts.get(id))), AccountNotFound)
    }).pipe(inMemory)
  )

  it.scopedLive("follows events until its reader is interrupted", () =>
    Effect.gen(function* () {
      const { connections, id } = yield* connected
      const reader = yield* connections.events({ pollInterval: "10 millis" }).pipe(
        Stream.filter(({ type }) => type === "renewed"),
        Stream.take(1),
        Stream.runCollect,
        Effect.fork
      )
      const endless = yield* Effect.fork(Stream.runDrain(connections.events({ pollInterval: "10 millis" })))
      yield* connections.accessToken(id)
      const [event] = Chunk.toReadonlyArray(yield* Fiber.join(reader))
      assert.deepInclude(event, { accountId: id, type: "renewed" })
      assert.isTrue(Exit.isInterrupted(yield* Fiber.interrupt(endless)))
    }).pipe(inMemory)
  )
})

describe("an engine on a file", () => {
  it.scopedLive("completes a renewal whose caller is interrupted", () =>
    Effect.gen(function* () {
      const file = join(yield* directory, "accounts.db")
      const id = yield* Effect.gen(function* () {
        const { accounts, connections, id, mail } = yield* connected
        mail.hold()
        const call = yield* Effect.fork(accounts.refresh(id))
        yield* mail.awaitRequests(1)
        assert.isTrue(Exit.isInterrupted(yield* Fiber.interrupt(call)))
        mail.release()
        assert.strictEqual(Redacted.value(yield* connections.accessToken(id)), "at-1")
        assert.strictEqual(mail.requests(), 1)
        return id
      }).pipe(Effect.provide(engine(file)))
      const token = Effect.flatMap(Connections, (connections) => connections.accessToken(id))
      assert.strictEqual(Redacted.value(yield* Effect.provide(token, engine(file))), "at-1")
    })
  )

  it.scopedLive("stores the answer to what it has sent before its scope closes", () =>
    Effect.gen(function* () {
      const file = join(yield* directory, "accounts.db")
      const scope = yield* Scope.make()
      const context = yield* Layer.buildWithScope(engine(file), scope)
      const { accounts, id, mail } = yield* Effect.provide(connected, context)
      mail.hold()
      const call = yield* Effect.fork(accounts.refresh(id))
      yield* mail.awaitRequests(1)
      const closing = yield* Effect.fork(Scope.close(scope, Exit.void))
      mail.release()
      yield* Fiber.join(closing)
      yield* Fiber.await(call)
      // The file is free, and what it says is the answer.
      const token = Effect.flatMap(Connections, (connections) => connections.accessToken(id))
      assert.strictEqual(Redacted.value(yield* Effect.provide(token, engine(file))), "at-1")
      assert.strictEqual(mail.requests(), 1)
      const late = yield* Effect.exit(Context.get(context, ConnectedAccounts).get(id))
      assert.isTrue(Exit.isFailure(late))
    })
  )

  it.scopedLive("says why it does not open, and closes what it had opened", () =>
    Effect.gen(function* () {
      const file = join(yield* directory, "accounts.db")
      const secret = "c2hvcnQtaHVudGVyMg=="
      const opened = (options: Partial<RekindleEngine.Options>, at = file) =>
        Effect.flip(Effect.provide(services, engine(at, options)))
      const short = yield* opened({ keys: [{ id: "k1", key: Redacted.make(secret) }] })
      assert.deepInclude(short, { _tag: "EngineError", reason: "VaultError" })
      assert.notInclude(inspect(short, { depth: 10, showHidden: true }), secret)
      assert.deepInclude(yield* opened({ callbackUrl: "not an address" }), { reason: "ConfigError" })
      assert.deepInclude(yield* opened({}, join(file, "below", "a", "file")), { _tag: "EngineError" })
      yield* Effect.provide(services, engine(file))
      const others = [{ id: "k1", key: Redacted.make(randomBytes(32).toString("base64")) }]
      assert.deepInclude(yield* opened({ keys: others }), { reason: "VaultError" })
      yield* Effect.provide(services, engine(file))
    })
  )

  it.scopedLive("shows no secret of what it hands out, takes in or fails with", () =>
    Effect.gen(function* () {
      const { accounts, connections, id, mail } = yield* connected
      const shown: Array<unknown> = [
        mail.config,
        expired,
        yield* connections.credential(id),
        yield* connections.accessToken(id),
        yield* connections.authorization(id, { method: "GET", url: mail.origin }),
        yield* accounts.get(id),
        yield* Effect.exit(connections.authorization(id, { method: "GET", url: "https://elsewhere.test/?token=at-1" })),
        yield* Effect.exit(connections.authConfigs.register({ ...mail.config, id: "!" }))
      ]
      mail.kill()
      shown.push(yield* Effect.exit(accounts.refresh(id, { tokenRefused: true })))
      for (const value of shown)
        for (const text of [String(value), JSON.stringify(value), inspect(value, { depth: 20, showHidden: true })])
          assert.notMatch(text, /at-[01]|rt-[01]|hunter2/)
    }).pipe(inMemory)
  )
})
