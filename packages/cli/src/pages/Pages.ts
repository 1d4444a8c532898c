/**
 * The pages for people: the connect page of a link, and the page on which they land after consent.
 *
 * @module
 */
import { Effect, Layer } from "effect"
import { UrlParams } from "effect/http"
import { ConsentCallback } from "@rekindle/platform"
import * as ConnectLinks from "./connectLinks.ts"
import * as ConnectPage from "./connectPage.ts"
import * as Landing from "./landing.ts"
import { Links, type LinksOptions, tokenParameter } from "./Links.ts"

/** The settings of the pages. */
export interface PagesOptions extends LinksOptions, ConnectPage.ConnectPageOptions {}

/**
 * Provides `ConnectLinks` for the endpoint, and prepares the routes of the consent callback: with the landing page, bound to the browser that
 * opened the link. Give the routes of the callback this layer, and this layer the engine.
 */
export const layer = (options: PagesOptions) =>
  Layer.mergeAll(ConnectLinks.layer, ConnectPage.layerCallback, ConnectPage.layerSession(options), Landing.layer).pipe(
    Layer.provideMerge(Links.layer(options))
  )

/** The routes of the pages. */
export const routes = (options: PagesOptions) => ConnectPage.routes(options)

/** Redacts the tokens of links, besides what the consent callback redacts, in the spans and log lines of requests. */
export const layerRedacted = Layer.effect(
  UrlParams.CurrentRedactedNames,
  Effect.map(UrlParams.CurrentRedactedNames, (names) => [...names, tokenParameter])
).pipe(Layer.provideMerge(ConsentCallback.layerRedacted))
