/**
 * The links of `POST /connected_accounts/link`, which lead to the connect page.
 *
 * @module
 */
import { Connections, CurrentProject, InvalidRequest, RefreshUnsupported } from "@rekindle/core"
import { AuthStrategies, Consent } from "@rekindle/engine"
import { ConnectLinks } from "@rekindle/platform"
import { Effect, Layer, Option } from "effect"
import { isForPeople } from "./fields.ts"
import { Links } from "./Links.ts"

/** Creates an account and a link to its connect page. */
export const layer: Layer.Layer<ConnectLinks, never, AuthStrategies | Connections | Consent | Links> = Layer.effect(
  ConnectLinks,
  Effect.gen(function* () {
    const connections = yield* Connections
    const consent = yield* Consent
    const links = yield* Links
    const strategies = yield* AuthStrategies
    return ConnectLinks.of({
      create: Effect.fnUntraced(function* ({ alias, authConfigId, callbackUrl, connectionData, userId }) {
        yield* consent.checkRedirect(callbackUrl)
        const config = yield* connections.authConfigs.get(authConfigId)
        if (Option.isNone(config)) {
          return yield* new InvalidRequest({
            message: `auth config ${authConfigId} is not registered`,
            slug: "auth_config_not_found"
          })
        }
        const { scheme } = config.value
        if (!isForPeople(strategies.get(scheme))) {
          return yield* new RefreshUnsupported({
            message: `accounts of the scheme ${scheme} are not connected by a person`,
            slug: "scheme_unsupported"
          })
        }
        const { id } = yield* connections.create({ authConfigId, userId, alias, attributes: connectionData })
        const link = yield* links
          .create({ projectId: yield* CurrentProject, accountId: id, callbackUrl })
          .pipe(Effect.onError(() => Effect.ignore(connections.remove(id))))
        return { ...link, accountId: id }
      })
    })
  })
)
