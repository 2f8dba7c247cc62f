// Verdicts on photos, with undo, and the dialog that chooses a label.

import { Component, Dialog, counted, html, say } from "./ui.js";
import { post } from "./api.js";

// Stores verdicts. `onChange(photos, change)` shows their effect.
export class Decisions {
  #past = [];

  constructor({ onChange }) {
    this.onChange = onChange;
  }

  async decide(photos, { verdict, new_label = false }, change, words) {
    if (!photos.length) return;
    const items = photos.map((photo) => ({ sha256: photo.sha256, verdict }));
    const { previous } = await post("/verdicts", { items, new_label });
    const before = photos.map((photo) => Object.fromEntries(Object.keys(change).map((name) => [name, photo[name]])));
    this.#past.push({ photos, previous, before });
    this.onChange(photos, change);
    say(`${counted(photos.length, "photo")} ${words}. u undoes it.`);
  }

  async undo() {
    const last = this.#past.at(-1);
    if (!last) return say("Nothing to undo.");
    await post("/verdicts", { items: last.previous, new_label: true });
    this.#past.pop();
    last.photos.forEach((photo, place) => this.onChange([photo], last.before[place]));
    say("Undone.");
  }
}

// Choose a label by its first letters, or a new one.
export class LabelChooser extends Component {
  state = { text: "" };

  render({ labels, onChoose, onClose }, { text }) {
    const wanted = text.trim().toLowerCase();
    const found = labels.filter((label) => label.toLowerCase().includes(wanted)).slice(0, 12);
    const isNew = wanted !== "" && !labels.some((label) => label.toLowerCase() === wanted);
    const submit = (event) => {
      event.preventDefault();
      if (found.length) onChoose(found[0], false);
      else if (isNew) onChoose(text.trim(), true);
    };
    return html`<${Dialog} title="Label" onClose=${onClose}>
      <h2>Which label?</h2>
      <form onSubmit=${submit}><input class="field" aria-label="Label" autofocus autocomplete="off" value=${text}
        onInput=${(event) => this.setState({ text: event.target.value })} /></form>
      <ul class="choices">
        ${found.map((label) => html`<li><button class="button" onClick=${() => onChoose(label, false)}>${label}</button></li>`)}
        ${isNew && html`<li><button class="button" onClick=${() => onChoose(text.trim(), true)}>New label: ${text.trim()}</button></li>`}
      </ul><//>`;
  }
}
