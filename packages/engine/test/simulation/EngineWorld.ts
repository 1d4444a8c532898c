/**
 * The engine's world: processes that share a store and renew accounts at providers, callers, people who consent, and an operator. A seed
 * decides all of it: how many there are of each, how the providers treat their tokens, how fast everything goes, and what goes wrong.
 *
 * `run(seed, options)` runs one world to its end and tells what it came to. It holds the {@link invariants} all the time. Then faults stop,
 * and every account has to be usable within a bound.
 *
 * @module
 */
import { AuthConfig, ConnectedAccountId, ProviderProfile } from "@rekindle/core"
import { type Account, AccountStore, AuthConfigJson } from "@rekindle/engine"
import { Simulation } from "@rekindle/testing"
import { Clock, Duration, Effect, Fiber, Layer, Random, Redacted, Schema } from "effect"
import { credentialContext } from "#engine/account/Account.ts"
import { authConfigContext } from "#engine/account/AuthConfig.ts"
import * as Ambush from "./Ambush.ts"
import { calls, hear, refreshOn } from "./Callers.ts"
import * as EngineNode from "./EngineNode.ts"
import * as Facts from "./Facts.ts"
import { operate, putRight } from "./Operator.ts"
import * as People from "./People.ts"
import * as Reached from "./Reached.ts"
import { beginning, keepsItsWord, type Scene } from "./Scene.ts"
import { ails, invariants } from "./invariants.ts"
import * as Ledger from "./Ledger.ts"
import { draw, type ProviderMix } from "./Mix.ts"
import * as ModelStore from "./ModelStore.ts"
import * as SqliteStore from "./SqliteStore.ts"
import * as StoreWay from "./StoreWay.ts"
import * as TableVault from "./TableVault.ts"
import { told } from "./Telling.ts"
import * as Wire from "./Wire.ts"

/** Which world to run, besides its seed: faults or sizes instead of those that the seed draws, as an outcome has them, and bounds. */
export type Options = Omit<Simulation.Settings, "seed">

/** What a world came to. */
export interface Outcome extends Simulation.Outcome<void> {
  /** How often the world was in each of the dangerous states. */
  readonly reached: Readonly<Record<string, number>>
}

/** How often faults strike, as a share of the uses of their site. */
const rates = {
  kill: 0.0015,
  freeze: 0.001,
  "clock-jump": 0.0005,
  "store-refused": 0.01,
  "store-request-lost": 0.01,
  "store-request-slow": 0.01,
  "store-answer-lost": 0.015,
  "store-cut": 0.002,
  "wire-refused": 0.03,
  "wire-request-lost": 0.04,
  "wire-request-slow": 0.05,
  "wire-answer-lost": 0.06,
  "wire-answer-late": 0.06,
  "wire-answer-late-in-need": 0.4,
  "wire-answer-cut": 0.03,
  "provider-busy": 0.04,
  "provider-breaks": 0.05,
  "provider-limps": 0.04,
  "power-loss": 0.0005,
  "disk-full": 0.01,
  "disk-slow": 0.01,
  "disk-torn": 0.01,
  "disk-fails": 0.01,
  "sqlite-full": 0.008,
  "sqlite-io": 0.008,
  "sqlite-io-after": 0.008,
  "sqlite-kill": 0.005,
  "sqlite-kill-after": 0.005,
  "freeze-with-lease": 0.06,
  "kill-with-lease": 0.06,
  "clock-jump-with-lease": 0.06,
  "clock-jump-beside-lease": 0.06,
  "reboot-with-lease": 0.1,
  "freeze-with-answer": 0.08,
  "kill-with-answer": 0.08,
  "store-cut-with-answer": 0.08,
  "commit-slow-with-answer": 0.1,
  "commits-refused-with-answer": 0.04,
  "flush-slow-with-answer": 0.04,
  "killed-in-slow-commit": 0.06,
  "commit-slow-with-late-answer": 0.5
}

/** Worlds differ in how much goes wrong. */
const ratesOf = (seed: number): Simulation.FaultRates => {
  const factor = [0.3, 1, 2, 4][seed % 4] ?? 1
  return Object.fromEntries(Object.entries(rates).map(([kind, rate]) => [kind, Math.min(1, rate * factor)]))
}

const encodeConfig = Schema.encodeSync(AuthConfigJson)

const configOf = ({ name, profile, rotation, rules }: ProviderMix, secret: string): AuthConfig =>
  AuthConfig.make({
    id: name,
    toolkit: name,
    scheme: "OAUTH2",
    profile: ProviderProfile.make({
      name: profile,
      rotation: rules.rotation,
      ...(rules.reuseWindow > 0 ? { reuseWindow: Duration.millis(rules.reuseWindow) } : {}),
      ...(rotation === "sliding" ? { refreshTokenIdle: Duration.millis(rules.refreshTokenIdle) } : {}),
      margin: Duration.seconds(20),
      deadToken: [
        { field: "error", values: ["bad_refresh_token", "invalid_refresh_token"] },
        { field: "status", values: ["BAD_REFRESH_TOKEN"] }
      ]
    }),
    settings: {
      clientId: "client",
      tokenEndpoint: `https://${name}/token`,
      revocationEndpoint: `https://${name}/revoke`,
      authorizationEndpoint: `https://${name}/authorize`,
      pkce: false
    },
    secrets: { client_secret: Redacted.make(secret) },
    hosts: [name]
  })

/** More than the largest worlds need. */
const maxSteps = 200_000

/** Runs a world. The promise is never rejected. */
export const run = async (seed: number, options: Options = {}): Promise<Outcome> => {
  const reached: Record<string, number> = {}
  const outcome = await Simulation.run(
    { maxSteps, ...options, seed, faults: options.faults ?? ratesOf(seed), promises: false },
    (world) => Effect.andThen(setUp(world, reached), live)
  )
  return { ...outcome, reached }
}

/** Builds a world and starts its processes. */
const setUp = (world: Simulation.World, reached: Record<string, number>) =>
  Effect.gen(function* () {
    const mix = draw(world)
    const vault = TableVault.make()
    const scope = yield* Effect.scope
    const ring: Scene["ring"] = { keys: ["k1"] }
    let requests = 0
    let asked = 0
    let asker = "world"
    let failed: { readonly name: string; readonly message: string } | undefined
    const wrong: Scene["wrong"] = (name, message) => {
      failed ??= { name, message }
    }

    const ledgers = new Map<string, Ledger.Ledger>()
    const facts = Facts.make({
      lease: mix.times.lease,
      ledgerOf: (account) => ledgers.get(providerOf(account)) ?? unknownProvider(account),
      opened: ({ credential }) => vault.secretsOf(credential)
    })
    const watches = invariants.map(({ name, watch }) => ({
      name,
      watch: watch(facts, { ...mix.times, lateness: 2000 })
    }))
    const ways = new Map<string, StoreWay.Way>()
    /** How long the next flush of a node's disk takes besides, in milliseconds. */
    const slowFlushes = new Map<string, number>()
    const context = yield* Effect.context<never>()
    const inWorld = (effect: Effect.Effect<void>): void => void Effect.runForkWith(context)(effect)
    const ambush = Ambush.make({
      accountOf: (request) => facts.travel(request)?.sent.account?.id ?? "",
      another: (account, which) => {
        const others = accounts.filter((id) => id !== account)
        return others[Math.floor(which * others.length)]
      },
      isOverdue: (request, at) => at - (facts.travel(request)?.sent.at ?? at) > mix.times.egressTimeout,
      ask: (name, account) => {
        const node = nodes.find((node) => node.name === name)
        const id = accounts.find((id) => id === account)
        return node === undefined || id === undefined
          ? Effect.void
          : refreshOn(scene, node, id, undefined).pipe(Effect.timeout("1 minute"), Effect.exit, Effect.asVoid)
      },
      world,
      nodeOf: (name) => nodes.find((node) => node.name === name),
      besides: (name) => nodes.find((node) => node.name !== name),
      cut: (name, millis) => ways.get(name)?.cut(millis),
      holdUp: (name, millis) => ways.get(name)?.holdUp(millis),
      refuseCommits: (name, millis) => ways.get(name)?.refuseCommits(millis),
      slowFlush: (name, millis) => slowFlushes.set(name, millis),
      run: inWorld,
      lease: mix.times.lease,
      until: mix.trouble
    })
    const reach = (what: string): void => {
      reached[what] = (reached[what] ?? 0) + 1
    }
    const count = Reached.make(facts, mix.times, reach)
    const tell = (fact: Facts.Fact): void => {
      facts.add(fact)
      ambush(fact)
      count(fact)
      const words = told(fact)
      if (words !== undefined) world.note(words)
      for (const { name, watch } of watches) {
        const message = watch(fact)
        if (message !== undefined) wrong(name, message)
      }
    }
    for (const name of [...invariants.map(({ name }) => name), "every account recovers", keepsItsWord])
      world.invariant(name, () => (failed?.name === name ? failed.message : undefined))

    const model = ModelStore.make({
      clock: mix.storeHasClock ? () => beginning + world.now() : undefined,
      changed: (before, after, announced) =>
        tell({ _tag: "Stored", at: world.now(), node: asker, before, after, announced })
    })
    const perform: StoreWay.Perform = (effect, node, clock) =>
      Effect.suspend(() => {
        asker = node
        return Effect.provideService(effect, Clock.Clock, clock)
      })
    const storeNode = world.node("store", () => Effect.succeed(perform), { faults: false })

    const sqlite = mix.onSqlite
      ? yield* SqliteStore.make({
          world,
          tell,
          node: "n0",
          reach,
          kill: (amount) => {
            const node = nodes[0]
            if (node === undefined) return
            Effect.runSyncExit(node.kill)
            inWorld(Effect.delay(node.restart, 60_000 ** amount))
          }
        })
      : undefined
    const providers = new Map<string, Wire.Provider>()
    const accounts: Array<ConnectedAccountId> = []
    for (const each of mix.providers) {
      const secret = `cs-${Ledger.secretMark}-${each.name}`
      const ledger = Ledger.make(each.name, each.rules, each.dialect, secret)
      ledgers.set(each.name, ledger)
      const node = world.node(each.name, () => Effect.succeed(ledger), { faults: false })
      providers.set(each.name, { ledger, node, busy: new Map(), waiting: new Map(), mood: Ledger.well })
      yield* connect(each, { ledger, store: sqlite?.store ?? model.store, vault, accounts, secret })
    }

    sqlite?.observe()
    const nodes = Array.from({ length: mix.nodes }, (_, index) => {
      const name = `n${index}`
      const way = StoreWay.make({ world, tell, model, node: storeNode }, { name })
      ways.set(name, way)
      const transport = Wire.make(
        {
          world,
          tell,
          providers,
          rowOf: (account) => facts.rows.get(account),
          nextRequest: () => requests++,
          longestWay: mix.times.requestTimeout / 2,
          thinking: mix.thinking,
          inTurn: mix.inTurn
        },
        { name }
      )
      return world.node(
        name,
        ({ disk }) =>
          EngineNode.start({
            store: sqlite?.layer ?? Layer.succeed(AccountStore, way.service),
            vault: vault.vault(ring.keys),
            transport,
            disk: observed(
              disk,
              (sound) => tell({ _tag: "Disk", at: world.now(), node: name, sound }),
              (flushed) => {
                const millis = slowFlushes.get(name)
                slowFlushes.delete(name)
                if (millis === undefined) flushed()
                else inWorld(Effect.delay(Effect.sync(flushed), millis))
              }
            ),
            durability: mix.durability,
            times: mix.times,
            renews: mix.renews,
            traces: mix.traces,
            logged: (text) => tell({ _tag: "Logged", at: world.now(), node: name, text })
          }),
        {
          changed: (to) => {
            way.follow(to)
            if (to === "ended" || to === "without power") sqlite?.ended()
            const is = to === "running" || to === "frozen" ? to : "down"
            const loses = to === "without power" ? "unsynced" : "nothing"
            tell({ _tag: "Node", at: world.now(), rest: world.rests(), node: name, is, loses })
          }
        }
      )
    })
    const scene: Scene = {
      world,
      mix,
      facts,
      tell,
      providers,
      model,
      store: storeNode,
      vault,
      nodes,
      accounts,
      ring,
      heard: { through: 0, turn: 0 },
      nextCall: () => asked++,
      reach,
      wrong,
      follow: (id, link) => Effect.asVoid(Effect.forkIn(People.follow(scene, id, link), scope))
    }
    return scene
  })

/** A disk that tells when it does not keep what is written. `afterFlush` decides when the end of a flush is heard. */
const observed = (
  disk: Simulation.Disk,
  tell: (isSound: boolean) => void,
  afterFlush: (flushed: () => void) => void
): Simulation.Disk => {
  const failed = (cause: unknown): void => {
    // Room for an answer is reserved before its request, so a full disk loses none.
    if (cause instanceof Simulation.DiskError && cause.reason === "full") return
    tell(false)
    tell(true)
  }
  const told = <A>(use: () => A): A => {
    try {
      return use()
    } catch (cause) {
      failed(cause)
      throw cause
    }
  }
  return {
    ...disk,
    create: (name) => {
      const file = told(() => disk.create(name))
      return {
        ...file,
        write: (bytes, position) => told(() => file.write(bytes, position)),
        flush: (done) =>
          file.flush((error) => {
            if (error !== undefined) failed(error)
            afterFlush(() => done(error))
          })
      }
    }
  }
}

/** The name of an account tells its provider. */
const providerOf = (account: string): string => /^ca_(\w+?)_/.exec(account)?.[1] ?? ""

const unknownProvider = (account: string): never => {
  throw new Error(`no provider of ${account}`)
}

/** Registers a provider's application, and connects its first accounts. */
const connect = Effect.fnUntraced(function* (
  { accounts: count, ...provider }: ProviderMix,
  {
    accounts,
    ledger,
    secret,
    store,
    vault
  }: {
    readonly ledger: Ledger.Ledger
    readonly store: AccountStore["Service"]
    readonly vault: TableVault.TableVault
    readonly accounts: Array<ConnectedAccountId>
    readonly secret: string
  }
) {
  const config = configOf({ accounts: count, ...provider }, secret)
  const sealed = vault.seal("k1", authConfigContext(config), encodeConfig(config))
  yield* Effect.orDie(store.putAuthConfig({ id: config.id, projectId: config.projectId, sealed, updatedAt: beginning }))
  for (let index = 0; index < count; index++) {
    const id = ConnectedAccountId.make(`ca_${provider.name}_account${index}`)
    const { access, refresh } = ledger.connect(id, 0)
    const place = { id, projectId: config.projectId, generation: 1 }
    const credential = JSON.stringify({
      secrets: { access_token: access.value, refresh_token: refresh.value },
      attributes: { token_type: "bearer" }
    })
    // The access token of some accounts has run out, so their refresh tokens are needed at once.
    const expiresAt = index < provider.over ? beginning - 1 : beginning + access.endsAt
    const account: Account = {
      ...place,
      publicId: id,
      authConfigId: config.id,
      toolkit: config.toolkit,
      userId: id,
      alias: null,
      scheme: "OAUTH2",
      status: "ACTIVE",
      statusReason: null,
      revision: 1,
      grantId: `grant ${id}`,
      credential: vault.seal("k1", credentialContext(place), credential),
      previousCredential: null,
      obtainedAt: Math.min(beginning, expiresAt - 1),
      expiresAt,
      renewAt: Math.max(beginning, expiresAt - 20_000),
      consentUntil: null,
      withdrawal: null,
      lease: null,
      epoch: 0,
      intent: null,
      lastAttempt: null,
      createdAt: beginning,
      updatedAt: beginning
    }
    yield* Effect.orDie(store.insert(account))
    accounts.push(id)
  }
})

/** How long accounts may take to recover once faults have stopped, and how often they are looked at, in milliseconds. */
const recovery = 20 * 60_000
const lookEvery = 5_000

/** The longest time that lies between a failure and the next try within the first day, in milliseconds. */
const longestPause = 8 * 60_000

/** The course of a world: trouble, and then recovery. */
const live = (scene: Scene) =>
  Effect.gen(function* () {
    const { facts, mix, nodes, wrong, world } = scene
    const acting = yield* Effect.forkScoped(calls(scene))
    const operating = yield* Effect.forkScoped(mix.operator ? operate(scene) : Effect.void)
    const reading = yield* Effect.forkScoped(hear(scene))
    if (mix.fullDisks) for (const { disk } of nodes) disk.capacity = 0
    yield* Effect.sleep(mix.trouble / 2)
    for (const { disk } of nodes) disk.capacity = Number.POSITIVE_INFINITY
    yield* Effect.sleep(mix.trouble / 2)
    const clocksWereRight = nodes.every(({ wallClock }) => wallClock.skew === 0)
    yield* world.heal
    yield* Fiber.interrupt(acting)
    yield* Fiber.join(operating)
    if (mix.operator) {
      // Twice, because a process that stood still carries out a late call of the operator beside the first one.
      yield* Effect.delay(putRight(scene), lookEvery)
      yield* Effect.delay(putRight(scene), lookEvery)
    }
    world.note("faults stop")
    const until = world.now() + recovery
    const left = new Set<string>(facts.rows.keys())
    while (true) {
      yield* Effect.sleep(lookEvery)
      const ailments = [...left].flatMap((id) => {
        const account = facts.rows.get(id)
        const ailment = account && ails(facts, account, world.now(), beginning + world.now())
        if (ailment === undefined) left.delete(id)
        return ailment ?? []
      })
      if (left.size === 0) return yield* Fiber.interrupt(reading)
      if (world.now() > until) return wrong("every account recovers", ailments.join("; "))
      // Nothing is renewed in the background, or not for long, because a clock was ahead when the due time was set. So somebody has to ask.
      const isLeftAlone = (id: ConnectedAccountId) =>
        !mix.renews || (!clocksWereRight && (facts.rows.get(id)?.renewAt ?? 0) > beginning + world.now() + longestPause)
      const node = nodes[Math.floor((yield* Random.next) * nodes.length)]
      for (const id of scene.accounts)
        if (node !== undefined && left.has(id) && isLeftAlone(id))
          yield* Effect.exit(refreshOn(scene, node, id, undefined))
    }
  })
