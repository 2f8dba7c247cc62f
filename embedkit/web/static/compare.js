// Two photos compared: side by side, with a slider, one in place of the other, or their difference.

import { Component, html, nameOf } from "./ui.js";
import { address } from "./api.js";

export const MODES = [
  ["side", "Side by side", "s"],
  ["slider", "Slider", "w"],
  ["swap", "Swap", "f"],
  ["difference", "Difference", "d"],
];

export const large = (sha256) => address(`/photos/${sha256}/picture`);
export const small = (sha256) => address(`/photos/${sha256}/picture?side=128`);

// The thumbnail of the strip is there at once; the large picture covers it when it is loaded.
class Picture extends Component {
  state = { loaded: null, failed: null };

  render({ file }, { loaded, failed }) {
    const { sha256 } = file;
    if (failed === sha256) return html`<p class="gone">This file cannot be shown.</p>`;
    return html`
      ${loaded !== sha256 && html`<img class="behind" key=${`small-${sha256}`} src=${small(sha256)} alt="" />`}
      <img key=${sha256} src=${large(sha256)} alt=${nameOf(file.path)} data-loaded=${loaded === sha256}
        onLoad=${() => this.setState({ loaded: sha256 })} onError=${() => this.setState({ failed: sha256 })} />`;
  }
}

// Properties: left, right (files), mode, isSwapped, caption(file).
export class Compare extends Component {
  state = { split: 50 };

  render({ left, right, mode, isSwapped, caption }, { split }) {
    const shown = mode === "side" ? null : [left, right];
    const clip = { clipPath: `inset(0 0 0 ${split}%)` };
    return html`<div class=${`compare is-${mode}`}>
      ${!shown && [left, right].map((file, place) => html`<figure key=${place} class=${file.isCurrent ? "is-current" : ""}
          onClick=${file.onChoose}>
        <div class="frame"><${Picture} file=${file} /></div>${caption(file)}</figure>`)}
      ${shown && html`
        <div class="frame">
          <div class="layer-left" aria-hidden=${mode === "swap" && isSwapped}
            style=${mode === "swap" && isSwapped ? { visibility: "hidden" } : {}}><${Picture} file=${left} /></div>
          <div class="layer-right" aria-hidden=${mode === "swap" && !isSwapped}
            style=${mode === "slider" ? clip : mode === "swap" && !isSwapped ? { visibility: "hidden" } : {}}><${Picture} file=${right} /></div>
          ${mode === "difference" && html`<div class="brighter"></div>`}
          ${mode === "slider" && html`<div class="edge" style=${{ left: `${split}%` }}></div>
            <input type="range" min="0" max="100" step="0.5" value=${split} aria-label="Place of the slider"
              onInput=${(event) => this.setState({ split: Number(event.target.value) })} />`}
        </div>
        <div class="captions">${[left, right].map((file, place) => html`
          <figure key=${place} class=${[file.isCurrent && "is-current", mode === "swap" && isSwapped === (place === 1) && "is-shown"].filter(Boolean).join(" ")}
            onClick=${file.onChoose}>${caption(file)}</figure>`)}</div>`}
    </div>`;
  }
}
