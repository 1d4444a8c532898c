/**
 * The handlers of the endpoints that manage connected accounts, on `Connections` and `ConnectLinks`.
 *
 * @module
 */
import {
  AccountNotFound,
  type ConnectedAccount,
  type ConnectedAccountId,
  ConnectedAccounts,
  Connections,
  InvalidRequest,
  RefreshFailed,
  type RevokeOptions
} from "@rekindle/core"
import { DateTime, Effect, Option, type Schema } from "effect"
import { HttpServerResponse } from "effect/http"
import { ConnectLinks } from "../ConnectLinks.ts"
import { makePublishedCalls } from "../internal/calls.ts"
import { connectionState } from "../internal/connectionState.ts"
import { paged } from "../internal/page.ts"
import { published } from "../internal/published.ts"
import { chosen } from "../internal/query.ts"
import { uuidOf } from "../internal/uuid.ts"
import type { ApiVersion } from "../RekindleApi.ts"
import type {
  CreatePayload,
  Experimental,
  LinkPayload,
  ListQuery,
  PatchPayload,
  StatusPayload
} from "./connectedAccounts.ts"
import { NotRevocable } from "./errors.ts"
import { notServed } from "./notServed.ts"

interface OfAccount {
  readonly params: { readonly nanoid: ConnectedAccountId }
}

/** The person whom an account belongs to if the application names none. */
const defaultUser = "default"

/** The statuses in which an account has a credential. */
const withCredential = new Set<string>(["ACTIVE", "INACTIVE", "EXPIRED"])

const schemeMismatch = (scheme: string) =>
  new InvalidRequest({
    message: `the scheme of the auth config is ${scheme}`,
    slug: "scheme_mismatch",
    suggestedFix: `send ${scheme} as authScheme`
  })

/** Accounts that several people use do not exist here. To create one for a single person instead would surprise somebody. */
const refuseShared = ({ account_type, acl_config_for_shared }: typeof Experimental.Type = {}) =>
  account_type === "SHARED"
    ? Effect.fail(notServed("an account that several people share"))
    : acl_config_for_shared !== undefined
      ? Effect.fail(
          // An official client knows this failure by these words.
          new InvalidRequest({
            message: "acl_config_for_shared is only valid on SHARED connections",
            slug: "acl_only_for_shared"
          })
        )
      : Effect.void

/** The tokens that a withdrawal covered, by the names in the account's state. */
const withdrawnTokens = ({ state }: ConnectedAccount) => {
  const tokens = (["access_token", "refresh_token"] as const).filter((name) => name in state.val)
  return tokens.length === 0 ? (["credential"] as const) : tokens
}

/** The handlers. */
export const connectedAccountsHandlers = Effect.gen(function* () {
  const accounts = yield* ConnectedAccounts
  const connections = yield* Connections
  const { changing, reading } = yield* makePublishedCalls
  const links = yield* ConnectLinks

  const requireConfig = (id: string) =>
    Effect.flatMap(
      reading(connections.authConfigs.get(id)),
      Option.match({
        onNone: () =>
          Effect.fail(new AccountNotFound({ message: `no auth config ${id}`, slug: "auth_config_not_found" })),
        onSome: Effect.succeed
      })
    )

  const list = (version: ApiVersion) =>
    Effect.fnUntraced(function* ({ query }: { readonly query: typeof ListQuery.Type }) {
      const filter = {
        userIds: chosen(query.user_ids),
        statuses: chosen(query.statuses),
        toolkits: chosen(query.toolkit_slugs),
        authConfigIds: chosen(query.auth_config_ids),
        ids: query.account_type === "SHARED" ? [] : chosen(query.connected_account_ids)
      }
      const order = {
        orderBy: query.order_by === "updated_at" ? "updatedAt" : "createdAt",
        direction: query.order_direction === "asc" ? "asc" : "desc"
      } as const
      const found = yield* paged(
        query,
        (place) => reading(connections.list({ ...filter, ...order, ...place })),
        reading(connections.count(filter))
      )
      const items = yield* Effect.forEach(found.items, (account) => published(account, version))
      return HttpServerResponse.jsonUnsafe({ ...found, items })
    })

  /** A new account in the form of the version. `redirectUrl` is where a person has to go. */
  const answerCreated = Effect.fnUntraced(function* (
    version: ApiVersion,
    account: ConnectedAccount,
    redirectUrl: string | null
  ) {
    const { auth_config, id, state, status } = yield* published(account, version)
    return HttpServerResponse.jsonUnsafe(
      {
        id,
        connectionData: {
          authScheme: state.authScheme,
          val: redirectUrl === null ? state.val : { ...state.val, redirectUrl }
        },
        status,
        redirect_url: redirectUrl,
        redirect_uri: redirectUrl,
        ...(version === "v3" && {
          deprecated: { uuid: yield* uuidOf(id), authConfigUuid: yield* uuidOf(auth_config.id) }
        })
      },
      { status: 201 }
    )
  })

  /** The next step for a new account. If it fails, the account is removed again. */
  const orRemove = <A, E>({ id }: ConnectedAccount, next: Effect.Effect<A, E>) =>
    Effect.onError(next, () => Effect.ignore(connections.remove(id)))

  const test = Effect.fnUntraced(function* ({ id }: ConnectedAccount) {
    const outcome = yield* changing(accounts.refresh(id, { validateCredentials: true }))
    if (outcome._tag !== "Ready") {
      return yield* new InvalidRequest({ message: "the provider refuses the credential", slug: "credential_refused" })
    }
  })

  const create = (version: ApiVersion) =>
    Effect.fnUntraced(function* ({ payload }: { readonly payload: typeof CreatePayload.Type }) {
      const { connection, validate_credentials } = payload
      yield* refuseShared(connection.experimental)
      const { id: authConfigId, scheme } = yield* requireConfig(payload.auth_config.id)
      if (connection.state !== undefined && connection.state.authScheme !== scheme) return yield* schemeMismatch(scheme)
      const val = { ...connection.data, ...connection.state?.val }
      const state = yield* connectionState(scheme, val)
      const secrets = Connections.merged({}, state.secrets)
      const account = yield* changing(
        connections.create({
          authConfigId,
          userId: connection.user_id ?? defaultUser,
          alias: connection.alias,
          attributes: Connections.merged<Schema.Json>({}, state.attributes),
          ...(Object.keys(secrets).length > 0 && { secrets, expiresAt: state.expiresAt })
        })
      )
      if (account.status === "ACTIVE") {
        if (validate_credentials === true) yield* orRemove(account, test(account))
        return yield* answerCreated(version, account, null)
      }
      const { status, url } = yield* orRemove(
        account,
        changing(connections.link(account.id, { redirectUrl: connection.callback_url ?? connection.redirect_uri }))
      ).pipe(
        Effect.catchTag("RefreshUnsupported", () =>
          Effect.fail(
            new InvalidRequest({
              message: `an account of the scheme ${scheme} needs its credential in connection.state`,
              slug: "invalid_secrets",
              suggestedFix: "send the credential, or create a link"
            })
          )
        )
      )
      return yield* answerCreated(version, { ...account, status }, url)
    })

  const link = Effect.fnUntraced(function* ({ payload }: { readonly payload: typeof LinkPayload.Type }) {
    yield* refuseShared(payload.experimental)
    const { scheme } = yield* requireConfig(payload.auth_config_id)
    const { attributes, secrets } = yield* connectionState(scheme, payload.connection_data ?? {})
    if (Object.keys(secrets).length > 0) {
      return yield* new InvalidRequest({
        message: "a link takes no credential, because the person brings it",
        slug: "invalid_secrets",
        suggestedFix: "create the account with the credential instead"
      })
    }
    const { accountId, expiresAt, token, url } = yield* changing(
      links.create({
        authConfigId: payload.auth_config_id,
        userId: payload.user_id,
        callbackUrl: payload.callback_url,
        alias: payload.alias,
        connectionData: Connections.merged<Schema.Json>({}, attributes)
      })
    )
    return HttpServerResponse.jsonUnsafe(
      {
        link_token: token,
        redirect_url: url,
        expires_at: DateTime.formatIso(expiresAt),
        connected_account_id: accountId
      },
      { status: 201 }
    )
  })

  const patch = Effect.fnUntraced(function* ({
    params: { nanoid },
    payload: { alias, connection, experimental }
  }: OfAccount & { readonly payload: typeof PatchPayload.Type }) {
    yield* refuseShared(experimental)
    const { state } = yield* reading(accounts.get(nanoid))
    if (connection !== undefined && connection.state.authScheme !== state.authScheme)
      return yield* schemeMismatch(state.authScheme)
    const changes = connection && (yield* connectionState(state.authScheme, connection.state.val))
    const { id, status } = yield* changing(
      connections.update(nanoid, {
        alias: alias === "" ? null : alias,
        attributes: changes?.attributes,
        // An account is put into service with new secrets, but not with none.
        ...(changes !== undefined && Object.keys(changes.secrets).length > 0 && { secrets: changes.secrets })
      })
    )
    return HttpServerResponse.jsonUnsafe({ success: true, id, status })
  })

  const done = HttpServerResponse.jsonUnsafe({ success: true })

  const status = ({
    params: { nanoid },
    payload: { enabled }
  }: OfAccount & { readonly payload: typeof StatusPayload.Type }) =>
    Effect.as(changing(enabled ? connections.enable(nanoid) : connections.disable(nanoid)), done)

  /** Withdraws a credential. A withdrawal that the provider has not confirmed is repeated in the background. */
  const withdraw = Effect.fnUntraced(function* (id: ConnectedAccountId, options?: RevokeOptions) {
    const { answer, withdrawn } = yield* changing(connections.revoke(id, options))
    if (withdrawn === "pending") {
      return yield* new RefreshFailed({
        message: "the account is REVOKED, and the provider has not confirmed the withdrawal; it is being repeated",
        slug: "withdrawal_pending",
        ...(answer !== null && { errors: [answer] })
      })
    }
  })

  const revoke = Effect.fnUntraced(function* ({ params: { nanoid: id } }: OfAccount) {
    const before = yield* reading(accounts.get(id))
    const answer = (revoked_tokens: ReadonlyArray<string>) =>
      HttpServerResponse.jsonUnsafe({ revoked_tokens, connected_account: { id, status: "REVOKED" } })
    if (before.status === "REVOKED") {
      // Its withdrawal may still be pending.
      yield* withdraw(id)
      return answer([])
    }
    if (!withCredential.has(before.status)) {
      return yield* new NotRevocable({
        message: `the account is ${before.status} and has no credential to withdraw`,
        slug: "not_revocable"
      })
    }
    yield* withdraw(id, { ifUnsupported: "refuse" })
    return answer(withdrawnTokens(before))
  })

  const remove = Effect.fnUntraced(function* ({
    params: { nanoid },
    query: { revoke_on_delete }
  }: OfAccount & { readonly query: { readonly revoke_on_delete?: "true" | "false" | "" } }) {
    if (revoke_on_delete === "true") yield* withdraw(nanoid)
    yield* changing(connections.remove(nanoid))
    return done
  })

  return (version: ApiVersion) => ({
    list: list(version),
    create: create(version),
    link,
    patch,
    remove,
    status,
    revoke
  })
})
