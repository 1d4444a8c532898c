/** For `pnpm mutation`: the tests of the policies. The laws are left out; a thousand random schedules for each mutant prove nothing more. */
import { defineConfig } from "vitest/config"

export default defineConfig({
  test: { include: ["test/resilience/**/*.test.ts"], exclude: ["**/Laws.test.ts"] }
})
