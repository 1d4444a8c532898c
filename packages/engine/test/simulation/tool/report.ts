/**
 * What the tool prints.
 *
 * @module
 */
import type { Simulation } from "@rekindle/testing"
import type { Figures } from "./many.ts"
import type { Searched } from "./search.ts"

const number = (value: number): string => Math.round(value).toLocaleString("en")

const rate = (count: number, seconds: number): string => number(seconds > 0 ? count / seconds : 0)

/** One line on a run in progress. */
export const progressOf = ({ done, failed, ran, seconds, seeds, steps }: Figures): string => {
  const left = ran === 0 ? 0 : ((seeds - done) / ran) * seconds
  return `${number(done)} of ${number(seeds)} seeds, ${rate(ran, seconds)} seeds and ${rate(steps, seconds)} steps a second, ${failed.length} failed, about ${number(left)} s left`
}

const plantedIn = (faults: ReadonlyArray<string>): string => faults.map((name) => ` --fault ${name}`).join("")

/** The command that runs the world of a seed. */
export const seedCommand = (seed: number, planted: ReadonlyArray<string> = []): string =>
  `pnpm simulate --seed ${seed}${plantedIn(planted)}`

/** The command that runs a reduced world. */
export const planCommand = (
  { faults, schedule, seed, sizes }: Simulation.Outcome,
  planted: ReadonlyArray<string> = []
): string => `pnpm simulate --plan '${JSON.stringify({ seed, schedule, sizes, faults })}'${plantedIn(planted)}`

/** The end of a run of many seeds. */
export const manyText = ({ failed, ran, seconds, steps, total, totalFailed, version }: Figures): string =>
  [
    ...failed.map(({ message, name, seed }) => `${seedCommand(seed)}\n  ${name}: ${message}`),
    `${number(ran)} seeds and ${number(steps)} steps in ${number(seconds)} s: ${rate(ran, seconds)} seeds and ${rate(steps, seconds)} steps a second`,
    `on this version (${version}) ${number(total)} distinct seeds were run in all, and ${number(totalFailed)} of them failed`
  ].join("\n")

/** One line on a fault. */
export const searchedLine = ({ fault, found, seeds }: Searched): string =>
  found === undefined
    ? `${fault.name}: not found`
    : `${fault.name}: ${number(seeds ?? 0)} seeds (${found.name}: ${found.message})`

const cell = (text: string): string => text.replaceAll("|", "\\|").replaceAll("\n", " ")

/** The table of the faults, as Markdown. */
export const searchedTable = (searched: ReadonlyArray<Searched>): string =>
  [
    "| fault | what it breaks | seeds to find | what the invariant said |",
    "| --- | --- | --: | --- |",
    ...searched.map(
      ({ fault, found, seeds }) =>
        `| \`${fault.name}\` | ${cell(fault.breaks)} | ${seeds === undefined ? "not found" : number(seeds)} | ${
          found === undefined ? "" : cell(`${found.name}: ${found.message}`)
        } |`
    )
  ].join("\n")
