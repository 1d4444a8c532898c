/**
 * The callers of a soak run. Each sends one request after the other over HTTP, to any process, and knows which answers it may get.
 *
 * @module
 */
import { Effect, Random, Schema } from "effect"
import { Agent, request } from "undici"
import type { StrictProvider } from "../../engine/test/support/StrictProvider.ts"
import type { Counts } from "./counts.ts"
import type { Process } from "./processes.ts"

/** An account of the run. Its grant changes when a person consents again. */
export interface Account {
  readonly id: string
  readonly userId: string
  grantId: number
  /** Somebody takes care of it, because it expired. */
  mending: boolean
}

/** What clients need of the run. */
export interface World {
  readonly provider: StrictProvider
  readonly counts: Counts
  readonly accounts: ReadonlyArray<Account>
  readonly up: () => ReadonlyArray<Process>
  /** Whether a process was killed so recently that its leases may still hold. */
  readonly isRecovering: () => boolean
  /** Notes an answer that no caller should get. */
  readonly unexpected: (what: string) => void
  /** Notes that an account expired. */
  readonly expired: (account: Account) => void
}

/** The address of the service for browsers. All processes answer for it. */
export const publicUrl = "https://rekindle.example.com"

/** The key of the environment. */
export const adminKey = "soak-key"

/** What a request met. */
interface Answer {
  readonly status: number
  readonly body: unknown
  readonly headers: Readonly<Record<string, string | Array<string> | undefined>>
  readonly text: string
}

interface Call {
  /** The name in the report. */
  readonly route: string
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE"
  readonly path: string
  readonly key?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: object | string
  /** Expected statuses. */
  readonly expect?: ReadonlyArray<number>
  /** The process to ask. Default: any. */
  readonly at?: Process
}

const Failure = Schema.Struct({ error: Schema.Struct({ slug: Schema.optionalKey(Schema.String) }) })
const slugOf = (body: unknown): string =>
  Schema.decodeUnknownOption(Failure)(body).pipe((found) =>
    found._tag === "Some" ? (found.value.error.slug ?? "") : ""
  )

const json = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** A random one of some. */
const oneOf = <A>(items: ReadonlyArray<A>) =>
  Effect.map(Random.next, (share) => items[Math.floor(share * items.length)])

/** Reads an answer, and notes one that has another form. */
const reader =
  <A>(schema: Schema.Codec<A, unknown>) =>
  (world: World, route: string, { body }: Answer): A | undefined => {
    const found = Schema.decodeUnknownOption(schema)(body)
    if (found._tag === "Some") return found.value
    world.unexpected(`${route}: an answer of another form`)
    return undefined
  }

const Refreshed = reader(
  Schema.Struct({ id: Schema.String, status: Schema.String, redirect_url: Schema.NullOr(Schema.String) })
)
const Credential = reader(Schema.Struct({ credential: Schema.Struct({ token: Schema.String }) }))
const Listed = reader(
  Schema.Struct({
    items: Schema.Array(Schema.Struct({ id: Schema.String, user_id: Schema.String })),
    next_cursor: Schema.NullOr(Schema.String),
    total_items: Schema.Int
  })
)
const Shown = reader(Schema.Struct({ status: Schema.String, alias: Schema.NullOr(Schema.String) }))
const Linked = reader(Schema.Struct({ redirect_url: Schema.String, connected_account_id: Schema.String }))
const MadeKey = reader(Schema.Struct({ id: Schema.String, key: Schema.String }))

/** The calls of clients, over connections of their own. They end with the scope. */
export const make = Effect.fnUntraced(function* (world: World) {
  const { accounts, counts, provider } = world
  const agent = yield* Effect.acquireRelease(
    // An idle connection is closed well before the server does so, also on a machine that is busy.
    Effect.sync(
      () => new Agent({ connections: 64, allowH2: false, keepAliveTimeout: 1_000, keepAliveMaxTimeout: 1_000 })
    ),
    (agent) => Effect.promise(() => agent.destroy())
  )

  const anyProcess: Effect.Effect<Process> = Effect.flatMap(
    Effect.suspend(() => oneOf(world.up())),
    (process) => (process === undefined ? Effect.delay(anyProcess, 20) : Effect.succeed(process))
  )

  /** Sends a request once. Nothing is returned if its process ended, or it was told to come again. */
  const call = Effect.fnUntraced(function* ({
    at,
    body,
    expect = [200],
    headers,
    key = adminKey,
    method,
    path,
    route
  }: Call) {
    const process = at ?? (yield* anyProcess)
    const isForm = typeof body === "string"
    const began = performance.now()
    const answer = yield* Effect.promise(() =>
      request(process.url + path, {
        dispatcher: agent,
        method,
        headers: {
          ...(key !== "" && { "x-api-key": key }),
          ...(body !== undefined && {
            "content-type": isForm ? "application/x-www-form-urlencoded" : "application/json"
          }),
          ...headers
        },
        ...(body !== undefined && { body: isForm ? body : JSON.stringify(body) })
      })
        .then(async ({ body, headers, statusCode: status }): Promise<Answer | Error> => {
          const text = await body.text()
          return { status, headers, text, body: json(text) }
        })
        .catch((error: unknown) => (error instanceof Error ? error : new Error(String(error))))
    )
    if (answer instanceof Error) {
      const cutOff = process.state === "ending"
      counts.add(route, cutOff ? "cut off by the end of a process" : "no answer", undefined)
      if (!cutOff) world.unexpected(`${route}: ${answer.message}`)
      return undefined
    }
    const { status } = answer
    counts.add(route, String(status), performance.now() - began)
    if (expect.includes(status)) return answer
    const slug = slugOf(answer.body)
    const isHeld = world.isRecovering() && ["busy", "connection_not_ready", "deadline_exceeded"].includes(slug)
    if (slug === "starting" || isHeld) {
      yield* Effect.sleep(50)
      return undefined
    }
    world.unexpected(`${route}: ${status} ${slug}`)
    return undefined
  })

  const accountPath = ({ id }: Account, version = "v3") => `/api/${version}/connected_accounts/${id}`

  /** A person consents again for an account that expired. */
  const mend = Effect.fnUntraced(function* (account: Account, redirectUrl: string) {
    if (account.mending) return
    account.mending = true
    world.expired(account)
    const { callback, grantId } = provider.consent(redirectUrl)
    const path = callback.pathname + callback.search
    yield* call({ route: "GET callback", method: "GET", path, key: "", expect: [200, 302] })
    account.grantId = grantId
    account.mending = false
  })

  const refreshOnce = Effect.fnUntraced(function* (account: Account, headers: Readonly<Record<string, string>>) {
    const route = "POST …/refresh"
    const answer = yield* call({ route, method: "POST", path: `${accountPath(account)}/refresh`, headers })
    const told = answer && Refreshed(world, route, answer)
    if (told === undefined) return undefined
    if (told.id !== account.id) world.unexpected(`${route}: the answer of another account`)
    if (told.redirect_url !== null) yield* mend(account, told.redirect_url)
    else if (told.status !== "ACTIVE" && !account.mending) world.unexpected(`${route}: ${told.status}`)
    return told
  })

  const refused = { "x-rekindle-token-refused": "true" }

  const refresh = Effect.fnUntraced(function* (account: Account) {
    const choice = yield* Random.next
    if (choice < 0.7) {
      yield* refreshOnce(account, choice < 0.4 ? {} : refused)
      return
    }
    // A request with a key is repeated, whatever became of it.
    const headers = { ...refused, "idempotency-key": `soak-${yield* Random.nextIntBetween(0, 2 ** 48)}` }
    const first = yield* refreshOnce(account, headers)
    const second = yield* refreshOnce(account, headers)
    if (first !== undefined && second !== undefined && JSON.stringify(first) !== JSON.stringify(second))
      world.unexpected("POST …/refresh: two answers for one idempotency key")
  })

  const readCredential = Effect.fnUntraced(function* (account: Account) {
    const route = "GET …/credential"
    const answer = yield* call({
      route,
      method: "GET",
      path: `${accountPath(account)}/credential`,
      expect: account.mending ? [200, 409] : [200]
    })
    if (answer === undefined || account.mending) return
    const token = Credential(world, route, answer)?.credential.token
    if (token !== undefined && provider.grantOfAccessToken(token) !== account.grantId && !account.mending)
      world.unexpected(`${route}: a token that the provider does not accept`)
  })

  const list = Effect.fnUntraced(function* (account: Account) {
    const route = "GET connected_accounts"
    const query = (yield* Random.next) < 0.5 ? `user_ids=${account.userId}` : "limit=20&order_by=updated_at"
    const answer = yield* call({ route, method: "GET", path: `/api/v3/connected_accounts?${query}` })
    const page = answer && Listed(world, route, answer)
    if (page === undefined) return
    const isWhole = query.startsWith("user_ids")
      ? page.items.some(({ id }) => id === account.id) && page.items.every(({ user_id }) => user_id === account.userId)
      : page.items.length === Math.min(20, page.total_items) && page.total_items >= accounts.length
    if (!isWhole) return world.unexpected(`${route}: accounts are missing`)
    if (page.next_cursor === null) return
    const path = `/api/v3/connected_accounts?${query}&cursor=${encodeURIComponent(page.next_cursor)}`
    yield* call({ route, method: "GET", path })
  })

  const patch = Effect.fnUntraced(function* (account: Account) {
    const alias = `alias ${yield* Random.nextIntBetween(0, 1_000_000)}`
    const path = accountPath(account, "v3.1")
    const changed = yield* call({ route: "PATCH …", method: "PATCH", path, body: { alias } })
    const read = yield* call({ route: "GET …", method: "GET", path })
    const shown = read && Shown(world, "GET …", read)
    if (changed !== undefined && shown !== undefined && shown.alias !== alias)
      world.unexpected("PATCH …: the change is gone")
  })

  const read = Effect.fnUntraced(function* (account: Account) {
    const answer = yield* call({ route: "GET …", method: "GET", path: accountPath(account, "v3.1") })
    const shown = answer && Shown(world, "GET …", answer)
    if (shown !== undefined && shown.status !== "ACTIVE" && !account.mending) world.unexpected(`GET …: ${shown.status}`)
  })

  return {
    call,
    refreshOnce,
    readCredential,
    /** One request or a few that belong together, about one of these accounts. Nobody else patches them. */
    step: Effect.fnUntraced(function* (own: ReadonlyArray<Account>) {
      const account = yield* oneOf(own)
      if (account === undefined) return
      const choice = yield* Random.next
      yield* choice < 0.25
        ? refresh(account)
        : choice < 0.5
          ? readCredential(account)
          : choice < 0.7
            ? read(account)
            : choice < 0.9
              ? list(account)
              : patch(account)
    }),

    /** A key is made, works at each process, is revoked, and works at none. */
    keyLife: Effect.gen(function* () {
      const scopes = ["read"]
      const body = { name: "soak", scopes }
      const made = yield* call({ route: "POST api_keys", method: "POST", path: "/api/v3/api_keys", body })
      const key = made && MadeKey(world, "POST api_keys", made)
      if (key === undefined) return
      const route = "GET connected_accounts, key of a short life"
      const useAt = (at: Process, status: number) =>
        call({ route, method: "GET", path: "/api/v3/connected_accounts?limit=1", key: key.key, at, expect: [status] })
      yield* Effect.forEach(world.up(), (process) => useAt(process, 200))
      const path = `/api/v3/api_keys/${key.id}`
      const revoked = yield* call({ route: "DELETE api_keys/…", method: "DELETE", path })
      // Every process reads it again within two seconds.
      yield* Effect.sleep(2_500)
      if (revoked !== undefined) yield* Effect.forEach(world.up(), (process) => useAt(process, 401))
    }),

    /** A person gets a link, consents in a browser, and the account is refreshed once and deleted with its grant. */
    linkLife: Effect.gen(function* () {
      const userId = `visitor-${yield* Random.nextIntBetween(0, 1_000_000)}`
      const linked = yield* call({
        route: "POST …/link",
        method: "POST",
        path: "/api/v3/connected_accounts/link",
        body: { auth_config_id: "strict", user_id: userId },
        expect: [201]
      })
      const link = linked && Linked(world, "POST …/link", linked)
      if (link === undefined) return
      const pathOf = (address: string) => address.replace(publicUrl, "")
      const page = yield* call({ route: "GET connect", method: "GET", path: pathOf(link.redirect_url), key: "" })
      if (page === undefined) return
      const cookie = String(page.headers["set-cookie"] ?? "").split(";")[0] ?? ""
      const hidden = (name: string) => new RegExp(`name="${name}" value="([^"]*)"`).exec(page.text)?.[1] ?? ""
      const sent = yield* call({
        route: "POST connect",
        method: "POST",
        path: "/connect",
        key: "",
        headers: { cookie },
        body: new URLSearchParams({ token: hidden("token"), proof: hidden("proof") }).toString()
      })
      const [, destination = ""] = /http-equiv="refresh" content="0;url=([^"]*)"/.exec(sent?.text ?? "") ?? []
      if (sent === undefined) return
      const { callback } = provider.consent(destination.replaceAll("&amp;", "&"))
      const back = yield* call({
        route: "GET callback",
        method: "GET",
        path: callback.pathname + callback.search,
        key: "",
        headers: { cookie },
        expect: [200, 302]
      })
      if (back === undefined) return
      const path = `/api/v3/connected_accounts/${link.connected_account_id}`
      yield* call({ route: "POST …/refresh", method: "POST", path: `${path}/refresh`, headers: refused })
      yield* call({ route: "DELETE …", method: "DELETE", path: `${path}?revoke_on_delete=true` })
    })
  }
})
export type Clients = Effect.Success<ReturnType<typeof make>>
