/**
 * The command `rekindle` as values, for a program that has commands of its own.
 *
 * @module
 */
export { rekindle } from "./rekindle.ts"
