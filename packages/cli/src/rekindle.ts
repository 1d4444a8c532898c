/**
 * The command `rekindle` and its subcommands.
 *
 * @module
 */
import { Command } from "effect/cli"
import { Json } from "./commands/output.ts"
import { audit } from "./commands/audit.ts"
import { keys } from "./commands/keys.ts"
import { projects } from "./commands/projects.ts"
import { accounts } from "./commands/accounts.ts"
import { configs } from "./commands/configs.ts"
import { login, logout } from "./commands/login.ts"
import { renew } from "./commands/renew.ts"
import { reseal, restored } from "./commands/reseal.ts"
import { imports } from "./commands/import.ts"
import { revoke } from "./commands/revoke.ts"
import { doctor } from "./commands/doctor.ts"
import { init } from "./commands/init.ts"
import { serve } from "./commands/serve.ts"
import { events } from "./commands/events.ts"
import { webhooks } from "./commands/webhooks.ts"

export const rekindle = Command.make("rekindle").pipe(
  Command.withDescription("Keeps third-party connections alive"),
  Command.withSubcommands([
    init,
    serve,
    login,
    logout,
    accounts,
    configs,
    imports,
    renew,
    revoke,
    doctor,
    keys,
    projects,
    audit,
    webhooks,
    events,
    reseal,
    restored
  ]),
  Command.withGlobalFlags([Json])
)
