/**
 * A process that writes two records to a journal and waits to be killed.
 *
 * @module
 */
import { ConnectedAccountId } from "@rekindle/core"
import { Sealed } from "@rekindle/engine"
import { open } from "#engine/renewal/journalFiles.ts"
import { openDirectory } from "#engine/renewal/nodeDisk.ts"
import { randomUUID } from "node:crypto"

const files = open(openDirectory(process.argv[2] ?? ""), "process", randomUUID())
const accountId = ConnectedAccountId.make("ca_journaljournal")
for (const text of ["written", "again"]) {
  files.reserve()
  files.write({ accountId, sealed: Sealed.make(`v2.k.${text}`) })
}
process.send?.("done")
setInterval(() => {}, 1_000)
