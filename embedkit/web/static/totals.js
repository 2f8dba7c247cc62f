// The numbers of the page of duplicates, and the start of a search.

import { counted, html } from "./ui.js";
import { sizeText } from "./quarantine.js";

export const Totals = ({ totals, canRestore, isReadOnly, onSure, onApply, onRestore, onSearch, onHelp }) => html`
  <footer class="totals">
    <p><b>${(totals.groups - totals.open).toLocaleString("en")}</b> of ${counted(totals.groups, "group")} decided
      · <b>${counted(totals.files, "file")}</b> to move (${sizeText(totals.bytes)})
      ${totals.left > 0 && ` · ${counted(totals.left, "file")} left for review`}</p>
    <progress aria-label="Groups decided" max=${totals.groups} value=${totals.groups - totals.open}></progress>
    <div class="actions">
      ${totals.sure > 0 && !isReadOnly && html`<button class="button" title="Accept the groups that need no review" onClick=${onSure}>Accept ${totals.sure.toLocaleString("en")} sure</button>`}
      ${canRestore && !isReadOnly && html`<button class="button" onClick=${onRestore}>Put files back…</button>`}
      ${!isReadOnly && html`<button class="button" onClick=${onSearch}>Search again</button>`}
      <button class="button icon" aria-label="Keys" onClick=${onHelp}>?</button>
      <button class=${totals.open ? "button" : "button primary"} disabled=${!totals.files} onClick=${onApply}>Move files… <kbd aria-hidden="true">a</kbd></button>
    </div>
  </footer>`;

export const Start = ({ found, server, canRestore, onSearch, onRestore }) => html`<div class="empty">
  <h2 class="title" id="place" tabindex="-1">${found.key === null ? "Find duplicates" : "No duplicates"}</h2>
  <p>${found.key === null
    ? "embedkit compares all photos of the workspace, and proposes which file of each group to keep. Nothing is moved before you say so."
    : "No two files show the same picture."}</p>
  <p class="actions">${!server.read_only && html`<button class="button primary" onClick=${onSearch}>
    ${found.key === null ? "Search all photos" : "Search again"}</button>`}
  ${server.read_only && "The server was started with --read-only, so it cannot search."}
  ${canRestore && !server.read_only && html`<button class="button" onClick=${onRestore}>Put files back…</button>`}</p></div>`;
