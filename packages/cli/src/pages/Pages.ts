/**
 * The pages for people: the connect page of a link, the page on which they land after consent, and the operator's page.
 *
 * @module
 */
import { Effect, Layer } from "effect"
import { UrlParams } from "effect/http"
import { ConsentCallback } from "@rekindle/platform"
import * as ConnectLinks from "./connectLinks.ts"
import * as ConnectPage from "./connectPage.ts"
import * as Landing from "./landing.ts"
import * as OperatorApi from "./operatorApi.ts"
import * as OperatorPage from "./operatorPage.ts"
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

/** The routes of the pages, and what the operator's page reads. */
export const routes = (options: PagesOptions) =>
  Layer.mergeAll(ConnectPage.routes(options), OperatorPage.routes, OperatorApi.routes)

/** Redacts the tokens of links, besides what the consent callback redacts, in the spans and log lines of requests. */
export const layerRedacted = Layer.effect(
  UrlParams.CurrentRedactedNames,
  Effect.map(UrlParams.CurrentRedactedNames, (names) => [...names, tokenParameter])
).pipe(Layer.provideMerge(ConsentCallback.layerRedacted))
