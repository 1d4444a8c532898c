/**
 * Starts a consent: a link with a one-use state, and a record of the attempt.
 *
 * @module
 */
import {
  AccountNotFound,
  CurrentProject,
  InvalidRequest,
  RedirectUrl,
  type KnownStatus,
  RefreshFailed,
  Unavailable
} from "@rekindle/core"
import { Clock, Duration, Effect, Schema } from "effect"
import type { SecureRandom } from "effect/crypto"
import { Base64Url } from "effect/encoding"
import { type Account, visibleStatus } from "../account/Account.ts"
import type { AccountStore } from "../account/AccountStore.ts"
import { updateAccount } from "../account/updateAccount.ts"
import * as Credential from "../account/Credential.ts"
import type { AuthConfigs } from "../strategies/AuthConfigs.ts"
import type { AuthStrategies, Connection } from "../strategies/AuthStrategy.ts"
import { configFailure } from "../renewal/renewal.ts"
import { hashOf, type Seals } from "./sealedAttempt.ts"

/** The options of one consent. */
export interface StartOptions {
  /** The address where the person lands after the consent. */
  readonly redirectUrl?: string | undefined
  /**
   * Binds the link to a browser. It is an opaque value, such as a random one in a cookie of the page that shows the link. Only a callback
   * with the same value completes the consent. So nobody can make another person complete it.
   */
  readonly session?: string | undefined
  /** Whether the consent may be given by another person than the account belongs to. Default: as the auth config says. */
  readonly allowAnotherIdentity?: boolean | undefined
}

/** A link to consent. */
export interface StartedConsent {
  readonly url: string
  /**
   * Until when the link has to be opened, in epoch milliseconds. A person who opened it in time has the whole lifetime to consent. A pushed
   * request (RFC 9126) may have to be opened within seconds, and reading the page takes longer.
   */
  readonly openUntil: number
  readonly account: Account
  readonly status: KnownStatus
}

/** Reads the origins that people of a project may land on; `undefined` if every address is allowed. */
export type RedirectOrigins = (projectId: string) => Effect.Effect<ReadonlyArray<string> | undefined, Unavailable>

interface Given {
  readonly store: AccountStore["Service"]
  readonly configs: AuthConfigs["Service"]
  readonly strategies: AuthStrategies["Service"]
  readonly seals: Seals
  readonly random: SecureRandom.SecureRandom["Service"]
  readonly callbackUrl: string
  readonly redirectOrigins: RedirectOrigins | undefined
  /** How long a link is valid, in milliseconds. */
  readonly lifetime: number
}

/** Whether a browser may be redirected to an address. */
export const isRedirectUrl = Schema.is(RedirectUrl)

const invalidRedirect = (message: string) => new InvalidRequest({ message, slug: "invalid_redirect_url" })

const unavailable = (...errors: ReadonlyArray<string>) =>
  new Unavailable({
    message: "consent cannot be started now; nothing was changed",
    slug: "consent_unavailable",
    retryAfter: Duration.seconds(5),
    ...(errors.length === 0 ? {} : { errors })
  })

/** Fails if people of the current project may not be sent to the address. */
export const makeCheckRedirect = ({ redirectOrigins }: Pick<Given, "redirectOrigins">) =>
  Effect.fnUntraced(function* (redirectUrl: string | undefined) {
    if (redirectUrl === undefined) return
    if (!isRedirectUrl(redirectUrl)) {
      return yield* invalidRedirect(
        "redirect_url must be an absolute http(s) url without user name, of at most 2048 characters"
      )
    }
    if (redirectOrigins === undefined) return
    const allowed = yield* redirectOrigins(yield* CurrentProject)
    const { origin } = new URL(redirectUrl)
    if (allowed !== undefined && !allowed.some((each) => URL.parse(each)?.origin === origin))
      return yield* invalidRedirect("the origin of redirect_url is not one that this project allows")
  })

/** Makes `start`. */
export const makeStart = (given: Given) => {
  const { callbackUrl, configs, lifetime, random, seals, store, strategies } = given
  const checkRedirect = makeCheckRedirect(given)

  return Effect.fnUntraced(function* (
    account: Account,
    { allowAnotherIdentity, redirectUrl, session }: StartOptions = {}
  ) {
    if (account.projectId !== (yield* CurrentProject)) {
      return yield* new AccountNotFound({
        message: `no connected account ${account.publicId}`,
        slug: "connected_account_not_found"
      })
    }
    yield* checkRedirect(redirectUrl)
    const config = yield* Effect.mapError(configs.inService(account), configFailure)
    const consent = strategies.get(account.scheme)?.consent
    if (consent === undefined) return yield* Effect.die(`the scheme ${account.scheme} has no consent`)

    const state = Base64Url.encode(yield* Effect.orDie(random.randomBytes(32)))
    const connection: Connection = { accountId: account.id, config, credential: Credential.empty }
    const { expiresIn, memo, url } = yield* consent
      .authorize(connection, { callbackUrl, state })
      .pipe(
        Effect.mapError((error) =>
          error.reason === "misconfigured"
            ? new RefreshFailed({ message: error.message, slug: "auth_config_invalid" })
            : unavailable(error.message)
        )
      )
    const sealed = yield* seals.sealMemo(account, {
      memo,
      ...(session === undefined ? {} : { session: hashOf(session) }),
      ...(allowAnotherIdentity === undefined ? {} : { allowAnotherIdentity })
    })
    const now = yield* Clock.currentTimeMillis
    const until = now + lifetime
    const { _tag, account: started } = yield* updateAccount(
      store,
      account,
      { _tag: "ConsentStarted" },
      {
        // The renewer marks an account that was never connected as expired when its link ends.
        patch: ({ renewAt }, { status }) =>
          Effect.succeed({ consentUntil: until, renewAt: status === "INITIATED" ? until : renewAt }),
        attempt: {
          stateHash: hashOf(state),
          accountId: account.id,
          sealed,
          redirectUrl: redirectUrl ?? null,
          createdAt: now,
          takenAt: null,
          expiresAt: until
        }
      }
    ).pipe(Effect.mapError(() => unavailable()))
    if (_tag === "Gone") return yield* unavailable()
    const openUntil = expiresIn === undefined ? until : Math.min(until, now + expiresIn * 1000)
    return { url, openUntil, account: started, status: visibleStatus(started, now).status }
  })
}
