/**
 * The pages of the site in reading order: the sidebar and `llms.txt` have this order. A page of `docs/` that is missing here fails the build.
 *
 * @module
 */
import { readdirSync } from "node:fs"
import { join } from "node:path"

/** A heading of the sidebar, and the pages under it by file name. The summary is for search engines and language models. */
export interface Group {
  readonly title: string
  readonly pages: ReadonlyArray<readonly [file: string, title: string, summary: string]>
}

export const groups: ReadonlyArray<Group> = [
  {
    title: "Begin",
    pages: [
      ["start", "A five-minute start", "From an empty folder to an API called on behalf of a person."],
      [
        "tokens",
        "How a token is kept",
        "Flights, leases, the journal, verdicts, and what happens when nobody knows whether a token was spent."
      ]
    ]
  },
  {
    title: "Ways to use it",
    pages: [
      [
        "client",
        "A hardened client",
        "A client of the refresh endpoint that does not burn tokens when the network fails, and a gateway."
      ],
      [
        "serve",
        "rekindle serve",
        "The self-hosted service as one command: start, settings, health, many processes, stop."
      ],
      [
        "cli",
        "The commands",
        "Accounts, auth configs, keys, webhooks, the kill switch and the doctor on the command line; exit codes."
      ],
      [
        "webhooks",
        "Webhooks",
        "Events of accounts at an address of yours: types, bodies, signatures, retries, dead letters."
      ],
      ["service", "A self-hosted service", "The engine behind server routes, for applications in any language."],
      [
        "importing",
        "Importing",
        "Bringing connections out of Nango, better-auth or Auth.js, without asking people to consent again."
      ],
      ["engine", "The engine in an application", "Connecting accounts and using their credentials in one application."],
      ["testing", "The test layer", "Scripts, faults and contracts for tests without a network."],
      [
        "simulation",
        "Simulation",
        "Programs of several nodes in a world that a seed decides: every order of steps, and everything that goes wrong."
      ],
      ["without-effect", "Without Effect", "Promises, and applications on Effect 3."]
    ]
  },
  {
    title: "Reference",
    pages: [
      ["policies", "Policies", "Every resilience policy, why it is there, and a program for it."],
      ["settings", "Settings", "Every environment variable and option, with its type and default."],
      ["failures", "Failures", "Every failure, what it means, and what to do about it."],
      ["compatibility", "Compatibility", "Every method of the official clients: served, or answered with a 501."],
      ["providers", "Providers", "The facts about each provider, and their sources."],
      ["adding-a-provider", "Adding a provider", "The file, its facts and its test."]
    ]
  },
  {
    title: "In production",
    pages: [
      [
        "operation",
        "Operation",
        "A checklist for production, errors at the start, log messages, metrics, many processes, upgrades, backups and keys."
      ],
      [
        "security",
        "Security",
        "What is protected against whom, with the tests that prove it, and what is out of reach."
      ],
      [
        "simulation-of-the-engine",
        "Simulating the engine",
        "What has to hold in every simulated world, and the planted faults that show that the worlds find what is wrong."
      ],
      [
        "moving",
        "Moving from other tools",
        "From refresh code of your own, simple-oauth2, passport, Auth.js, better-auth, Nango and Composio."
      ]
    ]
  }
]

const docs = join(import.meta.dirname, "../../docs")
const listed = groups.flatMap(({ pages }) => pages.map(([file]) => `${file}.md`))
const missing = readdirSync(docs).filter((file) => file.endsWith(".md") && ![...listed, "README.md"].includes(file))
if (missing.length > 0)
  throw new Error(`no reader would find ${missing.join(", ")}; add it to site/.vitepress/pages.ts`)
