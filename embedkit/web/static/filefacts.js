// The files of a group of duplicates: the action of each, and the facts in which two differ.

import { html, nameOf } from "./ui.js";

export const WORDS = { keep: "Keep", remove: "Remove", review: "Review" };
const SIGNS = { keep: "✓", remove: "✕", review: "?" };

export function Badge({ file: { action, moved }, short }) {
  const word = moved ? "Moved" : WORDS[action];
  return html`<span class=${`badge is-${action}`}>
    <span aria-hidden="true">${SIGNS[action]}</span>${short ? html`<span class="visually-hidden">${word}: </span>` : ` ${word}`}</span>`;
}

// Facts in which the two files differ; the better value is marked.
export function Facts({ group, places }) {
  const facts = group.facts.filter((fact) => places.every((place) => fact.texts[place] !== undefined)
    && fact.texts[places[0]] !== fact.texts[places[1]]);
  const [one, other] = places.map((place) => group.members[place]);
  const rows = facts.map(({ name, meaning, texts, best }) => ({
    name, meaning, cells: places.map((place) => [texts[place], best.includes(place)]),
  }));
  if (one.label !== other.label) {
    rows.unshift({ name: "label", meaning: "Label of the file", cells: [one, other].map((file) => [file.label ?? "none", false]) });
  }
  const copy = [one, other].find((file) => file.distance) ?? other;
  return html`<div class="facts">
    ${rows.length > 0 ? html`<table aria-label="What differs between the two files">
      <thead class="visually-hidden"><tr><th scope="col">Fact</th><th scope="col">${nameOf(one.path)}</th><th scope="col">${nameOf(other.path)}</th></tr></thead>
      <tbody>${rows.map(({ name, meaning, cells }) => html`
      <tr key=${name}><th scope="row" title=${meaning}>${name}</th>${cells.map(([text, isBest]) => html`
        <td class=${isBest ? "is-best" : ""}>${text || "unknown"}${isBest && html`<span class="visually-hidden"> (better)</span>`}</td>`)}</tr>`)}</tbody></table>`
      : html`<p>The metadata of these two files is the same.</p>`}
    ${(copy.score !== null || copy.distance !== null) && html`<p class="numbers">
      ${copy.score !== null && `score ${copy.score.toFixed(3)}`}${copy.distance !== null && ` · distance ${copy.distance.toFixed(4)}`}</p>`}
  </div>`;
}
