/**
 * What a worker process is told, and the engine that it runs: plain data, so that it fits on a command line.
 *
 * @module
 */
import { CredentialVault, Engine, Journal } from "@rekindle/engine"
import { ConnectedAccountId } from "@rekindle/core"
import { Layer, Redacted, Schema } from "effect"
import { callbackUrl } from "../support/AuthorizationServer.ts"
import { clientOf, Place } from "../support/Place.ts"

/** Where an engine keeps things, and how patient it is, in milliseconds. */
export const Wiring = Schema.Struct({
  place: Place,
  /** The journal directory. */
  journal: Schema.String,
  lease: Schema.Int,
  requestTimeout: Schema.Int,
  /** How long one request may take, if not as long as usual. */
  egress: Schema.optionalKey(Schema.Int),
  giveUp: Schema.Int
})
export type Wiring = typeof Wiring.Type

/** Where a worker kills itself. */
export const Death = Schema.Literals(["before-lease", "after-intent", "after-response", "in-commit", "after-commit"])
export type Death = typeof Death.Type

/** What a worker does. */
export const Job = Schema.Struct({
  wiring: Wiring,
  ids: Schema.Array(ConnectedAccountId),
  work: Schema.Union([
    /** Asks at random, this often or until told to stop. */
    Schema.TaggedStruct("AskAtRandom", { times: Schema.Int, concurrency: Schema.Int, seed: Schema.Int }),
    /** Refreshes every account until that has an end, and reports its access token. */
    Schema.TaggedStruct("RefreshEach", { concurrency: Schema.Int })
  ]),
  /** Where it kills itself when the first of the accounts gets there. */
  death: Schema.optionalKey(Death)
})
export type Job = typeof Job.Type

export const JobJson = Schema.fromJsonString(Job)

/** What a worker is told while it is at work. */
export const Order = Schema.Union([
  /** It stops asking. */
  Schema.TaggedStruct("Stop", {}),
  /** It takes on no more, and kills itself as soon as no request of its own is under way: nothing that it was answered may be lost by that. */
  Schema.TaggedStruct("Die", {}),
  /** Its wall clock is off by so many milliseconds from now on. */
  Schema.TaggedStruct("SetClock", { offBy: Schema.Int })
])
export type Order = typeof Order.Type

/** What a worker says once its engine is open. */
export const engineIsOpen = "the engine is open"

/** How a refresh of one account ended. */
export const Ending = Schema.Struct({
  id: ConnectedAccountId,
  /** The outcome's tag, or the error's. */
  outcome: Schema.String,
  token: Schema.NullOr(Schema.String)
})
export type Ending = typeof Ending.Type

/** What a worker says when it is done. */
export const Report = Schema.Struct({
  /** How many answers of each kind it got. */
  answers: Schema.Record(Schema.String, Schema.Int),
  endings: Schema.Array(Ending)
})
export type Report = typeof Report.Type

const vault = CredentialVault.layer([
  {
    id: "chaos",
    key: Redacted.make(Buffer.from("a key that every process of a run").subarray(0, 32).toString("base64"))
  }
])

/** The engine on a database, a client for which may be given. */
export const engineOn = (wiring: Wiring, client = clientOf(wiring.place)) =>
  Engine.layer({
    consent: { callbackUrl },
    coordinator: { lease: wiring.lease, requestTimeout: wiring.requestTimeout },
    commit: { giveUp: wiring.giveUp },
    egress: { privateHosts: ["*"], ...(wiring.egress === undefined ? {} : { timeout: wiring.egress }) }
  }).pipe(Layer.provideMerge(client), Layer.provide(Journal.layerDirectory(wiring.journal)), Layer.provide(vault))
