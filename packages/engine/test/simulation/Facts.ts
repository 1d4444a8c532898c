/**
 * What happened in a simulated world, as far as the invariants ask: a list of facts, and what follows from them. Facts come from the world
 * around the engine (network, store, disks, callers), never from the engine itself. Time is the world's, in milliseconds. Clocks of nodes
 * differ from it; where a node's own clock matters, a fact has it as `wall`.
 *
 * @module
 */
import type { ConnectedAccountId } from "@rekindle/core"
import type { Account, OutboxEventType } from "@rekindle/engine"
import type { Ledger, Presentation } from "./Ledger.ts"

/** How a process and its machine are. */
export type NodeState = "running" | "frozen" | "down"

export type Fact =
  /** A node could not reach the provider with the token of an account. */
  | { readonly _tag: "Unreached"; readonly node: string; readonly account: Account }
  /**
   * A node handed a request to the network. `account` is the row at that moment, which may already have another token than the refresh token
   * that the request presents.
   */
  | {
      readonly _tag: "Sent"
      readonly at: number
      readonly node: string
      readonly request: number
      readonly wall: number
      readonly account: Account | undefined
      readonly token: string | undefined
    }
  /** It arrived at the provider. */
  | {
      readonly _tag: "Arrived"
      readonly at: number
      readonly request: number
      readonly presentation: Presentation | undefined
    }
  /** Its complete answer left the provider, and arrives. */
  | { readonly _tag: "Answered"; readonly at: number; readonly request: number }
  /** A node is stopped in order, and need not wait for answers that are late. */
  | { readonly _tag: "Stops"; readonly at: number; readonly node: string }
  /** The node no longer waits for its answer. A process that ends says nothing. */
  | { readonly _tag: "Closed"; readonly at: number; readonly request: number }
  /**
   * A complete answer was handed to the node. `isOwn`: it is the provider's own, with the tokens that it issued. `isClean`: it speaks of the
   * account alone, and not of an outage or of the application.
   */
  | {
      readonly _tag: "Read"
      readonly at: number
      readonly rest: number
      readonly node: string
      readonly request: number
      readonly isOwn: boolean
      readonly isClean: boolean
    }
  /** The connection of a request broke. Nothing of it is on the way any more. */
  | { readonly _tag: "Broke"; readonly at: number; readonly request: number }
  /** A node changed its state. `loses` is what a node that went down does not find on its disk again. */
  | {
      readonly _tag: "Node"
      readonly at: number
      /** How often the world had come to rest. Whoever had something to do before a rest has done it. */
      readonly rest: number
      readonly node: string
      readonly is: NodeState
      readonly loses?: "nothing" | "unsynced" | undefined
    }
  /** Whether a node reaches the store, and whether its disk takes a record. */
  | { readonly _tag: "Reaches"; readonly at: number; readonly node: string; readonly store: boolean }
  | { readonly _tag: "Disk"; readonly at: number; readonly node: string; readonly sound: boolean }
  /** The store did not do what a node asked for, or the node does not hear of it. */
  | { readonly _tag: "StoreFailed" }
  /** The store changed a row. Undefined: there was none, or there is none any more. */
  | {
      readonly _tag: "Stored"
      readonly at: number
      readonly node: string
      readonly before: Account | undefined
      readonly after: Account | undefined
      readonly announced: ReadonlyArray<{ readonly sequence: number; readonly type: OutboxEventType }>
    }
  /** A reader of events got one. */
  | { readonly _tag: "Heard"; readonly at: number; readonly reader: string; readonly sequence: number }
  /** An application called, and has to have an answer until `deadline`. */
  | {
      readonly _tag: "Called"
      readonly at: number
      readonly node: string
      readonly call: number
      readonly what: string
      readonly account: ConnectedAccountId | undefined
      readonly deadline: number
    }
  /** Its answer: `error` is the text of everything that an application can see of a failure, and `slug` its kind. */
  | {
      readonly _tag: "Returned"
      readonly at: number
      readonly call: number
      readonly error: string | undefined
      readonly slug?: string | undefined
      /** Whether it came back because something was interrupted. The application itself interrupts no call. */
      readonly isInterrupted?: boolean | undefined
    }
  /** An access token was handed to an application. */
  | {
      readonly _tag: "Handed"
      readonly at: number
      readonly node: string
      readonly wall: number
      readonly account: ConnectedAccountId
      readonly token: string
    }
  /**
   * An application reports that a third party refused the access token of an account. The report names no token. It is about the one that
   * the engine finds while the call is under way.
   */
  | {
      readonly _tag: "Refused"
      readonly node: string
      readonly call: number
      readonly account: ConnectedAccountId
    }
  /** A line of a log, or the end of a span, as text. */
  | { readonly _tag: "Logged"; readonly at: number; readonly node: string; readonly text: string }
  /** The database was restored from an older snapshot, whose last event has that sequence, and the engine was told. */
  | { readonly _tag: "Restored"; readonly at: number; readonly sequence: number }

export type FactOf<Tag extends Fact["_tag"]> = Extract<Fact, { readonly _tag: Tag }>

interface Change {
  readonly at: number
  readonly rest: number
  readonly index: number
  readonly is: NodeState
  readonly loses: "nothing" | "unsynced"
}

/** The life of a node. */
export interface Life {
  readonly changes: Array<Change>
  /** When the node was last cut off from the store, or could not write to its disk. */
  readonly cuts: Array<{ readonly from: number; to: number }>
  readonly badDisk: Array<{ readonly from: number; to: number }>
}

/** A request, and how far it came. */
export interface Travel {
  readonly sent: FactOf<"Sent">
  /** The place of `sent` among all facts. Two facts may have one time. */
  readonly index: number
  presentation: Presentation | undefined
  /** Whether its sender knows that it has ended: an answer came, or the connection broke. */
  hasEnded: boolean
  /** When its complete answer left the provider. */
  answeredAt: number | undefined
  /** When the node stopped waiting for the answer. */
  closedAt: number | undefined
  /** The answer of the provider itself. */
  read: (FactOf<"Read"> & { readonly index: number }) | undefined
}

/**
 * How long a node that has an answer needs at most to commit it, if it runs and reaches the store: the retries of a commit, of the journal's
 * replay, and the checks for journals of the dead.
 */
export const settling = 8_000

/** How long an answer is on its way at most, and waits for the process that it arrived at, in milliseconds. */
export const delivery = 1_000

/** Collects facts. `ledgerOf` names the provider of an account, and `opened` opens a sealed credential. */
export const make = (given: {
  /** How long a lease holds, in milliseconds. */
  readonly lease: number
  readonly ledgerOf: (account: string) => Ledger
  readonly opened: (account: Account) => Readonly<Record<string, string>>
}) => {
  const lives = new Map<string, Life>()
  const travels = new Map<number, Travel>()
  const byPresentation = new Map<Presentation, Travel>()
  const rows = new Map<string, Account>()
  let index = 0
  /** Answers that were read before are no longer in any journal, and the store has forgotten them. */
  let restoredAt = Number.NEGATIVE_INFINITY
  let lapses = 0

  const lifeOf = (node: string): Life => {
    const known = lives.get(node)
    if (known !== undefined) return known
    const life: Life = { changes: [], cuts: [], badDisk: [] }
    lives.set(node, life)
    return life
  }

  const spell = (spells: Life["cuts"], at: number, over: boolean): void => {
    const last = spells.at(-1)
    if (!over) spells.push({ from: at, to: Infinity })
    else if (last !== undefined && last.to === Infinity) last.to = at
  }

  const overlaps = (spells: Life["cuts"], from: number, to: number): boolean =>
    spells.some((each) => each.from <= to && each.to >= from)

  /** Whether a node ran, and reached the store, all the time from one moment to another. */
  const inService = (node: string, from: number, to: number): boolean => {
    const { changes, cuts } = lifeOf(node)
    let is: NodeState = "running"
    for (const change of changes) {
      if (change.at > to) break
      if (change.at >= from && change.is !== "running") return false
      if (change.at <= from) is = change.is
    }
    return is === "running" && !overlaps(cuts, from, to)
  }

  /** Whether a node ran all the time from one moment to another. */
  const ran = (node: string, from: number, to: number): boolean => {
    let is: NodeState = "running"
    for (const change of lifeOf(node).changes) {
      if (change.at > to) break
      if (change.at >= from && change.is !== "running") return false
      if (change.at <= from) is = change.is
    }
    return is === "running"
  }

  /**
   * Since when a node has had an answer that it read. Undefined if it ended or froze before it came to rest: then it had no moment to write
   * the answer down, and nobody can tell that from an answer that was lost on the way. Undefined too if the answer came when its lease was
   * nearly over, because then the node may already have stopped waiting for it.
   */
  const hadSince = ({ read, sent }: Travel): number | undefined => {
    if (read === undefined || read.at > sent.at + 0.9 * given.lease) return undefined
    let since: { readonly at: number; readonly rest: number } = read
    let frozen = false
    for (const change of lifeOf(read.node).changes) {
      if (change.index < read.index) continue
      if (!frozen && change.rest > since.rest) break
      if (change.is === "down") return undefined
      frozen = change.is === "frozen"
      if (!frozen) since = change
    }
    return frozen ? undefined : since.at
  }

  /**
   * Since when some process has had the answer that it has at that time, and could have committed it until then, because it did not freeze
   * meanwhile. Undefined: nobody has it.
   */
  const heldSince = (travel: Travel, at: number): number | undefined => {
    const since = hadSince(travel)
    const { read } = travel
    if (since === undefined || read === undefined || since > at || since < restoredAt) return undefined
    const { badDisk, changes } = lifeOf(read.node)
    for (const change of changes) {
      if (change.at < since || change.at > at || change.is !== "down") continue
      // What is only in memory, or not on the disk yet, ends with the process or the power.
      if (change.loses === "unsynced" || overlaps(badDisk, read.at, change.at)) return undefined
    }
    return inService(read.node, Math.max(read.at, at - settling), at) ? since : undefined
  }

  const add = (fact: Fact): void => {
    index++
    switch (fact._tag) {
      case "Sent":
        travels.set(fact.request, {
          sent: fact,
          index,
          presentation: undefined,
          hasEnded: false,
          answeredAt: undefined,
          closedAt: undefined,
          read: undefined
        })
        break
      case "Answered": {
        const travel = travels.get(fact.request)
        if (travel !== undefined) travel.answeredAt = fact.at
        break
      }
      case "Closed": {
        const travel = travels.get(fact.request)
        if (travel !== undefined) travel.closedAt = fact.at
        break
      }
      case "Arrived": {
        const travel = travels.get(fact.request)
        if (travel !== undefined && fact.presentation !== undefined) {
          travel.presentation = fact.presentation
          byPresentation.set(fact.presentation, travel)
        }
        break
      }
      case "Broke": {
        const travel = travels.get(fact.request)
        if (travel !== undefined) travel.hasEnded = true
        break
      }
      case "Read": {
        const travel = travels.get(fact.request)
        if (travel === undefined) break
        travel.hasEnded = true
        if (fact.isOwn) travel.read = { ...fact, index }
        break
      }
      case "Node":
        lifeOf(fact.node).changes.push({ ...fact, index, loses: fact.loses ?? "nothing" })
        break
      case "Reaches":
        spell(lifeOf(fact.node).cuts, fact.at, fact.store)
        break
      case "Disk":
        spell(lifeOf(fact.node).badDisk, fact.at, fact.sound)
        break
      case "StoreFailed":
        lapses++
        break
      case "Restored":
        restoredAt = fact.at
        lapses++
        break
      case "Stored": {
        const id = (fact.after ?? fact.before)?.id
        if (id === undefined) break
        if (fact.after === undefined) rows.delete(id)
        else rows.set(id, fact.after)
        break
      }
    }
  }

  return {
    ...given,
    add,
    inService,
    ran,
    heldSince,
    isHeld: (travel: Travel, at: number): boolean => heldSince(travel, at) !== undefined,
    /** Whether the store knows nothing of that time, because a snapshot was restored since. */
    isForgotten: (at: number): boolean => at < restoredAt,
    /** How often the store did not take something, or forgot it. */
    lapses: () => lapses,
    travel: (request: number): Travel | undefined => travels.get(request),
    travelOf: (presentation: Presentation): Travel | undefined => byPresentation.get(presentation),
    rows: rows as ReadonlyMap<string, Account>
  }
}

/** What is known of a world. */
export type Facts = ReturnType<typeof make>
