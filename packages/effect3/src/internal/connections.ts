/**
 * `Connections` and `ConsentCallback` of Effect 4 as those of Effect 3.
 *
 * @module
 */
import * as Core from "@rekindle/core"
import { identity } from "effect"
import type { Effect as Effect4 } from "effect4"
import type { AuthConfig, ProviderProfile, RegisteredAuthConfig } from "../AuthConfig.ts"
import {
  type AccountChanges,
  Connections,
  type ConnectionEvent,
  type CredentialInUse,
  EventsMissed,
  type ListOptions,
  type NewAccount,
  type Page
} from "../Connections.ts"
import { ConsentCallback, ConsentCallbackError } from "../ConsentCallback.ts"
import type { ConnectionNotReady, RefreshError } from "../Errors.ts"
import { streamToThree, toThree } from "./bridge.ts"
import {
  accountToThree,
  durationIfGiven,
  durationToFour,
  durationToThree,
  errorToThree,
  given,
  idToFour,
  idToThree,
  mapRecord,
  notReadyToThree,
  optionToThree,
  schemeToFour,
  secretToFour,
  secretToThree,
  timeToFour,
  timeToThree
} from "./values.ts"

const profileToFour = ({
  accessTokenTtl,
  margin,
  minimumAge,
  refreshTokenIdle,
  refreshTokenLife,
  reuseWindow,
  ...profile
}: ProviderProfile): Core.ProviderProfile =>
  Core.ProviderProfile.make(
    {
      ...profile,
      ...given("accessTokenTtl", accessTokenTtl, (ttl) => (ttl === "never" ? ttl : durationToFour(ttl))),
      ...given("margin", margin, durationToFour),
      ...given("minimumAge", minimumAge, durationToFour),
      ...given("refreshTokenIdle", refreshTokenIdle, durationToFour),
      ...given("refreshTokenLife", refreshTokenLife, durationToFour),
      ...given("reuseWindow", reuseWindow, durationToFour)
    },
    unchecked
  )

const profileToThree = ({
  accessTokenTtl,
  margin,
  minimumAge,
  refreshTokenIdle,
  refreshTokenLife,
  reuseWindow,
  ...profile
}: Core.ProviderProfile): ProviderProfile => ({
  ...profile,
  margin: durationToThree(margin),
  minimumAge: durationToThree(minimumAge),
  ...given("accessTokenTtl", accessTokenTtl, (ttl) => (ttl === "never" ? ttl : durationToThree(ttl))),
  ...given("refreshTokenIdle", refreshTokenIdle, durationToThree),
  ...given("refreshTokenLife", refreshTokenLife, durationToThree),
  ...given("reuseWindow", reuseWindow, durationToThree)
})

/** The registry judges a config, and its answer names each mistake. */
const unchecked = { disableChecks: true }

export const configToFour = (config: AuthConfig): Core.AuthConfig => {
  const { allowAnotherIdentity, apiHosts, hosts, id, name, profile, projectId, scheme, secrets, settings, toolkit } =
    config
  return Core.AuthConfig.make(
    {
      id,
      toolkit,
      scheme: schemeToFour(scheme),
      hosts,
      ...given("name", name, identity),
      ...given("projectId", projectId, identity),
      ...given("profile", profile, profileToFour),
      ...given("settings", settings, identity),
      ...given("secrets", secrets, (secrets) => mapRecord(secrets, secretToFour)),
      ...given("allowAnotherIdentity", allowAnotherIdentity, identity),
      ...given("apiHosts", apiHosts, identity)
    },
    unchecked
  )
}

const configToThree = (config: Core.RegisteredAuthConfig): RegisteredAuthConfig => ({
  ...config,
  profile: profileToThree(config.profile),
  createdAt: timeToThree(config.createdAt),
  updatedAt: timeToThree(config.updatedAt)
})

const changedSecretsToFour = (secrets: AccountChanges["secrets"]) =>
  secrets === undefined ? undefined : mapRecord(secrets, (secret) => (secret === null ? null : secretToFour(secret)))

const newAccountToFour = ({ expiresAt, id, secrets, ...account }: NewAccount): Core.NewAccount => ({
  ...account,
  expiresAt: expiresAt === undefined ? undefined : timeToFour(expiresAt),
  id: id === undefined ? undefined : idToFour(id),
  secrets: secrets === undefined ? undefined : mapRecord(secrets, secretToFour)
})

const filterToFour = <Filter extends ListOptions>({ ids, ...filter }: Filter) => ({
  ...filter,
  ids: ids?.map(idToFour)
})

export const credentialToFour = (credential: CredentialInUse): Core.CredentialInUse => {
  switch (credential._tag) {
    case "AccessToken":
      return {
        ...credential,
        token: secretToFour(credential.token),
        dpopKey: credential.dpopKey === undefined ? undefined : secretToFour(credential.dpopKey),
        expiresAt: credential.expiresAt === undefined ? undefined : timeToFour(credential.expiresAt)
      }
    case "ApiKey":
      return { ...credential, key: secretToFour(credential.key) }
    case "Basic":
      return { ...credential, password: secretToFour(credential.password) }
    case "OAuth1":
      return { ...credential, token: secretToFour(credential.token), tokenSecret: secretToFour(credential.tokenSecret) }
    case "NoAuth":
      return credential
    case "Custom":
      return {
        ...credential,
        scheme: schemeToFour(credential.scheme),
        secrets: mapRecord(credential.secrets, secretToFour)
      }
  }
}

const credentialToThree = (credential: Core.CredentialInUse): CredentialInUse => {
  switch (credential._tag) {
    case "AccessToken":
      return {
        ...credential,
        token: secretToThree(credential.token),
        dpopKey: credential.dpopKey === undefined ? undefined : secretToThree(credential.dpopKey),
        expiresAt: credential.expiresAt === undefined ? undefined : timeToThree(credential.expiresAt)
      }
    case "ApiKey":
      return { ...credential, key: secretToThree(credential.key) }
    case "Basic":
      return { ...credential, password: secretToThree(credential.password) }
    case "OAuth1":
      return {
        ...credential,
        token: secretToThree(credential.token),
        tokenSecret: secretToThree(credential.tokenSecret)
      }
    case "NoAuth":
      return credential
    case "Custom":
      return { ...credential, secrets: mapRecord(credential.secrets, secretToThree) }
  }
}

const eventToThree = (event: Core.ConnectionEvent): ConnectionEvent => ({
  ...event,
  accountId: idToThree(event.accountId),
  at: timeToThree(event.at)
})

const pageToThree =
  <A, A3>(item: (item: A) => A3) =>
  ({ items, nextCursor }: Core.Page<A>): Page<A3> => ({ items: items.map(item), nextCursor })

/** The failures of reading a credential. */
const readingToThree = (error: Core.ConnectionsError | Core.ConnectionNotReady): RefreshError | ConnectionNotReady =>
  error._tag === "ConnectionNotReady" ? notReadyToThree(error) : errorToThree(error)

export const connectionsToThree = (connections: Core.Connections["Service"]): Connections["Type"] => {
  const run = <A, A3>(effect: Effect4.Effect<A, Core.ConnectionsError>, value: (value: A) => A3) =>
    toThree(effect, errorToThree, value)
  const read = <A, A3>(
    effect: Effect4.Effect<A, Core.ConnectionsError | Core.ConnectionNotReady>,
    value: (value: A) => A3
  ) => toThree(effect, readingToThree, value)
  const { authConfigs } = connections
  return Connections.of({
    authConfigs: {
      register: (config) => run(authConfigs.register(configToFour(config)), configToThree),
      get: (id) => run(authConfigs.get(id), optionToThree(configToThree)),
      list: (options) => run(authConfigs.list(options), pageToThree(configToThree)),
      count: (filter) => run(authConfigs.count(filter), identity),
      update: (id, { profile, secrets, ...changes }) =>
        run(
          authConfigs.update(id, {
            ...changes,
            profile: profile === undefined ? undefined : profileToFour(profile),
            secrets: changedSecretsToFour(secrets)
          }),
          configToThree
        ),
      enable: (id) => run(authConfigs.enable(id), identity),
      disable: (id) => run(authConfigs.disable(id), identity),
      remove: (id) => run(authConfigs.remove(id), identity)
    },
    create: (account) => run(connections.create(newAccountToFour(account)), accountToThree),
    find: (owner) => run(connections.find(owner), optionToThree(accountToThree)),
    list: (options = {}) => run(connections.list(filterToFour(options)), pageToThree(accountToThree)),
    count: (filter = {}) => run(connections.count(filterToFour(filter)), identity),
    link: (id, options) =>
      run(connections.link(idToFour(id), options), (link) => ({ ...link, openUntil: timeToThree(link.openUntil) })),
    update: (id, { secrets, ...changes }) =>
      run(connections.update(idToFour(id), { ...changes, secrets: changedSecretsToFour(secrets) }), accountToThree),
    replaceSecrets: (id, secrets) =>
      run(connections.replaceSecrets(idToFour(id), mapRecord(secrets, secretToFour)), identity),
    enable: (id) => run(connections.enable(idToFour(id)), identity),
    disable: (id) => run(connections.disable(idToFour(id)), identity),
    revoke: (id, options) => run(connections.revoke(idToFour(id), options), identity),
    remove: (id) => run(connections.remove(idToFour(id)), identity),
    accessToken: (id, atLeast) => read(connections.accessToken(idToFour(id), durationIfGiven(atLeast)), secretToThree),
    credential: (id, atLeast) =>
      read(connections.credential(idToFour(id), durationIfGiven(atLeast)), credentialToThree),
    authorization: (id, request) =>
      read(connections.authorization(idToFour(id), request), ({ headers, parameters }) => ({
        headers: mapRecord(headers, secretToThree),
        parameters: mapRecord(parameters, secretToThree)
      })),
    events: ({ pollInterval, ...options } = {}) =>
      streamToThree(
        connections.events({ ...options, pollInterval: durationIfGiven(pollInterval) }),
        (error) =>
          error._tag === "EventsMissed"
            ? new EventsMissed({ message: error.message, after: error.after, through: error.through })
            : errorToThree(error),
        eventToThree
      )
  })
}

export const callbackToThree = (callback: Core.ConsentCallback["Service"]): ConsentCallback["Type"] =>
  ConsentCallback.of({
    complete: (query, session) =>
      toThree(
        callback.complete(query, session),
        ({ message, reason }) => new ConsentCallbackError({ message, reason }),
        (result) => ({ ...result, accountId: idToThree(result.accountId) })
      )
  })
