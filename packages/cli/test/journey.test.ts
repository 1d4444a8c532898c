import { assert, it } from "@effect/vitest"
import { ConsentCallback } from "@rekindle/platform"
import { Effect } from "effect"
import { journey } from "./support/journey.ts"
import { Provider } from "./support/provider.ts"

const call = <A>(evaluate: () => PromiseLike<A>) => Effect.promise(async () => evaluate())

/** A person's browser: it keeps cookies and follows no redirect by itself. */
const browser = () => {
  const cookies = new Map<string, string>()
  const open = (url: string, init: RequestInit = {}) =>
    call(async () => {
      const headers = { accept: "text/html", cookie: Array.from(cookies, (pair) => pair.join("=")).join("; ") }
      const response = await fetch(url, { ...init, headers, redirect: "manual" })
      for (const cookie of response.headers.getSetCookie()) {
        const [, name = "", value = ""] = /^([^=]+)=([^;]*)/.exec(cookie) ?? []
        cookies.set(name, value)
      }
      return { status: response.status, text: await response.text() }
    })
  const found = (text: string, pattern: RegExp) => (pattern.exec(text)?.[1] ?? "").replaceAll("&amp;", "&")
  return {
    open,
    /** Presses the button of a connect page, and returns the address of the provider. */
    proceed: Effect.fnUntraced(function* (url: string) {
      const { text } = yield* open(url)
      const body = new URLSearchParams({
        token: found(text, /name="token" value="([^"]*)"/),
        proof: found(text, /name="proof" value="([^"]*)"/)
      })
      const sent = yield* open(new URL("/connect", url).href, { method: "POST", body })
      return found(sent.text, /http-equiv="refresh" content="0;url=([^"]*)"/)
    })
  }
}

it.live("from an empty directory to a verified webhook and a revoked key", () =>
  journey({
    connect: Effect.fnUntraced(function* (address) {
      const provider = yield* Provider
      const ann = browser()
      const back = yield* provider.visit(yield* ann.proceed(address), "Ann")
      assert.strictEqual(new URL(back).pathname, ConsentCallback.path)
      assert.include((yield* ann.open(back)).text, "<h1>Connected</h1>")
    }),
    post: (url, key) =>
      call(async () => {
        const response = await fetch(url, { method: "POST", headers: { "x-api-key": key } })
        return response.json()
      })
  })
)
