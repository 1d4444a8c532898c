/**
 * `ConnectedAccounts` of one Effect as that of the other.
 *
 * @module
 */
import type * as Core from "@rekindle/core"
import { ConnectedAccounts } from "../ConnectedAccounts.ts"
import { toFour, toThree } from "./bridge.ts"
import {
  accountToFour,
  accountToThree,
  errorToFour,
  errorToThree,
  idToFour,
  idToThree,
  outcomeToFour,
  outcomeToThree,
  refreshOptionsToFour,
  refreshOptionsToThree
} from "./values.ts"

type Accounts = ConnectedAccounts["Type"]
type Accounts4 = Core.ConnectedAccounts["Service"]

/** Core's policies and `withRefresh` share work between calls on the same object, so each has one counterpart. */
const counterparts = new WeakMap<Accounts, Accounts4>()

export const accountsToThree = (accounts: Accounts4): Accounts => {
  const three = ConnectedAccounts.of({
    refresh: (id, options) =>
      toThree(
        accounts.refresh(idToFour(id), options === undefined ? undefined : refreshOptionsToFour(options)),
        errorToThree,
        outcomeToThree
      ),
    get: (id) => toThree(accounts.get(idToFour(id)), errorToThree, accountToThree)
  })
  counterparts.set(three, accounts)
  return three
}

export const accountsToFour = (accounts: Accounts): Accounts4 => {
  const known = counterparts.get(accounts)
  if (known !== undefined) return known
  const four: Accounts4 = {
    refresh: (id, options) =>
      toFour(
        accounts.refresh(idToThree(id), options === undefined ? undefined : refreshOptionsToThree(options)),
        errorToFour,
        outcomeToFour
      ),
    get: (id) => toFour(accounts.get(idToThree(id)), errorToFour, accountToFour)
  }
  counterparts.set(accounts, four)
  return four
}
