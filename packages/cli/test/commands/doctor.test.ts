import { assert, describe, it, layer } from "@effect/vitest"
import { Effect, Option } from "effect"
import { chmodSync, statSync } from "node:fs"
import { join } from "node:path"
import * as Clocks from "#cli/doctor/clock.ts"
import { AuthorizationServer, makeDatabase, serverKey } from "../support/accounts.ts"

/** The report of `doctor --json`. */
interface Report {
  readonly findings: ReadonlyArray<{
    readonly status: string
    readonly check: string
    readonly subject: string
    readonly finding: string
    readonly suggested_fix: string | null
  }>
}

const reportOf = (stdout: string): Report => JSON.parse(stdout)

const found = (stdout: string, check: string) => reportOf(stdout).findings.filter((finding) => finding.check === check)

layer(AuthorizationServer.layer(), { excludeTestServices: true })("rekindle doctor", (it) => {
  it.effect(
    "finds a database in order, with its endpoints, clock and callback; then login works and doctor asks the server",
    () =>
      Effect.gen(function* () {
        const { directory, rekindle, serve } = yield* makeDatabase
        const address = yield* serve

        const { code, stderr, stdout } = yield* rekindle(["doctor", "--json"], {
          env: { REKINDLE_PUBLIC_URL: address }
        })
        assert.strictEqual(code, 0, stdout + stderr)
        const { findings } = reportOf(stdout)
        assert.deepEqual(
          findings.map(({ check, status }) => `${check} ${status}`),
          [
            "database ok",
            "journal ok",
            "key ring ok",
            "auth config ok",
            "endpoint ok",
            "endpoint ok",
            "endpoint ok",
            "clock ok",
            "callback warning"
          ]
        )

        const nowhere = { REKINDLE_DATABASE: "" }
        const refused = yield* rekindle(["login", address, "--key-stdin"], { env: nowhere, stdin: "another-key" })
        assert.strictEqual(refused.code, 1)
        const login = yield* rekindle(["login", `${address}/`, "--key-stdin"], {
          env: nowhere,
          stdin: `${serverKey}\n`
        })
        assert.strictEqual(login.code, 0, login.stderr)
        const kept = join(directory, ".config/rekindle/login.json")
        assert.strictEqual(statSync(kept).mode & 0o777, 0o600)
        assert.notInclude(login.stdout, serverKey)

        const remote = yield* rekindle(["doctor", "--json"], { env: nowhere })
        assert.strictEqual(remote.code, 0, remote.stdout + remote.stderr)
        assert.deepEqual(
          reportOf(remote.stdout).findings.map(({ check, status }) => `${check} ${status}`),
          ["server ok", "key ok", "clock ok", "callback warning"]
        )

        chmodSync(kept, 0o644)
        const exposed = yield* rekindle(["doctor"], { env: nowhere })
        assert.strictEqual(exposed.code, 2)
        assert.include(exposed.stderr, "chmod 600")
        assert.strictEqual((yield* rekindle(["logout"], { env: nowhere })).code, 0)
        assert.isUndefined(statSync(kept, { throwIfNoEntry: false }))
      })
  )

  it.effect("says what is wrong with endpoints and the callback, and what to do, and ends with 3", () =>
    Effect.gen(function* () {
      const { register, rekindle, server, use } = yield* makeDatabase
      const { settings } = server.authConfig()
      yield* use(
        Effect.all([
          register({ id: "typo", settings: { ...settings, tokenEndpoint: `${server.issuer}/tokn` } }),
          register({
            id: "away",
            hosts: [server.host, "127.0.0.1:1"],
            settings: { ...settings, tokenEndpoint: "http://127.0.0.1:1/token" }
          })
        ])
      )
      const { code, stdout } = yield* rekindle(["doctor", "--json"], {
        env: { REKINDLE_PUBLIC_URL: "http://127.0.0.1:1" }
      })
      assert.strictEqual(code, 3)
      const problems = found(stdout, "endpoint").filter(({ status }) => status === "problem")
      const says = (id: string) => problems.find(({ subject }) => subject.startsWith(`${id}: tokenEndpoint`))
      assert.include(says("typo")?.finding, "404")
      assert.include(says("typo")?.suggested_fix, "settings.tokenEndpoint")
      assert.include(says("away")?.finding, "ECONNREFUSED")
      assert.strictEqual(found(stdout, "callback")[0]?.status, "problem")

      const closed = yield* rekindle(["doctor", "--json"], { env: { REKINDLE_PRIVATE_HOSTS: "elsewhere" } })
      assert.strictEqual(closed.code, 3)
      assert.include(found(closed.stdout, "egress")[0]?.suggested_fix, "--private-hosts")
    })
  )

  it.effect("stops at a database or a key ring that does not open", () =>
    Effect.gen(function* () {
      const { directory, rekindle } = yield* makeDatabase
      const absent = yield* rekindle(["doctor", "--json"], { env: { REKINDLE_DATABASE: `${directory}/absent.db` } })
      assert.strictEqual(absent.code, 3)
      assert.include(found(absent.stdout, "database")[0]?.finding, "there is no such file")
      const other = "k9:ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA="
      const lost = yield* rekindle(["doctor", "--json"], { env: { REKINDLE_KEYS: other } })
      assert.strictEqual(lost.code, 3)
      assert.include(found(lost.stdout, "key ring")[0]?.finding, 'lacks the key "k1"')
      assert.notInclude(lost.stdout, other.slice(3))
    })
  )
})

describe("the clock", () => {
  const at = (skew: number) =>
    Option.getOrThrow(Option.fromUndefinedOr(Clocks.datedAnswer(new Date(0).toUTCString(), skew)))

  it("is compared with the median, because one provider's clock may be off", () => {
    assert.strictEqual(Clocks.compare([at(900), at(-400), at(3_600_000)], "three").status, "ok")
    assert.deepInclude(Clocks.compare([at(30_000)], "one"), {
      status: "warning",
      says: "the clock of this machine is 30 s ahead"
    })
    assert.deepInclude(Clocks.compare([at(-120_000)], "one"), {
      status: "problem",
      says: "the clock of this machine is 120 s behind"
    })
    assert.strictEqual(Clocks.compare([], "none").status, "warning")
  })
})
