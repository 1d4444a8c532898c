/**
 * The page on which a person lands after consent, if the application named no address of its own.
 *
 * @module
 */
import type { ConsentFailureReason } from "@rekindle/core"
import { ConsentCallback } from "@rekindle/platform"
import { Layer } from "effect"
import { html, page, type Page } from "./html.ts"

interface Words {
  readonly title: string
  readonly text: string
}

const startAgain = "Go back to the application and start again."

const failures: Readonly<Record<ConsentFailureReason, Words>> = {
  denied: {
    title: "Not connected",
    text: `You did not give access, so nothing was connected. If that was a mistake: ${startAgain.charAt(0).toLowerCase()}${startAgain.slice(1)}`
  },
  refused: {
    title: "Not connected",
    text: `The service refused to connect the account. ${startAgain} If it happens again, tell the people who run the application.`
  },
  unavailable: {
    title: "Not finished",
    text: `The service did not answer in time, so it is not certain that the account is connected. Wait a moment, then look in the application whether it is. If not, start again there.`
  },
  "unknown-state": { title: "This link does not work any more", text: startAgain },
  "identity-mismatch": {
    title: "That was another account",
    text: `You signed in with another account than the one that belongs to this connection. Nothing was changed. Sign out at the service, or choose the right account there. Then go back to the application and start again.`
  },
  overtaken: {
    title: "Already connected",
    text: "Another sign-in for this connection finished first, and is in use. You can close this window."
  },
  misconfigured: {
    title: "Not connected",
    text: "The application is not set up correctly for this service. Please tell the people who run it."
  }
}

/** Providers write it. It is for a report to the people who run the application, so its beginning is enough. */
const shownCode = (code: string): string => (code.length > 80 ? `${code.slice(0, 80)}…` : code)

const pageOf = ({ result, status }: ConsentCallback.Landing): Page => {
  if (result === undefined) {
    return status === 503
      ? {
          status,
          tone: "bad",
          title: "Please try again",
          body: html`<h1>Please try again</h1>
            <p>The connection could not be finished just now. Wait a moment, then load this page again.</p>`
        }
      : {
          status,
          tone: "bad",
          title: "This link does not work any more",
          body: html`<h1>This link does not work any more</h1>
            <p>It is too old, or it was opened in another browser. ${startAgain}</p>`
        }
  }
  const { failure } = result
  if (failure === undefined) {
    return {
      status,
      tone: "good",
      title: "Connected",
      body: html`<h1>Connected</h1>
        <p>The account is connected. You can close this window.</p>`
    }
  }
  const { text, title } = failures[failure.reason]
  return {
    status,
    tone: failure.reason === "overtaken" ? "good" : "bad",
    title,
    body: html`<h1>${title}</h1>
      <p>${text}</p>
      ${
        result.status === "ACTIVE" && failure.reason !== "overtaken"
          ? html`<p>The connection that was there before keeps working.</p>`
          : undefined
      }
      ${failure.code === null ? undefined : html`<p class="soft">The service says: <code>${shownCode(failure.code)}</code></p>`}`
  }
}

/** The landing page of the consent callback. */
export const layer = Layer.succeed(ConsentCallback.ConsentLanding, (landing) => page(pageOf(landing)))
