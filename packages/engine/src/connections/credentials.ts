/**
 * The credential in use, for whoever calls the third party with it: renewed first where it would not last.
 *
 * @module
 */
import {
  type ConnectedAccountId,
  type CredentialInUse,
  CurrentProject,
  type RefreshError,
  RefreshFailed,
  RefreshUnsupported,
  Resilience
} from "@rekindle/core"
import { Clock, DateTime, Duration, Effect, Result } from "effect"
import { type Account, isUsable, visibleStatus } from "../account/Account.ts"
import type { AccessTokens, Held } from "../renewal/AccessTokens.ts"
import type { RefreshCoordinator } from "../renewal/RefreshCoordinator.ts"
import { configFailure } from "../renewal/renewal.ts"
import type { AuthConfigs } from "../strategies/AuthConfigs.ts"
import { defaultInUse } from "../strategies/AuthStrategy.ts"
import type { Accounts } from "./accounts.ts"

interface Given {
  readonly accounts: Accounts
  readonly accessTokens: AccessTokens["Service"]
  readonly configs: AuthConfigs["Service"]
  readonly coordinator: RefreshCoordinator["Service"]
}

/** Makes `credential` and `accessToken`. */
export const makeCredentials = ({ accessTokens, accounts, configs, coordinator }: Given) => {
  const { find, strategies, tokens } = accounts

  /** The account's credential, if it is usable at all. */
  const opened = Effect.fnUntraced(function* (account: Account): Effect.fn.Return<Held, RefreshError> {
    if (!isUsable(account, yield* Clock.currentTimeMillis)) return { account, credential: undefined }
    const config = yield* Effect.mapError(configs.inService(account), configFailure)
    const credential = yield* Effect.mapError(
      tokens.open(account),
      () => new RefreshFailed({ message: "the stored credential cannot be opened", slug: "credential_unreadable" })
    )
    const connection = { accountId: account.id, config, credential }
    const expiresAt = account.expiresAt === null ? undefined : DateTime.makeUnsafe(account.expiresAt)
    const inUse = strategies.get(account.scheme)?.inUse ?? defaultInUse
    return { account, credential: yield* Effect.mapError(inUse(connection, expiresAt), configFailure) }
  })

  const credential = Effect.fnUntraced(function* (
    id: ConnectedAccountId,
    atLeast: Duration.Input = "1 minute"
  ): Effect.fn.Return<CredentialInUse, RefreshError | Resilience.ConnectionNotReady> {
    const needed = Duration.toMillis(Duration.fromInputUnsafe(atLeast))
    const usable = (account: Account) => Effect.map(Clock.currentTimeMillis, (now) => isUsable(account, now, needed))
    const projectId = yield* CurrentProject
    const atHand = yield* accessTokens.get(projectId, id)
    if (atHand?.credential !== undefined && (yield* usable(atHand.account))) return atHand.credential
    const read = accessTokens.keep(projectId, id, Effect.flatMap(find(id), opened))
    let held = yield* read
    if (!(yield* usable(held.account))) {
      // Not a refresh: nobody here could show the link of a consent.
      const renewal = yield* Effect.result(coordinator.renew(held.account.id, { seen: held.account }))
      held = yield* read
      // A token that lasts a little longer is better than none.
      if (Result.isFailure(renewal) && !isUsable(held.account, yield* Clock.currentTimeMillis))
        return yield* renewal.failure
    }
    // An expired token is never handed out as if it were good.
    if (held.credential === undefined || !isUsable(held.account, yield* Clock.currentTimeMillis)) {
      const { status } = visibleStatus(held.account, yield* Clock.currentTimeMillis)
      return yield* new Resilience.ConnectionNotReady({ accountId: id, status })
    }
    return held.credential
  })

  const accessToken = (id: ConnectedAccountId, atLeast?: Duration.Input) =>
    Effect.flatMap(credential(id, atLeast), (credential) =>
      credential._tag === "AccessToken"
        ? Effect.succeed(credential.token)
        : Effect.fail(
            new RefreshUnsupported({
              message: "the account's scheme has no access token; read its credential instead",
              slug: "scheme_unsupported"
            })
          )
    )

  return { accessToken, credential }
}
