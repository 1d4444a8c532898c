/** The decision to send a request again, row by row. */
import { assert, describe, it } from "@effect/vitest"
import { nextStep, type Situation } from "#engine/renewal/nextStep.ts"

const situation: Situation = {
  verdict: "Ambiguous",
  sends: 1,
  repeatable: false,
  usable: false,
  answerMayCome: false,
  timeLeft: 20_000,
  requestTimeout: 10_000,
  jitter: 0.5
}

/** The fields that differ from the default situation, and the pause before the next request. Undefined means stop. */
const rows: ReadonlyArray<readonly [Partial<Situation>, number | undefined]> = [
  // Not applied: sent again with growing pauses, three times in all.
  [{ verdict: "NotApplied" }, 200],
  [{ verdict: "NotApplied", jitter: 0 }, 100],
  [{ verdict: "NotApplied", jitter: 1 }, 300],
  [{ verdict: "NotApplied", sends: 2 }, 400],
  [{ verdict: "NotApplied", sends: 3 }, undefined],
  [{ verdict: "NotApplied", usable: true }, 200],
  [{ verdict: "NotApplied", timeLeft: 200 }, undefined],
  [{ verdict: "NotApplied", timeLeft: -1 }, undefined],
  // It may have been applied, and repeating it is harmless.
  [{ repeatable: true }, 200],
  [{ repeatable: true, usable: true }, 200],
  [{ repeatable: true, answerMayCome: true }, 200],
  [{ repeatable: true, sends: 2 }, 400],
  [{ repeatable: true, sends: 3 }, undefined],
  [{ repeatable: true, timeLeft: 100 }, undefined],
  // A strict token: one more try if there is no access token to lose, and not beside the first request.
  [{}, 10_000],
  [{ requestTimeout: 50 }, 200],
  [{ answerMayCome: true }, 18_000],
  [{ answerMayCome: true, timeLeft: 10_500 }, 10_000],
  [{ usable: true }, undefined],
  [{ sends: 2 }, undefined],
  [{ timeLeft: 10_000 }, undefined],
  [{ timeLeft: 10_001 }, 10_000],
  // All other verdicts are final.
  ...(["Renewed", "NotRenewed", "Transient", "Dead", "AppFault", "Misconfigured"] as const).map(
    (verdict) => [{ verdict, repeatable: true }, undefined] as const
  )
]

describe("the next step after a verdict", () => {
  for (const [given, pause] of rows) {
    it(`${JSON.stringify(given)}: ${pause === undefined ? "stop" : `again after ${pause} ms`}`, () => {
      assert.deepStrictEqual(
        nextStep({ ...situation, ...given }),
        pause === undefined ? { _tag: "Stop" } : { _tag: "SendAgain", pause }
      )
    })
  }
})
