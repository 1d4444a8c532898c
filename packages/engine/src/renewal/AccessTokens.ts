/**
 * Credentials at hand: opened ones, kept for a few seconds, so that an application that asks for a token before every call of an API costs
 * neither a statement nor an unsealing each time.
 *
 * Every change to an account goes through its store. So what this process does (renewal, consent, replacement, disabling, revocation, removal)
 * drops the token at once, and a token that was read before such a change is not kept after it.
 *
 * **Gotchas**
 *
 * What another process does is seen when the time is over, and so is a change whose caller left before it was done. A token that was revoked
 * elsewhere is handed out for that long; the provider refuses it.
 *
 * @module
 */
import type { ConnectedAccountId, CredentialInUse } from "@rekindle/core"
import { Clock, Context, Duration, Effect, Layer } from "effect"
import type { Account } from "../account/Account.ts"
import { keepNewest } from "../account/keepNewest.ts"
import { AccountStore } from "../account/AccountStore.ts"
import type { Connection } from "../strategies/AuthStrategy.ts"
import { monotonicMillis, monotonicMillisUnsafe } from "../egress/timeLimit.ts"

/** Names an account as its project does. */
export type Named = Pick<Account, "projectId" | "publicId">

/** The credential in use, opened, and the account that it is of as it was then. Undefined: the account has none that is usable. */
export interface Held {
  readonly account: Account
  readonly inUse: { readonly connection: Connection; readonly credential: CredentialInUse } | undefined
}

/** So many tokens are kept; the one kept first makes room. */
const keptAtMost = 10_000

const keyOf = ({ projectId, publicId }: Named): string => `${projectId}/${publicId}`

/** Keeps access tokens for a short time. */
export class AccessTokens extends Context.Service<
  AccessTokens,
  {
    /** The token that is kept, whether or not it is usable. It is not kept for longer than until its account is due to be renewed. */
    readonly get: (projectId: string, publicId: ConnectedAccountId) => Effect.Effect<Held | undefined>
    /** Drops what is kept of an account: somebody doubts it. */
    readonly drop: (account: Named) => Effect.Effect<void>
    /** Reads a token and keeps it, unless its account is written to meanwhile. */
    readonly keep: <E>(
      projectId: string,
      publicId: ConnectedAccountId,
      read: Effect.Effect<Held, E>
    ) => Effect.Effect<Held, E>
  }
>()("@rekindle/engine/AccessTokens") {
  /** Keeps them for `keepFor`, and gives the store that drops them when it is written to. Zero keeps none. */
  static readonly layer = (
    keepFor: Duration.Input = "5 seconds"
  ): Layer.Layer<AccessTokens | AccountStore, never, AccountStore> =>
    Layer.effectContext(
      Effect.map(AccountStore, (store) => make(store, Duration.toMillis(Duration.fromInputUnsafe(keepFor))))
    )
}

const make = (store: AccountStore["Service"], keepFor: number) => {
  const kept = new Map<string, { readonly held: Held; readonly until: number }>()
  /** Who is reading an account's token; whoever writes to the account takes that away. */
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
  const get: AccessTokens["Service"]["get"] = (projectId, publicId) =>
    Effect.map(Clock.Clock, (clock) => {
      const entry = kept.get(keyOf({ projectId, publicId }))
      if (entry === undefined || entry.until <= monotonicMillisUnsafe(clock)) return undefined
      const { renewAt } = entry.held.account
      // Another process may have renewed it, and some providers end the token before.
      return renewAt !== null && renewAt <= clock.currentTimeMillisUnsafe() ? undefined : entry.held
    })
  const keep: AccessTokens["Service"]["keep"] = (projectId, publicId, read) =>
    Effect.suspend(() => {
      const key = keyOf({ projectId, publicId })
      const reader = {}
      reading.set(key, reader)
      const isLatest = () => reading.get(key) === reader
      return read.pipe(
        Effect.tap((held) =>
          Effect.map(monotonicMillis, (now) => {
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
  return Context.make(AccessTokens, AccessTokens.of(keepFor > 0 ? { drop, get, keep } : nothingKept)).pipe(
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

const nothingKept: AccessTokens["Service"] = {
  drop: () => Effect.void,
  get: () => Effect.undefined,
  keep: (_projectId, _publicId, read) => read
}
