/**
 * `rekindle serve`: the service, until it is asked to stop.
 *
 * @module
 */
import { Layer } from "effect"
import { Command, Flag } from "effect/cli"
import * as Server from "../server/Server.ts"

export const serve = Command.make(
  "serve",
  {
    database: Flag.String("database").pipe(Flag.withDescription("a SQLite file"), Flag.withDefault("rekindle.db")),
    host: Flag.String("host").pipe(Flag.withDescription("the address to listen on"), Flag.withDefault("127.0.0.1")),
    port: Flag.Int("port").pipe(Flag.withDescription("the port to listen on"), Flag.withDefault(8080))
  },
  (settings) => Layer.launch(Server.layer(settings))
).pipe(Command.withDescription("Serves the endpoints of connected accounts"))
