// The page with all photos: labels to filter by, the grid, and the details of one photo.

import { Component, createRef, Dialog, Help, Viewer, complain, counted, html, isTyping, nameOf, say, start } from "./ui.js";
import { Grid, ListSource } from "./grid.js";
import { GridDecisions, LabelChooser, quickLabels } from "./decisions.js";
import { get, post } from "./api.js";

const MOST_SELECTED = 20_000; // verdicts in one request
const KEYS = [
  ["← ↑ → ↓", "Move"],
  ["Home End PageUp PageDown", "Move far"],
  ["Space", "Select; with Shift and arrows, a range"],
  ["Enter", "Enlarge"],
  ["i", "Details of the photo"],
  ["a", "Select all photos of the list"],
  ["s", "Search for similar photos"],
  ["c", "Classify the photo"],
  ["1 … 9", "Give the photo, or the selected ones, a label"],
  ["l", "Choose a label by name"],
  ["x", "Mark as off-topic, or remove the mark"],
  ["u", "Undo the last decision"],
  ["Esc", "Clear the selection"],
  ["/", "Filter by folder"],
  ["?", "These keys"],
];

class Photos extends Component {
  grid = createRef();
  state = { server: null, labels: {}, source: null, order: "added", label: null, folder: "", photo: null, index: 0, selected: 0,
    given: new URLSearchParams(location.search).get("list") };

  async componentDidMount() {
    document.addEventListener("keydown", this.pressed);
    try {
      const [server] = await Promise.all([get("/server"), this.list({})]);
      this.setState({ server });
      if (!server.is_empty) this.setState({ labels: await get("/labels") });
    } catch (error) {
      complain(error);
    }
  }

  async list(change) {
    const number = (this.number ?? 0) + 1;
    this.number = number;
    const { order, label, folder, given } = { ...this.state, ...change };
    this.setState(change);
    const list = given ? await this.given(given) : await post("/lists", { order, label, folder: folder || null });
    if (number !== this.number) return undefined; // another was asked for meanwhile
    if (!list) return this.list({ given: null });
    if (!given && label === null && !folder) this.setState({ all: list.count });
    return this.setState({ source: new ListSource(list), photo: null, index: 0, selected: 0 });
  }

  // The list in the address, such as a selection on the map; null if the server has it no more.
  async given(key) {
    try {
      return await get(`/lists/${encodeURIComponent(key)}/summary`);
    } catch (error) {
      complain(error);
      return null;
    }
  }

  show = (change) => {
    if (this.state.given) history.replaceState(null, "", "/");
    this.list({ given: null, ...change }).catch(complain);
  };

  selectAll() {
    const { count } = this.state.source;
    if (count > MOST_SELECTED) say(`Select at most ${MOST_SELECTED.toLocaleString("en")} photos at once.`, true);
    else this.grid.current?.select(Array.from({ length: count }, (_, index) => index));
  }

  decisions = new GridDecisions({
    grid: this.grid,
    isReadOnly: () => this.state.server.read_only,
    onChange: (photos, change) => {
      for (const photo of photos) Object.assign(photo, change);
      this.forceUpdate();
      this.grid.current?.forceUpdate();
    },
    onStored: async () => this.setState({ labels: await get("/labels") }),
  });

  search(photo) {
    if (photo) location.href = `/search?sha256=${photo.sha256}`;
  }

  pressed = (event) => {
    if (isTyping(event) || !this.state.server) return;
    const { photo, dialog } = this.state;
    if (dialog) return;
    if (document.activeElement === document.body) this.grid.current?.pressed(event);
    if (event.defaultPrevented || event.repeat) return;
    if (event.key === "?") this.setState({ dialog: "help" });
    else if (event.key === "/") document.getElementById("folder")?.focus();
    else if (event.key === "a") this.selectAll();
    else if (event.key === "i" && photo) this.setState({ dialog: "details" });
    else if (event.key === "s") this.search(photo);
    else if (event.key === "l") this.setState({ dialog: "label" });
    else if (event.key === "c" && photo) location.href = `/classify?sha256=${photo.sha256}`;
    else if (!this.decisions.pressed(event.key, quickLabels(this.state.labels))) return;
    event.preventDefault();
  };

  render(_, { all, labels: counts, source, order, label, folder, given, photo, index, selected, dialog }) {
    if (all === 0) return html`<div class="empty">
      <h2 class="title">No photos yet</h2><p>Add a folder of photos on the overview, or in a terminal:</p>
      <p><code>embedkit add photos</code></p><a class="button" href="/overview">Overview</a></div>`;
    if (!source) return html`<p class="notice">Loading…</p>`;
    const labels = Object.entries(counts);
    const quick = quickLabels(counts);
    const close = () => this.setState({ dialog: null });
    return html`
      ${labels.length > 0 && html`<nav class="rail" aria-label="Labels"><h2>Labels</h2>
        <button aria-pressed=${label === null && !given} onClick=${() => this.show({ label: null })}>
          <span class="name">All photos</span><span class="count">${all?.toLocaleString("en")}</span></button>
        ${labels.map(([name, count]) => html`
          <button aria-pressed=${label === name} onClick=${() => this.show({ label: name })}>
            ${quick.includes(name) ? html`<kbd aria-hidden="true">${quick.indexOf(name) + 1}</kbd>` : html`<span class="no-key"></span>`}
            <span class="name">${name}</span><span class="count">${count.toLocaleString("en")}</span></button>`)}
      </nav>`}
      <section class="stage" aria-label="Photos">
        <div class="summary">
          <span><strong>${counted(source.count, "photo")}</strong>${selected > 0 && html` · ${selected.toLocaleString("en")} selected`}</span>
          ${given && html`<span>chosen on the map</span><button class="button" onClick=${() => this.show({})}>All photos</button>`}
          ${labels.length > 0 && html`<select class="field narrow" aria-label="Label" value=${label ?? ""}
            onChange=${(event) => this.show({ label: event.target.value || null })}>
            <option value="">all labels</option>${labels.map(([name]) => html`<option value=${name}>${name}</option>`)}
          </select>`}
          ${!given && html`<select class="field" aria-label="Order" value=${order} onChange=${(event) => this.show({ order: event.target.value })}>
            <option value="added">as added</option><option value="label">by label</option><option value="path">by path</option>
          </select>`}
          <form onSubmit=${(event) => { event.preventDefault(); this.show({ folder: event.target.elements.folder.value.trim() }); }}>
            <input class="field find" id="folder" name="folder" aria-label="Folder" placeholder="Folder" defaultValue=${folder} />
          </form>
          ${source.sections.length > 1 && html`<select class="field" aria-label="Go to label" value=""
            onChange=${(event) => { this.grid.current.goTo(Number(event.target.value)); event.target.value = ""; }}>
            <option value="">Go to label…</option>
            ${source.sections.map((one) => html`<option value=${one.first}>${one.label ?? "without a label"}</option>`)}
          </select>`}
          <span class="actions" role="group" aria-label="Select">
            ${selected === 0 ? html`<button class="button" disabled=${!photo} onClick=${() => this.grid.current.toggle(index)}>Select <kbd>Space</kbd></button>`
              : html`<button class="button" onClick=${() => this.selectAll()}>All <kbd>a</kbd></button>
                <button class="button" onClick=${() => this.grid.current.select([])}>Clear <kbd>Esc</kbd></button>`}
            <button class="button if-no-inspector" disabled=${!photo} onClick=${() => this.setState({ dialog: "details" })}>Details <kbd>i</kbd></button>
          </span>
          <span class="actions" role="group" aria-label="Decide">
            <button class="button" disabled=${!photo && !selected} onClick=${() => this.setState({ dialog: "label" })}>Label <kbd aria-hidden="true">l</kbd></button>
            <button class="button" disabled=${!photo && !selected} onClick=${() => this.decisions.mark()}>Off-topic <kbd aria-hidden="true">x</kbd></button>
            <button class="button" onClick=${() => this.decisions.undo().catch(complain)}>Undo <kbd aria-hidden="true">u</kbd></button>
            <button class="button icon" aria-label="Keys" onClick=${() => this.setState({ dialog: "help" })}>?</button>
          </span>
        </div>
        ${source.count ? html`<${Grid} ref=${this.grid} source=${source} cellSize=${132} label="Photos"
          tagOf=${(one) => one.mark} onError=${complain}
          onActive=${(at, one) => this.setState({ index: at, photo: one })}
          onSelect=${(selection) => this.setState({ selected: selection.size })}
          onOpen=${() => this.setState({ dialog: "large" })} />`
        : html`<div class="empty"><h2 class="title">No photo here</h2><p>Choose another label or folder.</p></div>`}
      </section>
      ${photo && html`<aside class="inspector" aria-label="The photo">${this.renderDetails()}</aside>`}
      ${dialog === "details" && photo && html`<${Dialog} className="details" title="The photo" onClose=${close}>
        ${this.renderDetails()}<button class="button" onClick=${close}>Close</button><//>`}
      ${dialog === "help" && html`<${Help} keys=${KEYS} onClose=${close} />`}
      ${dialog === "large" && photo && html`<${Viewer} photo=${photo} onClose=${() => this.setState({ dialog: null }, () => this.grid.current?.goTo(index))}
        onMove=${(step) => this.grid.current.goTo(index + step, false)} />`}
      ${dialog === "label" && html`<${LabelChooser} labels=${Object.keys(counts)} onClose=${close}
        onChoose=${(name, isNew) => { close(); this.decisions.relabel(name, isNew); }} />`}`;
  }

  renderDetails() {
    const { photo, index, source } = this.state;
    return html`<img class="large" src=${`/api/v1/photos/${photo.sha256}/picture?side=256`} alt=${nameOf(photo.path)} />
      <h2>${nameOf(photo.path)}</h2>
      <div class="actions"><button class="button primary" onClick=${() => this.search(photo)}>Find similar</button>
        <a class="button" href=${`/classify?sha256=${photo.sha256}`}>Classify</a>
        <button class="button" onClick=${() => this.setState({ dialog: "large" })}>Enlarge</button></div>
      <dl>
        <dt>Labels</dt><dd>${photo.labels.length ? photo.labels.join(", ") : "none"}</dd>
        ${photo.caption && html`<dt>Caption</dt><dd class="caption">${photo.caption}</dd>`}
        ${photo.mark && html`<dt>Marked</dt><dd>${photo.mark}</dd>`}
        ${photo.width > 0 && html`<dt>Size</dt><dd>${photo.width} × ${photo.height}</dd>`}
        ${photo.files > 1 && html`<dt>Files</dt><dd>${photo.files} with the same bytes</dd>`}
        <dt>Position</dt><dd>${(index + 1).toLocaleString("en")} of ${source.count.toLocaleString("en")}</dd>
        <dt>Path</dt><dd>${photo.path}</dd>
      </dl>`;
  }
}

start(html`<${Photos} />`);
