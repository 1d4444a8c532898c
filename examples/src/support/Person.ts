/**
 * A person with a browser: opens the link, logs in, consents, and follows redirects with cookies to the last page.
 *
 * @module
 */
import { Effect } from "effect"
import { personHeader } from "./AuthorizationServer.ts"

/** Follows a consent link as `person`, and returns the last page. `applicationCookies` are those that the browser got from the application before. */
export const consent = (link: string, person: string, applicationCookies = "") =>
  Effect.tryPromise(async () => {
    const cookies = new Map<string, string>()
    const issuer = new URL(link).origin
    for (let url = new URL(link), hops = 0; hops < 20; hops++) {
      const cookie = Array.from(cookies, ([name, value]) => `${name}=${value}`).join("; ")
      // Only the provider gets its cookies and the name.
      const headers =
        url.origin === issuer ? { cookie, [personHeader]: person } : { accept: "text/html", cookie: applicationCookies }
      const response = await fetch(url, { redirect: "manual", headers })
      for (const set of response.headers.getSetCookie()) {
        const [, name = "", value = ""] = /^([^=]+)=([^;]*)/.exec(set) ?? []
        cookies.set(name, value)
      }
      const location = response.headers.get("location")
      const text = await response.text()
      if (location === null) return { url, status: response.status, text }
      url = new URL(location, url)
    }
    throw new Error("too many redirects")
  })
