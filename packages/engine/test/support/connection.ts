/**
 * The parts of a strategy test: an auth config, an account connected with it, and an egress that may send to loopback.
 *
 * @module
 */
import { ConnectedAccountId } from "@rekindle/core"
import { AuthConfig } from "@rekindle/core"
import type { Connection } from "@rekindle/engine/AuthStrategy"
import * as Credential from "@rekindle/engine/Credential"
import { Egress } from "@rekindle/engine/Egress"
import { Redacted } from "effect"

/** An egress for servers on loopback. */
export const egress = Egress.layer({ privateHosts: ["*"], timeout: "5 seconds" })

const redacted = (secrets: Readonly<Record<string, string>>) =>
  Object.fromEntries(Object.entries(secrets).map(([name, value]) => [name, Redacted.make(value)]))

/** An auth config with only the fields of the test. */
export const config = (
  fields: Pick<AuthConfig, "scheme" | "settings" | "hosts"> &
    Partial<Omit<AuthConfig, "secrets">> & { readonly secrets?: Readonly<Record<string, string>> }
): AuthConfig =>
  AuthConfig.make({ id: "config", toolkit: "toolkit", ...fields, secrets: redacted(fields.secrets ?? {}) })

/** An account connected with these secrets. */
export const connect = (config: AuthConfig, secrets: Readonly<Record<string, string>> = {}): Connection => ({
  accountId: ConnectedAccountId.make("ca_4CkFF_cKATwg"),
  config,
  credential: Credential.make(secrets)
})
