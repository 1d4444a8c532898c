/**
 * Consent by a person: an attempt is a record of its own, with a one-use state and ten minutes to live. Until it completes, the account's
 * old credential stays in service; when it completes, the account is active again under the same id.
 *
 * @module
 */
import {
  AccountNotFound,
  type ConnectedAccountId,
  CurrentProject,
  InvalidRequest,
  isRedirectUrl,
  type KnownStatus,
  RefreshFailed,
  Unavailable
} from "@rekindle/core"
import { Clock, Config, Context, Duration, Effect, Layer, Option, Schema, SchemaIssue } from "effect"
import { SecureRandom } from "effect/crypto"
import { Base64Url } from "effect/encoding"
import { createHash, randomUUID, timingSafeEqual } from "node:crypto"
import { type Account, type StatusEvent, transition, visibleStatus } from "../account/Account.ts"
import { AccountStore, type StoreError } from "../account/AccountStore.ts"
import { AuthConfigs } from "../strategies/AuthConfigs.ts"
import { AuthStrategies, ConsentError, type Connection } from "../strategies/AuthStrategy.ts"
import { CredentialVault } from "../vault/CredentialVault.ts"
import * as Credential from "../account/Credential.ts"
import { decideConsent } from "../renewal/judge.ts"
import { TokenCommit } from "../renewal/TokenCommit.ts"

/** How consent is arranged. */
export interface ConsentOptions {
  /** The address of this service that providers send people back to (RFC 6749 §3.1.2). Register it with each provider. */
  readonly callbackUrl: string
  /**
   * The origins that people of a project may be sent to after consent, such as `https://app.example.com`. Undefined, or absent: every
   * address that is an `isRedirectUrl`.
   */
  readonly redirectOrigins?: ((projectId: string) => ReadonlyArray<string> | undefined) | undefined
  /** How long a link may be used. Default 10 minutes. */
  readonly lifetime?: Duration.Input | undefined
}

/** What a consent may be told when it is started. */
export interface StartOptions {
  /** Where the person lands afterwards. */
  readonly redirectUrl?: string | undefined
  /**
   * Binds the link to a browser: an opaque value, such as a random one in a cookie of the page that shows the link. The consent is then
   * completed for a callback that brings the same value, and refused for any other: nobody can make another person complete it.
   */
  readonly session?: string | undefined
  /** Whether it may be another person's than the account is. Default: as the auth config says. */
  readonly allowAnotherIdentity?: boolean | undefined
}

/** A link to consent. */
export interface StartedConsent {
  readonly url: string
  /**
   * Until when it has to be opened, in epoch milliseconds. Whoever opened it in time has the whole lifetime to consent: a pushed request
   * (RFC 9126) may have to be opened within seconds, and reading the page takes longer.
   */
  readonly openUntil: number
  readonly account: Account
  readonly status: KnownStatus
}

/** What a completed callback led to. */
export interface ConsentResult {
  readonly accountId: ConnectedAccountId
  readonly status: KnownStatus
  /** Where the person wants to land; undefined if they did not say. */
  readonly redirectUrl: string | undefined
  /** Set when consent was not given or did not lead to tokens. */
  readonly failure: ConsentError | undefined
}

/** Starts and completes consent. */
export class Consent extends Context.Service<
  Consent,
  {
    /** Refuses what the current project's people may not be sent to. Asked before anything is done: the refusal says that nothing was. */
    readonly checkRedirect: (redirectUrl: string | undefined) => Effect.Effect<void, InvalidRequest>
    /** Starts an attempt and gives the link, and the account as others see it now. */
    readonly start: (
      account: Account,
      options?: StartOptions
    ) => Effect.Effect<StartedConsent, AccountNotFound | InvalidRequest | RefreshFailed | Unavailable>
    /**
     * Completes the attempt that a callback belongs to; `session` is what the callback's browser brings of the value given to `start`.
     * Fails with `unknown-state` when there is none, it was used, or it is too old; everything else that can go wrong is part of the
     * result, because the person has to be sent back either way.
     */
    readonly complete: (
      parameters: URLSearchParams,
      session?: string
    ) => Effect.Effect<ConsentResult, ConsentError | StoreError>
  }
>()("@rekindle/engine/Consent") {
  static readonly layer = (
    options: ConsentOptions
  ): Layer.Layer<
    Consent,
    Config.ConfigError,
    AccountStore | AuthConfigs | AuthStrategies | CredentialVault | TokenCommit
  > => Layer.effect(Consent, make(options)).pipe(Layer.provide(SecureRandom.layerWebCrypto))
}

const MemoJson = Schema.fromJsonString(
  Schema.Struct({
    /** What the strategy needs. */
    memo: Schema.Record(Schema.String, Schema.String),
    /** The hash of the session that the attempt is bound to. */
    session: Schema.optionalKey(Schema.String),
    allowAnotherIdentity: Schema.optionalKey(Schema.Boolean)
  })
)

/** Where an attempt's memo is sealed. */
const memoContext = ({ id, projectId }: Account) => ({ purpose: "consent-memo", projectId, owner: id }) as const

/** A plain digest is enough: both are random, a state 256 bits, a session as the application makes it, so there is no list to guess from. */
const hashOf = (secret: string): string => createHash("sha256").update(secret).digest("base64url")

const isSession = (session: string | undefined, hash: string): boolean =>
  timingSafeEqual(Buffer.from(hashOf(session ?? "")), Buffer.from(hash))

/**
 * An account in service is as it was when a link is handed out or refused: its credential has not changed. Whoever waits for a consent,
 * or looks into a lost answer, goes by this time.
 */
const movedAt = (from: Account, status: Account["status"], now: number): number =>
  from.status === "ACTIVE" && status === "ACTIVE" ? from.updatedAt : now

/** What a provider can send people back to (RFC 6749 §3.1.2). */
const isCallbackUrl = (text: string): boolean => isRedirectUrl(text) && !text.includes("#")

/** Failures that are an end, and the reason that the account is given for them. */
const refusals = new Map<ConsentError["reason"], Extract<StatusEvent, { readonly _tag: "ConsentRefused" }>["reason"]>([
  ["denied", "consent_denied"],
  ["refused", "consent_failed"],
  ["identity-mismatch", "identity_mismatch"]
])

const anotherIdentity = () =>
  new ConsentError({
    reason: "identity-mismatch",
    message: "the account belongs to another person or workspace; it was left as it was",
    code: null
  })

const overtaken = () =>
  new ConsentError({
    reason: "overtaken",
    message: "another consent for this account was completed first",
    code: null
  })

const make = Effect.fnUntraced(function* (options: ConsentOptions) {
  if (!isCallbackUrl(options.callbackUrl)) {
    const message = "consent.callbackUrl has to be an absolute http(s) url without user name and fragment"
    return yield* Effect.fail(new Config.ConfigError(new Schema.SchemaError(new SchemaIssue.InvalidValue({ message }))))
  }
  const store = yield* AccountStore
  const configs = yield* AuthConfigs
  const strategies = yield* AuthStrategies
  const vault = yield* CredentialVault
  const tokens = yield* TokenCommit
  const random = yield* SecureRandom.SecureRandom
  const lifetime = Duration.toMillis(Duration.fromInputUnsafe(options.lifetime ?? "10 minutes"))
  const { callbackUrl } = options

  const invalidRedirect = (message: string) => new InvalidRequest({ message, slug: "invalid_redirect_url" })

  const checkRedirect = Effect.fnUntraced(function* (redirectUrl: string | undefined) {
    if (redirectUrl === undefined) return
    if (!isRedirectUrl(redirectUrl)) {
      return yield* invalidRedirect(
        "redirect_url must be an absolute http(s) url without user name, of at most 2048 characters"
      )
    }
    const allowed = options.redirectOrigins?.(yield* CurrentProject)
    const { origin } = new URL(redirectUrl)
    if (allowed !== undefined && !allowed.some((each) => URL.parse(each)?.origin === origin))
      return yield* invalidRedirect("the origin of redirect_url is not one that this project allows")
  })

  /** Applies a status event, whatever else happens to the row meanwhile. */
  const apply = Effect.fnUntraced(function* (
    id: ConnectedAccountId,
    event: StatusEvent,
    changes: (from: Account) => Partial<Account>
  ) {
    while (true) {
      const found = yield* store.find(id)
      if (Option.isNone(found)) return undefined
      const from = found.value
      const next = transition(from, event)
      const to = {
        ...from,
        ...changes(from),
        status: next.status,
        statusReason: next.statusReason,
        updatedAt: movedAt(from, next.status, yield* Clock.currentTimeMillis)
      }
      if (yield* store.write({ from, to, announce: next.announce })) return to
    }
  })

  const start = Effect.fnUntraced(function* (
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
    const unavailable = (...errors: ReadonlyArray<string>) =>
      new Unavailable({
        message: "consent cannot be started now; nothing was changed",
        slug: "consent_unavailable",
        retryAfter: Duration.seconds(5),
        ...(errors.length === 0 ? {} : { errors })
      })
    const config = yield* configs
      .load(account)
      .pipe(
        Effect.mapError((error) =>
          error._tag === "StoreError"
            ? unavailable()
            : new RefreshFailed({ message: error.message, slug: "auth_config_invalid" })
        )
      )
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
    const text = yield* Effect.orDie(
      Schema.encodeEffect(MemoJson)({
        memo,
        ...(session === undefined ? {} : { session: hashOf(session) }),
        ...(allowAnotherIdentity === undefined ? {} : { allowAnotherIdentity })
      })
    )
    const sealed = yield* vault.seal(memoContext(account), text)
    let from = account
    while (true) {
      const now = yield* Clock.currentTimeMillis
      const next = transition(from, { _tag: "ConsentStarted" })
      const to: Account = {
        ...from,
        status: next.status,
        statusReason: next.statusReason,
        consentUntil: now + lifetime,
        updatedAt: movedAt(from, next.status, now),
        // The renewer looks at a never-connected account when its link runs out, to say so.
        renewAt: next.status === "INITIATED" ? now + lifetime : from.renewAt
      }
      const attempt = {
        stateHash: hashOf(state),
        accountId: account.id,
        sealed,
        redirectUrl: redirectUrl ?? null,
        createdAt: now,
        expiresAt: now + lifetime
      }
      const written = yield* store
        .write({ from, to, announce: next.announce, at: now, attempt })
        .pipe(Effect.mapError(() => unavailable()))
      if (written) {
        const openUntil = now + Math.min(lifetime, expiresIn === undefined ? lifetime : expiresIn * 1000)
        return { url, openUntil, account: to, status: visibleStatus(to, now).status }
      }
      const current = yield* store.find(account.id).pipe(Effect.mapError(() => unavailable()))
      if (Option.isNone(current)) return yield* unavailable()
      from = current.value
    }
  })

  /** Exchanges the code; again, up to three times in all, where the request provably never left. */
  const exchange = Effect.fnUntraced(function* (
    account: Account,
    parameters: URLSearchParams,
    state: string,
    sealed: string,
    session: string | undefined
  ) {
    const fault = (reason: ConsentError["reason"], message: string, code: string | null = null) =>
      new ConsentError({ reason, message, code })
    const config = yield* configs
      .load(account)
      .pipe(
        Effect.mapError((error) =>
          error._tag === "StoreError"
            ? fault("unavailable", "the account store is unavailable")
            : fault("misconfigured", error.message)
        )
      )
    const strategy = strategies.get(account.scheme)
    const consent = strategy?.consent
    if (strategy === undefined || consent === undefined)
      return yield* fault("misconfigured", "the scheme has no consent")
    const opened = yield* vault.open(memoContext(account), sealed).pipe(
      Effect.flatMap(Schema.decodeEffect(MemoJson)),
      Effect.mapError(() => fault("misconfigured", "the attempt cannot be opened with the keys at hand"))
    )
    if (opened.session !== undefined && !isSession(session, opened.session))
      return yield* fault("unknown-state", "this link was made for another browser")
    const { allowAnotherIdentity = config.allowAnotherIdentity, memo } = opened
    const connection: Connection = { accountId: account.id, config, credential: Credential.empty }
    const grantId = randomUUID()
    const send = Effect.gen(function* () {
      yield* tokens.room
      const { observation, ...extras } = yield* consent.complete(connection, { callbackUrl, state, parameters, memo })
      const recorded =
        observation._tag === "Answer"
          ? yield* tokens.record({
              account,
              answer: observation,
              event: "ConsentCompleted",
              grantId,
              extras,
              allowAnotherIdentity
            })
          : undefined
      return { observation, recorded }
    }).pipe(Effect.scoped)
    for (let tries = 1; ; tries++) {
      const { observation, recorded } = yield* Effect.catchTag(send, "JournalError", () =>
        Effect.fail(fault("unavailable", "the journal has no room for the answer; nothing was sent"))
      )
      const verdict = decideConsent(strategy, connection, observation)
      if (recorded !== undefined && !("tokens" in verdict)) yield* tokens.discard(recorded)
      switch (verdict._tag) {
        case "Renewed":
        case "NotRenewed":
          return recorded === undefined
            ? yield* Effect.die("tokens without an answer")
            : { config, held: yield* tokens.openedOrEmpty(account), tokens: verdict.tokens, recorded }
        case "Dead":
        case "Misconfigured":
          return yield* fault("refused", `the provider refused the code: ${verdict.code}`, verdict.code)
        case "AppFault":
          return yield* fault("misconfigured", `the provider refused the application: ${verdict.code}`, verdict.code)
        case "NotApplied":
          if (tries < 3) {
            yield* Effect.sleep("200 millis")
            continue
          }
          return yield* fault("unavailable", `the provider could not be reached: ${verdict.reason}`)
        case "Refused":
          return yield* fault("misconfigured", verdict.reason)
        case "Ambiguous":
          return yield* fault("unavailable", `the provider gave no clear answer: ${verdict.reason}`)
        default:
          return yield* fault("unavailable", "the provider asked to come back later")
      }
    }
  })

  const complete = Effect.fnUntraced(function* (parameters: URLSearchParams, session?: string) {
    const unknown = new ConsentError({
      reason: "unknown-state",
      message: "this link was used already, or is too old",
      code: null
    })
    const state = parameters.get("state")
    if (state === null || state === "") return yield* unknown
    const taken = yield* store.takeAttempt(hashOf(state))
    if (Option.isNone(taken)) return yield* unknown
    const { accountId, expiresAt, redirectUrl, sealed } = taken.value
    if (expiresAt <= (yield* Clock.currentTimeMillis)) return yield* unknown
    const found = yield* store.find(accountId)
    if (Option.isNone(found) || found.value.status === "REVOKED") return yield* unknown
    const account = found.value

    const result = (account: Account, failure: ConsentError | undefined): Effect.Effect<ConsentResult> =>
      Effect.map(Clock.currentTimeMillis, (now) => ({
        accountId: account.publicId,
        status: visibleStatus(account, now).status,
        redirectUrl: redirectUrl ?? undefined,
        failure
      }))

    return yield* exchange(account, parameters, state, sealed, session).pipe(
      Effect.flatMap(
        Effect.fnUntraced(function* (issued) {
          const committed = yield* tokens.keep(issued)
          if (committed._tag === "Refused") return yield* anotherIdentity()
          // Its own tokens may be what was there first: a commit whose answer was lost.
          if (committed.account.grantId !== issued.recorded.grantId) return yield* overtaken()
          return committed
        })
      ),
      Effect.matchEffect({
        onSuccess: ({ account }) => result(account, undefined),
        onFailure: (error) => {
          if (error._tag === "CommitPending") {
            return result(account, new ConsentError({ reason: "unavailable", message: error.message, code: null }))
          }
          const refused = refusals.get(error.reason)
          if (refused === undefined) return result(account, error)
          // The latest attempt ends the wait for consent. While a later one is open, somebody may be looking at its page.
          const ends = ({ consentUntil }: Account) => consentUntil === null || consentUntil <= expiresAt
          return Effect.flatMap(
            apply(accountId, { _tag: "ConsentRefused", reason: refused }, (from) =>
              ends(from) ? { consentUntil: null } : {}
            ),
            (changed) => result(changed ?? account, error)
          )
        }
      })
    )
  }, Effect.uninterruptible)

  return Consent.of({ checkRedirect, start, complete })
})
