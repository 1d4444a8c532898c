/**
 * Server routes on policies on a client: a gateway in front of somebody else's backend. Its callers, in any language, get the policies without
 * any code of their own.
 *
 * @module
 */
import { ConnectedAccountId, ConnectedAccounts, Resilience, Unavailable } from "@rekindle/core"
import { RekindleClient } from "@rekindle/platform"
import * as UndiciHttpClient from "@rekindle/platform/UndiciHttpClient"
import { ScriptedAccounts } from "@rekindle/testing"
import { Effect, Layer } from "effect"
import assert from "node:assert/strict"
import { apiKey, serve } from "./support/serve.ts"
import { step } from "./support/Step.ts"

const id = ConnectedAccountId.make("ca_4CkFF_cKATwg")
const busy = new Unavailable({ message: "busy" })

/** Somebody else's backend: it is busy for two calls, then ready. */
const backend = ScriptedAccounts.layer([
  ScriptedAccounts.account({ id, answers: [busy, busy, ScriptedAccounts.ready] })
])

const client = (baseUrl: string) =>
  RekindleClient.layer({ baseUrl, apiKey }).pipe(Layer.provide(UndiciHttpClient.layer))

const refresh = ConnectedAccounts.use((accounts) => accounts.refresh(id))

export const example = Effect.gen(function* () {
  const upstream = yield* serve(backend)
  const hardened = Resilience.layer(Resilience.standard({ retry: { baseDelay: "5 millis" } })).pipe(
    Layer.provide(client(upstream))
  )
  const gateway = yield* serve(hardened)

  yield* step(
    "directly from the backend: busy",
    Effect.gen(function* () {
      const error = yield* Effect.flip(refresh)
      assert.equal(error._tag, "Unavailable")
    }).pipe(Effect.provide(client(upstream)))
  )
  yield* step(
    "through the gateway: it waited, asked again, and the caller is Ready",
    Effect.gen(function* () {
      assert.equal((yield* refresh)._tag, "Ready")
    }).pipe(Effect.provide(client(gateway)))
  )
}).pipe(Effect.scoped)
