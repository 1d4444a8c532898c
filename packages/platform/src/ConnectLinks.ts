/**
 * Links with which a person connects a new account: the address that `POST /connected_accounts/link` answers.
 *
 * It is a service, because a server decides where the link leads. `layerDirect` leads to the provider at once. A server with pages of its own
 * leads to a page that says who asks for what, and that takes an API key where the scheme has no provider page.
 *
 * @module
 */
import { type ConnectedAccountId, Connections, type ConnectionsError } from "@rekindle/core"
import { Context, type DateTime, Effect, Layer, type Schema } from "effect"
import { SecureRandom } from "effect/crypto"
import { Base64Url } from "effect/encoding"

/** The account to connect, and where its owner goes afterwards. */
export interface NewConnectLink {
  readonly authConfigId: string
  /** The application's own id of the person or tenant who will own the account. */
  readonly userId: string
  /** Where the browser goes after the account is connected: a `RedirectUrl`. Default: a page of the server. */
  readonly callbackUrl?: string | undefined
  /** A name for the account. */
  readonly alias?: string | undefined
  /** Public facts about the account, such as the subdomain of a customer's own API. */
  readonly connectionData?: Readonly<Record<string, Schema.Json>> | undefined
}

/** A link for one person. */
export interface ConnectLink {
  /** Names the link. Whoever holds it can open the link, so keep it out of logs. */
  readonly token: string
  /** The address for the person's browser. */
  readonly url: string
  readonly expiresAt: DateTime.Utc
  /** The account that the link connects. It waits until somebody has used the link. */
  readonly accountId: ConnectedAccountId
}

/** Creates links for the current project. */
export class ConnectLinks extends Context.Service<
  ConnectLinks,
  {
    /**
     * Creates an account and the link that connects it. Fails as `Connections.create` and `Connections.link` do; then there is neither an
     * account nor a link.
     */
    readonly create: (link: NewConnectLink) => Effect.Effect<ConnectLink, ConnectionsError>
  }
>()("@rekindle/platform/ConnectLinks") {
  /** Links that lead to the provider's page. Fails with `RefreshUnsupported` where the scheme has none. */
  static readonly layerDirect: Layer.Layer<ConnectLinks, never, Connections> = Layer.effect(
    ConnectLinks,
    Effect.gen(function* () {
      const connections = yield* Connections
      const random = yield* SecureRandom.SecureRandom
      return ConnectLinks.of({
        create: Effect.fnUntraced(function* ({ alias, authConfigId, callbackUrl, connectionData, userId }) {
          const { id } = yield* connections.create({ authConfigId, userId, alias, attributes: connectionData })
          const { openUntil, url } = yield* connections
            .link(id, { redirectUrl: callbackUrl })
            .pipe(Effect.onError(() => Effect.ignore(connections.remove(id))))
          const token = `lt_${Base64Url.encode(yield* Effect.orDie(random.randomBytes(32)))}`
          return { token, url, expiresAt: openUntil, accountId: id }
        })
      })
    })
  ).pipe(Layer.provide(SecureRandom.layerWebCrypto))
}
