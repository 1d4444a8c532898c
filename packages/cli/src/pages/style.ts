/**
 * The style of all pages: light and dark, narrow and wide, with a visible focus.
 *
 * @module
 */

/** A style sheet. It stands in each page, so that a page needs no second request. */
export const style = `
:root {
  color-scheme: light dark;
  --ground: #f4f4f1; --paper: #ffffff; --ink: #1c1d1a; --soft: #5c5f58; --line: #d9dad4;
  --accent: #0b5fa5; --on-accent: #ffffff; --good: #1f7a3d; --bad: #b3261e; --code: #ecece7;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #151614; --paper: #1f211e; --ink: #ecede8; --soft: #a7aba1; --line: #3a3d37;
    --accent: #7cb9f0; --on-accent: #0c1a26; --good: #6fcf8c; --bad: #ff9b91; --code: #2b2e29;
  }
}
* { box-sizing: border-box; }
html { font: 100%/1.5 system-ui, sans-serif; background: var(--ground); color: var(--ink); }
body { margin: 0; padding: 1rem; }
main {
  background: var(--paper); border: 1px solid var(--line); border-top: 4px solid var(--line); border-radius: 6px;
  padding: 1.5rem; margin: 0 auto; overflow-wrap: anywhere;
}
.narrow main { max-width: 32rem; margin-top: max(0rem, min(12vh, 6rem)); }
.wide main { max-width: 72rem; }
main.neutral { border-top-color: var(--accent); }
main.good { border-top-color: var(--good); }
main.bad { border-top-color: var(--bad); }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 1rem; }
h2 { font-size: 1.125rem; margin: 2rem 0 0.5rem; }
p { margin: 0 0 1rem; }
form, form > button { margin-bottom: 1rem; }
main > :last-child, form > :last-child { margin-bottom: 0; }
a { color: var(--accent); }
small, .soft { color: var(--soft); font-size: 0.875rem; }
code { font: 0.875em ui-monospace, monospace; background: var(--code); border-radius: 3px; padding: 0.1em 0.3em; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0.25rem 1rem; margin: 0 0 1rem; }
dt { color: var(--soft); }
dd { margin: 0; }
dd ul, ul.plain { list-style: none; margin: 0; padding: 0; }
label { display: block; font-weight: 600; margin-bottom: 0.25rem; }
input, textarea {
  display: block; width: 100%; min-height: 2.75rem; padding: 0.5rem 0.75rem; margin-bottom: 1rem;
  font: inherit; color: inherit; background: var(--ground); border: 1px solid var(--soft); border-radius: 4px;
}
textarea { min-height: 9rem; font-family: ui-monospace, monospace; font-size: 0.875rem; }
button, .button {
  display: inline-block; min-height: 2.75rem; padding: 0.6rem 1.25rem; font: inherit; font-weight: 600; cursor: pointer;
  text-decoration: none; color: var(--on-accent); background: var(--accent); border: 1px solid var(--accent); border-radius: 4px;
}
button.second { color: var(--accent); background: transparent; min-height: 2.25rem; padding: 0.25rem 0.75rem; overflow-wrap: normal; }
button:disabled { opacity: 0.6; cursor: default; }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
[role="alert"] { border-left: 4px solid var(--bad); padding: 0.5rem 0.75rem; margin: 0 0 1rem; background: var(--ground); }
[hidden] { display: none !important; }
table { border-collapse: collapse; width: 100%; margin: 0 0 1rem; font-size: 0.9375rem; }
th, td { text-align: left; vertical-align: top; padding: 0.5rem 0.75rem 0.5rem 0; border-bottom: 1px solid var(--line); }
th, td[data-title="State"], td[data-title="Service"] { overflow-wrap: normal; }
thead th { color: var(--soft); font-weight: 600; font-size: 0.875rem; }
.number { text-align: right; font-variant-numeric: tabular-nums; }
.actions { display: flex; flex-wrap: wrap; gap: 0.5rem; }
.tiles { grid-template-columns: repeat(auto-fill, minmax(8rem, 1fr)); gap: 0.5rem; }
.tiles div { border: 1px solid var(--line); border-radius: 4px; padding: 0.5rem 0.75rem; }
.tiles dt { font-size: 0.8125rem; }
.tiles dd { font-size: 1.375rem; font-variant-numeric: tabular-nums; margin: 0; }
.curve { max-width: 40rem; }
.curve th { width: 5rem; font-weight: 400; white-space: nowrap; }
.curve td, .curve th { padding: 0.125rem 0.75rem 0.125rem 0; border: 0; }
.curve .number { width: 5rem; }
meter { display: block; width: 100%; height: 1.25rem; }
td input { min-width: 12rem; margin: 0.5rem 0 0.25rem; font-size: 0.875rem; }
.cards .actions { flex-wrap: nowrap; }
@media (max-width: 48rem) {
  .cards thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  .cards tr { display: block; border: 1px solid var(--line); border-radius: 4px; padding: 0.5rem 0.75rem; margin-bottom: 0.75rem; }
  .cards td { display: block; border: 0; padding: 0.125rem 0; }
  .cards td::before { content: attr(data-title) ": "; color: var(--soft); }
  .cards td[data-title="Actions"]::before { content: none; }
}
@media (max-width: 26rem) {
  body { padding: 0.5rem; }
  main { padding: 1.25rem 1rem; }
  dl { grid-template-columns: 1fr; gap: 0; }
  dd { margin-bottom: 0.5rem; }
  .narrow button, .narrow .button { display: block; width: 100%; text-align: center; }
}
`
