/**
 * `ConnectedAccounts` provided locally, and {@link Connections}, what an application needs besides: creating accounts, reading access
 * tokens, switching accounts on and off.
 *
 * @module
 */
import {
  AccountNotFound,
  type ConnectedAccount,
  ConnectedAccountId,
  ConnectedAccounts,
  CurrentProject,
  Expected,
  InvalidRequest,
  type KnownStatus,
  type ReadError,
  type RefreshError,
  RefreshFailed,
  RefreshOutcome,
  type RefreshOptions,
  RefreshUnsupported,
  Resilience,
  Unavailable
} from "@rekindle/core"
import { Clock, Context, DateTime, Duration, Effect, Layer, Option, type Redacted, Result, Schema } from "effect"
import { randomUUID } from "node:crypto"
import {
  type Account,
  credentialContext,
  isUsable,
  type StatusEvent,
  visibleStatus,
  type Withdrawal
} from "./account/Account.ts"
import { AccountStore, type StoreError } from "./account/AccountStore.ts"
import { type AccountUpdate, updateAccount } from "./account/updateAccount.ts"
import type { AuthConfig } from "@rekindle/core"
import type { AuthConfigError } from "./account/AuthConfig.ts"
import { AuthConfigs } from "./strategies/AuthConfigs.ts"
import { AuthStrategies, type Connection } from "./strategies/AuthStrategy.ts"
import { Consent, type StartOptions } from "./consent/Consent.ts"
import * as Credential from "./account/Credential.ts"
import { AccessTokens, type Held } from "./renewal/AccessTokens.ts"
import { judgement, observed } from "./renewal/observe.ts"
import { begun } from "./renewal/withdrawal.ts"
import * as Idempotency from "./renewal/Idempotency.ts"
import { CredentialVault, type Sealed } from "./vault/CredentialVault.ts"
import { RefreshCoordinator } from "./renewal/RefreshCoordinator.ts"
import { TokenCommit } from "./renewal/TokenCommit.ts"
import * as Tokens from "./answer/Tokens.ts"

/** What is needed to add an account. */
export interface NewAccount {
  readonly authConfigId: string
  readonly userId: string
  /** A credential the application already has; absent: the account waits for consent. */
  readonly secrets?: Readonly<Record<string, Redacted.Redacted<string>>> | undefined
  readonly attributes?: Readonly<Record<string, Schema.Json>> | undefined
  /** When the given access token expires, if it does. */
  readonly expiresAt?: DateTime.Utc | undefined
  /** An id of your own; made if absent. */
  readonly id?: ConnectedAccountId | undefined
}

/** A link to consent, for the person's browser. */
export interface Link {
  readonly url: string
  /** Until when it has to be opened. */
  readonly openUntil: DateTime.Utc
  /** What the account is meanwhile. */
  readonly status: KnownStatus
}

/** How far a revocation is at the provider. */
export interface Withdrawn {
  readonly withdrawn: Withdrawal["state"]
  /** Why it is pending: the provider's last answer, or what kept the engine from asking. */
  readonly answer: string | null
}

/** Manages the accounts that the engine keeps. Every failure leaves the account as it was. */
export class Connections extends Context.Service<
  Connections,
  {
    /** Registers an auth config, or replaces the one with the same id. */
    readonly register: (config: AuthConfig) => Effect.Effect<void, AuthConfigError | StoreError>
    /** Adds an account. With a credential it is ACTIVE; without one, `refresh` gives the link to its first consent. */
    readonly create: (
      account: NewAccount
    ) => Effect.Effect<ConnectedAccount, AuthConfigError | StoreError | InvalidRequest>
    /**
     * The access token, renewed first if it would not last for another `atLeast` (default one minute, never more than half of its life).
     * Where that fails, the one at hand while it lasts. Never begins a consent: `refresh` does, and so does `Resilience.withRefresh` around
     * the call that needs the token. Fails with `ConnectionNotReady`, which carries the account's status, where there is no usable token.
     *
     * A token that was read in the last seconds is handed out again without looking (`accessTokensFor` of the engine). `refresh` and every
     * other change of the account in this process end that at once. What another process did, such as a revocation, is noticed after those
     * seconds.
     */
    readonly accessToken: (
      id: ConnectedAccountId,
      atLeast?: Duration.Input
    ) => Effect.Effect<Redacted.Redacted<string>, RefreshError | Resilience.ConnectionNotReady>
    /**
     * A link to consent, whatever the state of the credential. Where nothing special is asked for, `refresh` gives one when there is need.
     */
    readonly link: (
      id: ConnectedAccountId,
      options?: StartOptions
    ) => Effect.Effect<Link, AccountNotFound | InvalidRequest | RefreshFailed | RefreshUnsupported | Unavailable>
    /** Replaces a static credential (API key, password) and puts the account into service. */
    readonly replaceSecrets: (
      id: ConnectedAccountId,
      secrets: Readonly<Record<string, Redacted.Redacted<string>>>
    ) => Effect.Effect<void, AccountNotFound | AuthConfigError | InvalidRequest | Unavailable>
    /** ACTIVE → INACTIVE. The credential is kept and not renewed. */
    readonly disable: (id: ConnectedAccountId) => Effect.Effect<void, AccountNotFound | Unavailable>
    /** INACTIVE → ACTIVE. */
    readonly enable: (id: ConnectedAccountId) => Effect.Effect<void, AccountNotFound | Unavailable>
    /**
     * → REVOKED for good, and withdrawn at the provider where there is a way (RFC 7009). While that is `pending` the engine tries again,
     * as may the caller. Then the credential is erased.
     */
    readonly revoke: (id: ConnectedAccountId) => Effect.Effect<Withdrawn, AccountNotFound | Unavailable>
  }
>()("@rekindle/engine/Connections") {}

const newId = () => ConnectedAccountId.make(`ca_${randomUUID().replaceAll("-", "")}`)

const isId = Schema.is(ConnectedAccountId)

/** A refresh under an idempotency key outlives its caller, so that its answer is there for the repeat. */
const withoutDeadline = ({ deadline: _, ...options }: RefreshOptions): RefreshOptions => options

/** Not every caller comes through HTTP, where a malformed id is refused already. */
const malformed = Effect.suspend(() =>
  Effect.fail(new InvalidRequest({ message: "malformed connected account id", slug: "invalid_id" }))
)

type Requirements =
  | AccessTokens
  | AccountStore
  | AuthConfigs
  | AuthStrategies
  | Consent
  | CredentialVault
  | RefreshCoordinator
  | TokenCommit

/** Both faces of the engine, on the services that do its work. */
export const layer: Layer.Layer<Connections | ConnectedAccounts, never, Requirements> = Layer.effectContext(
  Effect.gen(function* () {
    const store = yield* AccountStore
    const configs = yield* AuthConfigs
    const strategies = yield* AuthStrategies
    const vault = yield* CredentialVault
    const coordinator = yield* RefreshCoordinator
    const consent = yield* Consent
    const tokens = yield* TokenCommit
    const accessTokens = yield* AccessTokens
    const once = yield* Idempotency.make

    const storeDown = () =>
      new Unavailable({
        message: "the account store is unavailable; nothing was done",
        slug: "store_unavailable",
        retryAfter: Duration.seconds(1)
      })
    const notFound = (id: string) =>
      new AccountNotFound({ message: `no connected account ${id}`, slug: "connected_account_not_found" })

    /** What the current project calls by that id. */
    const find = Effect.fnUntraced(function* (id: ConnectedAccountId) {
      if (!isId(id)) return yield* malformed
      const found = yield* Effect.mapError(store.findIn(yield* CurrentProject, id), storeDown)
      return Option.isSome(found) ? found.value : yield* notFound(id)
    })

    /** Applies a status event with further changes, and gives the account as it is then. */
    const apply = (account: Account, event: StatusEvent, update?: AccountUpdate) =>
      updateAccount(store, account, event, update).pipe(
        Effect.mapError(storeDown),
        Effect.flatMap(({ _tag, account }) => (_tag === "Gone" ? notFound(account.publicId) : Effect.succeed(account)))
      )

    /** Applies what was learnt about a credential, unless the account has another one by now. */
    const applyTo = (account: Account, event: StatusEvent) =>
      apply(account, event, { when: ({ generation }) => generation === account.generation })

    /**
     * When the access token of a credential that was brought in is over, if nobody says: at once if there is none yet, otherwise as the
     * provider does it. A credential that is not renewed lasts.
     */
    const expiryOf = ({ profile, scheme }: AuthConfig, credential: Credential.Credential, now: number) => {
      if (strategies.get(scheme)?.renewal === undefined) return null
      if (credential.secrets["access_token"] === undefined) return now
      const { millis } = Tokens.lifeOf({ expiresIn: undefined }, profile, credential)
      return millis === null ? null : now + millis
    }

    /** Refuses secrets that the scheme does not know or cannot use, and cleans the others. */
    const admit = (scheme: Account["scheme"], secrets: Credential.Credential["secrets"]) =>
      Result.match(Credential.admit(secrets, strategies.get(scheme)?.secrets?.account), {
        onFailure: (mistakes) =>
          Effect.fail(
            new InvalidRequest({
              message: `not a credential for ${scheme}: ${mistakes.map(Expected.line).join("; ")}`,
              slug: "invalid_secrets",
              errors: mistakes.map(Expected.line)
            })
          ),
        onSuccess: Effect.succeed
      })

    const seal = (
      account: Pick<Account, "id" | "projectId" | "generation">,
      credential: Credential.Credential
    ): Effect.Effect<Sealed> =>
      Effect.flatMap(Effect.orDie(Schema.encodeEffect(Credential.CredentialJson)(credential)), (text) =>
        vault.seal(credentialContext(account), text)
      )

    const view = Effect.fnUntraced(function* (account: Account) {
      const now = yield* Clock.currentTimeMillis
      const { status, statusReason } = visibleStatus(account, now)
      // Not being able to open the credential is no reason not to show the account.
      const credential = yield* Effect.orElseSucceed(tokens.open(account), () => Credential.empty)
      const shown: ConnectedAccount = {
        id: account.publicId,
        status,
        statusReason,
        toolkit: { slug: account.toolkit },
        authConfig: { id: account.authConfigId },
        userId: account.userId,
        isDisabled: account.status === "INACTIVE",
        createdAt: DateTime.makeUnsafe(account.createdAt),
        updatedAt: DateTime.makeUnsafe(account.updatedAt),
        state: {
          authScheme: account.scheme,
          val: Credential.masked(credential, strategies.get(account.scheme)?.publishedNames)
        }
      }
      return shown
    })

    // --- refresh ------------------------------------------------------------------------------------------------------------------

    const startConsent = (account: Account, { redirectUrl }: RefreshOptions) =>
      Effect.map(consent.start(account, { redirectUrl }), ({ status, url }) =>
        RefreshOutcome.cases.RedirectRequired.make({ id: account.publicId, redirectUrl: url, status })
      )

    const asItIs = (account: Account): Effect.Effect<RefreshOutcome> =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        const { status } = visibleStatus(account, now)
        return status === "ACTIVE"
          ? RefreshOutcome.cases.Ready.make({ id: account.publicId })
          : RefreshOutcome.cases.NotReady.make({ id: account.publicId, status })
      })

    /** A static credential cannot be renewed; it can be tried. Undefined: the auth config names no way to. */
    const tryOut = Effect.fnUntraced(function* (account: Account) {
      const config = yield* configs
        .load(account)
        .pipe(
          Effect.mapError((error) =>
            error._tag === "StoreError"
              ? storeDown()
              : new RefreshFailed({ message: error.message, slug: "auth_config_invalid" })
          )
        )
      const credential = yield* Effect.mapError(
        tokens.open(account),
        () =>
          new RefreshFailed({
            message: "the stored credential cannot be opened with the keys at hand",
            slug: "credential_unreadable"
          })
      )
      const connection: Connection = { accountId: account.id, config, credential }
      const probe = strategies.get(account.scheme)?.validate?.(connection)
      if (probe === undefined) return undefined
      const provider = config.profile.name
      const call = { operation: "validation", provider, accountId: account.id, attempt: 1 } as const
      const validity = yield* observed(call, judgement)(probe)
      switch (validity._tag) {
        case "Valid":
          return account.status === "ACTIVE" ? account : yield* applyTo(account, { _tag: "Renewed" })
        case "Rejected":
          return yield* applyTo(account, { _tag: "CredentialDead", reason: "credential_rejected" })
        case "Unverified":
          return yield* new Unavailable({
            message: "the credential could not be tried; it is neither confirmed nor refuted",
            slug: "unverified",
            errors: [validity.reason],
            retryAfter: Duration.seconds(5)
          })
        case "Misconfigured":
          return yield* new RefreshFailed({
            message: "the credential cannot be tried; a setting needs mending",
            slug: "auth_config_invalid",
            errors: [validity.reason]
          })
      }
    })

    /** What a refresh can do where nothing can be renewed: try the credential if asked to, and begin a consent where there is one. */
    const refreshStatic = Effect.fnUntraced(function* (account: Account, options: RefreshOptions) {
      const consents = strategies.get(account.scheme)?.consent !== undefined
      const tries =
        options.validateCredentials === true &&
        account.credential !== null &&
        (!consents || account.status === "ACTIVE")
      const tried = tries ? yield* tryOut(account) : undefined
      if (consents && tried?.status !== "ACTIVE") return yield* startConsent(tried ?? account, options)
      if (tries && tried === undefined) {
        return yield* new RefreshUnsupported({
          message: "this auth config names no address at which a credential can be tried",
          slug: "validation_unsupported"
        })
      }
      return yield* asItIs(tried ?? account)
    })

    const renew = Effect.fnUntraced(function* (
      account: Account,
      options: RefreshOptions
    ): Effect.fn.Return<RefreshOutcome, RefreshError> {
      const renewal = yield* coordinator.renew(account.id, {
        deadline: options.deadline,
        seen: account,
        insist: options.validateCredentials,
        tokenRefused: options.tokenRefused
      })
      switch (renewal._tag) {
        case "Renewed":
        case "Served":
        case "Rejected":
          return yield* asItIs(renewal.account)
        case "ConsentNeeded":
          return yield* startConsent(renewal.account, options)
        case "Static":
          return yield* refreshStatic(renewal.account, options)
      }
    })

    const refresh = (
      id: ConnectedAccountId,
      options: RefreshOptions = {}
    ): Effect.Effect<RefreshOutcome, RefreshError> =>
      Effect.gen(function* () {
        yield* consent.checkRedirect(options.redirectUrl)
        const account = yield* find(id)
        yield* accessTokens.drop(account)
        const { idempotencyKey } = options
        return yield* idempotencyKey === undefined
          ? renew(account, options)
          : once(idempotencyKey, account, options, renew(account, withoutDeadline(options)))
      })

    // --- management ---------------------------------------------------------------------------------------------------------------

    const create = Effect.fnUntraced(function* ({
      attributes,
      authConfigId,
      expiresAt,
      id,
      secrets,
      userId
    }: NewAccount) {
      if (id !== undefined && !isId(id)) return yield* malformed
      const projectId = yield* CurrentProject
      const config = yield* configs.load({ projectId, authConfigId })
      const now = yield* Clock.currentTimeMillis
      const publicId = id ?? newId()
      const credential =
        secrets === undefined ? undefined : Credential.make(yield* admit(config.scheme, secrets), attributes)
      const expiry =
        expiresAt !== undefined
          ? expiresAt.epochMilliseconds
          : credential === undefined
            ? null
            : expiryOf(config, credential, now)
      const account: Omit<Account, "id" | "credential"> = {
        publicId,
        projectId,
        authConfigId,
        toolkit: config.toolkit,
        userId,
        scheme: config.scheme,
        // Without authentication there is nothing to wait for.
        status: credential === undefined && config.scheme !== "NO_AUTH" ? "INITIALIZING" : "ACTIVE",
        statusReason: null,
        generation: credential === undefined ? 0 : 1,
        revision: 1,
        grantId: randomUUID(),
        previousCredential: null,
        obtainedAt: credential === undefined ? 0 : now,
        expiresAt: expiry,
        renewAt:
          credential === undefined
            ? null
            : expiry !== null && expiry <= now
              ? now
              : yield* Tokens.renewalTime(config.profile, now, expiry),
        consentUntil: null,
        withdrawal: null,
        lease: null,
        epoch: 0,
        intent: null,
        lastAttempt: null,
        createdAt: now,
        updatedAt: now
      }
      // Another project may have an account of that id. It is free in this one all the same.
      for (const id of [publicId, newId()]) {
        const row = {
          ...account,
          id,
          credential: credential === undefined ? null : yield* seal({ ...account, id }, credential)
        }
        if (yield* store.insert(row)) return yield* view(row)
        if (Option.isSome(yield* store.findIn(projectId, publicId))) break
      }
      return yield* new InvalidRequest({ message: `the id ${publicId} is taken`, slug: "id_taken" })
    })

    /** The token of an account, if it is usable at all. */
    const opened = Effect.fnUntraced(function* (account: Account) {
      const held: Held = { account, token: undefined }
      if (!isUsable(account, yield* Clock.currentTimeMillis)) return held
      const credential = yield* Effect.mapError(
        tokens.open(account),
        () => new RefreshFailed({ message: "the stored credential cannot be opened", slug: "credential_unreadable" })
      )
      return { ...held, token: credential.secrets["access_token"] }
    })

    const accessToken = Effect.fnUntraced(function* (id: ConnectedAccountId, atLeast: Duration.Input = "1 minute") {
      const needed = Duration.toMillis(Duration.fromInputUnsafe(atLeast))
      const usable = (account: Account) => Effect.map(Clock.currentTimeMillis, (now) => isUsable(account, now, needed))
      const projectId = yield* CurrentProject
      const atHand = yield* accessTokens.get(projectId, id)
      if (atHand?.token !== undefined && (yield* usable(atHand.account))) return atHand.token
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
      const { account, token } = held
      // An expired token is never handed out as if it were good.
      if (token === undefined || !isUsable(account, yield* Clock.currentTimeMillis)) {
        const { status } = visibleStatus(account, yield* Clock.currentTimeMillis)
        return yield* new Resilience.ConnectionNotReady({ accountId: id, status })
      }
      return token
    })

    const link = Effect.fnUntraced(function* (id: ConnectedAccountId, options?: StartOptions) {
      const account = yield* find(id)
      if (account.status === "INACTIVE" || account.status === "REVOKED") {
        return yield* new InvalidRequest({
          message: `the account is ${account.status} and cannot be connected`,
          slug: "account_not_refreshable"
        })
      }
      if (strategies.get(account.scheme)?.consent === undefined) {
        return yield* new RefreshUnsupported({
          message: `the scheme ${account.scheme} has no consent`,
          slug: "scheme_unsupported"
        })
      }
      const { openUntil, status, url } = yield* consent.start(account, options)
      return { url, openUntil: DateTime.makeUnsafe(openUntil), status }
    })

    const management = (id: ConnectedAccountId) =>
      Effect.catchTag(find(id), "InvalidRequest", () => Effect.fail(notFound(id)))

    return Context.make(
      ConnectedAccounts,
      ConnectedAccounts.of({
        refresh,
        get: (id): Effect.Effect<ConnectedAccount, ReadError> => Effect.flatMap(find(id), view)
      })
    ).pipe(
      Context.add(
        Connections,
        Connections.of({
          register: configs.register,
          create,
          accessToken,
          link,
          replaceSecrets: Effect.fnUntraced(function* (id, secrets) {
            const account = yield* management(id)
            const config = yield* Effect.catchTag(configs.load(account), "StoreError", () => Effect.fail(storeDown()))
            const credential = Credential.make(yield* admit(account.scheme, secrets))
            const now = yield* Clock.currentTimeMillis
            const { status } = yield* apply(
              account,
              { _tag: "ConsentCompleted" },
              {
                // What is revoked keeps no credential.
                when: ({ status }) => status !== "REVOKED",
                patch: (from) => {
                  const expiresAt = expiryOf(config, credential, now)
                  const generation = from.generation + 1
                  return Effect.map(seal({ ...from, generation }, credential), (sealed) => ({
                    credential: sealed,
                    expiresAt,
                    renewAt: from.status === "INACTIVE" ? null : expiresAt,
                    previousCredential: from.credential,
                    generation,
                    grantId: randomUUID(),
                    obtainedAt: now,
                    consentUntil: null
                  }))
                }
              }
            )
            if (status === "REVOKED") {
              return yield* new InvalidRequest({
                message: "the account is REVOKED and takes no credential",
                slug: "account_revoked",
                suggestedFix: "connect the account anew"
              })
            }
          }),
          disable: (id) =>
            Effect.flatMap(management(id), (account) =>
              Effect.asVoid(
                apply(
                  account,
                  { _tag: "Disabled" },
                  { when: ({ status }) => status === "ACTIVE", patch: () => Effect.succeed({ renewAt: null }) }
                )
              )
            ),
          enable: (id) =>
            Effect.flatMap(management(id), (account) =>
              Effect.asVoid(
                // Its refresh token may have come close to dying of disuse.
                apply(
                  account,
                  { _tag: "Enabled" },
                  {
                    when: ({ status }) => status === "INACTIVE",
                    patch: ({ scheme }, _, now) =>
                      Effect.succeed({ renewAt: strategies.get(scheme)?.renewal === undefined ? null : now })
                  }
                )
              )
            ),
          revoke: Effect.fnUntraced(function* (id) {
            const account = yield* apply(
              yield* management(id),
              { _tag: "Revoked" },
              {
                when: ({ status }) => status !== "REVOKED",
                patch: (_from, _next, now) => Effect.succeed({ ...begun(now), consentUntil: null })
              }
            )
            const { answer, state } = yield* Effect.mapError(tokens.withdraw(account), storeDown)
            return { withdrawn: state, answer }
          })
        })
      )
    )
  })
)
