import { assert, describe, it } from "@effect/vitest"
import {
  AccountNotFound,
  ConnectedAccountId,
  ConnectedAccounts,
  InvalidRequest,
  NotReady,
  Ready,
  RedirectRequired,
  RefreshFailed,
  Unavailable
} from "@rekindle/core"
import * as Contract from "@rekindle/testing/ConnectedAccountsContract"
import { account, layer, redirectRequired, ScriptedAccounts } from "@rekindle/testing/ScriptedAccounts"
import { DateTime, Effect, Exit, Layer } from "effect"

const secret = 'rt_01234567/"89abcdef'

/** Makes a fresh account of the script for each clause. */
const fixtures = Layer.effect(
  Contract.Fixtures,
  Effect.gen(function* () {
    const script = yield* ScriptedAccounts
    let made = 0
    const fresh = (fields: Omit<Parameters<typeof account>[0], "id">) =>
      Effect.suspend(() => {
        const scripted = account({ id: `ca_fixture-${made++}`, val: { refresh_token: "rt_…cdef" }, ...fields })
        return Effect.as(script.put(scripted), scripted.record.id)
      })
    return {
      renewable: fresh({}),
      dead: fresh({ status: "EXPIRED" }),
      expiring: fresh({ statusReason: "grant_dead" }),
      consentOnActive: fresh({ answers: [redirectRequired()] }),
      inactive: fresh({ status: "INACTIVE" }),
      unsupported: fresh({ authScheme: "NO_AUTH" }),
      unknown: Effect.succeed(ConnectedAccountId.make("ca_nobody-here")),
      busy: fresh({ answers: [new Unavailable({ message: "another holder is renewing it" })] }),
      secrets: Effect.succeed([secret])
    }
  })
)

const provider = Layer.provideMerge(fixtures, layer())

Contract.suite("ScriptedAccounts", provider)

Contract.suite(
  "ScriptedAccounts with gaps",
  Layer.provideMerge(
    Layer.effect(
      Contract.Fixtures,
      Effect.map(Contract.Fixtures, ({ busy: _busy, secrets: _secrets, ...rest }) => rest)
    ),
    provider
  ),
  { gaps: ["busy", "secrets"] }
)

type Service = ConnectedAccounts["Service"]

/** The clauses that a provider breaks. */
const brokenBy = (decorate: (sound: Service, script: ScriptedAccounts["Service"]) => Service) =>
  Effect.gen(function* () {
    const accounts = decorate(yield* ConnectedAccounts, yield* ScriptedAccounts)
    const exits = yield* Effect.forEach(Contract.clauses, (clause) =>
      Effect.map(Effect.exit(Effect.provideService(clause.holds, ConnectedAccounts, accounts)), (exit) =>
        Exit.isFailure(exit) ? [clause.name] : []
      )
    )
    return exits.flat()
  }).pipe(Effect.provide(provider, { local: true }))

/** Ways to get it wrong, each with a word from the clause that must notice. */
const mutants: ReadonlyArray<readonly [string, string, Parameters<typeof brokenBy>[0]]> = [
  [
    "answers for another account",
    "under its own id",
    (sound) => ({
      ...sound,
      refresh: (id, options) =>
        Effect.map(sound.refresh(id, options), (outcome) => ({
          ...outcome,
          id: ConnectedAccountId.make("ca_somebody-else")
        }))
    })
  ],
  [
    "reads another account",
    "under its own id",
    (sound) => ({
      ...sound,
      get: (id) =>
        Effect.map(sound.get(id), (account) => ({ ...account, id: ConnectedAccountId.make("ca_somebody-else") }))
    })
  ],
  [
    "leaves the date of a renewed account as it was",
    "a renewal moves updatedAt",
    (sound) => ({
      ...sound,
      get: (id) => Effect.map(sound.get(id), (account) => ({ ...account, updatedAt: account.createdAt }))
    })
  ],
  [
    "takes a read for a change",
    "a renewal moves updatedAt",
    (sound) => ({
      ...sound,
      get: (id) =>
        Effect.flatMap(sound.get(id), (account) => Effect.map(DateTime.now, (updatedAt) => ({ ...account, updatedAt })))
    })
  ],
  [
    "demotes an ACTIVE account when consent starts",
    "stays ACTIVE",
    (sound, script) => ({
      ...sound,
      refresh: (id, options) =>
        Effect.tap(sound.refresh(id, options), (outcome) =>
          outcome._tag === "RedirectRequired" ? script.setStatus(id, "INITIATED") : Effect.void
        )
    })
  ],
  [
    "moves the date of an ACTIVE account when it hands out a link",
    "stays ACTIVE",
    (sound, script) => ({
      ...sound,
      refresh: (id, options) =>
        Effect.tap(sound.refresh(id, options), (outcome) =>
          outcome._tag === "RedirectRequired" ? script.setStatus(id, outcome.status) : Effect.void
        )
    })
  ],
  [
    "says ACTIVE while consent is pending on a dead credential",
    "reads INITIATED until consent",
    (sound) => ({
      ...sound,
      refresh: (id, options) =>
        Effect.map(sound.refresh(id, options), (outcome) =>
          outcome._tag === "RedirectRequired" ? { ...outcome, status: "ACTIVE" as const } : outcome
        )
    })
  ],
  [
    "gives a link that is not http",
    "an http link",
    (sound) => ({
      ...sound,
      refresh: (id, options) =>
        Effect.map(sound.refresh(id, options), (outcome) =>
          outcome._tag === "RedirectRequired" ? { ...outcome, redirectUrl: "javascript:alert(1)" } : outcome
        )
    })
  ],
  [
    "starts consent for an inactive account",
    "an inactive account is refused",
    (sound) => ({
      ...sound,
      refresh: (id, options) =>
        Effect.catchTag(sound.refresh(id, options), "InvalidRequest", () =>
          Effect.succeed(RedirectRequired.make({ id, redirectUrl: "https://consent.test", status: "INITIATED" }))
        )
    })
  ],
  [
    "touches an account that it refuses",
    "a busy account is Unavailable",
    (sound, script) => ({
      ...sound,
      refresh: (id, options) =>
        Effect.tapErrorTag(sound.refresh(id, options), "Unavailable", () => script.setStatus(id, "ACTIVE"))
    })
  ],
  [
    "reports a busy account as a failure of the credential",
    "a busy account is Unavailable",
    (sound) => ({
      ...sound,
      refresh: (id, options) =>
        Effect.catchTag(sound.refresh(id, options), "Unavailable", () =>
          Effect.fail(new RefreshFailed({ message: "lock timeout" }))
        )
    })
  ],
  [
    "calls what is unsupported ready",
    "nothing to refresh is RefreshUnsupported",
    (sound) => ({
      ...sound,
      refresh: (id, options) =>
        Effect.catchTag(sound.refresh(id, options), "RefreshUnsupported", () => Effect.succeed(Ready.make({ id })))
    })
  ],
  [
    "takes a malformed id for an unknown one",
    "a malformed id is refused",
    (sound) => ({
      refresh: (id, options) =>
        Effect.catchTag(sound.refresh(id, options), "InvalidRequest", () =>
          Effect.fail(new AccountNotFound({ message: "?" }))
        ),
      get: (id) =>
        Effect.catchTag(sound.get(id), "InvalidRequest", () => Effect.fail(new AccountNotFound({ message: "?" })))
    })
  ],
  [
    "refuses without a word",
    "an inactive account is refused",
    (sound) => ({
      ...sound,
      refresh: (id, options) =>
        Effect.catchTag(sound.refresh(id, options), "InvalidRequest", () =>
          Effect.fail(new InvalidRequest({ message: "" }))
        )
    })
  ],
  [
    "does not tell its two 400s apart",
    "told apart by slug",
    (sound) => ({
      ...sound,
      refresh: (id, options) =>
        Effect.catchTag(sound.refresh(id, options), "InvalidRequest", () =>
          Effect.fail(new InvalidRequest({ message: "no", slug: "bad" }))
        )
    })
  ],
  [
    "refuses all but the first of many callers",
    "twenty callers at once",
    (sound) => {
      const busy = new Set<string>()
      return {
        ...sound,
        refresh: (id, options) =>
          Effect.suspend(() => {
            if (busy.has(id)) return Effect.succeed(NotReady.make({ id, status: "EXPIRED" }))
            busy.add(id)
            return Effect.andThen(Effect.yieldNow, sound.refresh(id, options)).pipe(
              Effect.ensuring(Effect.sync(() => busy.delete(id)))
            )
          })
      }
    }
  ],
  [
    "ties every caller to the first one",
    "interrupting one caller",
    (sound) => {
      const left = new Set<string>()
      return {
        ...sound,
        refresh: (id, options) =>
          Effect.suspend(() =>
            left.has(id) ? Effect.interrupt : Effect.andThen(Effect.yieldNow, sound.refresh(id, options))
          ).pipe(Effect.onInterrupt(() => Effect.sync(() => left.add(id))))
      }
    }
  ],
  [
    "refuses a redirect_url",
    "a redirect_url is accepted",
    (sound) => ({
      ...sound,
      refresh: (id, options) =>
        options?.redirectUrl === undefined
          ? sound.refresh(id, options)
          : Effect.fail(new InvalidRequest({ message: "redirect_url?" }))
    })
  ],
  [
    "shows a secret in an account",
    "no secret shows",
    (sound) => ({
      ...sound,
      get: (id) =>
        Effect.map(sound.get(id), (account) => ({
          ...account,
          state: { ...account.state, val: { refresh_token: secret } }
        }))
    })
  ],
  [
    "shows a secret in a link",
    "no secret shows",
    (sound) => ({
      ...sound,
      refresh: (id, options) =>
        Effect.map(sound.refresh(id, options), (outcome) =>
          outcome._tag === "RedirectRequired"
            ? { ...outcome, redirectUrl: `https://consent.test/?hint=${encodeURIComponent(secret)}` }
            : outcome
        )
    })
  ],
  [
    "shows a secret in an error",
    "no secret shows",
    (sound) => ({
      ...sound,
      refresh: (id, options) =>
        Effect.mapError(sound.refresh(id, options), (error) =>
          error._tag === "Unavailable" ? new Unavailable({ message: `lease of ${secret} is taken` }) : error
        )
    })
  ]
]

describe("the contract", () => {
  it.effect("is kept by the sound script", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* brokenBy((sound) => sound), [])
    })
  )

  it.effect.each(mutants)("notices a provider that %s", ([, clause, decorate]) =>
    Effect.gen(function* () {
      const broken = yield* brokenBy(decorate)
      assert.isTrue(
        broken.some((name) => name.includes(clause)),
        `broken were: ${broken.join("; ")}`
      )
    })
  )

  it.effect("fails a provider that neither produces a situation nor names it as a gap", () =>
    Effect.gen(function* () {
      for (const clause of Contract.clauses) {
        const exit = yield* Effect.exit(Effect.provideService(clause.holds, Contract.Fixtures, {}))
        assert.isTrue(Exit.isFailure(exit), clause.name)
      }
    }).pipe(Effect.provide(provider))
  )

  it.effect("fails fixtures that know no secret: nothing would be searched for", () =>
    Effect.gen(function* () {
      const noSecrets = { ...(yield* Contract.Fixtures), secrets: Effect.succeed([]) }
      const broken = yield* Effect.filter(Contract.clauses, ({ holds }) =>
        Effect.map(Effect.exit(Effect.provideService(holds, Contract.Fixtures, noSecrets)), Exit.isFailure)
      )
      assert.deepStrictEqual(
        broken.map(({ needs }) => needs),
        [["secrets"]]
      )
    }).pipe(Effect.provide(provider))
  )
})
