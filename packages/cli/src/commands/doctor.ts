/**
 * `rekindle doctor`: looks for what keeps Rekindle from working, and says what to do about it.
 *
 * On a database it looks at the database, the journal, the key ring, the auth configs and their endpoints through the engine's own egress,
 * the clock, and the callback. On a server it asks the server, because the server's network is what counts.
 *
 * @module
 */
import { ConnectedAccountId, ConnectedAccounts, Connections } from "@rekindle/core"
import { CredentialVault, KeyRotation, SqlAccountStore } from "@rekindle/engine"
import { ConsentCallback, RekindleClient } from "@rekindle/platform"
import { Clock, Context, Effect, Layer, Option, Schema, Stream } from "effect"
import { Command } from "effect/cli"
import { FetchHttpClient, HttpClient } from "effect/http"
import { SqlClient } from "effect/sql"
import { visit } from "../doctor/callback.ts"
import * as Clocks from "../doctor/clock.ts"
import { examineAll } from "../doctor/endpoints.ts"
import { type Finding, ok, problem } from "../doctor/Finding.ts"
import * as Database from "../store/Database.ts"
import * as KeyRing from "../store/KeyRing.ts"
import { CommandFailed, explain } from "./failure.ts"
import * as Output from "./output.ts"
import * as Target from "./target.ts"

/** A failed step. What comes after it cannot be looked at. */
const stopped = (check: Finding["check"], subject: string, fix: string) => (error: unknown) => {
  const explained = explain(error)
  return problem({ check, subject }, explained.message, explained.fix ?? fix)
}

/** All auth configs of the project. */
const allConfigs = Connections.use(({ authConfigs }) =>
  Stream.runCollect(
    Stream.paginate(undefined as string | undefined, (cursor) =>
      Effect.map(
        authConfigs.list({ cursor, limit: 500 }),
        ({ items, nextCursor }) => [items, Option.map(Option.fromUndefinedOr(nextCursor), String)] as const
      )
    )
  )
)

/** Looks at a database, step by step. A step that fails ends the rest as its only finding. */
const examineDatabase = Effect.fnUntraced(function* (target: Target.Local) {
  const { database, settings } = target
  const findings: Array<Finding> = []
  const add = (finding: Finding) => Effect.sync(() => void findings.push(finding))
  const place = Database.describe(database)
  const journal = settings.journal ?? Database.defaultJournal(database) ?? "in memory"
  const ring = settings.keyFile ?? "the key ring"

  const steps = Effect.gen(function* () {
    const step = <A, E, R>(effect: Effect.Effect<A, E, R>, fail: (error: unknown) => Finding) =>
      Effect.mapError(effect, fail)
    const fixDatabase = "name the database with --database; rekindle serve makes a new one"

    const noStore = stopped("database", place, fixDatabase)
    const client = yield* step(Layer.build(Target.sqlClient(target)), noStore)
    yield* step(
      Effect.provideContext(
        SqlClient.SqlClient.use((sql) => sql`SELECT 1`),
        client
      ),
      noStore
    )
    const store = yield* step(
      Layer.build(SqlAccountStore.layer.pipe(Layer.provide(Layer.succeedContext(client)))),
      stopped("database", place, "see the message")
    )
    yield* add(ok({ check: "database", subject: place }, "it opens, and its tables are of this version"))

    const fixJournal = "give this user a directory on a disk of this machine, with --journal"
    yield* step(Layer.build(Target.journal(target)), stopped("journal", journal, fixJournal))
    yield* add(ok({ check: "journal", subject: journal }, "answers of providers can be written"))

    const fixRing = "put the key ring of this database into REKINDLE_KEYS or the key file"
    const noRing = stopped("key ring", ring, fixRing)
    const vault = yield* step(
      Layer.build(KeyRing.layer({ database, keyFile: settings.keyFile, create: false })),
      noRing
    )
    yield* step(Effect.provideContext(KeyRotation.verify, Context.merge(store, vault)), noRing)
    const { keyIds } = Context.get(vault, CredentialVault)
    yield* add(ok({ check: "key ring", subject: keyIds.join(", ") }, "its keys are those of this database"))

    const engine = yield* step(Layer.build(Target.engineOn(target)), stopped("database", place, "see the message"))
    const configs = yield* step(
      Effect.provideContext(allConfigs, engine),
      stopped("auth config", target.words, "see the message")
    )
    yield* add(
      configs.length === 0
        ? ok({ check: "auth config", subject: target.words }, "there is none yet; add one with rekindle configs add")
        : ok({ check: "auth config", subject: target.words }, `${configs.length} can be read`)
    )
    const { answers, findings: found } = yield* Effect.provideContext(examineAll(configs), engine)
    findings.push(...found)
    if (found.length > 0) findings.push(Clocks.compare(answers, "the providers that answered"))
  })
  yield* steps.pipe(Effect.scoped, Effect.catch(add))
  yield* Effect.flatMap(visit(Target.callbackUrl(target)), add)
  return findings
})

const ReadyBody = Schema.Struct({
  checks: Schema.Record(
    Schema.String,
    Schema.Struct({ status: Schema.String, message: Schema.optionalKey(Schema.String) })
  )
})
const decodeReady = Schema.decodeUnknownOption(ReadyBody)

/** Every server refuses this account, and a server that knows the key says that there is none. */
const nobody = ConnectedAccountId.make("ca_00000000")

/** Looks at a server from outside. */
const examineServer = Effect.fnUntraced(function* ({ key, server }: Target.Remote) {
  const findings: Array<Finding> = []
  const about = { check: "server", subject: server } as const
  const ready = yield* HttpClient.get(`${server}/readyz`).pipe(
    Effect.flatMap((response) => Effect.map(response.json, (body) => ({ response, body }))),
    Effect.timeout("8 seconds"),
    Effect.option
  )
  if (Option.isNone(ready))
    return [problem(about, "no answer that could be read", "check the address, and that rekindle serve runs there")]
  const { body, response } = ready.value
  const dated = Clocks.datedAnswer(response.headers["date"], yield* Clock.currentTimeMillis)
  const checks = Option.match(decodeReady(body), { onNone: () => [], onSome: ({ checks }) => Object.entries(checks) })
  const failed = checks.filter(([, { status }]) => status === "failed")
  findings.push(
    response.status === 200
      ? ok(about, "it is ready")
      : problem(
          about,
          `it is not ready (${response.status})`,
          "see its log, or run rekindle doctor beside its database"
        )
  )
  for (const [name, { message }] of failed)
    findings.push(
      problem(
        { ...about, subject: `${server}: ${name}` },
        message ?? "it failed",
        "run rekindle doctor beside its database"
      )
    )

  const known = yield* ConnectedAccounts.use(({ get }) => get(nobody)).pipe(
    Effect.catchTags({ AccountNotFound: () => Effect.void, Forbidden: () => Effect.void }),
    Effect.provide(RekindleClient.layerConfig(Target.clientConfig(server, key))),
    Effect.result
  )
  findings.push(
    known._tag === "Success"
      ? ok({ check: "key", subject: server }, "the server knows the key")
      : stopped("key", server, "rekindle login")(known.failure)
  )
  findings.push(Clocks.compare(dated === undefined ? [] : [dated], server))
  findings.push(yield* visit(`${server}${ConsentCallback.path}`))
  return findings
})

const columns: ReadonlyArray<Output.Column<Finding>> = [
  { title: "status", of: ({ status }) => status },
  { title: "check", of: ({ check }) => check },
  { title: "subject", of: ({ subject }) => subject },
  { title: "finding", of: ({ says }) => says },
  { title: "what to do", of: ({ fix }) => fix }
]

export const doctor = Command.make("doctor", { target: Target.flags }, ({ target: flags }) =>
  Effect.gen(function* () {
    const target = yield* Target.resolve(flags)
    const findings = yield* target._tag === "Local" ? examineDatabase(target) : examineServer(target)
    const problems = findings.filter(({ status }) => status === "problem").length
    yield* Output.list({
      json: {
        target: target.words,
        problems,
        findings: findings.map(({ check, fix, says, status, subject }) => ({
          status,
          check,
          subject,
          finding: says,
          suggested_fix: fix
        }))
      },
      items: findings,
      columns,
      none: ""
    })
    if (problems === 0) return
    return yield* new CommandFailed({
      message: `${problems} problem${problems === 1 ? "" : "s"}`,
      fix: "see the last column of each problem",
      exit: "attention"
    })
  }).pipe(Effect.provide([FetchHttpClient.layer, Target.quiet]))
).pipe(
  Command.withDescription(
    "Looks at the database, the journal, the key ring, the auth configs and their endpoints, the clock and the callback, and says what to do. Exit code 3 if something does not work. No credential is sent"
  ),
  Command.withShortDescription("Looks for what keeps Rekindle from working")
)
