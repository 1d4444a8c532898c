/**
 * The two ways to renew a token that are compared: the whole engine, and a bare handler that makes the same HTTP call and writes the new
 * token with one durable UPDATE. The handler has no lease, no intent, no encryption, no outbox, and loses tokens in every way there is.
 *
 * @module
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import { AuthConfig, ConnectedAccounts, Connections, ProviderProfile } from "@rekindle/core"
import { CredentialVault, Engine, Journal, SqliteClient } from "@rekindle/engine"
import { Context, Duration, Effect, Layer, Redacted } from "effect"
import { SqlClient, Statement } from "effect/sql"
import { DatabaseSync } from "node:sqlite"
import { Agent } from "undici"

/** Renews one account, by its number. */
export type Renew = (account: number) => Promise<unknown>

/** Opens a contender with `count` accounts. */
export type Contender = (environment: Environment) => Promise<{
  readonly renew: Renew
  /** How many statements it has sent to its database so far. */
  readonly statements: () => number
  readonly close: () => Promise<void>
}>

/** Where a contender works. */
export interface Environment {
  readonly port: number
  readonly count: number
  /** A fresh SQLite file. */
  readonly file: string
  /** The url of a fresh Postgres database. */
  readonly postgres: string
}

/** Counts the statements of a `SqlClient`; those that begin and end a transaction are not among them. */
const counting = () => {
  let count = 0
  return {
    statements: () => count,
    layer: Layer.succeed(Statement.CurrentTransformer, (statement) => {
      count++
      return Effect.succeed(statement)
    })
  }
}

/** As many sockets for both: what undici's pool opens by itself at 50 in flight. */
const agent = () => new Agent({ connections: 64 })

const tokenRequest = (dispatcher: Agent, port: number) => async (refreshToken: string) => {
  const response = await dispatcher.request({
    origin: `http://127.0.0.1:${port}`,
    path: "/token",
    method: "POST",
    headers: {
      accept: "application/json",
      "content-type": "application/x-www-form-urlencoded",
      authorization: `Basic ${Buffer.from("id:secret").toString("base64")}`
    },
    body: new URLSearchParams({ grant_type: "refresh_token", refresh_token: refreshToken }).toString()
  })
  return (await response.body.json()) as {
    readonly access_token: string
    readonly refresh_token: string
    readonly expires_in: number
  }
}

const bareSqlite: Contender = async ({ count, file, port }) => {
  const database = new DatabaseSync(file)
  database.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
      CREATE TABLE accounts (id INTEGER PRIMARY KEY, access_token TEXT, refresh_token TEXT, expires_at INTEGER)`)
  const insert = database.prepare("INSERT INTO accounts VALUES (?, '', 'rt-0', 0)")
  for (let id = 0; id < count; id++) insert.run(id)
  const select = database.prepare("SELECT refresh_token FROM accounts WHERE id = ?")
  const update = database.prepare(
    "UPDATE accounts SET access_token = ?, refresh_token = ?, expires_at = ? WHERE id = ?"
  )
  const dispatcher = agent()
  const request = tokenRequest(dispatcher, port)
  let statements = 0
  return {
    renew: async (id) => {
      const row = select.get(id)
      const tokens = await request(String(row?.["refresh_token"]))
      update.run(tokens.access_token, tokens.refresh_token, Date.now() + tokens.expires_in * 1000, id)
      statements += 2
    },
    statements: () => statements,
    close: async () => {
      database.close()
      await dispatcher.close()
    }
  }
}

const poolSize = 10

const pgClient = (url: Redacted.Redacted<string>) => PgClient.layer({ url, maxConnections: poolSize })

const barePostgres: Contender = async ({ count, port, postgres }) => {
  const scope = new AbortController()
  const dispatcher = agent()
  const request = tokenRequest(dispatcher, port)
  const opened = Promise.withResolvers<SqlClient.SqlClient>()
  const running = Effect.runPromise(
    Effect.flatMap(SqlClient.SqlClient, (sql) => {
      opened.resolve(sql)
      return Effect.never
    }).pipe(Effect.provide(pgClient(Redacted.make(postgres))), Effect.ignoreCause),
    { signal: scope.signal }
  ).catch(opened.reject)
  const sql = await opened.promise
  await Effect.runPromise(
    sql`CREATE TABLE bare (id INTEGER PRIMARY KEY, access_token TEXT, refresh_token TEXT, expires_at BIGINT)`.pipe(
      Effect.andThen(sql`INSERT INTO bare SELECT n, '', 'rt-0', 0 FROM generate_series(0, ${count - 1}) AS n`)
    )
  )
  let statements = 0
  return {
    renew: async (id) => {
      const [row] = await Effect.runPromise(
        sql<{ refresh_token: string }>`SELECT refresh_token FROM bare WHERE id = ${id}`
      )
      const tokens = await request(String(row?.refresh_token))
      const expiresAt = BigInt(Date.now() + tokens.expires_in * 1000)
      await Effect.runPromise(
        sql`UPDATE bare SET access_token = ${tokens.access_token}, refresh_token = ${tokens.refresh_token}, expires_at = ${expiresAt} WHERE id = ${id}`
      )
      statements += 2
    },
    statements: () => statements,
    close: async () => {
      scope.abort()
      await running
      await dispatcher.close()
    }
  }
}

const engine =
  (
    database: (environment: Environment) => Layer.Layer<SqlClient.SqlClient, unknown>,
    durability: "process" | "power"
  ): Contender =>
  async (environment) => {
    const host = `127.0.0.1:${environment.port}`
    const { layer: counted, statements } = counting()
    const layer = Engine.layer({
      consent: { callbackUrl: "https://app.example.com/callback" },
      egress: { privateHosts: [host] }
    }).pipe(
      Layer.provide(database(environment)),
      Layer.provide([
        CredentialVault.layerEphemeral,
        Journal.layerDirectory(`${environment.file}.journal`, { durability })
      ]),
      // The fibers of the engine count too: SQLite's writes run in one of them.
      Layer.provideMerge(counted)
    )
    const scope = new AbortController()
    const opened = Promise.withResolvers<{ readonly renew: Renew }>()
    const running = Effect.runPromise(
      Effect.gen(function* () {
        const connections = yield* Connections
        const accounts = yield* ConnectedAccounts
        const context = yield* Effect.context<never>()
        yield* connections.authConfigs.register(
          AuthConfig.make({
            id: "bench",
            toolkit: "bench",
            scheme: "OAUTH2",
            profile: ProviderProfile.make({ name: "bench", rotation: "single-use", accessTokenTtl: Duration.hours(1) }),
            settings: {
              clientId: "id",
              tokenEndpoint: `http://${host}/token`,
              authorizationEndpoint: `http://${host}/authorize`
            },
            secrets: { client_secret: Redacted.make("secret") },
            hosts: [host]
          })
        )
        const ids = yield* Effect.forEach(
          Array.from({ length: environment.count }, (_, n) => n),
          (n) =>
            Effect.map(
              connections.create({
                authConfigId: "bench",
                userId: `u${n}`,
                secrets: { refresh_token: Redacted.make("rt-0") }
              }),
              ({ id }) => id
            ),
          { concurrency: 50 }
        )
        const run = Effect.runPromiseWith(Context.omit()(context))
        opened.resolve({
          renew: async (account) => {
            const id = ids[account]
            if (id === undefined) throw new Error("no such account")
            const outcome = await run(accounts.refresh(id))
            if (outcome._tag !== "Ready") throw new Error(outcome._tag)
          }
        })
        return yield* Effect.never
      }).pipe(
        Effect.provide(layer),
        Effect.tapCause((cause) => Effect.sync(() => opened.reject(cause)))
      ),
      { signal: scope.signal }
    ).catch(() => {})
    const { renew } = await opened.promise
    return {
      renew,
      statements,
      close: async () => {
        scope.abort()
        await running
      }
    }
  }

const onSqlite = ({ file }: Environment) => SqliteClient.layer(file)
const onPostgres = ({ postgres }: Environment) => pgClient(Redacted.make(postgres))

/** What is compared on each database, the bare handler first, and then the engine that the marks are about. */
export const contenders = {
  SQLite: {
    "bare handler": bareSqlite,
    engine: engine(onSqlite, "process"),
    "engine, journal flushed": engine(onSqlite, "power")
  },
  Postgres: {
    "bare handler": barePostgres,
    engine: engine(onPostgres, "process"),
    "engine, journal flushed": engine(onPostgres, "power")
  }
}
export type Database = keyof typeof contenders
