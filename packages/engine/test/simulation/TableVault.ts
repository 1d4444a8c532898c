/**
 * A vault that seals into a table: a sealed value is the number of its row. It costs no cipher, gives the same text in every run, and the world
 * can look at what the engine has sealed. Contexts and keys are held to what the real vault holds them to.
 *
 * @module
 */
import { CredentialVault, type SealContext, Sealed, VaultError } from "@rekindle/engine"
import { Effect } from "effect"

interface Row {
  readonly key: string
  readonly context: string
  readonly plaintext: string
  opened: Readonly<Record<string, string>> | undefined
}

const form = /^v2\.([\w-]+)\.n\.(\d+)$/

const textOf = ({ generation, owner, projectId, purpose }: SealContext): string =>
  `${purpose} ${projectId} ${owner} ${generation ?? ""}`

/** Makes a table. */
export const make = () => {
  const rows: Array<Row> = []

  const rowOf = (sealed: string): Row | undefined => rows[Number(form.exec(sealed)?.[2])]

  const seal = (key: string, context: SealContext, plaintext: string): Sealed => {
    rows.push({ key, context: textOf(context), plaintext, opened: undefined })
    return Sealed.make(`v2.${key}.n.${rows.length - 1}`)
  }

  /** The vault of a process with this ring, newest key first. */
  const vault = (ring: readonly [string, ...ReadonlyArray<string>]): CredentialVault["Service"] => {
    const [newest] = ring
    const failed = (reason: VaultError["reason"]) =>
      Effect.fail(new VaultError({ message: "it does not open", reason }))
    return CredentialVault.of({
      seal: (context, plaintext) => Effect.sync(() => seal(newest, context, plaintext)),
      open: (context, sealed) =>
        Effect.suspend(() => {
          const row = rowOf(sealed)
          if (row === undefined) return failed("damaged")
          if (!ring.includes(row.key)) return failed("unknown-key")
          return row.context === textOf(context) ? Effect.succeed(row.plaintext) : failed("damaged")
        }),
      isStale: (sealed) => !sealed.startsWith(`v2.${newest}.`),
      keyIds: ring
    })
  }

  return {
    seal,
    vault,
    /** The secrets of a sealed credential. */
    secretsOf: (sealed: string | null): Readonly<Record<string, string>> => {
      const row = sealed === null ? undefined : rowOf(sealed)
      if (row === undefined) return {}
      return (row.opened ??= JSON.parse(row.plaintext).secrets ?? {})
    }
  }
}

/** What is sealed in one world. */
export type TableVault = ReturnType<typeof make>
