/**
 * The account store as a model: in memory, shared by several nodes, each operation atomic.
 *
 * Rows are values that are replaced and never changed. So an operation copies only the row that it writes, and a snapshot is a copy of the
 * maps. It passes the contract suite of every store.
 *
 * @module
 */
import type { ConnectedAccountId } from "@rekindle/core"
import {
  type Account,
  type AccountQuery,
  AccountStore,
  type AuthConfigRef,
  type ConsentAttempt,
  type IdempotencyRecord,
  type OutboxEvent,
  type Page,
  type Sealed,
  type StoredAuthConfig,
  StoreError
} from "@rekindle/engine"
import { visibleStatus } from "@rekindle/engine/Account"
import { Clock, Effect, Option, Struct } from "effect"
import { announcedAt, attemptsOf, endsLease, epochOf, nextEpoch, written } from "#engine/store/accountRequests.ts"

type Store = AccountStore["Service"]

/** The maximum number of open links to consent of one account. */
const openLinks = 5

interface Key extends IdempotencyRecord {
  readonly createdAt: number
}

/** Everything that is stored. Times of leases and intents are those of the store's clock. */
interface State {
  readonly configs: Map<string, StoredAuthConfig>
  readonly accounts: Map<ConnectedAccountId, Account>
  /** The ids of the accounts of each config. */
  readonly ofConfig: Map<string, Set<ConnectedAccountId>>
  /** The ids of the accounts by the id that the project uses, and by alias. */
  readonly named: Map<string, ConnectedAccountId>
  /** The ids of the accounts with an open intent. */
  readonly open: Set<ConnectedAccountId>
  readonly removed: Set<ConnectedAccountId>
  readonly attempts: Map<string, ConsentAttempt>
  readonly keys: Map<string, Key>
  readonly canaries: Map<string, Sealed>
  /** Oldest first. */
  readonly events: Array<OutboxEvent>
  sequence: number
  forgottenThrough: number
}

const empty = (): State => ({
  configs: new Map(),
  accounts: new Map(),
  ofConfig: new Map(),
  named: new Map(),
  open: new Set(),
  removed: new Set(),
  attempts: new Map(),
  keys: new Map(),
  canaries: new Map(),
  events: [],
  sequence: 0,
  forgottenThrough: 0
})

const copyOf = (state: State): State => ({
  ...state,
  configs: new Map(state.configs),
  accounts: new Map(state.accounts),
  ofConfig: new Map([...state.ofConfig].map(([key, ids]) => [key, new Set(ids)])),
  named: new Map(state.named),
  open: new Set(state.open),
  removed: new Set(state.removed),
  attempts: new Map(state.attempts),
  keys: new Map(state.keys),
  canaries: new Map(state.canaries),
  events: [...state.events]
})

const configKey = ({ authConfigId, projectId }: AuthConfigRef): string => `${projectId}/${authConfigId}`
const publicName = (projectId: string, publicId: string): string => `id/${projectId}/${publicId}`
const aliasName = ({ alias, projectId, toolkit, userId }: Account): string | undefined =>
  alias === null ? undefined : JSON.stringify([projectId, userId, toolkit, alias])

const isStopped = ({ status }: Account): boolean => status === "INACTIVE" || status === "REVOKED"

/** The columns that a write replaces. The others belong to the account for good, or to the renewal in flight. */
const changed = (stored: Account, to: Account): Account => ({
  ...Struct.omit(stored, ["obtainedEpoch"]),
  alias: to.alias,
  status: to.status,
  statusReason: to.statusReason,
  generation: to.generation,
  grantId: to.grantId,
  credential: to.credential,
  previousCredential: to.previousCredential,
  obtainedAt: to.obtainedAt,
  ...(to.obtainedEpoch === undefined ? {} : { obtainedEpoch: to.obtainedEpoch }),
  expiresAt: to.expiresAt,
  renewAt: to.renewAt,
  consentUntil: to.consentUntil,
  withdrawal: to.withdrawal,
  updatedAt: to.updatedAt,
  revision: stored.revision + 1
})

const selects = (query: AccountQuery, account: Account): boolean => {
  const { aliases, authConfigIds, ids, isFailing, now, projectId, statuses, toolkits, userIds } = query
  return (
    account.projectId === projectId &&
    userIds?.includes(account.userId) !== false &&
    authConfigIds?.includes(account.authConfigId) !== false &&
    toolkits?.includes(account.toolkit) !== false &&
    (aliases === undefined || (account.alias !== null && aliases.includes(account.alias))) &&
    ids?.includes(account.publicId) !== false &&
    statuses?.includes(visibleStatus(account, now).status) !== false &&
    (isFailing !== true ||
      account.lastAttempt !== null ||
      account.status === "EXPIRED" ||
      account.status === "FAILED" ||
      (account.status === "ACTIVE" && account.statusReason !== null))
  )
}

/** The first `limit` items, and the place of the last one if there are more. */
const pageOf = <Item, Place>(
  found: ReadonlyArray<Item>,
  limit: number,
  placeOf: (item: Item) => Place
): Page<Item, Place> => {
  const items = found.slice(0, limit)
  const last = items.at(-1)
  return { items, unreadable: 0, next: found.length > limit && last !== undefined ? placeOf(last) : undefined }
}

const byText = (one: string, two: string): number => (one < two ? -1 : one > two ? 1 : 0)

/** The options of a store. */
export interface ModelStoreOptions {
  /**
   * The store's own clock, in epoch milliseconds, as Postgres has it. Undefined: the clock of whoever asks, as on SQLite, where all processes
   * are on one machine.
   */
  readonly clock?: (() => number) | undefined
  /** Told of each row that is stored or removed, in the operation that does it, with the events that are committed with it. */
  readonly changed?:
    | ((before: Account | undefined, after: Account | undefined, events: ReadonlyArray<OutboxEvent>) => void)
    | undefined
}

/** Makes an empty store. */
export const make = ({ changed: told = () => {}, clock }: ModelStoreOptions = {}) => {
  let state = empty()
  let restores = 0

  const clockOf = (now: number): number => clock?.() ?? now

  /** An account as somebody with that clock sees it. */
  const seen = (account: Account, now: number): Account => {
    const ahead = now - clockOf(now)
    if (ahead === 0 || (account.lease === null && account.intent === null)) return account
    return {
      ...account,
      lease: account.lease === null ? null : { ...account.lease, until: account.lease.until + ahead },
      intent: account.intent === null ? null : { ...account.intent, since: account.intent.since + ahead }
    }
  }

  // --- rows -------------------------------------------------------------------------------------------------------------------------

  /** Stores a row in the place of the one that was there. */
  const put = (account: Account, before?: Account, events: ReadonlyArray<OutboxEvent> = []): void => {
    state.accounts.set(account.id, account)
    told(before, account, events)
    if (account.intent === null) state.open.delete(account.id)
    else state.open.add(account.id)
    if (before === undefined) {
      state.named.set(publicName(account.projectId, account.publicId), account.id)
      const key = configKey(account)
      const others = state.ofConfig.get(key)
      if (others === undefined) state.ofConfig.set(key, new Set([account.id]))
      else others.add(account.id)
    }
    if (before?.alias === account.alias) return
    const [former, alias] = [before && aliasName(before), aliasName(account)]
    if (former !== undefined) state.named.delete(former)
    if (alias !== undefined) state.named.set(alias, account.id)
  }

  const forget = (account: Account): void => {
    state.accounts.delete(account.id)
    told(account, undefined, [])
    state.open.delete(account.id)
    state.ofConfig.get(configKey(account))?.delete(account.id)
    state.named.delete(publicName(account.projectId, account.publicId))
    const alias = aliasName(account)
    if (alias !== undefined) state.named.delete(alias)
  }

  const rowsOf = (key: string): ReadonlyArray<Account> =>
    [...(state.ofConfig.get(key) ?? [])].flatMap((id) => state.accounts.get(id) ?? [])

  const selected = (query: AccountQuery): Array<Account> =>
    [...state.accounts.values()].filter((account) => selects(query, account))

  const isAliasTaken = (account: Account): boolean => {
    const alias = aliasName(account)
    const holder = alias === undefined ? undefined : state.named.get(alias)
    return holder !== undefined && holder !== account.id
  }

  /** Adds a link, and removes the oldest open links beyond the limit. */
  const addAttempt = (attempt: ConsentAttempt): void => {
    const links = [...state.attempts.values()]
      .filter(({ accountId, takenAt }) => accountId === attempt.accountId && takenAt === null)
      .toSorted((one, two) => two.createdAt - one.createdAt || byText(one.stateHash, two.stateHash))
    for (const { stateHash } of links.slice(openLinks - 1)) state.attempts.delete(stateHash)
    state.attempts.set(attempt.stateHash, attempt)
  }

  const isUnderWay = (account: Account): boolean =>
    account.intent !== null && account.lease !== null && !isStopped(account)

  /** The accounts of a config that are due. Those of a disabled config are not renewed, but withdrawn. */
  const due = (key: string, now: number): ReadonlyArray<Account & { readonly renewAt: number }> => {
    const config = state.configs.get(key)
    const renews = config !== undefined && config.disabledAt === null
    return rowsOf(key).flatMap((account) => {
      const { renewAt, status } = account
      return renewAt !== null && renewAt <= now && (renews || status === "REVOKED") ? [{ ...account, renewAt }] : []
    })
  }

  const forgetEvents = (count: number): void => {
    const last = state.events.splice(0, count).at(-1)
    if (last !== undefined) state.forgottenThrough = Math.max(state.forgottenThrough, last.sequence)
  }

  // --- operations -------------------------------------------------------------------------------------------------------------------

  const store = AccountStore.of({
    putAuthConfig: (config) =>
      Effect.sync(() => {
        const key = configKey({ projectId: config.projectId, authConfigId: config.id })
        const { createdAt = config.updatedAt, disabledAt = null } = state.configs.get(key) ?? {}
        const row: StoredAuthConfig = { ...config, createdAt, disabledAt }
        state.configs.set(key, row)
        return row
      }),

    findAuthConfig: (config) => Effect.sync(() => Option.fromUndefinedOr(state.configs.get(configKey(config)))),

    listAuthConfigs: ({ after, isDisabled, limit, projectId }) =>
      Effect.sync(() => {
        const found = [...state.configs]
          .filter(
            ([key, config]) =>
              key > (after?.id ?? "") &&
              (projectId === undefined || config.projectId === projectId) &&
              (isDisabled === undefined || (config.disabledAt !== null) === isDisabled)
          )
          .toSorted(([one], [two]) => byText(one, two))
        const { items, next, unreadable } = pageOf(found, limit, ([id]) => ({ id }))
        return { items: items.map(([, config]) => config), unreadable, next }
      }),

    countAuthConfigs: ({ isDisabled, projectId }) =>
      Effect.sync(() => {
        const own = [...state.configs.values()].filter((config) => config.projectId === projectId)
        return own.filter(({ disabledAt }) => isDisabled === undefined || (disabledAt !== null) === isDisabled).length
      }),

    switchAuthConfig: (ref, disabledAt) =>
      Effect.sync(() => {
        const config = state.configs.get(configKey(ref))
        if (config === undefined) return false
        state.configs.set(configKey(ref), { ...config, disabledAt })
        return true
      }),

    removeAuthConfig: (ref) =>
      Effect.sync(() => {
        const key = configKey(ref)
        if (!state.configs.has(key)) return "absent"
        if ((state.ofConfig.get(key)?.size ?? 0) > 0) return "in-use"
        state.configs.delete(key)
        return "removed"
      }),

    writeAuthConfig: ({ from, id, projectId, to, updatedAt }) =>
      Effect.sync(() => {
        const key = configKey({ projectId, authConfigId: id })
        const config = state.configs.get(key)
        if (config?.sealed !== from) return false
        state.configs.set(key, { ...config, sealed: to, updatedAt: updatedAt ?? config.updatedAt })
        return true
      }),

    doubtAll: Effect.sync(() => {
      const held = [...state.accounts.values()].filter(
        ({ credential, generation }) => credential !== null && generation > 0
      )
      for (const account of held) {
        const { generation, intent, revision } = account
        put(
          {
            ...account,
            intent: { generation, since: 0, attempts: (intent?.attempts ?? 0) + 1 },
            revision: revision + 1
          },
          account
        )
      }
      return held.length
    }),

    insert: (account) =>
      Effect.sync(() => {
        if (
          state.accounts.has(account.id) ||
          state.removed.has(account.id) ||
          state.named.has(publicName(account.projectId, account.publicId)) ||
          isAliasTaken(account)
        )
          return false
        const { obtainedEpoch, ...row } = account
        put({
          ...row,
          ...(obtainedEpoch === undefined ? {} : { obtainedEpoch }),
          lease: null,
          intent: null,
          lastAttempt: null
        })
        return true
      }),

    find: (id) =>
      Effect.map(Clock.currentTimeMillis, (now) =>
        Option.map(Option.fromUndefinedOr(state.accounts.get(id)), (account) => seen(account, now))
      ),

    findIn: (projectId, publicId) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        const id = state.named.get(publicName(projectId, publicId))
        const account = id === undefined ? undefined : state.accounts.get(id)
        return Option.map(Option.fromUndefinedOr(account), (account) => seen(account, now))
      }),

    list: ({ after, direction = "desc", limit, orderBy = "createdAt", ...query }) =>
      Effect.sync(() => {
        const sign = direction === "asc" ? 1 : -1
        const compare = (one: { createdAt: number; updatedAt: number; id: string }, two: typeof one) =>
          sign * (one[orderBy] - two[orderBy] || byText(one.id, two.id))
        const found = selected(query)
          .filter((account) => after === undefined || compare(account, after) > 0)
          .toSorted(compare)
        return pageOf(
          found.map((account) => seen(account, query.now)),
          limit,
          ({ createdAt, id, updatedAt }) => ({ createdAt, updatedAt, id })
        )
      }),

    count: (query) => Effect.sync(() => selected(query).length),

    remove: ({ id }) =>
      Effect.sync(() => {
        const account = state.accounts.get(id)
        if (account === undefined) return false
        forget(account)
        state.removed.add(id)
        for (const [hash, { accountId }] of state.attempts) if (accountId === id) state.attempts.delete(hash)
        for (const [hash, { accountId }] of state.keys) if (accountId === id) state.keys.delete(hash)
        return true
      }),

    isRemoved: (id) => Effect.sync(() => state.removed.has(id)),

    begin: (asked) =>
      Effect.sync(() => {
        const { account, leaseMillis, now, owner, takeOver } = asked
        const stored = state.accounts.get(account.id)
        const at = clockOf(now)
        if (
          stored === undefined ||
          stored.revision !== account.revision ||
          stored.epoch !== account.epoch ||
          stored.intent?.attempts !== account.intent?.attempts ||
          (takeOver !== true && stored.lease !== null && stored.lease.until > at)
        )
          return Option.none()
        const epoch = nextEpoch({ ...asked, account: stored })
        const row: Account = {
          ...stored,
          epoch,
          lease: { owner, epoch, until: at + leaseMillis },
          intent: {
            generation: account.generation,
            since: stored.intent?.since ?? at,
            attempts: attemptsOf(asked)
          }
        }
        put(row, stored)
        const { intent, lease } = seen(row, now)
        return Option.some({ ...account, epoch, lease, intent })
      }),

    write: (change) =>
      Effect.suspend(() => {
        const { announce, attempt, from, to } = change
        const stored = state.accounts.get(from.id)
        const epoch = epochOf(change)
        if (stored === undefined || stored.revision !== from.revision || (epoch !== null && stored.epoch !== epoch))
          return Effect.succeedNone
        const next = changed(stored, to)
        if (isAliasTaken(next)) {
          return attempt === undefined
            ? Effect.succeedNone
            : Effect.fail(new StoreError({ message: "the account store failed: UniqueViolation" }))
        }
        if (attempt !== undefined && state.attempts.has(attempt.stateHash))
          return Effect.fail(new StoreError({ message: "the account store failed: UniqueViolation" }))
        const row = endsLease(change) ? { ...next, lease: null, intent: null, lastAttempt: null } : next
        const events = announce.map((type) => ({
          sequence: ++state.sequence,
          projectId: row.projectId,
          accountId: row.publicId,
          type,
          status: row.status,
          statusReason: row.statusReason,
          generation: row.generation,
          at: announcedAt(change)
        }))
        state.events.push(...events)
        put(row, stored, events)
        if (attempt !== undefined) addAttempt(attempt)
        return Effect.succeedSome(written(change))
      }),

    release: ({ epoch, id, keepIntent, keepLease, renewAt, result }) =>
      Effect.sync(() => {
        const stored = state.accounts.get(id)
        if (stored === undefined || stored.epoch !== epoch || stored.lease === null) return
        put(
          {
            ...stored,
            lease: keepLease === true ? stored.lease : null,
            intent: keepIntent ? stored.intent : null,
            renewAt: stored.renewAt === null ? null : renewAt,
            lastAttempt: result
          },
          stored
        )
      }),

    resume: ({ config, now }) =>
      Effect.sync(() => {
        for (const account of rowsOf(configKey(config))) {
          const { lastAttempt, lease, renewAt, status, statusReason } = account
          const isDead = (status === "ACTIVE" || status === "EXPIRED") && statusReason !== null && renewAt !== null
          if (lease !== null || (lastAttempt === null && !isDead)) continue
          put({ ...account, lastAttempt: null, renewAt: renewAt !== null && renewAt > now ? now : renewAt }, account)
        }
      }),

    dueConfigs: (now) =>
      Effect.sync(() =>
        [...state.configs].flatMap(([key, { id, projectId }]) => {
          const times = due(key, now).map(({ renewAt }) => renewAt)
          return times.length === 0 ? [] : [{ projectId, authConfigId: id, dueAt: Math.min(...times) }]
        })
      ),

    claimDue: ({ config, limit, nextLook, now }) =>
      Effect.sync(() => {
        const claimed = due(configKey(config), now)
          .toSorted((one, two) => one.renewAt - two.renewAt)
          .slice(0, limit)
        for (const account of claimed) put({ ...account, renewAt: nextLook }, account)
        return claimed.map((account) => ({
          id: account.id,
          projectId: account.projectId,
          authConfigId: account.authConfigId,
          generation: account.generation,
          dueAt: account.renewAt,
          isUnderWay: isUnderWay(account)
        }))
      }),

    findAbandoned: ({ after, limit, now }) =>
      Effect.sync(() => {
        const at = clockOf(now)
        const found = [...state.open]
          .flatMap((id) => {
            const account = state.accounts.get(id)
            if (account === undefined || !isUnderWay(account) || (account.lease?.until ?? 0) > at) return []
            return [{ since: account.intent?.since ?? 0, account }]
          })
          .toSorted((one, two) => one.since - two.since || byText(one.account.id, two.account.id))
          .filter(
            ({ account: { id }, since }) =>
              after === undefined || since > after.since || (since === after.since && id > after.id)
          )
        const { items, next, unreadable } = pageOf(found, limit, ({ account: { id }, since }) => ({ since, id }))
        const named = items.map(({ account: { authConfigId, id, projectId } }) => ({ id, projectId, authConfigId }))
        return { items: named, unreadable, next }
      }),

    findAttempt: (stateHash) => Effect.sync(() => Option.fromUndefinedOr(state.attempts.get(stateHash))),

    writeAttempt: ({ from, to }) =>
      Effect.sync(() => {
        const stored = state.attempts.get(from.stateHash)
        if (stored?.sealed !== from.sealed) return false
        const { expiresAt, sealed, takenAt } = to
        state.attempts.set(from.stateHash, { ...stored, sealed, takenAt, expiresAt })
        return true
      }),

    readOutbox: (after, limit, projectId) =>
      Effect.sync(() =>
        pageOf(
          state.events.filter(
            (event) => event.sequence > after && (projectId === undefined || event.projectId === projectId)
          ),
          limit,
          ({ sequence }) => ({ sequence })
        )
      ),

    forgottenThrough: Effect.sync(() => state.forgottenThrough),

    trimOutbox: (through) =>
      Effect.sync(() => forgetEvents(state.events.filter(({ sequence }) => sequence <= through).length)),

    sweepOutbox: ({ before, limit }) =>
      Effect.sync(() => {
        const oldest = state.events.slice(0, limit)
        const swept = oldest.filter(({ at }) => at < before)
        const kept = oldest.filter(({ at }) => at >= before)
        state.events.splice(0, oldest.length, ...swept, ...kept)
        forgetEvents(swept.length)
        return swept.length
      }),

    reserveKey: ({ accountId, expireBefore, keyHash, now, requestHash }) =>
      Effect.sync(() => {
        const stored = state.keys.get(keyHash)
        if (stored !== undefined && stored.createdAt >= expireBefore) {
          const { accountId, answer, requestHash } = stored
          return Option.some({ accountId, requestHash, answer })
        }
        state.keys.set(keyHash, { accountId, requestHash, answer: null, createdAt: now })
        return Option.none()
      }),

    settleKey: (keyHash, answer) =>
      Effect.sync(() => {
        const stored = state.keys.get(keyHash)
        if (stored === undefined) return
        if (answer !== null) state.keys.set(keyHash, { ...stored, answer })
        else if (stored.answer === null) state.keys.delete(keyHash)
      }),

    sweep: ({ keysBefore, limit, now }) =>
      Effect.sync(() => {
        const oldest = <Row>(rows: Map<string, Row>, timeOf: (row: Row) => number, until: number) => {
          const gone = [...rows]
            .filter(([, row]) => timeOf(row) < until)
            .toSorted(([, one], [, two]) => timeOf(one) - timeOf(two))
            .slice(0, limit)
          for (const [key] of gone) rows.delete(key)
          return gone.length
        }
        return Math.max(
          oldest(state.keys, ({ createdAt }) => createdAt, keysBefore),
          oldest(state.attempts, ({ expiresAt }) => expiresAt, now + 1)
        )
      }),

    listSealed: ({ after, limit }) =>
      Effect.sync(() => {
        const found = [...state.accounts.values()]
          .filter(({ id }) => id > (after?.id ?? ""))
          .toSorted((one, two) => byText(one.id, two.id))
          .map(({ credential, generation, id, previousCredential, projectId, revision }) => ({
            id,
            projectId,
            generation,
            revision,
            credential,
            previousCredential
          }))
        return pageOf(found, limit, ({ id }) => ({ id }))
      }),

    reseal: ({ credential, id, previousCredential, revision }) =>
      Effect.sync(() => {
        const stored = state.accounts.get(id)
        if (stored?.revision !== revision) return false
        put({ ...stored, credential, previousCredential, revision: revision + 1 }, stored)
        return true
      }),

    listCanaries: Effect.sync(() =>
      [...state.canaries]
        .map(([keyId, sealed]) => ({ keyId, sealed }))
        .toSorted((one, two) => byText(one.keyId, two.keyId))
    ),

    putCanary: ({ keyId, sealed }) =>
      Effect.sync(() => {
        if (!state.canaries.has(keyId)) state.canaries.set(keyId, sealed)
      }),

    removeCanary: (keyId) => Effect.sync(() => void state.canaries.delete(keyId)),

    dueCurve: ({ from, projectId, step, steps }) =>
      Effect.sync(() => {
        const counts = Array.from({ length: steps }, () => 0)
        for (const account of state.accounts.values()) {
          if (account.projectId !== projectId || account.renewAt === null) continue
          const span = Math.max(0, Math.floor((account.renewAt - from) / step))
          const before = counts[span]
          if (before !== undefined) counts[span] = before + 1
        }
        return counts
      }),

    counts: (now) =>
      Effect.sync(() => {
        const byStatus: Record<string, number> = {}
        let due = 0
        for (const { renewAt, status } of state.accounts.values()) {
          byStatus[status] = (byStatus[status] ?? 0) + 1
          if (renewAt !== null && renewAt <= now) due++
        }
        return { byStatus, due }
      })
  })

  return {
    store,
    /** The rows as they are now, with the times of the store's clock. */
    accounts: (): ReadonlyMap<ConnectedAccountId, Account> => state.accounts,
    /** The committed events that nobody forgot, oldest first. */
    events: (): ReadonlyArray<OutboxEvent> => state.events,
    attempts: (): ReadonlyMap<string, ConsentAttempt> => state.attempts,
    /** Changes a row as somebody with a hand in the database would. Its ids, config and alias have to stay. */
    edit: (id: ConnectedAccountId, change: (account: Account) => Account): void => {
      const stored = state.accounts.get(id)
      if (stored !== undefined) put(change(stored), stored)
    },
    /** Remembers everything that is stored. The function that it returns brings it back, as often as it is called. */
    snapshot: (): (() => void) => {
      const then = copyOf(state)
      return () => {
        state = copyOf(then)
        restores++
      }
    },
    /** How often it was restored. What was asked before is not carried out after, because its connection is gone. */
    restores: (): number => restores
  }
}

/** A store in memory, with what a world wants to know of it. */
export type ModelStore = ReturnType<typeof make>

/** What becomes of one operation on its way to the store and back. */
export type Way = <A>(
  operation: keyof Store,
  effect: Effect.Effect<A, StoreError>,
  input: ReadonlyArray<unknown>
) => Effect.Effect<A, StoreError>

/**
 * A store that is reached on a way: each of its operations passes through the function, which may delay it, lose it or its answer, or repeat
 * it. A new operation of the port needs nothing here.
 */
export const reachedOn = (store: Store, way: Way): Store => {
  const passing = (operation: keyof Store): unknown => {
    const reached = store[operation]
    if (Effect.isEffect(reached)) return way<unknown>(operation, reached, [])
    const call: (...input: ReadonlyArray<never>) => Effect.Effect<unknown, StoreError> = reached
    return (...input: ReadonlyArray<never>) => way(operation, call(...input), input)
  }
  const isOperation = (name: string): name is keyof Store => name in store
  const passed = Object.keys(store)
    .filter(isOperation)
    .map((operation) => [operation, passing(operation)] as const)
  // Each operation has the type that it had, because the way keeps the type of an effect.
  return AccountStore.of(Object.fromEntries(passed) as unknown as Store)
}
