/**
 * Error messages for invalid values: one line that says what was expected. They never contain the value, which may hold a secret.
 *
 * @module
 */
import { type Schema, SchemaIssue, SchemaParser } from "effect"

const toIssues = SchemaIssue.makeFormatterStandardSchemaV1()

/** One mistake in a value. */
export interface Mistake {
  /** The dotted path of the field; empty for the whole value. */
  readonly field: string
  /** What was expected there. */
  readonly message: string
}

/** The mistakes that a schema found. `known` are the field names to suggest for an unknown one. */
export const mistakes = (issue: SchemaIssue.Issue, known: ReadonlyArray<string> = []): ReadonlyArray<Mistake> =>
  toIssues(issue).issues.map(({ message, path = [] }) => {
    const names = path.map((key) => String(typeof key === "object" ? key.key : key))
    const field = names.join(".")
    return message === "Expected no excess property" ? unknownField(field, known) : { field, message }
  })

/** The mistake of an unknown field, with the most similar known name. */
export const unknownField = (field: string, known: ReadonlyArray<string>): Mistake => {
  const near = nearest(field, known)
  return { field, message: near === undefined ? "unknown field" : `unknown field; did you mean ${near}?` }
}

/** Formats a mistake as one line. */
export const line = ({ field, message }: Mistake): string => (field === "" ? message : `${field}: ${message}`)

/** The known name that was probably meant: at most a third of its letters differ. */
const nearest = (name: string, known: ReadonlyArray<string>): string | undefined => {
  const plain = (text: string) => text.toLowerCase().replace(/[_-]/g, "")
  const [best] = known
    .map((candidate) => ({ candidate, distance: editDistance(plain(name), plain(candidate)) }))
    .filter(({ candidate, distance }) => distance <= Math.max(2, candidate.length / 3))
    .toSorted((left, right) => left.distance - right.distance)
  return best?.candidate
}

/** The number of letters to insert, delete or replace (Levenshtein). */
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
 * Replaces a schema's `make` with one that throws a one-line message, `<name>: <what was expected>`. Effect's own throws `Schema validation
 * failed` and puts the details into the cause. With `unknownFields: "refused"`, a field that the schema does not have is a mistake too.
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
          // A cause would be printed too: a page of schema internals.
          // oxlint-disable-next-line preserve-caught-error
          throw new Error(`${name}: ${mistakes(error.cause, known).map(line).join("; ")}`)
        }
      }
    })
  }
