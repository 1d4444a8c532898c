/**
 * What the application brings: a new account with or without a credential, changes to an account, another credential in place of the one that
 * an account has.
 *
 * @module
 */
import {
  type AccountChanges,
  type AuthConfig,
  ConnectedAccountId,
  CurrentProject,
  Connections,
  Expected,
  InvalidRequest,
  type NewAccount,
  RefreshFailed
} from "@rekindle/core"
import { Clock, Effect, Option, Record, Redacted, Result } from "effect"
import type { SecureRandom } from "effect/crypto"
import { type Account, nextGrantId } from "../account/Account.ts"
import * as Credential from "../account/Credential.ts"
import { compare } from "../answer/Identity.ts"
import * as Tokens from "../answer/Tokens.ts"
import { configFailure, storeDown } from "../renewal/renewal.ts"
import type { AuthConfigs } from "../strategies/AuthConfigs.ts"
import { type Accounts, isId, malformed } from "./accounts.ts"
import { requestFailure } from "./authConfigRegistry.ts"

interface Given {
  readonly accounts: Accounts
  readonly configs: AuthConfigs["Service"]
  readonly random: SecureRandom.SecureRandom["Service"]
}

/** Secrets that a renewal brings. Whoever brings another one of these leaves the grant as it is. */
const fromRenewal: ReadonlySet<string> = new Set(["access_token", "id_token"])

const longestAlias = 255

const aliasTaken = (alias: string) =>
  new InvalidRequest({
    message: `another account of the same user and toolkit has the alias ${alias}`,
    slug: "alias_taken"
  })

const revoked = () =>
  new InvalidRequest({
    message: "the account is REVOKED and takes no credential",
    slug: "account_revoked",
    suggestedFix: "connect the account again"
  })

/** Makes `create`, `update` and `replaceSecrets`. */
export const makeBroughtCredentials = ({ accounts, configs, random }: Given) => {
  const { apply, find, seal, store, strategies, tokens, view } = accounts

  const newGrantId = (from?: Account) => Effect.map(random.uuidV4(), (uuid) => nextGrantId(uuid, from))
  const newId = Effect.map(random.uuidV4(), (uuid) => ConnectedAccountId.make(`ca_${uuid.replaceAll("-", "")}`))

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

  /** When the renewer has to look at a credential that expires then. */
  const dueAt = ({ profile }: AuthConfig, now: number, expiry: number | null) =>
    expiry !== null && expiry <= now ? Effect.succeed(now) : Tokens.renewalTime(profile, now, expiry)

  const checkForm = (alias: string | null | undefined) =>
    alias === undefined || alias === null || (alias.length > 0 && alias.length <= longestAlias)
      ? Effect.void
      : Effect.fail(
          new InvalidRequest({ message: `an alias has 1 to ${longestAlias} characters`, slug: "invalid_alias" })
        )

  /** Fails if another account of the same user and toolkit has the alias. */
  const checkFree = Effect.fnUntraced(function* (
    alias: string,
    { projectId, toolkit, userId }: Pick<Account, "projectId" | "toolkit" | "userId">
  ) {
    const now = yield* Clock.currentTimeMillis
    const query = { projectId, toolkits: [toolkit], userIds: [userId], aliases: [alias], now }
    if ((yield* Effect.mapError(store.count(query), storeDown)) > 0) return yield* aliasTaken(alias)
  })

  const create = Effect.fnUntraced(function* ({
    alias,
    attributes = {},
    authConfigId,
    expiresAt,
    id,
    secrets,
    userId
  }: NewAccount) {
    if (id !== undefined && !isId(id)) return yield* malformed
    const projectId = yield* CurrentProject
    yield* checkForm(alias)
    const config = yield* Effect.mapError(configs.inService({ projectId, authConfigId }), requestFailure)
    if (alias !== undefined) yield* checkFree(alias, { projectId, toolkit: config.toolkit, userId })
    const now = yield* Clock.currentTimeMillis
    const publicId = id ?? (yield* newId)
    const isConnected = secrets !== undefined
    const credential = Credential.withAttributes(
      Credential.make(isConnected ? yield* admit(config.scheme, secrets) : {}),
      attributes
    )
    const expiry =
      expiresAt !== undefined ? expiresAt.epochMilliseconds : isConnected ? expiryOf(config, credential, now) : null
    const account: Omit<Account, "id" | "credential"> = {
      publicId,
      projectId,
      authConfigId,
      toolkit: config.toolkit,
      userId,
      alias: alias ?? null,
      scheme: config.scheme,
      // An account without authentication is usable at once.
      status: isConnected || config.scheme === "NO_AUTH" ? "ACTIVE" : "INITIALIZING",
      statusReason: null,
      generation: isConnected ? 1 : 0,
      revision: 1,
      grantId: yield* newGrantId(),
      previousCredential: null,
      obtainedAt: isConnected ? now : 0,
      expiresAt: expiry,
      renewAt: isConnected ? yield* dueAt(config, now, expiry) : null,
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
    for (const id of [publicId, yield* newId]) {
      const row = {
        ...account,
        id,
        credential:
          isConnected || Object.keys(attributes).length > 0 ? yield* seal({ ...account, id }, credential) : null
      }
      if (yield* Effect.mapError(store.insert(row), storeDown)) return yield* view(row)
      if (Option.isSome(yield* Effect.mapError(store.findIn(projectId, publicId), storeDown))) break
    }
    if (alias !== undefined) yield* checkFree(alias, account)
    return yield* new InvalidRequest({ message: `the id ${publicId} is taken`, slug: "id_taken" })
  })

  const opened = (account: Account) =>
    Effect.mapError(
      tokens.open(account),
      () => new RefreshFailed({ message: "the stored credential cannot be opened", slug: "credential_unreadable" })
    )

  /**
   * The credential with other secrets, and whether they replace what a renewal spends. If not, they stay in the generation: a renewal in
   * flight has spent the refresh token of it, and its answer is merged into them.
   */
  const withSecrets = Effect.fnUntraced(function* (
    { generation, scheme }: Account,
    config: AuthConfig,
    held: Credential.Credential,
    changes: NonNullable<AccountChanges["secrets"]>
  ) {
    const strategy = strategies.get(scheme)
    const brought = Connections.merged({}, changes)
    if (
      config.allowAnotherIdentity !== true &&
      compare(held, { secrets: brought, attributes: {} }, config.profile) === "another"
    ) {
      return yield* new InvalidRequest({
        message: "the credential belongs to another person than the account",
        slug: "identity_mismatch"
      })
    }
    const forms = strategy?.secrets?.account.forms
    // Secrets that came with tokens are not among those that an application may bring.
    const foreign = Record.filter(held.secrets, (_, name) => forms !== undefined && forms[name] === undefined)
    const own = Record.filter(held.secrets, (_, name) => foreign[name] === undefined)
    const isSame = (name: string, value: Redacted.Redacted<string> | null) => {
      const before = own[name]
      return value === null || before === undefined
        ? value === null && before === undefined
        : Redacted.value(before) === Redacted.value(value)
    }
    const isReplaced =
      generation === 0 ||
      strategy?.renewal === undefined ||
      Object.entries(changes).some(([name, value]) => !fromRenewal.has(name) && !isSame(name, value))
    // A token of the grant that is replaced does not stand for the new one.
    const kept =
      isReplaced && strategy?.renewal !== undefined ? Record.filter(own, (_, name) => !fromRenewal.has(name)) : own
    const secrets = { ...foreign, ...(yield* admit(scheme, Connections.merged(kept, changes))) }
    return { credential: { ...held, secrets }, isReplaced, hasToken: brought["access_token"] !== undefined }
  })

  const update = Effect.fnUntraced(function* (id: ConnectedAccountId, { alias, attributes, ...rest }: AccountChanges) {
    yield* checkForm(alias)
    const account = yield* find(id)
    const secrets = Object.keys(rest.secrets ?? {}).length === 0 ? undefined : rest.secrets
    const brings = Object.values(secrets ?? {}).some((secret) => secret !== null)
    const config = secrets && (yield* Effect.mapError(configs.load(account), configFailure))
    const opens = attributes !== undefined || secrets !== undefined

    const patch = Effect.fnUntraced(function* (from: Account, _: unknown, now: number) {
      const renamed = { alias: alias === undefined ? from.alias : alias }
      if (renamed.alias !== null && renamed.alias !== from.alias) yield* checkFree(renamed.alias, from)
      if (!opens) return renamed
      const held = Credential.withAttributes(yield* opened(from), attributes)
      if (secrets === undefined || config === undefined)
        return { ...renamed, credential: yield* seal(from, held) } satisfies Partial<Account>
      const { credential, hasToken, isReplaced } = yield* withSecrets(from, config, held, secrets)
      const generation = isReplaced ? from.generation + 1 : from.generation
      const expiresAt = isReplaced || hasToken ? expiryOf(config, credential, now) : from.expiresAt
      const changes: Partial<Account> = {
        ...renamed,
        credential: yield* seal({ ...from, generation }, credential),
        ...(brings ? { consentUntil: null } : {}),
        ...(isReplaced ? { generation, previousCredential: from.credential, grantId: yield* newGrantId(from) } : {}),
        ...(isReplaced || hasToken
          ? {
              obtainedAt: now,
              expiresAt,
              renewAt: from.status === "INACTIVE" ? null : yield* dueAt(config, now, expiresAt)
            }
          : {})
      }
      return changes
    })

    const updated = yield* apply(account, brings ? { _tag: "ConsentCompleted" } : undefined, {
      // A revoked account keeps no credential.
      when: ({ status }) => !opens || status !== "REVOKED",
      patch
    })
    return opens && updated.status === "REVOKED" ? yield* revoked() : yield* view(updated)
  })

  const replaceSecrets = Effect.fnUntraced(function* (
    id: ConnectedAccountId,
    secrets: Readonly<Record<string, Redacted.Redacted<string>>>
  ) {
    const account = yield* find(id)
    const config = yield* Effect.mapError(configs.load(account), configFailure)
    const admitted = yield* admit(account.scheme, secrets)
    const now = yield* Clock.currentTimeMillis
    const { status } = yield* apply(
      account,
      { _tag: "ConsentCompleted" },
      {
        // A revoked account keeps no credential.
        when: ({ status }) => status !== "REVOKED",
        patch: Effect.fnUntraced(function* (from) {
          const held = Credential.onlyGiven(yield* tokens.openedOrEmpty(from))
          const credential = { ...held, secrets: admitted }
          const expiresAt = expiryOf(config, credential, now)
          const generation = from.generation + 1
          return {
            credential: yield* seal({ ...from, generation }, credential),
            expiresAt,
            renewAt: from.status === "INACTIVE" ? null : expiresAt,
            previousCredential: from.credential,
            generation,
            grantId: yield* newGrantId(from),
            obtainedAt: now,
            consentUntil: null
          }
        })
      }
    )
    if (status === "REVOKED") return yield* revoked()
  })

  return { create, update, replaceSecrets }
}
