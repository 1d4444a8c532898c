/**
 * The server of all clients, in a process of its own. It answers every refresh at once and counts them.
 *
 * A message `{ delay }` delays the answers by so many milliseconds. The reply is the count since the last message.
 *
 * @module
 */
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"

let served = 0
let delay = 0

const server = createServer((request, response) => {
  served++
  request.resume()
  // /api/v3/connected_accounts/<id>/refresh
  const id = request.url?.split("/")[4]
  const body = `{"id":"${id}","status":"ACTIVE","redirect_url":null}`
  const answer = () =>
    response.writeHead(200, { "content-type": "application/json", "content-length": body.length }).end(body)
  if (delay === 0) answer()
  else setTimeout(answer, delay)
})
server.keepAliveTimeout = 0

process.on("message", (message: { readonly delay: number }) => {
  delay = message.delay
  process.send?.({ served })
  served = 0
})
process.on("disconnect", () => process.exit())

server.listen({ host: "127.0.0.1", port: 0, backlog: 1024 }, () =>
  process.send?.({ port: (server.address() as AddressInfo).port })
)
