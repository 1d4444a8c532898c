/**
 * Each invariant, on histories written by hand: it is silent on the right one and speaks on the wrong one. An invariant that cannot fail
 * would make every world look well.
 *
 * @module
 */
import { describe, expect, it } from "@effect/vitest"
import { ConnectedAccountId } from "@rekindle/core"
import { type Account, Sealed } from "@rekindle/engine"
import { ProviderDialect } from "@rekindle/testing"
import * as Facts from "./Facts.ts"
import { ails, invariants, type Watch } from "./invariants.ts"
import * as Ledger from "./Ledger.ts"

const id = ConnectedAccountId.make("ca_account_one")
const other = ConnectedAccountId.make("ca_account_two")
const second = 1000
const minute = 60 * second

/** A history with one provider. Credentials are sealed as JSON. */
const history = (rules: Partial<Ledger.Rules> = {}) => {
  const ledger = Ledger.make("p", { ...Ledger.rotationClasses["single-use"], ...rules }, ProviderDialect.rfc6749, "cs")
  const facts = Facts.make({
    lease: minute,
    ledgerOf: () => ledger,
    opened: ({ credential }) => (credential === null ? {} : JSON.parse(credential))
  })
  const times = { requestTimeout: 10 * second, lease: minute, lateness: 100 }
  const watches = new Map(invariants.map(({ name, watch }) => [name, watch(facts, times)] as const))
  const violations: Array<string> = []
  const tell = (...told: ReadonlyArray<Facts.Fact>) => {
    for (const fact of told) {
      facts.add(fact)
      for (const watch of watches.values()) {
        const wrong = (watch satisfies Watch)(fact)
        if (wrong !== undefined) violations.push(wrong)
      }
    }
  }
  const { access, refresh } = ledger.connect(id, 0)
  const seal = (refreshToken: string, accessToken = access.value) =>
    Sealed.make(JSON.stringify({ refresh_token: refreshToken, access_token: accessToken }))
  const account: Account = {
    id,
    publicId: id,
    projectId: "default",
    authConfigId: "config",
    toolkit: "t",
    userId: "u",
    alias: null,
    scheme: "OAUTH2",
    status: "ACTIVE",
    statusReason: null,
    generation: 1,
    revision: 1,
    grantId: "g",
    credential: seal(refresh.value),
    previousCredential: null,
    obtainedAt: 0,
    expiresAt: 5 * minute,
    renewAt: 4 * minute,
    consentUntil: null,
    lease: null,
    epoch: 0,
    intent: null,
    withdrawal: null,
    lastAttempt: null,
    createdAt: 0,
    updatedAt: 0
  }
  const stored = (
    before: Account | undefined,
    after: Account | undefined,
    at = 0,
    ...announced: Facts.FactOf<"Stored">["announced"]
  ) => tell({ _tag: "Stored", at, node: "a", before, after, announced })
  stored(undefined, account)
  let requests = 0
  /** A request with a refresh token that is on its way. `wall` is the time of the sender's clock. */
  const send = (node: string, token: string, at: number, row = account, wall = at) => {
    const request = requests++
    tell({ _tag: "Sent", at, node, request, wall, account: row, token })
    return request
  }
  /** A request arrives. Returns the body of the answer. */
  const arrive = (request: number, fields: Readonly<Record<string, string>>, at: number) => {
    const { body, presentation } = ledger.handle({ path: Ledger.tokenPath, fields, secret: "cs" }, at, Ledger.well)
    tell({ _tag: "Arrived", at, request, presentation })
    return body
  }
  const refreshes = (token: string) => ({ grant_type: "refresh_token", refresh_token: token })
  /** A token request that arrives at once. Returns the answer's refresh token. */
  const present = (node: string, token: string, at: number, row = account) => {
    const request = send(node, token, at, row)
    return { request, next: String(JSON.parse(arrive(request, refreshes(token), at)).refresh_token) }
  }
  const read = (node: string, request: number, at: number) =>
    tell({ _tag: "Read", at, rest: at, node, request, isOwn: true, isClean: true })
  const node = (name: string, at: number, is: Facts.NodeState, loses?: "unsynced") =>
    tell({ _tag: "Node", at, rest: at, node: name, is, loses })
  /** The row after a renewal. */
  const renewed = (from: Account, refreshToken: string): Account => ({
    ...from,
    generation: from.generation + 1,
    credential: seal(refreshToken, `the access token of generation ${from.generation + 1}`),
    intent: null
  })
  const expired = (from: Account): Account => ({ ...from, status: "EXPIRED", statusReason: "grant_dead" })
  return {
    account,
    access,
    arrive,
    expired,
    facts,
    ledger,
    node,
    present,
    read,
    refresh,
    refreshes,
    renewed,
    seal,
    send,
    stored,
    tell,
    violations
  }
}

describe("a single-use token is presented once, unless its answer is lost", () => {
  const over = (account: Account): Account => ({ ...account, expiresAt: 1 })

  it("speaks when the answer to the first request has been read by a process that runs", () => {
    const { account, present, read, refresh, violations } = history()
    const { request } = present("a", refresh.value, 10, over(account))
    read("a", request, 20)
    present("b", refresh.value, minute, over(account))
    expect(violations).toEqual([expect.stringContaining("whose answer a has")])
  })

  it("is silent when the answer was never read", () => {
    const { account, present, refresh, violations } = history()
    present("a", refresh.value, 10, over(account))
    present("b", refresh.value, minute, over(account))
    expect(violations).toEqual([])
  })

  it("is silent when the reader ended at the moment of reading, and speaks when it had a moment to write", () => {
    const ended = history()
    const first = ended.present("a", ended.refresh.value, 10, over(ended.account))
    ended.read("a", first.request, 20)
    ended.node("a", 20, "down")
    ended.node("a", 30, "running")
    ended.present("b", ended.refresh.value, minute, over(ended.account))
    expect(ended.violations).toEqual([])

    const wrote = history()
    const again = wrote.present("a", wrote.refresh.value, 10, over(wrote.account))
    wrote.read("a", again.request, 20)
    wrote.node("a", 21, "down")
    wrote.node("a", 30, "running")
    wrote.present("b", wrote.refresh.value, minute, over(wrote.account))
    expect(wrote.violations).toHaveLength(1)
  })

  it("is silent while the reader is down, frozen, without the store, or has lost its disk", () => {
    for (const trouble of ["down", "frozen", "cut", "power"] as const) {
      const { account, node, present, read, refresh, tell, violations } = history()
      const { request } = present("a", refresh.value, 10, over(account))
      read("a", request, 20)
      if (trouble === "cut") tell({ _tag: "Reaches", at: 30, node: "a", store: false })
      else node("a", 30, trouble === "power" ? "down" : trouble, trouble === "power" ? "unsynced" : undefined)
      if (trouble === "power") node("a", 40, "running")
      present("b", refresh.value, minute, over(account))
      expect({ trouble, violations }).toEqual({ trouble, violations: [] })
    }
  })

  it("is silent when the reader has just gone on, and speaks when it had time to commit since", () => {
    const goneOn = (before: number) => {
      const { account, node, present, read, refresh, violations } = history()
      const { request } = present("a", refresh.value, 10, over(account))
      read("a", request, 20)
      node("a", 20, "frozen")
      node("a", 2 * minute - before, "running")
      present("b", refresh.value, 2 * minute, over(account))
      return violations
    }
    expect(goneOn(second)).toEqual([])
    expect(goneOn(Facts.settling + second)).toEqual([expect.stringContaining("whose answer a has")])
  })

  it("is silent when the disk did not take the answer, though the reader stood still afterwards, and speaks when it took it", () => {
    const ended = (badAt: number) => {
      const { account, node, present, read, refresh, tell, violations } = history()
      tell({ _tag: "Disk", at: badAt, node: "a", sound: false }, { _tag: "Disk", at: badAt, node: "a", sound: true })
      const { request } = present("a", refresh.value, 10, over(account))
      read("a", request, 20)
      for (const is of ["frozen", "running"] as const)
        tell({ _tag: "Node", at: is === "frozen" ? 22 : 24, rest: 20, node: "a", is })
      node("a", 30, "down")
      node("a", 40, "running")
      present("b", refresh.value, minute, over(account))
      return violations
    }
    expect(ended(21)).toEqual([])
    expect(ended(5)).toEqual([expect.stringContaining("whose answer a has")])
  })

  it("speaks when the second request does not wait for the first", () => {
    const { account, present, refresh, violations } = history()
    present("a", refresh.value, 10, over(account))
    present("b", refresh.value, 20, over(account))
    expect(violations).toContainEqual(expect.stringContaining("10 ms after it"))
  })

  it("speaks when an access token was left that the second request costs", () => {
    const { present, refresh, violations } = history()
    present("a", refresh.value, 10)
    present("b", refresh.value, minute)
    expect(violations).toEqual([expect.stringContaining("still works")])
  })

  it("is silent when a consent has just been completed, or the sender has stood still since, and speaks otherwise", () => {
    const sentAfter = (millis: number, stoodStill = false) => {
      const { account, ledger, node, present, refresh, renewed, stored, violations } = history({ onReplay: "refuse" })
      present("a", refresh.value, 10, over(account))
      const consented = renewed(account, ledger.connect(id, 20).refresh.value)
      stored(account, consented, minute, { sequence: 1, type: "consent_completed" })
      if (stoodStill) {
        node("a", minute, "frozen")
        node("a", minute + millis, "running")
      }
      present("a", refresh.value, minute + millis, consented)
      return violations
    }
    expect(sentAfter(10)).toEqual([])
    expect(sentAfter(2 * second, true)).toEqual([])
    expect(sentAfter(2 * second)).toEqual([expect.stringContaining("still works")])
  })

  it("is silent when the sender stood still while the reader went on, in the first half of its lease, and speaks otherwise", () => {
    const goneOn = minute + second
    const sentAfter = (options: {
      readonly leasedAt?: number
      readonly stoodStill?: boolean
      readonly sentAt?: number
    }) => {
      const { leasedAt = minute, stoodStill = true, sentAt = goneOn + Facts.settling + second } = options
      const { account, node, present, read, refresh, tell, violations } = history()
      const row = over(account)
      const { request } = present("a", refresh.value, 10, row)
      read("a", request, 20)
      node("a", 20, "frozen")
      const leased: Account = { ...row, epoch: 1 }
      const takeLease = () =>
        tell({ _tag: "Stored", at: leasedAt, node: "b", before: row, after: leased, announced: [] })
      if (leasedAt <= goneOn) takeLease()
      if (stoodStill) node("b", goneOn - 1, "frozen")
      node("a", goneOn, "running")
      if (stoodStill) node("b", sentAt - 1, "running")
      if (leasedAt > goneOn) takeLease()
      present("b", refresh.value, sentAt, row)
      return violations.filter((wrong) => wrong.includes("whose answer a has"))
    }
    expect(sentAfter({})).toEqual([])
    expect(sentAfter({ stoodStill: false })).toHaveLength(1)
    expect(sentAfter({ leasedAt: goneOn + 1 })).toHaveLength(1)
    expect(sentAfter({ sentAt: minute + 31 * second })).toHaveLength(1)
  })

  it("speaks when a code is presented twice, unless the store was restored and forgot its first use", () => {
    const presentedTwice = (arrivals: ReadonlyArray<number>, ...between: ReadonlyArray<Facts.Fact>) => {
      const { arrive, ledger, tell, violations } = history()
      const code = ledger.authorize(id, 0)
      for (const request of [1, 2]) {
        tell({ _tag: "Sent", at: request, node: "a", request, wall: request, account: undefined, token: undefined })
        if (request === 1) tell(...between)
      }
      for (const request of arrivals) arrive(request, { grant_type: "authorization_code", code: code.value }, 3)
      return violations
    }
    for (const arrivals of [
      [1, 2],
      [2, 1]
    ]) {
      expect(presentedTwice(arrivals)).toEqual([expect.stringContaining("a code that was already used")])
      expect(presentedTwice(arrivals, { _tag: "Restored", at: 1.5, sequence: 0 })).toEqual([])
    }
  })

  it("is silent when an application reported the access token as refused, and speaks when it has another one since", () => {
    const sentAgain = (isRenewed: boolean) => {
      const { account, present, refresh, stored, tell, violations } = history({ onReplay: "refuse" })
      present("a", refresh.value, 10, over(account))
      tell({ _tag: "Refused", node: "a", call: 1, account: id })
      tell({ _tag: "Returned", at: 15, call: 1, error: undefined })
      const newer: Account = { ...account, generation: 2, credential: Sealed.make(`${account.credential} `) }
      if (isRenewed) stored(account, newer, 20, { sequence: 1, type: "renewed" })
      present("a", refresh.value, minute, isRenewed ? newer : account)
      return violations.filter((wrong) => wrong.includes("still works"))
    }
    expect(sentAgain(false)).toEqual([])
    expect(sentAgain(true)).toHaveLength(1)
  })

  it("is silent when the report was still under way as the account got another credential, or the request was sent before", () => {
    const sentBeside = (ends: "before" | "after", stores: "before" | "after") => {
      const made = history({ onReplay: "refuse" })
      const { account, arrive, present, refresh, refreshes, renewed, send, stored, tell, violations } = made
      const token = refresh.value
      present("a", token, 10, over(account))
      tell({ _tag: "Refused", node: "a", call: 1, account: id })
      const returned = () => tell({ _tag: "Returned", at: 20, call: 1, error: undefined })
      const newer = stores === "before" ? { ...account, generation: 2 } : renewed(account, "newer")
      const store = () => stored(account, newer, minute, { sequence: 1, type: "renewed" })
      if (ends === "before") returned()
      if (stores === "before") store()
      const sent = send("a", token, minute, stores === "before" ? newer : account)
      if (stores === "after") store()
      if (ends === "after") returned()
      arrive(sent, refreshes(token), minute + 1)
      return violations.filter((wrong) => wrong.includes("still works"))
    }
    expect(sentBeside("after", "before")).toEqual([])
    expect(sentBeside("before", "after")).toEqual([])
    expect(sentBeside("before", "before")).toHaveLength(1)
  })

  it("is silent when an account was disabled as its credential was or became dead, and enabled again, and speaks when that was well", () => {
    const sentAgain = (isDead: "before" | "meanwhile" | "not") => {
      const { account, present, refresh, stored, violations } = history({ onReplay: "refuse" })
      present("a", refresh.value, 10, over(account))
      const before: Account = isDead === "before" ? { ...account, statusReason: "grant_dead" } : account
      const disabled: Account = { ...account, status: "INACTIVE", statusReason: "disabled" }
      stored(before, disabled, 20)
      const inDoubt: Account = { ...disabled, intent: { generation: 1, since: 10, attempts: 1 } }
      if (isDead === "meanwhile") stored(inDoubt, disabled, 25)
      stored(disabled, account, 30)
      present("a", refresh.value, minute)
      return violations.filter((wrong) => wrong.includes("still works"))
    }
    expect(sentAgain("before")).toEqual([])
    expect(sentAgain("meanwhile")).toEqual([])
    expect(sentAgain("not")).toHaveLength(1)
  })

  it("is silent about an answer that a journal brought back after a restored snapshot, and speaks about one that came since", () => {
    const sentAfter = (restoredAt: number) => {
      const { account, present, read, refresh, renewed, stored, tell, violations } = history({
        onReplay: "refuse"
      })
      const first = present("a", refresh.value, 10, over(account))
      read("a", first.request, 20)
      present("a", first.next, 30, over(account))
      tell({ _tag: "Restored", at: restoredAt, sequence: 0 })
      const back = renewed(account, first.next)
      stored(account, back, 50, { sequence: 1, type: "renewed" })
      present("a", first.next, minute, back)
      return violations.filter((wrong) => wrong.includes("still works"))
    }
    expect(sentAfter(40)).toEqual([])
    expect(sentAfter(15)).toHaveLength(1)
  })

  it("is silent when the answer was read as its lease ended, because nobody may have waited for it any more", () => {
    const readAfter = (millis: number) => {
      const { account, present, read, refresh, violations } = history()
      const { request } = present("a", refresh.value, 0, over(account))
      read("a", request, millis)
      present("b", refresh.value, 2 * minute, over(account))
      return violations
    }
    expect(readAfter(0.95 * minute)).toEqual([])
    expect(readAfter(0.5 * minute)).toEqual([expect.stringContaining("whose answer a has")])
  })

  it("is silent when the answer comes after the second request was sent, and before it arrives", () => {
    const made = history({ onReplay: "refuse" })
    const { account, arrive, present, read, refresh, refreshes, send, violations } = made
    const first = present("a", refresh.value, 10, over(account))
    const token = refresh.value
    const sent = send("a", token, minute, over(account))
    read("a", first.request, minute)
    arrive(sent, refreshes(token), minute + 1)
    expect(violations).toEqual([])
  })

  it("is silent inside a reuse window", () => {
    const { account, present, refresh, violations } = history({ reuseWindow: 2 * minute })
    present("a", refresh.value, 10, over(account))
    present("a", refresh.value, minute, over(account))
    expect(violations).toEqual([])
  })

  it("is silent when the window is over, but not yet by a clock that was set back, and speaks when it is over by that one too", () => {
    const sentAgain = (wall: number) => {
      const { account, arrive, present, refresh, refreshes, send, violations } = history({ reuseWindow: minute })
      const row = { ...over(account), intent: { generation: 1, since: 10, attempts: 1 } }
      present("a", refresh.value, 10, row)
      present("a", refresh.value, minute, row)
      arrive(send("a", refresh.value, minute + second, row, wall), refreshes(refresh.value), minute + second)
      return violations
    }
    expect(sentAgain(minute - second)).toEqual([])
    expect(sentAgain(minute + second)).toEqual([expect.stringContaining("1000 ms after it")])
  })
})

describe("EXPIRED only if the ledger says dead, or an answer is lost", () => {
  it("speaks when the provider still takes the stored token", () => {
    const { account, expired, stored, violations } = history()
    stored(account, expired(account), 10, { sequence: 1, type: "expired" })
    expect(violations).toEqual([expect.stringContaining("still takes its refresh token")])
  })

  it("speaks when a process has the answer with the token that works", () => {
    const { account, expired, present, read, refresh, stored, violations } = history({ onReplay: "refuse" })
    const { request } = present("a", refresh.value, 10)
    read("a", request, 20)
    stored(account, expired(account), minute, { sequence: 1, type: "expired" })
    expect(violations).toEqual([expect.stringContaining("a has the answer")])
  })

  it("speaks unless the answer came after the refusal, while that was being stored", () => {
    const ended = (lateAt: number) => {
      const { account, expired, present, read, refresh, stored, violations } = history({ onReplay: "refuse" })
      const first = present("a", refresh.value, 10)
      const second = present("a", refresh.value, minute, { ...account, expiresAt: 1 })
      if (lateAt < minute + 1) read("a", first.request, lateAt)
      read("a", second.request, minute + 1)
      if (lateAt > minute + 1) read("a", first.request, lateAt)
      stored(account, expired(account), minute + 3, { sequence: 1, type: "expired" })
      return violations
    }
    expect(ended(minute + 2)).toEqual([])
    expect(ended(minute)).toEqual([expect.stringContaining("has the answer itself")])
  })

  it("is silent when the grant was revoked, or the answer is lost", () => {
    const revoked = history()
    revoked.ledger.withdrawn(revoked.refresh.grant, 5)
    revoked.stored(revoked.account, revoked.expired(revoked.account), 10, { sequence: 1, type: "expired" })
    expect(revoked.violations).toEqual([])

    const lost = history({ onReplay: "refuse" })
    lost.present("a", lost.refresh.value, 10)
    lost.stored(lost.account, lost.expired(lost.account), minute, { sequence: 1, type: "expired" })
    expect(lost.violations).toEqual([])
  })
})

describe("ACTIVE means that the stored token is the ledger's or a living predecessor", () => {
  it("speaks when an older token overwrites a newer one", () => {
    const { account, present, refresh, renewed, stored, violations } = history()
    const { next } = present("a", refresh.value, 10)
    const newer = renewed(account, next)
    stored(account, newer, 20, { sequence: 1, type: "renewed" })
    expect(violations).toEqual([])
    stored(newer, renewed(newer, refresh.value), 30, { sequence: 2, type: "renewed" })
    expect(violations).toEqual([expect.stringContaining("went back")])
  })

  it("speaks when a token is not the provider's, or another account's", () => {
    const { account, ledger, renewed, stored, violations } = history()
    stored(account, renewed(account, "made up"), 10, { sequence: 1, type: "renewed" })
    stored(account, renewed(account, ledger.connect(other, 0).refresh.value), 20, { sequence: 2, type: "renewed" })
    expect(violations).toEqual([
      expect.stringContaining("never issued"),
      expect.stringContaining("the refresh token of ca_account_two")
    ])
  })

  it("speaks when the intent of a spent token is closed", () => {
    const { account, present, refresh, stored, violations } = history()
    const open: Account = { ...account, intent: { generation: 1, since: 5, attempts: 1 } }
    stored(account, open, 5)
    present("a", refresh.value, 10)
    stored(open, { ...open, intent: null }, 20)
    expect(violations).toEqual([expect.stringContaining("no longer shows")])
  })
})

describe("events in commit order, each once", () => {
  const withEvents = () => {
    const made = history()
    const { next } = made.present("a", made.refresh.value, 10)
    made.stored(made.account, made.renewed(made.account, next), 20, { sequence: 4, type: "renewed" })
    const heard = (sequence: number) => made.tell({ _tag: "Heard", at: 30, reader: "r", sequence })
    return { ...made, heard }
  }

  it("is silent when each is heard once", () => {
    const { heard, violations } = withEvents()
    heard(4)
    expect(violations).toEqual([])
  })

  it("speaks of an event that is heard twice, missed, or made up", () => {
    const twice = withEvents()
    twice.heard(4)
    twice.heard(4)
    expect(twice.violations).toEqual([expect.stringContaining("again")])

    const missed = withEvents()
    missed.tell({
      _tag: "Stored",
      at: 40,
      node: "a",
      before: undefined,
      after: undefined,
      announced: [{ sequence: 5, type: "consent_started" }]
    })
    missed.heard(5)
    expect(missed.violations).toEqual([expect.stringContaining("missed event 4")])

    const madeUp = withEvents()
    madeUp.heard(3)
    expect(madeUp.violations).toEqual([expect.stringContaining("never committed")])
  })

  it("speaks of events out of order, of a generation without an event, and of one too many", () => {
    const { account, present, refresh, renewed, stored, violations } = history()
    const { next } = present("a", refresh.value, 10)
    const newer = renewed(account, next)
    stored(account, newer, 20, { sequence: 4, type: "renewed" })
    stored(newer, newer, 30, { sequence: 3, type: "consent_started" })
    stored(newer, renewed(newer, next), 40)
    stored(newer, { ...newer, status: "EXPIRED", statusReason: "consent_lapsed" }, 50)
    expect(violations).toEqual([
      expect.stringContaining("event 3 was committed after event 4"),
      expect.stringContaining("announced 0 times"),
      expect.stringContaining("not announced as expired")
    ])
  })
})

describe("no secret in anything logged", () => {
  it("speaks of a token in a log line and in an error", () => {
    const { refresh, tell, violations } = history()
    tell({ _tag: "Logged", at: 0, node: "a", text: "a renewal was tried" })
    expect(violations).toEqual([])
    tell({ _tag: "Logged", at: 0, node: "a", text: `sent ${refresh.value}` })
    tell({ _tag: "Returned", at: 0, call: 1, error: `refused: ${refresh.value}` })
    expect(violations).toHaveLength(2)
  })
})

describe("no caller waits past its deadline", () => {
  const called = (freeze: boolean, answeredAt: number) => {
    const { node, tell, violations } = history()
    tell({ _tag: "Called", at: 0, node: "a", call: 1, what: "refresh", account: id, deadline: second })
    if (freeze) {
      node("a", 500, "frozen")
      node("a", answeredAt, "running")
    }
    tell({ _tag: "Returned", at: answeredAt, call: 1, error: undefined })
    return violations
  }

  it("speaks of a late answer, unless the process stood still", () => {
    expect(called(false, second)).toEqual([])
    expect(called(false, 2 * second)).toEqual([expect.stringContaining("after its deadline")])
    expect(called(true, 2 * second)).toEqual([])
  })
})

describe("no fault of one account costs another a token", () => {
  it("speaks when one account's faults open the circuit of another", () => {
    const { account, tell, violations } = history()
    const call = (call: number) =>
      tell(
        { _tag: "Called", at: 0, node: "a", call, what: "refresh", account: id, deadline: second },
        { _tag: "Returned", at: 1, call, error: "circuit", slug: "circuit_open" }
      )
    const fault = (name: string) =>
      tell({
        _tag: "Sent",
        at: 0,
        node: "a",
        request: requests++,
        wall: 0,
        account: { ...account, id: ConnectedAccountId.make(name) },
        token: name
      })
    let requests = 100
    for (const name of ["ca_account_two", "ca_account_two", "ca_account_three"]) fault(name)
    call(1)
    expect(violations).toEqual([expect.stringContaining("2 accounts of its auth config met a fault")])
    tell({ _tag: "Unreached", node: "a", account: { ...account, id: ConnectedAccountId.make("ca_account_four") } })
    call(2)
    expect(violations).toHaveLength(1)
  })

  it("counts a fault until the circuit has had time to hear of a clean answer after it, and until its node has gone on", () => {
    const refusedAt = (at: number, ...between: ReadonlyArray<Facts.Fact>) => {
      const { account, present, read, refresh, tell, violations } = history({ rotation: "none" })
      for (const name of ["ca_account_two", "ca_account_three"])
        tell({ _tag: "Unreached", node: "a", account: { ...account, id: ConnectedAccountId.make(name) } })
      const { request } = present("a", refresh.value, 10)
      read("a", request, 20)
      tell(
        ...between,
        { _tag: "Called", at, node: "a", call: 1, what: "refresh", account: id, deadline: at + second },
        { _tag: "Returned", at, call: 1, error: "circuit", slug: "circuit_open" }
      )
      return violations
    }
    const later = 2 * Facts.delivery
    const wrong = [expect.stringContaining("2 accounts of its auth config met a fault")]
    expect(refusedAt(30)).toEqual([])
    expect(refusedAt(later)).toEqual(wrong)
    const stoodStill = (is: "frozen" | "running", at: number): Facts.Fact => ({
      _tag: "Node",
      at,
      rest: at,
      node: "a",
      is
    })
    expect(refusedAt(later, stoodStill("frozen", 21), stoodStill("running", later - 10))).toEqual([])
    const account = history().account
    expect(refusedAt(later, { _tag: "Unreached", node: "a", account })).toEqual([])
  })

  it("speaks when an application is given another account's access token", () => {
    const { access, ledger, tell, violations } = history()
    const foreign = ledger.connect(other, 0).access
    const handed = (token: string) => tell({ _tag: "Handed", at: 0, node: "a", wall: 0, account: id, token })
    handed(access.value)
    expect(violations).toEqual([])
    handed(foreign.value)
    handed("at")
    expect(violations).toHaveLength(2)
  })
})

describe("once faults stop, every account recovers", () => {
  it("speaks of a renewable account that is over, of an answer that is not committed, and of a dead one that says ACTIVE", () => {
    const over = 10 * minute
    const renewable = history()
    expect(ails(renewable.facts, renewable.account, over, minute)).toBeUndefined()
    expect(ails(renewable.facts, renewable.account, over, over)).toContain("can be renewed")

    const pending = history()
    const { request } = pending.present("a", pending.refresh.value, 10)
    pending.read("a", request, 20)
    expect(ails(pending.facts, pending.account, over, minute)).toContain("never committed")

    const dead = history()
    dead.ledger.withdrawn(dead.refresh.grant, 5)
    expect(ails(dead.facts, dead.account, over, over)).toContain("is dead")
  })
})

describe("a single-use token is in flight once", () => {
  const wrong = (rules: Partial<Ledger.Rules>, ...sent: ReadonlyArray<readonly [node: string, at: number]>) => {
    const { account, refresh, tell, violations } = history(rules)
    const row: Account = { ...account, expiresAt: 1 }
    for (const [request, [node, at]] of sent.entries())
      tell({ _tag: "Sent", at, node, request, wall: at, account: row, token: refresh.value })
    return violations
  }

  it("speaks when another process sends while the first request may be answered, and is silent when its lease is over", () => {
    expect(wrong({}, ["a", 10], ["b", 20])).toEqual([expect.stringContaining("may still be answered")])
    expect(wrong({}, ["a", 10], ["b", 10 + minute / 2])).toEqual([])
  })

  it("is silent when the first request came to its end", () => {
    const { account, refresh, tell, violations } = history()
    const token = refresh.value
    tell({ _tag: "Sent", at: 10, node: "a", request: 0, wall: 10, account, token })
    tell({ _tag: "Broke", at: 15, request: 0 }, { _tag: "Closed", at: 15, request: 0 })
    tell({ _tag: "Sent", at: 20, node: "b", request: 1, wall: 20, account, token })
    expect(violations).toEqual([])
  })

  it("tells tokens apart, and not what the store has when one is sent", () => {
    const { account, ledger, refresh, tell, violations } = history()
    // The account got another grant after the first process had read it, and before it sent.
    const after: Account = { ...account, generation: 2, grantId: "h", epoch: 1 }
    const token = ledger.connect(id, 5).refresh.value
    tell({ _tag: "Sent", at: 10, node: "a", request: 0, wall: 10, account: after, token: refresh.value })
    tell({ _tag: "Sent", at: 20, node: "b", request: 1, wall: 20, account: { ...after, epoch: 2 }, token })
    expect(violations).toEqual([])
  })

  it("is silent about tokens that may be used again", () => {
    expect(wrong({ rotation: "rolling" }, ["a", 10], ["b", 20])).toEqual([])
    expect(wrong({ reuseWindow: minute }, ["a", 10], ["b", 20])).toEqual([])
  })

  it("lets one attempt send once more, and no oftener", () => {
    expect(wrong({}, ["a", 10], ["a", 20])).toEqual([])
    expect(wrong({}, ["a", 10], ["a", 20], ["a", 30])).toEqual([expect.stringContaining("sends a third time")])
  })
})

describe("no answer is thrown away", () => {
  const closed = (at: number, ...before: ReadonlyArray<Facts.Fact>) => {
    const { account, refresh, tell, violations } = history()
    tell({ _tag: "Sent", at: 10, node: "a", request: 0, wall: 10, account, token: refresh.value })
    tell(...before, { _tag: "Closed", at, request: 0 })
    return violations
  }

  it("speaks of a request that is given up before its lease ends", () => {
    expect(closed(20 * second)).toEqual([expect.stringContaining("it may be answered")])
    expect(closed(40 * second)).toEqual([])
    expect(closed(20 * second, { _tag: "Broke", at: second, request: 0 })).toEqual([])
    const stops: Facts.Fact = { _tag: "Stops", at: second, node: "a" }
    expect(closed(20 * second, stops)).toEqual([])
    // A process that is stopped may be frozen and go on meanwhile.
    const is = (at: number, to: Facts.NodeState): Facts.Fact => ({ _tag: "Node", at, rest: at, node: "a", is: to })
    expect(closed(20 * second, stops, is(2 * second, "frozen"), is(3 * second, "running"))).toEqual([])
    const startedAgain = closed(20 * second, stops, is(2 * second, "down"), is(3 * second, "running"))
    expect(startedAgain).toEqual([expect.stringContaining("it may be answered")])
  })

  it("speaks of an answer that arrived in time at a process that stood still, and is silent about one that came too late", () => {
    expect(closed(minute, { _tag: "Answered", at: 20 * second, request: 0 })).toEqual([
      expect.stringContaining("whose answer had arrived")
    ])
    expect(closed(minute, { _tag: "Answered", at: 50 * second, request: 0 })).toEqual([])
  })
})

describe("each answer is committed once", () => {
  it("speaks when a generation has the tokens of the one before, and is silent when one of them is new", () => {
    const { account, stored, violations } = history()
    stored(account, { ...account, generation: 2 }, 0, { sequence: 1, type: "renewed" })
    expect(violations).toEqual([expect.stringContaining("has the tokens of the one before")])
    const other = history()
    other.stored(other.account, other.renewed(other.account, other.refresh.value), 0, { sequence: 1, type: "renewed" })
    expect(other.violations).toEqual([])
  })
})

describe("a grant that was replaced does not come back", () => {
  it("speaks when it does, and forgets what a snapshot has taken back", () => {
    const { account, stored, tell, violations } = history()
    const consented: Account = { ...account, grantId: "another" }
    stored(account, consented)
    expect(violations).toEqual([])
    stored(consented, account)
    expect(violations).toEqual([expect.stringContaining("went back to the tokens of a grant")])
    tell({ _tag: "Restored", at: 0, sequence: 0 })
    stored(account, consented)
    expect(violations).toHaveLength(1)
  })
})

describe("what the application decided stays", () => {
  it("speaks when a commit puts a disabled account into service, and is silent when a person does", () => {
    const { account, refresh, renewed, stored, violations } = history()
    const disabled: Account = { ...account, status: "INACTIVE" }
    stored(disabled, account)
    stored(disabled, renewed(disabled, refresh.value))
    expect(violations).toEqual([])
    stored(disabled, renewed(account, refresh.value), 0, { sequence: 1, type: "renewed" })
    expect(violations).toEqual([expect.stringContaining("a commit made it ACTIVE")])
  })
})

describe("no disabled account is renewed", () => {
  it("speaks when its lease is taken, and is silent about other changes", () => {
    const { account, stored, violations } = history()
    const disabled: Account = { ...account, status: "INACTIVE" }
    stored(account, { ...account, epoch: 1 })
    stored(account, disabled)
    expect(violations).toEqual([])
    stored(disabled, { ...disabled, epoch: 1 })
    expect(violations).toEqual([expect.stringContaining("is INACTIVE, and a renews it")])
  })
})

describe("no caller ends the call of another", () => {
  it("speaks when a call was interrupted", () => {
    const { tell, violations } = history()
    tell({ _tag: "Returned", at: 1, call: 0, error: "busy", isInterrupted: false })
    expect(violations).toEqual([])
    tell({ _tag: "Returned", at: 1, call: 1, error: "interrupted", isInterrupted: true })
    expect(violations).toEqual(["call 1 was interrupted"])
  })
})
