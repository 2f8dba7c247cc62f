// A grid of photos with decisions by key: labels, off-topic, undo.

import { Component, createRef, Viewer, complain, counted, html, isFocusLost, isTyping, say } from "./ui.js";
import { Grid } from "./grid.js";
import { GridDecisions, LabelChooser, READ_ONLY, quickLabels } from "./decisions.js";

export const SHEET_KEYS = [
  ["← ↑ → ↓", "Move"],
  ["Space", "Select; with Shift and arrows, a range"],
  ["Enter", "Enlarge"],
  ["1 … 9", "Give the photo, or the selected ones, a label"],
  ["l", "Choose a label by name"],
  ["x", "Mark as off-topic"],
  ["u", "Undo the last decision"],
  ["Esc", "Clear the selection"],
];

// Properties: source, title (name of the list), counts (photos of each label), isReadOnly, tagOf(photo, index),
// isPaused (another dialog is open), children (in the line above the grid).
export class Sheet extends Component {
  grid = createRef();
  state = { photo: null, index: 0, selected: 0, dialog: null };

  decisions = new GridDecisions({
    grid: this.grid,
    isReadOnly: () => this.props.isReadOnly,
    onChange: (photos, change) => {
      for (const photo of photos) Object.assign(photo, change);
      this.grid.current?.forceUpdate();
    },
  });

  componentDidMount() {
    document.addEventListener("keydown", this.pressed);
    if (isFocusLost()) this.grid.current?.goTo(0);
  }

  componentWillUnmount() { document.removeEventListener("keydown", this.pressed); }

  componentDidUpdate(before) {
    if (before.source !== this.props.source) this.setState({ photo: null, index: 0, selected: 0 });
  }

  choose = () => {
    if (this.props.isReadOnly) say(READ_ONLY, true);
    else this.setState({ dialog: "label" });
  };

  pressed = (event) => {
    if (isTyping(event) || this.state.dialog || this.props.isPaused) return;
    if (event.key === "l") this.choose();
    else if (!this.decisions.pressed(event.key, quickLabels(this.props.counts))) return;
    event.preventDefault();
  };

  render({ source, title, counts, tagOf, children }, { photo, index, selected, dialog }) {
    const close = () => this.setState({ dialog: null });
    const many = selected > 0 ? ` (${selected.toLocaleString("en")})` : "";
    return html`<section class="stage" aria-label=${title}>
      <div class="summary">
        <span><strong>${counted(source.count, "photo")}</strong>${selected > 0 && html` · ${selected} selected`}</span>
        ${children}
        <span class="together">
          ${selected === 0 ? html`<button class="button" disabled=${!photo} onClick=${() => this.grid.current.toggle(index)}>Select <kbd>Space</kbd></button>`
            : html`<button class="button" onClick=${() => this.grid.current.select([])}>Clear <kbd>Esc</kbd></button>`}
          <button class="button" onClick=${this.choose}>Relabel${many} <kbd>l</kbd></button>
          <button class="button" onClick=${() => this.decisions.pressed("x", [])}>Off-topic${many} <kbd>x</kbd></button>
          <button class="button" onClick=${() => this.decisions.pressed("u", [])}>Undo <kbd>u</kbd></button>
        </span>
      </div>
      ${source.count
        ? html`<${Grid} ref=${this.grid} source=${source} cellSize=${132} label=${title} tagOf=${tagOf} onError=${complain}
            onActive=${(at, one) => this.setState({ index: at, photo: one })}
            onSelect=${(selection) => this.setState({ selected: selection.size })}
            onOpen=${() => this.setState({ dialog: "large" })} />`
        : html`<div class="empty"><h2 class="title">No photo here</h2></div>`}
      ${dialog === "large" && photo && html`<${Viewer} photo=${photo} onClose=${() => this.setState({ dialog: null }, () => this.grid.current?.goTo(index))}
        onMove=${(step) => this.grid.current.goTo(index + step, false)} />`}
      ${dialog === "label" && html`<${LabelChooser} labels=${Object.keys(counts)} onClose=${close}
        onChoose=${(name, isNew) => { close(); this.decisions.relabel(name, isNew); }} />`}
    </section>`;
  }
}
