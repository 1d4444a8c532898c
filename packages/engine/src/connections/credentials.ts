/**
 * The credential in use, for a call to the third party. It is renewed first if it would expire too soon.
 *
 * @module
 */
import {
  type ConnectedAccountId,
  Connections,
  CurrentProject,
  InvalidRequest,
  type RefreshError,
  RefreshFailed,
  RefreshUnsupported,
  type RequestToAuthorize,
  Resilience
} from "@rekindle/core"
import { Clock, DateTime, Duration, Effect, Result } from "effect"
import { type Account, isUsable, visibleStatus } from "../account/Account.ts"
import type { CredentialCache, Held } from "../renewal/CredentialCache.ts"
import type { RefreshCoordinator } from "../renewal/RefreshCoordinator.ts"
import { configFailure } from "../renewal/renewal.ts"
import type { AuthConfigs } from "../strategies/AuthConfigs.ts"
import { defaultInUse } from "../strategies/AuthStrategy.ts"
import type { Accounts } from "./accounts.ts"

interface Given {
  readonly accounts: Accounts
  readonly cache: CredentialCache["Service"]
  readonly configs: AuthConfigs["Service"]
  readonly coordinator: RefreshCoordinator["Service"]
}

type InUse = NonNullable<Held["inUse"]>

/** Makes `credential`, `accessToken` and `authorization`. */
export const makeCredentials = ({ cache, accounts, configs, coordinator }: Given) => {
  const { find, strategies, tokens } = accounts

  /** The credential of the account, if it is usable. */
  const opened = Effect.fnUntraced(function* (account: Account): Effect.fn.Return<Held, RefreshError> {
    if (!isUsable(account, yield* Clock.currentTimeMillis)) return { account, inUse: undefined }
    const config = yield* Effect.mapError(configs.inService(account), configFailure)
    const stored = yield* Effect.mapError(
      tokens.open(account),
      () => new RefreshFailed({ message: "the stored credential cannot be opened", slug: "credential_unreadable" })
    )
    const connection = { accountId: account.id, config, credential: stored }
    const expiresAt = account.expiresAt === null ? undefined : DateTime.makeUnsafe(account.expiresAt)
    const read = strategies.get(account.scheme)?.inUse ?? defaultInUse
    const credential = yield* Effect.mapError(read(connection, expiresAt), configFailure)
    return { account, inUse: credential === undefined ? undefined : { connection, credential } }
  })

  /** The credential in use. It is renewed first if it would expire too soon. */
  const use = Effect.fnUntraced(function* (
    id: ConnectedAccountId,
    atLeast: Duration.Input = "1 minute"
  ): Effect.fn.Return<InUse, RefreshError | Resilience.ConnectionNotReady> {
    const needed = Duration.toMillis(Duration.fromInputUnsafe(atLeast))
    const usable = (account: Account) => Effect.map(Clock.currentTimeMillis, (now) => isUsable(account, now, needed))
    const projectId = yield* CurrentProject
    const cached = yield* cache.get(projectId, id)
    if (cached?.inUse !== undefined && (yield* usable(cached.account))) return cached.inUse
    const read = cache.keep(projectId, id, Effect.flatMap(find(id), opened))
    let held = yield* read
    if (!(yield* usable(held.account))) {
      // This does not start a consent, because the caller could not show the link.
      const renewal = yield* Effect.result(coordinator.renew(held.account.id, { seen: held.account }))
      held = yield* read
      // The held token is returned if it is still usable, although it expires earlier than asked.
      if (Result.isFailure(renewal) && !isUsable(held.account, yield* Clock.currentTimeMillis))
        return yield* renewal.failure
    }
    // An expired token is never handed out.
    if (held.inUse === undefined || !isUsable(held.account, yield* Clock.currentTimeMillis)) {
      const { status } = visibleStatus(held.account, yield* Clock.currentTimeMillis)
      return yield* new Resilience.ConnectionNotReady({ accountId: id, status })
    }
    return held.inUse
  })

  const credential = (id: ConnectedAccountId, atLeast?: Duration.Input) =>
    Effect.map(use(id, atLeast), ({ credential }) => credential)

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

  const authorization = Effect.fnUntraced(function* (id: ConnectedAccountId, request: RequestToAuthorize) {
    const { connection, credential } = yield* use(id)
    const { config } = connection
    if (!Connections.isApiAddress(config, connection.credential.attributes, request.url)) {
      return yield* new InvalidRequest({
        message: `the address is not on an API host of auth config ${config.id}; nothing was sent`,
        slug: "host_not_declared",
        suggestedFix: "add the host to apiHosts of the auth config"
      })
    }
    const sign = strategies.get(config.scheme)?.sign
    const signed = sign === undefined ? undefined : yield* Effect.mapError(sign(connection, request), configFailure)
    const carried = signed ?? Connections.present(credential)
    return (
      carried ??
      (yield* new RefreshUnsupported({
        message: `a request cannot be authorized for the scheme ${config.scheme}; read the credential instead`,
        slug: "scheme_unsupported"
      }))
    )
  })

  return { accessToken, authorization, credential }
}
