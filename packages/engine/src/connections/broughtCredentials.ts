/**
 * Credentials from the application: for a new account, or in place of the one that an account has.
 *
 * @module
 */
import {
  type AuthConfig,
  ConnectedAccountId,
  CurrentProject,
  Expected,
  InvalidRequest,
  type NewAccount
} from "@rekindle/core"
import { Clock, Effect, Option, type Redacted, Result } from "effect"
import { randomUUID } from "node:crypto"
import type { Account } from "../account/Account.ts"
import * as Credential from "../account/Credential.ts"
import * as Tokens from "../answer/Tokens.ts"
import { configFailure, storeDown } from "../renewal/renewal.ts"
import type { AuthConfigs } from "../strategies/AuthConfigs.ts"
import { type Accounts, isId, malformed } from "./accounts.ts"
import { requestFailure } from "./authConfigRegistry.ts"

interface Given {
  readonly accounts: Accounts
  readonly configs: AuthConfigs["Service"]
}

const newId = () => ConnectedAccountId.make(`ca_${randomUUID().replaceAll("-", "")}`)

/** Makes `create` and `replaceSecrets`. */
export const makeBroughtCredentials = ({ accounts, configs }: Given) => {
  const { apply, find, seal, store, strategies, view } = accounts

  /**
   * When the access token of such a credential expires, if the application does not say: now if there is none, otherwise after the life
   * that the provider gives its tokens. Null if the scheme has no renewal.
   */
  const expiryOf = ({ profile, scheme }: AuthConfig, credential: Credential.Credential, now: number) => {
    if (strategies.get(scheme)?.renewal === undefined) return null
    if (credential.secrets["access_token"] === undefined) return now
    const { millis } = Tokens.lifeOf({ expiresIn: undefined }, profile, credential)
    return millis === null ? null : now + millis
  }

  /** Cleans secrets. Fails if the scheme does not know or cannot use one of them. */
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
    const config = yield* Effect.mapError(configs.inService({ projectId, authConfigId }), requestFailure)
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
      // An account without authentication is usable at once.
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
    // The id may belong to an account of another project, or to a removed account of this one. It is free in this project all the same.
    for (const id of [publicId, newId()]) {
      const row = {
        ...account,
        id,
        credential: credential === undefined ? null : yield* seal({ ...account, id }, credential)
      }
      if (yield* Effect.mapError(store.insert(row), storeDown)) return yield* view(row)
      if (Option.isSome(yield* Effect.mapError(store.findIn(projectId, publicId), storeDown))) break
    }
    return yield* new InvalidRequest({ message: `the id ${publicId} is taken`, slug: "id_taken" })
  })

  const replaceSecrets = Effect.fnUntraced(function* (
    id: ConnectedAccountId,
    secrets: Readonly<Record<string, Redacted.Redacted<string>>>
  ) {
    const account = yield* find(id)
    const config = yield* Effect.mapError(configs.load(account), configFailure)
    const credential = Credential.make(yield* admit(account.scheme, secrets))
    const now = yield* Clock.currentTimeMillis
    const { status } = yield* apply(
      account,
      { _tag: "ConsentCompleted" },
      {
        // A revoked account keeps no credential.
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
        suggestedFix: "connect the account again"
      })
    }
  })

  return { create, replaceSecrets }
}
