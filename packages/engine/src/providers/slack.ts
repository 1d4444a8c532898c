/**
 * The profile of Slack. Bot and user tokens behave alike. Their answers have the tokens in different places.
 *
 * @module
 */
import { Duration } from "effect"
import * as Provider from "./Provider.ts"

const about = {
  checked: "2026-11-22",
  sources: [
    'Slack Developer Docs, "Using token rotation", "Using PKCE", `oauth.v2.access` and `oauth.v2.exchange` (errors), `tooling.tokens.rotate` (errors)',
    "The margin is that of Slack's Python SDK"
  ],
  facts: {
    rotation:
      "the refresh token is revoked when it is used. A reuse window is not documented; the cautious value is used.",
    accessTokenTtl:
      "`never`, unless stated. With token rotation a token lives 12 hours, and `expires_in` says so; without it, there is neither an expiry nor a refresh token.",
    refreshTokenIdle:
      "none. An app with PKCE, which marks it as a public client for good, gets 30 days: override it and `pkce` for such an app.",
    deadToken:
      'HTTP 200 with `ok: false` and one of these errors. `fatal_error` and `internal_error` are not among them: "some aspect of the operation" may have succeeded.',
    tokenTypes: "`bot` and `user` in place of `bearer`.",
    keptFields: "the workspace that the tokens are for.",
    margin: "two hours (`minutes_before_expiration`).",
    settings:
      'client id and secret in the Basic header, as Slack "strongly" recommends. Without PKCE, which is refused (`pkce_not_allowed`) unless the app has it enabled. Scopes are joined by commas. Revocation is an API call with the access token, not RFC 7009.'
  }
}

const profile = {
  rotation: "single-use",
  accessTokenTtl: "never",
  deadToken: [
    {
      field: "error",
      values: ["invalid_refresh_token", "token_revoked", "token_expired", "account_inactive", "authorization_not_found"]
    }
  ],
  tokenTypes: ["bot", "user", "bearer"],
  keptFields: ["team.id"],
  identifiedBy: ["team.id"],
  margin: Duration.hours(2)
} as const

const settings = {
  authorizationEndpoint: "https://slack.com/oauth/v2/authorize",
  tokenEndpoint: "https://slack.com/api/oauth.v2.access",
  clientAuth: "basic",
  pkce: false,
  scopeSeparator: ","
} as const

/** Slack, bot tokens. */
export const slack = Provider.make({
  about: { title: "Slack, bot tokens", ...about },
  profile: { name: "slack", ...profile },
  settings
})

/** Slack, user tokens. */
export const slackUser = Provider.make({
  about: {
    title: "Slack, user tokens",
    ...about,
    sources: [...about.sources, '"Installing with OAuth"'],
    facts: {
      ...about.facts,
      tokenPath:
        "the answer to a consent has the user's tokens under `authed_user`. The answer to a refresh has them at the top.",
      scopeParameter: "their scopes are asked for in `user_scope`."
    }
  },
  profile: { name: "slack-user", ...profile, tokenPath: "authed_user" },
  settings,
  scopeParameter: "user_scope"
})
