/**
 * The job of a worker process, and the engine that it runs. It is plain data, so that it fits on a command line.
 *
 * @module
 */
import { CredentialVault, Engine, Journal } from "@rekindle/engine"
import { ConnectedAccountId } from "@rekindle/core"
import { Layer, Redacted, Schema } from "effect"
import { callbackUrl } from "../support/callback.ts"
import { clientOf, Place } from "../support/Place.ts"

/** The database of an engine, its journal, and its time limits in milliseconds. */
export const Wiring = Schema.Struct({
  place: Place,
  /** The journal directory. */
  journal: Schema.String,
  lease: Schema.Int,
  requestTimeout: Schema.Int,
  /** The time limit of one request, if not the default. */
  egress: Schema.optionalKey(Schema.Int),
  giveUp: Schema.Int
})
export type Wiring = typeof Wiring.Type

/** The point at which a worker kills itself. */
export const Death = Schema.Literals(["before-lease", "after-intent", "after-response", "in-commit", "after-commit"])
export type Death = typeof Death.Type

/** The work of a worker. */
export const Job = Schema.Struct({
  wiring: Wiring,
  ids: Schema.Array(ConnectedAccountId),
  work: Schema.Union([
    /** Sends random refreshes, this many or until told to stop. */
    Schema.TaggedStruct("AskAtRandom", { times: Schema.Int, concurrency: Schema.Int, seed: Schema.Int }),
    /** Refreshes every account until it has a result, and reports its access token. `tokenRefused`: no doubt is left open. */
    Schema.TaggedStruct("RefreshEach", { concurrency: Schema.Int, tokenRefused: Schema.optionalKey(Schema.Boolean) })
  ]),
  /** The point at which it kills itself, when the first account reaches it. */
  death: Schema.optionalKey(Death)
})
export type Job = typeof Job.Type

export const JobJson = Schema.fromJsonString(Job)

/** The commands to a worker at work. */
export const Order = Schema.Union([
  /** It stops sending. */
  Schema.TaggedStruct("Stop", {}),
  /** It starts nothing new, and kills itself as soon as none of its requests is in flight, so that no answer is lost by that. */
  Schema.TaggedStruct("Die", {}),
  /** Its wall clock is off by so many milliseconds from now on. */
  Schema.TaggedStruct("SetClock", { offBy: Schema.Int })
])
export type Order = typeof Order.Type

/** A worker's message when its engine is open. */
export const engineIsOpen = "the engine is open"

/** The result of a refresh of one account. */
export const Ending = Schema.Struct({
  id: ConnectedAccountId,
  /** The outcome's tag, or the error's. */
  outcome: Schema.String,
  token: Schema.NullOr(Schema.String)
})
export type Ending = typeof Ending.Type

/** The number of results of each kind. */
export const Answers = Schema.Record(Schema.String, Schema.Int)
export type Answers = typeof Answers.Type

/** A worker's message, every half a second: its results so far. */
export const Progress = Schema.TaggedStruct("Progress", { answers: Answers })
export type Progress = typeof Progress.Type

/** A worker's message when it is done. */
export const Report = Schema.TaggedStruct("Report", {
  answers: Answers,
  endings: Schema.Array(Ending)
})
export type Report = typeof Report.Type

const vault = CredentialVault.layer([
  {
    id: "chaos",
    key: Redacted.make(Buffer.from("a key that every process of a run").subarray(0, 32).toString("base64"))
  }
])

/** The engine on a database, optionally with a given client. */
export const engineOn = (wiring: Wiring, client = clientOf(wiring.place)) =>
  Engine.layer({
    consent: { callbackUrl },
    coordinator: { lease: wiring.lease, requestTimeout: wiring.requestTimeout },
    commit: { giveUp: wiring.giveUp },
    egress: { privateHosts: ["*"], ...(wiring.egress === undefined ? {} : { timeout: wiring.egress }) }
  }).pipe(Layer.provideMerge(client), Layer.provide(Journal.layerDirectory(wiring.journal)), Layer.provide(vault))
