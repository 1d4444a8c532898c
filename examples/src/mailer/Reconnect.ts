/**
 * Asks users to reconnect their mailbox, before it stops working if possible. It follows the events of the accounts.
 *
 * @module
 */
import { type ConnectedAccount, ConnectedAccounts, Connections, type EventsMissed } from "@rekindle/core"
import { Context, Effect, Layer, Option, Ref, Schedule, Stream } from "effect"

/** A notice to a user. */
export interface Notice {
  readonly userId: string
  /** Whether the mailbox still works, until its access token expires. */
  readonly works: boolean
}

/** Delivers notices, and remembers the last event that was handled. An application has a mail queue and a table here. */
export class Notices extends Context.Service<
  Notices,
  {
    /** The sequence of the last event that was handled; `undefined` at the first start. */
    readonly handled: Effect.Effect<number | undefined>
    /** Remembers that the events up to `sequence` are handled, and the notice if there is one. */
    readonly handle: (sequence: number, notice?: Notice) => Effect.Effect<void>
    /** The notices so far. */
    readonly all: Effect.Effect<ReadonlyArray<Notice>>
  }
>()("examples/mailer/Notices") {
  static readonly layerMemory: Layer.Layer<Notices> = Layer.effect(
    Notices,
    Effect.gen(function* () {
      const state = yield* Ref.make<{ readonly last: number | undefined; readonly notices: ReadonlyArray<Notice> }>({
        last: undefined,
        notices: []
      })
      return Notices.of({
        handled: Effect.map(Ref.get(state), ({ last }) => last),
        handle: (last, notice) =>
          Ref.update(state, ({ notices }) => ({
            last,
            notices: notice === undefined ? notices : [...notices, notice]
          })),
        all: Effect.map(Ref.get(state), ({ notices }) => notices)
      })
    })
  )
}

const noticeFor = ({ userId }: ConnectedAccount, works: boolean): Notice | undefined =>
  userId === undefined ? undefined : { userId, works }

/** Handles events from the last one that was handled on, and does not end. */
const follow = Effect.gen(function* () {
  const { events } = yield* Connections
  const accounts = yield* ConnectedAccounts
  const notices = yield* Notices
  yield* Stream.runForEach(
    events({ after: yield* notices.handled }),
    Effect.fnUntraced(function* ({ accountId, sequence, type }) {
      if (type !== "expiring" && type !== "expired") return yield* notices.handle(sequence)
      // An account that was removed meanwhile needs no notice.
      const account = yield* Effect.catchTag(
        Effect.asSome(accounts.get(accountId)),
        "AccountNotFound",
        () => Effect.succeedNone
      )
      yield* notices.handle(
        sequence,
        Option.match(account, { onNone: () => undefined, onSome: (one) => noticeFor(one, type === "expiring") })
      )
    })
  )
})

/** Events were deleted while nobody followed: the accounts themselves say who has to reconnect. */
const catchUp = Effect.fnUntraced(function* ({ through }: EventsMissed) {
  const connections = yield* Connections
  const notices = yield* Notices
  yield* Stream.paginate(undefined, (cursor: string | undefined) =>
    Effect.map(
      connections.list({ statuses: ["EXPIRED"], cursor }),
      ({ items, nextCursor }) => [items, Option.fromUndefinedOr(nextCursor)] as const
    )
  ).pipe(Stream.runForEach((account) => notices.handle(through, noticeFor(account, false))))
  yield* notices.handle(through)
})

/** Follows the events in the background. After a failure it goes on a minute later, at the latest. */
export const layer: Layer.Layer<never, never, Connections | ConnectedAccounts | Notices> = Layer.effectDiscard(
  Effect.forever(Effect.catchTag(follow, "EventsMissed", catchUp)).pipe(
    Effect.tapError(({ message }) => Effect.logWarning("cannot follow the events of the accounts", { message })),
    Effect.retry(Schedule.min([Schedule.exponential("1 second"), Schedule.spaced("1 minute")])),
    Effect.forkScoped
  )
)
