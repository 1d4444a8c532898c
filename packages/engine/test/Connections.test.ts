/** What an application does with accounts, besides refreshing them. */
import { assert, describe, it } from "@effect/vitest"
import {
  AuthConfig,
  ConnectedAccountId,
  ConnectedAccounts,
  Connections,
  CustomAuthScheme,
  type KnownStatus,
  Resilience
} from "@rekindle/core"
import { type AuthStrategy, RefreshCoordinator } from "@rekindle/engine"
import { ScriptedProvider } from "@rekindle/testing"
import { Clock, DateTime, Duration, Effect, Option, Redacted } from "effect"
import { SqlClient, Statement } from "effect/sql"
import {
  authConfig,
  connected,
  consentPage,
  elapse,
  events,
  scenario,
  settle,
  stored,
  summary,
  Wire
} from "./support/ScriptedEngine.ts"
import { callback, complete, consents, fresh, link } from "./support/ScriptedConsent.ts"
import * as HttpFixture from "./support/HttpFixture.ts"
import { memory } from "./support/TestEngine.ts"

const accessToken = (id: ConnectedAccountId) =>
  Effect.flatMap(Connections, (connections) => settle(connections.accessToken(id)))

describe("an access token", () => {
  it.effect("of a dead credential is not there, and asking for it begins no consent", () =>
    Effect.gen(function* () {
      const provider = yield* ScriptedProvider.ScriptedProvider
      const { id, refreshToken } = yield* connected({ expired: true })
      yield* provider.revoke(refreshToken)
      for (let asked = 0; asked < 3; asked++) {
        assert.deepStrictEqual(
          yield* Effect.flip(accessToken(id)),
          new Resilience.ConnectionNotReady({ accountId: id, status: "EXPIRED" })
        )
      }
      assert.lengthOf((yield* Wire).sent, 1)
      assert.deepInclude(summary(yield* stored(id)), { status: "EXPIRED", reason: "grant_dead" })
      assert.deepStrictEqual(yield* events, ["expired"])
    }).pipe(scenario())
  )

  it.effect("that lasts less than asked is better than none while the provider is down, and none when it is over", () =>
    Effect.gen(function* () {
      const provider = yield* ScriptedProvider.ScriptedProvider
      yield* connected()
      const { accessToken: token, refreshToken } = yield* provider.connect
      const { id } = yield* (yield* Connections).create({
        authConfigId: "scripted",
        userId: "u",
        secrets: { access_token: Redacted.make(token), refresh_token: Redacted.make(refreshToken) },
        expiresAt: DateTime.makeUnsafe((yield* Clock.currentTimeMillis) + 40_000)
      })
      yield* provider.outage(ScriptedProvider.unavailable(), "10 minutes")
      assert.strictEqual(Redacted.value(yield* accessToken(id)), token)
      yield* elapse("1 minute")
      assert.strictEqual((yield* Effect.flip(accessToken(id)))._tag, "Unavailable")
    }).pipe(scenario())
  )
})

describe("a cached access token", () => {
  /** The token, and the number of statements that it took. */
  const asked = Effect.fnUntraced(function* (id: ConnectedAccountId) {
    let statements = 0
    const token = yield* Effect.provideService(accessToken(id), Statement.CurrentTransformer, (statement) => {
      statements++
      return Effect.succeed(statement)
    })
    return { token: Redacted.value(token), statements }
  })

  const revokedElsewhere = (id: ConnectedAccountId) =>
    SqlClient.SqlClient.use(
      (sql) => sql`UPDATE rekindle_accounts SET status = 'REVOKED', revision = revision + 1 WHERE id = ${id}`
    )

  it.effect("costs no statement for a few seconds", () =>
    Effect.gen(function* () {
      const { accessToken: token, id } = yield* connected()
      assert.strictEqual((yield* asked(id)).statements, 1)
      for (let times = 0; times < 3; times++) assert.deepStrictEqual(yield* asked(id), { token, statements: 0 })
      yield* elapse("6 seconds")
      assert.deepStrictEqual(yield* asked(id), { token, statements: 1 })
    }).pipe(scenario())
  )

  it.effect(
    "is dropped by every change of the account by this process: renewal, disabling, replacement, revocation",
    () =>
      Effect.gen(function* () {
        const connections = yield* Connections
        const { id } = yield* connected()
        yield* elapse("10 minutes")
        const first = (yield* asked(id)).token
        assert.strictEqual(
          (yield* settle(RefreshCoordinator.use((coordinator) => coordinator.renew(id))))._tag,
          "Renewed"
        )
        const second = (yield* asked(id)).token
        assert.notStrictEqual(second, first)
        yield* connections.disable(id)
        assert.strictEqual((yield* Effect.flip(accessToken(id)))._tag, "InvalidRequest")
        yield* connections.enable(id)
        assert.strictEqual((yield* asked(id)).token, second)
        yield* connections.replaceSecrets(id, {
          access_token: Redacted.make("third"),
          refresh_token: Redacted.make("r")
        })
        assert.deepStrictEqual(yield* asked(id), { token: "third", statements: 1 })
        yield* settle(connections.revoke(id))
        assert.strictEqual((yield* Effect.flip(accessToken(id)))._tag, "InvalidRequest")
      }).pipe(scenario())
  )

  it.effect("that another process revoked is handed out for 5 seconds", () =>
    Effect.gen(function* () {
      const { accessToken: token, id } = yield* connected()
      yield* asked(id)
      yield* revokedElsewhere(id)
      assert.deepStrictEqual(yield* asked(id), { token, statements: 0 })
      yield* elapse("5 seconds")
      assert.strictEqual((yield* Effect.flip(accessToken(id)))._tag, "InvalidRequest")
    }).pipe(scenario())
  )

  it.effect("is not cached if the cache is disabled", () =>
    Effect.gen(function* () {
      const { id } = yield* connected()
      yield* asked(id)
      yield* revokedElsewhere(id)
      assert.strictEqual((yield* Effect.flip(accessToken(id)))._tag, "InvalidRequest")
    }).pipe(scenario({ engine: { accessTokensFor: 0 } }))
  )

  it.effect("that another process has replaced is read anew after a refresh, and once it is due", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const accounts = yield* ConnectedAccounts
      const { id } = yield* connected()
      yield* asked(id)
      yield* settle(accounts.refresh(id))
      assert.strictEqual((yield* asked(id)).statements, 1)
      yield* sql`UPDATE rekindle_accounts SET renew_at = ${(yield* Clock.currentTimeMillis) + 2_000}`
      yield* elapse("5 seconds")
      yield* sql`UPDATE rekindle_accounts SET renew_at = ${(yield* Clock.currentTimeMillis) + 2_000}`
      yield* asked(id)
      assert.strictEqual((yield* asked(id)).statements, 0)
      yield* elapse("2 seconds")
      assert.strictEqual((yield* asked(id)).statements, 1)
    }).pipe(scenario())
  )

  it.effect("is never handed out when it is over, or lasts less than asked for", () =>
    Effect.gen(function* () {
      const provider = yield* ScriptedProvider.ScriptedProvider
      yield* connected()
      const { accessToken: token, refreshToken } = yield* provider.connect
      const { id } = yield* (yield* Connections).create({
        authConfigId: "scripted",
        userId: "u",
        secrets: { access_token: Redacted.make(token), refresh_token: Redacted.make(refreshToken) },
        expiresAt: DateTime.makeUnsafe((yield* Clock.currentTimeMillis) + 122_000)
      })
      yield* elapse("1 minute")
      assert.strictEqual((yield* asked(id)).token, token)
      yield* elapse("3 seconds")
      assert.notStrictEqual((yield* asked(id)).token, token)
    }).pipe(scenario())
  )
})

describe("withRefresh around a call that reads the access token", () => {
  /** The link in the failure of the call, and the account's status. */
  const consentFor = (id: ConnectedAccountId) =>
    settle(
      Resilience.withRefresh(
        id,
        Effect.flatMap(Connections, (connections) => connections.accessToken(id))
      )
    ).pipe(
      Effect.flip,
      Effect.map((error) => {
        assert.instanceOf(error, Resilience.ConsentRequired)
        return { link: new URL(error.redirectUrl), status: error.status }
      })
    )

  const everyTime = Effect.fnUntraced(function* (id: ConnectedAccountId, status: KnownStatus) {
    assert.deepStrictEqual(
      yield* Effect.flip(accessToken(id)),
      new Resilience.ConnectionNotReady({ accountId: id, status })
    )
    const links = [yield* consentFor(id), yield* consentFor(id), yield* consentFor(id)]
    for (const { link, status: meanwhile } of links) {
      assert.strictEqual(link.origin + link.pathname, consentPage)
      assert.strictEqual(meanwhile, "INITIATED")
    }
    const last = links.at(-1)
    if (last !== undefined) yield* consents(last.link)
    assert.isString(Redacted.value(yield* accessToken(id)))
  })

  it.effect("gives the link every time for an account that was never connected, until somebody consents", () =>
    Effect.flatMap(fresh, (id) => everyTime(id, "INITIALIZING")).pipe(scenario())
  )

  it.effect("gives the link every time for an account whose grant is dead, until somebody consents", () =>
    Effect.gen(function* () {
      const provider = yield* ScriptedProvider.ScriptedProvider
      const { id, refreshToken } = yield* connected({ expired: true })
      yield* provider.revoke(refreshToken)
      yield* everyTime(id, "EXPIRED")
    }).pipe(scenario())
  )

  it.effect("gives the link every time for an account whose owner said no, until somebody consents", () =>
    Effect.gen(function* () {
      const id = yield* fresh
      const { failure } = yield* complete(callback(yield* link(id), { error: "access_denied" }))
      assert.strictEqual(failure?.reason, "denied")
      yield* everyTime(id, "FAILED")
    }).pipe(scenario())
  )
})

describe("a refresh token that dies of disuse", () => {
  const day = 86_400_000
  const brought = Effect.gen(function* () {
    const connections = yield* Connections
    yield* connections.authConfigs.register(
      authConfig("idle", { refreshTokenIdle: Duration.days(30), accessTokenTtl: "never" })
    )
    const { id } = yield* connections.create({
      authConfigId: "idle",
      userId: "u",
      secrets: { access_token: Redacted.make("does not expire"), refresh_token: Redacted.make("rt") }
    })
    return id
  })

  it.effect("is used in time, also of an account that was brought in and has no expiry", () =>
    Effect.gen(function* () {
      const id = yield* brought
      const wait = ((yield* stored(id)).renewAt ?? 0) - (yield* Clock.currentTimeMillis)
      assert.isAbove(wait, 15 * day)
      assert.isBelow(wait, 22 * day)
    }).pipe(scenario())
  )

  it.effect("is used at once when its account is enabled again", () =>
    Effect.gen(function* () {
      const connections = yield* Connections
      const id = yield* brought
      yield* connections.disable(id)
      yield* elapse("29 days", "1 day")
      assert.isNull((yield* stored(id)).renewAt)
      yield* connections.enable(id)
      assert.strictEqual((yield* stored(id)).renewAt, yield* Clock.currentTimeMillis)
    }).pipe(scenario())
  )
})

describe("a revocation", () => {
  it.effect("withdraws the credential that the account has when it is revoked, not the one before", () => {
    const withdrawn: Array<string> = []
    let meanwhile: Effect.Effect<void> = Effect.void
    const strategy: AuthStrategy = {
      scheme: CustomAuthScheme.make("CUSTOM"),
      check: () => Effect.succeed([]),
      revoke: ({ credential }) =>
        Effect.sync(() => {
          for (const secret of Object.values(credential.secrets)) withdrawn.push(Redacted.value(secret))
          return { _tag: "Confirmed" }
        })
    }
    return Effect.gen(function* () {
      const connections = yield* Connections
      yield* connections.authConfigs.register(
        authConfig("custom", {}, { scheme: CustomAuthScheme.make("CUSTOM"), settings: {} })
      )
      const { id } = yield* connections.create({
        authConfigId: "custom",
        userId: "u",
        secrets: { key: Redacted.make("first") }
      })
      meanwhile = Effect.suspend(() => {
        meanwhile = Effect.void
        return Effect.orDie(connections.replaceSecrets(id, { key: Redacted.make("second") }))
      })
      yield* settle(connections.revoke(id))
      assert.deepStrictEqual(withdrawn, ["second"])
      assert.strictEqual((yield* stored(id)).status, "REVOKED")
    }).pipe(
      scenario({
        engine: { strategies: [Effect.succeed(strategy)] },
        store: (store) => ({
          ...store,
          write: (change) =>
            change.to.status === "REVOKED"
              ? Effect.andThen(
                  Effect.suspend(() => meanwhile),
                  store.write(change)
                )
              : store.write(change)
        })
      })
    )
  })

  it.effect("in the middle of a renewal withdraws what the renewal brings as well", () => {
    const withdrawn: Array<string> = []
    let meanwhile: Effect.Effect<void, unknown> = Effect.void
    const scheme = CustomAuthScheme.make("CUSTOM")
    const strategy: AuthStrategy = {
      scheme,
      check: () => Effect.succeed([]),
      renewal: {
        spends: ({ credential }) => credential.secrets["key"],
        send: () =>
          Effect.as(Effect.ignore(meanwhile), {
            _tag: "Answer",
            status: 200,
            contentType: "application/json",
            retryAfter: undefined,
            body: JSON.stringify({ access_token: "late", token_type: "bearer", expires_in: 3600 }),
            receivedAt: 0
          })
      },
      revoke: ({ credential }) =>
        Effect.sync(() => {
          withdrawn.push(Redacted.value(credential.secrets["access_token"] ?? Redacted.make("")))
          return { _tag: "Confirmed" }
        })
    }
    return Effect.gen(function* () {
      const accounts = yield* ConnectedAccounts
      const connections = yield* Connections
      yield* connections.authConfigs.register(authConfig("custom", {}, { scheme, settings: {} }))
      const { id } = yield* connections.create({
        authConfigId: "custom",
        userId: "u",
        secrets: { key: Redacted.make("k"), access_token: Redacted.make("old") }
      })
      meanwhile = connections.revoke(id)
      yield* settle(Effect.exit(accounts.refresh(id)))
      assert.deepStrictEqual(withdrawn, ["old", "late"])
      assert.strictEqual((yield* stored(id)).status, "REVOKED")
    }).pipe(scenario({ engine: { strategies: [Effect.succeed(strategy)] } }))
  })
})

describe("a password entered anew", () => {
  it.effect("is used by the renewer at once", () =>
    Effect.gen(function* () {
      const connections = yield* Connections
      yield* connections.authConfigs.register(
        authConfig(
          "login",
          {},
          { scheme: "BASIC_WITH_JWT", settings: { loginUrl: "https://provider.test/login" }, secrets: {} }
        )
      )
      const person = { username: Redacted.make("ada"), password: Redacted.make("secret") }
      const { id } = yield* connections.create({ authConfigId: "login", userId: "u", secrets: person })
      yield* elapse("1 minute")
      yield* connections.replaceSecrets(id, person)
      const { expiresAt, renewAt, updatedAt } = yield* stored(id)
      assert.deepStrictEqual([expiresAt, renewAt], [updatedAt, updatedAt])
    }).pipe(scenario())
  )
})

describe("an OAuth 1 token that can be validated", () => {
  it.live("is ready when it works, and asks for consent when it does not", () =>
    Effect.gen(function* () {
      let status = 200
      const server = yield* HttpFixture.make(({ path }, response) => {
        if (path === "/me") return void response.writeHead(status).end()
        response.end("oauth_token=rt&oauth_token_secret=rts&oauth_callback_confirmed=true")
      })
      const accounts = yield* ConnectedAccounts
      const connections = yield* Connections
      const { origin } = server
      yield* connections.authConfigs.register(
        AuthConfig.make({
          id: "one",
          toolkit: "one",
          scheme: "OAUTH1",
          settings: {
            consumerKey: "consumer",
            requestTokenUrl: `${origin}/request`,
            authorizeUrl: `${origin}/authorize`,
            accessTokenUrl: `${origin}/access`,
            probeUrl: `${origin}/me`
          },
          secrets: { consumer_secret: Redacted.make("secret") },
          hosts: [server.host]
        })
      )
      const { id } = yield* connections.create({
        authConfigId: "one",
        userId: "u",
        secrets: { access_token: Redacted.make("at"), oauth_token_secret: Redacted.make("ats") }
      })
      const validate = accounts.refresh(id, { validateCredentials: true })
      assert.deepStrictEqual(yield* validate, { _tag: "Ready", id })
      // under the names of the published contract
      assert.hasAllKeys((yield* accounts.get(id)).state.val, ["oauth_token", "oauth_token_secret"])

      status = 503
      assert.strictEqual((yield* Effect.flip(validate))._tag, "Unavailable")
      assert.strictEqual((yield* accounts.get(id)).status, "ACTIVE")

      status = 401
      const outcome = yield* validate
      assert.deepInclude(outcome, { _tag: "RedirectRequired", status: "INITIATED" })
      // A refresh without validation is a new consent. So is a refresh of an account without a credential.
      assert.strictEqual((yield* accounts.refresh(id))._tag, "RedirectRequired")
      const fresh = yield* connections.create({ authConfigId: "one", userId: "u" })
      const first = yield* accounts.refresh(fresh.id, { validateCredentials: true })
      assert.deepInclude(first, { _tag: "RedirectRequired", status: "INITIATED" })
      assert.strictEqual(server.requests.filter(({ path }) => path === "/me").length, 3)
    }).pipe(Effect.provide(memory()))
  )
})

describe("an account brought in", () => {
  for (const id of ["legacy-account-1", "ca_short", "ca_with a space", "ca_12345678/../x"]) {
    it.effect(`under the id ${id} is refused, since no reader of accounts could read it`, () =>
      Effect.gen(function* () {
        yield* connected()
        const error = yield* Effect.flip(
          (yield* Connections).create({
            id: ConnectedAccountId.make(id, { disableChecks: true }),
            authConfigId: "scripted",
            userId: "u"
          })
        )
        assert.deepInclude(error, { _tag: "InvalidRequest", slug: "invalid_id" })
      }).pipe(scenario())
    )
  }
})

describe("a service account that is shown", () => {
  it.live("has its key file under the published name, masked", () =>
    Effect.gen(function* () {
      const connections = yield* Connections
      yield* connections.authConfigs.register(
        AuthConfig.make({
          id: "robot",
          toolkit: "drive",
          scheme: "GOOGLE_SERVICE_ACCOUNT",
          settings: { scopes: ["drive"] },
          hosts: ["oauth2.googleapis.com"]
        })
      )
      const { state } = yield* connections.create({
        authConfigId: "robot",
        userId: "u",
        secrets: { service_account_json: Redacted.make('{"private_key":"s3cr3t"}') }
      })
      assert.deepStrictEqual(state, { authScheme: "GOOGLE_SERVICE_ACCOUNT", val: { credentials_json: "********" } })
    }).pipe(Effect.provide(memory()))
  )
})

describe("an account that the store cannot read", () => {
  it.effect("ends no list, and hides none of the others from its person", () =>
    Effect.gen(function* () {
      const connections = yield* Connections
      const sql = yield* SqlClient.SqlClient
      const old = yield* connected()
      yield* elapse("1 second")
      const young = yield* connected()
      yield* sql`UPDATE rekindle_accounts SET id = 'legacy-account-1' WHERE id = ${young.id}`
      const first = yield* connections.list({ limit: 1 })
      assert.lengthOf(first.items, 0)
      const second = yield* connections.list({ limit: 1, cursor: first.nextCursor })
      assert.deepStrictEqual(
        second.items.map(({ id }) => id),
        [old.id]
      )
      assert.isUndefined(second.nextCursor)
      const found = yield* connections.find({ authConfigId: "scripted", userId: "person" })
      assert.strictEqual(Option.getOrUndefined(found)?.id, old.id)
    }).pipe(scenario())
  )
})
