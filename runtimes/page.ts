/**
 * The same in a page: it tells the server that it came from how it went.
 *
 * @module
 */
import { check } from "./client.ts"

const outcome = await check(location.origin).then(() => "ok", String)
await fetch("/outcome", { method: "POST", body: outcome })
