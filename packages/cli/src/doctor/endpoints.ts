/**
 * The endpoints of an auth config: whether the egress lets requests through to them, and whether something answers there.
 *
 * The requests take the way of the engine's own: the same rules, proxy and certificate authorities. They carry no credential. An endpoint
 * for POST gets an empty form, which every authorization server refuses without doing anything (RFC 6749 §5.2).
 *
 * @module
 */
import type { RegisteredAuthConfig } from "@rekindle/core"
import { Egress } from "@rekindle/engine"
import { Effect } from "effect"
import { type DatedAnswer, datedAnswer } from "./clock.ts"
import { type Finding, ok, problem, warning } from "./Finding.ts"

/** One endpoint. */
interface Endpoint {
  /** The setting that names it. */
  readonly setting: string
  readonly url: URL
}

/** Settings that hold an address to which requests go. `issuer` is a name, and people's browsers visit the authorization endpoint. */
const isRequested = /(?:Endpoint|Url)$/
const visited = "authorizationEndpoint"
/** An address of the application, to which providers send people back. */
const ours = /^(?:callback|redirect)/i

const endpointsOf = ({ settings }: RegisteredAuthConfig): ReadonlyArray<Endpoint> =>
  Object.entries(settings).flatMap(([setting, value]) => {
    if (!isRequested.test(setting) || ours.test(setting) || typeof value !== "string") return []
    const url = URL.parse(value)
    return url === null ? [] : [{ setting, url }]
  })

const isPosted = (setting: string) => setting.endsWith("Endpoint") && setting !== visited

/** What was found at an endpoint, and the date of its answer. */
export interface Examined {
  readonly findings: ReadonlyArray<Finding>
  readonly answers: ReadonlyArray<DatedAnswer>
}

const examine = Effect.fnUntraced(function* (
  { hosts, id }: RegisteredAuthConfig,
  { setting, url }: Endpoint
): Effect.fn.Return<Examined, never, Egress> {
  const egress = yield* Egress
  const subject = `${id}: ${setting} ${url.origin}${url.pathname}`
  const endpoint = { check: "endpoint", subject } as const
  const only = (finding: Finding): Examined => ({ findings: [finding], answers: [] })
  const observation = yield* egress.send(
    hosts,
    isPosted(setting)
      ? { url, method: "POST", body: "", headers: { "content-type": "application/x-www-form-urlencoded" } }
      : { url }
  )
  switch (observation._tag) {
    case "Refused":
      return only(
        problem(
          { check: "egress", subject },
          observation.reason,
          `correct settings.${setting} or hosts of the auth config; for a host of your own network, --private-hosts`
        )
      )
    case "NotSent":
      return only(
        problem(
          endpoint,
          `no connection: ${observation.reason}`,
          "check the address, the network, the proxy and the certificates"
        )
      )
    case "NoAnswer":
      return only(
        warning(
          endpoint,
          `no whole answer: ${observation.reason}`,
          "try again; then look at the provider's status page"
        )
      )
    case "Answer": {
      const { headers, receivedAt, status } = observation
      const answer = datedAnswer(headers?.["date"], receivedAt)
      const finding =
        status === 404 || status === 410
          ? problem(endpoint, `there is nothing at this address (${status})`, `correct settings.${setting}`)
          : status >= 500
            ? warning(endpoint, `the provider fails (${status})`, "look at the provider's status page")
            : isPosted(setting) && status >= 300 && status < 400
              ? problem(endpoint, `it redirects (${status}), which is not followed`, `correct settings.${setting}`)
              : ok(endpoint, `it answers (${status})`)
      return { findings: [finding], answers: answer === undefined ? [] : [answer] }
    }
  }
})

/** Examines the endpoints of auth configs that are in service, one of each address. */
export const examineAll = Effect.fnUntraced(function* (configs: ReadonlyArray<RegisteredAuthConfig>) {
  const seen = new Set<string>()
  const all = configs
    .filter(({ isDisabled }) => !isDisabled)
    .flatMap((config) => endpointsOf(config).map((endpoint) => ({ config, endpoint })))
    .filter(({ config, endpoint }) => {
      const key = `${endpoint.url.href} ${config.hosts.join()}`
      return !seen.has(key) && seen.add(key)
    })
  const examined = yield* Effect.forEach(all, ({ config, endpoint }) => examine(config, endpoint), { concurrency: 4 })
  return {
    findings: examined.flatMap(({ findings }) => findings),
    answers: examined.flatMap(({ answers }) => answers)
  } satisfies Examined
})
