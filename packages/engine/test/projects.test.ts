/** The accounts and configs of another project do not exist: every operation of every service that takes an id, one by one. */
import { assert, describe, it } from "@effect/vitest"
import {
  type AuthConfigRegistry,
  ConnectedAccountId,
  ConnectedAccounts,
  Connections,
  CurrentProject
} from "@rekindle/core"
import { type Account, type AuthConfigRef, AuthConfigs, Consent } from "@rekindle/engine"
import { ScriptedProvider } from "@rekindle/testing"
import { DateTime, Effect, Exit, Redacted, Stream } from "effect"
import { authConfig, scenario, type Services, settle, stored, Wire } from "./support/ScriptedEngine.ts"

/** The ids for an operation: those of another project, or unknown ones. */
interface Ids {
  readonly account: ConnectedAccountId
  readonly config: string
  readonly row: Account
}

type Operation = (ids: Ids) => Effect.Effect<unknown, unknown, Services>

const secrets = { access_token: Redacted.make("stolen") }

const elsewhere = (id: string, projectId: string) =>
  authConfig(id, {}, { projectId, settings: { ...authConfig(id).settings, clientId: projectId } })

const accounts: Record<keyof ConnectedAccounts["Service"], Operation> = {
  get: ({ account }) => Effect.flatMap(ConnectedAccounts, (accounts) => accounts.get(account)),
  refresh: ({ account }) => Effect.flatMap(ConnectedAccounts, (accounts) => accounts.refresh(account))
}

const inConnections = <A, E>(use: (connections: Connections["Service"]) => Effect.Effect<A, E>) =>
  Effect.flatMap(Connections, use)

const connections: Record<Exclude<keyof Connections["Service"], "authConfigs">, Operation> = {
  create: ({ account, config }) =>
    inConnections(({ authConfigs, create }) =>
      Effect.gen(function* () {
        const underTheirs = yield* Effect.exit(create({ authConfigId: config, userId: "u", secrets }))
        yield* authConfigs.register(elsewhere("own", "ours"))
        // The dates are left out, because they differ from run to run.
        const { id, status, userId } = yield* create({ id: account, authConfigId: "own", userId: "u", secrets })
        return { underTheirs, id, status, userId }
      })
    ),
  find: ({ config }) => inConnections(({ find }) => find({ userId: "person", authConfigId: config })),
  list: ({ account }) => inConnections(({ list }) => Effect.all([list(), list({ ids: [account] })])),
  count: ({ account }) => inConnections(({ count }) => Effect.all([count(), count({ ids: [account] })])),
  accessToken: ({ account }) => inConnections(({ accessToken }) => accessToken(account)),
  credential: ({ account }) => inConnections(({ credential }) => credential(account)),
  authorization: ({ account }) =>
    inConnections(({ authorization }) => authorization(account, { method: "GET", url: "https://provider.test/" })),
  events: () => inConnections(({ events }) => Stream.runCollect(events({ follow: false }))),
  link: ({ account }) => inConnections(({ link }) => link(account)),
  update: ({ account }) => inConnections(({ update }) => update(account, { alias: "ours" })),
  replaceSecrets: ({ account }) => inConnections((each) => each.replaceSecrets(account, secrets)),
  disable: ({ account }) => inConnections(({ disable }) => disable(account)),
  enable: ({ account }) => inConnections(({ enable }) => enable(account)),
  revoke: ({ account }) => inConnections(({ revoke }) => revoke(account)),
  remove: ({ account }) => inConnections(({ remove }) => remove(account))
}

const registry: Record<keyof AuthConfigRegistry, Operation> = {
  register: ({ config }) =>
    inConnections(({ authConfigs }) => Effect.map(authConfigs.register(elsewhere(config, "ours")), ({ id }) => id)),
  get: ({ config }) => inConnections(({ authConfigs }) => authConfigs.get(config)),
  list: () => inConnections(({ authConfigs }) => authConfigs.list()),
  count: () => inConnections(({ authConfigs }) => authConfigs.count()),
  update: ({ config }) => inConnections(({ authConfigs }) => authConfigs.update(config, { name: "ours" })),
  enable: ({ config }) => inConnections(({ authConfigs }) => authConfigs.enable(config)),
  disable: ({ config }) => inConnections(({ authConfigs }) => authConfigs.disable(config)),
  remove: ({ config }) => inConnections(({ authConfigs }) => authConfigs.remove(config))
}

const consent: Record<keyof Consent["Service"], Operation> = {
  checkRedirect: () => Effect.flatMap(Consent, ({ checkRedirect }) => checkRedirect("https://app.test/")),
  start: ({ row }) => Effect.flatMap(Consent, ({ start }) => start(row)),
  // It takes no id: the state is the proof, and the browser of a callback has no key.
  complete: () => Effect.flatMap(Consent, ({ complete }) => complete(new URLSearchParams({ state: "s", code: "c" })))
}

/** Names a config in the current project. */
const inConfigs =
  (use: (configs: AuthConfigs["Service"], ref: AuthConfigRef) => Effect.Effect<unknown, unknown>): Operation =>
  ({ config }) =>
    Effect.flatMap(CurrentProject, (projectId) =>
      Effect.flatMap(AuthConfigs, (configs) => use(configs, { projectId, authConfigId: config }))
    )

const configs: Record<keyof AuthConfigs["Service"], Operation> = {
  register: ({ config }) =>
    Effect.flatMap(AuthConfigs, ({ register }) => Effect.asVoid(register(elsewhere(config, "ours")))),
  load: inConfigs(({ load }, ref) => load(ref)),
  inService: inConfigs(({ inService }, ref) => inService(ref)),
  find: inConfigs(({ find }, ref) => find(ref)),
  list: inConfigs(({ list }, { projectId }) => list({ projectId, limit: 10 })),
  count: inConfigs(({ count }, { projectId }) => count({ projectId })),
  update: inConfigs(({ update }, ref) => update(ref, { name: "ours" })),
  setDisabled: inConfigs(({ setDisabled }, ref) => setDisabled(ref, true)),
  remove: inConfigs(({ remove }, ref) => remove(ref))
}

const services = {
  ConnectedAccounts: accounts,
  Connections: connections,
  AuthConfigRegistry: registry,
  Consent: consent,
  AuthConfigs: configs
}

const as =
  (project: string) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>) =>
    Effect.provideService(effect, CurrentProject, project)

const nobodys = { account: ConnectedAccountId.make("ca_nobodynobody"), config: "nobodys" }

/** Another project's config, and an account of it. */
const theirs = Effect.gen(function* () {
  const provider = yield* ScriptedProvider.ScriptedProvider
  const connections = yield* Connections
  yield* connections.authConfigs.register(elsewhere("google", "theirs"))
  const { accessToken, expiresAt, refreshToken } = yield* provider.connect
  const { id } = yield* connections.create({
    authConfigId: "google",
    userId: "person",
    secrets: { access_token: Redacted.make(accessToken), refresh_token: Redacted.make(refreshToken) },
    expiresAt: DateTime.makeUnsafe(expiresAt)
  })
  return id
}).pipe(as("theirs"))

describe("of another project", () => {
  for (const [service, operations] of Object.entries(services)) {
    for (const [name, operation] of Object.entries(operations)) {
      it.effect(`an id reads as absent: ${service}.${name}`, () =>
        Effect.gen(function* () {
          const account = yield* theirs
          const row = yield* stored(account)
          const config = yield* (yield* AuthConfigs).load(row)
          const run = (ids: Ids) => Effect.exit(settle(as("ours")(operation(ids))))
          const seen = yield* run({ account, config: "google", row })
          assert.deepStrictEqual((yield* Wire).sent, [])
          assert.deepStrictEqual(yield* stored(account), row)
          assert.deepStrictEqual(yield* (yield* AuthConfigs).load(row), config)
          const absent = yield* run({ ...nobodys, row: { ...row, id: nobodys.account, publicId: nobodys.account } })
          const told = (exit: Exit.Exit<unknown, unknown>, { account, config }: Omit<Ids, "row">) =>
            JSON.stringify(exit).replaceAll(account, "<account>").replaceAll(config, "<config>")
          assert.strictEqual(told(seen, { account, config: "google" }), told(absent, nobodys))
        }).pipe(scenario())
      )
    }
  }

  it.effect("and no operation is left out", () =>
    Effect.gen(function* () {
      const { authConfigs, ...connections } = yield* Connections
      const provided = {
        ConnectedAccounts: yield* ConnectedAccounts,
        Connections: connections,
        AuthConfigRegistry: authConfigs,
        Consent: yield* Consent,
        AuthConfigs: yield* AuthConfigs
      }
      for (const name of Object.keys(services) as ReadonlyArray<keyof typeof services>) {
        assert.sameMembers(Object.keys(services[name]), Object.keys(provided[name]), name)
      }
    }).pipe(scenario())
  )

  it.effect("a config of the same id is another config, and an account of the same id another account", () =>
    Effect.gen(function* () {
      const connections = yield* Connections
      const accounts = yield* ConnectedAccounts
      const id = yield* theirs
      yield* as("ours")(connections.authConfigs.register(elsewhere("google", "ours")))
      const brought = { id, authConfigId: "google", userId: "ours", secrets }
      assert.strictEqual((yield* as("ours")(connections.create(brought))).id, id)
      assert.strictEqual((yield* as("ours")(accounts.get(id))).userId, "ours")
      assert.strictEqual((yield* as("theirs")(accounts.get(id))).userId, "person")
      yield* as("ours")(connections.disable(id))
      assert.strictEqual((yield* as("theirs")(accounts.get(id))).status, "ACTIVE")
      assert.strictEqual((yield* as("ours")(accounts.get(id))).status, "INACTIVE")
      const twice = yield* Effect.flip(as("ours")(connections.create(brought)))
      assert.strictEqual("slug" in twice && twice.slug, "id_taken")
    }).pipe(scenario())
  )

  it.effect("a config cannot be registered for", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(
        as("ours")((yield* Connections).authConfigs.register(elsewhere("google", "theirs")))
      )
      assert.deepInclude({ ...error }, { _tag: "InvalidRequest", slug: "invalid_auth_config" })
      const unregistered = yield* Effect.exit(
        (yield* AuthConfigs).load({ projectId: "theirs", authConfigId: "google" })
      )
      assert.isTrue(Exit.isFailure(unregistered))
    }).pipe(scenario())
  )
})

describe("a caller that names no project", () => {
  it.effect("is of the default one, and does not see the others", () =>
    Effect.gen(function* () {
      const id = yield* theirs
      const error = yield* Effect.flip((yield* ConnectedAccounts).get(id))
      assert.strictEqual(error._tag, "AccountNotFound")
    }).pipe(scenario())
  )
})
