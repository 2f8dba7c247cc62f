// A photo beside the query of a search: side by side, or moved onto it with a slider, in its place,
// as an overlay, or as a map of the differences.

import { Component, Dialog, complain, html, nameOf } from "./ui.js";
import { address, post } from "./api.js";

const MODES = [
  ["side", "Side by side", "s"],
  ["slider", "Slider", "w"],
  ["swap", "Swap", "f"],
  ["overlay", "Overlay", "o"],
  ["difference", "Difference", "d"],
];

const picture = (content) => {
  const bytes = Uint8Array.from(atob(content), (char) => char.charCodeAt(0));
  return URL.createObjectURL(new Blob([bytes], { type: "image/webp" }));
};

// Properties: asked (a file, or a digest, with the address of its picture), match, onClose.
export class Pair extends Component {
  state = { mode: "side", split: 50, isSwapped: false, found: null };

  componentDidMount() {
    this.load().catch(complain);
  }

  componentWillUnmount() {
    for (const url of Object.values(this.state.found?.urls ?? {})) URL.revokeObjectURL(url);
    this.isGone = true;
  }

  async load() {
    const { asked, match } = this.props;
    let content = { sha256: asked.sha256, other: match.sha256 };
    if (asked.file) {
      content = new FormData();
      content.append("image", asked.file, "query");
      content.append("other", match.sha256);
    }
    const found = await post("/compare", content);
    if (this.isGone) return;
    const urls = Object.fromEntries(["first", "aligned", "differences"]
      .filter((name) => found[name]).map((name) => [name, picture(found[name])]));
    this.setState({ found: { ...found, urls } });
  }

  show(mode) {
    if (mode === "side" || this.state.found?.verified) {
      this.setState({ mode, isSwapped: mode === "swap" && this.state.mode === "swap" ? !this.state.isSwapped : true });
    }
  }

  pressed = (event) => {
    const mode = MODES.find(([, , key]) => key === event.key)?.[0];
    if (!mode || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    this.show(mode);
  };

  words() {
    const { found } = this.state;
    if (!found) return "Comparing…";
    if (found.verified === null) return "The file cannot be read.";
    if (!found.verified) return `No common surface was found (${found.inliers} points agree).`;
    return `The same object: agreement ${found.agreement.toFixed(2)}, ${found.inliers} points.`;
  }

  render({ asked, match, onClose }, { mode, split, isSwapped, found }) {
    const urls = found?.urls ?? {};
    const over = { slider: { clipPath: `inset(0 0 0 ${split}%)` }, swap: isSwapped ? {} : { visibility: "hidden" }, overlay: { opacity: 0.5 } }[mode];
    return html`<${Dialog} title="Comparison" className="match" onClose=${onClose}>
      <div class="match-content" onKeyDown=${this.pressed}>
        <div class="actions" role="group" aria-label="View">${MODES.map(([name, text, key]) => html`
          <button class="button" aria-pressed=${mode === name} disabled=${name !== "side" && !found?.verified}
            onClick=${() => this.show(name)}>${text} <kbd aria-hidden="true">${key}</kbd></button>`)}
          <button class="button" onClick=${onClose} autofocus>Close</button></div>
        <p role="status">${this.words()}</p>
        ${mode === "side" ? html`<div class="match-side">
          <figure><img src=${asked.url ?? address(`/photos/${asked.sha256}/picture`)} alt="The query" /><figcaption>Query</figcaption></figure>
          <figure><img src=${address(`/photos/${match.sha256}/picture`)} alt=${nameOf(match.path)} /><figcaption>${nameOf(match.path)}</figcaption></figure>
        </div>` : html`<div class="match-frame"><div class="match-box">
          <img src=${mode === "difference" ? urls.differences : urls.first} alt=${mode === "difference" ? "Differences in red" : "The query"} />
          ${over && html`<img class="over" style=${over} src=${urls.aligned} alt=${`${nameOf(match.path)}, moved onto the query`} />`}
          ${mode === "slider" && html`<input type="range" min="0" max="100" step="0.5" value=${split} aria-label="Place of the slider"
            onInput=${(event) => this.setState({ split: Number(event.target.value) })} />`}
        </div></div>`}
      </div><//>`;
  }
}
