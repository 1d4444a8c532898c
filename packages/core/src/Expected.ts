/**
 * Says in one line what a value has to be, and never repeats the value: it may be a secret, or hold one.
 *
 * @module
 */
import { type Schema, SchemaIssue, SchemaParser } from "effect"

const toIssues = SchemaIssue.makeFormatterStandardSchemaV1()

/** One mistake in a value. */
export interface Mistake {
  /** The field, with dots from the top; empty for the whole value. */
  readonly field: string
  /** What was expected there. */
  readonly message: string
}

/** The mistakes that a schema found. `known` are the names to choose from where a field is unknown. */
export const mistakes = (issue: SchemaIssue.Issue, known: ReadonlyArray<string> = []): ReadonlyArray<Mistake> =>
  toIssues(issue).issues.map(({ message, path = [] }) => {
    const names = path.map((key) => String(typeof key === "object" ? key.key : key))
    const field = names.join(".")
    return message === "Expected no excess property" ? unknownField(field, known) : { field, message }
  })

/** A field that means nothing here, and the nearest one that does. */
export const unknownField = (field: string, known: ReadonlyArray<string>): Mistake => {
  const near = nearest(field, known)
  return { field, message: near === undefined ? "unknown field" : `unknown field; did you mean ${near}?` }
}

/** A mistake in one line. */
export const line = ({ field, message }: Mistake): string => (field === "" ? message : `${field}: ${message}`)

/** The known name that a typing error would make of the given one: at most a third of its letters differ. */
const nearest = (name: string, known: ReadonlyArray<string>): string | undefined => {
  const plain = (text: string) => text.toLowerCase().replace(/[_-]/g, "")
  const [best] = known
    .map((candidate) => ({ candidate, distance: editDistance(plain(name), plain(candidate)) }))
    .filter(({ candidate, distance }) => distance <= Math.max(2, candidate.length / 3))
    .toSorted((left, right) => left.distance - right.distance)
  return best?.candidate
}

/** How many letters have to be put in, taken out or replaced (Levenshtein). */
const editDistance = (from: string, to: string): number => {
  let row = Array.from({ length: to.length + 1 }, (_, index) => index)
  for (const [index, letter] of [...from].entries()) {
    let corner = index
    let left = index + 1
    row = row.map((above, column) => {
      const distance =
        column === 0 ? index + 1 : Math.min(above + 1, left + 1, corner + (letter === to[column - 1] ? 0 : 1))
      corner = above
      left = distance
      return distance
    })
  }
  return row.at(-1) ?? 0
}

/**
 * Gives a schema a `make` that throws one line, `<name>: <what was expected>`. Effect's own says `Schema validation failed` and leaves the
 * rest to be found in the cause. With `unknownFields: "refused"` a field that the schema does not have is a mistake as well.
 */
export const sayExpected =
  (name: string, options?: { readonly unknownFields: "refused" }) =>
  <S extends Schema.Top & { readonly fields?: Schema.Struct.Fields }>(schema: S): S => {
    const make = SchemaParser.make(schema)
    const known = Object.keys(schema.fields ?? {})
    const onExcessProperty = options === undefined ? "ignore" : "error"
    return Object.defineProperty(schema, "make", {
      value: (input: S["~type.make.in"], given?: Schema.MakeOptions): S["Type"] => {
        try {
          return make(input, { ...given, parseOptions: { errors: "all", onExcessProperty, ...given?.parseOptions } })
        } catch (error) {
          if (!(error instanceof Error) || !SchemaIssue.isIssue(error.cause)) throw error
          // The cause would be printed with it, and is a page of the schema's inside.
          // oxlint-disable-next-line preserve-caught-error
          throw new Error(`${name}: ${mistakes(error.cause, known).map(line).join("; ")}`)
        }
      }
    })
  }
