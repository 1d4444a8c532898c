import { assert, describe, it } from "@effect/vitest"
import { ConnectedAccount, ConnectedAccountId, Expected, NotReady, Ready, RefreshOutcome } from "@rekindle/core"
import { Exit, Schema } from "effect"

/** Whatever a caller without types may pass. */
const loose = (make: (input: never) => unknown, input: unknown) => (): unknown =>
  Reflect.apply(make, undefined, [input])

const thrownBy = (constructor: () => unknown): Error => {
  try {
    constructor()
  } catch (error) {
    return error instanceof Error ? error : assert.fail("not an Error")
  }
  return assert.fail("nothing was thrown")
}

describe("a constructor with invalid input says in one line what it expected", () => {
  const expectedId =
    "a connected account id such as ca_4CkFF_cKATwg (con_ or ca_, then 8 to 64 letters, digits, - or _)"

  it.each([
    ["ConnectedAccountId", loose(ConnectedAccountId.make, "sk_live_51"), `ConnectedAccountId: Expected ${expectedId}`],
    ["ConnectedAccountId of a number", loose(ConnectedAccountId.make, 7), "ConnectedAccountId: Expected "],
    ["Ready", loose(Ready.make, { id: "sk_live_51" }), `Ready: id: Expected ${expectedId}`],
    ["a case", loose(RefreshOutcome.cases.NotReady.make, { status: "ACTIVE" }), "NotReady: id: Missing key"],
    [
      "NotReady",
      loose(NotReady.make, { id: "sk_live_51", status: 5 }),
      `NotReady: id: Expected ${expectedId}; status: Expected "INITIALIZING"`
    ],
    [
      "ConnectedAccount",
      loose(ConnectedAccount.make, { id: "ca_4CkFF_cKATwg" }),
      "ConnectedAccount: status: Missing key"
    ]
  ])("%s", (_, constructor, message) => {
    const error = thrownBy(constructor)
    assert.strictEqual(error.message.slice(0, message.length), message)
    assert.notMatch(error.message, /\n|sk_live/)
    assert.isUndefined(error.cause)
  })

  it("and valid input is accepted", () => {
    assert.deepStrictEqual(
      { ...Ready.make({ id: ConnectedAccountId.make("ca_4CkFF_cKATwg") }) },
      {
        _tag: "Ready",
        id: ConnectedAccountId.make("ca_4CkFF_cKATwg")
      }
    )
  })
})

describe("a schema's issues", () => {
  const Settings = Schema.Struct({
    authorizationEndpoint: Schema.String,
    scopes: Schema.Array(Schema.String),
    token: Schema.Struct({ endpoint: Schema.String })
  })
  const issuesOf = (input: unknown) => {
    const exit = Schema.decodeUnknownExit(Settings)(input, { errors: "all", onExcessProperty: "error" })
    const error = Exit.isFailure(exit) ? Exit.findErrorOption(exit) : assert.fail("it decodes")
    return error._tag === "Some"
      ? Expected.mistakes(error.value.issue, Object.keys(Settings.fields)).map(Expected.line)
      : []
  }

  it("are all reported, each with its path and without the value", () => {
    assert.deepStrictEqual(issuesOf({ authorizationEndpoint: 71, scopes: ["a", 72], token: {} }), [
      "authorizationEndpoint: Expected string",
      "scopes.1: Expected string",
      "token.endpoint: Missing key"
    ])
  })

  it("suggest the most similar name for an unknown one, and none if none is similar", () => {
    const rest = { authorizationEndpoint: "a", scopes: [], token: { endpoint: "e" } }
    assert.deepStrictEqual(issuesOf({ ...rest, authorisationEndpoint: "s3cret" }), [
      "authorisationEndpoint: unknown field; did you mean authorizationEndpoint?"
    ])
    assert.deepStrictEqual(issuesOf({ ...rest, colour: "s3cret" }), ["colour: unknown field"])
  })

  it.each([
    ["apikey", "api_key"],
    ["API-KEY", "api_key"],
    ["clientSecret", "client_secret"],
    ["pasword", "password"],
    ["key", undefined]
  ])("the nearest to %s is %s", (name, near) => {
    const known = ["api_key", "client_secret", "username", "password"]
    assert.deepStrictEqual(Expected.unknownField(name, known), {
      field: name,
      message: near === undefined ? "unknown field" : `unknown field; did you mean ${near}?`
    })
  })
})
