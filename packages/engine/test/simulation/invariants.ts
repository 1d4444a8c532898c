/**
 * What has to hold in every world, whatever happens in it. Each invariant follows the facts one by one, and says what is wrong as soon as it
 * is.
 *
 * The provider's ledger is the judge. What an engine could not know is no fault of it: an answer that no process read, or that was read by a
 * process that ended at the same moment, is lost.
 *
 * @module
 */
import type { Account } from "@rekindle/engine"
import { isExpiring, isKnownDead, isOver, isUsable } from "#engine/account/Account.ts"
import { delivery, type Fact, type FactOf, type Facts, type Travel } from "./Facts.ts"
import { secretMark, type Token } from "./Ledger.ts"

/** The times that an engine in this world was given, in milliseconds. */
export interface Times {
  /** The time limit of one request. */
  readonly requestTimeout: number
  /** How long a lease holds. Requests are sent in its first half. */
  readonly lease: number
  /** How long a caller's answer may take after its deadline. */
  readonly lateness: number
}

/** Says what a fact breaks. */
export type Watch = (fact: Fact) => string | undefined

export interface Invariant {
  readonly name: string
  readonly watch: (facts: Facts, times: Times) => Watch
}

/** Whether the stored refresh token of a row is one that the ledger knows, and which. */
const tokenOf = (facts: Facts, account: Account): Token | undefined => {
  const value = facts.opened(account)["refresh_token"]
  return value === undefined ? undefined : facts.ledgerOf(account.id).find(value)
}

/** The answer that brought a token, if some process has it at that time. */
const holderOf = (facts: Facts, token: Token, at: number): Travel | undefined => {
  for (const presentation of token.carriedBy) {
    const travel = facts.travelOf(presentation)
    if (travel !== undefined && facts.isHeld(travel, at)) return travel
  }
  return undefined
}

/** The tokens that replaced a token, the next one first. */
const successors = (token: Token): ReadonlyArray<Token> => {
  const found: Array<Token> = []
  for (let next = token.replaced?.by; next !== undefined; next = next.replaced?.by) found.push(next)
  return found
}

const isIn = (outcome: string | undefined): boolean => outcome === "applied" || outcome === "reused"

/**
 * What justifies that a token that may be spent is sent: no access token is left that the request could cost, or the sender cannot know that
 * there is one. An access token that an application reports as refused is none.
 */
const makeReasons = (
  facts: Facts
): { readonly follow: (fact: Fact) => void; readonly has: (request: number) => boolean } => {
  /** The calls under way that report a refused access token, and for each account the newest generation that one was about. */
  const reports = new Map<number, FactOf<"Refused">>()
  const refused = new Map<string, number>()
  /** When each account got its present credential. */
  const renewedAt = new Map<string, number>()
  /**
   * Accounts that were disabled when their refresh token was known to be dead, or was refused while they were. Whoever enables one asks for
   * another try.
   */
  const disabledDead = new Set<string>()
  /**
   * Accounts with an answer of the time that a restored snapshot has forgotten. A journal brought it back, and nobody knows that its refresh
   * token was spent too.
   */
  const broughtBack = new Set<string>()
  const justified = new Set<number>()
  const isJustified = ({ account, at, node, token, wall }: FactOf<"Sent">): boolean => {
    if (account?.status !== "ACTIVE" || isOver(account, wall)) return true
    if (disabledDead.has(account.id) || broughtBack.has(account.id)) return true
    if (account.generation <= (refused.get(account.id) ?? 0)) return true
    // A consent may just have been completed. Whoever read the account before it, or has stood still since, cannot know.
    const since = renewedAt.get(account.id) ?? 0
    return facts.opened(account)["refresh_token"] !== token && (at - since <= delivery || !facts.ran(node, since, at))
  }
  const renew = (after: Account, before: Account | undefined, at: number): void => {
    renewedAt.set(after.id, at)
    disabledDead.delete(after.id)
    broughtBack.delete(after.id)
    if ([...reports.values()].some(({ account }) => account === after.id)) refused.set(after.id, after.generation)
    const isOld = tokenOf(facts, after)?.carriedBy.some((each) => {
      const read = facts.travelOf(each)?.read
      return read !== undefined && facts.isForgotten(read.at)
    })
    if (before !== undefined && isOld === true) broughtBack.add(after.id)
  }
  return {
    has: (request) => justified.has(request),
    follow: (fact) => {
      switch (fact._tag) {
        case "Refused":
          reports.set(fact.call, fact)
          refused.set(fact.account, facts.rows.get(fact.account)?.generation ?? 0)
          break
        case "Returned":
          reports.delete(fact.call)
          break
        case "Node":
          // The calls of a process end with it.
          if (fact.is === "down") for (const [call, { node }] of reports) if (node === fact.node) reports.delete(call)
          break
        case "Stored": {
          const { after, at, before } = fact
          if (after === undefined) break
          if (after.generation !== before?.generation) renew(after, before, at)
          else if (
            after.status === "INACTIVE" &&
            (isKnownDead(before) || (before.intent !== null && after.intent === null))
          )
            disabledDead.add(after.id)
          break
        }
        case "Sent":
          if (isJustified(fact)) justified.add(fact.request)
          break
      }
    }
  }
}

/**
 * A token that may be used once is presented again only if nobody has the answer to the first request: that request has ended or is older
 * than its time limit, no running process has read its answer, and there is a reason to send it ({@link makeReasons}). A sender cannot know of
 * an answer that another process went on with while it stood still itself, if it goes on in the first half of a lease that it took before.
 */
const spentOnce: Invariant = {
  name: "a single-use token is presented once, unless its answer is lost",
  watch: (facts, { lease, requestTimeout }) => {
    const reasons = makeReasons(facts)
    /** When each node last took the lease of each account. */
    const leases = new Map<string, number>()
    const cannotKnow = ({ account, at, node }: FactOf<"Sent">, since: number): boolean => {
      const leasedAt = leases.get(`${node} ${account?.id}`) ?? Infinity
      return leasedAt <= since && at <= leasedAt + lease / 2 && !facts.ran(node, since, at)
    }
    const wrong = (fact: FactOf<"Arrived">): string | undefined => {
      const { presentation, request } = fact
      if (presentation?.outcome !== "replayed") return undefined
      const { index, sent } = facts.travelOf(presentation) ?? {}
      if (!("kind" in presentation.of)) {
        // A store that was restored between two requests has forgotten that the code was used. The later one may arrive first.
        const isKnown = presentation.of.presented.some((earlier) => {
          const sentAt = [sent?.at ?? 0, facts.travelOf(earlier)?.sent.at ?? Infinity]
          return earlier !== presentation && !facts.isForgotten(Math.min(...sentAt))
        })
        return isKnown ? `request ${request} presents a code that was already used` : undefined
      }
      if (sent === undefined || index === undefined)
        return `request ${request} presents a spent token, and nobody sent it`
      for (const earlier of presentation.of.presented) {
        if (earlier === presentation || !isIn(earlier.outcome)) continue
        const travel = facts.travelOf(earlier)
        if (travel === undefined) continue
        const which = `request ${request} of ${sent.node} presents the token that request ${travel.sent.request} of ${travel.sent.node} had spent`
        const read = travel.read !== undefined && travel.read.index < index ? travel.read : undefined
        if (read?.node === sent.node && facts.ran(sent.node, read.at, sent.at))
          return `${which}, and it has the answer itself`
        const since = read && facts.heldSince(travel, sent.at)
        if (read !== undefined && since !== undefined && !cannotKnow(sent, since))
          return `${which}, whose answer ${read.node} has`
        const isAwaited = !travel.hasEnded && !facts.isForgotten(travel.sent.at)
        if (isAwaited && sent.at - travel.sent.at < requestTimeout && !isInWindow(facts, sent))
          return `${which}, ${Math.round(sent.at - travel.sent.at)} ms after it`
      }
      return reasons.has(request) || isInWindow(facts, sent)
        ? undefined
        : `request ${request} of ${sent.node} presents a token that may be spent, although the access token still works`
    }
    return (fact) => {
      reasons.follow(fact)
      if (fact._tag === "Stored" && fact.after !== undefined && fact.after.epoch > (fact.before?.epoch ?? 0))
        leases.set(`${fact.node} ${fact.after.id}`, fact.at)
      return fact._tag === "Arrived" ? wrong(fact) : undefined
    }
  }
}

/** How far the readings of a clock may be out of order. See `clockSlack` of the engine. */
const clockSlack = 5_000

/**
 * Whether, by the clock of the sender, the token that it sends is still honoured after it was replaced. A window that begins in the future
 * shows that the clock was set back.
 */
const isInWindow = (facts: Facts, { account, wall }: FactOf<"Sent">): boolean => {
  if (account === undefined) return false
  const { reuseWindow } = facts.ledgerOf(account.id).rules
  return (
    account.intent !== null &&
    reuseWindow > 0 &&
    wall >= account.intent.since - clockSlack &&
    wall < account.intent.since + reuseWindow
  )
}

/** One attempt: what a process sends under one lease, for one credential. */
const attemptOf = ({ account, node, token }: FactOf<"Sent">): string => `${node} ${account?.epoch} ${token}`

/**
 * A single-use token is in flight once. An attempt whose request may still be answered keeps the others away until its lease ends, and itself
 * sends at most once more.
 */
const oneAttemptAtATime: Invariant = {
  name: "a single-use token is in flight once",
  watch: (facts, { lease }) => {
    /** For each account, the requests of the last lease's length. */
    const recent = new Map<string, ReadonlyArray<Travel>>()
    return (fact) => {
      if (fact._tag === "Restored") recent.clear()
      if (fact._tag !== "Sent" || fact.account === undefined) return undefined
      const { account, at, node, request, token } = fact
      const { reuseWindow, rotation } = facts.ledgerOf(account.id).rules
      if (rotation !== "single-use" || reuseWindow > 0) return undefined
      const sent = facts.travel(request)
      const earlier = (recent.get(account.id) ?? []).filter(
        (travel) => travel.sent.token === token && at < travel.sent.at + lease
      )
      recent.set(account.id, sent === undefined ? earlier : [...earlier, sent])
      const own = earlier.filter((travel) => attemptOf(travel.sent) === attemptOf(fact))
      if (own.length > 1) return `request ${request} of ${node} sends a third time in one attempt`
      const beside = earlier.find(
        (travel) => !own.includes(travel) && travel.closedAt === undefined && at < travel.sent.at + lease / 2
      )
      return beside === undefined
        ? undefined
        : `request ${request} of ${node} is sent ${Math.round(at - beside.sent.at)} ms after request ${beside.sent.request} of ${beside.sent.node}, which may still be answered`
    }
  }
}

/**
 * A request is followed until its lease ends, because its answer has the only token that works. An answer that arrived is read, also if the
 * process stood still meanwhile and its timers are due.
 */
const noAnswerIsThrownAway: Invariant = {
  name: "no answer is thrown away",
  watch: (facts, { lease }) => {
    const stopping = new Set<string>()
    return (fact) => {
      if (fact._tag === "Stops") stopping.add(fact.node)
      if (fact._tag === "Node" && fact.is === "down") stopping.delete(fact.node)
      if (fact._tag !== "Closed") return undefined
      const { answeredAt, hasEnded, sent } = facts.travel(fact.request) ?? { hasEnded: true }
      if (hasEnded || sent?.account === undefined || stopping.has(sent.node)) return undefined
      const until = sent.at + lease / 2
      if (fact.at < until - delivery / 10)
        return `${sent.node} gave up request ${fact.request} after ${Math.round(fact.at - sent.at)} ms, and it may be answered`
      return answeredAt !== undefined && answeredAt < until && answeredAt + delivery < fact.at
        ? `${sent.node} gave up request ${fact.request}, whose answer had arrived`
        : undefined
    }
  }
}

/** A new generation has tokens of another answer. A commit whose confirmation was lost is not made again. */
const committedOnce: Invariant = {
  name: "each answer is committed once",
  watch: (facts) => (fact) => {
    if (fact._tag !== "Stored" || fact.before === undefined || fact.after === undefined) return undefined
    const { after, before } = fact
    if (after.generation <= before.generation || after.credential === null) return undefined
    const [held, issued] = [facts.opened(before), facts.opened(after)]
    return held["access_token"] !== undefined && held["access_token"] === issued["access_token"]
      ? `generation ${after.generation} of ${after.id} has the tokens of the one before`
      : undefined
  }
}

/** A grant that a consent, or the application, has replaced does not come back. */
const replacedForGood: Invariant = {
  name: "a grant that was replaced does not come back",
  watch: () => {
    const replaced = new Set<string>()
    return (fact) => {
      if (fact._tag === "Restored") replaced.clear()
      if (fact._tag !== "Stored" || fact.before === undefined || fact.after === undefined) return undefined
      const { after, before } = fact
      if (after.grantId === before.grantId) return undefined
      replaced.add(`${before.id} ${before.grantId}`)
      return replaced.has(`${after.id} ${after.grantId}`)
        ? `${after.id} went back to the tokens of a grant that had been replaced`
        : undefined
    }
  }
}

/** A commit merges a change of status that came first. */
const decisionsStay: Invariant = {
  name: "what the application decided stays",
  watch: () => (fact) =>
    fact._tag === "Stored" &&
    fact.after !== undefined &&
    (fact.before?.status === "INACTIVE" || fact.before?.status === "REVOKED") &&
    fact.after.generation > fact.before.generation &&
    fact.after.status !== fact.before.status
      ? `${fact.after.id} was ${fact.before.status}, and a commit made it ${fact.after.status}`
      : undefined
}

/** What an application has disabled or revoked is not renewed. */
const nothingIsRenewedThatIsDisabled: Invariant = {
  name: "no disabled account is renewed",
  watch: () => (fact) =>
    fact._tag === "Stored" &&
    fact.before !== undefined &&
    fact.after !== undefined &&
    fact.after.epoch > fact.before.epoch &&
    (fact.before.status === "INACTIVE" || fact.before.status === "REVOKED")
      ? `${fact.after.id} is ${fact.before.status}, and ${fact.node} renews it`
      : undefined
}

/** The callers of one flight come and go without each other. */
const nobodyIsSentAway: Invariant = {
  name: "no caller ends the call of another",
  watch: () => (fact) =>
    fact._tag === "Returned" && fact.isInterrupted === true ? `call ${fact.call} was interrupted` : undefined
}

/** A credential is called dead only if the ledger agrees: nobody has a token that still works. */
const deadOnlyIfDead: Invariant = {
  name: "EXPIRED only if the ledger says dead, or an answer is lost",
  watch: (facts) => {
    /** The answer that was read last for each account. */
    const latest = new Map<string, Travel>()
    const wrong = (fact: FactOf<"Stored">): string | undefined => {
      const { after, at, before } = fact
      if (before === undefined || after === undefined || isKnownDead(before) || !isKnownDead(after)) return undefined
      if (after.generation !== before.generation || after.statusReason === "consent_lapsed") return undefined
      const token = tokenOf(facts, before)
      if (token === undefined) return undefined
      const ledger = facts.ledgerOf(before.id)
      if (ledger.isHonoured(token, at))
        return `${after.id} is ${after.status} for ${after.statusReason}, and the provider still takes its refresh token`
      /** An answer that came after the verdict, while that was being stored. It is committed next. */
      const isNext = (travel: Travel) =>
        travel === latest.get(before.id) && travel.read?.node === fact.node && at - travel.read.at <= delivery
      const answers = successors(token)
        .filter((each) => ledger.isHonoured(each, at))
        .flatMap(({ carriedBy }) => carriedBy.flatMap((presentation) => facts.travelOf(presentation) ?? []))
        .filter((travel) => !isNext(travel))
      const own = answers.some(({ read }) => read?.node === fact.node && facts.ran(fact.node, read.at, at))
      if (own)
        return `${after.id} is ${after.status} for ${after.statusReason}, and ${fact.node} has the answer itself, with the token that works`
      const held = answers.find((travel) => facts.isHeld(travel, at))
      return held === undefined
        ? undefined
        : `${after.id} is ${after.status} for ${after.statusReason}, and ${held.read?.node} has the answer with the token that works`
    }
    return (fact) => {
      if (fact._tag === "Read") {
        const travel = facts.travel(fact.request)
        if (travel?.sent.account !== undefined) latest.set(travel.sent.account.id, travel)
      }
      return fact._tag === "Stored" ? wrong(fact) : undefined
    }
  }
}

/** The stored refresh token is the ledger's, or one before it. It never goes back, and never belongs to another account. */
const storedIsTheLedgers: Invariant = {
  name: "ACTIVE means that the stored token is the ledger's or a living predecessor",
  watch: (facts) => {
    /** For each account, the latest token that was stored. */
    const latest = new Map<string, Token>()
    return (fact) => {
      if (fact._tag === "Restored") latest.clear()
      if (fact._tag !== "Stored" || fact.after === undefined) return undefined
      const { after, at, before } = fact
      const value = facts.opened(after)["refresh_token"]
      if (value === undefined) return undefined
      const token = facts.ledgerOf(after.id).find(value)
      if (token === undefined) return `${after.id} has a refresh token that its provider never issued`
      if (token.grant.account !== after.id) return `${after.id} has the refresh token of ${token.grant.account}`
      const last = latest.get(after.id)
      if (last !== undefined && last !== token && last.grant === token.grant && successors(token).includes(last))
        return `${after.id} went back to a refresh token that its stored one had replaced`
      latest.set(after.id, token)
      const isForgotten =
        before?.intent != null &&
        after.intent === null &&
        after.generation === before.generation &&
        after.status === "ACTIVE" &&
        !isExpiring(after) &&
        token.replaced !== undefined &&
        token.ended === undefined &&
        !facts.ledgerOf(after.id).isHonoured(token, at)
      return isForgotten ? `${after.id} no longer shows that its refresh token may be spent, and it is` : undefined
    }
  }
}

/** Events are announced with what they are about, in the order of the commits, and every reader gets each of them once, in that order. */
const eventsInOrder: Invariant = {
  name: "events in commit order, each once",
  watch: () => {
    const announced: Array<number> = []
    const heard = new Map<string, number>()
    /** The place of the first event that a reader gets. */
    let first = 0
    const commit = ({ after, announced: events, before }: FactOf<"Stored">): string | undefined => {
      for (const { sequence } of events) {
        if (sequence <= (announced.at(-1) ?? 0))
          return `event ${sequence} was committed after event ${announced.at(-1)}`
        announced.push(sequence)
      }
      if (before === undefined || after === undefined) return undefined
      const renewals = events.filter(({ type }) => type === "renewed" || type === "consent_completed").length
      const isNew = after.generation > before.generation
      if (renewals > 1 || (isNew && renewals === 0 && after.status !== "INACTIVE" && after.status !== "REVOKED"))
        return `generation ${after.generation} of ${after.id} was announced ${renewals} times`
      const expired = events.some(({ type }) => type === "expired")
      if (expired !== (after.status === "EXPIRED" && before.status !== "EXPIRED"))
        return `${after.id} is ${after.status} and was ${before.status}, and ${expired ? "" : "not "}announced as expired`
      return undefined
    }
    const hear = ({ reader, sequence }: FactOf<"Heard">): string | undefined => {
      const position = announced.indexOf(sequence)
      const expected = heard.get(reader) ?? first
      if (position === -1) return `${reader} heard of event ${sequence}, which was never committed`
      if (position < expected) return `${reader} heard event ${sequence} again`
      if (position > expected) return `${reader} heard event ${sequence}, and missed event ${announced[expected]}`
      heard.set(reader, expected + 1)
      return undefined
    }
    return (fact) => {
      if (fact._tag === "Restored") {
        // The sequences after the snapshot are given again, and a reader begins there.
        announced.splice(0, announced.length, fact.sequence)
        heard.clear()
        first = 1
      }
      return fact._tag === "Stored" ? commit(fact) : fact._tag === "Heard" ? hear(fact) : undefined
    }
  }
}

/** No secret is in a log, a span or an error. */
const nothingSecretIsShown: Invariant = {
  name: "no secret in anything logged",
  watch: () => (fact) => {
    const text = fact._tag === "Logged" ? fact.text : fact._tag === "Returned" ? fact.error : undefined
    return text?.includes(secretMark) === true ? `a secret is shown: ${text.replaceAll(secretMark, "…")}` : undefined
  }
}

/** No caller waits past its deadline, as long as its process runs. */
const nobodyWaitsTooLong: Invariant = {
  name: "no caller waits past its deadline",
  watch: (facts, { lateness }) => {
    const calls = new Map<number, FactOf<"Called">>()
    return (fact) => {
      if (fact._tag === "Called") calls.set(fact.call, fact)
      if (fact._tag !== "Returned") return undefined
      const called = calls.get(fact.call)
      calls.delete(fact.call)
      return called !== undefined && fact.at > called.deadline + lateness && facts.ran(called.node, called.at, fact.at)
        ? `${called.what} on ${called.node} came back ${Math.round(fact.at - called.deadline)} ms after its deadline`
        : undefined
    }
  }
}

/** How many accounts of an auth config have to fail before its circuit may open. */
const accountsToOpen = 3

/** A fault of one account costs no other one anything. */
const faultsStayApart: Invariant = {
  name: "no fault of one account costs another a token",
  watch: (facts, { requestTimeout }) => {
    /**
     * For each node and auth config, the accounts whose last request met a fault or was not answered yet, and until when that counts: for
     * ever, or until the circuit has heard of a clean answer.
     */
    const troubled = new Map<string, Map<string, number>>()
    const configOf = new Map<number, { readonly node: string; readonly account: string | undefined }>()
    const of = (node: string, { authConfigId }: Account): Map<string, number> => {
      const known = troubled.get(`${node} ${authConfigId}`)
      if (known !== undefined) return known
      const made = new Map<string, number>()
      troubled.set(`${node} ${authConfigId}`, made)
      return made
    }
    return (fact) => {
      switch (fact._tag) {
        case "Unreached":
        case "Sent":
          if (fact.account !== undefined) of(fact.node, fact.account).set(fact.account.id, Number.POSITIVE_INFINITY)
          return undefined
        case "Read": {
          const sent = facts.travel(fact.request)?.sent
          // An answer that takes half of the time limit may already be a late one.
          if (sent?.account !== undefined && fact.isClean && fact.at - sent.at < requestTimeout / 2)
            of(fact.node, sent.account).set(sent.account.id, fact.at + delivery)
          return undefined
        }
        case "Called":
          configOf.set(fact.call, { node: fact.node, account: fact.account })
          return undefined
        case "Returned": {
          const { account, node } = configOf.get(fact.call) ?? {}
          configOf.delete(fact.call)
          const row = account === undefined ? undefined : facts.rows.get(account)
          if (fact.slug !== "circuit_open" || row === undefined || node === undefined) return undefined
          const met = [...of(node, row).values()].filter((until) => fact.at < until).length
          // Who has just gone on has not heard of the answers yet that came while it stood still.
          if (!facts.ran(node, fact.at - delivery, fact.at)) return undefined
          return met < accountsToOpen
            ? `${row.id} is refused because of a circuit, and ${met} accounts of its auth config met a fault on ${node}`
            : undefined
        }
        case "Handed": {
          const token = facts.ledgerOf(fact.account).find(fact.token)
          if (token?.kind !== "access")
            return `${fact.account} was given an access token that its provider never issued`
          if (token.grant.account !== fact.account)
            return `${fact.account} was given the access token of ${token.grant.account}`
          return undefined
        }
        default:
          return undefined
      }
    }
  }
}

/** The invariants. */
export const invariants: ReadonlyArray<Invariant> = [
  spentOnce,
  deadOnlyIfDead,
  storedIsTheLedgers,
  eventsInOrder,
  nothingSecretIsShown,
  nobodyWaitsTooLong,
  faultsStayApart,
  oneAttemptAtATime,
  noAnswerIsThrownAway,
  committedOnce,
  replacedForGood,
  decisionsStay,
  nothingIsRenewedThatIsDisabled,
  nobodyIsSentAway
]

/** How far ahead a clock may be before the times of a credential count as unknown, in milliseconds. */
const clockSkew = 60_000

/**
 * What is wrong with an account. After faults have stopped there has to be a moment for each account at which nothing is: it can be used, or
 * its credential is dead and it says so.
 */
export const ails = (facts: Facts, account: Account, now: number, wall: number): string | undefined => {
  if (account.status !== "ACTIVE" && account.status !== "EXPIRED") return undefined
  const token = tokenOf(facts, account)
  if (token === undefined) return undefined
  // The refresh token may be spent, and when the access token ends is unknown, because a clock was ahead. To send the one could cost the other.
  if (account.intent !== null && account.obtainedAt > wall + clockSkew) return undefined
  const ledger = facts.ledgerOf(account.id)
  const isHonoured = ledger.isHonoured(token, now)
  const held = successors(token).find((each) => ledger.isHonoured(each, now) && holderOf(facts, each, now))
  if (held !== undefined && !isHonoured) return `${account.id} has an answer that was never committed`
  if (isHonoured && !isUsable(account, wall)) return `${account.id} can be renewed, and is ${account.status} and over`
  return !isHonoured && !isKnownDead(account) && isOver(account, wall)
    ? `${account.id} is dead, and says ${account.status}`
    : undefined
}
