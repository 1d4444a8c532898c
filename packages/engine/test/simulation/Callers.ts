/**
 * Callers: the applications on the nodes of a world. Each call has a deadline, and what comes of it is a fact.
 *
 * @module
 */
import { type ConnectedAccountId, ConnectedAccounts, Connections, type RefreshOptions } from "@rekindle/core"
import { Clock, DateTime, Effect, Equal, Exit, Random, Redacted, Stream } from "effect"
import { type Services, shown } from "./EngineNode.ts"
import { anyNode, type EngineProcess, keepsItsWord, pick, type Scene } from "./Scene.ts"

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
  effect: Effect.Effect<A, E, Services> | ((call: number) => Effect.Effect<A, E, Services>)
) =>
  node.call((running) =>
    running(
      Effect.gen(function* () {
        const { nextCall, tell, world } = scene
        const call = nextCall()
        const at = world.now()
        tell({ _tag: "Called", at, node: node.name, call, what, account, deadline: at + wait })
        const { changes } = node.wallClock
        const exit = yield* Effect.exit(Effect.isEffect(effect) ? effect : effect(call))
        const error = Exit.isSuccess(exit) ? undefined : shown(exit.cause)
        const slug = Exit.isFailure(exit) ? slugOf(exit) : undefined
        // A deadline is a time of the wall clock. Nobody can keep it if that clock is changed meanwhile.
        if (node.wallClock.changes === changes)
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
export const refreshOn = (
  scene: Scene,
  node: EngineProcess,
  id: ConnectedAccountId,
  wait: number | undefined,
  options: RefreshOptions = {}
) =>
  callOn(
    scene,
    node,
    "refresh",
    id,
    wait ?? patience,
    Effect.fnUntraced(function* (call) {
      const accounts = yield* ConnectedAccounts
      const now = yield* Clock.currentTimeMillis
      if (options.tokenRefused === true) scene.tell({ _tag: "Refused", node: node.name, call, account: id })
      const deadline = wait === undefined ? undefined : DateTime.makeUnsafe(now + wait)
      return yield* accounts.refresh(id, { ...options, deadline })
    })
  )

/** A read of the access token on a node. */
const readOn = (scene: Scene, node: EngineProcess, id: ConnectedAccountId) =>
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
      return Redacted.value(token)
    })
  )

/** A third party refused an access token that the engine had given out. It is not given out again as one that works. */
const reportOn = Effect.fnUntraced(function* (
  scene: Scene,
  node: EngineProcess,
  id: ConnectedAccountId,
  token: string
) {
  const { facts, reach, world, wrong } = scene
  reach("a refused access token is reported")
  const askedAt = world.now()
  const outcome = yield* refreshOn(scene, node, id, undefined, { tokenRefused: true })
  const account = facts.rows.get(id)
  const isBack = account !== undefined && facts.opened(account)["access_token"] === token
  // A snapshot that was restored meanwhile brings the token back.
  if (outcome._tag === "Ready" && isBack && !facts.isForgotten(askedAt))
    wrong(keepsItsWord, `${id} is Ready with the access token that was reported as refused`)
  return outcome
})

/**
 * A caller that does not trust its first answer, or has none, and repeats its call. Two answers under one key are the same, unless the store
 * could not take the first one.
 */
const refreshTwice = Effect.fnUntraced(function* (scene: Scene, id: ConnectedAccountId) {
  const { facts, mix, reach, wrong } = scene
  const idempotencyKey = `key-${Math.floor(1e9 * (yield* Random.next))}`
  // Another process may not have the key yet that the answer is sealed with.
  const node = yield* anyNode(scene)
  const refresh = inTime(refreshOn(scene, node, id, 5_000, { idempotencyKey }))
  const lapses = facts.lapses()
  const first = yield* refresh
  yield* Effect.sleep(mix.pace * (yield* Random.next))
  const second = yield* refresh
  if (Exit.isSuccess(first) && Exit.isSuccess(second)) {
    reach("a call is repeated under its key")
    if (!Equal.equals(first.value, second.value) && facts.lapses() === lapses)
      wrong(keepsItsWord, `${id} has two answers under one key`)
  }
  return second
})

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

/** The caller does not wait for ever for a node that is gone. */
const inTime = <A, E, R>(asked: Effect.Effect<A, E, R>) => asked.pipe(Effect.timeout("1 minute"), Effect.exit)

/** An application uses an account: it reads the access token, and reports it if the third party does not take it. */
export const use = Effect.fnUntraced(function* (scene: Scene, node: EngineProcess, id: ConnectedAccountId) {
  const read = yield* inTime(readOn(scene, node, id))
  if (Exit.isFailure(read)) return
  const ledger = scene.facts.ledgerOf(id)
  const token = ledger.find(read.value)
  if (token !== undefined && !ledger.isLive(token, scene.world.now()))
    yield* inTime(reportOn(scene, node, id, read.value))
})

/** All callers of a world, until they are interrupted. */
export const calls = (scene: Scene) => {
  const { accounts, follow, mix } = scene
  const call = Effect.fnUntraced(function* (account: ConnectedAccountId) {
    const node = yield* anyNode(scene)
    const kind = yield* Random.next
    if (kind < 0.5) return yield* use(scene, node, account)
    if (mix.people && kind < 0.55) {
      const linked = yield* inTime(linkOn(scene, node, account))
      return Exit.isSuccess(linked) ? yield* follow(account, linked.value.url) : undefined
    }
    const outcome =
      kind < 0.6
        ? yield* refreshTwice(scene, account)
        : yield* inTime(refreshOn(scene, node, account, kind < 0.8 ? undefined : 5_000))
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
      // When trouble is over, little is announced.
      const pace = world.now() < mix.trouble ? mix.trouble / 4 : Math.max(mix.trouble / 4, 10_000)
      yield* Effect.sleep(pace * (0.5 + (yield* Random.next)))
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
