import * as ConnectedAccountsContract from "@rekindle/testing/ConnectedAccountsContract"
import { Layer } from "effect"
import { fixtures, withServer } from "./support/TestEngine.ts"

// The patience is short, so that the clause about a busy account does not keep the suite waiting.
const engine = withServer({ engine: { coordinator: { patience: "300 millis" } } })

ConnectedAccountsContract.suite("the engine", Layer.provideMerge(fixtures, engine), { clock: "live" })
