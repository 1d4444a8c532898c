/** The decision table, end to end: each answer, for each kind of refresh token, with a usable and with an expired access token. */
import { assert, describe, it } from "@effect/vitest"
import { ConnectedAccounts } from "@rekindle/core"
import { ScriptedProvider } from "@rekindle/testing"
import { Duration, Effect } from "effect"
import { connected, events, scenario, settle, stored, summary, Wire } from "../support/ScriptedEngine.ts"

type Fault = ScriptedProvider.Fault

const kinds = {
  none: { rotation: "none" },
  rolling: { rotation: "rolling" },
  "single-use": { rotation: "single-use" },
  "single-use with a reuse window": { rotation: "single-use", reuseWindow: "10 minutes" }
} as const
type Kind = keyof typeof kinds

/** The result in words: the outcome or error, the account, and the number of requests. */
interface Expected {
  readonly answer: string
  readonly account?: string
  readonly sends: number
}

interface AnswerOptions {
  /** Whether the grant is spent nevertheless. */
  readonly applied?: boolean
  /** The body, if it is not JSON. */
  readonly text?: string
}

const answer = (status: number, body: unknown = {}, { applied = false, text }: AnswerOptions = {}): Fault => ({
  _tag: "OtherAnswer",
  applied,
  status,
  headers: { "content-type": text === undefined ? "application/json" : "text/html" },
  body: text ?? JSON.stringify(body)
})

const run = (kind: Kind, expired: boolean, fault: Fault, lasting: boolean) =>
  Effect.gen(function* () {
    const provider = yield* ScriptedProvider.ScriptedProvider
    const accounts = yield* ConnectedAccounts
    const { id } = yield* connected({ expired, profile: profileOf(kind) })
    yield* lasting ? provider.outage(fault, "1 day") : provider.next(fault)
    const seen = yield* settle(Effect.result(accounts.refresh(id)), "1 second")
    const account = summary(yield* stored(id))
    return {
      id,
      answer:
        seen._tag === "Success"
          ? seen.success._tag
          : `${seen.failure._tag} ${"slug" in seen.failure ? seen.failure.slug : ""}`,
      failure: seen._tag === "Failure" ? seen.failure : undefined,
      account: `${account.status} ${account.reason ?? "-"} ${account.generation} ${account.intent}`,
      leased: account.leased,
      sends: (yield* Wire).sent.length,
      events: yield* events
    }
  }).pipe(
    // Three timeouts take longer than the default patience of callers.
    scenario({ provider: kinds[kind], engine: { coordinator: { patience: "1 minute" } } })
  )

const profileOf = (kind: Kind) =>
  kind === "single-use with a reuse window"
    ? { rotation: "single-use" as const, reuseWindow: Duration.minutes(10) }
    : { rotation: kind }

const unchanged = "ACTIVE - 1 closed"
const renewed: Expected = { answer: "Ready", account: "ACTIVE - 2 closed", sends: 1 }
const renewedAgain: Expected = { ...renewed, sends: 2 }
const lost: Expected = { answer: "RedirectRequired", account: "EXPIRED rotation_response_lost 1 closed", sends: 2 }
const served: Expected = { answer: "Ready", account: "ACTIVE - 1 open", sends: 1 }
/** The grant is dead. The access token stays in service while it works. */
const dead = (_: Kind, expired: boolean): Expected => ({
  answer: "RedirectRequired",
  account: `${expired ? "EXPIRED" : "ACTIVE"} grant_dead 1 closed`,
  sends: 1
})
const busy: Expected = { answer: "Unavailable provider_busy", account: unchanged, sends: 1 }
const silent = (sends: number): Expected => ({
  answer: "RefreshFailed provider_silent",
  account: "ACTIVE - 1 open",
  sends
})

/** A row: the same result for all kinds and both states of the access token, or one for each. */
type Row = readonly [
  name: string,
  fault: Fault,
  lasting: boolean,
  expected: Expected | ((kind: Kind, expired: boolean) => Expected)
]

const mayRepeat = (kind: Kind) => kind !== "single-use"

/** The answer is lost once, and the grant is spent. */
const spentAndLost = (kind: Kind, expired: boolean): Expected =>
  mayRepeat(kind) ? renewedAgain : expired ? lost : served
/** The answer is lost once, and the request is not carried out. */
const unspentAndLost = (kind: Kind, expired: boolean): Expected => (mayRepeat(kind) || expired ? renewedAgain : served)
/** No answer to any request. */
const neverAnswered = (kind: Kind, expired: boolean): Expected =>
  expired ? silent(mayRepeat(kind) ? 3 : 2) : { ...served, sends: mayRepeat(kind) ? 3 : 1 }

const refusedWith = (slug: string): Expected => ({ answer: `RefreshFailed ${slug}`, account: unchanged, sends: 1 })

const rows: ReadonlyArray<Row> = [
  ["a connection refused once", { _tag: "ConnectionRefused" }, false, renewedAgain],
  [
    "every connection refused",
    { _tag: "ConnectionRefused" },
    true,
    { answer: "Unavailable provider_unreachable", account: unchanged, sends: 3 }
  ],
  ["a reset after the grant was spent", ScriptedProvider.lostResponse, false, spentAndLost],
  ["a reset before the grant was spent", { _tag: "ConnectionReset", applied: false }, false, unspentAndLost],
  ["a timeout after the grant was spent", { _tag: "NoAnswer", applied: true }, false, spentAndLost],
  ["a truncated 200", { _tag: "TruncatedAnswer" }, false, spentAndLost],
  ["an empty 200", answer(200, {}, { applied: true, text: "" }), false, spentAndLost],
  ["a 500 after the grant was spent", answer(500, {}, { applied: true }), false, spentAndLost],
  ["a 502 page", answer(502, {}, { text: "<html>Bad Gateway</html>" }), false, unspentAndLost],
  ["an empty 409", answer(409, {}, { applied: true, text: "" }), false, spentAndLost],
  ["a redirect", answer(302, {}, { text: "moved" }), false, unspentAndLost],
  ["a 200 that says server_error", answer(200, { ok: false, error: "server_error" }), false, unspentAndLost],
  ["timeouts without end", { _tag: "NoAnswer", applied: false }, true, neverAnswered],
  ["500 without end", answer(500), true, neverAnswered],
  ["a 503", answer(503), false, busy],
  ["a 503 that says invalid_grant", answer(503, { error: "invalid_grant" }), false, busy],
  ["a 429", answer(429), false, busy],
  ["a 400 that says temporarily_unavailable", answer(400, { error: "temporarily_unavailable" }), false, busy],
  ["a 400 invalid_grant", answer(400, { error: "invalid_grant" }), false, dead],
  ["a 200 that says invalid_grant", answer(200, { error: "invalid_grant" }), false, dead],
  ["a 500 that says invalid_grant", answer(500, { error: "invalid_grant" }), false, unspentAndLost],
  ["a 401 invalid_client", answer(401, { error: "invalid_client" }), false, refusedWith("auth_config_rejected")],
  [
    "a 200 with bad_client_secret",
    answer(200, { ok: false, error: "bad_client_secret" }),
    false,
    refusedWith("auth_config_rejected")
  ],
  ["a 400 invalid_scope", answer(400, { error: "invalid_scope" }), false, refusedWith("refresh_refused")],
  ["a 404 page", answer(404, {}, { text: "<html>" }), false, refusedWith("refresh_refused")],
  ["a 200 that says ok:false", answer(200, { ok: false }), false, refusedWith("refresh_refused")],
  ["tokens with status 201", { _tag: "AmendedAnswer", status: 201 }, false, renewed]
]

for (const kind of Object.keys(kinds) as ReadonlyArray<Kind>) {
  describe(`a refresh token of the kind ${kind}`, () => {
    for (const expired of [false, true]) {
      describe(`and an access token that ${expired ? "has expired" : "still works"}`, () => {
        for (const [name, fault, lasting, given] of rows) {
          const expected = typeof given === "function" ? given(kind, expired) : given
          it.effect(`${name}: ${expected.answer} after ${expected.sends}`, () =>
            Effect.gen(function* () {
              const seen = yield* run(kind, expired, fault, lasting)
              assert.deepStrictEqual({ answer: seen.answer, account: seen.account, sends: seen.sends }, expected)
              // A strict token is not sent while the answer to it may still arrive.
              const answerMayCome = fault._tag === "NoAnswer" && kind === "single-use"
              assert.strictEqual(seen.leased, answerMayCome && expected.account?.endsWith("open") === true)
              const announced =
                expected.account?.startsWith("EXPIRED") === true
                  ? ["expired", "consent_started"]
                  : expected.account?.includes("grant_dead") === true
                    ? ["expiring", "consent_started"]
                    : expected.account === renewed.account
                      ? ["renewed"]
                      : []
              assert.deepStrictEqual(seen.events, announced)
            })
          )
        }
      })
    }
  })
}
