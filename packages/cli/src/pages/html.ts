/**
 * HTML that escapes what is put into it, and the response that carries it.
 *
 * **Gotchas**
 *
 * Names, aliases and the errors of providers are written by others. So a string never becomes markup: only {@link html} makes markup.
 *
 * @module
 */
import { HttpServerResponse } from "effect/http"
import { createHash } from "node:crypto"
import { style } from "./style.ts"

/** Markup. */
export interface Html {
  readonly markup: string
}

/** What a template takes: text, which is escaped, and markup. `undefined` is nothing. */
export type Content = string | number | Html | undefined | ReadonlyArray<Content>

const entities: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;"
}

const escape = (text: string): string => text.replace(/[&<>"']/g, (character) => entities[character] ?? character)

const render = (content: Content): string => {
  if (content === undefined) return ""
  if (typeof content === "string") return escape(content)
  if (typeof content === "number") return String(content)
  return "markup" in content ? content.markup : content.map(render).join("")
}

/** Makes markup. Attributes have to be quoted in the template. */
export const html = (parts: TemplateStringsArray, ...contents: ReadonlyArray<Content>): Html => ({
  markup: String.raw({ raw: parts }, ...contents.map(render))
})

/** How a page is meant, which colours its edge. */
export type Tone = "neutral" | "good" | "bad"

/** One page. */
export interface Page {
  readonly title: string
  readonly body: Html
  readonly status?: number | undefined
  readonly tone?: Tone | undefined
  /** A script of the page's own. It is not escaped. */
  readonly script?: string | undefined
  /** Further elements of the head. */
  readonly head?: Html | undefined
  /** Whether the page takes the whole width. */
  readonly wide?: boolean | undefined
}

const sourceOf = (text: string): string => `'sha256-${createHash("sha256").update(text).digest("base64")}'`

const styleSource = sourceOf(style)

/** Nothing is loaded from anywhere, nothing is sent but to this server, and no other site may frame the page. */
const policyFor = (script: string | undefined): string =>
  [
    "default-src 'none'",
    `style-src ${styleSource}`,
    ...(script === undefined ? [] : [`script-src ${sourceOf(script)}`, "connect-src 'self'"]),
    "form-action 'self'",
    "base-uri 'none'",
    "frame-ancestors 'none'"
  ].join("; ")

/** The response with a page. No part of it is cached, and its address is not passed on. */
export const page = ({ body, head, script, status = 200, title, tone = "neutral", wide }: Page) =>
  HttpServerResponse.text(
    html`<!doctype html>
      <html lang="en">
        <head>
          <meta charset="utf-8" />
          <meta name="viewport" content="width=device-width, initial-scale=1" />
          <meta name="color-scheme" content="light dark" />
          <meta name="robots" content="noindex" />
          <title>${title}</title>
          ${head} ${{ markup: `<style>${style}</style>` }}
        </head>
        <body class="${wide === true ? "wide" : "narrow"}">
          <main class="${tone}">${body}</main>
          ${script === undefined ? undefined : { markup: `<script>${script}</script>` }}
        </body>
      </html>`.markup,
    {
      status,
      contentType: "text/html; charset=utf-8",
      headers: {
        "cache-control": "no-store",
        "content-security-policy": policyFor(script),
        "referrer-policy": "no-referrer",
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY"
      }
    }
  )

/**
 * Sends the browser on after a form. It is a page and no redirect, because browsers apply `form-action` to the redirects that follow a form
 * too, and a provider may redirect anywhere. The page is replaced in the history, so the back button leads to the page with the form.
 */
export const sendOn = (address: string, text: string) => {
  const url = new URL(address).href.replaceAll("'", "%27")
  return page({
    title: text,
    head: html`<meta http-equiv="refresh" content="${`0;url=${url}`}" />`,
    body: html`<h1>${text}</h1>
      <p><a class="button" href="${url}" rel="noreferrer">Go on</a></p>`
  })
}
