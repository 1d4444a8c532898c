/**
 * The simulated provider, by its rotation classes.
 *
 * @module
 */
import { describe, expect, it } from "@effect/vitest"
import { ProviderDialect } from "@rekindle/testing"
import * as Ledger from "./Ledger.ts"

const minute = 60_000

const provider = (rules: Ledger.RotationClass, dialect = ProviderDialect.rfc6749) => {
  const ledger = Ledger.make("p", Ledger.rotationClasses[rules], dialect, "cs")
  const { access, grant, refresh } = ledger.connect("account", 0)
  const ask = (token: string, at: number, mood = Ledger.well, secret = "cs") => {
    const fields = { grant_type: "refresh_token", refresh_token: token }
    const { presentation, ...answer } = ledger.handle({ path: Ledger.tokenPath, fields, secret }, at, mood)
    const next = grant.refreshTokens.at(-1)?.value ?? ""
    return { ...answer, outcome: presentation?.outcome, next }
  }
  const isLive = (at: number) => ledger.living(grant, at) !== undefined
  return { access, ask, grant, isLive, ledger, refresh: refresh.value }
}

describe("rotation classes", () => {
  it("none: the token stays, and no answer brings another", () => {
    const { ask, refresh } = provider("none")
    expect([ask(refresh, 1), ask(refresh, 2)]).toMatchObject([
      { outcome: "applied", next: refresh },
      { outcome: "applied", next: refresh }
    ])
    expect(ask(refresh, 3).body).not.toContain("refresh_token")
  })

  it("rolling: another token each time, and the old one keeps working", () => {
    const { ask, refresh } = provider("rolling")
    expect(ask(refresh, 1).next).not.toBe(refresh)
    expect(ask(refresh, 2).outcome).toBe("applied")
  })

  it("grace: the old token brings the same successor, until the window is over", () => {
    const { ask, isLive, refresh } = provider("grace")
    const { next } = ask(refresh, 0)
    expect(ask(refresh, minute)).toMatchObject({ outcome: "reused", next })
    expect(isLive(minute)).toBe(true)
    expect(ask(refresh, 3 * minute).outcome).toBe("replayed")
    expect(isLive(3 * minute)).toBe(false)
  })

  it("grace: within the window a token of a withdrawn consent is refused, and was not replayed", () => {
    const { ask, grant, ledger, refresh } = provider("grace")
    ask(refresh, 0)
    ledger.withdrawn(grant, 1)
    expect(ask(refresh, minute).outcome).toBe("refused")
    expect(ask(refresh, 3 * minute).outcome).toBe("replayed")
  })

  it("single-use: a replay ends refresh and access tokens", () => {
    const { ask, grant, isLive, ledger, refresh } = provider("single-use")
    ask(refresh, 1)
    expect(ask(refresh, 2)).toMatchObject({ outcome: "replayed", status: 400 })
    expect(isLive(2)).toBe(false)
    expect(grant.accessTokens.some((token) => ledger.isLive(token, 2))).toBe(false)
  })

  it("family: a replay ends the refresh tokens alone", () => {
    const { ask, grant, isLive, ledger, refresh } = provider("family")
    ask(refresh, 1)
    ask(refresh, 2)
    expect(isLive(2)).toBe(false)
    expect(grant.accessTokens.every((token) => ledger.isLive(token, 2))).toBe(true)
  })

  it("forgiving: a replay is refused and costs nothing", () => {
    const { ask, isLive, refresh } = provider("forgiving")
    const { next } = ask(refresh, 1)
    expect(ask(refresh, 2).outcome).toBe("replayed")
    expect(isLive(2)).toBe(true)
    expect(ask(next, 3).outcome).toBe("applied")
  })

  it("sliding: a use moves the end", () => {
    const { ask, isLive, refresh } = provider("sliding")
    const { next } = ask(refresh, 50 * minute)
    expect(isLive(100 * minute)).toBe(true)
    expect(ask(next, 111 * minute)).toMatchObject({ outcome: "refused", status: 400 })
  })
})

describe("answers", () => {
  it("fails before the work, or after it", () => {
    const { ask, refresh } = provider("single-use")
    expect(ask(refresh, 1, { _tag: "Busy", status: 503, retryAfter: 7 })).toMatchObject({
      status: 503,
      outcome: undefined,
      headers: { "retry-after": "7" }
    })
    expect(ask(refresh, 1, { _tag: "Limping", status: 500 })).toMatchObject({ status: 500, outcome: undefined })
    expect(ask(refresh, 1, { _tag: "Breaking", status: 500 })).toMatchObject({ status: 500, outcome: "applied" })
  })

  it("takes a new secret beside the old one, and then it alone", () => {
    const { ask, ledger, refresh } = provider("none")
    const secret = ledger.newSecret()
    expect([ask(refresh, 1).status, ask(refresh, 1, Ledger.well, secret).status]).toEqual([200, 200])
    ledger.forgetSecrets(secret)
    expect([ask(refresh, 1).status, ask(refresh, 1, Ledger.well, secret).status]).toEqual([401, 200])
  })

  it("words a dead token as the provider does", () => {
    const { ask, ledger, grant, refresh } = provider("none", ProviderDialect.github)
    ledger.withdrawn(grant, 1)
    expect(ask(refresh, 2)).toMatchObject({ status: 200, body: expect.stringContaining("bad_refresh_token") })
  })

  it("revokes the grant of a token, and a code that is presented twice costs its tokens", () => {
    const { grant, isLive, ledger, refresh } = provider("none")
    const asked = { path: Ledger.revocationPath, fields: { token: refresh }, secret: "cs" }
    expect(ledger.handle(asked, 1, Ledger.well).status).toBe(200)
    expect(isLive(1)).toBe(false)
    expect(grant.refreshTokens[0]?.ended?.why).toBe("revoked-by-engine")

    const code = ledger.authorize("account", 2)
    const exchange = {
      path: Ledger.tokenPath,
      fields: { grant_type: "authorization_code", code: code.value },
      secret: "cs"
    }
    expect([ledger.handle(exchange, 3, Ledger.well).status, ledger.handle(exchange, 4, Ledger.well).status]).toEqual([
      200, 400
    ])
    expect(code.grant?.refreshTokens[0]?.ended?.why).toBe("code-replayed")
  })
})
