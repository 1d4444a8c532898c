/**
 * The version that the command answers `--version` with. It is read from the manifest, which a release updates.
 *
 * @module
 */
import { readFileSync } from "node:fs"

const manifest: { readonly version: string } = JSON.parse(
  readFileSync(new URL("../package.json", import.meta.url), "utf8")
)

/** The version of the package. */
export const version = manifest.version
