/**
 * How the pages call the service that an account is at.
 *
 * @module
 */
import type { Toolkits } from "@rekindle/platform"
import { Effect, Option } from "effect"

/** The name of a toolkit for people: the catalogue's, otherwise its slug, written as a name. */
export const serviceName = ({ get }: Toolkits["Service"], slug: string): Effect.Effect<string> =>
  Effect.map(
    get(slug),
    Option.match({
      onNone: () => slug.charAt(0).toUpperCase() + slug.slice(1).replaceAll(/[_-]+/g, " "),
      onSome: ({ name }) => name
    })
  )
