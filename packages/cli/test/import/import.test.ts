/** Connections of other projects come over, out of databases that are made with their own schemas. */
import { assert, layer } from "@effect/vitest"
import { ConnectedAccounts, Connections } from "@rekindle/core"
import { Context, Effect, Layer, Redacted } from "effect"
import { SqlClient } from "effect/sql"
import { createCipheriv, createHash, randomBytes } from "node:crypto"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import { xchacha20poly1305 } from "@noble/ciphers/chacha.js"
import { clientOf, type PostgresAddress } from "../../../engine/test/support/Place.ts"
import { Postgres } from "../../../engine/test/support/Postgres.ts"
import { AuthorizationServer, makeDatabase, serverKey } from "../support/accounts.ts"
import * as schemas from "./schemas.ts"

const urlOf = ({ database, host, password, port, username }: PostgresAddress) =>
  `postgres://${username}:${encodeURIComponent(password)}@${host}:${port}/${database}`

interface Reported {
  readonly name: string
  readonly action: string
  readonly id: string | null
  readonly reason: string | null
}

/** The report of a run with `--json`, by the name of the connection. */
const reportOf = (stdout: string) => {
  const report: { readonly dry_run: boolean; readonly counts: object; readonly connections: ReadonlyArray<Reported> } =
    JSON.parse(stdout)
  return { ...report, of: (name: string) => report.connections.find((each) => each.name === name) }
}

/** Runs statements on the database of the other project. */
const on = <A, E>(place: PostgresAddress, statements: (sql: SqlClient.SqlClient) => Effect.Effect<A, E>) =>
  Effect.scoped(
    Effect.flatMap(Layer.build(clientOf(place)), (context) => statements(Context.get(context, SqlClient.SqlClient)))
  )

/** A key of Nango, and its hash as Nango keeps it: PBKDF2 of SHA-256 with 310,000 iterations, which takes 200 ms. */
const nangoKey = {
  key: "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
  hash: "+4OG5KIKTlkRTrzG1OjRu/oKex5GtwRs++dPkkfVnTo="
}

const idToken = (aud: string) => `.${Buffer.from(JSON.stringify({ aud, sub: "1" })).toString("base64url")}.`
const inAnHour = () => new Date(Date.now() + 3_600_000)
const longAgo = new Date(0)

layer(Layer.merge(AuthorizationServer.layer(), Postgres.layer), { excludeTestServices: true, timeout: "1 minute" })(
  "rekindle import",
  (it) => {
    it.effect("nango brings what its key opens, once, and says why the others need a new consent", () =>
      Effect.gen(function* () {
        const { register, rekindle, server, use } = yield* makeDatabase
        yield* use(register({ id: "keyed", toolkit: "keyed", scheme: "API_KEY", settings: {}, secrets: {} }))
        const place = yield* (yield* Postgres).database
        const { hash, key } = nangoKey
        const seal = (text: string) => {
          const iv = randomBytes(12)
          const cipher = createCipheriv("aes-256-gcm", Buffer.from(key, "base64"), iv)
          const sealed = cipher.update(text, "utf8", "base64") + cipher.final("base64")
          return { sealed, iv: iv.toString("base64"), tag: cipher.getAuthTag().toString("base64") }
        }
        const { refreshToken } = yield* server.mintRefreshToken("ann")
        yield* on(
          place,
          Effect.fnUntraced(function* (sql) {
            for (const statement of schemas.nango) yield* sql.unsafe(statement)
            yield* sql`INSERT INTO nango._nango_db_config VALUES (${hash}, true)`
            yield* sql`INSERT INTO nango._nango_accounts (id) VALUES (0)`
            yield* sql`INSERT INTO nango._nango_environments (id, name, account_id) VALUES (1, 'prod', 0), (2, 'dev', 0)`
            yield* sql`INSERT INTO nango.end_users (id, end_user_id, environment_id) VALUES (7, 'ann', 1)`
            yield* sql`INSERT INTO nango._nango_configs (id, unique_key, provider, oauth_client_id, environment_id)
              VALUES (1, 'oidc', 'oidc', 'rekindle', 1), (2, 'keyed', 'keyed', NULL, 1), (3, 'mine', 'oidc', 'another', 1)`
            const add = (
              provider: string,
              config: number,
              connection: string,
              credentials: object,
              more: { readonly environment?: number; readonly deleted?: boolean; readonly exhausted?: boolean } = {}
            ) => {
              const { iv, sealed, tag } = seal(JSON.stringify(credentials))
              const deletedAt = more.deleted === true ? new Date() : null
              return sql`INSERT INTO nango._nango_connections (provider_config_key, config_id, connection_id, credentials,
                credentials_iv, credentials_tag, connection_config, environment_id, end_user_id, deleted, deleted_at,
                refresh_exhausted) VALUES (${provider}, ${config}, ${connection},
                ${JSON.stringify({ encrypted_credentials: sealed })}::json, ${iv}, ${tag},
                ${JSON.stringify({ subdomain: "acme", oauth_scopes: "x" })}::jsonb, ${more.environment ?? 1},
                ${connection === "ann" ? 7 : null}, ${more.deleted ?? false}, ${deletedAt}, ${more.exhausted ?? null})`
            }
            const oauth = (fields: object) => ({ type: "OAUTH2", access_token: "at-nango", raw: {}, ...fields })
            const alive = { refresh_token: refreshToken, expires_at: longAgo }
            yield* add("oidc", 1, "ann", oauth(alive))
            yield* add("oidc", 1, "ben", oauth({ expires_at: longAgo }))
            yield* add("oidc", 1, "cat", oauth({ refresh_token: "rt-cat" }), { exhausted: true })
            yield* add("mine", 3, "dan", oauth({ refresh_token: "rt-dan" }))
            yield* add("oidc", 1, "gone", oauth(alive), { deleted: true })
            yield* add("oidc", 1, "elsewhere", oauth(alive), { environment: 2 })
            yield* add("keyed", 2, "eve", { type: "API_KEY", apiKey: "key-eve" })
            yield* add("keyed", 2, "fay", { type: "TBA", token_id: "t", token_secret: "s" })
            yield* add("other", 2, "gus", { type: "API_KEY", apiKey: "key-gus" })
          })
        )
        const args = ["import", "nango", "--from", urlOf(place), "--config", "mine=oidc", "--json"]
        const env = { NANGO_ENCRYPTION_KEY: key }
        const wrong = yield* rekindle(args, { env: { NANGO_ENCRYPTION_KEY: randomBytes(32).toString("base64") } })
        assert.deepStrictEqual([wrong.code, wrong.stdout], [2, ""])
        assert.include(wrong.stderr, "is not the key of this database")

        const dry = yield* rekindle(args, { env })
        assert.strictEqual(dry.code, 0, dry.stderr)
        assert.strictEqual(yield* use(Connections.use(({ count }) => count())), 0)
        // From here on as a Nango whose database has no hash of its key.
        yield* on(place, (sql) => sql`DELETE FROM nango._nango_db_config`)

        const first = yield* rekindle([...args, "--apply"], { env })
        assert.strictEqual(first.code, 3)
        const { connections, counts, of } = reportOf(first.stdout)
        assert.deepStrictEqual({ ...counts }, { import: 2, consent: 3, present: 0, leave: 2 })
        assert.deepStrictEqual({ ...reportOf(dry.stdout), of }, { dry_run: true, counts, connections, of })
        assert.include(of("oidc/ben")?.reason, "no refresh token")
        assert.include(of("oidc/cat")?.reason, "given up")
        assert.include(of("mine/dan")?.reason, "another OAuth client")
        assert.include(of("keyed/fay")?.reason, "TBA")
        assert.include(of("other/gus")?.reason, "--config other=id")
        for (const output of [dry, first, wrong]) {
          for (const secret of [key, refreshToken, "at-nango", "rt-cat", "rt-dan", "key-eve", "key-gus"])
            assert.notInclude(output.stdout + output.stderr, secret)
        }

        const again = yield* rekindle([...args, "--apply"], { env })
        assert.deepStrictEqual({ ...reportOf(again.stdout).counts }, { import: 0, consent: 0, present: 5, leave: 2 })

        yield* use(
          Effect.gen(function* () {
            const { accessToken, credential, find, list } = yield* Connections
            const { refresh } = yield* ConnectedAccounts
            const [ann] = (yield* list({ userIds: ["ann"] })).items
            if (ann === undefined) return assert.fail("ann did not come over")
            assert.deepInclude(ann.state.val, { subdomain: "acme", nango_connection_id: "ann" })
            assert.notProperty(ann.state.val, "oauth_scopes")
            // The refresh token works at the provider, and the expired access token is not handed out.
            const token = Redacted.value(yield* accessToken(ann.id))
            assert.notStrictEqual(token, "at-nango")
            assert.isTrue(yield* server.isAccessTokenAlive(token))
            const [eve] = (yield* list({ userIds: ["eve"] })).items
            const inUse = eve === undefined ? undefined : yield* credential(eve.id)
            assert.strictEqual(inUse?._tag === "ApiKey" && Redacted.value(inUse.key), "key-eve")
            const [ben] = (yield* list({ userIds: ["ben"], statuses: ["INITIALIZING"] })).items
            assert.strictEqual(ben === undefined ? "" : (yield* refresh(ben.id))._tag, "RedirectRequired")
            assert.isTrue((yield* find({ authConfigId: "oidc", userId: "elsewhere" }))._tag === "None")
          })
        )
      })
    )

    it.effect("better-auth brings plain and sealed tokens, and leaves passwords", () =>
      Effect.gen(function* () {
        const { directory, rekindle, server, use } = yield* makeDatabase
        const secret = "a secret of better-auth"
        const seal = (token: string, version?: number) => {
          const nonce = randomBytes(24)
          const cipher = xchacha20poly1305(createHash("sha256").update(secret).digest(), nonce)
          const hex = Buffer.concat([nonce, cipher.encrypt(Buffer.from(token))]).toString("hex")
          return version === undefined ? hex : `$ba$${version}$${hex}`
        }
        const minted = yield* Effect.forEach(["ann", "ben", "cat"], (user) => server.mintRefreshToken(user))
        const [ann = "", ben = "", cat = ""] = minted.map(({ refreshToken }) => refreshToken)
        const file = join(directory, "auth.sqlite")
        const database = new DatabaseSync(file)
        for (const statement of schemas.betterAuth) database.exec(statement)
        const now = new Date().toISOString()
        const insertUser = database.prepare(`INSERT INTO "user" VALUES (?, ?, ?, 1, NULL, ?, ?)`)
        const insert = database.prepare(
          `INSERT INTO account (id, issuer, accountId, providerId, userId, accessToken, refreshToken, idToken,
            accessTokenExpiresAt, refreshTokenExpiresAt, createdAt, updatedAt) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
        )
        const add = (
          user: string,
          provider: string,
          tokens: readonly [access: string | null, refresh: string | null],
          more: { readonly idToken?: string; readonly accessUntil?: Date; readonly refreshUntil?: Date } = {}
        ) => {
          insertUser.run(user, user, `${user}@example.com`, now, now)
          const times = [more.accessUntil, more.refreshUntil].map((time) => time?.toISOString() ?? null)
          insert.run(user, provider, user, provider, user, ...tokens, more.idToken ?? null, ...times, now, now)
        }
        add("ann", "oidc", ["at-ann", ann], { idToken: idToken("rekindle"), accessUntil: longAgo })
        add("ben", "oidc", [seal("at-ben"), seal(ben)])
        add("cat", "oidc", [seal("at-cat", 2), seal(cat, 2)])
        add("dan", "oidc", ["at-dan", "rt-dan"], { idToken: idToken("another") })
        add("eve", "oidc", ["at-eve", "rt-eve"], { refreshUntil: longAgo, accessUntil: longAgo })
        add("fay", "oidc", ["at-fay", null], { accessUntil: inAnHour() })
        add("gus", "credential", [null, null])
        database.close()

        const args = ["import", "better-auth", "--from", file, "--apply", "--json"]
        const none = reportOf((yield* rekindle(args.filter((arg) => arg !== "--apply"))).stdout)
        assert.include(none.of("oidc/ben")?.reason, "sealed")
        assert.include(none.of("oidc/cat")?.reason, "sealed")

        const env = { BETTER_AUTH_SECRET: secret, BETTER_AUTH_SECRETS: `2:${secret}` }
        const { code, stderr, stdout } = yield* rekindle(args, { env })
        assert.strictEqual(code, 3, stderr)
        const { counts, of } = reportOf(stdout)
        assert.deepStrictEqual({ ...counts }, { import: 4, consent: 2, present: 0, leave: 1 })
        assert.include(of("oidc/dan")?.reason, "another OAuth client")
        assert.include(of("oidc/eve")?.reason, "refresh token has expired")
        assert.include(of("oidc/fay")?.reason, "until its access token expires")
        assert.include(of("credential/gus")?.reason, "password")
        for (const secretText of [secret, ann, ben, cat, "at-dan"]) assert.notInclude(stdout + stderr, secretText)

        const place = yield* (yield* Postgres).database
        const { refreshToken } = yield* server.mintRefreshToken("pat")
        yield* on(
          place,
          Effect.fnUntraced(function* (sql) {
            for (const statement of schemas.betterAuthPostgres) yield* sql.unsafe(statement)
            for (const [user, token] of [
              ["ann", "older"],
              ["pat", refreshToken]
            ] as const) {
              const at = new Date()
              const shared = { createdAt: at, updatedAt: at }
              yield* sql`INSERT INTO "user" ${sql.insert({ id: user, name: user, email: user, emailVerified: true, ...shared })}`
              const tokens = { accessToken: "at-pat", refreshToken: token, accessTokenExpiresAt: longAgo }
              const names = { id: user, issuer: "oidc", providerId: "oidc", accountId: user, userId: user }
              yield* sql`INSERT INTO account ${sql.insert({ ...names, ...tokens, ...shared })}`
            }
          })
        )
        const second = yield* rekindle(
          args.filter((arg) => arg !== "--from" && arg !== file),
          {
            env: { REKINDLE_IMPORT_FROM: urlOf(place) }
          }
        )
        assert.strictEqual(second.code, 0, second.stderr)
        assert.deepStrictEqual(
          reportOf(second.stdout).connections.map(({ action, name }) => [name, action]),
          [
            ["oidc/ann", "present"],
            ["oidc/pat", "import"]
          ]
        )

        yield* use(
          Effect.gen(function* () {
            const { accessToken, list } = yield* Connections
            for (const user of ["ann", "ben", "cat", "pat"]) {
              const [account] = (yield* list({ userIds: [user] })).items
              if (account === undefined) return assert.fail(`${user} did not come over`)
              assert.isTrue(yield* server.isAccessTokenAlive(Redacted.value(yield* accessToken(account.id))), user)
            }
          })
        )
      })
    )

    it.effect("authjs brings the accounts of Postgres to a server, and the same ones of an export only once", () =>
      Effect.gen(function* () {
        const { directory, rekindle, serve, server, use } = yield* makeDatabase
        const place = yield* (yield* Postgres).database
        const { refreshToken } = yield* server.mintRefreshToken("1")
        const soon = Math.round(inAnHour().getTime() / 1000)
        const rows = [
          {
            userId: 1,
            type: "oidc",
            provider: "oidc",
            providerAccountId: "a",
            refresh_token: refreshToken,
            expires_at: 1
          },
          {
            userId: 2,
            type: "oauth",
            provider: "oidc",
            providerAccountId: "b",
            access_token: "at-b",
            expires_at: soon
          },
          { userId: 3, type: "email", provider: "mail", providerAccountId: "c" }
        ]
        yield* on(
          place,
          Effect.fnUntraced(function* (sql) {
            for (const statement of schemas.authjs) yield* sql.unsafe(statement)
            for (const row of rows) yield* sql`INSERT INTO accounts ${sql.insert(row)}`
          })
        )
        const run = (from: string, env: Readonly<Record<string, string>> = {}) =>
          rekindle(["import", "authjs", "--from", from, "--apply", "--json"], { env })
        const { code, stderr, stdout } = yield* run(urlOf(place), {
          REKINDLE_DATABASE: "",
          REKINDLE_BASE_URL: yield* serve,
          REKINDLE_API_KEY: serverKey
        })
        assert.strictEqual(code, 3, stderr)
        assert.deepStrictEqual({ ...reportOf(stdout).counts }, { import: 2, consent: 0, present: 0, leave: 1 })
        const exports = {
          "rows.json": JSON.stringify(rows),
          "tables.json": JSON.stringify({ accounts: rows }),
          "rows.jsonl": rows.map((row) => JSON.stringify(row)).join("\n")
        }
        const sqlite = new DatabaseSync(join(directory, "next.db"))
        for (const statement of schemas.authjsSqlite) sqlite.exec(statement)
        const insert = sqlite.prepare(
          `INSERT INTO accounts (id, userId, type, provider, providerAccountId, refresh_token, access_token, expires_at)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?)`
        )
        for (const row of rows) {
          const { access_token = null, expires_at = null, provider, providerAccountId, refresh_token = null } = row
          const { type, userId } = row
          insert.run(userId, userId, type, provider, providerAccountId, refresh_token, access_token, expires_at)
        }
        sqlite.close()
        for (const [name, text] of Object.entries({ ...exports, "next.db": undefined })) {
          const file = join(directory, name)
          if (text !== undefined) writeFileSync(file, text)
          const again = reportOf((yield* run(file)).stdout)
          assert.deepStrictEqual({ ...again.counts }, { import: 0, consent: 0, present: 2, leave: 1 }, name)
        }
        yield* use(
          Effect.gen(function* () {
            const { accessToken, list } = yield* Connections
            const [first] = (yield* list({ userIds: ["1"] })).items
            const [second] = (yield* list({ userIds: ["2"] })).items
            if (first === undefined || second === undefined) return assert.fail("they did not come over")
            assert.isTrue(yield* server.isAccessTokenAlive(Redacted.value(yield* accessToken(first.id))))
            assert.strictEqual(Redacted.value(yield* accessToken(second.id)), "at-b")
          })
        )
        const absent = yield* run(join(directory, "nothing.db"))
        assert.deepStrictEqual([absent.code, absent.stdout], [1, ""])
        assert.include(absent.stderr, "cannot be read")
      })
    )
  }
)
