// How the points of a map are coloured: by label, by the score of a review, by group of duplicates.

import { html, say } from "./ui.js";
import { getBytes } from "./api.js";

const COLOURS = 12; // of their own, for labels and groups
const STEPS = 64; // of the scale of scores
const OWN = Array.from({ length: COLOURS }, (_, at) => `--map-${at + 1}`);
const WORDS = {
  labels: { high: "label probably wrong", low: "label probably right", ends: ["right", "wrong"] },
  "off-topic": { high: "probably off-topic", low: "probably on topic", ends: ["on topic", "off-topic"] },
};

// The choices: name, text, why a map does not have it.
const CHOICES = [
  ["label", "Label", () => null],
  ["score", "Suspicion", ({ scores }) => (scores === null
    ? "Review the labels, or look for off-topic photos, on the page Review first." : null)],
  ["group", "Group", ({ groups }) => (groups === null ? "Search for duplicates on the page Duplicates first." : null)],
];

export const ColourBy = ({ map, by, onChoose }) => html`
  <div class="colour-by" role="group" aria-label="Colour by"><span aria-hidden="true">Colour by</span>
    ${CHOICES.map(([name, text, missing]) => {
      const reason = missing(map);
      return html`<button class="button" aria-pressed=${by === name} aria-disabled=${reason !== null} title=${reason}
        onClick=${() => (reason === null ? onChoose(name) : say(reason))}>${text}</button>`;
    })}</div>`;

// The choice after this one, among those of the map.
export function nextChoice(map, by) {
  const names = CHOICES.filter(([, , missing]) => missing(map) === null).map(([name]) => name);
  return names[(names.indexOf(by) + 1) % names.length];
}

// Codes of the photos, the colours of the codes, and the entries of the legend with their codes.
class Colouring {
  constructor({ by, title, codes, colours, entries, ...rest }) {
    const counts = new Map();
    for (const code of codes) counts.set(code, (counts.get(code) ?? 0) + 1);
    const count = (entry) => entry.codes.reduce((sum, code) => sum + (counts.get(code) ?? 0), 0);
    const found = entries.map((entry) => ({ ...entry, count: count(entry) })).filter((entry) => entry.count > 0);
    Object.assign(this, { by, title, codes, colours, entries: found, ...rest });
  }

  // What the entries count, as text.
  get text() {
    return this.entries.slice(0, 40).map((one) => `${one.count.toLocaleString("en")} ${one.name}`).join(", ");
  }
}

export function byLabel({ labels, codes }) {
  const hasOwn = ({ label }, code) => (label === null ? labels.length === 1 : code < COLOURS);
  return new Colouring({
    by: "label", title: "Labels", codes,
    colours: (token) => labels.map((one, code) => token(hasOwn(one, code) ? OWN[code] : "--map-rest")),
    entries: labels.map(({ label }, code) => ({ name: label ?? "without a label", codes: [code] })),
  });
}

async function byScore({ photos, scores: what }) {
  const bytes = await getBytes(`/lists/${photos.key}/scores`);
  if (!bytes) return null;
  const scores = new Float32Array(bytes);
  const codes = Uint32Array.from(scores, (score) => (
    Number.isNaN(score) ? STEPS : Math.min(STEPS - 1, Math.floor(STEPS / (1 + Math.exp(-score))))));
  const steps = [...Array(STEPS).keys()];
  const { high, low, ends } = WORDS[what];
  return new Colouring({
    by: "score", title: "Suspicion", codes, ends,
    colours: (token) => {
      const ramp = ["--score-low", "--score-middle", "--score-high"].map((name) => rgb(token(name)));
      return [...steps.map((step) => between(ramp, step / (STEPS - 1))), token("--map-rest")];
    },
    entries: [
      { name: high, codes: steps.slice(STEPS / 2).reverse() },
      { name: low, codes: steps.slice(0, STEPS / 2).reverse() },
      { name: "without a score", codes: [STEPS] },
    ],
    detail: (index) => (Number.isNaN(scores[index]) ? null : `score ${scores[index].toFixed(2)}`),
  });
}

async function byGroup({ photos }) {
  const bytes = await getBytes(`/lists/${photos.key}/groups`);
  if (!bytes) return null;
  const groups = new Uint32Array(bytes);
  return new Colouring({
    by: "group", title: "Groups of duplicates",
    codes: groups.map((group) => (group === 0 ? 0 : 1 + ((group - 1) % COLOURS))),
    colours: (token) => ["--map-rest", ...OWN].map(token),
    entries: [
      { name: "in a group", codes: OWN.map((_, at) => at + 1) },
      { name: "in no group", codes: [0] },
    ],
    note: `The photos of a group have the same of ${COLOURS} colours.`,
    detail: (index) => (groups[index] === 0 ? null : `group ${groups[index]}`),
  });
}

// The colouring of a map by a choice; null if the server has its values no more.
export const colouring = async (map, by) => (by === "score" ? byScore(map) : by === "group" ? byGroup(map) : byLabel(map));

// The background that shows the colours of an entry.
export function swatch(entry, colours) {
  const shown = entry.codes.map((code) => colours[code]);
  return shown.length === 1 ? shown[0] : `linear-gradient(to right, ${shown.join(", ")})`;
}

export const rgb = (hex) => [1, 3, 5].map((at) => Number.parseInt(hex.slice(at, at + 2), 16));

// The colour at a share of the way along three colours.
function between(ramp, share) {
  const [one, other] = share < 0.5 ? [ramp[0], ramp[1]] : [ramp[1], ramp[2]];
  const part = share < 0.5 ? 2 * share : 2 * share - 1;
  return `#${one.map((value, at) => Math.round(value + part * (other[at] - value)).toString(16).padStart(2, "0")).join("")}`;
}
