/**
 * Fields of rows that the two databases return differently.
 *
 * @module
 */
import { Schema, SchemaTransformation } from "effect"

/** A 64-bit integer. Postgres returns it as bigint, SQLite as number. Epoch milliseconds and counters fit a double. */
export const Integer = Schema.Union([
  Schema.Number,
  Schema.BigInt.pipe(Schema.decodeTo(Schema.Number, SchemaTransformation.transform({ decode: Number, encode: BigInt })))
])
