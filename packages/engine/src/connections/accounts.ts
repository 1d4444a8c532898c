/**
 * The steps that every call shares: find the account in the current project, change its status, seal a credential for it, and show it.
 *
 * @module
 */
import {
  AccountNotFound,
  type ConnectedAccount,
  ConnectedAccountId,
  CurrentProject,
  InvalidRequest
} from "@rekindle/core"
import { Clock, DateTime, Effect, Option, Schema } from "effect"
import { type Account, credentialContext, type StatusEvent, visibleStatus } from "../account/Account.ts"
import { type AccountStore, StoreError } from "../account/AccountStore.ts"
import * as Credential from "../account/Credential.ts"
import { type AccountUpdate, updateAccount } from "../account/updateAccount.ts"
import { storeDown } from "../renewal/renewal.ts"
import type { TokenCommit } from "../renewal/TokenCommit.ts"
import type { AuthConfigs } from "../strategies/AuthConfigs.ts"
import type { AuthStrategies } from "../strategies/AuthStrategy.ts"
import type { CredentialVault, Sealed } from "../vault/CredentialVault.ts"

interface Given {
  readonly configs: AuthConfigs["Service"]
  readonly store: AccountStore["Service"]
  readonly strategies: AuthStrategies["Service"]
  readonly tokens: TokenCommit["Service"]
  readonly vault: CredentialVault["Service"]
}

const isStoreError = Schema.is(StoreError)

/** Whether an id is well-formed. Callers that do not come through HTTP may pass a malformed one. */
export const isId = Schema.is(ConnectedAccountId)

/** Refuses a malformed id. */
export const malformed = Effect.suspend(() =>
  Effect.fail(new InvalidRequest({ message: "malformed connected account id", slug: "invalid_id" }))
)

/** The error for an id that the project has no account with. */
export const notFound = (id: string) =>
  new AccountNotFound({ message: `no connected account ${id}`, slug: "connected_account_not_found" })

/** The shared steps. */
export type Accounts = ReturnType<typeof makeAccounts>

/** Makes the shared steps. */
export const makeAccounts = ({ configs, store, strategies, tokens, vault }: Given) => {
  /** Finds an account of the current project by its public id. */
  const find = Effect.fnUntraced(function* (id: ConnectedAccountId) {
    if (!isId(id)) return yield* malformed
    const found = yield* Effect.mapError(store.findIn(yield* CurrentProject, id), storeDown)
    return Option.isSome(found) ? found.value : yield* notFound(id)
  })

  /** Applies a status event, if there is one, with further changes. Returns the account after the change. */
  const apply = <E = never>(account: Account, event: StatusEvent | undefined, update?: AccountUpdate<E | StoreError>) =>
    updateAccount(store, account, event, update).pipe(
      Effect.mapError((error) => (isStoreError(error) ? storeDown() : error)),
      Effect.flatMap(({ _tag, account }) => (_tag === "Gone" ? notFound(account.publicId) : Effect.succeed(account)))
    )

  /** Seals a credential for the account's generation. */
  const seal = (
    account: Pick<Account, "id" | "projectId" | "generation">,
    credential: Credential.Credential
  ): Effect.Effect<Sealed> =>
    Effect.flatMap(Effect.orDie(Schema.encodeEffect(Credential.CredentialJson)(credential)), (text) =>
      vault.seal(credentialContext(account), text)
    )

  /** Whether the auth config is switched off. False if it cannot be read now. */
  const isSwitchedOff = (account: Account): Effect.Effect<boolean> =>
    Effect.match(configs.inService(account), {
      onFailure: (error) => error._tag === "AuthConfigError" && error.reason === "disabled",
      onSuccess: () => false
    })

  /** The account without its secrets. If the credential cannot be opened, it is left out. */
  const view = Effect.fnUntraced(function* (account: Account): Effect.fn.Return<ConnectedAccount> {
    const { status, statusReason } = visibleStatus(account, yield* Clock.currentTimeMillis)
    const credential = yield* tokens.openedOrEmpty(account)
    return {
      id: account.publicId,
      status,
      statusReason,
      toolkit: { slug: account.toolkit },
      authConfig: { id: account.authConfigId, isDisabled: yield* isSwitchedOff(account) },
      userId: account.userId,
      isDisabled: account.status === "INACTIVE",
      createdAt: DateTime.makeUnsafe(account.createdAt),
      updatedAt: DateTime.makeUnsafe(account.updatedAt),
      alias: account.alias,
      state: {
        authScheme: account.scheme,
        val: Credential.masked(credential, strategies.get(account.scheme)?.publishedNames)
      }
    }
  })

  return { apply, find, seal, store, strategies, tokens, view }
}
