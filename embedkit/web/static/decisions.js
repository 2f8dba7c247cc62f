// Verdicts on photos, with undo, and the dialog that chooses a label.

import { Component, Dialog, complain, counted, html, say } from "./ui.js";
import { post } from "./api.js";

// Stores verdicts, one after the other. `onChange(photos, change)` shows their effect, at once.
// `tell` says what was stored. `onStored(photos, isUndone)` follows.
export class Decisions {
  #past = [];
  #last = Promise.resolve();

  constructor({ onChange, tell = say, onStored = () => {} }) {
    this.onChange = onChange;
    this.tell = tell;
    this.onStored = onStored;
  }

  // `verdict` is stored, and the verdicts in `clear` are removed; the photos get the values of `change`.
  decide(photos, { verdict = null, clear = [], new_label = false }, change, words) {
    if (!photos.length) return undefined;
    const items = photos.flatMap(({ sha256 }) => [
      ...clear.map((one) => ({ sha256, verdict: one, clear: true })),
      ...(verdict === null ? [] : [{ sha256, verdict }]),
    ]);
    const before = photos.map((photo) => Object.fromEntries(Object.keys(change).map((name) => [name, photo[name]])));
    this.onChange(photos, change);
    return this.#next(async () => {
      try {
        const { previous } = await post("/verdicts", { items, new_label });
        this.#past.push({ photos, previous, before });
      } catch (error) {
        this.#restore(photos, before);
        throw error;
      }
      this.tell(`${counted(photos.length, "photo")} ${words}. u undoes it.`);
      await this.onStored(photos, false);
    });
  }

  // Returns the photos whose decision was undone.
  undo() {
    return this.#next(async () => {
      const last = this.#past.at(-1);
      if (!last) {
        say("Nothing to undo.");
        return [];
      }
      await post("/verdicts", { items: last.previous, new_label: true });
      this.#past.pop();
      this.#restore(last.photos, last.before);
      this.tell("Undone.");
      await this.onStored(last.photos, true);
      return last.photos;
    });
  }

  // Resolved when every decision so far is stored, or refused.
  get settled() {
    return this.#last;
  }

  #restore(photos, before) {
    photos.forEach((photo, place) => this.onChange([photo], before[place]));
  }

  #next(action) {
    const done = this.#last.then(action);
    this.#last = done.catch(() => {});
    return done;
  }
}

// Decisions about the selected photos of a grid, or the active one. `isReadOnly()` says why not.
export class GridDecisions extends Decisions {
  constructor({ grid, isReadOnly, onChange, onStored = () => {} }) {
    super({
      onChange,
      onStored: async (photos, isUndone) => {
        if (isUndone) await this.reread(photos); // the state before may not be that of the page
        await onStored();
      },
    });
    this.grid = grid;
    this.isReadOnly = isReadOnly;
  }

  async reread(photos) {
    await this.grid.current?.props.source.reread(photos);
    this.onChange([], {});
  }

  async apply(verdict, change, words) {
    if (this.isReadOnly()) return say(READ_ONLY, true);
    let photos;
    try {
      photos = await this.grid.current.chosen();
      await this.decide(photos, verdict, change, words);
    } catch (error) {
      await this.failed(error, photos);
    }
  }

  async failed(error, photos) {
    if (!photos || error.status !== 404) return complain(error);
    await this.reread(photos).catch(complain);
    say("A chosen photo has been removed from the workspace, so nothing was stored. Decide again about the others.", true);
  }

  relabel(label, isNew = false) {
    return this.apply({ verdict: `relabel=${label}`, new_label: isNew }, { labels: [label] }, `labelled ${label}`);
  }

  // Mark photos as off-topic, or take the mark from them if all have it.
  async mark() {
    if (this.isReadOnly()) return say(READ_ONLY, true);
    let photos;
    try {
      photos = await this.grid.current.chosen();
      const areMarked = photos.length > 0 && photos.every((photo) => photo.mark === "off-topic");
      if (areMarked) await this.decide(photos, { clear: ["off-topic"] }, { mark: null }, "not off-topic any more");
      else await this.decide(photos, { verdict: "off-topic" }, { mark: "off-topic" }, "marked off-topic");
    } catch (error) {
      await this.failed(error, photos);
    }
  }

  // Decide by a key; false for another key. The digits stand for `labels`.
  pressed(key, labels) {
    if (key === "x") this.mark();
    else if (key === "u") this.undo().catch(complain);
    else if (/^[1-9]$/.test(key) && labels[key - 1] !== undefined) this.relabel(labels[key - 1]);
    else return false;
    return true;
  }
}

export const READ_ONLY = "The server was started with --read-only.";

// The labels of the digits: the most frequent ones, in order of name.
export const quickLabels = (counts) => Object.entries(counts)
  .sort(([, one], [, other]) => other - one).slice(0, 9).map(([label]) => label).sort();

// Labels that a person types in full come first, then those that begin with the letters.
function rank(label, wanted) {
  const text = label.toLowerCase();
  return text === wanted ? 0 : text.startsWith(wanted) ? 1 : 2;
}

// Choose a label by some of its letters, or a new one.
export class LabelChooser extends Component {
  state = { text: "" };

  render({ labels, onChoose, onClose }, { text }) {
    const wanted = text.trim().toLowerCase();
    const found = labels.filter((label) => label.toLowerCase().includes(wanted))
      .sort((one, other) => rank(one, wanted) - rank(other, wanted)).slice(0, 12);
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
