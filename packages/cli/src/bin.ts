#!/usr/bin/env node
/**
 * The executable `rekindle`. It loads the program with Node's cache of compiled code, which saves most of the time of a start.
 *
 * @module
 */
import { enableCompileCache } from "node:module"

enableCompileCache()
void import("./main.ts")
