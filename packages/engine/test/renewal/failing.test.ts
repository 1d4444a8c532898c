/** An account that keeps failing is tried at growing intervals, is reported once, and recovers when the cause is fixed. */
import { assert, describe, it } from "@effect/vitest"
import { Connections } from "@rekindle/core"
import { type Connection, Egress, GoogleServiceAccount, Renewer } from "@rekindle/engine"
import { Clock, Effect, Layer, Logger, Metric, Redacted } from "effect"
import {
  authConfig,
  collectingTracer,
  connected,
  connectedService,
  elapse,
  events,
  type Options,
  refresh,
  refused,
  scenario,
  stored,
  summary,
  Wire
} from "../support/ScriptedEngine.ts"

/** Renewers, for minutes and for days. Over days, a longer poll interval is enough. */
const renewing = Layer.build(Renewer.layer())
const renewingForDays = Layer.build(Renewer.layer({ pollInterval: "5 minutes", recoveryInterval: "1 hour" }))
const sends = Effect.map(Wire, ({ sent }) => sent.length)

/** Answers every request in this way, until it is changed. */
const answering = (status: number, error: string) =>
  Effect.map(Wire, (wire) => {
    const state = { healthy: false }
    wire.meets = () => Effect.sync(() => (state.healthy ? undefined : Response.json({ error }, { status })))
    return state
  })

/** Collects the log lines of level info, and of warning and above. */
const logging = () => {
  const lines: Array<string> = []
  return { lines, layer: Logger.layer([Logger.make(({ message }) => void lines.push(JSON.stringify(message)))]) }
}

describe("a provider that answers 400 for ever", () => {
  it.effect("is asked less and less often by the renewer, to once a day, and people are told once", () => {
    const { layer, lines } = logging()
    return Effect.gen(function* () {
      const { id } = yield* connected({ expired: true })
      const state = yield* answering(400, "invalid_scope")
      yield* renewingForDays
      yield* elapse("1 day", "5 minutes")
      assert.isAtMost(yield* sends, 20)
      assert.isAtLeast(yield* sends, 5)
      const before = yield* sends
      yield* elapse("7 days", "10 minutes")
      assert.approximately((yield* sends) - before, 8, 2)
      assert.deepInclude(summary(yield* stored(id)), { status: "ACTIVE" })
      assert.lengthOf(
        lines.filter((line) => line.includes("stopped working") && line.includes("invalid_scope")),
        1
      )
      state.healthy = true
      yield* elapse("25 hours", "10 minutes")
      assert.isAbove((yield* stored(id)).generation, 1)
      assert.lengthOf(
        lines.filter((line) => line.includes("works again")),
        1
      )
    }).pipe(Effect.scoped, scenario(), Effect.provide(layer))
  })

  it.effect("is asked at once when the auth config changes, and not when it is registered as it was", () =>
    Effect.gen(function* () {
      const connections = yield* Connections
      yield* connected({ expired: true })
      yield* answering(400, "invalid_scope")
      yield* renewing
      yield* elapse("6 hours", "1 minute")
      const before = yield* sends
      yield* connections.authConfigs.register(authConfig("scripted"))
      yield* elapse("1 minute", "10 seconds")
      assert.strictEqual(yield* sends, before)
      yield* connections.authConfigs.register(
        authConfig("scripted", {}, { secrets: { client_secret: Redacted.make("right") } })
      )
      yield* elapse("15 seconds", "1 second")
      assert.strictEqual(yield* sends, before + 1)
    }).pipe(Effect.scoped, scenario())
  )
})

describe("a refused password", () => {
  const withPassword = Effect.gen(function* () {
    const connections = yield* Connections
    yield* connections.authConfigs.register(
      authConfig(
        "logins",
        {},
        {
          scheme: "BASIC_WITH_JWT",
          settings: { loginUrl: "https://provider.test/token" },
          secrets: {}
        }
      )
    )
    const secrets = { username: Redacted.make("ada"), password: Redacted.make("wrong") }
    return yield* connections.create({ authConfigId: "logins", userId: "ada", secrets })
  })

  it.effect("is sent once, however often somebody asks, and again when it is replaced or validation is asked for", () =>
    Effect.gen(function* () {
      const connections = yield* Connections
      const { id } = yield* withPassword
      yield* answering(401, "wrong")
      yield* renewingForDays
      for (let asked = 0; asked < 30; asked++) {
        assert.deepStrictEqual(yield* refresh(id), { _tag: "NotReady", id, status: "EXPIRED" })
        yield* elapse("1 hour", "10 minutes")
      }
      assert.strictEqual(yield* sends, 1)
      assert.deepInclude(summary(yield* stored(id)), { status: "EXPIRED", reason: "credential_rejected" })
      yield* refresh(id, { validateCredentials: true })
      assert.strictEqual(yield* sends, 2)
      yield* connections.replaceSecrets(id, { username: Redacted.make("ada"), password: Redacted.make("also wrong") })
      assert.deepStrictEqual(yield* refresh(id), { _tag: "NotReady", id, status: "EXPIRED" })
      assert.strictEqual(yield* sends, 3)
    }).pipe(Effect.scoped, scenario())
  )
})

describe("a key that the provider called dead", () => {
  /** Refuses the key until it is healthy. */
  const refusing = (wire: Wire["Service"]) => {
    const state = { healthy: false }
    wire.meets = () =>
      Effect.sync(() =>
        state.healthy
          ? Response.json({ access_token: "at", token_type: "bearer", expires_in: 3_600 })
          : Response.json({ error: "invalid_client" }, { status: 401 })
      )
    return state
  }

  it.effect("is tried again by itself, a few times a day at most, and puts its account back into service", () =>
    Effect.gen(function* () {
      const wire = yield* Wire
      const { id } = yield* connectedService
      const provider = refusing(wire)
      yield* renewingForDays
      yield* elapse("1 day", "5 minutes")
      assert.deepInclude(summary(yield* stored(id)), { status: "EXPIRED", reason: "credential_rejected" })
      assert.isAtMost(yield* sends, 8)
      // Refreshes in between do not prevent that.
      yield* refresh(id)
      yield* refresh(id)
      yield* elapse("3 days", "10 minutes")
      provider.healthy = true
      yield* elapse("1 day", "10 minutes")
      assert.deepInclude(summary(yield* stored(id)), { status: "ACTIVE", reason: null })
      assert.include(yield* events, "recovered")
    }).pipe(Effect.scoped, scenario())
  )

  it.effect("comes back although the result of a try is stored late", () => {
    let slow = false
    const options: Options = {
      store: (store) => ({
        ...store,
        // No caller waits that long, and it is done nevertheless.
        release: (request) =>
          slow
            ? Effect.andThen(Effect.forkDetach(Effect.delay(store.release(request), "15 seconds")), Effect.never)
            : store.release(request)
      })
    }
    return Effect.gen(function* () {
      const wire = yield* Wire
      const { id } = yield* connectedService
      const provider = refusing(wire)
      yield* renewingForDays
      yield* elapse("10 minutes", "1 minute")
      assert.deepInclude(summary(yield* stored(id)), { status: "EXPIRED" })
      slow = true
      yield* elapse("3 hours", "1 minute")
      slow = false
      provider.healthy = true
      yield* elapse("1 day", "5 minutes")
      assert.deepInclude(summary(yield* stored(id)), { status: "ACTIVE" })
    }).pipe(Effect.scoped, scenario(options))
  })
})

describe("an assertion that is refused because this machine's clock is off", () => {
  /** Google's strategy without the signature, which takes real time. */
  const unsigned = Effect.gen(function* () {
    const egress = yield* Egress
    const google = yield* GoogleServiceAccount.make
    const send = ({ config }: Connection) =>
      egress.send(config.hosts, { url: "https://provider.test/token", method: "POST", body: "grant_type=assertion" })
    return { ...google, ...(google.renewal === undefined ? {} : { renewal: { ...google.renewal, send } }) }
  })

  it.effect("ends no account, and is taken again within minutes of the clock being right", () =>
    Effect.gen(function* () {
      const connections = yield* Connections
      const wire = yield* Wire
      yield* connections.authConfigs.register(
        authConfig("robots", {}, { scheme: "GOOGLE_SERVICE_ACCOUNT", settings: { scopes: ["mail"] }, secrets: {} })
      )
      const { id } = yield* connections.create({
        authConfigId: "robots",
        userId: "robot",
        secrets: { service_account_json: Redacted.make("a key file") }
      })
      let off = true
      wire.meets = () =>
        Effect.map(Clock.currentTimeMillis, (now) =>
          off
            ? Response.json(
                { error: "invalid_grant" },
                { status: 400, headers: { date: new Date(now - 600_000).toUTCString() } }
              )
            : Response.json({ access_token: "at", token_type: "bearer", expires_in: 3_600 })
        )
      assert.deepInclude(yield* refused(id), { _tag: "RefreshFailed", slug: "refresh_refused", errors: ["clock_off"] })
      yield* renewing
      yield* elapse("6 hours", "1 minute")
      assert.deepInclude(summary(yield* stored(id)), { status: "ACTIVE", reason: null })
      off = false
      yield* elapse("8 minutes", "10 seconds")
      assert.strictEqual((yield* stored(id)).generation, 2)
    }).pipe(Effect.scoped, scenario({ engine: { strategies: [unsigned] } }))
  )
})

describe("what a provider call leaves behind", () => {
  it.effect("is a span and a count with provider, verdict, status and attempt; an idle renewer leaves no span", () => {
    const { spans, tracer } = collectingTracer()
    return Effect.gen(function* () {
      const { expiresAt } = yield* connected()
      spans.length = 0
      yield* renewing
      yield* elapse("1 minute", "1 second")
      assert.deepStrictEqual(
        spans.map(({ name }) => name),
        []
      )
      const wire = yield* Wire
      wire.meets = () => Effect.sync(() => Response.json({ error: "invalid_scope" }, { status: 400 }))
      yield* elapse(expiresAt - (yield* Clock.currentTimeMillis), "1 minute")
      const call = spans.find(({ name }) => name === "rekindle.provider.call") ?? assert.fail()
      const labels = {
        operation: "renewal",
        provider: "scripted",
        verdict: "Misconfigured",
        status: "400",
        attempt: "1"
      }
      for (const [name, value] of Object.entries(labels))
        assert.strictEqual(call.attributes.get(`rekindle.${name}`), value)
      assert.isTrue(spans.some(({ name }) => name === "rekindle.renewer.renewal"))
      assert.deepStrictEqual(
        [...new Set(spans.filter((span) => span.parent._tag === "None").map(({ name }) => name))],
        ["rekindle.renewer.renewal"]
      )
      const snapshot = yield* Metric.snapshot
      const counted = snapshot.find((each) => each.id === "rekindle.provider.calls")
      assert.deepStrictEqual(counted?.attributes, labels)
    }).pipe(
      Effect.scoped,
      Effect.withTracer(tracer),
      Effect.provideService(Metric.MetricRegistry, new Map()),
      scenario()
    )
  })
})
