/**
 * The form of a credential that a person enters, by the secrets that its scheme knows.
 *
 * @module
 */
import type { AuthStrategy } from "@rekindle/engine"

/** One field of the form. */
export interface Field {
  /** The name of the secret. */
  readonly name: string
  readonly label: string
  readonly kind: "text" | "password" | "document"
  readonly isRequired: boolean
}

const labels: Readonly<Record<string, string>> = {
  api_key: "API key",
  client_id: "Client id",
  client_secret: "Client secret",
  password: "Password",
  service_account_json: "Key of the service account (the JSON file)",
  token: "Token",
  username: "User name"
}

/** Names that may be read over a shoulder. */
const shown = new Set(["username", "client_id"])

const capitalized = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1)

/** The fields that a person fills in. A token that the engine obtains itself is not one of them. None if the scheme takes no secrets. */
export const fieldsOf = ({ renewal, secrets }: Pick<AuthStrategy, "renewal" | "secrets">): ReadonlyArray<Field> =>
  Object.entries(secrets?.account.forms ?? {})
    .filter(([name]) => renewal === undefined || name !== "access_token")
    .map(([name, form]) => ({
      name,
      label: labels[name] ?? capitalized(name.replaceAll("_", " ")),
      kind: form === "document" ? "document" : shown.has(name) ? "text" : "password",
      isRequired: secrets?.account.needs?.some((group) => group.length === 1 && group[0] === name) === true
    }))

/** Whether a person can connect accounts of the scheme: on a page of the provider, or with a form. */
export const isForPeople = (strategy: AuthStrategy | undefined): boolean =>
  strategy !== undefined && (strategy.consent !== undefined || fieldsOf(strategy).length > 0)
