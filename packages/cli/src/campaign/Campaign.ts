/**
 * A campaign makes one call for each of many accounts, at the pace that each provider allows.
 *
 * It keeps no record of its own. The accounts are its record: what is done for an account stays done if the process is killed, and the same
 * campaign finds what is left. So a call of a campaign has to be safe to repeat.
 *
 * **Gotchas**
 *
 * The pace is `requestsPerSecond` of the provider's profile, as of the renewer of a server. A server that renews at the same time sends as
 * many requests besides.
 *
 * @module
 */
import {
  type AccountFilter,
  type ConnectedAccount,
  Connections,
  type ConnectionsError,
  MonotonicClock
} from "@rekindle/core"
import { DateTime, Duration, Effect, Option, Schedule, Stream } from "effect"

/** Which accounts a campaign is for. */
export interface Selection extends AccountFilter {
  /** Accounts that were created at this time or later. */
  readonly since?: DateTime.Utc | undefined
}

/** The provider of an auth config, and its limit. All auth configs whose profiles have one name share it. */
export interface ProviderLimit {
  readonly name: string
  readonly requestsPerSecond: number
}

/** An account of a campaign. */
export interface Member {
  readonly account: Pick<ConnectedAccount, "id" | "status" | "userId" | "authConfig">
  /** Whether a credential is stored for it. A call for an account without one asks nothing of the provider, and is not paced. */
  readonly hasCredential: boolean
  readonly provider: ProviderLimit
}

const pageSize = 500

/** The provider of an account whose auth config is gone. */
const unknownProvider: ProviderLimit = { name: "unknown", requestsPerSecond: 20 }

/** Finds the accounts of a selection, the newest first. */
export const select = Effect.fnUntraced(function* ({ since, ...filter }: Selection) {
  const { authConfigs, list } = yield* Connections
  const providers = new Map<string, ProviderLimit>()
  const providerOf = Effect.fnUntraced(function* (authConfigId: string) {
    const known = providers.get(authConfigId)
    if (known !== undefined) return known
    const provider = Option.match(yield* authConfigs.get(authConfigId), {
      onNone: () => unknownProvider,
      onSome: ({ profile: { name, requestsPerSecond } }) => ({ name, requestsPerSecond })
    })
    providers.set(authConfigId, provider)
    return provider
  })
  const isSelected = ({ createdAt }: ConnectedAccount) =>
    since === undefined || DateTime.isGreaterThanOrEqualTo(createdAt, since)
  return yield* Stream.paginate(undefined as string | undefined, (cursor) =>
    Effect.map(list({ ...filter, cursor, limit: pageSize }), ({ items, nextCursor }) => {
      // The newest are first, so all further pages are too old.
      const isLast = nextCursor === undefined || items.some((account) => !isSelected(account))
      return [items.filter(isSelected), isLast ? Option.none() : Option.some<string | undefined>(nextCursor)] as const
    })
  ).pipe(
    Stream.mapEffect(({ authConfig, id, state, status, userId }) =>
      Effect.map(providerOf(authConfig.id), (provider): Member => ({
        account: { id, status, authConfig, ...(userId === undefined ? {} : { userId }) },
        hasCredential: Object.keys(state.val).length > 0,
        provider
      }))
    ),
    Stream.runCollect
  )
})

/** The calls in flight for one provider. A slow provider would otherwise collect as many as its pace allows. */
const inFlight = 16

/** The longest pause that a server or provider may ask for. */
const longestPause = Duration.minutes(1)

/** Lets calls through one by one, evenly spaced. No correction of the wall clock holds them up. */
const makePace = (requestsPerSecond: number) => {
  const spacing = 1000 / requestsPerSecond
  let next = Number.NEGATIVE_INFINITY
  return Effect.flatMap(MonotonicClock.millis, (now) => {
    const at = Math.max(now, next)
    next = at + spacing
    return at > now ? Effect.sleep(at - now) : Effect.void
  })
}

/** Whether the server or the database does not answer now. The call may succeed later. */
const isAway = (error: ConnectionsError): boolean =>
  error._tag === "RateLimited" ||
  error._tag === "TransportError" ||
  ("slug" in error && (error.slug === "store_unavailable" || error.slug === "shutting_down"))

/** Whether the next account would meet the same failure. */
const concernsAll = (error: ConnectionsError): boolean =>
  error._tag === "Unauthorized" || error._tag === "Forbidden" || isAway(error)

/** The pauses while the server or the database is away: about half a minute together, and more if the server asks for it. */
const patience = Schedule.exponential("1 second").pipe(
  Schedule.setInputType<ConnectionsError>(),
  Schedule.modifyDelay(({ duration, input }) =>
    Effect.succeed(
      Duration.min(
        longestPause,
        Duration.max(duration, "retryAfter" in input && input.retryAfter !== undefined ? input.retryAfter : duration)
      )
    )
  ),
  Schedule.upTo({ times: 5 })
)

/**
 * Makes the call for each account. Providers go side by side, the accounts of one at its pace. `onEnd` gets the result of each, as a value
 * or as the failure of that account alone. Fails if the server or the database fails for good: then the same campaign can be run again.
 */
export const run = <A, R>(
  members: ReadonlyArray<Member>,
  call: (member: Member) => Effect.Effect<A, ConnectionsError, R>,
  onEnd: (member: Member, result: { readonly value: A } | { readonly error: ConnectionsError }) => Effect.Effect<void>
): Effect.Effect<void, ConnectionsError, R> => {
  const byProvider = Map.groupBy(members, ({ hasCredential, provider }) => (hasCredential ? provider.name : undefined))
  return Effect.forEach(
    byProvider,
    ([provider, members]) => {
      const pace =
        provider === undefined
          ? Effect.void
          : makePace(Math.min(...members.map(({ provider }) => provider.requestsPerSecond)))
      return Effect.forEach(
        members,
        (member) =>
          Effect.andThen(pace, () => call(member)).pipe(
            Effect.retry({ while: isAway, schedule: patience }),
            Effect.matchEffect({
              onSuccess: (value) => onEnd(member, { value }),
              onFailure: (error) => (concernsAll(error) ? Effect.fail(error) : onEnd(member, { error }))
            })
          ),
        { concurrency: inFlight, discard: true }
      )
    },
    { concurrency: "unbounded", discard: true }
  )
}
