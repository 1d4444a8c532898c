/**
 * Both services of the engine: `ConnectedAccounts`, which policies decorate, and `Connections`, with which an application manages accounts
 * and reads credentials.
 *
 * @module
 */
import { ConnectedAccounts, Connections } from "@rekindle/core"
import { Context, Effect, Layer } from "effect"
import { SecureRandom } from "effect/crypto"
import { AccountStore } from "./account/AccountStore.ts"
import { makeAccounts } from "./connections/accounts.ts"
import { makeAuthConfigRegistry } from "./connections/authConfigRegistry.ts"
import { makeBroughtCredentials } from "./connections/broughtCredentials.ts"
import { makeCredentials } from "./connections/credentials.ts"
import { makeEvents } from "./connections/events.ts"
import { makeLifecycle } from "./connections/lifecycle.ts"
import { makeLists } from "./connections/lists.ts"
import { makeRefresh } from "./connections/refresh.ts"
import { Consent } from "./consent/Consent.ts"
import { CredentialCache } from "./renewal/CredentialCache.ts"
import * as Idempotency from "./renewal/Idempotency.ts"
import { RefreshCoordinator } from "./renewal/RefreshCoordinator.ts"
import { TokenCommit } from "./renewal/TokenCommit.ts"
import { AuthConfigs } from "./strategies/AuthConfigs.ts"
import { AuthStrategies } from "./strategies/AuthStrategy.ts"
import { CredentialVault } from "./vault/CredentialVault.ts"

type Requirements =
  | CredentialCache
  | AccountStore
  | AuthConfigs
  | AuthStrategies
  | Consent
  | CredentialVault
  | RefreshCoordinator
  | TokenCommit

/** Provides both services. */
export const layer: Layer.Layer<Connections | ConnectedAccounts, never, Requirements> = Layer.effectContext(
  Effect.gen(function* () {
    const configs = yield* AuthConfigs
    const accounts = makeAccounts({
      configs,
      store: yield* AccountStore,
      strategies: yield* AuthStrategies,
      tokens: yield* TokenCommit,
      vault: yield* CredentialVault
    })
    const given = {
      accounts,
      cache: yield* CredentialCache,
      configs,
      consent: yield* Consent,
      coordinator: yield* RefreshCoordinator,
      once: yield* Idempotency.make,
      random: yield* SecureRandom.SecureRandom
    }
    return Context.make(
      ConnectedAccounts,
      ConnectedAccounts.of({
        refresh: makeRefresh(given),
        get: (id) => Effect.flatMap(accounts.find(id), accounts.view)
      })
    ).pipe(
      Context.add(
        Connections,
        Connections.of({
          authConfigs: makeAuthConfigRegistry(given.configs),
          ...makeBroughtCredentials(given),
          ...makeCredentials(given),
          ...makeLifecycle(given),
          ...makeLists(accounts),
          events: makeEvents(accounts.store)
        })
      )
    )
  })
).pipe(Layer.provide(SecureRandom.layerWebCrypto))
