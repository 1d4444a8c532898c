/**
 * `rekindle projects`: makes and lists projects, and says where their people may land after consent.
 *
 * @module
 */
import { Effect } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { Administration } from "../administration/Administration.ts"
import type { ProjectForm } from "../administration/forms.ts"
import * as Target from "./administration.ts"
import { CommandFailed } from "./failure.ts"
import * as Output from "./output.ts"

const landing = ({ redirect_origins }: ProjectForm): string =>
  redirect_origins === null ? "anywhere" : redirect_origins.length === 0 ? "nowhere" : redirect_origins.join(",")

const columns: ReadonlyArray<Output.Column<ProjectForm>> = [
  { title: "id", of: ({ id }) => id },
  { title: "people may land at", of: landing },
  { title: "created", of: ({ created_at }) => created_at }
]

const id = Argument.String("id").pipe(Argument.withDescription("The project's id, such as shop"))

const flags = {
  origin: Flag.String("origin").pipe(
    Flag.withDescription(
      "An origin where people may land after consent, such as https://app.example.com; may be repeated"
    ),
    Flag.atLeast(0)
  ),
  anywhere: Flag.Boolean("anywhere").pipe(Flag.withDescription("People may land anywhere"), Flag.withDefault(false)),
  nowhere: Flag.Boolean("nowhere").pipe(
    Flag.withDescription("People land on this service's page alone"),
    Flag.withDefault(false)
  )
}

const originsOf = Effect.fnUntraced(function* (given: Command.Command.Config.Infer<typeof flags>) {
  const { anywhere, nowhere, origin } = given
  if (Number(anywhere) + Number(nowhere) + Number(origin.length > 0) !== 1) {
    return yield* new CommandFailed({
      message: "say where people may land after consent",
      fix: "give --origin, as often as needed, or --anywhere, or --nowhere",
      exit: "usage"
    })
  }
  return anywhere ? null : origin
})

const list = Command.make("list", { target: Target.flags }, ({ target }) =>
  Effect.gen(function* () {
    const items = yield* Administration.use(({ listProjects }) => listProjects)
    yield* Output.list({ json: { items }, items, columns, none: "There are no projects." })
  }).pipe(Effect.provide(Target.layer(target)))
).pipe(Command.withDescription("Lists projects"))

const create = Command.make("create", { target: Target.flags, id, ...flags }, ({ id, target, ...given }) =>
  Effect.gen(function* () {
    const origins = yield* originsOf(given)
    const project = yield* Administration.use(({ createProject }) => createProject(id, origins))
    yield* Output.print(project, `${project.id} is made; its people may land at ${landing(project)}`)
  }).pipe(Effect.provide(Target.layer(target)))
).pipe(Command.withDescription("Makes a project"))

const update = Command.make("update", { target: Target.flags, id, ...flags }, ({ id, target, ...given }) =>
  Effect.gen(function* () {
    const origins = yield* originsOf(given)
    const project = yield* Administration.use(({ setRedirectOrigins }) => setRedirectOrigins(id, origins))
    yield* Output.print(project, `the people of ${project.id} may land at ${landing(project)}`)
  }).pipe(Effect.provide(Target.layer(target)))
).pipe(Command.withDescription("Says where the people of a project may land after consent"))

export const projects = Command.make("projects").pipe(
  Command.withDescription("Projects: each has its own accounts, keys and landing addresses"),
  Command.withSubcommands([list, create, update])
)
