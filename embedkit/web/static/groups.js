// The groups of a search for duplicates: loaded in ranges for the list, and one by one for the view.

import { counted } from "./ui.js";
import { address, get, post } from "./api.js";

const RANGE = 240;
const KEPT = 400; // groups with their files

const WORDS = { open: "", accepted: "✓ decided", different: "≠ different" };

const STATES = { open: "", accepted: "decided", different: "not duplicates" };

// What the tag of a group says in the list.
export function tagOf(group) {
  if (group.applied) return "✓ moved";
  if (group.state === "open" && group.conflict) return "conflict";
  return WORDS[group.state] || (group.review ? "to review" : "");
}

// A group in words, to be read out.
export const wordsOf = (group, count) => [
  `Group ${(group.position + 1).toLocaleString("en")} of ${count.toLocaleString("en")}`,
  counted(group.files, "file"), group.conflict && "labels differ", group.applied ? "moved" : STATES[group.state],
].filter(Boolean).join(", ");

// A source of the grid: a group is shown as a photo.
export class GroupSource {
  sections = [];
  ranges = new Map();
  details = new Map();
  queue = Promise.resolve(); // decisions reach the server in their order
  revision = ""; // of the decisions that the page shows; the server refuses requests with another one

  constructor({ key, totals }) {
    this.key = key;
    this.count = totals.groups;
    this.revision = totals.revision;
    this.path = `/duplicates/${key}`;
  }

  photo(index) {
    return this.ranges.get(Math.floor(index / RANGE))?.[index % RANGE];
  }

  picture(index) {
    const group = this.photo(index);
    return group ? { url: address(`/photos/${group.sha256}/picture?side=128`) } : null;
  }

  load(first, last, onLoad, onError) {
    for (let number = Math.floor(first / RANGE); number * RANGE <= last; number += 1) {
      const before = this.ranges.get(number);
      if (before && !before.isOld) continue;
      const range = [...before ?? []]; // shown until the answer is there
      this.ranges.set(number, range);
      get(`${this.path}/groups?first=${number * RANGE}&count=${RANGE}`).then((groups) => {
        if (this.ranges.get(number) !== range) return;
        for (const group of groups) group.labels = [];
        this.ranges.set(number, groups);
        onLoad();
      }, (error) => {
        if (this.ranges.get(number) === range) this.ranges.delete(number);
        onError(error);
      });
    }
  }

  // The next group without a decision, as far as the states are known; otherwise the next group.
  nextOpen(position) {
    for (let next = position + 1; next < this.count; next += 1) {
      const group = this.photo(next);
      if (!group || (group.state === "open" && !group.applied)) return next;
    }
    return null;
  }

  // A group with its files.
  group(position) {
    let detail = this.details.get(position);
    if (!detail) {
      detail = get(`${this.path}/groups/${position}`);
      detail.catch(() => this.details.delete(position));
      this.details.set(position, detail);
      for (const old of this.details.keys()) {
        if (this.details.size <= KEPT) break;
        this.details.delete(old);
      }
    }
    return detail;
  }

  // Load the other files of a group with many.
  async more(group) {
    const next = await get(`${this.path}/groups/${group.position}?first=${group.members.length}`);
    group.members.push(...next.members);
  }

  change(group) {
    const summary = this.photo(group.position);
    if (summary) summary.state = group.state;
  }

  decide(group) {
    const actions = {};
    group.members.forEach((member, place) => {
      if (member.action !== member.proposal) actions[place] = member.action;
    });
    return this.send(`/groups/${group.position}`, { state: group.state, actions });
  }

  send(path, content) {
    return this.inTurn(async () => {
      const answer = await post(`${this.path}${path}?revision=${this.revision}`, content);
      this.revision = (answer.totals ?? answer).revision ?? this.revision;
      return answer;
    });
  }

  // The groups of the last search, after all decisions.
  read() {
    return this.inTurn(() => get("/duplicates"));
  }

  inTurn(request) {
    const answer = this.queue.then(request);
    this.queue = answer.catch(() => {});
    return answer;
  }

  // Load everything again, after a change of many groups; the grid has to reload.
  reset() {
    for (const range of this.ranges.values()) range.isOld = true;
    this.details.clear();
  }
}
