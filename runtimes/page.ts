/**
 * Runs the check in a web page, and posts its outcome to the page's server.
 *
 * @module
 */
import { check } from "./client.ts"

const outcome = await check(location.origin).then(() => "ok", String)
await fetch("/outcome", { method: "POST", body: outcome })
