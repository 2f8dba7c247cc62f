// The review page: choose what to look for, decide about each suspect, or look at a class, odd photos first.

import { Component, Dialog, Help, announce, complain, counted, html, isTyping, nameOf, refocus, say, start } from "./ui.js";
import { ListSource } from "./grid.js";
import { Decisions, LabelChooser, READ_ONLY, quickLabels } from "./decisions.js";
import { RunProgress } from "./runs.js";
import { SHEET_KEYS, Sheet } from "./sheet.js";
import { address, get, post } from "./api.js";

const KINDS = [
  { what: "labels", name: "Wrong labels", text: "Photos that look like another class than their label says." },
  { what: "off-topic", name: "Off-topic", text: "Photos that do not belong to the collection." },
  { what: "quality", name: "Poor quality", text: "Blurred, dark, over-exposed, blank, tiny and similar photos." },
];
const NEAREST = 6;
const ALSO_MOVE = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 };
const RELABEL = "relabel";
const ASK_REASON = "your verdict on this photo improves the list most";

const picture = (sha256, side) => address(`/photos/${sha256}/picture${side ? `?side=${side}` : ""}`);
const ofLabel = (verdict) => /^(right|relabel=|both|unsure)/.test(verdict);

class Review extends Component {
  state = {
    server: null, counts: {}, runs: [], what: null, k: "", topic: "", run: null, result: null,
    items: [], current: 0, sheet: null, source: null, dialog: null, beside: null,
  };

  async componentDidMount() {
    document.addEventListener("keydown", this.pressed);
    addEventListener("popstate", () => this.fromAddress().catch(complain));
    try {
      const server = await get("/server");
      this.setState({ server });
      if (server.is_empty) return;
      const counts = await get("/labels");
      this.setState({ counts, isUnlabelled: Object.keys(counts).length < 2 });
      await this.fromAddress();
    } catch (error) {
      complain(error);
    }
  }

  async fromAddress() {
    const wanted = new URLSearchParams(location.search);
    const run = Number(wanted.get("run")) || null;
    if (!run) {
      this.setState({ run: null, result: null });
      const runs = (await get("/runs")).filter((one) => one.kind === "review" && one.state === "done");
      this.setState({ runs }); // a person may have started a review meanwhile
      return;
    } else if (run !== this.state.run) {
      await get(`/runs/${run}`);
      this.setState({ run, result: null });
    }
    await this.show(wanted.get("label"));
  }

  // -- the run -----------------------------------------------------------------------------------

  begin = async (request) => {
    if (this.state.server.read_only) return say(READ_ONLY, true);
    try {
      const run = await post("/review", request);
      history.pushState(null, "", `/review?run=${run.id}`);
      this.setState({ run: run.id, result: null, sheet: null, source: null, request });
    } catch (error) {
      complain(error);
    }
  };

  again = () => {
    const { what } = this.state.result;
    this.begin(this.state.request ?? { what });
  };

  finished = async ({ state, error, result }) => {
    if (state !== "done") {
      if (error) say(error, true);
      history.replaceState(null, "", "/review");
      await this.fromAddress().catch(complain);
      return this.setState({}, () => refocus(".begin"));
    }
    const items = result.items.map((item, place) => ({ ...item, verdicts: result.verdicts[place], act: "", verdict: null }));
    const counts = await get("/labels").catch(() => this.state.counts);
    if (result.ask_sha256) {
      const place = items.findIndex((item) => item.sha256 === result.ask_sha256);
      const asked = place >= 0 ? items.splice(place, 1)[0] : await this.asked(result).catch(complain);
      if (asked) items.unshift({ ...asked, isAsked: true });
    }
    await this.sync(items).catch(complain); // before a key can decide about one of them
    this.setState({ result, items, counts, current: Math.max(0, items.findIndex((item) => !item.act)) }, () => refocus(".suspects"));
    await this.show(new URLSearchParams(location.search).get("label"));
  };

  // The photo whose verdict helps most, with its neighbours, if it is not among the suspects.
  async asked({ ask_sha256: sha256, ask, choices }) {
    const { matches } = await post("/search", { sha256, k: NEAREST + 1 });
    const own = matches.find((one) => one.sha256 === sha256);
    return {
      sha256, path: ask, label: own?.label ?? null, suggestion: null, score: 0, scores: {}, reason: ASK_REASON,
      neighbours: matches.filter((one) => one.sha256 !== sha256).slice(0, NEAREST),
      verdicts: Object.fromEntries(choices.map(({ act }) => [act, act])), act: "", verdict: null,
    };
  }

  // Set the decisions of items to the stored verdicts.
  async sync(items) {
    await this.decisions.settled;
    const stored = new Map();
    for (const { sha256, verdict, label } of (await get("/verdicts")).verdicts) {
      const text = verdict === RELABEL ? `${RELABEL}=${label}` : verdict;
      stored.set(sha256, [...(stored.get(sha256) ?? []), text]);
    }
    for (const item of items) {
      Object.assign(item, { act: "", verdict: null });
      for (const verdict of stored.get(item.sha256) ?? []) {
        const act = Object.keys(item.verdicts).find((one) => item.verdicts[one] === verdict);
        if (act) Object.assign(item, { act, verdict });
        else if (verdict.startsWith(RELABEL) && "right" in item.verdicts) Object.assign(item, { act: RELABEL, verdict });
      }
    }
  }

  // -- decisions ---------------------------------------------------------------------------------

  decisions = new Decisions({
    onChange: (items, change) => {
      for (const item of items) Object.assign(item, change);
      this.forceUpdate();
    },
    tell: announce, // the list shows it
  });

  // Decide about the current suspect, and go on; the same decision again takes it back.
  decide(act, verdict, words, new_label = false) {
    if (this.state.server.read_only) return say(READ_ONLY, true);
    const item = this.state.items[this.state.current];
    if (!item || !verdict) return;
    if (item.verdict === verdict) {
      this.decisions.decide([item], { clear: [verdict] }, { act: "", verdict: null }, "open again").catch(complain);
      return;
    }
    const clear = item.verdict && ofLabel(item.verdict) !== ofLabel(verdict) ? [item.verdict] : [];
    this.decisions.decide([item], { verdict, clear, new_label }, { act, verdict }, `decided: ${words}`).catch(complain);
    this.onward();
  }

  choose(act) {
    const item = this.state.items[this.state.current];
    const choice = this.state.result.choices.find((one) => one.act === act);
    this.decide(act, item?.verdicts[act], choice.text);
  }

  relabel(label, isNew = false) {
    const item = this.state.items[this.state.current];
    if (label === item?.label) return this.choose("right");
    if (label === item?.suggestion) return this.choose("suggested");
    this.decide(RELABEL, `${RELABEL}=${label}`, label, isNew);
  }

  undo = async () => {
    try {
      const [item] = await this.decisions.undo();
      if (item) this.goTo(this.state.items.indexOf(item));
    } catch (error) {
      complain(error);
    }
  };

  onward() {
    const { items, current } = this.state;
    const places = [...items.keys()];
    const next = [...places.slice(current), ...places.slice(0, current)].find((place) => !items[place].act);
    if (next !== undefined) this.goTo(next);
  }

  goTo(place) {
    const { items } = this.state;
    if (place < 0 || place >= items.length) return;
    this.setState({ current: place, beside: null }, () => {
      document.querySelector(".suspects [aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
      document.querySelector(".case")?.scrollTo(0, 0);
    });
    for (const item of items.slice(place + 1, place + 3)) new Image().src = picture(item.sha256);
  }

  // -- a class, odd photos first -------------------------------------------------------------------

  // Show the photos of a label; without one, the suspects.
  async show(label) {
    const { result, items, sheet } = this.state;
    if (!result) return;
    if (label === null) {
      if (sheet !== null) {
        await this.sync(items);
        this.setState({ sheet: null, source: null });
      }
      return;
    }
    const list = await post("/lists", { ranking: result.ranking, label });
    if (new URLSearchParams(location.search).get("label") !== label) return; // another was opened meanwhile
    this.setState({ sheet: label, source: new ListSource(list) });
  }

  open(label) {
    history.pushState(null, "", `/review?${new URLSearchParams({ run: this.state.run, ...(label !== null && { label }) })}`);
    this.show(label).catch(complain);
  }

  tagOf = (photo) => {
    if (photo.mark) return photo.mark;
    if (!photo.labels.includes(this.state.sheet)) return photo.labels.join(", ");
    this.suggestions ??= new Map();
    if (this.suggestions.of !== this.state.result) {
      this.suggestions = new Map(this.state.result.items.map((item) => [item.sha256, item.suggestion]));
      this.suggestions.of = this.state.result;
    }
    const suggestion = this.suggestions.get(photo.sha256);
    return suggestion ? `${suggestion}?` : null;
  };

  // -- keys --------------------------------------------------------------------------------------

  pressed = (event) => {
    const { dialog, result, sheet, counts, current } = this.state;
    if (isTyping(event) || dialog) return;
    const { key } = event;
    const choice = result?.choices.find((one) => one.text[0].toLowerCase() === key);
    const quick = quickLabels(counts);
    if (key === "?") this.setState({ dialog: "help" });
    else if (!result || sheet !== null) return;
    else if (event.repeat && !(key in ALSO_MOVE)) return; // a key that is held down decides once
    else if (key in ALSO_MOVE) this.goTo(current + ALSO_MOVE[key]);
    else if (key === "z" || (key === "Enter" && !event.target.closest("a, button"))) this.setState({ dialog: "large" });
    else if (key === "u") this.undo();
    else if (key === "a" && !this.state.items.some((item) => !item.act)) this.again();
    else if (key === "r" && result.what === "labels") this.setState({ dialog: "label" });
    else if (choice) this.choose(choice.act);
    else if (/^[1-9]$/.test(key) && result.what === "labels" && quick[key - 1] !== undefined) this.relabel(quick[key - 1]);
    else return;
    event.preventDefault();
  };

  keys() {
    const { result, sheet } = this.state;
    if (sheet !== null) return [...SHEET_KEYS, ["?", "These keys"]];
    return [
      ["← ↑ → ↓", "Previous, next suspect"],
      ...(result?.choices ?? []).map((one) => [one.text[0].toLowerCase(), one.meaning]),
      ...(result?.what === "labels" ? [["1 … 9", "The photo has this label"], ["r", "Choose a label by name"]] : []),
      ["z Enter", "Enlarge"],
      ["u", "Undo the last decision"],
      ["a", "Review again, when all are decided"],
      ["?", "These keys"],
    ];
  }

  // -- drawing -----------------------------------------------------------------------------------

  render(_, state) {
    const { server, run, result, dialog, items, current, beside, counts } = state;
    if (!server) return html`<p class="notice">Loading…</p>`;
    if (server.is_empty) return html`<div class="empty"><h2 class="title">No photos yet</h2>
      <p>Add a folder of photos, then reload this page.</p><p><kbd>embedkit add photos</kbd></p></div>`;
    const close = () => this.setState({ dialog: null, beside: null });
    const item = items[current];
    return html`
      ${!run ? this.renderStart() : !result
        ? html`<div class="empty"><h2 class="title">Looking for suspects</h2>
            <${RunProgress} key=${run} id=${run} onDone=${this.finished} onError=${complain} /></div>`
        : this.renderResult()}
      ${dialog === "help" && html`<${Help} keys=${this.keys()} onClose=${close} />`}
      ${dialog === "large" && item && html`<${Dialog} className="viewer" title=${nameOf(item.path)} onClose=${close}>
        <div class="pair">${[item, beside].filter(Boolean).map((one) => html`<figure>
          <img src=${picture(one.sha256)} alt=${nameOf(one.path)} />
          <figcaption>${nameOf(one.path)}${one.label !== null ? `, labelled ${one.label}` : ""}${one.distance !== undefined
            ? `, distance ${one.distance.toFixed(3)}` : ""}</figcaption></figure>`)}</div>
        <button class="button close" onClick=${close}>Close</button><//>`}
      ${dialog === "label" && html`<${LabelChooser} labels=${Object.keys(counts)} onClose=${close}
        onChoose=${(name, isNew) => { close(); this.relabel(name, isNew); }} />`}`;
  }

  renderStart() {
    const { k, topic, runs, isUnlabelled, server } = this.state;
    const what = this.state.what ?? (isUnlabelled ? "off-topic" : "labels");
    const begin = (event) => {
      event.preventDefault();
      this.begin({ what, k: k ? Number(k) : null, text: what === "off-topic" && topic.trim() ? topic.trim() : null });
    };
    return html`<form class="begin" tabindex="-1" aria-label="New review" onSubmit=${begin}>
      <fieldset><legend class="title">Which photos are probably wrong?</legend>
        <div class="kinds">${KINDS.map((kind) => html`<label class="kind">
          <input type="radio" name="what" value=${kind.what} checked=${what === kind.what}
            onChange=${() => this.setState({ what: kind.what })} />
          <strong>${kind.name}</strong><span>${kind.text}</span></label>`)}</div>
      </fieldset>
      ${what === "labels" && isUnlabelled && html`<p class="hint">This needs two labels or more.
        ${" "}<kbd>embedkit labels --from-folders DIR</kbd>${" "}takes them from the folders.</p>`}
      <div class="fields">
        <label>Photos to list<select class="field" value=${k} onChange=${(event) => this.setState({ k: event.target.value })}>
          <option value="">up to 50, if probably wrong</option>
          ${[100, 200, 500].map((count) => html`<option value=${count}>the first ${count}</option>`)}</select></label>
        ${what === "off-topic" && server.text_backbones.length > 0 && html`<label>Topic in words (optional)<input class="field"
          value=${topic} maxlength="1000" onInput=${(event) => this.setState({ topic: event.target.value })} /></label>`}
      </div>
      <p><button class="button primary">Start</button></p>
      ${runs.length > 0 && html`<section aria-label="Earlier reviews"><h2>Earlier reviews</h2><ul class="earlier">
        ${runs.slice(0, 5).map((one) => html`<li><a href=${`/review?run=${one.id}`}>${KINDS.find((kind) => kind.what === one.result.what).name}</a>
          <span>${counted(one.result.items.length, "suspect")}, about ${Math.round(one.result.estimated).toLocaleString("en")} probably wrong</span></li>`)}
      </ul></section>`}
    </form>`;
  }

  renderResult() {
    const { result, items, current, sheet, source, counts, server, dialog } = this.state;
    const labels = Object.entries(counts);
    const quick = quickLabels(counts);
    const done = items.filter((item) => item.act).length;
    const wrong = items.filter((item) => item.act === RELABEL
      || result.choices.some((one) => one.act === item.act && one.is_wrong)).length;
    const keys = html`<button class="button icon" aria-label="Keys" onClick=${() => this.setState({ dialog: "help" })}>?</button>`;
    const views = labels.length > 0 && html`<div class="views" role="group" aria-label="View">
      <button class="button" aria-pressed=${sheet === null} onClick=${() => this.open(null)}>Suspects</button>
      <button class="button" aria-pressed=${sheet !== null} onClick=${() => this.open(sheet ?? items[current]?.label ?? labels[0][0])}>Classes</button></div>`;
    if (sheet !== null) return html`
      <nav class="rail" aria-label="Labels"><h2>Odd photos first</h2>${labels.map(([name, count]) => html`
        <button aria-pressed=${sheet === name} onClick=${() => this.open(name)}>
          ${quick.includes(name) ? html`<kbd aria-hidden="true">${quick.indexOf(name) + 1}</kbd>` : html`<span class="no-key"></span>`}
          <span class="name">${name}</span><span class="count">${count.toLocaleString("en")}</span></button>`)}</nav>
      ${source && html`<${Sheet} source=${source} title=${`Photos labelled ${sheet}, odd ones first`} counts=${counts}
        isReadOnly=${server.read_only} isPaused=${dialog !== null} tagOf=${this.tagOf}>${views}
        <select class="field narrow" aria-label="Label" value=${sheet} onChange=${(event) => this.open(event.target.value)}>
          ${labels.map(([name]) => html`<option value=${name}>${name}</option>`)}</select>${keys}<//>`}`;
    const item = items[current];
    const estimated = Math.round(result.estimated).toLocaleString("en");
    return html`<section class="stage" aria-label="Suspects">
      <div class="summary">${views}
        <span><strong>${wrong.toLocaleString("en")}</strong> wrong so far · about <strong>${estimated}</strong> expected</span>
        <span class="meter"><progress max=${items.length || 1} value=${done} aria-label="Suspects decided"></progress>
          ${done.toLocaleString("en")} of ${items.length.toLocaleString("en")} decided</span>
        <span class="together"><button class="button" onClick=${this.undo}>Undo <kbd>u</kbd></button>
          <button class=${done === items.length ? "button primary" : "button"} onClick=${this.again}>Review again</button>
          <a class="button" href="/review">Other review</a>${keys}</span>
      </div>
      ${result.notes.length > 0 && html`<details class="notes"><summary>${counted(result.notes.length, "note")}</summary>
        <ul>${result.notes.map((note) => html`<li>${note}</li>`)}</ul></details>`}
      ${item ? html`<div class="review">${this.renderList()}${this.renderPhoto(item)}${this.renderCase(item)}</div>`
        : html`<div class="empty"><h2 class="title">Nothing to decide</h2>
            <p>Of ${counted(result.photos, "reviewed photo")}, none is probably wrong.${result.decided > 0
              ? ` ${counted(result.decided, "photo")} already ${result.decided === 1 ? "has" : "have"} a verdict.` : ""}</p></div>`}
    </section>`;
  }

  wordsOf(item) {
    if (item.act === RELABEL) return item.verdict.slice(RELABEL.length + 1);
    if (item.act === "suggested") return item.suggestion;
    return this.state.result.choices.find((one) => one.act === item.act)?.text ?? "";
  }

  renderList() {
    const { items, current } = this.state;
    return html`<ol class="suspects" tabindex="-1" aria-label="Suspects">${items.map((item, place) => {
      const name = item.isAsked ? "Helps most" : item.label ?? nameOf(item.path);
      const isNamed = item.suggestion !== null && item.suggestion !== "off-topic";
      const to = item.act ? `✓ ${this.wordsOf(item)}` : isNamed ? `→ ${item.suggestion}` : "";
      return html`<li key=${item.sha256}><button aria-current=${place === current ? "true" : null}
        aria-label=${`${place + 1}: ${name} ${to}`} data-act=${item.act} onClick=${() => this.goTo(place)}>
        <img src=${picture(item.sha256, 128)} alt="" width="52" height="52" loading="lazy" />
        <span class="words"><span class="name">${name}</span><span class="to">${to}</span></span></button></li>`;
    })}</ol>`;
  }

  renderPhoto(item) {
    const { items, current } = this.state;
    return html`<figure class="suspect" key=${item.sha256}>
      <button class="enlarge" aria-label=${`Enlarge ${nameOf(item.path)}`} onClick=${() => this.setState({ dialog: "large" })}>
        <img src=${picture(item.sha256)} alt=${nameOf(item.path)} /></button>
      <figcaption><span class="visually-hidden" role="status">Suspect ${current + 1} of ${items.length}: ${item.label ?? ""}</span>
        ${(current + 1).toLocaleString("en")} / ${items.length.toLocaleString("en")} · <span title=${item.path}>${nameOf(item.path)}</span></figcaption>
    </figure>`;
  }

  renderCase(item) {
    const { result, counts } = this.state;
    const isLabels = result.what === "labels";
    const defects = Object.entries(item.scores).filter(([, score]) => score > 0);
    const quick = quickLabels(counts);
    return html`<div class="case">
      <h2>${item.label !== null && html`labelled <span class="chip given">${item.label}</span>`}
        ${item.suggestion !== null && html` ${isLabels ? "suggested" : "perhaps"} <span class="chip suggested">${item.suggestion}</span>`}</h2>
      <p class="reason">${item.isAsked && item.reason !== ASK_REASON ? `${ASK_REASON}; ${item.reason}` : item.reason}</p>
      ${defects.length > 1 && html`<ul class="scores">${defects.map(([kind, score]) => html`<li>${kind} ${score.toFixed(2)}</li>`)}</ul>`}
      <div class="choices" role="group" aria-label="Decide">${result.choices.filter(({ act }) => act in item.verdicts).map((choice) => html`
        <button class="button" data-act=${choice.act} aria-pressed=${item.act === choice.act} title=${choice.meaning}
          onClick=${() => this.choose(choice.act)}><kbd>${choice.text[0].toLowerCase()}</kbd> ${choice.text}</button>`)}</div>
      ${rowsOf(item, isLabels).map((row) => html`<section class="near" aria-label=${row.title} key=${row.kind}>
        <h3>${row.label !== null ? html`Nearest labelled <span class=${`chip ${row.kind}`}>${row.label}</span>` : row.title}</h3>
        ${row.photos.length ? html`<ul>${row.photos.map((one) => html`<li key=${one.sha256}>
          <button class=${row.kind} aria-label=${`Compare with ${nameOf(one.path)}, ${one.label ?? "without a label"}, distance ${one.distance.toFixed(3)}`}
            onClick=${() => this.setState({ dialog: "large", beside: one })}><img src=${picture(one.sha256, 256)} alt="" loading="lazy" /></button>
          <span>${one.distance.toFixed(3)}${row.label === null && one.label ? ` ${one.label}` : ""}</span></li>`)}</ul>`
          : html`<p>None to compare with.</p>`}</section>`)}
      ${isLabels && html`<section class="others" aria-label="Another label"><h3>Another label</h3><div class="choices">
        ${quick.map((label, place) => html`<button class="button" aria-pressed=${item.verdict === `${RELABEL}=${label}`}
          onClick=${() => this.relabel(label)}><kbd>${place + 1}</kbd> ${label}</button>`)}
        <button class="button" onClick=${() => this.setState({ dialog: "label" })}><kbd>r</kbd> Choose…</button></div></section>`}
    </div>`;
  }
}

// The neighbours of an item: those with its label, those with the suggestion, others.
function rowsOf(item, isLabels) {
  if (!isLabels) return item.neighbours.length ? [{ kind: "near", label: null, title: "Nearest photos", photos: item.neighbours }] : [];
  const kindOf = (one) => (one.label === item.label ? "given" : one.label === item.suggestion ? "suggested" : "near");
  return [
    { kind: "given", label: item.label, title: `Nearest labelled ${item.label}` },
    { kind: "suggested", label: item.suggestion, title: `Nearest labelled ${item.suggestion}` },
    { kind: "near", label: null, title: "Nearest with other labels" },
  ].map((row) => ({ ...row, photos: item.neighbours.filter((one) => kindOf(one) === row.kind) }))
    .filter((row) => row.photos.length || row.label !== null);
}

start(html`<${Review} />`);
