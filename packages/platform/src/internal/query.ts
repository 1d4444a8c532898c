/**
 * Query parameters as clients send them. The official ones join the values of a list with commas, and write `null` as an empty value.
 *
 * @module
 */
import { Schema, SchemaTransformation } from "effect"

const valuesOf = (given: ReadonlyArray<string>): ReadonlyArray<string> => {
  const [first = ""] = given
  return (given.length === 1 ? first.split(",") : given).filter((value) => value !== "")
}

/** Several values: the parameter repeated, or one parameter with commas. Without a value it selects everything. */
export const several = <S extends Schema.Codec<unknown, string>>(item: S) =>
  Schema.optionalKey(
    Schema.Array(Schema.String).pipe(
      Schema.decodeTo(
        Schema.Array(item),
        SchemaTransformation.transform({
          decode: valuesOf,
          encode: (values: ReadonlyArray<string>) => values
        })
      )
    )
  )

/** One of `values`, or empty. */
export const oneOf = <const Values extends ReadonlyArray<string>>(...values: Values) =>
  Schema.optionalKey(Schema.Literals([...values, ""]))

/** `true`, `false` or empty. */
export const flag = oneOf("true", "false")

/** The parameters of a list that is read page by page. */
export const page = {
  cursor: Schema.optionalKey(Schema.String),
  limit: Schema.optionalKey(
    Schema.String.check(Schema.isPattern(/^(?:|[1-9]\d{0,2}|1000)$/u, { expected: "a whole number from 1 to 1000" }))
  )
}

/** The texts of {@link page} for the document, in which a limit is a number. */
export const pageTexts = {
  cursor: { description: "The next_cursor of the page before; the first page without it" },
  limit: { description: "Items on a page", schema: { type: "integer", minimum: 1, maximum: 1000, default: 50 } }
}

/** The values to select by. Without a value, everything is selected. */
export const chosen = <A>(values: ReadonlyArray<A> | undefined): ReadonlyArray<A> | undefined =>
  values?.length === 0 ? undefined : values
