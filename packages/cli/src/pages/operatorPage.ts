/**
 * The operator's page: accounts by state, the due curve, open circuits, and the accounts that do not work, with what can be done about them.
 * The page itself holds nothing. Its script reads everything with an admin key.
 *
 * @module
 */
import { Effect } from "effect"
import { HttpRouter } from "effect/http"
import { html, page } from "./html.ts"
import { operate } from "./operatorScript.ts"

/** The path of the operator's page. */
export const path = "/operator"

const shown = page({
  title: "Rekindle: accounts",
  wide: true,
  script: `(${String(operate)})()`,
  body: html`<h1 id="heading" tabindex="-1">Accounts</h1>
    <noscript><p role="alert">This page needs JavaScript.</p></noscript>
    <form id="sign-in">
      <label for="key">Admin key</label>
      <input id="key" type="password" autocomplete="off" spellcheck="false" required />
      <p id="problem" role="alert" hidden></p>
      <button type="submit">Sign in</button>
      <p class="soft">The key is forgotten when you leave or reload this page.</p>
    </form>
    <div id="content" hidden>
      <p>Project <strong id="project"></strong>, as of <span id="at"></span></p>
      <p class="actions">
        <button type="button" class="second" id="refresh">Load again</button>
        <button type="button" class="second" id="sign-out">Sign out</button>
      </p>
      <p id="news" role="status"></p>
      <h2>By state</h2>
      <dl id="statuses" class="tiles"></dl>
      <h2 id="failures-title">Not working</h2>
      <p id="failures-count"></p>
      <p id="failures-none"></p>
      <table id="failures" class="cards" aria-labelledby="failures-title">
        <thead>
          <tr>
            <th>Account</th>
            <th>Owner</th>
            <th>Service</th>
            <th>State</th>
            <th>Reason</th>
            <th>Since</th>
            <th>Actions</th>
          </tr>
        </thead>
        <tbody></tbody>
      </table>
      <h2 id="circuits-title">Held back</h2>
      <p class="soft">
        Several accounts of an auth config met the same fault, so this process tries them less often. Another process
        may have others.
      </p>
      <p id="circuits-none"></p>
      <table id="circuits" class="cards" aria-labelledby="circuits-title">
        <thead>
          <tr>
            <th>Auth config</th>
            <th>Cause</th>
            <th>Accounts</th>
            <th>Open for</th>
            <th>Next try</th>
          </tr>
        </thead>
        <tbody></tbody>
      </table>
      <h2 id="due-title">Due for renewal</h2>
      <p id="due-none"></p>
      <table id="due" class="curve" aria-labelledby="due-title">
        <tbody></tbody>
      </table>
    </div>`
})

/** `GET /operator`. */
export const routes = HttpRouter.use((router) => router.add("GET", path, Effect.succeed(shown)))
