/**
 * A token endpoint that does as little as one can: every request gets a new access and refresh token. It runs in a process of its own,
 * so that its work is not counted as the client's.
 *
 * @module
 */
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"

let issued = 0
const server = createServer((request, response) => {
  request.resume().on("end", () => {
    issued++
    response.writeHead(200, { "content-type": "application/json" }).end(
      JSON.stringify({
        access_token: `at-${issued}-${"x".repeat(64)}`,
        refresh_token: `rt-${issued}-${"x".repeat(64)}`,
        token_type: "Bearer",
        expires_in: 3600
      })
    )
  })
})
server.keepAliveTimeout = 60_000
server.listen(0, "127.0.0.1", () => process.send?.((server.address() as AddressInfo).port))
process.on("disconnect", () => process.exit())
