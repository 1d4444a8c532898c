/**
 * The callback: the address to which providers send people back. A callback without a state is refused by Rekindle in its own words, so a
 * visit shows whether a Rekindle answers there.
 *
 * @module
 */
import { Duration, Effect, Schema } from "effect"
import { HttpClient } from "effect/http"
import { type Finding, ok, problem, warning } from "./Finding.ts"

const decodeRefusal = Schema.decodeUnknownOption(
  Schema.Struct({ error: Schema.Struct({ slug: Schema.Literal("consent_invalid") }) })
)

const isLoopback = (host: string) => /^(?:(?:.+\.)?localhost|127(?:\.\d+){3}|\[::1\])$/.test(host)

const limit = Duration.seconds(8)

/** Visits the callback. */
export const visit = (address: string): Effect.Effect<Finding, never, HttpClient.HttpClient> => {
  const about = { check: "callback", subject: address } as const
  const fix = "start rekindle serve, and set --public-url to the address that browsers reach it at"
  return HttpClient.get(address, { headers: { accept: "application/json" } }).pipe(
    Effect.flatMap((response) => response.json),
    Effect.timeout(limit),
    Effect.match({
      onFailure: (error) =>
        error._tag === "HttpClientError" && error.reason._tag !== "TransportError"
          ? problem(about, "something else than Rekindle answers there", fix)
          : problem(about, "nothing answers there", fix),
      onSuccess: (body): Finding => {
        if (decodeRefusal(body)._tag === "None")
          return problem(about, "something else than Rekindle answers there", fix)
        const url = URL.parse(address)
        if (url !== null && isLoopback(url.hostname))
          return warning(
            about,
            "it answers, to browsers on this machine alone",
            "set --public-url before other people connect"
          )
        if (url?.protocol === "http:")
          return warning(
            about,
            "it answers over plain http, which most providers refuse",
            "put TLS in front, and correct --public-url"
          )
        return ok(about, "it answers from here; register exactly this address with each provider")
      }
    })
  )
}
