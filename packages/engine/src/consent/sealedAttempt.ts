/**
 * The sealed value of a consent attempt. While the attempt is open, it holds the values that its completion needs. After the state was
 * used, it holds the result. The result overwrites these values, so the PKCE verifier is erased before the code is sent.
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
    /** The strategy's own values, such as the PKCE verifier. */
    memo: Schema.Record(Schema.String, Schema.String),
    session,
    allowAnotherIdentity: Schema.optionalKey(Schema.Boolean)
  })
)
export type Memo = typeof MemoJson.Type

const EndJson = Schema.fromJsonString(
  Schema.Struct({
    /** The grant id that the account has if the consent succeeded. */
    grantId: Schema.String,
    session,
    /** Null if the consent succeeded. Absent while the result is unknown. */
    failure: Schema.optionalKey(Schema.NullOr(ConsentError))
  })
)
export type End = typeof EndJson.Type

/**
 * The hash of a state or a session. A plain digest is enough, because both are random: a state has 256 bits, and the application draws the
 * session.
 */
export const hashOf = (secret: string): string => createHash("sha256").update(secret).digest("base64url")

/** Whether the browser with this session may complete the attempt. */
export const isFor = ({ session: bound }: Pick<Memo, "session">, session: string | undefined): boolean =>
  bound === undefined || timingSafeEqual(Buffer.from(hashOf(session ?? "")), Buffer.from(bound))

const memoContext = ({ id, projectId }: Account): SealContext => ({ purpose: "consent-memo", projectId, owner: id })

const endContext = ({ projectId }: Account, { stateHash }: ConsentAttempt): SealContext => ({
  purpose: "consent-end",
  projectId,
  owner: stateHash
})

/** Seals and opens the values of attempts. */
export const makeSeals = (vault: CredentialVault["Service"]) => {
  const unreadable = () =>
    new ConsentError({
      reason: "misconfigured",
      message: "the consent attempt cannot be opened with the keys of the ring",
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
