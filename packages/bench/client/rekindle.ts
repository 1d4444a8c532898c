/**
 * The client of this project: bare, behind the standard pipeline, and behind coalescing alone.
 *
 * @module
 */
import { ConnectedAccountId, ConnectedAccounts, Resilience } from "@rekindle/core"
import { RekindleClient } from "@rekindle/platform"
import * as UndiciHttpClient from "@rekindle/platform/UndiciHttpClient"
import { Effect, Layer, ManagedRuntime, Redacted } from "effect"
import { accountAt, apiKey, expectActive, type Run } from "./clients.ts"

const bareLayer = (baseUrl: string): Layer.Layer<ConnectedAccounts> =>
  RekindleClient.layer({ baseUrl, apiKey: Redacted.make(apiKey) }).pipe(
    Layer.provide(UndiciHttpClient.layer),
    Layer.orDie
  )

export const standardLayer = (baseUrl: string): Layer.Layer<ConnectedAccounts> =>
  Resilience.layer(Resilience.standard()).pipe(Layer.provide(bareLayer(baseUrl)))

export const coalescedLayer = (baseUrl: string): Layer.Layer<ConnectedAccounts> =>
  Resilience.layer(Resilience.coalesce()).pipe(Layer.provide(bareLayer(baseUrl)))

const effects = (accounts: Layer.Layer<ConnectedAccounts>): Run => {
  const runtime = ManagedRuntime.make(accounts)
  return (inFlight, until) => {
    let calls = 0
    const place = (accounts: ConnectedAccounts["Service"], id: ConnectedAccountId) =>
      Effect.whileLoop({
        while: () => performance.now() < until,
        body: () => accounts.refresh(id),
        step: (outcome) => {
          expectActive(outcome._tag === "Ready" ? "ACTIVE" : outcome._tag)
          calls++
        }
      })
    const places = Array.from({ length: inFlight }, (_, i) => ConnectedAccountId.make(accountAt(i)))
    return ConnectedAccounts.use((accounts) =>
      Effect.forEach(places, (id) => place(accounts, id), { concurrency: "unbounded", discard: true })
    ).pipe(
      Effect.map(() => calls),
      runtime.runPromise
    )
  }
}

export const bare = (baseUrl: string): Run => effects(bareLayer(baseUrl))

export const standard = (baseUrl: string): Run => effects(standardLayer(baseUrl))
