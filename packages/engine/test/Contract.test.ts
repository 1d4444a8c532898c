import * as ConnectedAccountsContract from "@rekindle/testing/ConnectedAccountsContract"
import { Layer } from "effect"
import { fixtures, withServer } from "./support/TestEngine.ts"

// Short enough not to keep the suite waiting for the busy account, long enough for a refresh on a busy machine.
const engine = withServer({ engine: { coordinator: { patience: "2 seconds" } } })

ConnectedAccountsContract.suite("the engine", Layer.provideMerge(fixtures, engine), { clock: "live" })
