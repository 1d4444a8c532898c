/**
 * Nine clients of the same endpoint, each as its users would write it: connections kept alive, the answer decoded, the options that its
 * documentation starts with. A client's library is loaded only when it is used, so that each process holds one.
 *
 * @module
 */
import { Agent as HttpAgent } from "node:http"

/** Keeps `inFlight` refreshes under way until `until` (by `performance.now()`) and returns how many there were. */
export type Run = (inFlight: number, until: number) => Promise<number>

export const apiKey = "rk_0123456789abcdef"
const headers = { accept: "application/json", "x-api-key": apiKey }
const path = (id: string) => `/api/v3/connected_accounts/${id}/refresh`

/** The account of one place in flight. Each has its own, because coalescing would answer several callers of one account with one call. */
export const accountAt = (place: number) => `ca_bench${String(place).padStart(7, "0")}`

interface Answer {
  readonly status: string
}

export const expectActive = (status: string) => {
  if (status !== "ACTIVE") throw new Error(`Expected ACTIVE, got ${status}`)
}

const promises =
  (refresh: (id: string) => Promise<Answer>): Run =>
  async (inFlight, until) => {
    let calls = 0
    const place = async (id: string) => {
      do {
        expectActive((await refresh(id)).status)
        calls++
      } while (performance.now() < until)
    }
    await Promise.all(Array.from({ length: inFlight }, (_, i) => place(accountAt(i))))
    return calls
  }

export const clients = {
  "undici, JSON.parse": async (baseUrl) => {
    const { Agent, request } = await import("undici")
    const dispatcher = new Agent()
    return promises(async (id) => {
      const { body } = await request(baseUrl + path(id), { dispatcher, method: "POST", headers })
      return JSON.parse(await body.text())
    })
  },
  "rekindle, bare": async (baseUrl) => (await import("./rekindle.ts")).bare(baseUrl),
  "rekindle, Resilience.standard": async (baseUrl) => (await import("./rekindle.ts")).standard(baseUrl),
  "@composio/client": async (baseURL) => {
    const { Composio } = await import("@composio/client")
    const client = new Composio({ apiKey, baseURL })
    return promises((id) => client.connectedAccounts.refresh(id))
  },
  fetch: async (baseUrl) =>
    promises(async (id) => {
      const response = await fetch(baseUrl + path(id), { method: "POST", headers })
      return (await response.json()) as Answer
    }),
  "cockatiel around fetch": async (baseUrl) => {
    const { bulkhead, circuitBreaker, ExponentialBackoff, handleAll, retry, SamplingBreaker, wrap } =
      await import("cockatiel")
    const policy = wrap(
      retry(handleAll, { maxAttempts: 3, backoff: new ExponentialBackoff() }),
      circuitBreaker(handleAll, {
        halfOpenAfter: 15_000,
        breaker: new SamplingBreaker({ threshold: 0.5, duration: 15_000 })
      }),
      bulkhead(256, 1_024)
    )
    return promises((id) =>
      policy.execute(async () => {
        const response = await fetch(baseUrl + path(id), { method: "POST", headers })
        return (await response.json()) as Answer
      })
    )
  },
  ky: async (prefix) => {
    const { default: ky } = await import("ky")
    const client = ky.create({ prefix, headers })
    return promises((id) => client.post(path(id)).json<Answer>())
  },
  got: async (baseUrl) => {
    const { default: got } = await import("got")
    const client = got.extend({ headers, agent: { http: new HttpAgent({ keepAlive: true }) } })
    return promises((id) => client.post(baseUrl + path(id)).json<Answer>())
  },
  "axios, axios-retry": async (baseURL) => {
    const { default: axios } = await import("axios")
    const { default: axiosRetry } = await import("axios-retry")
    const client = axios.create({ baseURL, headers, httpAgent: new HttpAgent({ keepAlive: true }) })
    axiosRetry(client, { retries: 3 })
    return promises(async (id) => (await client.post<Answer>(path(id))).data)
  }
} satisfies Record<string, (baseUrl: string) => Promise<Run>>

export type ClientName = keyof typeof clients
