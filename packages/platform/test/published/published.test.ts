import { assert, it } from "vitest"
import { faultOf } from "./published.ts"

it("an answer that is not as published is found out", () => {
  const answer = { method: "GET", url: "/api/v3.1/connected_accounts", status: 200 }
  const page = { items: [], total_pages: 0, current_page: 1, total_items: 0 }
  assert.strictEqual(faultOf({ ...answer, body: JSON.stringify(page) }), "")
  assert.match(faultOf({ ...answer, body: JSON.stringify({ ...page, items: [{ id: "ca_1" }] }) }), /alias/)
  assert.match(faultOf({ ...answer, status: 404, body: "{}" }), /error/)
})
