/**
 * People who consent: they take their time, click twice, refuse, or walk away. Their browser comes back to any process.
 *
 * @module
 */
import { type ConnectedAccountId, ConsentCallback } from "@rekindle/core"
import { Effect, Random } from "effect"
import { hashOf } from "#engine/consent/sealedAttempt.ts"
import { callOn } from "./Callers.ts"
import { delivery } from "./Facts.ts"
import { anyNode, keepsItsWord, type Scene, whileRenewed } from "./Scene.ts"

/** How many open links an account has at most. */
const openLinks = 5

/** How long a browser waits for the page after the consent, in milliseconds. */
const browserPatience = 90_000

/** The callback of a browser, at any process. */
const comeBack = (scene: Scene, id: ConnectedAccountId, query: URLSearchParams) =>
  Effect.gen(function* () {
    const node = yield* anyNode(scene)
    yield* callOn(
      scene,
      node,
      "callback",
      id,
      browserPatience,
      Effect.gen(function* () {
        const callback = yield* ConsentCallback
        const { failure, status } = yield* callback.complete(new URLSearchParams(query), undefined)
        scene.reach(failure === undefined ? `a consent completed: ${status}` : `a consent failed: ${failure.reason}`)
      })
    )
  }).pipe(Effect.timeout(browserPatience), Effect.exit)

/** A person follows a link. */
export const follow = Effect.fnUntraced(function* (scene: Scene, id: ConnectedAccountId, link: string) {
  const { facts, mix, model, nodes, reach, world, wrong } = scene
  const state = new URL(link).searchParams.get("state") ?? ""
  const links = [...model.attempts().values()].filter(({ accountId }) => accountId === id)
  // Newer links can have taken its place, a process whose clock is ahead of another's removes its links, and a snapshot may have been restored
  // while the answer was on its way. The links of a real database are not looked at.
  const isExpected =
    !mix.onSqlite &&
    !facts.isForgotten(world.now() - delivery) &&
    facts.rows.has(id) &&
    links.length < openLinks &&
    nodes.every(({ wallClock }) => wallClock.changes === 0)
  if (isExpected && !model.attempts().has(hashOf(state)))
    wrong(keepsItsWord, `a link for ${id} was given that leads nowhere`)
  // Some come back at once, and some when the link has ended.
  yield* Effect.sleep(200 * (mix.trouble / 100) ** (yield* Random.next))
  const mind = yield* Random.next
  if (mind < 0.1) return reach("a person walks away")
  if (mind < 0.2) {
    reach("a person refuses")
    return yield* comeBack(scene, id, new URLSearchParams({ state, error: "access_denied" }))
  }
  yield* whileRenewed(scene, id)
  if (mix.onlyOneGrant) {
    const ledger = facts.ledgerOf(id)
    for (const grant of ledger.grants) if (grant.account === id) ledger.withdrawn(grant, world.now())
  }
  const code = facts.ledgerOf(id).authorize(id, world.now())
  world.note(`a person consents for ${id}`)
  const query = new URLSearchParams({ state, code: code.value })
  if (mind < 0.6) return yield* comeBack(scene, id, query)
  reach("a person clicks twice")
  const again = Effect.delay(comeBack(scene, id, query), 3000 * (yield* Random.next) ** 4)
  yield* Effect.all([comeBack(scene, id, query), again], { concurrency: "unbounded", discard: true })
})
