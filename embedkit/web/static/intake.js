// Photos that a person drops on the page, pastes or chooses.

import { html } from "./ui.js";

// Call `onTake` with the files that are dropped or pasted anywhere on the page.
export function takeFiles(onTake) {
  const take = (transfer) => { if (transfer?.files.length) onTake([...transfer.files]); };
  document.addEventListener("paste", (event) => take(event.clipboardData));
  document.addEventListener("dragover", (event) => { event.preventDefault(); document.body.classList.add("is-dropping"); });
  document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) document.body.classList.remove("is-dropping"); });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    document.body.classList.remove("is-dropping");
    take(event.dataTransfer);
  });
}

// The button that opens the dialog for files. The same file can be chosen again.
export const Choose = ({ words, multiple = false, onTake }) => html`
  <label class="button primary">${words}<input id="choose" class="visually-hidden" type="file" accept="image/*" multiple=${multiple}
    onChange=${(event) => {
      const files = [...event.target.files];
      event.target.value = "";
      if (files.length) onTake(files);
    }} /></label>`;

export const choose = () => document.getElementById("choose")?.click();
