/** The engine as Promises, against a token endpoint that answers on command. */
import { assert, describe, it } from "@effect/vitest"
import { AuthConfig } from "@rekindle/core"
import { Disposed, engine, type Options, reveal, secret, type Storage } from "@rekindle/engine/Promise"
import * as SqliteClient from "@rekindle/engine/SqliteClient"
import { DateTime } from "effect"
import { randomBytes } from "node:crypto"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"

const callbackUrl = "https://app.test/callback"
const keys = [{ id: "k1", key: randomBytes(32).toString("base64") }]

/** A token endpoint that rotates, and a directory. Both are removed when the test ends. */
const surroundings = async () => {
  const directory = await mkdtemp(join(tmpdir(), "rekindle-"))
  let requests = 0
  let answer = () => {}
  const answered: { hold: boolean } = { hold: false }
  const server = createServer((request, response) => {
    request.resume().on("end", () => {
      const number = ++requests
      answer = () =>
        void response.writeHead(200, { "content-type": "application/json" }).end(
          JSON.stringify({
            access_token: `at-${number}`,
            refresh_token: `rt-${number}`,
            token_type: "Bearer",
            expires_in: 3600
          })
        )
      if (!answered.hold) answer()
    })
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const { port } = server.address() as AddressInfo
  const host = `127.0.0.1:${port}`
  return {
    answered,
    answer: () => answer(),
    requests: () => requests,
    directory,
    file: join(directory, "accounts.db"),
    config: AuthConfig.make({
      id: "mail",
      toolkit: "mail",
      scheme: "OAUTH2",
      hosts: [host],
      settings: {
        clientId: "id",
        tokenEndpoint: `http://${host}/token`,
        authorizationEndpoint: `http://${host}/authorize`
      },
      secrets: { client_secret: secret("client-secret") }
    }),
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections()
      server.close()
      await rm(directory, { recursive: true, force: true })
    }
  }
}

const open = (options: Storage & { readonly keys?: Options["keys"]; readonly renewer?: Options["renewer"] }) =>
  engine({ callbackUrl, keys, renewer: false, egress: { privateHosts: ["*"] }, ...options })

const account = {
  authConfigId: "mail",
  userId: "ada",
  secrets: { access_token: secret("at-0"), refresh_token: secret("rt-0") },
  expiresAt: DateTime.makeUnsafe(0)
}

const until = async (holds: () => boolean | Promise<boolean>) => {
  while (!(await holds())) await new Promise((resolve) => setImmediate(resolve))
}

const rejection = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => assert.fail("it was not rejected"),
    (error: unknown) => error
  )

describe("an engine", () => {
  it("keeps its accounts in the file, and a caller who leaves stops no renewal", async () => {
    await using place = await surroundings()
    let id = ""
    {
      await using rekindle = await open({ sqlite: place.file })
      await rekindle.authConfigs.register(place.config)
      ;({ id } = await rekindle.create(account))
      place.answered.hold = true
      const aborting = new AbortController()
      const waiting = rejection(rekindle.with({ signal: aborting.signal }).refresh(id))
      await until(() => place.requests() === 1)
      aborting.abort("the person has left")
      assert.strictEqual(await waiting, "the person has left")
      place.answer()
      assert.strictEqual(reveal(await rekindle.accessToken(id)), "at-1")
      assert.strictEqual(place.requests(), 1)
    }
    await using again = await open({ sqlite: place.file })
    assert.strictEqual(reveal(await again.accessToken(id)), "at-1")
    assert.strictEqual(place.requests(), 1)
  })

  it("that is disposed of ends the callers, and waits until the answer to what it has sent is stored", async () => {
    await using place = await surroundings()
    const rekindle = await open({ sqlite: place.file })
    await rekindle.authConfigs.register(place.config)
    const { id } = await rekindle.create(account)
    place.answered.hold = true
    const waiting = rejection(rekindle.refresh(id))
    await until(() => place.requests() === 1)
    const disposed = rekindle.dispose()
    assert.instanceOf(await waiting, Disposed)
    place.answer()
    await disposed
    await using again = await open({ sqlite: place.file })
    assert.strictEqual(reveal(await again.accessToken(id)), "at-1")
    assert.strictEqual(place.requests(), 1)
  })

  it("renews what is due by itself, unless it is told not to", async () => {
    await using place = await surroundings()
    await using rekindle = await open({ sqlite: place.file, renewer: { pollInterval: "20 millis" } })
    await rekindle.authConfigs.register(place.config)
    const { id } = await rekindle.create(account)
    await until(() => place.requests() === 1)
    assert.strictEqual(reveal(await rekindle.accessToken(id)), "at-1")
  })

  it("runs on any database, with a journal in a directory of its own", async () => {
    await using place = await surroundings()
    await using rekindle = await open({
      sql: SqliteClient.layer(place.file),
      journalDirectory: join(place.directory, "journal")
    })
    await rekindle.authConfigs.register(place.config)
    const { id } = await rekindle.create(account)
    assert.strictEqual((await rekindle.refresh(id))._tag, "Ready")
  })

  it("keeps the projects apart", async () => {
    await using place = await surroundings()
    await using rekindle = await open({ sqlite: ":memory:" })
    const other = rekindle.with({ projectId: "other" })
    await rekindle.authConfigs.register(place.config)
    const { id } = await rekindle.create(account)
    assert.deepInclude(await rejection(other.get(id)), { _tag: "AccountNotFound" })
    assert.strictEqual(await other.count(), 0)
    await other.authConfigs.register({ ...place.config, projectId: "other" })
    assert.strictEqual((await other.create(account)).userId, "ada")
  })

  it("that cannot be opened rejects, and says why", async () => {
    await using place = await surroundings()
    const missing = await rejection(open({ sqlite: join(place.directory, "no", "such", "accounts.db") }))
    assert.include(String(missing), "accounts.db")
    const malformed = await rejection(open({ sqlite: place.file, keys: [{ id: "k1", key: "not a key" }] }))
    assert.deepInclude(malformed, { _tag: "VaultError" })
    assert.notInclude(String(malformed), "not a key")
  })
})
