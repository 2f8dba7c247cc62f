// The search page: by an upload, by words, or by a photo of the workspace.

import { Component, createRef, Help, Viewer, announce, complain, counted, html, isTyping, refocus, start } from "./ui.js";
import { Grid } from "./grid.js";
import { Choose, choose, takeFiles } from "./intake.js";
import { Pair } from "./pair.js";
import { ApiError, address, get, post } from "./api.js";

const VERIFIED = 20; // matches that are compared with the query
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
  columns = createRef();
  state = {
    server: null, labels: [], asked: null, words: "", results: [], label: "", folder: "", backbones: null,
    photo: null, problem: null, isComparing: false,
  };

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
    else {
      this.number = (this.number ?? 0) + 1; // leave the search that runs
      this.answered = null;
      this.setState({ asked: null, words: "", results: [], photo: null, problem: null }, () => refocus(".drop"));
    }
  }

  // Search for a photo of the workspace or for words, and remember it in the address.
  go(asked) {
    history.pushState(null, "", `/search?${new URLSearchParams(asked)}`);
    this.ask(asked);
  }

  take = ([file]) => {
    history.pushState(null, "", "/search");
    this.ask({ file, url: URL.createObjectURL(file) });
  };

  // The backbones that can answer a query.
  able(asked) {
    const { backbones, text_backbones } = this.state.server;
    return asked.text && text_backbones.length ? text_backbones : backbones;
  }

  // Those of them that a person chose; at first, one.
  chosen(asked, wanted = this.state.backbones) {
    const able = this.able(asked);
    const chosen = able.filter((name) => wanted?.includes(name));
    return chosen.length ? chosen : [able[0] ?? null];
  }

  // Ask every chosen backbone, one after the other.
  async ask(asked, change = {}) {
    const number = (this.number ?? 0) + 1;
    this.number = number;
    const { label, folder, backbones } = { ...this.state, ...change };
    const isNew = asked !== this.state.asked;
    const results = this.chosen(asked, backbones).map((backbone) => ({ backbone }));
    const words = asked.text ?? (isNew ? "" : this.state.words);
    this.setState({ ...change, asked, words, photo: null, problem: null, results: [...results] }, () => {
      if (isNew && navigator.userActivation?.hasBeenActive) this.columns.current.focus();
    });
    for (const [place, { backbone }] of results.entries()) {
      try {
        const found = await post("/search", this.request(asked, { backbone, label, folder, k: 60 }));
        results[place] = { ...found, source: new MatchSource(found.matches) };
      } catch (error) {
        if (!(error instanceof ApiError) || error.status === 401) return complain(error);
        results[place] = { backbone, problem: error.message };
      }
      if (number !== this.number) return;
      this.setState({ results: [...results] }, this.enter);
    }
    const isAnswered = results.some((one) => one.matches);
    if (isNew && !isAnswered && this.answered) return this.restore(results[0].problem);
    if (isAnswered) this.remember(asked, results);
    const found = results.filter((one) => one.matches); // a problem is an alert
    announce(found.map((one) => (results.length > 1 ? `${one.backbone}: ${foundOf(one)}` : foundOf(one))).join(", "));
  }

  // Move the focus from the list of results into the first grid.
  enter = () => {
    if (document.activeElement === this.columns.current) this.grid.current?.goTo(0);
  };

  remember(asked, results) {
    const before = this.answered?.asked.url;
    if (before && before !== asked.url) URL.revokeObjectURL(before);
    this.answered = { asked, results, address: location.pathname + location.search };
  }

  // Return to the last query that was answered: an upload cannot be repeated from the address.
  restore(problem) {
    const { asked, results, address: last } = this.answered;
    history.replaceState(null, "", last);
    if (this.state.asked.url && this.state.asked.url !== asked.url) URL.revokeObjectURL(this.state.asked.url);
    this.setState({ asked, results, problem }, this.enter);
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
  async verify(place) {
    const { asked, label, folder, results } = this.state;
    const { backbone, matches } = results[place];
    if (!matches || this.state.isVerifying) return;
    const number = this.number;
    this.setState({ isVerifying: true, problem: null });
    announce("Verifying…");
    try {
      const found = await post("/search", this.request(asked, { backbone, label, folder, k: 60, verify: VERIFIED }));
      if (number === this.number) {
        const changed = [...this.state.results];
        changed[place] = { ...found, source: new MatchSource(found.matches), isVerified: true };
        this.remember(asked, changed);
        this.setState({ results: changed }, () => {
          refocus(".columns");
          this.enter();
        });
        const same = found.matches.filter((one) => one.verified).length;
        announce(`${counted(same, "match shows", "matches show")} the same object`);
      }
    } catch (error) {
      if (!(error instanceof ApiError) || error.status === 401) complain(error);
      else if (number === this.number) this.setState({ problem: error.message });
    }
    this.setState({ isVerifying: false });
  }

  pressed = (event) => {
    const { photo, asked, results, dialog } = this.state;
    if (isTyping(event) || dialog) return;
    if (document.activeElement === document.body) this.grid.current?.pressed(event);
    if (event.defaultPrevented) return;
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

  render(_, { server, labels, asked, words, results, label, folder, photo, problem, dialog }) {
    if (!server) return html`<p class="notice">Loading…</p>`;
    const chooser = html`<${Choose} words="Choose a photo" onTake=${this.take} />`;
    const isTextual = server.text_backbones.length > 0;
    const wording = isTextual && html`<form onSubmit=${(event) => {
      event.preventDefault();
      if (words.trim()) this.go({ text: words.trim() });
    }}><input class="field find" id="text" name="text" type="search" aria-label="Words" placeholder="Words"
      value=${words} onInput=${(event) => this.setState({ words: event.target.value })} /></form>`;
    const close = () => this.setState({ dialog: null });
    const dialogs = html`
      ${dialog === "help" && html`<${Help} keys=${KEYS.filter(([key]) => isTextual || key !== "/")} onClose=${close} />`}
      ${dialog === "pair" && photo && html`<${Pair} asked=${asked} match=${photo} onClose=${close} />`}
      ${dialog === "large" && photo && html`<${Viewer} photo=${photo} onClose=${close} onMove=${() => {}} />`}`;
    if (!asked) return html`<div class="drop" tabindex="-1"><h2 class="title">Find photos like this one</h2>
      <p>Drop a photo here, paste one, or choose one. It is not stored.</p>
      <p>${chooser}</p>${wording}${dialogs}</div>`;
    const able = this.able(asked);
    const chosen = this.chosen(asked);
    return html`<section class="stage" aria-label="Search">
      <div class="query">
        ${!asked.text && html`<img class="asked" alt="The query" src=${asked.url ?? `/api/v1/photos/${asked.sha256}/picture?side=256`} />`}
        <div class="fields">
          ${chooser}${wording}
          <select class="field" aria-label="Label" value=${label} onChange=${(event) => this.ask(asked, { label: event.target.value })}>
            <option value="">all labels</option>
            ${labels.map((name) => html`<option value=${name}>${name}</option>`)}
          </select>
          <form onSubmit=${(event) => { event.preventDefault(); this.ask(asked, { folder: event.target.elements.folder.value.trim() }); }}>
            <input class="field find" name="folder" aria-label="Folder" placeholder="Folder" defaultValue=${folder} /></form>
          ${able.length > 1 && html`<select class="field" aria-label="Backbones" value=${chosen.length > 1 ? "" : chosen[0]}
            onChange=${(event) => this.ask(asked, { backbones: event.target.value ? [event.target.value] : server.backbones })}>
            ${able.map((name) => html`<option value=${name}>${name}</option>`)}
            <option value="">side by side</option>
          </select>`}
        </div>
        ${problem && html`<p class="bad" role="alert">${problem}</p>`}
      </div>
      <div class="columns" tabindex="-1" role="group" aria-label="Results" ref=${this.columns}>
        ${results.map((result, place) => this.renderResult(result, place))}
      </div>${dialogs}</section>`;
  }

  renderResult(result, place) {
    const { asked, results, isComparing, isVerifying } = this.state;
    const found = result.problem ? "No result" : result.matches ? foundOf(result) : "Searching…";
    return html`<section class="stage" aria-label=${result.backbone} key=${result.backbone}>
      <div class="summary"><strong>${results.length > 1 ? result.backbone : found}</strong>
        ${results.length > 1 && !result.matches && html`<span>${found}</span>`}
        ${!asked.text && html`<button class="button" aria-pressed=${isComparing} title="A click on a match compares it with the query"
          onClick=${() => this.setState({ isComparing: !isComparing })}>Compare by click</button>`}
        ${!asked.text && !result.isVerified && html`<button class="button" disabled=${!result.matches}
          onClick=${() => this.verify(place)}>${isVerifying ? "Verifying…" : "Verify"}</button>`}
      </div>
      ${result.problem && html`<div class="empty"><p class="bad" role="alert">${result.problem}</p></div>`}
      ${result.matches && html`<${Grid} ref=${place === 0 ? this.grid : null} source=${result.source} cellSize=${172}
        label=${`Matches of ${result.backbone}`} tagOf=${tagOf} onError=${complain}
        onActive=${(_at, one) => this.state.results.includes(result) && this.setState({ photo: one })}
        onClick=${this.clicked}
        onOpen=${() => this.setState({ dialog: "large" })} />`}
    </section>`;
  }
}

const foundOf = (result) => counted(result.matches.length, "match", "matches");

const tagOf = (match) =>
  `${match.distance.toFixed(3)}${match.verified ? ", same" : ""}${match.label ? ` · ${match.label}` : ""}`;

start(html`<${Search} />`);
