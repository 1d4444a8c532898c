/**
 * Faults that the simulation has to find: each takes away one guard of the engine, as a patch on the text of one source file.
 *
 * They are of the kind that this project has had and mended. The production code has no switches for them: a process that runs a world with
 * a fault patches the module when it is loaded ({@link plant}). A fault that no seed finds shows that the worlds do not reach that guard, so
 * the worlds are mended and not this table.
 *
 * @module
 */

/** One guard, taken away. */
export interface PlantedFault {
  readonly name: string
  /** What the engine does wrong with it, in one sentence. */
  readonly breaks: string
  /** The source file, from `packages/` on. */
  readonly file: string
  /** Text that occurs exactly once in the file. */
  readonly find: string
  /** The text in its place. The file still type-checks. */
  readonly replace: string
}

/** All faults, by what they break. */
export const faults: ReadonlyArray<PlantedFault> = [
  // --- the lease ----------------------------------------------------------------------------------------------------------------
  {
    name: "lease-unchecked",
    breaks: "A process that was stopped between its lease and its request sends, although the lease is over.",
    file: "engine/src/renewal/send.ts",
    find: "timeLeft() <= 0 ?",
    replace: "timeLeft() <= Number.NEGATIVE_INFINITY ?"
  },
  {
    name: "lease-to-its-end",
    breaks:
      "Requests are sent in the second half of the lease, so their answers come when another process may take over.",
    file: "engine/src/renewal/attempt.ts",
    find: "lease / 2",
    replace: "0"
  },
  {
    name: "lease-by-wall-clock",
    breaks: "A wall clock that is set back makes the holder's lease longer.",
    file: "engine/src/renewal/attempt.ts",
    find: "Math.max(...nowByBoth())",
    replace: "clock.currentTimeMillisUnsafe()"
  },
  {
    name: "lost-race-sends",
    breaks: "A process that another one was faster than sends all the same.",
    file: "engine/src/renewal/attempt.ts",
    find: `    if (Option.isNone(taken)) return undefined
    const leased = taken.value`,
    replace: `    const until = clock.currentTimeMillisUnsafe() + lease
    const leased = Option.getOrElse(taken, () => ({ ...account, lease: { owner, epoch: account.epoch, until } }))`
  },
  {
    name: "takeover-unwatched",
    breaks: "A lease is taken from its holder as soon as another process sees it.",
    file: "engine/src/renewal/prepare.ts",
    find: "const waitedOut = (yield* standsFor(account)) >= lease",
    replace: "const waitedOut = (yield* standsFor(account)) >= 0 * lease"
  },
  {
    name: "takeover-by-wall-clock",
    breaks: "A lease whose time is over by the wall clock is taken, although the token may be in flight.",
    file: "engine/src/renewal/prepare.ts",
    find: "if (account.lease !== null && !waitedOut) {",
    replace: "if (account.lease !== null && account.lease.until > now && !waitedOut) {"
  },
  {
    name: "watch-by-wall-clock",
    breaks: "How long a lease was watched is measured with the wall clock, so a clock that is set ahead takes it over.",
    file: "engine/src/renewal/leaseWatch.ts",
    find: "const now = yield* MonotonicClock.millis",
    replace:
      "const now = yield* Effect.clockWith((clock) => Effect.andThen(MonotonicClock.millis, clock.currentTimeMillis))"
  },
  {
    name: "lease-given-back-early",
    breaks:
      "The lease is given back while the answer may still arrive, so another process sends the same token beside it.",
    file: "engine/src/renewal/release.ts",
    find: "const waits = intent && overdue.isOpen()",
    replace: "const waits = !intent && overdue.isOpen()"
  },

  // --- doubt ---------------------------------------------------------------------------------------------------------------------
  {
    name: "intent-ignored",
    breaks: "A token that a process spent before it died is sent again at once.",
    file: "engine/src/renewal/prepare.ts",
    find: "if (account.intent !== null && !mayResend(sendable, now, requestTimeout)) {",
    replace:
      "if (account.intent !== null && account.intent.attempts < 0 && !mayResend(sendable, now, requestTimeout)) {"
  },
  {
    name: "intent-closed-in-doubt",
    breaks: "The intent ends with an attempt whose answer is missing, so the next attempt takes the token for unspent.",
    file: "engine/src/renewal/attempt.ts",
    find: 'doubtful && verdict._tag !== "NotRenewed"',
    replace: 'doubtful && verdict._tag === "NotRenewed"'
  },
  {
    name: "doubt-forgotten",
    breaks: "A second try that was not sent takes back the doubt about the first.",
    file: "engine/src/renewal/send.ts",
    find: 'if (verdict._tag === "Ambiguous") doubtful = true',
    replace: 'doubtful = verdict._tag === "Ambiguous"'
  },
  {
    name: "earlier-doubt-forgotten",
    breaks: "The doubt about the request of an earlier attempt, or of a process that died, is not taken over.",
    file: "engine/src/renewal/send.ts",
    find: "let doubtful = (leased.intent?.attempts ?? 1) > 1",
    replace: "let doubtful = false"
  },
  {
    name: "last-hope-at-once",
    breaks: "A single-use token whose answer is missing is sent again beside the first request.",
    file: "engine/src/renewal/nextStep.ts",
    find: "sendAfter(Math.max(backoff, requestTimeout, answerMayCome ? timeLeft * 0.9 : 0))",
    replace: "sendAfter(Math.min(backoff, requestTimeout, answerMayCome ? timeLeft * 0.9 : backoff))"
  },
  {
    name: "last-hope-thrice",
    breaks: "A single-use token in doubt is sent three times.",
    file: "engine/src/renewal/nextStep.ts",
    find: "if (usable || sends > 1) return stop",
    replace: "if (usable) return stop"
  },
  {
    name: "last-hope-while-usable",
    breaks: "A single-use token in doubt is sent again although the access token works, once a clock is right again.",
    file: "engine/src/renewal/send.ts",
    find: "doubtful && isUsable() && !isRepeatable()",
    replace: "doubtful && isUsable() && !isRepeatable() && timeLeft() < 0"
  },
  {
    name: "refused-token-served",
    breaks:
      "An access token that a third party refused is the result of the refresh that reports it, as long as the refresh token is in doubt.",
    file: "engine/src/renewal/renewal.ts",
    find: "why !== undefined && !isRefused(account, flight) && isUsable(account, now)",
    replace: "why !== undefined && isUsable(account, now)"
  },
  {
    name: "last-hope-unread",
    breaks: "A token in doubt is sent a last time although a person has consented meanwhile.",
    file: "engine/src/renewal/send.ts",
    find: 'if (verdict._tag === "Ambiguous" && !repeatable) {',
    replace: 'if (verdict._tag === "Ambiguous" && !repeatable && sends < 0) {'
  },
  {
    name: "window-never-closes",
    breaks: "A spent token is sent when the provider's reuse window has closed.",
    file: "engine/src/renewal/prepare.ts",
    find: "now + Duration.toMillis(requestTimeout) < account.intent.since + Duration.toMillis(reuseWindow))",
    replace: "now < account.intent.since + Duration.toMillis(reuseWindow) + 10 * Duration.toMillis(requestTimeout))"
  },
  {
    name: "window-by-any-clock",
    breaks: "A reuse window that began before a clock was set back counts as open.",
    file: "engine/src/renewal/prepare.ts",
    find: "now >= account.intent.since - clockSlack &&",
    replace: "now >= account.intent.since - 1_000_000 * clockSlack &&"
  },

  // --- answers -------------------------------------------------------------------------------------------------------------------
  {
    name: "timers-before-answers",
    breaks: "After a stall, a timer that is late throws away an answer that has arrived.",
    file: "core/src/resilience/internal/TimerQueue.ts",
    find: "const mostReadings = 8",
    replace: "const mostReadings = 0"
  },
  {
    name: "late-answers-dropped",
    breaks: "A request that reached its time limit is closed, and its late answer is lost.",
    file: "engine/src/renewal/lateAnswers.ts",
    find: "Math.max(shortest, until - now)",
    replace: "Math.min(0, until - now)"
  },
  {
    name: "answered-and-sent-again",
    breaks: "The token is sent again while its late answer is being committed.",
    file: "engine/src/renewal/send.ts",
    find: 'if (overdue.hasCome()) return "answered"',
    replace: 'if (overdue.hasCome() && closed) return "answered"'
  },
  {
    name: "verdict-before-late-answer",
    breaks: "A refusal of the second try is believed while the answer to the first is being committed.",
    file: "engine/src/renewal/send.ts",
    find: "yield* overdue.settled",
    replace: "yield* Effect.void"
  },
  {
    name: "answer-not-in-journal",
    breaks: "Answers are not written to the journal, so a process that dies before its commit takes them along.",
    file: "engine/src/renewal/TokenCommit.ts",
    find: "const entry = yield* journal.append({ accountId: account.id, sealed })",
    replace: "const entry: JournalEntry = { accountId: account.id, sealed, segment: undefined }"
  },
  {
    name: "journal-settled-before-commit",
    breaks: "The answer is removed from the journal when its commit begins.",
    file: "engine/src/renewal/TokenCommit.ts",
    find: "const running = yield* Effect.forkIn(Effect.retry(attempt,",
    replace: "yield* removeEntry(entry)\n    const running = yield* Effect.forkIn(Effect.retry(attempt,"
  },
  {
    name: "journal-of-the-dead-unread",
    breaks: "The answers that a dead process left in its journal are not read.",
    file: "engine/src/renewal/Journal.ts",
    find: "return records.map(({ record, segment }) =>",
    replace: "return records.slice(records.length).map(({ record, segment }) =>"
  },
  {
    name: "commit-behind-the-flush",
    breaks: "An answer is committed only when its record is flushed, however long the disk takes.",
    file: "engine/src/renewal/Journal.ts",
    find: "disk.flushes ? inBackground(flushed(segment)) : Effect.void",
    replace: "flushed(segment)"
  },
  {
    name: "journal-emptied-too-early",
    breaks: "A file of the journal is emptied with the first of its answers that is committed.",
    file: "engine/src/renewal/journalFiles.ts",
    find: "segment.live--",
    replace: "segment.live = 0"
  },
  {
    name: "journal-without-room",
    breaks: "Tokens are sent although the journal has no room for the answer.",
    file: "engine/src/renewal/attempt.ts",
    find: "yield* Scope.provide(tokens.room, rooms)",
    replace: "yield* Effect.ignore(Scope.provide(tokens.room, rooms))"
  },
  {
    name: "journal-not-asked",
    breaks: "A token is sent although its answer is in the journal.",
    file: "engine/src/renewal/prepare.ts",
    find: "yield* bounded(tokens.settle(id))",
    replace: "yield* Effect.succeed({ committed: 0, waiting: 0 })"
  },
  {
    name: "waiting-answer-ignored",
    breaks: "A token is sent although the store has not accepted its answer yet.",
    file: "engine/src/renewal/prepare.ts",
    find: "if (waiting > 0) return yield* storeDown()",
    replace: "if (waiting < 0) return yield* storeDown()"
  },
  {
    name: "old-answer-replayed",
    breaks: "An answer in the journal is committed over a newer one of the same grant.",
    file: "engine/src/renewal/journalReplay.ts",
    find: "if (overtaken(account, origin)) return undefined",
    replace: "if (overtaken(account, { ...origin, epoch: Number.MAX_SAFE_INTEGER })) return undefined"
  },

  // --- the commit ----------------------------------------------------------------------------------------------------------------
  {
    name: "commit-lost-and-believed",
    breaks: "A commit whose compare-and-set failed counts as done.",
    file: "engine/src/renewal/commit.ts",
    find: "const written = yield* store.write({ from, to, announce: next.announce })",
    replace:
      "const written = Option.some(Option.getOrElse(yield* store.write({ from, to, announce: next.announce }), () => to))"
  },
  {
    name: "commit-on-any-revision",
    breaks: "A commit that lost its compare-and-set writes its old copy of the row over the new one.",
    file: "engine/src/renewal/commit.ts",
    find: "      from = current.value",
    replace: "      from = { ...from, revision: current.value.revision }"
  },
  {
    name: "change-on-any-revision",
    breaks: "A change of status that lost its compare-and-set writes its old copy of the row, with the old token.",
    file: "engine/src/account/updateAccount.ts",
    find: "    from = current.value",
    replace: "    from = { ...from, revision: current.value.revision }"
  },
  {
    name: "change-lost-and-believed",
    breaks: "A change of status whose compare-and-set failed counts as done.",
    file: "engine/src/account/updateAccount.ts",
    find: 'if (Option.isSome(written)) return { _tag: "Written", account: written.value }',
    replace:
      'if (Option.isSome(written) || Option.isNone(written)) return { _tag: "Written", account: Option.getOrElse(written, () => to) }'
  },
  {
    name: "answer-committed-twice",
    breaks: "A commit whose confirmation was lost is made again, as if it were a newer answer.",
    file: "engine/src/renewal/commit.ts",
    find: "(current.obtainedEpoch ?? 0) >= origin.epoch",
    replace: "(current.obtainedEpoch ?? 0) > origin.epoch"
  },
  {
    name: "old-grant-over-new",
    breaks: "An answer of the grant before a consent replaces the tokens of the consent.",
    file: "engine/src/renewal/commit.ts",
    find: "current.grantId !== origin.grantId || (current.obtainedEpoch ?? 0) >= origin.epoch",
    replace: "(current.obtainedEpoch ?? 0) >= origin.epoch"
  },
  {
    name: "consent-keeps-the-grant",
    breaks: "The tokens of a consent are stored under the grant that they replace.",
    file: "engine/src/renewal/commit.ts",
    find: "grantId: origin.grantId,",
    replace: "grantId: from.grantId,"
  },
  {
    name: "event-announced-twice",
    breaks: "Each commit announces its events twice.",
    file: "engine/src/renewal/commit.ts",
    find: "announce: next.announce })",
    replace: "announce: [...next.announce, ...next.announce] })"
  },
  {
    name: "key-rotation-over-newer",
    breaks: "Resealing with a new key replaces a credential that was renewed meanwhile.",
    file: "engine/src/store/KeyRotation.ts",
    find: "count(Option.isSome(sealed) && (yield* store.reseal({ ...account, ...sealed.value })))",
    replace: `const found = yield* store.find(account.id)
      const { revision } = Option.getOrElse(found, () => account)
      count(Option.isSome(sealed) && (yield* store.reseal({ ...account, ...sealed.value, revision })))`
  },
  {
    name: "epoch-taken-back",
    breaks: "After a snapshot was restored, a lease can be earlier than the one that the stored credential came from.",
    file: "engine/src/store/accountRequests.ts",
    find: "Math.max(account.epoch, account.obtainedEpoch ?? 0) + 1",
    replace: "account.epoch + 1"
  },

  // --- verdicts ------------------------------------------------------------------------------------------------------------------
  {
    name: "outage-is-revocation",
    breaks: "A 503 counts as the death of the credential.",
    file: "engine/src/answer/Verdict.ts",
    find: "if (status === 429 || status === 503) return later",
    replace: 'if (status === 429) return later\n  if (status === 503) return { _tag: "Dead", code }'
  },
  {
    name: "too-many-is-revocation",
    breaks: "A 429 counts as the death of the credential.",
    file: "engine/src/answer/Verdict.ts",
    find: "if (status === 429 || status === 503) return later",
    replace: 'if (status === 503) return later\n  if (status === 429) return { _tag: "Dead", code }'
  },
  {
    name: "breakdown-is-nothing-done",
    breaks: "After a 500 the token counts as unspent.",
    file: "engine/src/answer/Verdict.ts",
    find: 'if (status >= 500 || status === 408 || status === 409) return { _tag: "Ambiguous", reason: code }',
    replace: 'if (status >= 500 || status === 408 || status === 409) return { _tag: "NotApplied", reason: code }'
  },
  {
    name: "silence-is-nothing-done",
    breaks: "After a request without an answer the token counts as unspent.",
    file: "engine/src/answer/Verdict.ts",
    find: 'return { _tag: "Ambiguous", reason: observation.reason }',
    replace: 'return { _tag: "NotApplied", reason: observation.reason }'
  },
  {
    name: "truncated-is-nothing-done",
    breaks: "After an answer that was cut short the token counts as unspent.",
    file: "engine/src/answer/Verdict.ts",
    find: 'return { _tag: "Ambiguous", reason: succeeded ? "answer without tokens" : code }',
    replace: 'return { _tag: "NotApplied", reason: succeeded ? "answer without tokens" : code }'
  },
  {
    name: "application-fault-is-revocation",
    breaks:
      "A refusal of the application (`unauthorized_client`, `invalid_client`) counts as the death of the credential.",
    file: "engine/src/answer/Verdict.ts",
    find: 'if (appFaults.has(known)) return { _tag: "AppFault", code }',
    replace: 'if (appFaults.has(known)) return { _tag: "Dead", code }'
  },
  {
    name: "refusal-of-older-token",
    breaks: "A refusal expires the account although a consent has brought a new credential meanwhile.",
    file: "engine/src/renewal/context.ts",
    find: "when: ({ epoch, generation }) => epoch === leased.epoch && generation === leased.generation,",
    replace: "when: ({ epoch }) => epoch === leased.epoch,"
  },

  // --- one account and another ---------------------------------------------------------------------------------------------------
  {
    name: "circuit-by-one-account",
    breaks: "The fault of one account stops all accounts of its auth config.",
    file: "engine/src/renewal/Circuits.ts",
    find: "const accountsToOpen = 3",
    replace: "const accountsToOpen = 1"
  },
  {
    name: "circuit-by-provider",
    breaks: "The fault of one auth config stops the accounts of the others at the same provider.",
    file: "engine/src/renewal/Circuits.ts",
    find: `  const keyOf = ({ id, projectId }: AuthConfig) => JSON.stringify([projectId, id])

  const circuitOf = (config: AuthConfig): Circuit | undefined => {
    const circuit = circuits.get(keyOf(config))
    return circuit !== undefined && Equal.equals(circuit.config, config) ? circuit : undefined`,
    replace: `  const keyOf = ({ profile }: AuthConfig) => profile.name

  const circuitOf = (config: AuthConfig): Circuit | undefined => {
    const circuit = circuits.get(keyOf(config))
    return circuit !== undefined && Equal.equals(keyOf(circuit.config), keyOf(config)) ? circuit : undefined`
  },

  // --- callers -------------------------------------------------------------------------------------------------------------------
  {
    name: "deadline-ignored",
    breaks: "A caller waits past its deadline.",
    file: "engine/src/renewal/RefreshCoordinator.ts",
    find: "patience : yield* timeUntil(deadline)",
    replace: "patience : Duration.max(patience, yield* timeUntil(deadline))"
  },
  {
    name: "one-leaves-all-leave",
    breaks: "A caller that leaves ends the wait of all callers of the flight.",
    file: "engine/src/renewal/RefreshCoordinator.ts",
    find: "return yield* limited(renewal, wait, () =>",
    replace: `const left = Effect.onInterrupt(renewal, () => Deferred.interrupt(flight.result))
      return yield* limited(left, wait, () =>`
  },
  {
    name: "disabled-and-renewed",
    breaks: "A disabled account is renewed like any other.",
    file: "engine/src/renewal/prepare.ts",
    find: "const account: Account = committed > 0 || known === undefined ? yield* find(id) : known",
    replace: `const stored: Account = committed > 0 || known === undefined ? yield* find(id) : known
      const account: Account =
        stored.status === "INACTIVE" ? { ...stored, status: "ACTIVE", statusReason: null } : stored`
  },
  {
    name: "refused-token-from-flight",
    breaks: "A flight with an older credential answers a caller who reports the newer one as refused.",
    file: "engine/src/renewal/RefreshCoordinator.ts",
    find: "if (!serves || !isRefused(renewal.account, { refused })) return Effect.succeed(renewal)",
    replace: "if (!serves || flight.sent) return Effect.succeed(renewal)"
  },
  {
    name: "secret-in-log",
    breaks: "The body of a token answer is logged.",
    file: "engine/src/renewal/TokenCommit.ts",
    find: "const entry = yield* journal.append({ accountId: account.id, sealed })",
    replace: `yield* Effect.logInfo("an answer was read", { accountId: account.id, body: answer.body })
    const entry = yield* journal.append({ accountId: account.id, sealed })`
  },

  // --- consent -------------------------------------------------------------------------------------------------------------------
  {
    name: "state-used-twice",
    breaks: "Two visits with one state send the code twice.",
    file: "engine/src/consent/complete.ts",
    find: "if (!(yield* store.writeAttempt({ from: attempt, to: taken }))) return undefined",
    replace: "yield* store.writeAttempt({ from: attempt, to: taken })"
  },
  {
    name: "code-sent-again",
    breaks: "A code whose answer is missing is sent again.",
    file: "engine/src/consent/exchange.ts",
    find: 'while: ({ _tag }) => _tag === "NotApplied"',
    replace: 'while: ({ _tag }) => _tag === "NotApplied" || _tag === "Ambiguous"'
  },

  // --- the renewer ---------------------------------------------------------------------------------------------------------------
  {
    name: "claim-for-ever",
    breaks: "An account that a renewer claimed before it died is not due again.",
    file: "engine/src/renewal/Renewer.ts",
    find: "const nextLook = now + claimFor",
    replace: "const nextLook = now + 100_000 * claimFor"
  },
  {
    name: "due-time-lost",
    breaks: "After a failure an account is not due again.",
    file: "engine/src/renewal/release.ts",
    find: "Math.min(now + renewer, (isExpiring(leased) ? leased.expiresAt : null) ?? Infinity)",
    replace: "2 * Math.min(now + renewer, (isExpiring(leased) ? leased.expiresAt : null) ?? Infinity)"
  },
  {
    name: "abandoned-and-forgotten",
    breaks: "The renewer does not settle the renewals that a dead process left behind.",
    file: "engine/src/renewal/Renewer.ts",
    find: "would ? inTurn(abandoned,",
    replace: 'would && abandoned.id === "" ? inTurn(abandoned,'
  }
]
