/**
 * Counts the dangerous states that a world was in. A simulation that never reaches them proves nothing.
 *
 * @module
 */
import type { Fact, Facts } from "./Facts.ts"

/** What a few hundred worlds have to reach together. */
export const dangers = [
  "a process ends",
  "a process ends during a send",
  "a process ends with an answer in hand",
  "a process stands still during a send",
  "a loss of power",
  "an answer is lost",
  "an answer comes after its time limit",
  "a lease is taken over",
  "a single-use token is presented again",
  "a reuse window is used",
  "a refusal of a dead token",
  "an answer is committed from the journal",
  "an answer is only in memory",
  "the journal has no room",
  "a node does not reach the store",
  "a credential dies",
  "a circuit is open",
  "a caller leaves at its deadline",
  "the application is refused",
  "a consent is completed",
  "a code is presented",
  "a withdrawal is confirmed",
  "a refused access token is reported",
  "a call is repeated under its key"
] as const
export type Danger = (typeof dangers)[number]

/** Makes the counter. Told of each fact, after {@link Facts} has it. */
export const make = (facts: Facts, times: { readonly requestTimeout: number }, reach: (what: string) => void) => {
  /** The nodes of requests that have no answer yet, and of answers with tokens that are not stored yet, by account. */
  const under = new Map<number, string>()
  const inHand = new Map<string, string>()
  const said = (danger: Danger) => reach(danger)
  return (fact: Fact): void => {
    switch (fact._tag) {
      case "Sent":
        under.set(fact.request, fact.node)
        return
      case "Arrived": {
        const { presentation } = fact
        if (presentation === undefined) return
        if (presentation.outcome === "replayed") said("a single-use token is presented again")
        if (presentation.outcome === "reused") said("a reuse window is used")
        if (presentation.outcome === "refused") said("a refusal of a dead token")
        if (!("kind" in presentation.of)) said("a code is presented")
        return
      }
      case "Read": {
        under.delete(fact.request)
        const sent = facts.travel(fact.request)?.sent
        if (sent !== undefined && fact.at - sent.at > times.requestTimeout) said("an answer comes after its time limit")
        const { outcome } = facts.travel(fact.request)?.presentation ?? {}
        if (outcome !== "applied") return
        if (!fact.isOwn) said("an answer is lost")
        else if (sent?.account !== undefined) inHand.set(sent.account.id, fact.node)
        return
      }
      case "Node": {
        const inFlight = [...under].filter(([, node]) => node === fact.node)
        if (fact.is === "frozen" && inFlight.length > 0) said("a process stands still during a send")
        if (fact.is !== "down") return
        said("a process ends")
        if (fact.loses === "unsynced") said("a loss of power")
        if (inFlight.length > 0) said("a process ends during a send")
        for (const [request] of inFlight) under.delete(request)
        for (const [account, node] of inHand) {
          if (node !== fact.node) continue
          inHand.delete(account)
          said("a process ends with an answer in hand")
        }
        return
      }
      case "Reaches":
        if (!fact.store) said("a node does not reach the store")
        return
      case "Stored": {
        const { after, before } = fact
        if (after !== undefined && after.generation !== before?.generation) inHand.delete(after.id)
        if (before?.intent != null && after?.intent != null && after.epoch > before.epoch) said("a lease is taken over")
        if (after?.statusReason === "grant_dead" || after?.statusReason === "rotation_response_lost")
          if (before?.statusReason === null) said("a credential dies")
        if (after?.withdrawal?.state === "confirmed" && before?.withdrawal?.state !== "confirmed")
          said("a withdrawal is confirmed")
        if (fact.announced.some(({ type }) => type === "consent_completed")) said("a consent is completed")
        if (after?.lastAttempt?.verdict === "AppFault" && before?.lastAttempt?.verdict !== "AppFault")
          said("the application is refused")
        return
      }
      case "Returned":
        if (fact.error?.includes("DeadlineExceeded") === true) said("a caller leaves at its deadline")
        return
      case "Logged":
        if (fact.text.includes("committed an answer from the journal")) said("an answer is committed from the journal")
        if (fact.text.includes("only in the memory of this process")) said("an answer is only in memory")
        if (fact.text.includes("its circuit is open")) said("a circuit is open")
        if (fact.text.includes("the journal has no space")) said("the journal has no room")
        return
      default:
    }
  }
}
