/**
 * Where the scenarios take place: the engine on a Postgres database of its own, and accounts by the hundred thousand.
 *
 * Accounts are copies of one that the engine made, each with the credential sealed for it. They are written by set-based statements, which
 * takes about a minute for a million.
 *
 * @module
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import { AuthConfig, ConnectedAccountId, Connections, ProviderProfile } from "@rekindle/core"
import {
  CredentialVault,
  Engine,
  Journal,
  Renewer,
  type RenewerOptions,
  type SealContext,
  Sealed
} from "@rekindle/engine"
import { Context, DateTime, Duration, Effect, Layer, Redacted, Schema, type Scope } from "effect"
import { SqlClient } from "effect/sql"

/** Where a scenario works, as plain data. */
export const Place = Schema.Struct({
  /** The url of a fresh Postgres database. */
  postgres: Schema.String,
  /** The port of the token endpoint. */
  port: Schema.Int,
  /** A folder of this machine's disk. */
  folder: Schema.String,
  quick: Schema.Boolean,
  /** Renewals per second that were measured before, for scenarios that need to know. */
  perSecond: Schema.Finite
})
export type Place = typeof Place.Type

/** What scenarios work with. */
export type Ground = Engine.Provided | CredentialVault | Journal | SqlClient.SqlClient

/** Connections to Postgres, as `pg` has them by default. */
const poolSize = 10

/** The engine at a place. */
export const layer = ({ folder, port, postgres }: Place) =>
  Engine.layer({
    consent: { callbackUrl: "https://app.example.com/callback" },
    egress: { privateHosts: [`127.0.0.1:${port}`] }
  }).pipe(
    Layer.provideMerge(PgClient.layer({ url: Redacted.make(postgres), maxConnections: poolSize })),
    Layer.provideMerge([CredentialVault.layerEphemeral, Journal.layerDirectory(`${folder}/journal`)])
  )

/** A rate that no provider has, so that another limit is met first. */
export const unlimited = 10_000

/** Registers a provider with one auth config, both of this name. */
export const register = ({ port }: Place, name: string, requestsPerSecond = unlimited) =>
  Connections.use(({ authConfigs }) =>
    authConfigs.register(
      AuthConfig.make({
        id: name,
        toolkit: name,
        scheme: "OAUTH2",
        profile: ProviderProfile.make({
          name,
          rotation: "single-use",
          accessTokenTtl: Duration.hours(1),
          requestsPerSecond
        }),
        settings: {
          clientId: "id",
          tokenEndpoint: `http://127.0.0.1:${port}/token`,
          authorizationEndpoint: `http://127.0.0.1:${port}/authorize`
        },
        secrets: { client_secret: Redacted.make("secret") },
        hosts: [`127.0.0.1:${port}`]
      })
    )
  )

/** Accounts of one auth config. */
export interface Accounts {
  readonly config: string
  readonly count: number
  /** When the first is due, in epoch milliseconds. */
  readonly dueAt: number
  /** Milliseconds from one due time to the next. Default 0. */
  readonly apart?: number | undefined
}

const Columns = Schema.Array(Schema.Struct({ column_name: Schema.String }))
const Template = Schema.Struct({ id: Schema.String, generation: Schema.NumberFromString, credential: Sealed })

/** Accounts in one statement. */
const batch = 5_000

/** The id of an account, by its auth config and number. */
export const idOf = (config: string, number: number): ConnectedAccountId =>
  ConnectedAccountId.make(`ca_${config}${String(number).padStart(9, "0")}`)

/** Writes accounts whose access tokens last for another hour. */
export const fill = Effect.fnUntraced(function* ({ apart = 0, config, count, dueAt }: Accounts) {
  const sql = yield* SqlClient.SqlClient
  const vault = yield* CredentialVault
  const connections = yield* Connections
  const now = yield* DateTime.now
  const { id: publicId } = yield* connections.create({
    authConfigId: config,
    userId: "template",
    secrets: {
      access_token: Redacted.make(`at-0-${"x".repeat(64)}`),
      refresh_token: Redacted.make(`rt-0-${"x".repeat(64)}`)
    },
    expiresAt: DateTime.addDuration(now, "1 hour")
  })
  const [template] = yield* sql`SELECT id, generation::text AS generation, credential FROM rekindle_accounts
    WHERE public_id = ${publicId}`.pipe(Effect.flatMap(Schema.decodeUnknownEffect(Schema.NonEmptyArray(Template))))
  const boundTo = (owner: string): SealContext => ({
    purpose: "credential",
    projectId: "default",
    owner,
    generation: template.generation
  })
  const credential = yield* vault.open(boundTo(template.id), template.credential)
  const own: Readonly<Record<string, string>> = {
    id: "copy.id",
    public_id: "copy.id",
    grant_id: "copy.id",
    user_id: "copy.id",
    credential: "copy.credential",
    renew_at: "copy.renew_at"
  }
  const columns = yield* sql`SELECT column_name FROM information_schema.columns
    WHERE table_schema = current_schema() AND table_name = 'rekindle_accounts' ORDER BY ordinal_position`.pipe(
    Effect.flatMap(Schema.decodeUnknownEffect(Columns)),
    Effect.map((rows) => rows.map(({ column_name }) => column_name))
  )
  const names = sql.literal(columns.join(", "))
  const values = sql.literal(columns.map((column) => own[column] ?? `template.${column}`).join(", "))
  for (let first = 0; first < count; first += batch) {
    const copies: Array<{ id: string; credential: string; renew_at: number }> = []
    for (let number = first; number < Math.min(count, first + batch); number++) {
      const id = idOf(config, number)
      copies.push({
        id,
        credential: yield* vault.seal(boundTo(id), credential),
        renew_at: Math.round(dueAt + number * apart)
      })
    }
    yield* sql`INSERT INTO rekindle_accounts (${names}) SELECT ${values}
      FROM rekindle_accounts template,
        jsonb_to_recordset(${JSON.stringify(copies)}::jsonb) AS copy (id text, credential text, renew_at bigint)
      WHERE template.id = ${template.id}`
  }
  yield* sql`UPDATE rekindle_accounts SET renew_at = NULL WHERE id = ${template.id}`
})

/** What the process did in a stretch of time. */
export interface Stretch {
  readonly renewed: number
  readonly perSecond: number
  /** User and system time of the process for each renewal, garbage collection included. */
  readonly cpuMicros: number
  /** Cores' worth of CPU that the process used. */
  readonly cores: number
}

const renewedBy = (renewer: Renewer["Service"]) => Effect.map(renewer.progress, ({ ended }) => ended["Renewed"] ?? 0)

/** Watches a renewer for a while. */
export const watch = Effect.fnUntraced(function* (renewer: Renewer["Service"], milliseconds: number) {
  const before = yield* renewedBy(renewer)
  const cpu = process.cpuUsage()
  const start = performance.now()
  yield* Effect.sleep(milliseconds)
  const renewed = (yield* renewedBy(renewer)) - before
  const micros = (performance.now() - start) * 1_000
  const { system, user } = process.cpuUsage(cpu)
  const stretch: Stretch = {
    renewed,
    perSecond: (renewed / micros) * 1e6,
    cpuMicros: (user + system) / renewed,
    cores: (user + system) / micros
  }
  return stretch
})

/** Starts a renewer, which works until the scope is closed. */
export const startRenewer = (options: RenewerOptions = {}) =>
  Effect.map(Layer.build(Renewer.layer(options)), (context) => Context.get(context, Renewer))

/** Everything that a scenario may fail with ends its process. */
export type Scenario<A> = (place: Place) => Effect.Effect<A, unknown, Ground | Scope.Scope>
