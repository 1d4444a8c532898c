/**
 * The network between the nodes and the providers of a world, as the transport of one node. It tells the engine what a real client tells: an
 * answer, a refused connection, a broken one, or nothing.
 *
 * **Gotchas**
 *
 * A request that arrives does so within `longestWay`. The engine cannot defend a token against a request that wanders through the network
 * for longer than its lease, and neither can anybody else. Answers may be as late as they like.
 *
 * @module
 */
import { type Account, type Transport, Verdict } from "@rekindle/engine"
import type { Simulation } from "@rekindle/testing"
import { isOver } from "#engine/account/Account.ts"
import { Clock, Deferred, Effect, Exit, Scheduler } from "effect"
import type { Fact } from "./Facts.ts"
import * as Ledger from "./Ledger.ts"

/** A provider as a node of the world reaches it. */
export interface Provider {
  readonly ledger: Ledger.Ledger
  readonly node: Simulation.Node<Ledger.Ledger>
  /** Until when it works on a request with a token. */
  readonly busy: Map<string, number>
  /** The answers that come with the next request for their token. */
  readonly waiting: Map<string, Deferred.Deferred<void>>
  /** How it is at the moment, as far as its outages go. `Refusing`: nobody answers there. */
  mood: Ledger.Mood | { readonly _tag: "Refusing" }
}

const kinds = [
  "wire-refused",
  "wire-request-lost",
  "wire-request-slow",
  "wire-answer-lost",
  "wire-answer-late",
  "wire-answer-cut",
  "provider-busy",
  "provider-breaks",
  "provider-limps"
]
/** What happens to the request of an account whose access token is over. Only such a request is sent again when its answer is missing. */
const kindsInNeed = ["wire-answer-late-in-need"]

/** What a wire needs of its world. */
export interface Surroundings {
  readonly world: Simulation.World
  readonly tell: (fact: Fact) => void
  readonly providers: ReadonlyMap<string, Provider>
  /** The stored row of an account. */
  readonly rowOf: (account: string) => Account | undefined
  readonly nextRequest: () => number
  /** How long a request travels at most, in milliseconds. */
  readonly longestWay: number
  /** How long a provider takes to answer, in milliseconds. */
  readonly thinking: number
  /** Whether providers carry out one request for a token at a time. */
  readonly inTurn: boolean
}

/** The latest that an answer comes, in milliseconds. */
const longestLate = 60_000

const between = (amount: number, min: number, max: number): number => min * (max / min) ** amount

/** Reads the fields of a request, and the client's secret from its Basic authentication (RFC 6749 §2.3.1). */
const read = ({ body, headers, url }: Parameters<Transport>[0]): Ledger.Request => {
  const basic = /^basic (.*)$/i.exec(headers["authorization"] ?? "")?.[1]
  const pair = basic === undefined ? "" : Buffer.from(basic, "base64").toString("utf8")
  const secret = pair.includes(":") ? decodeURIComponent(pair.slice(pair.indexOf(":") + 1)) : undefined
  return { path: url.pathname, fields: Object.fromEntries(new URLSearchParams(body)), secret }
}

/** The transport of one node. */
export const make = (given: Surroundings, node: { readonly name: string }): Transport => {
  const { inTurn, longestWay, nextRequest, providers, rowOf, tell, thinking, world } = given

  /**
   * Half of the late answers come about when their request ends, which is when most can go wrong. Those of a request in need come then too, or
   * together with the answer to the next request for their token.
   */
  const lateness = (what: string | undefined, amount: number): number | "with the next" =>
    what === "wire-answer-late-in-need" && amount >= 0.3
      ? "with the next"
      : amount < 0.5
        ? between(2 * amount, longestWay, 8 * longestWay)
        : between(2 * amount - 1, 100, longestLate)

  const exchange: Transport = Effect.fnUntraced(function* (request) {
    const { hostname } = request.url
    const provider = providers.get(hostname)
    if (provider === undefined) return Verdict.notSent("dns_failed ENOTFOUND")
    const asked = read(request)
    const clock = yield* Clock.Clock
    const token = provider.ledger.find(asked.fields["refresh_token"] ?? "")
    const account = token === undefined ? undefined : rowOf(token.grant.account)
    const isInNeed = account !== undefined && isOver(account, clock.currentTimeMillisUnsafe())
    const fault =
      world.fault(`wire ${node.name} ${hostname}`, kinds) ??
      (isInNeed ? world.fault(`need ${node.name} ${hostname}`, kindsInNeed) : undefined)
    const what = fault?.what
    const amount = fault?.amount ?? 0
    const { mood } = provider
    if (what !== undefined) world.note(`asks ${hostname}: ${what}`)
    if (what === "wire-refused" || mood._tag === "Refusing") {
      if (account !== undefined) tell({ _tag: "Unreached", node: node.name, account })
      return Verdict.notSent("connect_failed ECONNREFUSED")
    }
    const refusal = request.refusal()
    if (refusal !== undefined) return Verdict.notSent(refusal)
    const id = nextRequest()
    tell({
      _tag: "Sent",
      at: world.now(),
      node: node.name,
      request: id,
      wall: clock.currentTimeMillisUnsafe(),
      account,
      token: token?.value
    })
    const travel = Effect.gen(function* () {
      const broken = Effect.sync(() => {
        tell({ _tag: "Broke", at: world.now(), request: id })
        return Verdict.noAnswer("connection_lost ECONNRESET")
      })
      const lost = amount < 0.5 ? broken : Effect.never
      let wasKnown = false
      if (what === "wire-request-lost") return yield* Effect.delay(lost, between(amount, 1, 1000))

      const answered = provider.node.call((ledger) => {
        const carriedOut = Effect.sync(() => {
          const moodNow: Ledger.Mood =
            what === "provider-busy"
              ? { _tag: "Busy", status: amount < 0.5 ? 429 : 503, ...(amount < 0.7 ? {} : { retryAfter: 5 }) }
              : what === "provider-breaks" || what === "provider-limps"
                ? {
                    _tag: what === "provider-breaks" ? "Breaking" : "Limping",
                    status: amount < 0.25 ? 500 : amount < 0.5 ? 502 : amount < 0.75 ? 504 : 200
                  }
                : provider.mood._tag === "Refusing"
                  ? Ledger.well
                  : provider.mood
          wasKnown = ledger.knows(asked.secret)
          const next = provider.waiting.get(token?.value ?? "")
          if (next !== undefined) Deferred.doneUnsafe(next, Exit.void)
          const answer = ledger.handle(asked, world.now(), moodNow)
          tell({ _tag: "Arrived", at: world.now(), request: id, presentation: answer.presentation })
          return answer
        })
        const slow =
          what === "wire-request-slow" ? Effect.delay(carriedOut, between(amount, 1, longestWay)) : carriedOut
        const withNext = Effect.suspend(() => {
          const next = Deferred.makeUnsafe<void>()
          provider.waiting.set(token?.value ?? "", next)
          // Before the answer to the next one, or after it.
          return Effect.andThen(
            Effect.timeoutOption(Deferred.await(next), longestLate),
            Effect.sleep(((amount * 256) % 1) * 2 * thinking)
          )
        })
        const takesLong = Effect.suspend(() => {
          const isLate = what === "wire-answer-late" || what === "wire-answer-late-in-need"
          const long = isLate ? lateness(what, amount) : thinking
          if (long === "with the next") return withNext
          const wanted = world.now() + long
          const end = inTurn && token !== undefined ? Math.max(wanted, provider.busy.get(token.value) ?? 0) : wanted
          if (token !== undefined) provider.busy.set(token.value, end)
          return Effect.sleep(end - world.now())
        })
        return slow.pipe(
          Effect.tap(() => takesLong),
          Effect.tap(() =>
            Effect.sync(() => {
              if (what !== "wire-answer-lost") tell({ _tag: "Answered", at: world.now(), request: id })
            })
          )
        )
      })
      const answer = yield* Effect.orDie(answered)
      if (what === "wire-answer-lost") return yield* lost
      const received: Verdict.Observation = {
        _tag: "Answer",
        status: answer.status,
        contentType: answer.headers["content-type"],
        retryAfter: answer.headers["retry-after"],
        body: what === "wire-answer-cut" ? answer.body.slice(0, Math.floor(answer.body.length * amount)) : answer.body,
        receivedAt: clock.currentTimeMillisUnsafe(),
        headers: answer.headers
      }
      const isOwn = answer.isOwn && what !== "wire-answer-cut"
      // Some providers answer 200 to an application that they refuse.
      const isClean = isOwn && wasKnown
      tell({ _tag: "Read", at: world.now(), rest: world.rests(), node: node.name, request: id, isOwn, isClean })
      return received
    })
    return yield* Effect.ensuring(
      travel,
      Effect.sync(() => tell({ _tag: "Closed", at: world.now(), request: id }))
    )
  })
  // A process hands its request to the kernel in the step in which it decides to send. No other step lies between, in which it could freeze.
  return (request) => Effect.provideService(exchange(request), Scheduler.PreventSchedulerYield, true)
}
