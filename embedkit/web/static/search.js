// The search page: by an upload, by words, or by a photo of the workspace.

import { Component, createRef, Help, Viewer, complain, counted, html, isTyping, nameOf, start } from "./ui.js";
import { Grid } from "./grid.js";
import { Choose, choose, takeFiles } from "./intake.js";
import { Pair } from "./pair.js";
import { address, get, post } from "./api.js";

const KEYS = [
  ["← ↑ → ↓", "Move"],
  ["s", "Search from the photo"],
  ["Enter", "Enlarge"],
  ["c", "Compare with the query: overlay, slider, difference"],
  ["v", "Compare the first matches point by point, and rank them again"],
  ["/", "Search for words"],
  ["o", "Choose a photo"],
  ["Ctrl+v", "Paste a photo"],
  ["?", "These keys"],
];

// The matches of a search, as the grid needs them.
class MatchSource {
  columns = 1;
  sections = [];

  constructor(matches) {
    this.matches = matches.map((match) => ({ ...match, labels: match.label ? [match.label] : [] }));
    this.count = matches.length;
    this.loaded = new Map();
  }

  photo(index) {
    return this.matches[index];
  }

  picture(index) {
    const image = this.loaded.get(index);
    return image?.isLoaded ? { url: image.src } : null;
  }

  load(first, last, onLoad) {
    for (let index = first; index <= last; index += 1) {
      if (this.loaded.has(index)) continue;
      const image = new Image();
      this.loaded.set(index, image);
      image.src = address(`/photos/${this.matches[index].sha256}/picture?side=256`);
      image.decode().then(() => { image.isLoaded = true; onLoad(); }, () => {});
    }
  }
}

class Search extends Component {
  grid = createRef();
  state = { server: null, labels: [], asked: null, results: [], label: "", folder: "", photo: null, isSearching: false, isComparing: false };

  async componentDidMount() {
    document.addEventListener("keydown", this.pressed);
    takeFiles(this.take);
    addEventListener("popstate", () => this.fromAddress());
    try {
      const server = await get("/server");
      this.setState({ server }, () => this.fromAddress());
      if (!server.is_empty) this.setState({ labels: Object.keys(await get("/labels")) });
    } catch (error) {
      complain(error);
    }
  }

  fromAddress() {
    const wanted = new URLSearchParams(location.search);
    if (wanted.get("sha256")) this.ask({ sha256: wanted.get("sha256") });
    else if (wanted.get("text")) this.ask({ text: wanted.get("text") });
    else this.setState({ asked: null, results: [] });
  }

  // Search for a photo of the workspace or for words, and remember it in the address.
  go(asked) {
    history.pushState(null, "", `/search?${new URLSearchParams(asked)}`);
    this.ask(asked);
  }

  take = ([file]) => {
    if (this.state.asked?.url) URL.revokeObjectURL(this.state.asked.url);
    history.pushState(null, "", "/search");
    this.ask({ file, url: URL.createObjectURL(file) });
  };

  // Ask every chosen backbone, one after the other.
  async ask(asked, change = {}) {
    const number = (this.number ?? 0) + 1;
    this.number = number;
    const { label, folder, backbones } = { ...this.state, ...change };
    this.setState({ ...change, asked, isSearching: true, photo: null });
    const results = [];
    try {
      for (const backbone of backbones ?? [this.state.server.backbones[0] ?? null]) {
        const found = await post("/search", this.request(asked, { backbone, label, folder, k: 60 }));
        if (number !== this.number) return;
        results.push({ ...found, source: new MatchSource(found.matches) });
        this.setState({ results: [...results] });
      }
    } catch (error) {
      if (number === this.number) complain(error);
    }
    if (number === this.number) this.setState({ isSearching: false, results });
  }

  request(asked, { backbone, label, folder, k, verify = 0 }) {
    const fields = { k, verify, ...(backbone && { backbone }), ...(label && { label }), ...(folder && { folder }) };
    if (!asked.file) return { ...fields, ...(asked.sha256 ? { sha256: asked.sha256 } : { text: asked.text }) };
    const form = new FormData();
    form.append("image", asked.file, "query");
    for (const [name, value] of Object.entries(fields)) form.append(name, value);
    return form;
  }

  // Compare the first matches with the query point by point.
  async verify(number) {
    const { asked, results, label, folder } = this.state;
    this.setState({ isSearching: true });
    try {
      const { backbone } = results[number];
      const found = await post("/search", this.request(asked, { backbone, label, folder, k: 60, verify: 20 }));
      const changed = [...results];
      changed[number] = { ...found, source: new MatchSource(found.matches), isVerified: true };
      this.setState({ results: changed });
    } catch (error) {
      complain(error);
    }
    this.setState({ isSearching: false });
  }

  pressed = (event) => {
    const { photo, asked, results, dialog } = this.state;
    if (isTyping(event) || dialog) return;
    if (event.key === "?") this.setState({ dialog: "help" });
    else if (event.key === "/") document.getElementById("text")?.focus();
    else if (event.key === "o") choose();
    else if (event.key === "s" && photo) this.go({ sha256: photo.sha256 });
    else if (event.key === "c" && photo && !asked.text) this.setState({ dialog: "pair" });
    else if (event.key === "v" && results.length && !asked.text) this.verify(0);
    else return;
    event.preventDefault();
  };

  // A click searches from a match, or compares it with the query.
  clicked = (_at, photo) => {
    if (this.state.isComparing && !this.state.asked.text) this.setState({ photo, dialog: "pair" });
    else this.go({ sha256: photo.sha256 });
  };

  render(_, { server, labels, asked, results, label, folder, photo, isSearching, isComparing, dialog }) {
    if (!server) return html`<p class="notice">Loading…</p>`;
    const chooser = html`<${Choose} words="Choose a photo" onTake=${this.take} />`;
    const words = html`<form onSubmit=${(event) => {
      event.preventDefault();
      const text = event.target.elements.text.value.trim();
      if (text) this.go({ text });
    }}><input class="field find" id="text" name="text" type="search" aria-label="Words"
      placeholder="Words, if the backbone embeds text" key=${asked?.text} defaultValue=${asked?.text ?? ""} /></form>`;
    const close = () => this.setState({ dialog: null });
    const dialogs = html`
      ${dialog === "help" && html`<${Help} keys=${KEYS} onClose=${close} />`}
      ${dialog === "pair" && photo && html`<${Pair} asked=${asked} match=${photo} onClose=${close} />`}
      ${dialog === "large" && photo && html`<${Viewer} photo=${photo} onClose=${close} onMove=${() => {}} />`}`;
    if (!asked) return html`<div class="drop"><h2 class="title">Find photos like this one</h2>
      <p>Drop a photo here, paste one, or choose one. It is not stored.</p>
      <p>${chooser}</p>${words}${dialogs}</div>`;
    return html`<section class="stage" aria-label="Search">
      <div class="query">
        ${!asked.text && html`<img class="asked" alt="The query" src=${asked.url ?? `/api/v1/photos/${asked.sha256}/picture?side=256`} />`}
        <div class="fields">
          ${chooser}${words}
          <select class="field" aria-label="Label" value=${label} onChange=${(event) => this.ask(asked, { label: event.target.value })}>
            <option value="">all labels</option>
            ${labels.map((name) => html`<option value=${name}>${name}</option>`)}
          </select>
          <form onSubmit=${(event) => { event.preventDefault(); this.ask(asked, { folder: event.target.elements.folder.value.trim() }); }}>
            <input class="field find" name="folder" aria-label="Folder" placeholder="Folder" defaultValue=${folder} /></form>
          ${server.backbones.length > 1 && html`<select class="field" aria-label="Backbones"
            onChange=${(event) => this.ask(asked, { backbones: event.target.value ? [event.target.value] : server.backbones })}>
            ${server.backbones.map((name) => html`<option value=${name}>${name}</option>`)}
            <option value="">side by side</option>
          </select>`}
        </div>
      </div>
      ${isSearching && html`<p class="summary" role="status">Searching…</p>`}
      <div class="columns">
        ${results.map((result, number) => html`<section class="stage" aria-label=${result.backbone} key=${result.backbone}>
          <div class="summary"><strong>${results.length > 1 ? result.backbone : counted(result.matches.length, "match", "matches")}</strong>
            ${!asked.text && html`<button class="button" aria-pressed=${isComparing} title="A click on a match compares it with the query"
              onClick=${() => this.setState({ isComparing: !isComparing })}>Compare by click</button>`}
            ${!asked.text && !result.isVerified && html`<button class="button" onClick=${() => this.verify(number)}>Verify</button>`}
          </div>
          <${Grid} ref=${number === 0 ? this.grid : null} source=${result.source} cellSize=${172} label=${`Matches of ${result.backbone}`}
            tagOf=${tagOf} onError=${complain}
            onActive=${(_at, one) => this.setState({ photo: one })}
            onClick=${this.clicked}
            onOpen=${() => this.setState({ dialog: "large" })} />
        </section>`)}
      </div>${dialogs}</section>`;
  }
}

const tagOf = (match) =>
  `${match.distance.toFixed(3)}${match.verified ? ", same" : ""}${match.label ? ` · ${match.label}` : ""}`;

start(html`<${Search} />`);
