/**
 * `kill -9` of real processes at every point of a renewal at which a crash leaves another state behind, and the recovery by a new process.
 *
 * Every worker renews two accounts, one at a server that revokes the grant on a replay and one at a provider with a reuse window. It dies
 * when one of them (each in turn) reaches the point. The other one may be at any point.
 *
 * @module
 */
import { type ConnectedAccountId, ProviderProfile } from "@rekindle/core"
import { ScriptedProvider } from "@rekindle/testing"
import { Duration, Effect } from "effect"
import { HttpBody, HttpClientRequest } from "effect/http"
import { mkdir, readdir, rename } from "node:fs/promises"
import { join } from "node:path"
import { AuthorizationServer } from "../support/AuthorizationServer.ts"
import { type Death, type Ending, type Wiring } from "./Job.ts"
import * as Fleet from "./Fleet.ts"
import { connect, folder, type Kind, placeFor, rows, broken } from "./ground.ts"
import * as TokenGate from "./TokenGate.ts"

/** The points: those at which a worker kills itself, and `after-send`, at which it is killed while its request is at the server. */
export const points = [
  "before-lease",
  "after-intent",
  "after-send",
  "after-response",
  "in-commit",
  "after-commit"
] as const
export type Point = (typeof points)[number]

/** The size of a run. */
export interface Options {
  readonly kind: Kind
  readonly killsPerPoint: number
  readonly points?: ReadonlyArray<Point>
  /**
   * Whether a worker renews only its strict account, with a journal of its own. It then always dies for that account, and not for a record
   * of an earlier death. The check reads the files of all.
   */
  readonly strictOnly?: boolean
  /** How long the leases of the dead last, in milliseconds. The end of the run waits for them. A busy machine needs more. */
  readonly lease: number
  readonly seed: number
}

/** The provider with a reuse window, as a token endpoint. */
const windowUpstream =
  (provider: ScriptedProvider.Provider): TokenGate.Upstream =>
  (body, headers) =>
    Effect.runPromise(
      Effect.gen(function* () {
        const request = HttpClientRequest.post(provider.tokenUrl).pipe(
          HttpClientRequest.setHeaders({ authorization: headers["authorization"] ?? "" }),
          HttpClientRequest.setBody(HttpBody.text(body, "application/x-www-form-urlencoded"))
        )
        const response = yield* provider.handle(request, new URL(provider.tokenUrl))
        return {
          status: response.status,
          contentType: response.headers["content-type"] ?? "",
          body: yield* response.text
        }
      })
    )

const tally = (names: ReadonlyArray<string>): Record<string, number> => {
  const counts: Record<string, number> = {}
  for (const name of names) counts[name] = (counts[name] ?? 0) + 1
  return counts
}

/** Runs it. `survivors` and `wronged` list what should not have happened. */
export const run = Effect.fnUntraced(function* ({
  kind,
  killsPerPoint,
  lease,
  points: chosen = points,
  seed,
  strictOnly = false
}: Options) {
  const server = yield* AuthorizationServer
  const window = Duration.minutes(30)
  const provider = yield* ScriptedProvider.make({ reuseWindow: window, seed })
  const strictGate = yield* TokenGate.make(TokenGate.forwardTo(server.endpoints.token))
  const windowGate = yield* TokenGate.make(windowUpstream(provider))
  const place = yield* placeFor(kind)
  const home = yield* folder
  const wiring: Wiring = {
    place,
    journal: join(home, "journal"),
    lease,
    requestTimeout: Math.round(lease * 0.4),
    giveUp: Math.round(lease / 2)
  }
  const kills = chosen.flatMap((point) => Array.from({ length: killsPerPoint }, () => point))

  const strictTokens = (yield* Effect.replicateEffect(server.mintRefreshToken("person"), kills.length)).map(
    ({ refreshToken }) => refreshToken
  )
  const windowTokens = (yield* Effect.replicateEffect(provider.connect, strictOnly ? 0 : kills.length)).map(
    ({ refreshToken }) => refreshToken
  )
  const base = server.authConfig()
  const strictIds = yield* connect(
    wiring,
    {
      ...base,
      settings: { ...base.settings, tokenEndpoint: strictGate.url },
      hosts: [...base.hosts, strictGate.host]
    },
    strictTokens
  )
  const windowIds = yield* connect(
    wiring,
    {
      ...base,
      id: "window",
      profile: ProviderProfile.make({ name: "window", rotation: "single-use", reuseWindow: window }),
      settings: { ...base.settings, tokenEndpoint: windowGate.url },
      hosts: [...base.hosts, windowGate.host]
    },
    windowTokens
  )

  /** Which of the two accounts of a worker it dies for, and whether an intercepted request is carried out. */
  const strictDies = (index: number) => strictOnly || (index + seed) % 2 === 0
  const carriedOut = (index: number) => Math.floor((index + seed) / 2) % 2 === 0
  /** Whether the answer to an account's request may have been lost. That is so only if it was in flight when the worker died. */
  const mayBeLost = (point: Point, index: number) => !strictDies(index) || (point === "after-send" && carriedOut(index))

  const journalOf = (index: number) => join(home, `journal-${index}`)
  const gatherJournals = Effect.promise(async () => {
    await mkdir(wiring.journal, { recursive: true, mode: 0o700 })
    for (const from of kills.map((_, index) => journalOf(index))) {
      for (const name of await readdir(from)) await rename(join(from, name), join(wiring.journal, name))
    }
  })

  const startedAt = Date.now()
  const survivors: Array<string> = []
  const killOnce = Effect.fnUntraced(function* (point: Point, index: number) {
    const strictFirst = strictDies(index)
    const pair = [strictIds[index], windowIds[index]].filter((id): id is ConnectedAccountId => id !== undefined)
    const worker = yield* Fleet.start({
      wiring: strictOnly ? { ...wiring, journal: journalOf(index) } : wiring,
      ids: strictFirst ? pair : pair.toReversed(),
      work: { _tag: "RefreshEach", concurrency: 2 },
      ...(point === "after-send" ? {} : { death: point satisfies Death })
    })
    if (point === "after-send") {
      const [gate, refreshToken] = strictFirst
        ? [strictGate, strictTokens[index] ?? ""]
        : [windowGate, windowTokens[index] ?? ""]
      gate.lieInWait(refreshToken, { strike: worker.kill, carriedOut: carriedOut(index) })
    }
    if ((yield* worker.ended) !== "killed") survivors.push(point)
  }, Effect.scoped)
  yield* Effect.forEach(kills, killOnce, { concurrency: 3, discard: true })
  const spentByTheDead = server.tally()

  if (strictOnly) yield* gatherJournals
  // The dead workers' journal is on this machine. It has the answers that they read, whether or not they were committed.
  const ids = [...strictIds, ...windowIds]
  const check = Fleet.run({ wiring, ids, work: { _tag: "RefreshEach", concurrency: 50 } })
  const first = yield* check
  const stored = new Map((yield* rows(wiring)).map((row) => [row.id, row]))
  // A working access token is not enough. The refresh token has to work too.
  const second = yield* check

  const alive = (ending: Ending | undefined, strict: boolean) =>
    typeof ending?.token !== "string"
      ? Effect.succeed(false)
      : strict
        ? server.isAccessTokenAlive(ending.token)
        : provider.isLive(ending.token)

  const wronged: Array<string> = []
  const endings: Array<string> = []
  for (const [position, id] of ids.entries()) {
    const strict = position < kills.length
    const index = position % kills.length
    const point = kills[index] ?? "before-lease"
    const row = stored.get(id)
    const [once, again] = [first, second].map((report) => report.endings.find((ending) => ending.id === id))
    const works = (yield* alive(once, strict)) && (yield* alive(again, strict))
    const state = row?.status === "ACTIVE" && works ? "ACTIVE" : `${row?.status} ${row?.reason} ${once?.outcome}`
    const role = strictDies(index) === strict ? point : "elsewhere"
    endings.push(`${strict ? "strict" : "window"} ${role}: ${state}`)
    const lost = strict && mayBeLost(point, index) && state === "EXPIRED rotation_response_lost RedirectRequired"
    if (state !== "ACTIVE" && !lost) {
      const history = strict
        ? strictGate.history(strictTokens[index] ?? "")
        : windowGate.history(windowTokens[index] ?? "")
      wronged.push(`${id} ${strict ? "strict" : "window"} ${role}: ${state} (${history.join(", ")})`)
    }
  }
  const expired = [...stored.values()].filter(({ status }) => status === "EXPIRED")
  const { spent } = spentByTheDead
  return {
    scenario: "kills",
    kind,
    seed,
    kills: kills.length - survivors.length,
    seconds: Math.round((Date.now() - startedAt) / 1000),
    survivors,
    endings: Object.fromEntries(Object.entries(tally(endings)).toSorted(([a], [b]) => (a < b ? -1 : 1))),
    spentBeforeTheCheck: spent,
    revoked: server.tally().revoked.length,
    expiredByReason: tally(expired.map(({ reason }) => String(reason))),
    wronged,
    broken: broken({
      "every process dies at its point": survivors.length === 0,
      "every account works, or its answer was lost": wronged.length === 0
    })
  }
})
