/**
 * Texts of other people (aliases, user ids, answers of providers) in a form that cannot rewrite a terminal: without control characters, and
 * without marks that change the direction of writing.
 *
 * @module
 */
import { CliOutput } from "effect/cli"

/** A text on one line. */
export const clean = (text: string): string => text.replace(/[\p{Cc}\u200e\u200f\u202a-\u202e\u2066-\u2069]+/gu, " ")

/** A text that keeps its lines and its tabs. */
export const cleanLines = (text: string): string => text.replace(/[^\t\n]+/g, clean)

/** A JSON text that says the same, with escapes for what JSON permits as it is. */
export const cleanJson = (json: string): string =>
  json.replace(
    /[\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`
  )

const graphemes = new Intl.Segmenter()

/** The beginning of a text that is wider than some columns of a terminal, with an ellipsis. */
export const cut = (text: string, columns: number): string => {
  if (CliOutput.displayWidth(text) <= columns) return text
  let kept = ""
  for (const { segment } of graphemes.segment(text)) {
    if (CliOutput.displayWidth(kept + segment) >= columns) break
    kept += segment
  }
  return `${kept}…`
}
