import { assert, describe, it } from "@effect/vitest"
import * as Core from "@rekindle/core"
import { Arbitraries, Faults } from "@rekindle/testing"
import { Arbitrary, DateTime, Duration, Effect, Schema } from "effect"

const arbitraries: Readonly<Record<string, readonly [Arbitrary.Arbitrary<unknown>, Schema.Schema<unknown>]>> = {
  connectedAccountId: [Arbitraries.connectedAccountId, Core.ConnectedAccountId],
  knownStatus: [Arbitraries.knownStatus, Core.KnownStatus],
  status: [Arbitraries.status, Core.ConnectedAccountStatus],
  knownAuthScheme: [Arbitraries.knownAuthScheme, Core.KnownAuthScheme],
  authScheme: [Arbitraries.authScheme, Core.AuthScheme],
  connectionEventType: [Arbitraries.connectionEventType, Core.ConnectionEventType],
  consentFailureReason: [Arbitraries.consentFailureReason, Core.ConsentFailureReason],
  rotation: [Arbitraries.rotation, Core.Rotation],
  answerMatcher: [Arbitraries.answerMatcher, Core.AnswerMatcher],
  providerProfile: [Arbitraries.providerProfile, Core.ProviderProfile],
  authConfig: [Arbitraries.authConfig, Core.AuthConfig],
  disposition: [Arbitraries.disposition, Core.Disposition],
  connectedAccount: [Arbitraries.connectedAccount, Core.ConnectedAccount],
  refreshOutcome: [Arbitraries.refreshOutcome, Core.RefreshOutcome],
  refreshRequest: [Arbitraries.refreshRequest, Core.RefreshRequest],
  redirectUrl: [Arbitraries.redirectUrl, Core.RedirectUrl],
  refreshResponse: [Arbitraries.refreshResponse, Core.RefreshResponse],
  refreshOptions: [Arbitraries.refreshOptions, Core.RefreshRequest],
  errorEnvelope: [Arbitraries.errorEnvelope, Core.ErrorEnvelope],
  refreshError: [Arbitraries.refreshError, Core.RefreshError],
  readError: [Arbitraries.readError, Core.ReadError],
  statusError: [Arbitraries.statusError, Core.StatusError],
  clientError: [Arbitraries.clientError, Core.ClientError],
  fault: [Arbitraries.fault, Faults.Fault]
}

const sample = <A>(arbitrary: Arbitrary.Arbitrary<A>, count = 200) =>
  Arbitrary.sampleEffect(arbitrary, { count, seed: 1 })

describe("arbitraries", () => {
  it.effect.each(Object.entries(arbitraries))("of %s are values of their schema", ([, [arbitrary, schema]]) =>
    Effect.map(sample(arbitrary), (values) => {
      for (const value of values) assert.isTrue(Schema.is(schema)(value))
    })
  )

  it("exist for every schema that core exports", () => {
    const schemas = Object.entries(Core).filter(([, value]) => Schema.isSchema(value) && !("identifier" in value))
    const covered = new Set(Object.values(arbitraries).map(([, schema]) => schema))
    const indirectly = ["UnknownStatus", "RefreshOutcomeFromWire", "Ready", "RedirectRequired", "NotReady"]
    assert.isAbove(schemas.length, 15)
    const missing = schemas.filter(([name, value]) => !covered.has(value as never) && !indirectly.includes(name))
    assert.deepStrictEqual(
      missing.map(([name]) => name),
      []
    )
  })

  it.effect("of errors reach every tag, with waits that are whole milliseconds up to a day", () =>
    Effect.map(sample(Arbitraries.refreshError, 500), (errors) => {
      assert.strictEqual(new Set(errors.map((error) => error._tag)).size, Core.RefreshError.members.length)
      const waits = errors.flatMap(
        (error) => Core.Resilience.retryAfterOf(error) ?? (error._tag === "DeadlineExceeded" ? error.timeout : [])
      )
      assert.isAbove(waits.length, 20)
      for (const wait of waits) {
        const millis = Duration.toMillis(wait)
        assert.isTrue(Number.isInteger(millis) && millis >= 0 && millis <= 86_400_000, `${millis}`)
      }
    })
  )

  it.effect("of ids have both prefixes and lengths from the shortest to the longest", () =>
    Effect.gen(function* () {
      const ids = [
        ...(yield* sample(Arbitraries.connectedAccountId)),
        ...(yield* sample(Arbitraries.connectedAccount)).map(({ id }) => id),
        ...(yield* sample(Arbitraries.refreshOutcome)).map(({ id }) => id),
        ...(yield* sample(Arbitraries.refreshResponse)).map(({ id }) => id)
      ]
      const lengths = ids.map((id) => id.replace(/^(?:ca|con)_/, "").length)
      assert.deepStrictEqual([Math.min(...lengths), Math.max(...lengths)], [8, 64])
      assert.isTrue(ids.some((id) => id.startsWith("ca_")) && ids.some((id) => id.startsWith("con_")))
    })
  )

  it.effect("of unexpected responses have a status of HTTP, and every disposition that such a status can mean", () =>
    Effect.map(sample(Arbitraries.clientError, 500), (errors) => {
      const unexpected = errors.filter((error) => error._tag === "UnexpectedResponse")
      for (const { status } of unexpected) assert.isTrue(Number.isInteger(status) && status >= 200 && status < 600)
      assert.deepStrictEqual(
        new Set(unexpected.map(({ disposition }) => disposition)),
        new Set<Core.Disposition>(["ambiguous", "rejected"])
      )
      for (const status of [408, 409, 500]) assert.isTrue(unexpected.some((error) => error.status === status))
    })
  )

  it.effect("of accounts are never updated before they were created", () =>
    Effect.map(sample(Arbitraries.connectedAccount), (accounts) => {
      for (const { createdAt, updatedAt } of accounts) {
        assert.isTrue(DateTime.isLessThanOrEqualTo(createdAt, updatedAt))
        assert.isAtLeast(DateTime.toEpochMillis(createdAt), 0)
      }
    })
  )

  it.effect("of statuses go beyond the seven", () =>
    Effect.map(sample(Arbitraries.status), (statuses) => {
      assert.isTrue(statuses.some((status) => Schema.is(Core.KnownStatus)(status)))
      assert.isTrue(statuses.some((status) => !Schema.is(Core.KnownStatus)(status)))
    })
  )

  it.effect("of options have each part present and absent", () =>
    Effect.map(sample(Arbitraries.refreshOptions), (options) => {
      for (const key of ["redirectUrl", "validateCredentials", "idempotencyKey", "deadline"] as const) {
        assert.isTrue(
          options.some((each) => each[key] !== undefined),
          key
        )
        assert.isTrue(
          options.some((each) => !(key in each)),
          key
        )
      }
    })
  )

  it.effect("of fault schedules reach every fault and shrink to the one that matters", () =>
    Effect.gen(function* () {
      const schedules = yield* sample(Arbitraries.faultSchedule)
      assert.strictEqual(new Set(schedules.flat().map((fault) => fault._tag)).size, 6)
      const result = yield* Arbitrary.checkEffect(
        Arbitraries.faultSchedule,
        (faults) => !faults.some((fault) => fault._tag === "DropAfterCommit"),
        { seed: 1 }
      )
      if (result._tag !== "Falsified") return assert.fail(result._tag)
      assert.deepStrictEqual(result.shrunkInput, [{ _tag: "DropAfterCommit" }])
    })
  )
})
