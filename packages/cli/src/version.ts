/**
 * The version that the command answers `--version` with. It is read from the manifest, which a release updates. A bundle has it inside.
 *
 * @module
 */
import { readFileSync } from "node:fs"

declare const REKINDLE_VERSION: string | undefined

const ofManifest = (): string => {
  const manifest: { readonly version: string } = JSON.parse(
    readFileSync(new URL("../package.json", import.meta.url), "utf8")
  )
  return manifest.version
}

/** The version of the package. */
export const version = typeof REKINDLE_VERSION === "string" ? REKINDLE_VERSION : ofManifest()
