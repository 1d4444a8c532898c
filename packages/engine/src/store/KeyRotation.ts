/**
 * Seals everything again under the newest key of the ring, so that an old key can be taken out of it.
 *
 * It runs beside a working engine: everything is replaced by compare-and-set, and an account that is renewed meanwhile was sealed with the
 * newest key by that. Run it once every process has the new key in front, and again until it reports nothing left; then remove the old key.
 *
 * Not resealed is what goes by itself: links to consent within ten minutes, and answers in the journal once the store takes them. Without the
 * old key neither can be opened. Nor are the remembered answers under idempotency keys; a repeat runs anew.
 *
 * @module
 */
import { Effect, Option } from "effect"
import { credentialContext } from "../account/Account.ts"
import { authConfigContext } from "../account/AuthConfig.ts"
import { AccountStore, type StoreError } from "../account/AccountStore.ts"
import { CredentialVault, type SealContext, type Sealed, type VaultError } from "../vault/CredentialVault.ts"

/** What one run did. `left` counts rows that changed meanwhile or cannot be opened with any key of the ring. */
export interface ResealReport {
  readonly resealed: number
  readonly left: number
}

const pageSize = 500

/** Seals auth configs, credentials and previous credentials again where they were sealed with an older key. */
export const reseal: Effect.Effect<ResealReport, StoreError, AccountStore | CredentialVault> = Effect.gen(function* () {
  const store = yield* AccountStore
  const vault = yield* CredentialVault
  const report = { resealed: 0, left: 0 }

  const again = (context: SealContext, sealed: Sealed): Effect.Effect<Sealed, VaultError> =>
    vault.isStale(sealed)
      ? Effect.flatMap(vault.open(context, sealed), (text) => vault.seal(context, text))
      : Effect.succeed(sealed)
  const againOrNull = (context: SealContext, sealed: Sealed | null) =>
    sealed === null ? Effect.succeed(null) : again(context, sealed)
  const isStale = (sealed: Sealed | null) => sealed !== null && vault.isStale(sealed)

  for (const config of yield* store.listAuthConfigs()) {
    if (!isStale(config.sealed)) continue
    const sealed = yield* Effect.option(again(authConfigContext(config), config.sealed))
    const done =
      Option.isSome(sealed) &&
      (yield* store.resealAuthConfig({
        projectId: config.projectId,
        id: config.id,
        from: config.sealed,
        to: sealed.value
      }))
    if (done) report.resealed++
    else report.left++
  }

  for (let after = ""; ;) {
    const page = yield* store.listSealed(after, pageSize)
    for (const account of page) {
      if (!isStale(account.credential) && !isStale(account.previousCredential)) continue
      const sealed = yield* Effect.option(
        Effect.all({
          credential: againOrNull(credentialContext(account), account.credential),
          previousCredential: againOrNull(
            credentialContext({ ...account, generation: account.generation - 1 }),
            account.previousCredential
          )
        })
      )
      const done = Option.isSome(sealed) && (yield* store.reseal({ ...account, ...sealed.value }))
      if (done) report.resealed++
      else report.left++
    }
    const last = page.at(-1)
    // A page may be short: rows that do not decode are left out.
    if (last === undefined) return report
    after = last.id
  }
})
