/**
 * Callers: the applications on the nodes of a world. Each call has a deadline, and what comes of it is a fact.
 *
 * @module
 */
import { type ConnectedAccountId, ConnectedAccounts, Connections } from "@rekindle/core"
import { Clock, DateTime, Effect, Exit, Random, Redacted, Stream } from "effect"
import { type Services, shown } from "./EngineNode.ts"
import { anyNode, type EngineProcess, pick, type Scene } from "./Scene.ts"

/**
 * How long a caller waits at most that sets no deadline itself, in milliseconds: the engine's patience with a renewal, and a store that is
 * silent before and after it.
 */
const patience = 90_000

/** Makes a call on a node, as code of the application that runs there. */
export const callOn = <A, E>(
  scene: Scene,
  node: EngineProcess,
  what: string,
  account: ConnectedAccountId | undefined,
  wait: number,
  effect: Effect.Effect<A, E, Services>
) =>
  node.call((running) =>
    running(
      Effect.gen(function* () {
        const { nextCall, tell, world } = scene
        const call = nextCall()
        const at = world.now()
        tell({ _tag: "Called", at, node: node.name, call, what, account, deadline: at + wait })
        const skew = node.wallClock.skew
        const exit = yield* Effect.exit(effect)
        const error = Exit.isSuccess(exit) ? undefined : shown(exit.cause)
        const slug = Exit.isFailure(exit) ? slugOf(exit) : undefined
        // A deadline is a time of the wall clock. Nobody can keep it if that clock is changed meanwhile.
        if (node.wallClock.skew === skew)
          tell({ _tag: "Returned", at: world.now(), call, error, slug, isInterrupted: Exit.hasInterrupts(exit) })
        return yield* exit
      })
    )
  )

const slugOf = (exit: Exit.Exit<unknown, unknown>): string | undefined => {
  const error = Exit.findErrorOption(exit)
  return error._tag === "Some" && typeof error.value === "object" && error.value !== null && "slug" in error.value
    ? String(error.value.slug)
    : undefined
}

/** A refresh on a node. */
export const refreshOn = (scene: Scene, node: EngineProcess, id: ConnectedAccountId, wait: number | undefined) =>
  callOn(
    scene,
    node,
    "refresh",
    id,
    wait ?? patience,
    Effect.gen(function* () {
      const accounts = yield* ConnectedAccounts
      const now = yield* Clock.currentTimeMillis
      return yield* accounts.refresh(id, wait === undefined ? {} : { deadline: DateTime.makeUnsafe(now + wait) })
    })
  )

/** A read of the access token on a node. */
export const readOn = (scene: Scene, node: EngineProcess, id: ConnectedAccountId) =>
  callOn(
    scene,
    node,
    "accessToken",
    id,
    patience,
    Effect.gen(function* () {
      const connections = yield* Connections
      const token = yield* connections.accessToken(id)
      const wall = yield* Clock.currentTimeMillis
      scene.tell({
        _tag: "Handed",
        at: scene.world.now(),
        node: node.name,
        wall,
        account: id,
        token: Redacted.value(token)
      })
    })
  )

/** A link to consent, asked for on a node. */
const linkOn = (scene: Scene, node: EngineProcess, id: ConnectedAccountId) =>
  callOn(
    scene,
    node,
    "link",
    id,
    // It has no deadline.
    Number.POSITIVE_INFINITY,
    Effect.flatMap(Connections, ({ link }) => link(id))
  )

/** All callers of a world, until they are interrupted. */
export const calls = (scene: Scene) => {
  const { accounts, follow, mix } = scene
  const call = Effect.fnUntraced(function* (account: ConnectedAccountId) {
    const node = yield* anyNode(scene)
    const kind = yield* Random.next
    // The caller does not wait for ever for a node that is gone.
    const inTime = <A, E>(asked: Effect.Effect<A, E>) => asked.pipe(Effect.timeout("1 minute"), Effect.exit)
    if (kind < 0.5) return yield* Effect.asVoid(inTime(readOn(scene, node, account)))
    if (mix.people && kind < 0.55) {
      const linked = yield* inTime(linkOn(scene, node, account))
      return Exit.isSuccess(linked) ? yield* follow(account, linked.value.url) : undefined
    }
    const outcome = yield* inTime(refreshOn(scene, node, account, kind < 0.75 ? undefined : 5_000))
    if (mix.people && Exit.isSuccess(outcome) && outcome.value._tag === "RedirectRequired")
      yield* follow(account, outcome.value.redirectUrl)
  })
  const caller = Effect.gen(function* () {
    while (true) {
      yield* Effect.sleep(mix.pace * 2 * (yield* Random.next))
      const account = yield* pick(accounts)
      yield* Effect.all(
        Array.from({ length: mix.herd }, () => (mix.mixesHerds ? Effect.flatMap(pick(accounts), call) : call(account))),
        { concurrency: "unbounded", discard: true }
      )
    }
  })
  return Effect.all(
    Array.from({ length: mix.callers }, () => caller),
    { concurrency: "unbounded", discard: true }
  )
}

/** Somebody who handles events, and remembers the last one. */
export const hear = (scene: Scene) =>
  Effect.gen(function* () {
    const { heard, mix, tell, world } = scene
    while (true) {
      yield* Effect.sleep((mix.trouble / 4) * (0.5 + (yield* Random.next)))
      const node = yield* anyNode(scene)
      const turn = ++heard.turn
      const reads = Effect.flatMap(Connections, ({ events }) =>
        Stream.runForEach(events({ after: heard.through, follow: false }), ({ sequence }) =>
          Effect.sync(() => {
            // Another turn has begun: this one took too long, or the database was restored meanwhile.
            if (heard.turn !== turn) return
            heard.through = sequence
            tell({ _tag: "Heard", at: world.now(), reader: "reader", sequence })
          })
        )
      )
      yield* callOn(scene, node, "events", undefined, patience, reads).pipe(Effect.timeout("30 seconds"), Effect.exit)
    }
  })
