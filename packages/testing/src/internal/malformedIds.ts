/**
 * Ids that every provider has to refuse.
 *
 * @module
 */
import { ConnectedAccountId } from "@rekindle/core"

/** Malformed ids. The type forbids them, so they come from a cast. */
export const malformedIds = [
  "",
  "ca_",
  "ca_short",
  "xx_1a2b3c4d5e6f",
  "1a2b3c4d5e6f",
  "CA_4CkFF_cKATwg",
  "ca_4CkFF cKATwg",
  "ca_4CkFF/cKATwg",
  "ca_4CkFF_cKATwg\n",
  "ca_4CkFF_cKATwg?x=1",
  "../connected_accounts",
  `ca_${"a".repeat(65)}`
].map((id) => ConnectedAccountId.make(id, { disableChecks: true }))
