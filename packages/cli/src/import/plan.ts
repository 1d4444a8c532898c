/**
 * Decides what comes over, and brings it, through core's `Connections` alone.
 *
 * An account has the same id each time, so a second run leaves alone what the first one brought: the tokens here may be newer than those of the
 * other project by then.
 *
 * @module
 */
import {
  type ConnectedAccountId,
  Connections,
  type ConnectionsError,
  type NewAccount,
  type RegisteredAuthConfig
} from "@rekindle/core"
import { DateTime, Effect, Option, Predicate, type Schema, Stream } from "effect"
import { CommandFailed } from "../commands/failure.ts"
import type { Connection, Found } from "./Connection.ts"

/**
 * What becomes of a connection.
 *
 * - `import`: it comes over with its credential.
 * - `consent`: it comes over without a credential, and waits for a person's consent.
 * - `present`: an earlier run brought it.
 * - `leave`: it stays where it is.
 */
export type Action = "import" | "consent" | "present" | "leave"

/** One line of the report. It holds no secret. */
export interface Line {
  readonly action: Action
  /** Its name in the other project. */
  readonly name: string
  readonly id: ConnectedAccountId | undefined
  readonly authConfigId: string | undefined
  readonly userId: string | undefined
  readonly reason: string | undefined
}

/** A line, and the account to create for it. */
interface Planned {
  readonly line: Line
  readonly account: NewAccount | undefined
}

/** How many connections are looked up at once, and how many are created at a time. */
const lookedUpAtOnce = 100
const createdAtOnce = 8

const withConsent: ReadonlySet<string> = new Set(["OAUTH2", "OAUTH1"])

/** All auth configs of the project. */
const allConfigs = Effect.gen(function* () {
  const { authConfigs } = yield* Connections
  return yield* Stream.paginate<string | undefined, RegisteredAuthConfig, ConnectionsError>(undefined, (cursor) =>
    Effect.map(authConfigs.list({ cursor, limit: 500 }), ({ items, nextCursor }) => [
      items,
      nextCursor === undefined ? Option.none() : Option.some(nextCursor)
    ])
  ).pipe(Stream.runCollect)
})

/** The auth config of a provider: the one that was named for it, otherwise that of its id, otherwise the only one of its toolkit. */
const makeConfigOf = (configs: ReadonlyArray<RegisteredAuthConfig>, named: Readonly<Record<string, string>>) => {
  const byId = new Map(configs.map((config) => [config.id, config]))
  return (provider: string): RegisteredAuthConfig | undefined => {
    const name = named[provider]
    const sameToolkit = configs.filter(({ toolkit }) => toolkit === provider)
    return name === undefined
      ? (byId.get(provider) ?? (sameToolkit.length === 1 ? sameToolkit[0] : undefined))
      : byId.get(name)
  }
}

const isJson = (value: unknown): value is string | number | boolean =>
  Predicate.isString(value) || Predicate.isNumber(value) || Predicate.isBoolean(value)

/** The fields of the provider's answer that the auth config keeps as attributes. */
const keptOf = ({ profile }: RegisteredAuthConfig, answer: unknown): Record<string, Schema.Json> => {
  const kept: Record<string, Schema.Json> = {}
  for (const path of profile.keptFields ?? []) {
    let value: unknown = answer
    for (const name of path.split(".")) value = Predicate.hasProperty(value, name) ? value[name] : undefined
    if (isJson(value)) kept[path] = value
  }
  return kept
}

/** Why the credential does not come over, or undefined. */
const lostBy = (
  { clientId, expiresAt, lost, renewableUntil, scheme, secrets }: Connection,
  config: RegisteredAuthConfig,
  now: DateTime.Utc
): string | undefined => {
  const isPast = (time: DateTime.Utc | undefined) => time !== undefined && DateTime.isLessThanOrEqualTo(time, now)
  const own = config.settings["clientId"]
  if (lost !== undefined) return lost
  if (Object.keys(secrets).length === 0 && scheme !== "NO_AUTH") return "it has no credential"
  if (withConsent.has(scheme) && clientId !== undefined && Predicate.isString(own) && own !== clientId)
    return "its tokens belong to another OAuth client than the auth config"
  if (scheme !== "OAUTH2") return undefined
  const renews = secrets["refresh_token"] !== undefined && !isPast(renewableUntil)
  if (renews) return undefined
  if (secrets["access_token"] === undefined || isPast(expiresAt))
    return secrets["refresh_token"] === undefined
      ? "its access token has expired, and there is no refresh token"
      : "its refresh token has expired"
  return undefined
}

const decide = (
  connection: Connection,
  config: RegisteredAuthConfig | undefined,
  isPresent: boolean,
  now: DateTime.Utc
): Planned => {
  const { id, name, provider, scheme, secrets, userId } = connection
  const line = (action: Action, reason?: string): Line => ({
    action,
    name,
    id: action === "leave" ? undefined : id,
    authConfigId: config?.id,
    userId,
    reason
  })
  if (isPresent) return { line: line("present"), account: undefined }
  if (config === undefined)
    return {
      line: line("leave", `there is no auth config ${provider}; register it, or name one: --config ${provider}=id`),
      account: undefined
    }
  if (config.scheme !== scheme)
    return {
      line: line("leave", `its credential is ${scheme}, and the auth config ${config.id} is ${config.scheme}`),
      account: undefined
    }
  const attributes = { ...keptOf(config, connection.answer), ...connection.attributes }
  const account: NewAccount = { id, authConfigId: config.id, userId, attributes }
  const reason = lostBy(connection, config, now)
  if (reason !== undefined)
    return withConsent.has(scheme)
      ? { line: line("consent", reason), account }
      : { line: line("leave", reason), account: undefined }
  if (scheme === "NO_AUTH") return { line: line("import"), account }
  const renews = secrets["refresh_token"] !== undefined
  return {
    line: line("import", scheme === "OAUTH2" && !renews ? "it works until its access token expires" : undefined),
    account: {
      ...account,
      secrets,
      // An access token of unknown age is renewed at once where it can be.
      expiresAt: connection.expiresAt ?? (renews ? now : undefined)
    }
  }
}

/** Creates the account. A refusal of the account is a line of the report; any other failure ends the run, which can be repeated. */
const bring = ({ account, line }: Planned) =>
  account === undefined
    ? Effect.succeed(line)
    : Connections.use(({ create }) => create(account)).pipe(
        Effect.as(line),
        Effect.catchTag("InvalidRequest", ({ message, slug }) =>
          Effect.succeed<Line>(
            slug === "id_taken"
              ? { ...line, action: "present" }
              : { ...line, action: "leave", id: undefined, reason: message }
          )
        )
      )

/** What an import is told. */
export interface Options {
  /** Auth configs by the provider's name in the other project. */
  readonly configs: Readonly<Record<string, string>>
  /** Whether accounts are created. Otherwise it is only said what would be. */
  readonly applies: boolean
}

/** Decides about every connection, and brings those that come over. The lines come as the work is done. */
export const run = <E, R>(
  found: Stream.Stream<Found, E, R>,
  { applies, configs: named }: Options
): Stream.Stream<Line, E | ConnectionsError | CommandFailed, R | Connections> =>
  Stream.unwrap(
    Effect.gen(function* () {
      const configs = yield* allConfigs
      const unknown = Object.values(named).filter((name) => configs.every(({ id }) => id !== name))
      if (unknown.length > 0)
        return yield* new CommandFailed({
          message: `there is no auth config ${unknown.join(", ")}`,
          fix: "see rekindle configs list",
          exit: "usage"
        })
      const configOf = makeConfigOf(configs, named)

      const plan = Effect.fnUntraced(function* (chunk: ReadonlyArray<Found>) {
        const ids = chunk.flatMap((each) => (each._tag === "Connection" ? [each.id] : []))
        const { items } = yield* Connections.use(({ list }) => list({ ids, limit: lookedUpAtOnce }))
        const present = new Set(items.map(({ id }) => id))
        const now = yield* DateTime.now
        return chunk.map((each): Planned => {
          if (each._tag === "Connection") return decide(each, configOf(each.provider), present.has(each.id), now)
          const { name, reason } = each
          const line: Line = {
            action: "leave",
            name,
            reason,
            id: undefined,
            authConfigId: undefined,
            userId: undefined
          }
          return { line, account: undefined }
        })
      })

      return found.pipe(
        Stream.grouped(lookedUpAtOnce),
        Stream.mapEffect(plan),
        Stream.flatMap(Stream.fromIterable),
        Stream.mapEffect((planned) => (applies ? bring(planned) : Effect.succeed(planned.line)), {
          concurrency: createdAtOnce
        })
      )
    })
  )

/** How many lines there are of each action. */
export const countsOf = (lines: ReadonlyArray<Line>): Readonly<Record<Action, number>> => {
  const count = (action: Action) => lines.filter((line) => line.action === action).length
  return { import: count("import"), consent: count("consent"), present: count("present"), leave: count("leave") }
}
