/**
 * `rekindle reseal` and `rekindle restored`: what an operator does to a whole database, after a key was added or a backup restored.
 *
 * @module
 */
import { AccountStore, KeyRotation } from "@rekindle/engine"
import { Effect } from "effect"
import { Command } from "effect/cli"
import { migrate } from "../store/migrations.ts"
import * as Webhooks from "../webhooks/Webhooks.ts"
import { CommandFailed } from "./failure.ts"
import * as Output from "./output.ts"
import * as Target from "./target.ts"

export const reseal = Command.make("reseal", { target: Target.databaseFlags }, ({ target }) =>
  Effect.gen(function* () {
    yield* migrate
    // First, because the engine's reseal lets go of the older keys when nothing of its own is left.
    const ofWebhooks = yield* Webhooks.reseal
    const ofEngine = yield* KeyRotation.reseal
    const resealed = ofWebhooks.resealed + ofEngine.resealed
    const left = ofWebhooks.left + ofEngine.left
    yield* Output.print({ resealed, left }, `${resealed} sealed again, ${left} left`)
    if (left === 0) return
    return yield* new CommandFailed({
      message: `${left} values are not sealed with the newest key`,
      fix: "run the command again; keep the older keys in the ring until nothing is left",
      exit: "attention"
    })
  }).pipe(Effect.provide([Target.accountStore(target), Target.vault(target)]))
).pipe(
  Command.withDescription(
    "Seals every credential and webhook secret of a database again with the newest key of the ring, beside working servers. When nothing is left, the older keys can go"
  ),
  Command.withShortDescription("Seals every credential again with the newest key")
)

export const restored = Command.make("restored", { target: Target.databaseFlags }, ({ target }) =>
  Effect.gen(function* () {
    const accounts = yield* AccountStore.use(({ doubtAll }) => doubtAll)
    yield* Output.print(
      { in_doubt: accounts },
      `${accounts} account${accounts === 1 ? "" : "s"} in doubt: a single-use refresh token is sent once, after its access token has expired`
    )
  }).pipe(Effect.provide(Target.accountStore(target)))
).pipe(
  Command.withDescription(
    "Marks a database as restored from an older backup, whose refresh tokens may be spent. Run it after the restore and before a server starts"
  ),
  Command.withShortDescription("Marks a database as restored from an older backup")
)
