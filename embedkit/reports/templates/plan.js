// The page of a plan: filters and pages through its groups, takes decisions, saves the plan as CSV.
// Every group is markup inside a <noscript>, which scripts see as text; only groups in view become elements.

const plan = JSON.parse($("data").textContent);
const GROUPS_PER_PAGE = 50;
const FILES_AT_ONCE = 48; // of a group
const OPEN = "review"; // undecided in the plan; "left" means that the person leaves it undecided too
const STATES = [OPEN, "remove", "keep", "left"];

// -- the plan and the decisions ------------------------------------------------------------------

const column = Object.fromEntries(plan.columns.map((name, index) => [name, index]));
const files = plan.rows.map((cells, row) => ({
  cells, proposed: cells[column.action], state: cells[column.action], kind: cells[column.kind],
  label: plan.labels[row], bytes: plan.bytes[row], path: plan.paths[row],
  folded: fold(`${plan.paths[row]}\n${cells[column.reason]}`),
}));
const groups = plan.groups.map((rows, index) => ({ index, files: rows.map((row) => files[row]) }));
for (const group of groups) for (const file of group.files) file.group = group;
const past = []; // decisions that can be undone, each a list of [file, state before]
const storageKey = `embedkit-plan-${plan.id}`;
let saved = snapshot(); // the states in the file on the disk

function fold(text) { return text.normalize("NFKC").toLowerCase(); }
function snapshot() { return files.map((file) => STATES.indexOf(file.state)).join(""); }
function number(group, state) { return group.files.filter((file) => file.state === state).length; }
function isOpen(file) { return file.state === OPEN; }
function openOthers(file) { return file.group.files.filter((other) => other !== file && isOpen(other)); }
function has(group, state) { return number(group, state) > 0; }
function keepsOne(group) { return group.files.some((file) => file.state === "keep" && file.kind !== "damaged"); }

// As in read_plan: a keep-one group that loses a file keeps an intact one; an undecided file is not kept.
function losesAll(group) {
  return group.files[0].cells[column.rule] === "keep-one" && has(group, "remove") && !keepsOne(group);
}

function decide(changes) { // a list of [file, new state]
  const real = changes.filter(([file, state]) => file.state !== state);
  if (real.length) past.push(real.map(([file]) => [file, file.state]));
  set(real);
  if (current) say(`${nameOf(current)}: ${plan.states[current.state]}.`);
}

function set(changes) {
  for (const [file, state] of changes) file.state = state;
  try {
    localStorage.setItem(storageKey, JSON.stringify({ states: snapshot(), saved }));
  } catch { // a private window or full storage; the warning before leaving still appears
    notify("This browser cannot store decisions: save the plan before you close the page.", true);
  }
  draw(new Set(changes.map(([file]) => file.group)));
}

function restore() {
  let stored = null;
  try {
    stored = JSON.parse(localStorage.getItem(storageKey));
  } catch { /* the same as nothing stored */ }
  if (stored?.states?.length !== files.length) return;
  files.forEach((file, row) => { file.state = STATES[stored.states[row]] ?? file.proposed; });
  saved = stored.saved ?? saved;
}

const ACTS = {
  keep: () => decide([[current, "keep"]]),
  remove: () => decide([[current, "remove"]]),
  left: () => decide([[current, "left"]]),
  only: () => decide([[current, "keep"], ...openOthers(current).map((file) => [file, "remove"])]),
  rest: () => decide(current.group.files.filter(isOpen).map((file) => [file, "left"])),
  proposed: () => decide(current.group.files.map((file) => [file, file.proposed])),
};

function undo() {
  const changes = past.pop();
  if (!changes) return say("Nothing to undo.");
  set(changes);
  goTo(changes[0][0]);
  say("Undone.");
}

function save() {
  const bad = groups.filter(losesAll);
  if (bad.length) {
    const others = bad.length > 1 ? ` and ${counted(bad.length - 1, "other")}` : "";
    goTo(bad[0].files[0]);
    return notify(`Not saved: no file of group ${bad[0].files[0].cells[column.group]}${others} would be kept. Keep one of its files first.`, true);
  }
  const action = (file) => (file.state === "left" ? OPEN : file.state);
  const name = download(plan.name, [plan.columns, ...files.map((file) => file.cells.with(column.action, action(file)))]);
  saved = snapshot();
  set([]);
  notify(`Saved to your downloads. Next, in that folder: embedkit apply ${name}${plan.options}`);
}

// -- what is in view -----------------------------------------------------------------------------

const NO_FILTER = { state: "", kind: "", label: "", text: "" };
const filter = { ...NO_FILTER };
const same = (name) => (file) => !filter[name] || filter[name] === `=${file[name]}`;
const passes = {
  state: same("state"), kind: same("kind"), label: same("label"), text: (file) => file.folded.includes(filter.text),
};
const passesAll = (file) => Object.values(passes).every((pass) => pass(file));
const cards = new Map(); // by file: its element in view
let list = []; // groups that pass the filters; only a change of filters updates it, so that decisions move no group
let undecided = new Set(); // those of them with open files at that time; they come first
let page = 0;
let current = null; // the file that keys decide about
let enlarged = null; // the file in the enlarged view; closing it would select the file that had the focus before

function applyFilters() {
  const all = groups.filter((group) => group.files.some(passesAll));
  undecided = new Set(all.filter((group) => has(group, OPEN)));
  list = [...undecided, ...all.filter((group) => !undecided.has(group))];
  showPage(0);
}

function showPage(to) {
  page = to;
  const shown = list.slice(page * GROUPS_PER_PAGE, (page + 1) * GROUPS_PER_PAGE);
  cards.clear();
  const nodes = [];
  for (const [index, group] of shown.entries()) {
    const asks = undecided.has(group);
    if (index === 0 || asks !== undecided.has(shown[index - 1])) {
      const count = counted(list.length - undecided.size, "group");
      nodes.push(element("h2", asks ? "part asks" : "part", asks ? "" : `Decided, or proposed by the plan: ${count}`));
    }
    nodes.push(section(group));
  }
  if (!list.length) nodes.push(element("p", "empty", files.length ? "No file passes these filters." : "The plan has no groups."));
  $("view").replaceChildren(...nodes);
  for (const nav of document.querySelectorAll(".pages")) drawPages(nav);
  current = null;
  if (shown.length) focusOn(shown[0].files.find((file) => file.state === OPEN) ?? shown[0].files[0], false);
  draw(new Set());
}

function section(group) {
  const parsed = new DOMParser().parseFromString($(`group-${group.index}`).textContent, "text/html");
  const node = document.adoptNode(parsed.querySelector("section"));
  node.querySelector("header").append($("settle").content.cloneNode(true));
  const pictures = new Map(); // files with equal bytes share one picture in the markup
  const items = [...node.querySelectorAll(".card")];
  for (const item of items) {
    const frame = item.querySelector(".picture");
    const image = frame.querySelector("img");
    if (image) pictures.set(frame.dataset.digest, image);
    else if (pictures.has(frame.dataset.digest)) frame.replaceChildren(pictures.get(frame.dataset.digest).cloneNode());
    frame.after($("choices").content.cloneNode(true));
    const file = files[item.dataset.row];
    const hasOthers = group.files.some((other) => other !== file && other.proposed === OPEN);
    if (!hasOthers) item.querySelector("[data-act=only]").remove();
    cards.set(file, item);
  }
  fewer(node.querySelector(".cards"), items);
  group.node = node;
  drawGroup(group);
  return node;
}

function fewer(parent, items) { // a group of thousands of files would block the page
  parent.replaceChildren(...items.slice(0, FILES_AT_ONCE));
  if (items.length <= FILES_AT_ONCE) return;
  const more = element("button", "more", `Show the other ${counted(items.length - FILES_AT_ONCE, "file")}`);
  more.type = "button";
  more.addEventListener("click", () => parent.replaceChildren(...items));
  parent.append(more);
}

// -- drawing states ------------------------------------------------------------------------------

function draw(touched) {
  for (const group of touched) drawGroup(group);
  drawBar();
  drawFilters();
  drawRest();
  if ($("large").open) drawLarge();
}

function drawGroup(group) {
  for (const file of group.files) {
    const card = cards.get(file);
    if (!card) return; // not in view
    card.dataset.state = file.state;
    card.setAttribute("aria-label", `${plan.states[file.state]}: ${nameOf(file)}`);
    drawBadge(card.querySelector(".badge"), file.state);
    drawChoices(card, file);
  }
  const left = number(group, OPEN);
  const isProposed = group.files.every((file) => file.state === file.proposed);
  group.node.querySelector("[data-act=rest]").hidden = left < 2;
  group.node.querySelector("[data-act=proposed]").hidden = isProposed;
  group.node.querySelector(".status").textContent = left > 1 ? `${left} undecided` : "";
  group.node.querySelector(".alarm").textContent = losesAll(group)
    ? "No file of this group would be kept, so the plan cannot be saved: keep one of its files." : "";
}

function drawChoices(parent, file) {
  for (const button of parent.querySelectorAll(".choices button")) {
    if (button.dataset.act === "only") button.disabled = !openOthers(file).length;
    else button.setAttribute("aria-pressed", button.dataset.act === file.state);
  }
}

function drawBadge(badge, state) {
  badge.dataset.state = state;
  badge.textContent = plan.states[state];
}

function drawBar() {
  const count = (state) => files.filter((file) => file.state === state).length;
  const asked = files.filter((file) => file.proposed === OPEN).length;
  const freed = files.reduce((sum, file) => sum + (file.state === "remove" ? file.bytes : 0), 0);
  const unsaved = [...snapshot()].filter((digit, row) => digit !== saved[row]).length;
  $("left").textContent = count(OPEN) ? `${counted(count(OPEN), "decision")} left` : "No decisions left";
  $("progress").max = asked || 1;
  $("progress").value = asked ? asked - count(OPEN) : 1;
  for (const state of ["keep", "remove", "left"]) $(`total-${state}`).textContent = count(state).toLocaleString("en");
  $("some-left").hidden = !count("left");
  $("freed").textContent = sizeText(freed);
  $("unsaved").textContent = unsaved ? `${unsaved.toLocaleString("en")} unsaved` : "";
  $("undo").disabled = !past.length;
}

function sizeText(bytes) { // the same text as the commands print
  const inUnit = (unit, digits) =>
    (bytes / unit).toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  if (bytes < 1e6) return `${inUnit(1e3, 0)} kB`;
  return bytes < 1e9 ? `${inUnit(1e6, 1)} MB` : `${inUnit(1e9, 2)} GB`;
}

function drawFilters() { // show beside each choice how many files would pass with it
  for (const [name, choices] of [["state", $("filters").elements.state], ["kind", $("kind").options], ["label", $("label").options]]) {
    const others = Object.keys(passes).filter((other) => other !== name);
    const passing = files.filter((file) => others.every((other) => passes[other](file)));
    const counts = new Map();
    for (const file of passing) counts.set(`=${file[name]}`, (counts.get(`=${file[name]}`) ?? 0) + 1);
    for (const choice of choices) {
      const count = (choice.value ? counts.get(choice.value) ?? 0 : passing.length).toLocaleString("en");
      if (choice.labels) {
        choice.labels[0].querySelector("output").textContent = count;
        if (choice.value === "=left") choice.labels[0].hidden = count === "0" && !choice.checked;
      }
      else choice.textContent = `${choice.dataset.word} (${count})`;
    }
  }
}

function rest(state) { // decide the undecided files on this page that pass the filters; no group loses all its files
  const shown = [...new Set([...cards.keys()].map((file) => file.group))];
  return shown.filter((group) => state !== "remove" || keepsOne(group))
    .flatMap((group) => group.files.filter((file) => isOpen(file) && passesAll(file)));
}

function drawRest() {
  const asking = [...undecided].filter((group) => has(group, OPEN)).length;
  const part = $("view").querySelector(".asks");
  if (part) part.textContent = `To review: ${asking < undecided.size ? `${asking} of ` : ""}${counted(undecided.size, "group")}`;
  const count = rest().length;
  $("rest").hidden = !count;
  $("rest").querySelector("span").textContent = `Undecided on this page: ${counted(count, "file")}`;
  for (const button of $("rest").querySelectorAll("button")) {
    const could = rest(button.dataset.rest).length;
    button.textContent = `${button.title.split(" ")[0]} ${could === count ? "all" : could.toLocaleString("en")}`;
    button.disabled = !could;
  }
}

function drawPages(nav) {
  const pages = Math.ceil(list.length / GROUPS_PER_PAGE);
  nav.hidden = pages < 2;
  const [before, , after] = nav.querySelectorAll("button, select");
  before.disabled = page === 0;
  after.disabled = page >= pages - 1;
  nav.querySelector("select").replaceChildren(
    ...Array.from({ length: pages }, (_, index) => new Option(`Page ${index + 1} of ${pages}`, index, false, index === page)));
}

function nameOf(file) { return cards.get(file).querySelector(".name").textContent; }

// -- moving --------------------------------------------------------------------------------------

function focusOn(file, withFocus = true) { // only the focused card and its buttons are in the tab order
  const tabbable = (card, is) => {
    card.tabIndex = is ? 0 : -1;
    for (const inner of card.querySelectorAll("button, .name")) inner.tabIndex = is ? 0 : -1;
  };
  if (current) tabbable(cards.get(current), false);
  else for (const card of cards.values()) tabbable(card, false);
  current = file;
  const card = cards.get(file);
  tabbable(card, true);
  if (!card.isConnected) file.group.node.querySelector(".more").click();
  if (withFocus) card.focus();
  if ($("large").open) drawLarge();
}

function goTo(file) {
  if (!list.includes(file.group)) {
    Object.assign(filter, NO_FILTER);
    $("filters").reset();
    applyFilters();
  }
  goToGroup(list.indexOf(file.group), () => file);
}

function goToGroup(index, pick) { // go to a group of the list, on any page
  if (index < 0 || index >= list.length) return;
  if (Math.floor(index / GROUPS_PER_PAGE) !== page) showPage(Math.floor(index / GROUPS_PER_PAGE));
  focusOn(pick(list[index].files));
}

function move(step) {
  const mates = current.group.files;
  const next = mates[mates.indexOf(current) + step];
  if (next) focusOn(next);
  else goToGroup(list.indexOf(current.group) + step, (others) => others.at(step > 0 ? 0 : -1));
}

function moveGroup(step) {
  goToGroup(list.indexOf(current.group) + step, (others) => others.find((file) => file.state === OPEN) ?? others[0]);
}

function onward(act) { // after a decision by key go to the next undecided file
  const { group } = current;
  const before = number(group, OPEN);
  act();
  if (number(group, OPEN) === before) return;
  const from = list.indexOf(group);
  const next = [...list.slice(from), ...list.slice(0, from)].find((other) => has(other, OPEN));
  if (!next) return notify(files.some(isOpen) ? "All files in this view are decided; the filters hide undecided ones." : "All files are decided: save the plan.");
  const later = next === group ? group.files.slice(group.files.indexOf(current)) : [];
  goToGroup(list.indexOf(next), (others) => later.find(isOpen) ?? others.find(isOpen));
}

// -- enlarged ------------------------------------------------------------------------------------

function partner(file) { // the kept file, or else the first other file
  const others = file.group.files.filter((other) => other !== file);
  const differs = (other) => other.cells[column.sha256] !== file.cells[column.sha256];
  return others.find((other) => other.state === "keep") ?? others.find(differs) ?? others[0];
}

function enlarge() {
  if ($("large").open) return $("large").close();
  showDialog("large", ".stage");
  drawLarge();
}

function drawLarge() {
  enlarged = current;
  const pair = [current, partner(current)].filter(Boolean);
  const stage = $("large").querySelector(".stage");
  const shown = pair.map((file) => file.path).join("\0");
  if (stage.dataset.shown !== shown) {
    stage.dataset.shown = shown;
    stage.classList.remove("flipped"); // keys decide about the file in view
    $("large").querySelector(".here b").textContent = nameOf(current);
    stage.replaceChildren(...pair.map(figure));
  }
  pair.forEach((file, index) => drawBadge(stage.children[index].querySelector(".badge"), file.state));
  for (const button of $("large").querySelectorAll("[data-mode]")) {
    if (button !== stage) button.setAttribute("aria-pressed", button.dataset.mode === stage.dataset.mode);
  }
  drawChoices($("large"), current);
  $("large").querySelector(".status").textContent = `Group ${current.cells[column.group]}. ${$("left").textContent}`;
}

function figure(file) {
  const card = cards.get(file);
  const node = document.createElement("figure");
  const caption = element("figcaption", "", "");
  const facts = card.querySelector(".facts").cloneNode(true);
  const source = element("li", "", "");
  caption.append(...[".badge", ".name", ".label", ".reason"].flatMap((part) => card.querySelector(part)?.cloneNode(true) ?? []), facts);
  const frame = element("div", "frame", "");
  const small = card.querySelector(".picture img");
  if (small) {
    const image = frame.appendChild(small.cloneNode());
    source.textContent = "reduced picture";
    image.addEventListener("load", () => { source.textContent = image.src === small.src ? "reduced picture" : "the file itself"; });
    const whole = new Image(); // shown only if the browser may read the file and knows its format
    whole.addEventListener("load", () => { image.src = whole.src; });
    whole.src = card.querySelector(".name").href;
    facts.append(source);
  } else frame.append(card.querySelector(".note").cloneNode(true));
  node.append(frame, caption);
  return node;
}

function compare(mode) {
  const stage = $("large").querySelector(".stage");
  if (mode === "flip" && stage.dataset.mode === "flip") stage.classList.toggle("flipped");
  stage.dataset.mode = mode === stage.dataset.mode && mode !== "flip" ? "side" : mode;
  drawLarge();
}

// -- input ---------------------------------------------------------------------------------------

const KEYS = {
  ArrowRight: () => move(1), ArrowLeft: () => move(-1), ArrowDown: () => moveGroup(1), ArrowUp: () => moveGroup(-1),
  k: () => onward(ACTS.keep), r: () => onward(ACTS.remove), o: () => onward(ACTS.only), a: () => onward(ACTS.rest),
  l: () => onward(ACTS.left), s: () => onward(ACTS.left), " ": () => onward(ACTS.left), z: enlarge, Enter: enlarge,
};
const LARGE_KEYS = { d: () => compare("difference"), f: () => compare("flip") };
const ANYWHERE = { u: undo, "?": () => showDialog("keys", ".close") };

document.addEventListener("keydown", (event) => {
  const key = keyOf(event);
  const act = ANYWHERE[key] ?? (current && KEYS[key]) ?? ($("large").open && LARGE_KEYS[key]);
  if (!act) return;
  event.preventDefault();
  if (event.repeat && !key.startsWith("Arrow")) return; // a key that is held down decides once
  notify("");
  act();
});

document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button?.classList.contains("close")) button.closest("dialog").close();
  if (button?.dataset.mode) compare(button.dataset.mode);
  settleOn(event.target);
  if (event.target.closest(".picture") && !(event.ctrlKey || event.metaKey || event.shiftKey)) {
    event.preventDefault();
    enlarge();
  }
  if (button?.dataset.rest) decide(rest(button.dataset.rest).map((file) => [file, button.dataset.rest]));
  if (!button?.dataset.act) return;
  notify("");
  ACTS[button.dataset.act]();
  if (button.hidden) cards.get(current).focus();
});

function settleOn(target) { // keys decide about what was clicked or focused last
  const group = target.closest(".group");
  const card = target.closest(".card") ?? (group?.contains(cards.get(current)) ? null : group?.querySelector(".card"));
  if (card && files[card.dataset.row] !== current) focusOn(files[card.dataset.row], false);
}
document.addEventListener("focusin", (event) => settleOn(event.target));

$("filters").addEventListener("submit", (event) => { // Enter: the keys decide again
  event.preventDefault();
  cards.get(current)?.focus();
});
$("filters").addEventListener("input", () => {
  const { state, kind, label, text } = $("filters").elements;
  Object.assign(filter, { state: state.value, kind: kind.value, label: label.value, text: fold(text.value) });
  applyFilters();
});
for (const nav of document.querySelectorAll(".pages")) {
  nav.addEventListener("change", (event) => turnPage(Number(event.target.value)));
  nav.addEventListener("click", (event) => { if (event.target.dataset.step) turnPage(page + Number(event.target.dataset.step)); });
}
function turnPage(to) {
  showPage(to);
  $("view").scrollIntoView();
  cards.get(current).focus({ preventScroll: true });
}
$("save").addEventListener("click", save);
$("undo").addEventListener("click", undo);
$("help").addEventListener("click", ANYWHERE["?"]);
$("restart").addEventListener("click", () => {
  $("keys").close();
  decide(files.map((file) => [file, file.proposed]));
  applyFilters();
});
$("large").addEventListener("close", () => focusOn(enlarged));
window.addEventListener("beforeunload", (event) => { if (snapshot() !== saved) event.preventDefault(); });
window.addEventListener("storage", (event) => { // the same page in another tab
  if (event.key !== storageKey) return;
  restore();
  draw(new Set(list));
});

// -- start ---------------------------------------------------------------------------------------

document.documentElement.classList.add("live");
for (const hidden of document.querySelectorAll("#bar, #filters")) hidden.hidden = false;
$("large").querySelector(".here").append($("choices").content.cloneNode(true));
restore();
applyFilters();
if (files.some((file) => file.state !== file.proposed)) notify("Your earlier decisions on this page were restored.");
