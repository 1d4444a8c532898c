/**
 * An operator, and everything else that happens to a service from outside while it runs: settings and keys change, accounts are disabled and
 * revoked, processes are restarted in order, providers have outages, people withdraw their consent, a snapshot is restored.
 *
 * Each action is carried to its end, also after faults have stopped, so that no setting is left half changed.
 *
 * @module
 */
import { type ConnectedAccountId, ConnectedAccounts, Connections } from "@rekindle/core"
import { KeyRotation } from "@rekindle/engine"
import { Effect, Predicate, Random, Redacted, Schedule } from "effect"
import { callOn, refreshOn, use } from "./Callers.ts"
import type { Services } from "./EngineNode.ts"
import * as Ledger from "./Ledger.ts"
import { anyNode, type EngineProcess, keepsItsWord, pick, type Scene, whileRenewed } from "./Scene.ts"

/** How long the operator waits for one call, in milliseconds. */
const patience = 60_000

/** Asks processes for something until one has done it. */
const insist = <A, E>(scene: Scene, what: string, effect: Effect.Effect<A, E, Services>) =>
  Effect.gen(function* () {
    const node = yield* anyNode(scene)
    // A store that is silent can hold such a call for as long as it likes.
    return yield* callOn(scene, node, what, undefined, Number.POSITIVE_INFINITY, effect).pipe(Effect.timeout(patience))
  }).pipe(
    Effect.retry({
      while: (error) => !Predicate.isTagged(error, "AccountNotFound"),
      schedule: Schedule.spaced("2 seconds")
    }),
    Effect.option
  )

/** Asks once. */
const ask = <A, E>(scene: Scene, what: string, effect: Effect.Effect<A, E, Services>) =>
  Effect.gen(function* () {
    const node = yield* anyNode(scene)
    return yield* callOn(scene, node, what, undefined, Number.POSITIVE_INFINITY, effect).pipe(Effect.timeout(patience))
  }).pipe(Effect.exit)

const connections = <A, E>(use: (connections: Connections["Service"]) => Effect.Effect<A, E>) =>
  Effect.flatMap(Connections, use)

const together = { concurrency: "unbounded" } as const

type Action = (scene: Scene) => Effect.Effect<unknown>

const anyAccount = (scene: Scene) => pick(scene.accounts)
const anyProvider = (scene: Scene) => pick([...scene.providers.values()])

/** A time that is mostly short, in milliseconds. */
const aWhile = (most: number) => Effect.flatMap(Random.next, (random) => Effect.sleep(100 * (most / 100) ** random))

const actions: Readonly<Record<string, Action>> = {
  "disables an account": Effect.fnUntraced(function* (scene) {
    const id = yield* anyAccount(scene)
    yield* whileRenewed(scene, id)
    const before = scene.facts.rows.get(id)
    const disabled = yield* ask(
      scene,
      "disable",
      connections(({ disable }) => disable(id))
    )
    const after = scene.facts.rows.get(id)
    if (
      disabled._tag === "Success" &&
      before?.status === "ACTIVE" &&
      after?.status === "ACTIVE" &&
      after.generation === before.generation
    )
      scene.wrong(keepsItsWord, `${id} is ACTIVE, and the operator was told that it is disabled`)
    yield* aWhile(30_000)
    yield* insist(
      scene,
      "enable",
      connections(({ enable }) => enable(id))
    )
  }),
  "revokes an account": Effect.fnUntraced(function* (scene) {
    const id = yield* anyAccount(scene)
    yield* ask(
      scene,
      "revoke",
      connections(({ revoke }) => revoke(id))
    )
  }),
  "removes an account": Effect.fnUntraced(function* (scene) {
    const id = yield* anyAccount(scene)
    yield* ask(
      scene,
      "remove",
      connections(({ remove }) => remove(id))
    )
  }),
  "brings another credential": Effect.fnUntraced(function* (scene) {
    const id = yield* anyAccount(scene)
    yield* whileRenewed(scene, id)
    const { access, refresh } = scene.facts.ledgerOf(id).connect(id, scene.world.now())
    // Some are brought late, so that only the refresh token works.
    if ((yield* Random.next) < 0.5) access.endsAt = scene.world.now()
    const secrets = { access_token: Redacted.make(access.value), refresh_token: Redacted.make(refresh.value) }
    yield* ask(
      scene,
      "replace",
      connections(({ replaceSecrets }) => replaceSecrets(id, secrets))
    )
    yield* use(scene, yield* anyNode(scene), id)
  }),
  "links an account": Effect.fnUntraced(function* (scene) {
    const id = yield* anyAccount(scene)
    const linked = yield* ask(
      scene,
      "link",
      connections(({ link }) => link(id))
    )
    if (linked._tag === "Success") yield* scene.follow(id, linked.value.url)
  }),
  "disables an auth config": Effect.fnUntraced(function* (scene) {
    const { ledger } = yield* anyProvider(scene)
    yield* ask(
      scene,
      "disable",
      connections(({ authConfigs }) => authConfigs.disable(ledger.name))
    )
    yield* aWhile(20_000)
    yield* insist(
      scene,
      "enable",
      connections(({ authConfigs }) => authConfigs.enable(ledger.name))
    )
  }),
  "changes a client secret": Effect.fnUntraced(function* (scene) {
    const { ledger } = yield* anyProvider(scene)
    const secret = ledger.newSecret()
    const secrets = { client_secret: Redacted.make(secret) }
    const update = connections(({ authConfigs }) => authConfigs.update(ledger.name, { secrets }))
    // Some take the old one away before the application has the new one.
    if ((yield* Random.next) < 0.5) {
      ledger.forgetSecrets(secret)
      const theirs = scene.accounts.filter((id) => scene.facts.ledgerOf(id) === ledger)
      const refresh = (id: ConnectedAccountId) => Effect.flatMap(ConnectedAccounts, (accounts) => accounts.refresh(id))
      yield* Effect.forEach(theirs, (id) => ask(scene, "refresh", refresh(id)), { discard: true })
      yield* aWhile(30_000)
    }
    yield* insist(scene, "update", update)
    yield* aWhile(30_000)
    ledger.forgetSecrets(secret)
  }),
  "has an outage": Effect.fnUntraced(function* (scene) {
    const provider = yield* anyProvider(scene)
    const kind = yield* Random.next
    provider.mood =
      kind < 0.3
        ? { _tag: "Busy", status: 503, retryAfter: 3 }
        : kind < 0.6
          ? { _tag: "Refusing" }
          : kind < 0.8
            ? { _tag: "Limping", status: 502 }
            : { _tag: "Breaking", status: 500 }
    scene.world.note(`${provider.ledger.name} has an outage: ${provider.mood._tag}`)
    yield* aWhile(60_000)
    provider.mood = Ledger.well
    scene.world.note(`${provider.ledger.name} is well again`)
  }),
  "a person withdraws a consent": Effect.fnUntraced(function* (scene) {
    const { ledger } = yield* anyProvider(scene)
    ledger.withdrawn(yield* pick(ledger.grants), scene.world.now())
  }),
  "stops a process and starts it": Effect.fnUntraced(function* (scene) {
    yield* restart(scene, yield* anyNode(scene))
  }),
  "rotates the key": Effect.fnUntraced(function* (scene) {
    const { nodes, ring } = scene
    const before = ring.keys
    ring.keys = [`k${before.length + 1}`, ...before]
    for (const node of nodes) yield* restart(scene, node)
    const renew = Effect.fnUntraced(function* (id: ConnectedAccountId) {
      yield* aWhile(2_000)
      yield* refreshOn(scene, yield* anyNode(scene), id, undefined).pipe(Effect.timeout(patience), Effect.exit)
    })
    // Some accounts are renewed meanwhile.
    const [report] = yield* Effect.all(
      [insist(scene, "reseal", KeyRotation.reseal), Effect.forEach(scene.accounts, renew, together)],
      together
    )
    if (report._tag === "None" || report.value.left > 0) return
    scene.reach("everything is sealed with a new key")
  }),
  "restores a snapshot": Effect.fnUntraced(function* (scene) {
    const { facts, heard, model, nodes, store, tell, world } = scene
    const restore = model.snapshot()
    yield* aWhile(30_000)
    for (const node of nodes) yield* node.kill
    const before = new Map(facts.rows)
    // The database is down meanwhile. What it was carrying out ends with it, in the same step.
    Effect.runSyncExit(store.restart)
    restore()
    const sequence = model.events().at(-1)?.sequence ?? 0
    tell({ _tag: "Restored", at: world.now(), sequence })
    heard.through = sequence
    heard.turn++
    for (const [id, after] of model.accounts()) {
      before.delete(id)
      tell({ _tag: "Stored", at: world.now(), node: "operator", before: undefined, after, announced: [] })
    }
    for (const gone of before.values())
      tell({ _tag: "Stored", at: world.now(), node: "operator", before: gone, after: undefined, announced: [] })
    yield* Effect.orDie(model.store.doubtAll)
    world.note("a snapshot is restored, and everything in it is in doubt")
    for (const node of nodes) yield* node.restart
  })
}

/** A database in memory has no snapshot. */
const isPossible = ({ mix }: Scene, what: string): boolean => !mix.onSqlite || what !== "restores a snapshot"

/** Stops a process in order, and starts it. */
const restart = ({ tell, world }: Scene, node: EngineProcess) =>
  Effect.sync(() => tell({ _tag: "Stops", at: world.now(), node: node.name })).pipe(
    Effect.andThen(node.stop),
    Effect.timeout("30 seconds"),
    Effect.exit,
    Effect.andThen(node.restart)
  )

/** Enables what is disabled. A call of the operator may have been carried out after the one that took it back. */
export const putRight = (scene: Scene) =>
  Effect.forEach(
    scene.providers.keys(),
    (id) =>
      insist(
        scene,
        "enable",
        connections(({ authConfigs }) => authConfigs.enable(id))
      ),
    { discard: true }
  )

/** Acts until trouble is over, and carries the last action to its end. */
export const operate = (scene: Scene) =>
  Effect.gen(function* () {
    const { mix, reach, world } = scene
    while (true) {
      yield* Effect.sleep((mix.trouble / 2) * (yield* Random.next))
      if (world.now() >= mix.trouble) return
      const [what, act] = yield* pick(Object.entries(actions).filter(([what]) => isPossible(scene, what)))
      world.note(`the operator's turn: ${what}`)
      reach(what)
      yield* act(scene)
    }
  })
