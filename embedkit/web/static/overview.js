// The overview: what is here, what went wrong, and what is worth doing next.

import { Component, complain, counted, html, nameOf, refocus, start } from "./ui.js";
import { RunProgress, isFinished } from "./runs.js";
import { get, post } from "./api.js";

class Overview extends Component {
  state = { server: null, info: null, run: null, last: null };

  async componentDidMount() {
    try {
      const server = await get("/server");
      this.setState({ server });
      const runs = await get("/runs");
      const current = runs.find((run) => run.kind === "add" && !isFinished(run));
      if (current) this.setState({ run: current.id });
      await this.look();
    } catch (error) {
      complain(error);
    }
  }

  async look() {
    const server = await get("/server");
    this.setState({ server });
    if (!server.is_empty) this.setState({ info: await get("/workspace") });
  }

  add = async (sources, labelsFromFolders = null) => {
    try {
      const run = await post("/add", { sources, labels_from_folders: labelsFromFolders });
      this.setState({ run: run.id, last: null });
    } catch (error) {
      complain(error);
    }
  };

  done = (run) => {
    this.setState({ run: null, last: run }, () => refocus(".outcome"));
    this.look().catch(complain);
  };

  render(_, { server, info, run, last }) {
    if (!server) return html`<p class="notice">Loading…</p>`;
    return html`<div class="overview">
      <section aria-label="Add photos">
        <h2 class="title">${server.is_empty ? "Add your photos" : "Photos"}</h2>
        ${info && html`<${Facts} info=${info} />`}
        ${run ? html`<${RunProgress} id=${run} onDone=${this.done} onError=${complain} />`
          : server.read_only ? html`<p class="soft">This server changes nothing (--read-only).</p>`
          : html`<${AddForm} isFirst=${server.is_empty} onAdd=${this.add} />`}
        ${last && html`<div class="outcome" tabindex="-1"><${Outcome} run=${last} /></div>`}
      </section>
      ${info && html`<section aria-label="Worth doing next"><h2 class="title">Worth doing next</h2>
        <ul class="steps">${nextSteps(info).map((step) => html`<li>
          <p><strong>${step.title}</strong></p><p class="soft">${step.why}</p>
          ${step.href ? html`<a class="button" href=${step.href}>${step.action}</a>` : html`<p><code>${step.command}</code></p>`}
        </li>`)}</ul></section>`}
      ${info && (info.failures.length > 0 || info.missing > 0 || info.truncated.length > 0)
        && html`<section aria-label="What went wrong"><h2 class="title">What went wrong</h2>
        ${info.missing > 0 && html`<p>${counted(info.missing, "file")} ${info.missing === 1 ? "is" : "are"} not where
          ${info.missing === 1 ? " it was" : " they were"}. Put ${info.missing === 1 ? "it" : "them"} back, or add the photos again.</p>`}
        <${Failures} failures=${info.failures} />
        <${Failures} failures=${info.truncated.map((file) => ({ path: file.path, reason: "truncated; used as far as it goes" }))} />
      </section>`}
    </div>`;
  }
}

const Facts = ({ info }) => html`<dl class="facts">
  <div><dt>Photos</dt><dd>${info.images.toLocaleString("en")}</dd></div>
  <div><dt>Files</dt><dd>${info.files.toLocaleString("en")}</dd></div>
  <div><dt>Labels</dt><dd>${Object.keys(info.labels).length}</dd></div>
  <div><dt>On disk</dt><dd>${(info.disk_bytes / 1e6).toFixed(0)} MB</dd></div>
  <div class="wide"><dt>Backbones</dt><dd>${info.specs.flatMap((spec) => spec.backbones).join(", ") || "none"}</dd></div>
  <div class="wide"><dt>Workspace</dt><dd>${info.workspace}</dd></div>
</dl>`;

const AddForm = ({ isFirst, onAdd }) => html`<form class="add" onSubmit=${(event) => {
  event.preventDefault();
  const { folder, labels } = event.target.elements;
  if (folder.value.trim()) onAdd([folder.value.trim()], labels.checked || null);
}}>
  <label>Folder on this machine <input class="field" name="folder" autocomplete="off" placeholder="/home/me/photos" required /></label>
  <label class="check"><input type="checkbox" name="labels" /> Its subfolders are labels</label>
  <div class="actions"><button class="button primary">Add</button>
    ${!isFirst && html`<button class="button" type="button" onClick=${() => onAdd([])}>Look for new photos</button>`}</div>
</form>`;

function Outcome({ run }) {
  if (run.state === "failed") return html`<p class="bad" role="alert">${run.error}</p>`;
  if (run.state === "stopped") return html`<p role="status">Stopped. What was finished is kept; add again to go on.</p>`;
  const { images, embedded, failed, failures, warnings } = run.result;
  return html`<div role="status"><p>${counted(images, "photo")}: ${embedded.toLocaleString("en")} new,
    ${failed ? ` ${counted(failed, "file")} could not be used.` : " no problem."}</p>
    ${warnings.map((text) => html`<p class="soft">${text}</p>`)}
    <${Failures} failures=${failures} /></div>`;
}

function Failures({ failures }) {
  if (!failures.length) return null;
  return html`<details open=${failures.length <= 10}><summary>${counted(failures.length, "file")}</summary>
    <ul class="failures">${failures.slice(0, 500).map(({ path, reason }) => html`
      <li><span title=${path}>${nameOf(path)}</span> <span class="soft">${reason}</span></li>`)}</ul>
    ${failures.length > 500 && html`<p class="soft">and ${failures.length - 500} more, see embedkit info</p>`}</details>`;
}

// What a person would do next, in the order in which each step makes the following ones easier.
function nextSteps({ images, specs, labels, heads, split, files }) {
  const steps = [];
  const names = Object.keys(labels);
  const embedded = specs.some((spec) => spec.images > 0);
  if (!images) return [{ title: "Add photos", why: "Nothing can be searched yet.", command: "embedkit add photos" }];
  if (!embedded) {
    steps.push({ title: "Compute embeddings", why: "Search and review compare embeddings.", command: "embedkit add" });
  }
  steps.push({ title: "Find duplicates", action: "Duplicates", href: "/duplicates",
    why: files > images ? `${counted(files - images, "file")} have the bytes of another one.` : "Copies with other bytes look the same." });
  if (embedded) steps.push({ title: "Search", why: "Find every photo like one that you have.", action: "Search", href: "/search" });
  if (!names.length) {
    steps.push({ title: "Label the photos", why: "Folder names, a CSV, or keys in the grid.", action: "Photos", href: "/" });
  } else if (names.length > 1 && embedded) {
    steps.push({ title: "Check the labels", why: "A probe finds the labels that are probably wrong.",
      action: "Review", href: "/review" });
    if (!split) steps.push({ title: "Split the photos", why: "Into training, validation and test set.", command: "embedkit split" });
    else if (!heads.length) steps.push({ title: "Train a classifier", why: "A probe trains in seconds.", command: "embedkit train probe" });
    else steps.push({ title: "Classify", why: "With the heads of this workspace.", action: "Classify", href: "/classify" });
  }
  return steps;
}

start(html`<${Overview} />`);
