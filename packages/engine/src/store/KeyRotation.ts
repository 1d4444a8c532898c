/**
 * The keys of a database: whether the ring has all of them, and how an old one is retired.
 *
 * The database stores one known value sealed with each key, its canary. The engine opens the canaries when it starts. So it detects a ring
 * that was lost, or that has other bytes under the id of a key, before it seals anything with it.
 *
 * Resealing seals every value again with the newest key, so that an old key can be removed. It runs beside a working engine: every value is
 * replaced by compare-and-set, and renewals seal with the newest key anyway. Start it when every process has the new key first in its ring.
 * Repeat it until it reports that nothing is left. Then remove the old key.
 *
 * **Gotchas**
 *
 * Values that expire by themselves are not resealed: links to consent (ten minutes), and answers in the journal (until they are committed).
 * Without the old key they cannot be opened. Idempotency records are not resealed either. Without the old key, a repeated request refreshes
 * again.
 *
 * @module
 */
import { Effect, Option, Stream } from "effect"
import { credentialContext } from "../account/Account.ts"
import { authConfigContext } from "../account/AuthConfig.ts"
import {
  AccountStore,
  type IdPlace,
  type Page,
  type SealedAccount,
  type StoredAuthConfig,
  type StoreError
} from "../account/AccountStore.ts"
import { pages } from "../account/pages.ts"
import { CredentialVault, keyIdOf, type SealContext, type Sealed, VaultError } from "../vault/CredentialVault.ts"

/** The result of one run. `left` counts rows that changed meanwhile, do not decode, or cannot be opened with any key of the ring. */
export interface ResealReport {
  readonly resealed: number
  readonly left: number
}

const pageSize = 500

const allAuthConfigs = (store: AccountStore["Service"]) =>
  pages((after: IdPlace | undefined) => store.listAuthConfigs({ after, limit: pageSize }))

/** The context that the canary of a key is sealed in. */
const canaryContext = (keyId: string): SealContext => ({ purpose: "canary", projectId: "", owner: keyId })

const missing = (keyId: string) =>
  new VaultError({
    reason: "unknown-key",
    message: `the key ring lacks the key "${keyId}", which sealed values of this database. Put it back into the ring, behind the newest; to do without it, run rekindle reseal first`
  })

const another = (keyId: string) =>
  new VaultError({
    reason: "wrong-key",
    message: `the key "${keyId}" of the ring is not the one that sealed values of this database under that id. Put its bytes back, and give a new key an id of its own`
  })

/** Verifies a database without canaries, which an earlier version made. Its auth configs show which keys sealed it. */
const verifyBySamples = Effect.gen(function* () {
  const store = yield* AccountStore
  const vault = yield* CredentialVault
  const opens = new Map<string, boolean>()
  const sample = Effect.fnUntraced(function* (config: StoredAuthConfig) {
    const keyId = keyIdOf(config.sealed)
    if (keyId === undefined || opens.get(keyId) === true) return
    if (!vault.keyIds.includes(keyId)) return yield* missing(keyId)
    opens.set(keyId, Option.isSome(yield* Effect.option(vault.open(authConfigContext(config), config.sealed))))
  })
  yield* Stream.runForEach(allAuthConfigs(store), ({ items }) => Effect.forEach(items, sample, { discard: true }))
  for (const [keyId, sound] of opens) if (!sound) return yield* another(keyId)
})

/**
 * Verifies that the ring has every key that may have sealed a value of this database, and stores a canary of the newest key. Fails with the
 * id of a key that is missing, or that has other bytes than before.
 */
export const verify: Effect.Effect<void, StoreError | VaultError, AccountStore | CredentialVault> = Effect.gen(
  function* () {
    const store = yield* AccountStore
    const vault = yield* CredentialVault
    const canaries = yield* store.listCanaries
    for (const { keyId, sealed } of canaries) {
      yield* Effect.mapError(vault.open(canaryContext(keyId), sealed), ({ reason }) =>
        reason === "unknown-key" ? missing(keyId) : another(keyId)
      )
    }
    if (canaries.length === 0) yield* verifyBySamples
    const [newest = ""] = vault.keyIds
    if (canaries.some(({ keyId }) => keyId === newest)) return
    yield* store.putCanary({ keyId: newest, sealed: yield* vault.seal(canaryContext(newest), "") })
  }
)

/**
 * Seals auth configs, credentials and previous credentials again if an older key sealed them. If the report says that nothing is left, the
 * older keys can be removed from the ring.
 */
export const reseal: Effect.Effect<ResealReport, StoreError | VaultError, AccountStore | CredentialVault> = Effect.gen(
  function* () {
    yield* verify
    const store = yield* AccountStore
    const vault = yield* CredentialVault
    const report = { resealed: 0, left: 0 }
    const count = (done: boolean) => (done ? report.resealed++ : report.left++)

    const again = (context: SealContext, sealed: Sealed): Effect.Effect<Sealed, VaultError> =>
      vault.isStale(sealed)
        ? Effect.flatMap(vault.open(context, sealed), (text) => vault.seal(context, text))
        : Effect.succeed(sealed)
    const againOrNull = (context: SealContext, sealed: Sealed | null) =>
      sealed === null ? Effect.succeed(null) : again(context, sealed)
    const isStale = (sealed: Sealed | null) => sealed !== null && vault.isStale(sealed)

    const resealConfig = Effect.fnUntraced(function* (config: StoredAuthConfig) {
      if (!isStale(config.sealed)) return
      const sealed = yield* Effect.option(again(authConfigContext(config), config.sealed))
      const done =
        Option.isSome(sealed) &&
        (yield* store.writeAuthConfig({
          projectId: config.projectId,
          id: config.id,
          from: config.sealed,
          to: sealed.value
        }))
      count(done)
    })

    const resealAccount = Effect.fnUntraced(function* (account: SealedAccount) {
      if (!isStale(account.credential) && !isStale(account.previousCredential)) return
      const sealed = yield* Effect.option(
        Effect.all({
          credential: againOrNull(credentialContext(account), account.credential),
          previousCredential: againOrNull(
            credentialContext({ ...account, generation: account.generation - 1 }),
            account.previousCredential
          )
        })
      )
      count(Option.isSome(sealed) && (yield* store.reseal({ ...account, ...sealed.value })))
    })

    // A row that does not decode may be sealed with an older key.
    const resealAll = <Item, Place>(
      list: Stream.Stream<Page<Item, Place>, StoreError>,
      resealOne: (item: Item) => Effect.Effect<void, StoreError>
    ) =>
      Stream.runForEach(list, ({ items, unreadable }) => {
        report.left += unreadable
        return Effect.forEach(items, resealOne, { discard: true })
      })

    yield* resealAll(allAuthConfigs(store), resealConfig)
    yield* resealAll(
      pages((after: IdPlace | undefined) => store.listSealed({ after, limit: pageSize })),
      resealAccount
    )
    if (report.left === 0) {
      for (const { keyId } of yield* store.listCanaries) {
        if (keyId !== vault.keyIds[0]) yield* store.removeCanary(keyId)
      }
    }
    return report
  }
)
