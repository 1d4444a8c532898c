import { assert, describe, it } from "@effect/vitest"
import { type ConnectedAccountId, ConnectedAccounts, Connections, CurrentProject } from "@rekindle/core"
import { CredentialVault, Engine } from "@rekindle/engine"
import { ScriptedProvider } from "@rekindle/testing"
import { Effect, Fiber, Layer, Redacted } from "effect"
import { TestClock } from "effect/testing"
import { mkdtemp, readFile, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { AuthorizationServer, callbackUrl } from "../support/AuthorizationServer.ts"
import { accessOnly, consents, fresh, link } from "../support/ScriptedConsent.ts"
import * as scripted from "../support/ScriptedEngine.ts"
import { connected } from "../support/TestEngine.ts"

const key = { id: "k", key: Redacted.make(Buffer.alloc(32, "test key").toString("base64")) }

/** An engine on a file. Building it again is a restart. */
const engine = (file: string) =>
  Engine.layerSqlite(file, { consent: { callbackUrl }, egress: { privateHosts: ["*"] } }).pipe(
    Layer.provide(CredentialVault.layer([key]))
  )

const file = Effect.acquireRelease(
  Effect.promise(() => mkdtemp(join(tmpdir(), "rekindle-"))),
  (directory) => Effect.promise(() => rm(directory, { recursive: true, force: true }))
).pipe(Effect.map((directory) => join(directory, "accounts.db")))

const setUp = Effect.gen(function* () {
  const server = yield* AuthorizationServer
  yield* (yield* Connections).authConfigs.register(server.authConfig())
  return yield* connected("oidc")
})

const refresh = (...parameters: Parameters<ConnectedAccounts["Service"]["refresh"]>) =>
  Effect.flatMap(ConnectedAccounts, (accounts) => accounts.refresh(...parameters))

describe("an idempotency key", () => {
  it.live("makes a repeated refresh answer the first one's result, also after a restart", () =>
    Effect.gen(function* () {
      const path = yield* file
      const server = yield* AuthorizationServer
      const { id } = yield* Effect.provide(setUp, engine(path))
      const once = refresh(id, { idempotencyKey: "a" })
      const first = yield* Effect.provide(Effect.all([once, once], { concurrency: 2 }), engine(path))
      const again = yield* Effect.provide(once, engine(path))
      assert.deepStrictEqual(first, [again, again])
      assert.strictEqual(server.tally().spent, 1)
      yield* Effect.provide(refresh(id, { idempotencyKey: "b" }), engine(path))
      assert.strictEqual(server.tally().spent, 2)
    }).pipe(Effect.provide(AuthorizationServer.layer()))
  )

  it.live("is refused for another request, and is another key for another project", () =>
    Effect.gen(function* () {
      const path = yield* file
      yield* Effect.gen(function* () {
        const { id } = yield* setUp
        const other = yield* connected("oidc")
        yield* refresh(id, { idempotencyKey: "a" })
        const reused = yield* Effect.flip(refresh(other.id, { idempotencyKey: "a" }))
        assert.deepInclude({ ...reused }, { _tag: "InvalidRequest", slug: "idempotency_key_reused" })
        const changed = yield* Effect.flip(
          refresh(id, { idempotencyKey: "a", redirectUrl: "https://elsewhere.example" })
        )
        assert.strictEqual(changed._tag, "InvalidRequest")
        const server = yield* AuthorizationServer
        const elsewhere = Effect.gen(function* () {
          yield* (yield* Connections).authConfigs.register(server.authConfig({ projectId: "elsewhere" }))
          const { id } = yield* connected("oidc")
          return yield* refresh(id, { idempotencyKey: "a" })
        }).pipe(Effect.provideService(CurrentProject, "elsewhere"))
        assert.strictEqual((yield* elsewhere)._tag, "Ready")
      }).pipe(Effect.provide(engine(path)))
    }).pipe(Effect.provide(AuthorizationServer.layer()))
  )

  it.live("is forgotten when nothing was done, so that the repeat is a real attempt", () =>
    Effect.gen(function* () {
      const path = yield* file
      const server = yield* AuthorizationServer
      yield* Effect.gen(function* () {
        const { id } = yield* setUp
        yield* server.disturb({ _tag: "Answer", status: 503 }, 1)
        const busy = yield* Effect.flip(refresh(id, { idempotencyKey: "a" }))
        assert.strictEqual(busy._tag, "Unavailable")
        assert.strictEqual((yield* refresh(id, { idempotencyKey: "a" }))._tag, "Ready")
      }).pipe(Effect.provide(engine(path)))
    }).pipe(Effect.provide(AuthorizationServer.layer()))
  )

  it.live("keeps an answer that comes after its caller left", () =>
    Effect.gen(function* () {
      const path = yield* file
      const server = yield* AuthorizationServer
      yield* Effect.gen(function* () {
        const { id } = yield* setUp
        const caller = yield* Effect.forkChild(refresh(id, { idempotencyKey: "a" }))
        while (server.tally().requests === 0) yield* Effect.yieldNow
        yield* Fiber.interrupt(caller)
        assert.strictEqual((yield* refresh(id, { idempotencyKey: "a" }))._tag, "Ready")
        assert.strictEqual(server.tally().spent, 1)
      }).pipe(Effect.provide(engine(path)))
    }).pipe(Effect.provide(AuthorizationServer.layer({ latency: "50 millis" })))
  )

  it.effect("that comes while its first request is under way shares that, whatever the store says when", () => {
    // The second caller reads the key before the first caller has its answer. Its read returns only afterwards.
    let reserved = 0
    return Effect.gen(function* () {
      const { id } = yield* scripted.connected()
      const accounts = yield* ConnectedAccounts
      const once = accounts.refresh(id, { idempotencyKey: "a" })
      const callers = yield* Effect.forEach([once, once], (caller) => Effect.forkChild(caller))
      for (const caller of callers) assert.strictEqual((yield* scripted.join(caller))._tag, "Ready")
      assert.lengthOf((yield* scripted.Wire).sent, 1)
    }).pipe(
      scripted.scenario({
        store: (store) => ({
          ...store,
          reserveKey: (request) =>
            Effect.tap(store.reserveKey(request), () => (reserved++ === 0 ? Effect.void : Effect.sleep("5 seconds")))
        })
      })
    )
  })

  it.effect("leaves nobody waiting when the engine is closed", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(scripted.beginning)
      const engine = yield* scripted.start()
      const { id } = yield* Effect.provideContext(scripted.connected(), engine.context)
      const accounts = yield* Effect.provideContext(ConnectedAccounts, engine.context)
      const provider = yield* Effect.provideContext(ScriptedProvider.ScriptedProvider, engine.context)
      yield* provider.next({ _tag: "LateAnswer", delay: "5 seconds" })
      const early = yield* Effect.forkChild(Effect.result(accounts.refresh(id, { idempotencyKey: "a" })))
      yield* scripted.rest
      yield* scripted.settle(engine.stop, "1 second")
      const told = yield* scripted.join(early)
      assert.isTrue(told._tag === "Success" || told.failure.disposition === "ambiguous", JSON.stringify(told))
      const late = yield* Effect.forkChild(Effect.result(accounts.refresh(id, { idempotencyKey: "b" })))
      assert.strictEqual((yield* scripted.join(late))._tag, "Failure")
    })
  )

  it.effect("does not give a link again that was used, nor READY after a revocation", () =>
    Effect.gen(function* () {
      const connections = yield* Connections
      const outdated = Effect.fnUntraced(function* (id: ConnectedAccountId, idempotencyKey: string) {
        const error = yield* scripted.refused(id, { idempotencyKey })
        assert.deepInclude({ ...error }, { _tag: "InvalidRequest", slug: "idempotency_key_outdated" })
      })
      // A link for an account in service. Consent leaves the account ACTIVE.
      const id = yield* accessOnly
      const used = yield* link(id, { idempotencyKey: "a" })
      assert.deepStrictEqual(yield* link(id, { idempotencyKey: "a" }), used)
      yield* consents(used)
      yield* outdated(id, "a")
      // A link for an account that is not in service, and an expired link.
      const never = yield* fresh
      const first = yield* link(never, { idempotencyKey: "b" })
      yield* scripted.elapse("11 minutes", "1 minute")
      yield* outdated(never, "b")
      const second = yield* link(never, { idempotencyKey: "c" })
      assert.notDeepEqual(first, second)
      yield* consents(second)
      yield* outdated(never, "c")
      assert.deepStrictEqual(yield* scripted.refresh(never, { idempotencyKey: "d" }), { _tag: "Ready", id: never })
      yield* scripted.refresh(never)
      assert.deepStrictEqual(yield* scripted.refresh(never, { idempotencyKey: "d" }), { _tag: "Ready", id: never })
      yield* scripted.settle(connections.revoke(never))
      yield* outdated(never, "d")
    }).pipe(scripted.scenario())
  )

  it.live("never leaves a link to consent readable in the database", () =>
    Effect.gen(function* () {
      const path = yield* file
      const server = yield* AuthorizationServer
      const { link, again } = yield* Effect.gen(function* () {
        const { grantId, id } = yield* setUp
        yield* server.revokeGrant(grantId)
        const link = yield* refresh(id, { idempotencyKey: "a" })
        return { link, again: yield* refresh(id, { idempotencyKey: "a" }) }
      }).pipe(Effect.provide(engine(path)))
      assert.deepStrictEqual(again, link)
      if (link._tag !== "RedirectRequired") return assert.fail(link._tag)
      const state = new URL(link.redirectUrl).searchParams.get("state") ?? assert.fail("no state")
      const bytes = yield* Effect.promise(() => readFile(path))
      assert.isFalse(bytes.includes(state))
    }).pipe(Effect.provide(AuthorizationServer.layer()))
  )
})
