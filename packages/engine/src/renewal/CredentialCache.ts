/**
 * A cache of opened credentials. With it, an application that asks for a token before every API call needs no statement and no decryption
 * each time. Entries expire after a few seconds.
 *
 * Every change to an account goes through the store. So a change by this process (renewal, consent, replacement, disabling, revocation,
 * removal) removes the entry at once. A credential that was read before such a change is not cached after it.
 *
 * **Gotchas**
 *
 * A change by another process is noticed only when the entry expires. Until then a credential that was revoked there is still handed out,
 * and the provider refuses it.
 *
 * @module
 */
import { type ConnectedAccountId, type CredentialInUse, MonotonicClock } from "@rekindle/core"
import { Clock, Context, Duration, Effect, Layer } from "effect"
import type { Account } from "../account/Account.ts"
import { keepNewest } from "../account/keepNewest.ts"
import { AccountStore } from "../account/AccountStore.ts"
import type { Connection } from "../strategies/AuthStrategy.ts"

/** An account, identified by the id that its project uses. */
export type Named = Pick<Account, "projectId" | "publicId">

/** An account as it was read, with its opened credential. `inUse` is undefined if the account has no usable credential. */
export interface Held {
  readonly account: Account
  readonly inUse: { readonly connection: Connection; readonly credential: CredentialInUse } | undefined
}

/** The maximum number of entries. The oldest is dropped first. */
const keptAtMost = 10_000

const keyOf = ({ projectId, publicId }: Named): string => `${projectId}/${publicId}`

/** Caches opened credentials for a short time. */
export class CredentialCache extends Context.Service<
  CredentialCache,
  {
    /** The cached entry, whether or not its credential is usable. An entry expires no later than its account is due. */
    readonly get: (projectId: string, publicId: ConnectedAccountId) => Effect.Effect<Held | undefined>
    /** Removes the entry of an account, because its credential is in doubt. */
    readonly drop: (account: Named) => Effect.Effect<void>
    /** Reads a credential and caches it, unless its account is written in the meantime. */
    readonly keep: <E>(
      projectId: string,
      publicId: ConnectedAccountId,
      read: Effect.Effect<Held, E>
    ) => Effect.Effect<Held, E>
  }
>()("@rekindle/engine/CredentialCache") {
  /** Caches entries for `keepFor`, and provides the store whose writes remove entries. With zero, nothing is cached. */
  static readonly layer = (
    keepFor: Duration.Input = "5 seconds"
  ): Layer.Layer<CredentialCache | AccountStore, never, AccountStore> =>
    Layer.effectContext(
      Effect.map(AccountStore, (store) => make(store, Duration.toMillis(Duration.fromInputUnsafe(keepFor))))
    )
}

const make = (store: AccountStore["Service"], keepFor: number) => {
  const kept = new Map<string, { readonly held: Held; readonly until: number }>()
  /** The reads in progress, by account. A write to the account removes its read, whose result is then not cached. */
  const reading = new Map<string, object>()
  const drop = (account: Named) =>
    Effect.sync(() => {
      kept.delete(keyOf(account))
      reading.delete(keyOf(account))
    })
  const dropAll = Effect.sync(() => {
    kept.clear()
    reading.clear()
  })
  const get: CredentialCache["Service"]["get"] = (projectId, publicId) =>
    Effect.map(Clock.Clock, (clock) => {
      const entry = kept.get(keyOf({ projectId, publicId }))
      if (entry === undefined || entry.until <= MonotonicClock.millisUnsafe(clock)) return undefined
      const { renewAt } = entry.held.account
      // Another process may have renewed the account. Some providers then invalidate the earlier token.
      return renewAt !== null && renewAt <= clock.currentTimeMillisUnsafe() ? undefined : entry.held
    })
  const keep: CredentialCache["Service"]["keep"] = (projectId, publicId, read) =>
    Effect.suspend(() => {
      const key = keyOf({ projectId, publicId })
      const reader = {}
      reading.set(key, reader)
      const isLatest = () => reading.get(key) === reader
      return read.pipe(
        Effect.tap((held) =>
          Effect.map(MonotonicClock.millis, (now) => {
            if (!isLatest()) return
            keepNewest(kept, key, { held, until: now + keepFor }, keptAtMost)
          })
        ),
        Effect.ensuring(
          Effect.sync(() => {
            if (isLatest()) reading.delete(key)
          })
        )
      )
    })
  return Context.make(CredentialCache, CredentialCache.of(keepFor > 0 ? { drop, get, keep } : nothingKept)).pipe(
    Context.add(
      AccountStore,
      AccountStore.of({
        ...store,
        write: (change) => Effect.ensuring(store.write(change), drop(change.to)),
        remove: (account, now) => Effect.ensuring(store.remove(account, now), drop(account)),
        switchAuthConfig: (config, disabledAt) => Effect.ensuring(store.switchAuthConfig(config, disabledAt), dropAll)
      })
    )
  )
}

const nothingKept: CredentialCache["Service"] = {
  drop: () => Effect.void,
  get: () => Effect.undefined,
  keep: (_projectId, _publicId, read) => read
}
