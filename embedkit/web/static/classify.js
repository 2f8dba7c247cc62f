// The classify page: photos and what one head or several make of them; the confusions of the test set.

import { Component, Dialog, Help, complain, counted, html, isTyping, nameOf, refocus, say, start } from "./ui.js";
import { ListSource } from "./grid.js";
import { READ_ONLY } from "./decisions.js";
import { Choose, choose, takeFiles } from "./intake.js";
import { RunProgress } from "./runs.js";
import { SHEET_KEYS, Sheet } from "./sheet.js";
import { address, get, post } from "./api.js";

const CLASSES = 5; // the most probable classes of a photo
const NEAREST = 6;
const KEYS = [
  ["o", "Choose photos"],
  ["Ctrl+v", "Paste a photo"],
  ["Delete", "Clear the page"],
  ["?", "These keys"],
];
const UNKNOWN = {
  distance: "it is far from all training photos",
  outlier: "it looks like a code, a screen or another synthetic picture",
  confidence: "no class is probable enough",
};

const picture = (sha256, side) => address(`/photos/${sha256}/picture${side ? `?side=${side}` : ""}`);
const percent = (share) => (share > 0 && share < 0.001 ? "< 0.1 %" : `${(100 * share).toFixed(1)} %`);

class Classify extends Component {
  state = {
    server: null, heads: null, chosen: [], photos: [], counts: {}, dialog: null, large: null,
    run: null, evaluation: null, cell: null, source: null,
  };

  async componentDidMount() {
    document.addEventListener("keydown", this.pressed);
    takeFiles(this.take);
    try {
      const server = await get("/server");
      const { heads } = await get("/heads");
      const usable = heads.filter((head) => head.problem === null);
      const best = usable.reduce((one, other) => (one && one.accuracy >= other.accuracy ? one : other), null);
      this.setState({ server, heads, chosen: best ? [best.name] : [] });
      if (!server.is_empty) this.setState({ counts: await get("/labels") });
      const sha256 = new URLSearchParams(location.search).get("sha256");
      if (sha256 && best) this.add([{ sha256, name: "", url: picture(sha256) }]);
    } catch (error) {
      complain(error);
    }
  }

  // -- photos ------------------------------------------------------------------------------------

  take = (files) => {
    if (!this.state.chosen.length) return say("There is no head to classify with.", true);
    this.add(files.map((file) => ({ file, name: file.name, url: URL.createObjectURL(file) })));
  };

  add(photos) {
    const added = photos.map((photo) => ({ ...photo, id: (this.last = (this.last ?? 0) + 1), results: {} }));
    this.setState(({ photos: before }) => ({ photos: [...added, ...before], evaluation: null, source: null }), () => {
      refocus(".classified");
      this.work();
    });
  }

  clear = () => {
    for (const photo of this.state.photos) if (photo.file) URL.revokeObjectURL(photo.url);
    this.setState({ photos: [] }, () => refocus(".drop"));
  };

  toggle(name) {
    const { chosen, heads } = this.state;
    const wanted = new Set(chosen);
    if (!wanted.delete(name)) wanted.add(name);
    if (!wanted.size) return say("At least one head classifies.");
    this.setState({ chosen: heads.map((head) => head.name).filter((one) => wanted.has(one)) }, this.state.evaluation ? this.evaluate : this.work);
  }

  // Classify each photo with each chosen head, one after the other.
  work = async () => {
    if (this.isWorking) return;
    this.isWorking = true;
    for (let next = this.next(); next; next = this.next()) {
      const [photo, head] = next;
      try {
        photo.results[head] = { isWaiting: true };
        const { predictions, failures } = await post("/classify", this.request(photo, head));
        photo.results[head] = predictions[0] ?? { problem: failures[0]?.reason ?? "it could not be read" };
        if (!photo.name && predictions[0]?.path) photo.name = nameOf(predictions[0].path);
      } catch (error) {
        photo.results[head] = { problem: error.message };
        if (error.status === 401 || error.status === 0) {
          this.isWorking = false;
          return complain(error);
        }
      }
      this.forceUpdate();
    }
    this.isWorking = false;
    this.forceUpdate();
  };

  next() {
    for (const photo of this.state.photos) {
      const head = this.state.chosen.find((name) => !photo.results[name]);
      if (head) return [photo, head];
    }
    return null;
  }

  request(photo, head) {
    if (!photo.file) return { head, sha256: [photo.sha256], k: CLASSES };
    const form = new FormData();
    form.append("image", photo.file, "photo");
    form.append("head", head);
    form.append("k", CLASSES);
    return form;
  }

  // -- evaluation --------------------------------------------------------------------------------

  evaluate = async () => {
    if (this.state.server.read_only) return say(READ_ONLY, true);
    try {
      const run = await post("/evaluate", { heads: this.state.chosen });
      this.setState({ run: run.id, evaluation: null, source: null });
    } catch (error) {
      complain(error);
    }
  };

  evaluated = ({ state, error, result }) => {
    if (error) say(error, true);
    this.setState({ run: null, evaluation: state === "done" ? result : null, cell: null, source: null }, () => refocus(".matrix"));
  };

  // Show the test photos of a cell of the confusion matrix, the surest predictions first.
  async open(head, truth, predicted) {
    const of = this.state.evaluation.predictions.find((one) => one.head === head);
    const photos = of.sha256
      .map((sha256, row) => ({ sha256, probability: of.probability[row], isIn: of.truth[row] === truth && of.predicted[row] === predicted }))
      .filter((one) => one.isIn && one.sha256)
      .sort((one, other) => other.probability - one.probability);
    try {
      const list = await post("/lists", { sha256: photos.map((one) => one.sha256) });
      const probabilities = new Map(photos.map((one) => [one.sha256, one.probability]));
      this.setState({ cell: { head, truth, predicted, probabilities }, source: new ListSource(list) });
    } catch (error) {
      complain(error);
    }
  }

  // Go back from a cell of the matrix to the matrix.
  leave = () => this.setState({ source: null, cell: null }, () => refocus(".matrix"));

  // Go back from the matrix to the photos.
  back = () => this.setState({ evaluation: null }, () => {
    refocus(".classified, .drop");
    this.work();
  });

  // -- keys --------------------------------------------------------------------------------------

  pressed = (event) => {
    const { dialog, large, source } = this.state;
    if (isTyping(event) || dialog || large) return;
    if (event.key === "?") this.setState({ dialog: "help" });
    else if (event.key === "Escape" && source) this.leave();
    else if (event.key === "o") choose();
    else if (event.key === "Delete" && !source) this.clear();
    else return;
    event.preventDefault();
  };

  // -- drawing -----------------------------------------------------------------------------------

  render(_, { server, heads, chosen, photos, dialog, large, run, evaluation, source }) {
    if (!heads) return html`<p class="notice">Loading…</p>`;
    if (!heads.length) return html`<div class="empty"><h2 class="title">No head yet</h2>
      <p>A head learns the labels of your photos. Draw a validation and a test set, then train one:</p>
      <p><kbd>embedkit split --val 10 --test 10</kbd></p><p><kbd>embedkit train probe --name probe</kbd></p>
      <p>Then reload this page.</p></div>`;
    const close = () => this.setState({ dialog: null, large: null });
    const chooser = html`<${Choose} words="Choose photos" multiple onTake=${this.take} />`;
    const unread = photos.filter((photo) => chosen.every((head) => photo.results[head]?.problem)).length;
    const waiting = photos.filter((photo) => chosen.some((head) => !photo.results[head] || photo.results[head].isWaiting)).length;
    return html`<section class="stage" aria-label="Classify">
      <div class="summary">
        ${(photos.length > 0 || evaluation || run) && chooser}
        <div class="views" role="group" aria-label="Heads">${heads.map((head) => html`
          <button class="button" aria-pressed=${chosen.includes(head.name)} disabled=${head.problem !== null}
            title=${head.problem ?? `${head.kind} on ${head.backbones.join(", ")}; accuracy ${percent(head.accuracy)} on the validation set`}
            onClick=${() => this.toggle(head.name)}>${head.name}</button>`)}</div>
        ${photos.length > 0 && !evaluation && html`<span role="status">${waiting ? `${counted(waiting, "photo")} to go…` : `${counted(photos.length - unread, "photo")}${unread ? `, ${counted(unread, "file")} could not be classified` : ""}`}</span>`}
        <span class="together">
          ${!run && !evaluation && html`<button class="button" onClick=${this.evaluate}>Confusions of the test set</button>`}
          ${evaluation && !source && html`<button class="button" onClick=${this.back}>← Photos</button>`}
          ${photos.length > 0 && !evaluation && html`<button class="button" onClick=${this.clear}>Clear</button>`}
          <button class="button icon" aria-label="Keys" onClick=${() => this.setState({ dialog: "help" })}>?</button></span>
      </div>
      ${run ? html`<div class="empty"><h2 class="title">Evaluating on the test set</h2>
          <${RunProgress} key=${run} id=${run} onDone=${this.evaluated} onError=${complain} /></div>`
        : source ? this.renderCell() : evaluation ? this.renderEvaluation()
        : photos.length ? html`<ul class="classified" tabindex="-1" aria-label="Photos">${photos.map((photo) => html`<${Classified} key=${photo.id} photo=${photo} heads=${chosen}
            onLarge=${(one) => this.setState({ large: one })} />`)}</ul>`
        : html`<div class="drop" tabindex="-1"><h2 class="title">Which class is it?</h2>
          <p>Drop photos here, paste one, or choose some. They are not stored.</p><p>${chooser}</p>
          <p>A photo of the workspace: select it on the page Photos and press <kbd>c</kbd>.</p></div>`}
      ${dialog === "help" && html`<${Help} keys=${source ? [...SHEET_KEYS, ["Esc", "Back to the matrix"]] : KEYS} onClose=${close} />`}
      ${large && html`<${Dialog} className="viewer" title=${large[0].name} onClose=${close}>
        <div class="pair">${large.map((one) => html`<figure><img src=${one.url} alt=${one.name} />
          <figcaption>${one.text}</figcaption></figure>`)}</div>
        <button class="button close" onClick=${close}>Close</button><//>`}
    </section>`;
  }

  renderCell() {
    const { source, cell, counts, server, dialog } = this.state;
    return html`<${Sheet} source=${source} counts=${counts} isReadOnly=${server.read_only} isPaused=${dialog !== null}
      title=${`${cell.truth}, predicted as ${cell.predicted} by ${cell.head}`}
      tagOf=${(photo) => photo.mark ?? `${photo.labels.join(", ")} · ${percent(cell.probabilities.get(photo.sha256))}`}>
      <button class="button" onClick=${this.leave}>← Matrix</button>
      <span>labelled <span class="chip given">${cell.truth}</span> predicted <span class="chip suggested">${cell.predicted}</span> by ${cell.head}</span>
    <//>`;
  }

  renderEvaluation() {
    const { evaluation } = this.state;
    return html`<div class="matrices">
      ${evaluation.heads.map((head) => html`<section aria-label=${`Confusions of ${head.name}`} key=${head.name}>
        <h2 class="title">${head.name}</h2>
        <p class="soft">${`${counted(evaluation.photos, "test photo")}, accuracy ${percent(head.accuracy)} (${
          head.intervals.accuracy.map(percent).join(" to ")})${
          head.unknown === null ? "" : `, ${percent(head.unknown)} called unknown`}. A number opens its photos.`}</p>
        <${Confusions} head=${head} classes=${evaluation.classes}
          onOpen=${(truth, predicted) => this.open(head.name, truth, predicted)} />
      </section>`)}</div>`;
  }
}

const Confusions = ({ head, classes, onOpen }) => html`<div class="matrix" tabindex="0" role="region" aria-label=${`Matrix of ${head.name}`}><table>
  <thead><tr><th scope="col">labelled \\ predicted</th>${classes.map((name) => html`<th scope="col"><span>${name}</span></th>`)}</tr></thead>
  <tbody>${head.confusion.map((row, truth) => {
    const total = row.reduce((sum, count) => sum + count, 0);
    return html`<tr><th scope="row">${classes[truth]}</th>${row.map((count, predicted) => html`
      <td class=${truth === predicted ? "is-right" : ""}>${count > 0 ? html`<button
        class=${`heat-${Math.min(4, Math.ceil((4 * count) / total))}`}
        aria-label=${`${classes[truth]} predicted as ${classes[predicted]}: ${count}`}
        onClick=${() => onOpen(classes[truth], classes[predicted])}>${count}</button>` : ""}</td>`)}</tr>`;
  })}</tbody></table></div>`;

const Classified = ({ photo, heads, onLarge }) => {
  const own = { url: photo.url, name: photo.name || "photo", text: photo.name };
  return html`<li class="classification" aria-label=${photo.name}>
    <figure><button class="enlarge" aria-label=${`Enlarge ${photo.name}`} onClick=${() => onLarge([own])}><img src=${photo.url} alt=${photo.name} /></button>
      <figcaption>${photo.name}</figcaption></figure>
    <div class="answers">${heads.map((head) => html`<div class="answer" key=${head} role="group" aria-label=${head}>
      <h2 class=${heads.length > 1 ? "" : "visually-hidden"}>${head}</h2>
      <${Answer} result=${photo.results[head]} onCompare=${(one) => onLarge([own, {
        url: picture(one.sha256), name: one.label, text: `${one.path ? `${nameOf(one.path)}, ` : ""}labelled ${one.label}, distance ${one.distance.toFixed(3)}`,
      }])} /></div>`)}</div>
  </li>`;
};

function Answer({ result, onCompare }) {
  if (!result || result.isWaiting) return html`<p class="soft">Classifying…</p>`;
  if (result.problem) return html`<p class="bad">${result.problem}</p>`;
  const [best] = result.top;
  return html`
    ${result.unknown
      ? html`<p class="verdict is-unknown"><strong>Unknown</strong> <span>${UNKNOWN[result.unknown_by] ?? "it resembles no class"}</span></p>`
      : html`<p class="verdict"><strong>${best.label}</strong> <span>${percent(best.probability)}</span></p>`}
    <ul class=${result.unknown ? "bars is-unknown" : "bars"} aria-label=${result.unknown ? "If it were one of the classes" : "Most probable classes"}>
      ${result.unknown && html`<li class="if">if it were one of the classes</li>`}
      ${result.top.map((one) => html`<li><span class="name">${one.label}</span>
        <meter min="0" max="1" value=${one.probability} aria-label=${one.label}></meter>
        <span class="value">${percent(one.probability)}</span></li>`)}</ul>
    <div class="near"><h3>Nearest training photos</h3><ul>${result.neighbours.slice(0, NEAREST).map((one) => html`<li key=${one.sha256}>
      ${one.path === null ? html`<span class="gone">gone</span>` : html`<button class=${one.label === best.label ? "suggested" : "near"}
        aria-label=${`Compare with a training photo, ${one.label}, distance ${one.distance.toFixed(3)}`} onClick=${() => onCompare(one)}>
        <img src=${picture(one.sha256, 256)} alt="" loading="lazy" /></button>`}
      <span>${one.distance.toFixed(3)} ${one.label}</span></li>`)}</ul></div>`;
}

start(html`<${Classify} />`);
