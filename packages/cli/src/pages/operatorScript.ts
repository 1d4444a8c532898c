/**
 * The script of the operator's page. It runs in a browser.
 *
 * **Gotchas**
 *
 * - The page carries the source text of {@link operate}. So it may use nothing from outside of itself.
 * - It makes elements and texts, and never markup, because names and errors are written by others.
 * - The key is held in a variable alone. It is gone when the page is.
 *
 * @module
 */
import type { Overview } from "./operatorApi.ts"

/** Runs the page. */
export const operate = (): void => {
  type Failing = Overview["failures"]["items"][number]

  const reasons: Readonly<Record<string, string>> = {
    grant_dead: "The permission was withdrawn, or has ended",
    rotation_response_lost: "The answer to a renewal was lost",
    credential_rejected: "The service refuses the credential",
    consent_denied: "The person did not give access",
    consent_failed: "The service refused to connect the account",
    identity_mismatch: "The person signed in with another account",
    consent_lapsed: "The link was not used in time"
  }
  const verdicts: Readonly<Record<string, string>> = {
    NotRenewed: "The service gave the same token again",
    Refused: "The service refused the renewal",
    NotApplied: "The service could not be reached",
    Ambiguous: "There was no certain answer",
    Transient: "The service is busy or down",
    Dead: "The credential does not work any more",
    AppFault: "The service refuses the application",
    Misconfigured: "A setting is wrong"
  }

  const part = <K extends Element>(id: string, type: new () => K): K => {
    const found = document.getElementById(id)
    if (!(found instanceof type)) throw new Error(`no ${id}`)
    return found
  }
  const make = <K extends keyof HTMLElementTagNameMap>(
    tag: K,
    attributes: Readonly<Record<string, string>> = {},
    ...children: ReadonlyArray<Node | string>
  ): HTMLElementTagNameMap[K] => {
    const element = document.createElement(tag)
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value)
    element.append(...children)
    return element
  }

  const form = part("sign-in", HTMLFormElement)
  const field = part("key", HTMLInputElement)
  const problem = part("problem", HTMLParagraphElement)
  const content = part("content", HTMLDivElement)
  const news = part("news", HTMLParagraphElement)
  const refresh = part("refresh", HTMLButtonElement)
  let key = ""

  const timeOf = (iso: string): string => new Date(iso).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" })
  const dateOf = (iso: string): string => new Date(iso).toLocaleString([], { dateStyle: "medium", timeStyle: "short" })

  /** The answer of the server, or a sentence for the person. */
  const ask = async (
    method: string,
    path: string
  ): Promise<{ readonly ok: true; readonly body: unknown } | { readonly ok: false; readonly text: string }> => {
    try {
      const response = await fetch(path, { method, headers: { "x-api-key": key }, cache: "no-store" })
      const body: unknown = await response.json()
      if (response.ok) return { ok: true, body }
      const error: unknown = typeof body === "object" && body !== null && "error" in body ? body.error : undefined
      const message =
        typeof error === "object" && error !== null && "message" in error ? String(error.message) : "no reason given"
      return { ok: false, text: `The server answered ${response.status}: ${message}` }
    } catch {
      return { ok: false, text: "The server could not be reached." }
    }
  }

  const rows = (id: string, found: ReadonlyArray<HTMLTableRowElement>, none: string) => {
    const table = part(id, HTMLTableElement)
    const [body] = table.tBodies
    body?.replaceChildren(...found)
    table.hidden = found.length === 0
    const empty = part(`${id}-none`, HTMLParagraphElement)
    empty.textContent = none
    empty.hidden = found.length > 0
  }

  const cell = (title: string, ...children: ReadonlyArray<Node | string>) =>
    make("td", { "data-title": title }, ...children)

  /** Runs an action of a row. Its button cannot be pressed twice meanwhile. */
  const action = (label: string, name: string, run: (place: HTMLElement) => Promise<void>) => {
    const place = make("span", {})
    const button = make("button", { type: "button", class: "second", "aria-label": `${label}: ${name}` }, label)
    button.addEventListener("click", () => {
      if (button.disabled) return
      button.disabled = true
      void run(place).finally(() => {
        button.disabled = false
      })
    })
    return [button, place] as const
  }

  const showLink = (place: HTMLElement, name: string, url: string, note: string) => {
    const address = make("input", { readonly: "", value: url, "aria-label": `Link for ${name}` })
    address.addEventListener("focus", () => address.select())
    place.replaceChildren(address, make("small", {}, note))
    address.focus()
  }

  const failureRow = (failing: Failing): HTMLTableRowElement => {
    const name = failing.alias ?? failing.id
    const [retry, retried] = action("Retry", name, async (place) => {
      const answer = await ask("POST", `/api/v3/connected_accounts/${failing.id}/refresh`)
      if (!answer.ok) {
        place.textContent = answer.text
        return
      }
      const { body } = answer
      const status = typeof body === "object" && body !== null && "status" in body ? String(body.status) : ""
      const waits = typeof body === "object" && body !== null && "redirect_url" in body && body.redirect_url !== null
      place.textContent = waits ? "A person has to connect it again. Make a link." : `It is ${status} now.`
      news.textContent = `${name}: ${place.textContent}`
    })
    const [link, linked] = action("Link", name, async (place) => {
      const answer = await ask("POST", `/api/v3/operator/accounts/${failing.id}/link`)
      const { body } = answer.ok ? answer : { body: undefined }
      if (typeof body === "object" && body !== null && "url" in body && "expires_at" in body) {
        showLink(place, name, String(body.url), `For the owner, once, until ${timeOf(String(body.expires_at))}.`)
      } else place.textContent = answer.ok ? "The server gave no link." : answer.text
    })
    const why = failing.reason ?? failing.verdict
    const words = why === null ? "" : (reasons[why] ?? verdicts[why] ?? why)
    return make(
      "tr",
      {},
      cell("Account", failing.alias ?? "", " ", make("code", {}, failing.id)),
      cell("Owner", failing.user_id),
      cell("Service", failing.service, " ", make("code", {}, failing.auth_config_id)),
      cell("State", failing.status),
      cell("Reason", words, ...(failing.code === null ? [] : [" ", make("code", {}, failing.code)])),
      cell(
        "Since",
        dateOf(failing.since),
        ...(failing.retry_at === null ? [] : [make("br"), make("small", {}, `again at ${timeOf(failing.retry_at)}`)])
      ),
      cell("Actions", make("div", { class: "actions" }, retry, link), retried, linked)
    )
  }

  const show = ({ accounts, at, circuits, due, failures, project }: Overview) => {
    part("project", HTMLElement).textContent = project
    part("at", HTMLElement).textContent = dateOf(at)
    part("statuses", HTMLDListElement).replaceChildren(
      ...accounts.map(({ count, status }) =>
        make("div", {}, make("dt", {}, status), make("dd", {}, count.toLocaleString()))
      )
    )
    const most = Math.max(1, ...due.map(({ count }) => count))
    rows(
      "due",
      due.map(({ count, from }, index) =>
        make(
          "tr",
          {},
          make("th", { scope: "row" }, index === 0 ? "now" : timeOf(from)),
          make(
            "td",
            {},
            make("meter", { min: "0", max: String(most), value: String(count), "aria-label": `${count} accounts` })
          ),
          make("td", { class: "number" }, count.toLocaleString())
        )
      ),
      "No account is due."
    )
    rows(
      "circuits",
      circuits.map((circuit) =>
        make(
          "tr",
          {},
          cell("Auth config", make("code", {}, circuit.auth_config_id)),
          cell("Cause", make("code", {}, circuit.cause)),
          cell("Accounts", circuit.accounts.toLocaleString()),
          cell("Open for", `${circuit.open_seconds.toLocaleString()} s`),
          cell("Next try", circuit.retry_seconds === 0 ? "now" : `in ${circuit.retry_seconds.toLocaleString()} s`)
        )
      ),
      "None: no service keeps failing."
    )
    const { count, items } = failures
    part("failures-count", HTMLElement).textContent =
      count > items.length ? `${items.length} of ${count.toLocaleString()} are shown.` : ""
    rows("failures", items.map(failureRow), "None: every account works, or waits for its owner.")
  }

  const isOverview = (body: unknown): body is Overview =>
    typeof body === "object" && body !== null && "accounts" in body && "failures" in body

  const load = async (): Promise<string | undefined> => {
    const answer = await ask("GET", "/api/v3/operator/overview")
    if (!answer.ok) return answer.text
    if (!isOverview(answer.body)) return "The server gave an answer that this page does not know."
    show(answer.body)
    return undefined
  }

  const signIn = async () => {
    key = field.value.trim()
    field.value = ""
    problem.hidden = true
    const text = await load()
    if (text === undefined) {
      form.hidden = true
      content.hidden = false
      part("heading", HTMLHeadingElement).focus()
      return
    }
    key = ""
    problem.textContent = text
    problem.hidden = false
    field.focus()
  }

  const loadAgain = async () => {
    refresh.disabled = true
    const text = await load()
    refresh.disabled = false
    news.textContent = text ?? `Loaded again at ${new Date().toLocaleTimeString()}.`
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault()
    void signIn()
  })
  refresh.addEventListener("click", () => void loadAgain())
  part("sign-out", HTMLButtonElement).addEventListener("click", () => location.reload())
}
