/**
 * `Connections` over HTTP: each call is one request, except `find`, which asks again if there is no ACTIVE account, and `events`.
 *
 * **Details**
 *
 * - What the published surface carries goes over its routes: lists, enabling, disabling and removal. The rest goes over Rekindle's own.
 * - An answer about another account than the one asked for is refused, as is one that does not decode.
 * - An answer about an account leaves no excerpt in an error, because it may hold a credential. Neither does an answer to a request with a
 *   body, because a server may echo it.
 *
 * @module
 */
import {
  type AccountFilter,
  AuthConfig,
  type AuthConfigListOptions,
  ConnectedAccount,
  ConnectedAccountId,
  ConnectedAccountStatus,
  ConnectionEventType,
  ConnectionNotReady,
  Connections,
  type ConnectionEvent,
  type ConnectionsError,
  type CredentialInUse,
  DeadlineExceeded,
  EventsMissed,
  type EventsOptions,
  Expected,
  InvalidRequest,
  type ListOptions,
  RefreshUnsupported,
  type RevokeOptions
} from "@rekindle/core"
import * as Resilience from "@rekindle/core/Resilience"
import { Duration, Effect, Option, Result, Schema, Stream, Struct } from "effect"
import { SecureRandom } from "effect/crypto"
import { HttpBody, type HttpMethod } from "effect/http"
import { accountIn, decodeWith, parse, type RawResponse, refused } from "./answer.ts"
import type { Connection } from "./connection.ts"
import { malformedId } from "./malformedId.ts"
import * as Wire from "./wire.ts"

/** The largest page that is read to the end. */
const maxPageSize = 4 * 1024 * 1024

/** How long the server waits for an event before it answers with an empty page. */
const wait = Duration.seconds(10)

/** How much later than {@link wait} the answer may come before the connection counts as dead. */
const grace = Duration.seconds(10)

/** A following stream outlives this many failed requests in a row. */
const patience = 5

/** The pause after so many failures in a row: 1 s, 2 s, 4 s, 8 s, 16 s, or what the server asks for, at most a minute. */
const pauseAfter = (error: ConnectionsError, failures: number): Duration.Duration => {
  const asked = Resilience.retryAfterOf(error) ?? Duration.zero
  return Duration.min(Duration.max(Duration.seconds(2 ** failures), asked), Duration.minutes(1))
}

/** Whether the same read may succeed later. */
const mayPass = (error: ConnectionsError): boolean => error.disposition !== "rejected" || Resilience.mayPass(error)

const isId = Schema.is(ConnectedAccountId)
const isConfigId = (id: string) => /^[\w-]{1,64}$/.test(id)

/** No auth config has a malformed id. It is not sent, for the same reason as that of an account. */
const noSuchConfig = Effect.suspend(() =>
  Effect.fail(new InvalidRequest({ message: "No auth config has a malformed id", slug: "auth_config_not_found" }))
)

/** The published endpoints answer a call about an unknown auth config with a 404. In core it is a mistake of the request. */
const asInvalid = (error: ConnectionsError): ConnectionsError => {
  if (error._tag !== "AccountNotFound" || error.slug !== "auth_config_not_found") return error
  const details = Struct.pick(error, ["slug", "requestId", "suggestedFix", "errors"])
  return new InvalidRequest({ message: error.message, ...details })
}

type Reads<A> = (answer: RawResponse) => A | undefined

/** Reads a successful answer with a JSON body. */
const reading = <A>(schema: Schema.Codec<A, unknown>): Reads<A> => {
  const decode = Schema.decodeUnknownExit(schema)
  return ({ status, text }) => (status === 200 ? decodeWith(decode, parse(text)) : undefined)
}

/** Reads an answer that says no more than that it was done. */
const done: Reads<true> = ({ status }) => (status === 200 || status === 204 ? true : undefined)

const credentialIn = reading(Wire.CredentialAnswer)
const authorizationIn = reading(Wire.AuthorizationAnswer)
const linkIn = reading(Wire.LinkAnswer)
const withdrawnIn = reading(Wire.WithdrawnAnswer)
const NamedConfig = Schema.Struct({ id: AuthConfig.fields.id, ...Wire.ConfigToRegister.fields })

const configIn = reading(Wire.RegisteredAuthConfig)
const configsIn = reading(Wire.ConfigPage)
const accountsIn = reading(
  Schema.Struct({
    items: Schema.Array(ConnectedAccount),
    next_cursor: Schema.optionalKey(Schema.NullOr(Schema.String)),
    total_items: Schema.Int
  })
)
const isKnownType = Schema.is(ConnectionEventType)
/** A later server may have types of events that this version does not know. They are left out. */
const LaterEvent = Schema.Struct({
  sequence: Schema.Int,
  type: Schema.String.check(Schema.makeFilter((type) => !isKnownType(type)))
})
const eventsIn = reading(Schema.Struct({ items: Schema.Array(Schema.Union([Wire.ConnectionEvent, LaterEvent])) }))
const successIn = reading(Schema.Struct({ success: Schema.Literal(true) }))

const decodeNotReady = Schema.decodeUnknownExit(
  Schema.Struct({ connected_account: Schema.Struct({ id: ConnectedAccountId, status: ConnectedAccountStatus }) })
)
const decodeMissed = Schema.decodeUnknownExit(Wire.EventsMissedEnvelope)

/** The account's status in the answer that it has no usable credential. */
const notReadyIn = ({ status, text }: RawResponse, id: ConnectedAccountId): ConnectionNotReady | undefined => {
  if (status !== 409) return undefined
  const body = decodeWith(decodeNotReady, parse(text))?.connected_account
  return body?.id === id ? new ConnectionNotReady({ accountId: id, status: body.status }) : undefined
}

/** The range in the answer that events are deleted. */
const missedIn = ({ status, text }: RawResponse): EventsMissed | undefined => {
  if (status !== 410) return undefined
  const body = decodeWith(decodeMissed, parse(text))
  return body === undefined ? undefined : new EventsMissed({ message: body.error.message, ...body.events })
}

/** A query. An absent field is left out, and one with several values is repeated. */
const queryOf = (fields: Readonly<Record<string, string | number | ReadonlyArray<string> | undefined>>): string => {
  const query = new URLSearchParams()
  for (const [name, value] of Object.entries(fields)) {
    if (value === undefined) continue
    if (typeof value !== "object") query.append(name, String(value))
    else for (const each of value) query.append(name, each)
    // A server splits a single value at its commas. Repeated ones are left alone, and empty ones ignored.
    if (typeof value === "object" && value.length === 1 && value[0]?.includes(",")) query.append(name, "")
  }
  const text = query.toString()
  return text === "" ? "" : `?${text}`
}

const filterOf = ({ authConfigIds, ids, statuses, toolkits, userIds }: AccountFilter) => ({
  user_ids: userIds,
  auth_config_ids: authConfigIds,
  toolkit_slugs: toolkits,
  statuses,
  connected_account_ids: ids
})

/** Nothing is one of no values. A query cannot say that, nor that a value is empty. */
const selectsNone = (values: ReadonlyArray<string> | undefined): boolean =>
  values?.every((value) => value === "") ?? false

const largestLimit = 500

const invalidLimit = Effect.suspend(() =>
  Effect.fail(
    new InvalidRequest({
      message: `limit has to be a whole number from 1 to ${largestLimit}; nothing was sent`,
      slug: "invalid_limit"
    })
  )
)

const isLimit = (limit: number | undefined): boolean =>
  limit === undefined || (Number.isInteger(limit) && limit >= 1 && limit <= largestLimit)

/** The milliseconds of a parameter: a whole number of at most 15 digits. */
const millisOf = (duration: Duration.Input): number =>
  Math.min(Math.max(0, Math.ceil(Duration.toMillis(duration))), 10 ** 15 - 1)

const inRange = (sequences: ReadonlyArray<{ readonly sequence: number }>, after: number | undefined): boolean =>
  sequences.every(({ sequence }, index) => sequence > (sequences[index - 1]?.sequence ?? after ?? -Infinity))

/** Makes the client on a connection. */
export const make = Effect.fnUntraced(function* ({ headers, jsonHeaders, request, scrubbed, traced }: Connection) {
  const random = yield* SecureRandom.SecureRandom

  /** Sends once. Fails with what the answer says, or with `UnexpectedResponse` if `read` finds nothing in it. */
  const call = <A, E = never>(
    operation: string,
    { body, id, method = "GET", path }: CallTo,
    read: Reads<A>,
    other: (answer: RawResponse) => E | undefined = () => undefined
  ): Effect.Effect<A, ConnectionsError | E> => {
    const [sentHeaders, sentBody] =
      body === undefined ? [headers, HttpBody.empty] : [jsonHeaders, HttpBody.jsonUnsafe(body)]
    const sent = traced(
      `Connections.${operation}`,
      id,
      request(method, path, sentHeaders, sentBody),
      undefined,
      maxPageSize
    )
    return Effect.flatMap(sent, (answer): Effect.Effect<A, ConnectionsError | E> => {
      const found = read(answer)
      if (found !== undefined) return Effect.succeed(found)
      const failure = other(answer)
      if (failure !== undefined) return Effect.fail(failure)
      return refused(scrubbed(answer), { excerpt: id === undefined && body === undefined && answer.status >= 300 })
    })
  }

  /** The path of an account. A call about an account answers with its id. */
  const ofAccount = (id: ConnectedAccountId, rest: string): Pick<CallTo, "id" | "path"> => ({
    id,
    path: `connected_accounts/${id}${rest}`
  })

  const own =
    <A extends { readonly id: string }>(id: string, read: Reads<A>): Reads<A> =>
    (answer) => {
      const found = read(answer)
      return found?.id === id ? found : undefined
    }

  const credential = (id: ConnectedAccountId, atLeast?: Duration.Input) => {
    if (!isId(id)) return malformedId
    const query = queryOf({ at_least_ms: atLeast === undefined ? undefined : millisOf(atLeast) })
    return Effect.map(
      call("credential", ofAccount(id, `/credential${query}`), own(id, credentialIn), (answer) =>
        notReadyIn(answer, id)
      ),
      ({ credential }): CredentialInUse => credential
    )
  }

  const list = (operation: string, { cursor, direction, limit, orderBy, ...filter }: ListOptions) => {
    if (!isLimit(limit)) return invalidLimit
    const selected = filterOf(filter)
    if (Object.values(selected).some(selectsNone))
      return Effect.succeed({ items: [], next_cursor: null, total_items: 0 })
    const query = queryOf({
      ...selected,
      cursor,
      limit,
      order_by: orderBy === undefined ? undefined : { createdAt: "created_at", updatedAt: "updated_at" }[orderBy],
      order_direction: direction
    })
    return call(operation, { path: `connected_accounts${query}` }, accountsIn)
  }

  const setEnabled = (operation: string, id: ConnectedAccountId, enabled: boolean) =>
    isId(id)
      ? Effect.asVoid(call(operation, { ...ofAccount(id, "/status"), method: "PATCH", body: { enabled } }, successIn))
      : malformedId

  const config = <A>(
    operation: string,
    id: string,
    request: Pick<CallTo, "method" | "body"> & { readonly rest?: string },
    read: Reads<A>
  ) =>
    isConfigId(id)
      ? Effect.mapError(
          call(`authConfigs.${operation}`, { ...request, path: `auth_configs/${id}${request.rest ?? ""}` }, read),
          asInvalid
        )
      : noSuchConfig

  const registrations = (
    operation: string,
    { cursor, isDisabled, limit, search, toolkits }: AuthConfigListOptions
  ): Effect.Effect<typeof Wire.ConfigPage.Type, ConnectionsError> => {
    if (!isLimit(limit)) return invalidLimit
    if (selectsNone(toolkits)) return Effect.succeed({ items: [], next_cursor: null, total_items: 0 })
    const query = queryOf({
      cursor,
      limit,
      search,
      toolkits,
      is_disabled: isDisabled === undefined ? undefined : String(isDisabled)
    })
    return call(`authConfigs.${operation}`, { path: `registrations${query}` }, configsIn)
  }

  const authConfigs: Connections["Service"]["authConfigs"] = {
    register: (registered) =>
      Effect.flatMap(encoded(NamedConfig, registered, "invalid_auth_config"), ({ id, ...body }) =>
        config("register", id, { method: "PUT", body }, own(id, configIn))
      ),
    get: (id) =>
      config("get", id, { rest: "/registration" }, own(id, configIn)).pipe(
        Effect.asSome,
        Effect.catchIf(
          (error) => error._tag === "InvalidRequest" && error.slug === "auth_config_not_found",
          () => Effect.succeedNone
        )
      ),
    list: (options = {}) =>
      Effect.map(registrations("list", options), ({ items, next_cursor }) => ({
        items,
        nextCursor: next_cursor ?? undefined
      })),
    count: (filter = {}) =>
      Effect.map(registrations("count", { ...filter, limit: 1 }), ({ total_items }) => total_items),
    update: (id, changes) =>
      Effect.flatMap(encoded(Wire.ConfigChanges, changes, "invalid_auth_config"), (body) =>
        config("update", id, { method: "PATCH", body, rest: "/registration" }, own(id, configIn))
      ),
    enable: (id) => Effect.asVoid(config("enable", id, { method: "PATCH", rest: "/ENABLED" }, done)),
    disable: (id) => Effect.asVoid(config("disable", id, { method: "PATCH", rest: "/DISABLED" }, done)),
    remove: (id) => Effect.asVoid(config("remove", id, { method: "DELETE" }, done))
  }

  return Connections.of({
    authConfigs,
    create: Effect.fnUntraced(function* ({ id: given, ...account }) {
      // The caller chooses the id, so that a repeat is recognised and adds no second account.
      const id = given ?? ConnectedAccountId.make(`ca_${(yield* random.uuidV4()).replaceAll("-", "")}`)
      if (!isId(id)) return yield* malformedId
      const body = yield* encoded(Wire.NewAccount, account, "invalid_body")
      return yield* call("create", { ...ofAccount(id, ""), method: "PUT", body }, own(id, accountIn))
    }),
    find: Effect.fnUntraced(function* ({ authConfigId, userId }) {
      const one = (filter: AccountFilter) =>
        Effect.map(
          list("find", { userIds: [userId], authConfigIds: [authConfigId], limit: 1, ...filter }),
          ({ items }) => Option.fromUndefinedOr(items[0])
        )
      const active = yield* one({ statuses: ["ACTIVE"] })
      return Option.isSome(active) ? active : yield* one({})
    }),
    list: (options = {}) =>
      Effect.map(list("list", options), ({ items, next_cursor }) => ({ items, nextCursor: next_cursor ?? undefined })),
    count: (filter = {}) => Effect.map(list("count", { ...filter, limit: 1 }), ({ total_items }) => total_items),
    link: (id, options = {}) =>
      isId(id)
        ? Effect.flatMap(encoded(Wire.LinkOptions, options, "invalid_body"), (body) =>
            Effect.map(
              call("link", { ...ofAccount(id, "/link"), method: "POST", body }, own(id, linkIn)),
              ({ openUntil, status, url }) => ({ openUntil, status, url })
            )
          )
        : malformedId,
    update: (id, changes) =>
      isId(id)
        ? Effect.flatMap(encoded(Wire.AccountChanges, changes, "invalid_secrets"), (body) =>
            call("update", { ...ofAccount(id, "/registration"), method: "PATCH", body }, own(id, accountIn))
          )
        : malformedId,
    replaceSecrets: (id, secrets) =>
      isId(id)
        ? Effect.flatMap(encoded(Wire.BroughtCredential, { secrets }, "invalid_secrets"), (body) =>
            Effect.asVoid(call("replaceSecrets", { ...ofAccount(id, "/credential"), method: "PUT", body }, done))
          )
        : malformedId,
    enable: (id) => setEnabled("enable", id, true),
    disable: (id) => setEnabled("disable", id, false),
    revoke: (id, { ifUnsupported }: RevokeOptions = {}) =>
      isId(id)
        ? Effect.map(
            call(
              "revoke",
              { ...ofAccount(id, `/credential${queryOf({ if_unsupported: ifUnsupported })}`), method: "DELETE" },
              own(id, withdrawnIn)
            ),
            ({ answer, withdrawn }) => ({ answer, withdrawn })
          )
        : malformedId,
    remove: (id) =>
      isId(id) ? Effect.asVoid(call("remove", { ...ofAccount(id, ""), method: "DELETE" }, successIn)) : malformedId,
    accessToken: (id, atLeast) =>
      Effect.flatMap(credential(id, atLeast), (credential) =>
        credential._tag === "AccessToken"
          ? Effect.succeed(credential.token)
          : Effect.fail(
              new RefreshUnsupported({
                message: "the account's scheme has no access token; read its credential instead",
                slug: "scheme_unsupported"
              })
            )
      ),
    credential,
    authorization: (id, request) =>
      isId(id)
        ? Effect.flatMap(encoded(Wire.RequestToAuthorize, request, "invalid_body"), (body) =>
            Effect.map(
              call(
                "authorization",
                { ...ofAccount(id, "/authorization"), method: "POST", body },
                own(id, authorizationIn),
                (answer) => notReadyIn(answer, id)
              ),
              ({ headers, parameters }) => ({ headers, parameters })
            )
          )
        : malformedId,
    events: ({ after, follow = true, pollInterval = "1 second" }: EventsOptions = {}) => {
      const every = Duration.fromInputUnsafe(pollInterval)
      const page = (done: number | undefined) =>
        call(
          "events",
          {
            path: `events${queryOf({
              after: done,
              wait_ms: follow ? Duration.toMillis(wait) : undefined,
              every_ms: follow ? millisOf(every) : undefined
            })}`
          },
          (answer) => {
            const items = eventsIn(answer)?.items
            return items !== undefined && inRange(items, done) ? items : undefined
          },
          missedIn
        ).pipe(Effect.timeoutOrElse({ duration: Duration.sum(wait, grace), orElse: () => silent }))
      return Stream.paginate(
        { done: after, failures: 0 } satisfies PlaceInEvents,
        Effect.fnUntraced(function* ({
          done,
          failures
        }): Effect.fn.Return<PageOfEvents, ConnectionsError | EventsMissed> {
          const [took, read] = yield* Effect.timed(Effect.result(page(done)))
          if (Result.isFailure(read)) {
            const error = read.failure
            if (!follow || error._tag === "EventsMissed" || failures === patience || !mayPass(error))
              return yield* error
            yield* Effect.sleep(pauseAfter(error, failures))
            return [[], Option.some({ done, failures: failures + 1 })]
          }
          const items = read.success
          if (items.length === 0) {
            if (!follow) return [[], Option.none()]
            // A server that does not wait is not asked more often than the caller wants to look.
            yield* Effect.sleep(Duration.subtract(every, took))
          }
          const known = items.flatMap((event) => ("accountId" in event ? [event] : []))
          return [known, Option.some({ done: items.at(-1)?.sequence ?? done, failures: 0 })]
        })
      )
    }
  })
}, Effect.provide(SecureRandom.layerWebCrypto))

/** The last sequence that was read, and how many requests in a row have failed since. */
interface PlaceInEvents {
  readonly done: number | undefined
  readonly failures: number
}

type PageOfEvents = readonly [ReadonlyArray<ConnectionEvent>, Option.Option<PlaceInEvents>]

/** A request, and the account that it is about. */
interface CallTo {
  readonly path: string
  readonly id?: ConnectedAccountId
  readonly method?: HttpMethod.HttpMethod
  readonly body?: unknown
}

const silent = Effect.suspend(() =>
  Effect.fail(
    new DeadlineExceeded({
      message: "The server answered nothing for longer than it was asked to wait",
      timeout: Duration.sum(wait, grace),
      sent: true
    })
  )
)

/** Encodes a body. What is wrong with it is named, and its values are not. */
const encoded = <T, E>(schema: Schema.Codec<T, E>, value: T, slug: string): Effect.Effect<E, InvalidRequest> =>
  Effect.mapError(
    Schema.encodeEffect(schema)(value),
    ({ issue }) =>
      new InvalidRequest({
        message: "The request is malformed; nothing was sent",
        slug,
        errors: Expected.mistakes(issue).map(Expected.line)
      })
  )
