// The map: all photos as points, similar ones near each other.

import { Component, complain, html, start } from "./ui.js";
import { ApiError, get, getBytes, post } from "./api.js";
import { RunProgress, isFinished } from "./runs.js";
import { View, remember, remembered } from "./mapview.js";

// Bytes of the map: see the description of the API.
function decode(bytes) {
  const length = new DataView(bytes).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(bytes, 4, length)));
  const { count } = header.photos;
  return {
    ...header,
    points: new Float32Array(bytes, 4 + length, 2 * count),
    codes: new Uint32Array(bytes, 4 + length + 8 * count, count),
  };
}

class PhotoMap extends Component {
  state = { server: null, map: null, isMissing: false, run: null, problem: null, backbone: null };

  async componentDidMount() {
    try {
      const [server, runs] = await Promise.all([get("/server"), get("/runs")]);
      const last = remembered().backbone;
      const backbone = server.backbones.includes(last) ? last : server.backbones[0] ?? null;
      const current = runs.find((run) => run.kind === "map" && !isFinished(run));
      this.setState({ server, backbone, run: current?.id ?? null });
      if (backbone) await this.load(backbone);
    } catch (error) {
      complain(error);
    }
  }

  async load(backbone) {
    const bytes = await getBytes(`/map?backbone=${encodeURIComponent(backbone)}`);
    this.setState({ map: bytes && decode(bytes), isMissing: !bytes, backbone });
  }

  make = async () => {
    try {
      const run = await post("/map", { backbone: this.state.backbone });
      this.setState({ run: run.id, problem: null });
    } catch (error) {
      if (error instanceof ApiError && error.status === 422) this.setState({ problem: error.message });
      else complain(error);
    }
  };

  finished = (run) => {
    this.setState({ run: null, problem: run.state === "failed" ? run.error : null });
    this.load(this.state.backbone).catch(complain);
  };

  choose = (backbone) => {
    remember({ backbone, view: undefined });
    this.load(backbone).catch(complain);
  };

  render(_, { server, map, isMissing, run, problem, backbone }) {
    if (!server) return html`<p class="notice">Loading…</p>`;
    if (!backbone) return html`<div class="empty"><h2 class="title">No embeddings yet</h2>
      <p>The map places photos by their embeddings. Add photos first.</p><a class="button" href="/overview">Overview</a></div>`;
    const progress = run !== null
      && html`<${RunProgress} key=${run} id=${run} onDone=${this.finished} onError=${complain} />`;
    const backbones = server.backbones.length > 1 && html`<select class="field" aria-label="Backbone" value=${backbone}
      onChange=${(event) => this.choose(event.target.value)}>
      ${server.backbones.map((name) => html`<option>${name}</option>`)}</select>`;
    if (map) {
      return html`<${View} key=${`${map.photos.key} ${backbone}`} map=${map} backbones=${backbones} progress=${progress}
        problem=${problem} onMake=${!server.read_only && this.make} />`;
    }
    if (!isMissing) return html`<p class="notice">Loading…</p>`;
    return html`<div class="empty"><h2 class="title">A map of your photos</h2>
      <p>Similar photos are near each other, so groups, mixed labels and odd photos show at a glance. Making it takes
        seconds for a thousand photos, and a minute or two for fifty thousand.</p>
      ${problem && html`<p class="bad" role="alert">${problem}</p>`}
      ${progress || html`<div class="actions centred">${backbones}
        ${server.read_only ? html`<p>This server changes nothing (--read-only).</p>`
          : html`<button class="button primary" onClick=${this.make}>Make the map</button>`}</div>`}
    </div>`;
  }
}

start(html`<${PhotoMap} />`);
