/**
 * What a consent attempt seals: while it is open, what completing it takes; once its state was used, how that ended. The first is erased
 * by the second, so a PKCE verifier is gone when its code goes out.
 *
 * @module
 */
import { Effect, Schema } from "effect"
import { createHash, timingSafeEqual } from "node:crypto"
import type { Account } from "../account/Account.ts"
import type { ConsentAttempt } from "../account/AccountStore.ts"
import { ConsentError } from "../strategies/AuthStrategy.ts"
import type { CredentialVault, SealContext } from "../vault/CredentialVault.ts"

/** The hash of the session that an attempt is bound to. */
const session = Schema.optionalKey(Schema.String)

const MemoJson = Schema.fromJsonString(
  Schema.Struct({
    /** What the strategy needs. */
    memo: Schema.Record(Schema.String, Schema.String),
    session,
    allowAnotherIdentity: Schema.optionalKey(Schema.Boolean)
  })
)
export type Memo = typeof MemoJson.Type

const EndJson = Schema.fromJsonString(
  Schema.Struct({
    /** The grant that the account has if the consent led to tokens. */
    grantId: Schema.String,
    session,
    /** Null if the account was connected; absent while that is not known. */
    failure: Schema.optionalKey(Schema.NullOr(ConsentError))
  })
)
export type End = typeof EndJson.Type

/** A plain digest is enough: both are random, a state 256 bits, a session as the application makes it, so there is no list to guess from. */
export const hashOf = (secret: string): string => createHash("sha256").update(secret).digest("base64url")

/** Whether an attempt may be seen by the browser that brings this session. */
export const isFor = ({ session: bound }: Pick<Memo, "session">, session: string | undefined): boolean =>
  bound === undefined || timingSafeEqual(Buffer.from(hashOf(session ?? "")), Buffer.from(bound))

const memoContext = ({ id, projectId }: Account): SealContext => ({ purpose: "consent-memo", projectId, owner: id })

const endContext = ({ projectId }: Account, { stateHash }: ConsentAttempt): SealContext => ({
  purpose: "consent-end",
  projectId,
  owner: stateHash
})

/** Seals and opens them. */
export const makeSeals = (vault: CredentialVault["Service"]) => {
  const unreadable = () =>
    new ConsentError({
      reason: "misconfigured",
      message: "the attempt cannot be opened with the keys at hand",
      code: null
    })
  return {
    sealMemo: (account: Account, memo: Memo) =>
      Effect.flatMap(Effect.orDie(Schema.encodeEffect(MemoJson)(memo)), (text) =>
        vault.seal(memoContext(account), text)
      ),
    openMemo: (account: Account, { sealed }: ConsentAttempt): Effect.Effect<Memo, ConsentError> =>
      vault
        .open(memoContext(account), sealed)
        .pipe(Effect.flatMap(Schema.decodeEffect(MemoJson)), Effect.mapError(unreadable)),
    sealEnd: (account: Account, attempt: ConsentAttempt, end: End) =>
      Effect.flatMap(Effect.orDie(Schema.encodeEffect(EndJson)(end)), (text) =>
        vault.seal(endContext(account, attempt), text)
      ),
    openEnd: (account: Account, attempt: ConsentAttempt): Effect.Effect<End, ConsentError> =>
      vault
        .open(endContext(account, attempt), attempt.sealed)
        .pipe(Effect.flatMap(Schema.decodeEffect(EndJson)), Effect.mapError(unreadable))
  }
}

export type Seals = ReturnType<typeof makeSeals>
