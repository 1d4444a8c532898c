/**
 * The content of a journal record: an answer as it was read, with everything that is needed to judge it again and to order it.
 *
 * @module
 */
import { Effect, Schema } from "effect"
import { SchemaJITCompiler } from "effect/schema"
import type { Account } from "../account/Account.ts"
import type { CredentialVault, SealContext, Sealed } from "../vault/CredentialVault.ts"

/** The sealed fields of a record. */
const Sealable = Schema.fromJsonString(
  Schema.Struct({
    event: Schema.Literals(["Renewed", "ConsentCompleted"]),
    grantId: Schema.String,
    heldGrantId: Schema.String,
    epoch: Schema.Number,
    receivedAt: Schema.Number,
    status: Schema.Number,
    contentType: Schema.optionalKey(Schema.String),
    body: Schema.String,
    secrets: Schema.Record(Schema.String, Schema.String),
    attributes: Schema.optionalKey(Schema.Record(Schema.String, Schema.String)),
    allowAnotherIdentity: Schema.optionalKey(Schema.Boolean)
  })
)

// Every answer is encoded with this schema, so it is compiled. A runtime that forbids generated code interprets it.
SchemaJITCompiler.enable(Schema.flip(Sealable).ast)

/** The context that a journal record is sealed in. */
const journalContext = ({ id, projectId }: Account): SealContext => ({ purpose: "journal", projectId, owner: id })

/** An opened record. */
export type JournalRecord = typeof Sealable.Type

/** Makes the functions that seal and open a record. */
export const makeJournalRecords = (vault: CredentialVault["Service"]) => ({
  seal: (account: Account, record: JournalRecord) =>
    Effect.flatMap(Effect.orDie(Schema.encodeEffect(Sealable)(record)), (text) =>
      vault.seal(journalContext(account), text)
    ),
  open: (account: Account, sealed: Sealed) =>
    Effect.flatMap(vault.open(journalContext(account), sealed), Schema.decodeEffect(Sealable))
})
