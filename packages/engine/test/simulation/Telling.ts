/**
 * Facts in words, for the story of a world. Facts that a reader of the story does not miss have none.
 *
 * @module
 */
import type { Account } from "@rekindle/engine"
import type { Fact } from "./Facts.ts"

const rowText = ({ epoch, generation, id, intent, lease, status, statusReason }: Account): string => {
  const why = statusReason === null ? "" : ` (${statusReason})`
  return `${id} is ${status}${why}, generation ${generation}, epoch ${epoch}${intent === null ? "" : ", may be spent"}${lease === null ? "" : ", leased"}`
}

/** What to tell of a fact. The story names who does it. */
export const told = (fact: Fact): string | undefined => {
  switch (fact._tag) {
    case "Sent":
      return `sends request ${fact.request} for ${fact.account?.id ?? "a consent"}`
    case "Arrived":
      return `request ${fact.request} arrives: ${fact.presentation?.outcome ?? "nothing is done"}`
    case "Read":
      return `has the answer to request ${fact.request}${fact.isOwn ? "" : ", without tokens"}`
    case "Stored":
      return `for ${fact.node}: ${fact.after === undefined ? "an account is removed" : rowText(fact.after)}`
    case "Returned":
      return fact.error === undefined ? undefined : `call ${fact.call} fails: ${fact.slug ?? "without a slug"}`
    case "Called":
      return `is asked: ${fact.what} ${fact.account ?? ""} (call ${fact.call})`
    case "Logged":
      return `logs: ${fact.text.slice(0, 200)}`
    default:
      return undefined
  }
}
