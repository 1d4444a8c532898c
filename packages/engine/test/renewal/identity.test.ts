/** The owner of an account: another person's consent is refused, whichever process completes it, and at any time. */
import { assert, describe, it } from "@effect/vitest"
import { type AuthConfig, type ConnectedAccountId, Connections } from "@rekindle/core"
import { Consent, OAuth2 } from "@rekindle/engine"
import { ScriptedProvider } from "@rekindle/testing"
import { Effect } from "effect"
import { callback } from "../support/ScriptedConsent.ts"
import {
  attributesOf,
  authConfig,
  elapse,
  events,
  join,
  refresh,
  rest,
  scenario,
  secretsOf,
  settle,
  stored,
  summary
} from "../support/ScriptedEngine.ts"

const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url")

/** An id token of a person. Its signature is not verified. */
const idToken = (sub: string, iss = "https://provider.test") => `${encode({ alg: "none" })}.${encode({ iss, sub })}.`

/** The real OAUTH2 strategy, and the access tokens that were withdrawn. */
const watched = () => {
  const withdrawn: Array<string> = []
  const strategy = Effect.map(OAuth2.make, (oauth2) => ({
    ...oauth2,
    revoke: ({ credential }: Parameters<NonNullable<typeof oauth2.revoke>>[0]) =>
      Effect.sync(() => {
        withdrawn.push(String(credential.attributes["label"]))
        return { _tag: "Confirmed" as const }
      })
  }))
  return { withdrawn, options: { engine: { strategies: [strategy] } } }
}

const account = Effect.fnUntraced(function* (config: AuthConfig) {
  const connections = yield* Connections
  yield* connections.authConfigs.register(config)
  return (yield* connections.create({ authConfigId: config.id, userId: "ada" })).id
})

const profile = { keptFields: ["label"] }

/** A person completes a link. The provider's answer has the fields in `set`, and lacks those in `drop`. */
const consents = Effect.fnUntraced(function* (
  link: string,
  set: Readonly<Record<string, string>>,
  options: { readonly drop?: ReadonlyArray<string>; readonly session?: string } = {}
) {
  const provider = yield* ScriptedProvider.ScriptedProvider
  const consent = yield* Consent
  const code = yield* provider.authorize
  yield* provider.next({ _tag: "AmendedAnswer", set, ...(options.drop === undefined ? {} : { drop: options.drop }) })
  return yield* settle(consent.complete(callback(new URL(link), { code }), options.session))
})

const linkOf = (id: ConnectedAccountId, options?: Parameters<Connections["Service"]["link"]>[1]) =>
  Effect.flatMap(Connections, (connections) => Effect.map(settle(connections.link(id, options)), ({ url }) => url))

const ada = { id_token: idToken("ada"), label: "ada's" }
const eve = { id_token: idToken("eve"), label: "eve's" }

describe("an account of one person", () => {
  it.effect("does not become another's: nothing is replaced, and what came is withdrawn", () => {
    const { options, withdrawn } = watched()
    return Effect.gen(function* () {
      const id = yield* account(authConfig("scripted", profile))
      assert.strictEqual((yield* consents(yield* linkOf(id), ada)).failure, undefined)
      const before = yield* secretsOf(id)
      const result = yield* consents(yield* linkOf(id), eve)
      assert.strictEqual(result.failure?.reason, "identity-mismatch")
      assert.strictEqual(result.status, "ACTIVE")
      assert.deepStrictEqual(yield* secretsOf(id), before)
      yield* rest
      assert.deepStrictEqual(withdrawn, ["eve's"])
      assert.include(yield* events, "identity_mismatch")
      // Her own second consent is accepted.
      assert.strictEqual((yield* consents(yield* linkOf(id), ada)).failure, undefined)
      assert.notDeepEqual(yield* secretsOf(id), before)
    }).pipe(scenario(options))
  })

  it.effect("that is EXPIRED stays so, for its own reason", () => {
    const { options } = watched()
    return Effect.gen(function* () {
      const provider = yield* ScriptedProvider.ScriptedProvider
      const id = yield* account(authConfig("scripted", profile))
      yield* consents(yield* linkOf(id), ada)
      yield* provider.revoke((yield* secretsOf(id))["refresh_token"] ?? "")
      yield* elapse("2 hours", "10 minutes")
      const outcome = yield* refresh(id)
      const url = outcome._tag === "RedirectRequired" ? outcome.redirectUrl : assert.fail(outcome._tag)
      yield* consents(url, eve)
      assert.deepInclude(summary(yield* stored(id)), { status: "EXPIRED", reason: "grant_dead", generation: 1 })
    }).pipe(scenario(options))
  })

  it.effect("becomes another person's if the application allows it, for one link or for a whole auth config", () =>
    Effect.gen(function* () {
      const id = yield* account(authConfig("scripted", profile))
      yield* consents(yield* linkOf(id), ada)
      yield* consents(yield* linkOf(id, { allowAnotherIdentity: true }), eve)
      assert.deepInclude(yield* attributesOf(id), { label: "eve's" })
      yield* (yield* Connections).authConfigs.register(authConfig("scripted", profile, { allowAnotherIdentity: true }))
      yield* consents(yield* linkOf(id), ada)
      assert.deepInclude(yield* attributesOf(id), { label: "ada's" })
    }).pipe(scenario())
  )

  it.effect("is identified by the fields that its profile names, and not at all if the provider states none", () =>
    Effect.gen(function* () {
      const fields = { keptFields: ["label", "team.id"], identifiedBy: ["team.id"] }
      const id = yield* account(authConfig("scripted", fields))
      const team = (id: string) => ({ label: id, team: { id } }) as never
      yield* consents(yield* linkOf(id), team("T1"))
      assert.strictEqual((yield* consents(yield* linkOf(id), team("T2"))).failure?.reason, "identity-mismatch")
      assert.strictEqual((yield* consents(yield* linkOf(id), team("T1"))).failure, undefined)
      assert.strictEqual((yield* consents(yield* linkOf(id), { label: "silent" })).failure, undefined)
    }).pipe(scenario())
  )

  it.effect("is not taken by the second of two who complete a link at the same time", () => {
    const { options, withdrawn } = watched()
    return Effect.gen(function* () {
      const provider = yield* ScriptedProvider.ScriptedProvider
      const consent = yield* Consent
      const id = yield* account(authConfig("scripted", profile))
      const links = [yield* linkOf(id), yield* linkOf(id)]
      yield* provider.next({ _tag: "AmendedAnswer", set: ada }, { _tag: "AmendedAnswer", set: eve })
      const both = yield* Effect.forEach(links, (url) =>
        Effect.flatMap(provider.authorize, (code) =>
          Effect.forkChild(consent.complete(callback(new URL(url), { code })))
        )
      )
      const results = yield* Effect.forEach(both, (fiber) => join(fiber))
      assert.deepStrictEqual(
        results.map(({ failure }) => failure?.reason),
        [undefined, "identity-mismatch"]
      )
      yield* rest
      assert.deepStrictEqual(withdrawn, ["eve's"])
      assert.deepInclude(yield* attributesOf(id), { label: "ada's" })
    }).pipe(scenario(options))
  })
})

describe("a second consent of the same person", () => {
  const rotation = { ...profile, rotation: "none" } as const
  const silent = { drop: ["refresh_token"] }

  it.effect("that brings no refresh token keeps the one that works, where it is not consumed", () =>
    Effect.gen(function* () {
      const id = yield* account(authConfig("scripted", rotation))
      yield* consents(yield* linkOf(id), ada)
      const { refresh_token } = yield* secretsOf(id)
      yield* consents(yield* linkOf(id), ada, silent)
      assert.strictEqual((yield* secretsOf(id))["refresh_token"], refresh_token)
      assert.deepStrictEqual(yield* refresh(id), { _tag: "Ready", id })
    }).pipe(scenario({ provider: { rotation: "none" } }))
  )

  it.effect("does not keep one of another person, of one nobody knows, or one that belongs to the old grant", () =>
    Effect.gen(function* () {
      for (const [profile, first, second] of [
        [rotation, ada, eve],
        [rotation, ada, { label: "whose?" }],
        [{ ...rotation, rotation: "single-use" as const }, ada, ada]
      ] as const) {
        const id = yield* account(authConfig("scripted", profile, { allowAnotherIdentity: true }))
        yield* consents(yield* linkOf(id), first)
        yield* consents(yield* linkOf(id), second, silent)
        assert.notProperty(yield* secretsOf(id), "refresh_token")
      }
    }).pipe(scenario({ provider: { rotation: "none" } }))
  )
})
