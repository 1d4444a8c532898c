import { Composio } from "@composio/client"
import { assert, describe, it } from "@effect/vitest"
import {
  AccountNotFound,
  InvalidRequest,
  RateLimited,
  type RefreshError,
  RefreshFailed,
  RefreshUnsupported,
  Unavailable
} from "@rekindle/core"
import { Duration, Effect, Logger } from "effect"
import { account, apiKey, id, serve } from "./support.ts"

/** How often the server is asked for one call of the official client, and how the call ends. */
const asked = (answer: Effect.Effect<never, RefreshError>, ask: (client: Composio) => Promise<unknown>) =>
  Effect.gen(function* () {
    let requests = 0
    const counted = Effect.suspend(() => {
      requests++
      return answer
    })
    const url = yield* serve({ refresh: () => counted, get: () => counted })
    const error = yield* Effect.flip(Effect.tryPromise(() => ask(new Composio({ baseURL: url, apiKey }))))
    return { requests, error }
  }).pipe(Effect.scoped, Effect.provide(Logger.layer([])))

const refresh = (client: Composio) => client.connectedAccounts.refresh(id)
const message = "as it was said"

describe("the official client", () => {
  it.live("reads an account and a refresh", () =>
    Effect.gen(function* () {
      const client = new Composio({ baseURL: yield* serve(), apiKey })
      const refreshed = yield* Effect.promise(() => client.connectedAccounts.refresh(id))
      assert.deepInclude({ ...refreshed }, { id, status: "ACTIVE", redirect_url: null })
      const read = yield* Effect.promise(() => client.connectedAccounts.retrieve(id))
      assert.strictEqual<string>(read.auth_config.auth_scheme, account.state.authScheme)
      assert.isNull(read.alias)
    }).pipe(Effect.scoped)
  )

  it.live.each([
    new RefreshFailed({ message }),
    new RefreshUnsupported({ message }),
    new InvalidRequest({ message }),
    new AccountNotFound({ message })
  ])("asks once for a refresh that ends in $_tag", (error) =>
    Effect.gen(function* () {
      assert.strictEqual((yield* asked(Effect.fail(error), refresh)).requests, 1)
    })
  )

  it.live("sends a refresh once if the server has a defect", () =>
    Effect.gen(function* () {
      assert.strictEqual((yield* asked(Effect.die("defect"), refresh)).requests, 1)
    })
  )

  it.live.each([
    new RateLimited({ message, retryAfter: Duration.zero }),
    new Unavailable({ message, retryAfter: Duration.zero })
  ])("asks again after $_tag, which says that nothing was done", (error) =>
    Effect.gen(function* () {
      assert.strictEqual((yield* asked(Effect.fail(error), refresh)).requests, 3)
    })
  )
})
