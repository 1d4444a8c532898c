/** The services as Promises, on a script. */
import { assert, describe, it } from "@effect/vitest"
import { AuthConfig, ConnectedAccountId, Resilience, Unavailable } from "@rekindle/core"
import { ScriptedAccounts } from "@rekindle/testing"
import { Disposed, reveal, script, secret } from "@rekindle/testing/Promise"
import { Effect } from "effect"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { inspect } from "node:util"

const id = ConnectedAccountId.make("ca_4CkFF_cKATwg")

const started = (
  status: "ACTIVE" | "EXPIRED" = "ACTIVE",
  answers: ReadonlyArray<ScriptedAccounts.ScriptedRefresh> = []
) => script({ accounts: [ScriptedAccounts.account({ id, status, answers })] })

const rejection = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => assert.fail("it was not rejected"),
    (error: unknown) => error
  )

describe("a call", () => {
  it("resolves with the outcome, and rejects with the error itself", async () => {
    await using rekindle = await started("ACTIVE", [new Unavailable({ message: "busy" }), ScriptedAccounts.ready])
    const error = await rejection(rekindle.refresh(id))
    assert.instanceOf(error, Unavailable)
    assert.instanceOf(error, Error)
    assert.deepInclude(error, { _tag: "Unavailable", disposition: "rejected", message: "busy" })
    assert.deepStrictEqual({ ...(await rekindle.refresh(id)) }, { _tag: "Ready", id })
    assert.strictEqual((await rekindle.get(id)).status, "ACTIVE")
  })

  it("takes any text as an id, and refuses one that is none", async () => {
    await using rekindle = await started()
    const text: string = id
    assert.strictEqual((await rekindle.get(text)).id, id)
    assert.deepInclude(await rejection(rekindle.accessToken("legacy 1")), {
      _tag: "InvalidRequest",
      slug: "invalid_id"
    })
    assert.deepInclude(await rejection(rekindle.get("ca_nobodynobody")), { _tag: "AccountNotFound" })
  })

  it("has undefined for what is not there", async () => {
    await using rekindle = await started()
    assert.isUndefined(await rekindle.find({ userId: "nobody", authConfigId: "none" }))
    assert.isUndefined(await rekindle.authConfigs.get("none"))
  })

  it("rejects with a defect as it is", async () => {
    const defect = new Error("a mistake")
    await using rekindle = await started("ACTIVE", [() => Effect.die(defect)])
    assert.strictEqual(await rejection(rekindle.refresh(id)), defect)
  })

  it("shows no secret, whoever prints it", async () => {
    await using rekindle = await started()
    const config = AuthConfig.make({ id: "gmail", toolkit: "gmail", scheme: "OAUTH2", hosts: [] })
    await rekindle.authConfigs.register(config)
    const account = await rekindle.create({
      authConfigId: "gmail",
      userId: "ada",
      secrets: { access_token: secret("at-secret"), refresh_token: secret("rt-secret") }
    })
    const token = await rekindle.accessToken(account.id)
    const shown = [account, token, await rekindle.credential(account.id), rekindle]
    for (const value of shown) {
      assert.notMatch(`${inspect(value, { depth: 9 })} ${JSON.stringify(value)} ${value}`, /secret-?/)
    }
    assert.strictEqual(reveal(token), "at-secret")
  })
})

describe("a signal", () => {
  it("that is aborted ends the wait with its reason, and the next call works", async () => {
    await using rekindle = await started("ACTIVE", [() => Effect.never, ScriptedAccounts.ready])
    const aborting = new AbortController()
    const waiting = rejection(rekindle.with({ signal: aborting.signal }).refresh(id))
    while ((await rekindle.script.calls()).length === 0);
    const reason = new Error("the person has left")
    aborting.abort(reason)
    assert.strictEqual(await waiting, reason)
    assert.strictEqual((await rekindle.refresh(id))._tag, "Ready")
  })

  it("that was aborted before sends nothing", async () => {
    await using rekindle = await started()
    const error = await rejection(rekindle.with({ signal: AbortSignal.abort() }).refresh(id))
    assert.deepInclude(error, { name: "AbortError" })
    assert.lengthOf(await rekindle.script.calls(), 0)
  })

  it("reaches the call that is run with a fresh credential", async () => {
    await using rekindle = await started()
    const aborting = new AbortController()
    const error = await rejection(
      rekindle.with({ signal: aborting.signal }).withRefresh(id, (signal) => {
        const aborted = new Promise<never>((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)))
        aborting.abort("enough")
        return aborted
      })
    )
    assert.strictEqual(error, "enough")
  })
})

describe("withRefresh", () => {
  it("renews once when the call is refused, and calls again", async () => {
    await using rekindle = await started()
    const tokens: Array<string> = []
    const answer = await rekindle.withRefresh(
      id,
      async () => {
        tokens.push(reveal(await rekindle.accessToken(id)))
        if (tokens.length === 1) throw { status: 401 }
        return "mail"
      },
      { isAuthFailure: (error) => typeof error === "object" && error !== null && "status" in error }
    )
    assert.strictEqual(answer, "mail")
    assert.deepStrictEqual(tokens, [`token-1-of-${id}`, `token-2-of-${id}`])
  })

  it("rejects with what the call rejected with, the very same", async () => {
    await using rekindle = await started()
    const mistake = new TypeError("a mistake of the application")
    assert.strictEqual(await rejection(rekindle.withRefresh(id, () => Promise.reject(mistake))), mistake)
    const thrown = rekindle.withRefresh(id, () => {
      throw mistake
    })
    assert.strictEqual(await rejection(thrown), mistake)
    assert.lengthOf(await rekindle.script.calls(), 0)
  })

  it("rejects with the link every time until the person consents", async () => {
    await using rekindle = await started("EXPIRED")
    const call = () => rekindle.withRefresh(id, () => rekindle.accessToken(id))
    for (let time = 0; time < 2; time++) {
      const error = await rejection(call())
      assert.instanceOf(error, Resilience.ConsentRequired)
      assert.include(error, { redirectUrl: `https://consent.test/${id}` })
    }
    await rekindle.script.consentTo(id)
    assert.strictEqual(reveal(await call()), `token-1-of-${id}`)
  })
})

it("an API that cannot be reached shows no credential in the error", async () => {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  const url = `http://127.0.0.1:${port}/send`
  const config = AuthConfig.make({ id: "mail", toolkit: "mail", scheme: "OAUTH2", hosts: [], apiHosts: [url] })
  await using rekindle = await script({ authConfigs: [config] })
  const account = await rekindle.create({
    authConfigId: "mail",
    userId: "ada",
    secrets: { access_token: secret("at-secret") }
  })
  const error = await rejection(rekindle.fetchAs(account.id)(url))
  assert.deepInclude(error, { _tag: "HttpClientError" })
  assert.notInclude(`${inspect(error, { depth: 9, showHidden: true })} ${JSON.stringify(error)} ${error}`, "at-secret")
})

describe("events", () => {
  it("are iterated, until the signal says that it is enough", async () => {
    await using rekindle = await started()
    await rekindle.script.announce(id, "expiring")
    const aborting = new AbortController()
    const types: Array<string> = []
    const error = await rejection(
      (async () => {
        for await (const { type } of rekindle.with({ signal: aborting.signal }).events()) {
          types.push(type)
          if (types.length === 2) aborting.abort("enough")
          else await rekindle.script.announce(id, "expired")
        }
      })()
    )
    assert.strictEqual(error, "enough")
    assert.deepStrictEqual(types, ["expiring", "expired"])
  })

  it("end by themselves if nobody waits for more", async () => {
    await using rekindle = await started()
    await rekindle.script.announce(id, "expired")
    const types: Array<string> = []
    for await (const { type } of rekindle.events({ follow: false })) types.push(type)
    assert.deepStrictEqual(types, ["expired"])
  })
})

describe("dispose", () => {
  it("ends what is waiting, and whoever comes later is told", async () => {
    const rekindle = await started("ACTIVE", [() => Effect.never])
    const waiting = rejection(rekindle.refresh(id))
    const events = rejection(rekindle.events()[Symbol.asyncIterator]().next())
    while ((await rekindle.script.calls()).length === 0);
    await rekindle.dispose()
    assert.deepInclude(await waiting, { _tag: "Disposed", disposition: "ambiguous" })
    assert.instanceOf(await events, Disposed)
    assert.deepInclude(await rejection(rekindle.refresh(id)), { _tag: "Disposed", disposition: "not-sent" })
    await rekindle.dispose()
  })
})

describe("fetchAs", () => {
  it("carries the credential to the API, sends a body again after a 401, and goes nowhere else", async () => {
    const seen: Array<readonly [string | undefined, string]> = []
    const server = createServer(async (request, response) => {
      let body = ""
      for await (const chunk of request) body += chunk
      seen.push([request.headers.authorization, body])
      response.writeHead(seen.length === 1 ? 401 : 200, { "x-kept": "yes" }).end("done")
    })
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
    try {
      const { port } = server.address() as AddressInfo
      await using rekindle = await script({
        authConfigs: [
          AuthConfig.make({
            id: "scripted",
            toolkit: "mail",
            scheme: "OAUTH2",
            hosts: [],
            apiHosts: [`http://127.0.0.1:${port}`]
          })
        ],
        accounts: [ScriptedAccounts.account({ id, authConfig: { id: "scripted" } })]
      })
      const mail = rekindle.fetchAs(id)
      const response = await mail(`http://127.0.0.1:${port}/send?to=ada`, { method: "POST", body: "hello" })
      assert.deepStrictEqual(
        [response.status, response.headers.get("x-kept"), await response.text()],
        [200, "yes", "done"]
      )
      assert.deepStrictEqual(seen, [
        [`Bearer token-1-of-${id}`, "hello"],
        [`Bearer token-2-of-${id}`, "hello"]
      ])
      assert.deepInclude(await rejection(mail("https://elsewhere.example/")), { slug: "host_not_declared" })
      assert.deepInclude(await rejection(mail(`http://127.0.0.1:${port}/`, { signal: AbortSignal.abort() })), {
        name: "AbortError"
      })
      assert.lengthOf(seen, 2)
    } finally {
      server.closeAllConnections()
      server.close()
    }
  })
})
