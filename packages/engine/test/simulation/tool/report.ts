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

/** The command that repeats a world. */
export const commandOf = ({ seed }: Simulation.Settings, faults: ReadonlyArray<string> = []): string =>
  ["pnpm simulate --seed", seed, ...faults.map((name) => `--fault ${name}`)].join(" ")

/** The end of a run of many seeds. */
export const manyText = ({ failed, ran, seconds, steps, total, totalFailed, version }: Figures): string =>
  [
    ...failed.map(({ message, name, seed }) => `${commandOf({ seed })}\n  ${name}: ${message}`),
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

/** The story of a world: in the order of time, with a column for each node. */
export const storyText = ({ story }: Simulation.Outcome): string => {
  const nodes = [...new Set(story.map(({ node }) => node))]
  const width = Math.max(0, ...nodes.map((node) => node.length))
  return story
    .map(({ node, step, time, what }) =>
      [
        `${(time / 1000).toFixed(3).padStart(11)} s`,
        `#${step}`.padStart(7),
        `${"  ".repeat(nodes.indexOf(node))}${node.padEnd(width)}`,
        what
      ].join("  ")
    )
    .join("\n")
}

/** What a world came to. */
export const endText = ({ failure, seed, sizes, steps, time }: Simulation.Outcome): string =>
  [
    `seed ${seed}: ${number(steps)} steps, ${number(time / 1000)} s in the world, ${Object.entries(sizes)
      .map(([name, size]) => `${size} ${name}`)
      .join(", ")}`,
    failure === undefined
      ? "every invariant held"
      : `FAILED after step ${failure.step}: ${failure.kind}: ${failure.name}\n  ${failure.message}`
  ].join("\n")
