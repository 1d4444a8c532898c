import { assert, describe, it } from "@effect/vitest"
import { signatureOf } from "#cli/webhooks/signature.ts"
import { Redacted } from "effect"
import { createHmac } from "node:crypto"

describe("the signature of a delivery", () => {
  // https://github.com/standard-webhooks/standard-webhooks: the vector that its libraries share.
  const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
  const message = { id: "msg_p5jXN8AQM9LWM0D4loKWxJek", timestamp: 1614265330, body: '{"test": 2432232314}' }

  it("is that of the test vector of Standard Webhooks", () => {
    const [first] = signatureOf(message, [Redacted.make(secret)]).split(" ")
    assert.strictEqual(first, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")
  })

  it("also has the one that the verifier of the official SDK computes, whose key is the text of the secret", () => {
    const [, second] = signatureOf(message, [Redacted.make(secret)]).split(" ")
    const { body, id, timestamp } = message
    assert.strictEqual(
      second,
      `v1,${createHmac("sha256", secret).update(`${id}.${timestamp}.${body}`).digest("base64")}`
    )
  })

  it("has those of all secrets, the newest first", () => {
    const other = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
    const both = signatureOf(message, [Redacted.make(other), Redacted.make(secret)])
    assert.strictEqual(both, [other, secret].map((each) => signatureOf(message, [Redacted.make(each)])).join(" "))
  })
})
