/**
 * Exchanges the code of a callback for tokens, and commits them.
 *
 * @module
 */
import { MonotonicClock } from "@rekindle/core"
import { Clock, Deferred, Duration, Effect, Exit, Option, Schedule, Scope } from "effect"
import type { Account } from "../account/Account.ts"
import type { Extras } from "../account/Credential.ts"
import { noAnswer, type Observation, type Verdict } from "../answer/Verdict.ts"
import { Passage } from "../egress/Passage.ts"
import { decideConsent } from "../renewal/judge.ts"
import type { LateAnswers } from "../renewal/lateAnswers.ts"
import { observed, tokenRequest } from "../renewal/observe.ts"
import type { Issued, TokenCommit } from "../renewal/TokenCommit.ts"
import { type AuthStrategy, ConsentError, type Connection } from "../strategies/AuthStrategy.ts"

/** A consent to complete. */
export interface Exchange {
  readonly account: Account
  /** The auth config with an empty credential. The old credential is not used. */
  readonly connection: Connection
  readonly strategy: AuthStrategy
  readonly consent: NonNullable<AuthStrategy["consent"]>
  /** The parameters of the callback, and the values that were sealed for it. */
  readonly request: Parameters<NonNullable<AuthStrategy["consent"]>["complete"]>[1]
  readonly allowAnotherIdentity: boolean | undefined
  /** The grant id of the new tokens. */
  readonly grantId: string
}

/** How long to wait for a late answer. Codes are valid for up to ten minutes, but no answer takes that long. */
const followedFor = Duration.toMillis("1 minute")

/** The retries of a request that was provably not sent. */
const again = { times: 2, schedule: Schedule.spaced("200 millis") }

const fault = (reason: ConsentError["reason"], message: string, code: string | null = null) =>
  new ConsentError({ reason, message, code })

const failureOf = (verdict: Verdict): ConsentError => {
  switch (verdict._tag) {
    case "Dead":
    case "Misconfigured":
      return fault("refused", `the provider refused the code: ${verdict.code}`, verdict.code)
    case "AppFault":
      return fault("misconfigured", `the provider refused the application: ${verdict.code}`, verdict.code)
    case "NotApplied":
      return fault("unavailable", `the provider could not be reached: ${verdict.reason}`)
    case "Refused":
      return fault("misconfigured", verdict.reason)
    case "Ambiguous":
      return fault("unavailable", `the provider gave no clear answer: ${verdict.reason}`)
    case "Transient":
      return fault("unavailable", "the provider asked for a later attempt")
    default:
      return fault("unavailable", "the provider gave no answer with tokens")
  }
}

/** Makes `exchange`. */
export const makeExchange = (tokens: TokenCommit["Service"], lateAnswers: LateAnswers) => {
  /** Writes an answer to the journal before it is judged. From then on it cannot be lost. */
  const judge = Effect.fnUntraced(function* (exchange: Exchange, observation: Observation, extras: Extras) {
    const { account, allowAnotherIdentity, connection, grantId, strategy } = exchange
    const recorded =
      observation._tag === "Answer"
        ? yield* tokens.record({
            account,
            answer: observation,
            event: "ConsentCompleted",
            grantId,
            extras,
            allowAnotherIdentity
          })
        : undefined
    const verdict = decideConsent(strategy, connection, observation)
    if (recorded === undefined) return { observation, verdict, issued: undefined }
    if (!("tokens" in verdict)) {
      yield* tokens.discard(recorded)
      return { observation, verdict, issued: undefined }
    }
    const held = yield* tokens.openedOrEmpty(account)
    const issued: Issued = { config: connection.config, held, tokens: verdict.tokens, recorded }
    return { observation, verdict, issued }
  })

  const keep = Effect.fnUntraced(function* (issued: Issued): Effect.fn.Return<Account, ConsentError> {
    const committed = yield* Effect.mapError(tokens.keep(issued), ({ message }) => fault("unavailable", message))
    if (committed._tag === "Refused") {
      const message = "the account belongs to another person or workspace; it was left as it was"
      return yield* fault("identity-mismatch", message)
    }
    // The account may already have these tokens, because a commit succeeded and its answer was lost.
    if (committed.account.grantId !== issued.recorded.grantId)
      return yield* fault("overtaken", "another consent for this account was completed first")
    return committed.account
  })

  /**
   * Exchanges the code, and returns the committed account. A request that was provably not sent is sent again, up to three times in all.
   */
  return Effect.fnUntraced(function* (exchange: Exchange): Effect.fn.Return<Account, ConsentError> {
    const { account, connection, consent, request } = exchange
    const returned = yield* Deferred.make<Extras, void>()
    const startedAt = yield* Clock.currentTimeMillis

    const keepLate = Effect.fnUntraced(function* (observation: Observation) {
      const extras = yield* Effect.option(Deferred.await(returned))
      if (Option.isNone(extras)) return Option.none<Account>()
      // It is dated by its request. So it is older than a consent that was completed while it was awaited.
      const asOfRequest = observation._tag === "Answer" ? { ...observation, receivedAt: startedAt } : observation
      const { issued } = yield* judge(exchange, asOfRequest, extras.value)
      if (issued === undefined) return Option.none<Account>()
      yield* Effect.logInfo("a late answer to a consent arrived; its tokens are kept", {
        accountId: account.id
      })
      return yield* Effect.option(keep(issued))
    })
    const overdue = lateAnswers((yield* MonotonicClock.millis) + followedFor, keepLate)
    // The room in the journal stays reserved until a late answer can no longer arrive.
    const rooms = yield* Scope.make()
    const send = Effect.suspend(() => consent.complete(connection, request)).pipe(
      Effect.provideService(Passage, { refusal: () => undefined, takeOver: overdue.takeOver }),
      Effect.map(({ observation, ...extras }) => ({ observation, extras })),
      Effect.tap(({ extras }) => Deferred.succeed(returned, extras)),
      Effect.catchDefect((defect) =>
        // Only the name of the defect is logged, because its message may hold a secret. The strategy may have sent the request.
        Effect.as(
          Effect.logError("a strategy failed with a defect while completing a consent", {
            accountId: account.id,
            defect: defect instanceof Error ? defect.name : typeof defect
          }),
          { observation: noAnswer("strategy_failed"), extras: {} }
        )
      ),
      Effect.ensuring(Deferred.fail(returned, undefined))
    )
    let sends = 0
    const once = Effect.suspend(() =>
      Effect.flatMap(send, ({ extras, observation }) => judge(exchange, observation, extras)).pipe(
        observed(
          {
            operation: "consent",
            provider: connection.config.profile.name,
            accountId: account.id,
            attempt: ++sends
          },
          tokenRequest
        )
      )
    )
    const issued = yield* once.pipe(
      Effect.flatMap(({ issued, verdict }) => (issued === undefined ? Effect.fail(verdict) : Effect.succeed(issued))),
      Effect.retry({ while: ({ _tag }) => _tag === "NotApplied", ...again }),
      (exchanged) => Effect.andThen(Scope.provide(tokens.room, rooms), exchanged),
      Effect.ensuring(overdue.whenOver(Scope.close(rooms, Exit.void))),
      Effect.mapError((error) =>
        error._tag === "ConsentError"
          ? error
          : error._tag === "JournalError"
            ? fault("unavailable", "the journal has no space for the answer; nothing was sent")
            : failureOf(error)
      )
    )
    return yield* keep(issued)
  })
}
