// The dialogs about files that are moved to quarantine and put back.

import { Dialog, counted, html } from "./ui.js";

// The same text as the commands print.
export function sizeText(bytes) {
  const inUnit = (unit, digits) =>
    (bytes / unit).toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  if (bytes < 1e6) return `${inUnit(1e3, 0)} kB`;
  return bytes < 1e9 ? `${inUnit(1e6, 1)} MB` : `${inUnit(1e9, 2)} GB`;
}

// Ask before files are moved.
export const Confirm = ({ totals, onApply, onClose }) => html`
  <${Dialog} title="Move files to quarantine" onClose=${onClose}>
    <h2>Move ${counted(totals.files, "file")} to quarantine?</h2>
    <p>${sizeText(totals.bytes)} leave your folders. Nothing is deleted: the files go to the folder
      <b> quarantine</b> of the workspace, and you can put them back.</p>
    <p>A file is moved only if it has not changed, and while the file that is kept for it exists. Labels and verdicts
      are carried over to that file. ${totals.open > 0 && `${counted(totals.open, "open group")} and `}${counted(totals.left, "file")} left for review stay as they are.</p>
    <p class="actions"><button class="button" onClick=${onClose}>Cancel</button>
      <button class="button primary" autofocus onClick=${onApply}>Move ${counted(totals.files, "file")}</button></p>
  <//>`;

// What a run has done, in words.
export const resultOf = ({ kind, result }) =>
  kind === "apply" ? `${counted(result.moved.length, "file")} moved to quarantine` : `${counted(result.restored.length, "file")} put back`;

// The result of moving files.
export function Report({ run, canUndo, onUndo, onClose }) {
  const { moved = [], restored = [], skipped, missing = [], bytes, not_carried_over: lost = [] } = run.result;
  const isMove = run.kind === "apply";
  const done = isMove ? moved : restored;
  const failures = [...skipped, ...missing.map((path) => ({ path, reason: "it is missing" }))];
  return html`<${Dialog} title=${resultOf(run)} onClose=${onClose}>
    <h2>${resultOf(run)} (${sizeText(bytes)})</h2>
    ${failures.length > 0 && html`<p class="bad">${counted(failures.length, "file")} ${isMove ? "not moved" : "not put back"}:</p>
      <ul class="failures" tabindex="0" aria-label="Files that stayed">${failures.slice(0, 200).map(({ path, reason }) => html`<li><b>${path}</b>: ${reason}</li>`)}</ul>`}
    ${lost.length > 0 && html`<p>Not carried over, because of a contradiction:</p>
      <ul class="failures" tabindex="0" aria-label="Facts that were not carried over">${lost.slice(0, 200).map(({ path, reason }) => html`<li><b>${path}</b>: ${reason}</li>`)}</ul>`}
    <p class="actions">${canUndo && done.length > 0 && html`<button class="button" onClick=${onUndo}>Undo: put them back</button>`}
      <button class="button primary" autofocus onClick=${onClose}>Close</button></p>
  <//>`;
}

// Choose a quarantine.
export const Restore = ({ quarantines, onRestore, onClose }) => html`
  <${Dialog} title="Put files back" onClose=${onClose}>
    <h2>Put files back</h2>
    <p>The files return to their folders, and their groups are open again.</p>
    <ul class="failures" tabindex="0" aria-label="Files in quarantine">${quarantines.map(({ id, at, files, bytes, state }) => html`
      <li key=${id}><p>${at && `Moved on ${new Date(at).toLocaleString()} · `}${sizeText(bytes)}${state === "interrupted" && " · interrupted"}</p>
        <button class="button" onClick=${() => onRestore(id)}>Put ${counted(files, "file")} back</button></li>`)}</ul>
    <p class="actions"><button class="button" autofocus onClick=${onClose}>Cancel</button></p>
  <//>`;
