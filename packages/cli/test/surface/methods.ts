/**
 * Every method of the official clients that this service serves: a call that works, and one that fails. They are in the order in which an
 * application would call them, because later ones use what earlier ones made.
 *
 * @module
 */
import Later from "@composio/client"
import { Composio as Core } from "@composio/core"
import Earlier from "composio-client-v3"
import type { AuthorizationServer } from "../../../engine/test/support/AuthorizationServer.ts"
import { clientId, clientSecret } from "../../../engine/test/support/AuthorizationServer.ts"
import { apiKey } from "./service.ts"

/** A served method. */
export interface Served {
  readonly method: string
  /** Absent: the answer is a refusal for every account. */
  readonly works?: () => PromiseLike<unknown>
  readonly fails: () => PromiseLike<unknown>
}

/** What the calls are made with. */
export interface Surroundings {
  readonly baseURL: string
  readonly provider: AuthorizationServer["Service"]
  /** A refresh token that works at the provider. */
  readonly refreshToken: () => Promise<string>
  /** Agrees at the page of the provider. */
  readonly consent: (link: string) => Promise<void>
}

const unknownAccount = "ca_unknown0000"
const unknownConfig = "ac_unknown"

/** The credentials of the application at the authorization server, under the published names. */
const credentialsAt = ({ endpoints }: AuthorizationServer["Service"]) => ({
  client_id: clientId,
  client_secret: clientSecret,
  authorization_url: endpoints.authorization,
  token_url: endpoints.token,
  revocation_url: endpoints.revocation,
  scopes: "openid offline_access"
})

const custom = (credentials: Readonly<Record<string, string>>) => ({
  toolkit: { slug: "oidc" },
  auth_config: { type: "use_custom_auth" as const, authScheme: "OAUTH2" as const, credentials }
})

const oauth2 = (refresh_token: string) => ({
  authScheme: "OAUTH2" as const,
  val: { status: "ACTIVE" as const, access_token: "at-imported", refresh_token, expires_in: 0 }
})

/** What the two generations of the generated client have in common. */
const generated = (client: Earlier | Later, { provider, refreshToken }: Surroundings) => {
  let config = ""
  let account = ""
  const served: Array<Served> = [
    {
      method: "toolkits.list",
      works: () => client.toolkits.list({ limit: 3, search: "o" }),
      fails: () => client.toolkits.list({ cursor: "made up" })
    },
    {
      method: "toolkits.retrieve",
      works: () => client.toolkits.retrieve("salesforce"),
      fails: () => client.toolkits.retrieve("nothing-of-the-kind")
    },
    {
      method: "authConfigs.create",
      works: async () => {
        const made = await client.authConfigs.create(custom(credentialsAt(provider)))
        config = made.auth_config.id
        return made
      },
      fails: () => client.authConfigs.create({ ...custom({}), toolkit: { slug: "google" } })
    },
    {
      method: "authConfigs.retrieve",
      works: () => client.authConfigs.retrieve(config),
      fails: () => client.authConfigs.retrieve(unknownConfig)
    },
    {
      method: "authConfigs.update",
      works: () => client.authConfigs.update(config, { type: "custom", credentials: { scopes: "openid" } }),
      fails: () => client.authConfigs.update(unknownConfig, { type: "custom", credentials: {} })
    },
    {
      method: "authConfigs.list",
      works: () => client.authConfigs.list({ toolkit_slug: "oidc", show_disabled: true }),
      fails: () => client.authConfigs.list({ limit: 5000 })
    },
    {
      method: "authConfigs.updateStatus",
      works: async () => {
        await client.authConfigs.updateStatus("DISABLED", { nanoid: config })
        await client.authConfigs.updateStatus("ENABLED", { nanoid: config })
      },
      fails: () => client.authConfigs.updateStatus("DISABLED", { nanoid: unknownConfig })
    },
    {
      method: "connectedAccounts.create",
      works: async () => {
        const state = oauth2(await refreshToken())
        const made = await client.connectedAccounts.create({
          auth_config: { id: config },
          connection: { user_id: "ada", state }
        })
        account = made.id
        return made
      },
      fails: () => client.connectedAccounts.create({ auth_config: { id: unknownConfig }, connection: {} })
    },
    {
      method: "link.create",
      works: () => client.link.create({ auth_config_id: config, user_id: "grace" }),
      fails: () => client.link.create({ auth_config_id: unknownConfig, user_id: "grace" })
    },
    {
      method: "connectedAccounts.retrieve",
      works: () => client.connectedAccounts.retrieve(account),
      fails: () => client.connectedAccounts.retrieve(unknownAccount)
    },
    {
      method: "connectedAccounts.list",
      works: () => client.connectedAccounts.list({ user_ids: ["ada", "grace"], statuses: ["ACTIVE", "INITIATED"] }),
      fails: () => client.connectedAccounts.list({ connected_account_ids: ["malformed"] })
    },
    {
      method: "connectedAccounts.refresh",
      works: () => client.connectedAccounts.refresh(account),
      fails: () => client.connectedAccounts.refresh(unknownAccount)
    },
    {
      method: "connectedAccounts.updateStatus",
      works: async () => {
        await client.connectedAccounts.updateStatus(account, { enabled: false })
        await client.connectedAccounts.updateStatus(account, { enabled: true })
      },
      fails: () => client.connectedAccounts.updateStatus(unknownAccount, { enabled: false })
    }
  ]
  const last: Array<Served> = [
    {
      method: "connectedAccounts.delete",
      works: async () => {
        const { items } = await client.connectedAccounts.list({ auth_config_ids: [config] })
        for (const { id } of items) await client.connectedAccounts.delete(id)
      },
      fails: () => client.connectedAccounts.delete(unknownAccount)
    },
    {
      method: "authConfigs.delete",
      works: () => client.authConfigs.delete(config),
      fails: () => client.authConfigs.delete(unknownConfig)
    }
  ]
  return { served, last, account: () => account, config: () => config }
}

const unknownSubscription = "ws_unknown"

const subscriptionMethods = ({ webhookSubscriptions }: Later, { baseURL }: Surroundings): ReadonlyArray<Served> => {
  let subscription = ""
  const enabled_events = ["composio.connected_account.expired"]
  return [
    {
      method: "webhookSubscriptions.listEventTypes",
      works: () => webhookSubscriptions.listEventTypes(),
      fails: () => new Later({ baseURL, apiKey: "rk_nobody" }).webhookSubscriptions.listEventTypes()
    },
    {
      method: "webhookSubscriptions.create",
      works: async () => {
        const made = await webhookSubscriptions.create({ webhook_url: "https://1.1.1.1/hook", enabled_events })
        subscription = made.id
        return made
      },
      fails: () => webhookSubscriptions.create({ webhook_url: "no address", enabled_events })
    },
    {
      method: "webhookSubscriptions.retrieve",
      works: () => webhookSubscriptions.retrieve(subscription),
      fails: () => webhookSubscriptions.retrieve(unknownSubscription)
    },
    {
      method: "webhookSubscriptions.list",
      works: () => webhookSubscriptions.list({ limit: 1 }),
      fails: () => webhookSubscriptions.list({ cursor: "made up" })
    },
    {
      method: "webhookSubscriptions.update",
      works: () => webhookSubscriptions.update(subscription, { webhook_url: "https://1.1.1.1/other" }),
      fails: () => webhookSubscriptions.update(unknownSubscription, { enabled_events })
    },
    {
      method: "webhookSubscriptions.rotateSecret",
      works: () => webhookSubscriptions.rotateSecret(subscription),
      fails: () => webhookSubscriptions.rotateSecret(unknownSubscription)
    },
    {
      method: "webhookSubscriptions.delete",
      works: () => webhookSubscriptions.delete(subscription),
      fails: () => webhookSubscriptions.delete(unknownSubscription)
    }
  ]
}

const laterMethods = (client: Later, surroundings: Surroundings): ReadonlyArray<Served> => {
  const { account, config, last, served } = generated(client, surroundings)
  return [
    ...served,
    {
      method: "connectedAccounts.patch",
      works: () => client.connectedAccounts.patch(account(), { alias: "work" }),
      fails: () => client.connectedAccounts.patch(unknownAccount, { alias: "work" })
    },
    {
      method: "connectedAccounts.revoke",
      works: () => client.connectedAccounts.revoke(account()),
      fails: async () => {
        const { connected_account_id } = await client.link.create({ auth_config_id: config(), user_id: "eve" })
        await client.connectedAccounts.revoke(connected_account_id)
      }
    },
    ...last,
    ...subscriptionMethods(client, surroundings)
  ]
}

const coreMethods = (core: Core, { consent, provider }: Surroundings): ReadonlyArray<Served> => {
  let config = ""
  let account = ""
  const create = (entered: Readonly<Record<string, string>>) =>
    core.authConfigs.create("oidc", { type: "use_custom_auth", authScheme: "OAUTH2", credentials: { ...entered } })
  return [
    {
      method: "toolkits.get",
      works: async () => [await core.toolkits.get({ limit: 3 }), await core.toolkits.get("google")],
      fails: () => core.toolkits.get({ cursor: "made up" })
    },
    {
      method: "toolkits.getAuthConfigCreationFields",
      works: () => core.toolkits.getAuthConfigCreationFields("shopify", "OAUTH2"),
      fails: () => core.toolkits.getAuthConfigCreationFields("shopify", "BASIC")
    },
    {
      method: "toolkits.getConnectedAccountInitiationFields",
      works: () => core.toolkits.getConnectedAccountInitiationFields("stripe", "API_KEY"),
      fails: () => core.toolkits.getConnectedAccountInitiationFields("stripe", "BASIC")
    },
    {
      method: "authConfigs.create",
      works: async () => {
        const made = await create(credentialsAt(provider))
        config = made.id
        return made
      },
      fails: () => create({ authorization_url: "no address" })
    },
    {
      method: "authConfigs.get",
      works: () => core.authConfigs.get(config),
      fails: () => core.authConfigs.get(unknownConfig)
    },
    {
      method: "authConfigs.list",
      works: () => core.authConfigs.list({ toolkit: "oidc" }),
      fails: () => core.authConfigs.list({ cursor: "made up" })
    },
    {
      method: "authConfigs.update",
      works: () => core.authConfigs.update(config, { type: "default", scopes: "openid offline_access" }),
      fails: () => core.authConfigs.update(unknownConfig, { type: "custom", credentials: {} })
    },
    {
      method: "authConfigs.updateStatus",
      works: () => core.authConfigs.updateStatus("ENABLED", config),
      fails: () => core.authConfigs.updateStatus("ENABLED", unknownConfig)
    },
    {
      method: "authConfigs.disable",
      works: () => core.authConfigs.disable(config),
      fails: () => core.authConfigs.disable(unknownConfig)
    },
    {
      method: "authConfigs.enable",
      works: () => core.authConfigs.enable(config),
      fails: () => core.authConfigs.enable(unknownConfig)
    },
    {
      method: "connectedAccounts.link",
      works: async () => {
        const request = await core.connectedAccounts.link("ada", config, { callbackUrl: "https://app.example/done" })
        account = request.id
        await consent(request.redirectUrl ?? "")
        return request
      },
      fails: () => core.connectedAccounts.link("ada", unknownConfig)
    },
    {
      method: "connectedAccounts.waitForConnection",
      works: () => core.connectedAccounts.waitForConnection(account),
      fails: () => core.connectedAccounts.waitForConnection(unknownAccount)
    },
    {
      method: "connectedAccounts.initiate",
      works: async () => {
        const request = await core.connectedAccounts.initiate("grace", config)
        await consent(request.redirectUrl ?? "")
        return request.waitForConnection()
      },
      fails: () => core.connectedAccounts.initiate("grace", config)
    },
    {
      method: "toolkits.authorize",
      works: async () => {
        const { id } = await core.authConfigs.create("google", {
          type: "use_custom_auth",
          authScheme: "OAUTH2",
          credentials: { client_id: "1234.apps.googleusercontent.com", client_secret: "GOCSPX-secret" }
        })
        const request = await core.toolkits.authorize("eve", "google")
        await core.connectedAccounts.delete(request.id)
        await core.authConfigs.delete(id)
      },
      fails: () => core.toolkits.authorize("eve", "nothing-of-the-kind")
    },
    {
      method: "connectedAccounts.get",
      works: () => core.connectedAccounts.get(account),
      fails: () => core.connectedAccounts.get(unknownAccount)
    },
    {
      method: "connectedAccounts.list",
      works: () => core.connectedAccounts.list({ userIds: ["ada"], statuses: ["ACTIVE"], toolkitSlugs: ["oidc"] }),
      fails: () => core.connectedAccounts.list({ cursor: "made up" })
    },
    {
      method: "connectedAccounts.refresh",
      works: () => core.connectedAccounts.refresh(account),
      fails: () => core.connectedAccounts.refresh(unknownAccount)
    },
    {
      method: "connectedAccounts.updateStatus",
      works: () => core.connectedAccounts.updateStatus(account, { enabled: true }),
      fails: () => core.connectedAccounts.updateStatus(unknownAccount, { enabled: true })
    },
    {
      method: "connectedAccounts.update",
      works: () => core.connectedAccounts.update(account, { enabled: true }),
      fails: () => core.connectedAccounts.update(unknownAccount, { enabled: true })
    },
    {
      method: "connectedAccounts.disable",
      works: () => core.connectedAccounts.disable(account),
      fails: () => core.connectedAccounts.disable(unknownAccount)
    },
    {
      method: "connectedAccounts.enable",
      works: () => core.connectedAccounts.enable(account),
      fails: () => core.connectedAccounts.enable(unknownAccount)
    },
    {
      method: "connectedAccounts.updateAcl",
      fails: () => core.connectedAccounts.updateAcl(account, { allowAllUsers: true })
    },
    {
      method: "connectedAccounts.delete",
      works: async () => {
        const { items } = await core.connectedAccounts.list({ authConfigIds: [config] })
        for (const { id } of items) await core.connectedAccounts.delete(id)
      },
      fails: () => core.connectedAccounts.delete(unknownAccount)
    },
    {
      method: "authConfigs.delete",
      works: () => core.authConfigs.delete(config),
      fails: () => core.authConfigs.delete(unknownConfig)
    }
  ]
}

/** A generation of the official clients. */
export interface Generation {
  /** The package and its version, for the page. */
  readonly title: string
  readonly make: (baseURL: string) => object
  readonly served: (surroundings: Surroundings) => ReadonlyArray<Served>
}

const options = (baseURL: string) => ({ baseURL, apiKey })
const earlier = (baseURL: string) => new Earlier(options(baseURL))
const later = (baseURL: string) => new Later(options(baseURL))
const core = (baseURL: string) => new Core({ ...options(baseURL), allowTracking: false, disableVersionCheck: true })

export const generations: ReadonlyArray<Generation> = [
  {
    title: "@composio/client 0.1.0-alpha.60 (v3)",
    make: earlier,
    served: (surroundings) => {
      const { last, served } = generated(earlier(surroundings.baseURL), surroundings)
      return [...served, ...last]
    }
  },
  {
    title: "@composio/client 2.0.0-rc.6 (v3.1)",
    make: later,
    served: (surroundings) => laterMethods(later(surroundings.baseURL), surroundings)
  },
  {
    title: "@composio/core 0.17.0",
    make: core,
    served: (surroundings) => coreMethods(core(surroundings.baseURL), surroundings)
  }
]
