// The page of a review: takes a decision about each photo, saves the verdicts as CSV.

const review = JSON.parse($("data").textContent);
const verdictColumn = review.columns.indexOf("verdict");
const OPEN = ""; // the act of a photo without a decision
const items = [...document.querySelectorAll(".card")].map((card, row) => ({
  card, cells: review.rows[row], verdicts: review.verdicts[row], act: OPEN,
}));
const past = []; // decisions that can be undone, each [item, act before]
const storageKey = `embedkit-review-${review.id}`;
let current = items[0]; // the item that keys decide about
let enlarged = null; // the item in the enlarged view; closing it would select the item that had the focus before
let beside = null; // the neighbour in the enlarged view
let saved = snapshot(); // the acts in the file on the disk

// -- decisions -----------------------------------------------------------------------------------

function acts() { return items.map((item) => item.act); }
function snapshot() { return JSON.stringify(acts()); }
function isOpen(item) { return item.act === OPEN; }
function nameOf(item) { return item.card.querySelector(".name").textContent; }

function decide(act) { // the same decision again takes it back
  if (!(act in current.verdicts)) return;
  past.push([current, current.act]);
  set(current, current.act === act ? OPEN : act);
  say(`${nameOf(current)}: ${review.words[current.act] ?? "open"}.`);
}

function set(item, act) {
  item.act = act;
  store();
  drawItem(item);
  drawBar();
}

function store() {
  try {
    localStorage.setItem(storageKey, JSON.stringify({ acts: acts(), saved }));
  } catch { // a private window or full storage; the warning before leaving still appears
    notify("This browser cannot store decisions: save the verdicts before you close the page.", true);
  }
}

function restore() {
  let stored = null;
  try {
    stored = JSON.parse(localStorage.getItem(storageKey));
  } catch { /* the same as nothing stored */ }
  if (stored?.acts?.length !== items.length) return;
  items.forEach((item, row) => { item.act = stored.acts[row] in item.verdicts ? stored.acts[row] : OPEN; });
  saved = stored.saved ?? saved;
}

function undo() {
  const last = past.pop();
  if (!last) return say("Nothing to undo.");
  set(...last);
  goTo(last[0]);
  say("Undone.");
}

function save() {
  const verdict = (item) => (isOpen(item) ? "" : item.verdicts[item.act]);
  const name = download(review.name, [review.columns, ...items.map((item) => item.cells.with(verdictColumn, verdict(item)))]);
  saved = snapshot();
  store();
  drawBar();
  const where = review.workspace && ` -w ${review.workspace}`;
  notify(`Saved to your downloads. Next, in that folder: embedkit verdict --from-csv ${name}${where}`);
}

// -- drawing -------------------------------------------------------------------------------------

function draw() {
  items.forEach(drawItem);
  drawBar();
}

function drawItem(item) {
  item.card.dataset.act = item.act;
  const badge = item.card.querySelector(".badge");
  badge.dataset.act = item.act;
  badge.textContent = review.words[item.act] ?? "";
  drawChoices(item.card, item);
  if (item === current && $("large").open) drawLarge();
}

function drawChoices(parent, item) {
  for (const button of parent.querySelectorAll(".choices button")) {
    button.setAttribute("aria-pressed", button.dataset.act === item.act);
  }
}

function drawBar() {
  const open = items.filter(isOpen).length;
  const before = JSON.parse(saved);
  const unsaved = items.filter((item, row) => item.act !== before[row]).length;
  $("left").textContent = `${open.toLocaleString("en")} open, ${(items.length - open).toLocaleString("en")} decided`;
  $("progress").value = items.length - open;
  $("wrong").textContent = items.filter((item) => review.wrong.includes(item.act)).length.toLocaleString("en");
  $("unsaved").textContent = unsaved ? `${unsaved.toLocaleString("en")} unsaved` : "";
  $("undo").disabled = !past.length;
}

// -- moving --------------------------------------------------------------------------------------

function select(item) { // only the selected card and its buttons are in the tab order
  const tabbable = (card, is) => {
    for (const node of [card, ...card.querySelectorAll("a, button")]) node.tabIndex = is ? 0 : -1;
  };
  tabbable(current.card, false);
  current = item;
  tabbable(current.card, true);
}

function goTo(item) {
  if (!item) return;
  if (item !== current) beside = null;
  select(item);
  if ($("large").open) return drawLarge();
  item.card.scrollIntoView({ block: "start" });
  item.card.focus({ preventScroll: true });
}

function move(step) { goTo(items[items.indexOf(current) + step]); }

function onward(act) { // after a decision by key go to the next open photo
  decide(act);
  if (isOpen(current)) return;
  const from = items.indexOf(current);
  const next = [...items.slice(from), ...items.slice(0, from)].find(isOpen);
  if (next) goTo(next);
  else notify("All photos are decided: save the verdicts.");
}

// -- enlarged ------------------------------------------------------------------------------------

function enlarge(picture = null) {
  beside = picture;
  if (!$("large").open) showDialog("large", ".stage");
  drawLarge();
}

function drawLarge() {
  enlarged = current;
  const pictures = [current.card.querySelector(".picture"), beside].filter(Boolean);
  const stage = $("large").querySelector(".stage");
  const shown = `${current.card.dataset.row} ${beside?.href}`;
  if (stage.dataset.shown !== shown) {
    stage.dataset.shown = shown;
    stage.replaceChildren(...pictures.map(figure));
    $("large").querySelector(".here").replaceChildren(current.card.querySelector(".choices").cloneNode(true));
  }
  drawChoices($("large"), current);
  $("large").querySelector(".status").textContent = `Photo ${items.indexOf(current) + 1} of ${items.length}. ${$("left").textContent}`;
}

function figure(picture) {
  const node = document.createElement("figure");
  const frame = element("div", picture.className.replace("picture", "frame"), "");
  const whole = new Image(); // shown only if the browser may read the file and knows its format
  whole.alt = "";
  whole.addEventListener("load", () => frame.replaceChildren(whole));
  whole.src = picture.href;
  if (picture.firstElementChild) frame.append(picture.firstElementChild.cloneNode(true)); // the note
  node.append(frame, element("figcaption", "", picture.getAttribute("aria-label")));
  return node;
}

// -- input ---------------------------------------------------------------------------------------

const KEYS = {
  ArrowDown: () => move(1), ArrowRight: () => move(1), ArrowUp: () => move(-1), ArrowLeft: () => move(-1),
  z: () => ($("large").open ? $("large").close() : enlarge()), u: undo, "?": () => showDialog("keys", ".close"),
  ...Object.fromEntries(Object.entries(review.keys).map(([key, act]) => [key, () => onward(act)])),
};
KEYS.Enter = KEYS.z;

document.addEventListener("keydown", (event) => {
  const key = keyOf(event);
  const act = KEYS[key];
  if (!act) return;
  event.preventDefault();
  if (event.repeat && !key.startsWith("Arrow")) return; // a key that is held down decides once
  notify("");
  act();
});

document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  const picture = event.target.closest(".picture");
  if (button?.classList.contains("close")) button.closest("dialog").close();
  if (picture && !(event.ctrlKey || event.metaKey || event.shiftKey)) {
    event.preventDefault();
    enlarge(picture.closest(".near") && picture);
  }
  if (!button?.dataset.act) return;
  notify("");
  decide(button.dataset.act);
});

function selectAt(event) { // keys decide about the card that was clicked or focused last
  const card = event.target.closest(".card");
  if (card && items[card.dataset.row] !== current) select(items[card.dataset.row]);
}
document.addEventListener("click", selectAt, true); // before the click decides
document.addEventListener("focusin", selectAt);

$("save").addEventListener("click", save);
$("undo").addEventListener("click", undo);
$("help").addEventListener("click", KEYS["?"]);
$("large").addEventListener("close", () => goTo(enlarged));
window.addEventListener("beforeunload", (event) => { if (snapshot() !== saved) event.preventDefault(); });
window.addEventListener("storage", (event) => { // the same page in another tab
  if (event.key !== storageKey) return;
  restore();
  draw();
});

// -- start ---------------------------------------------------------------------------------------

document.documentElement.classList.add("live");
$("bar").hidden = false;
restore();
for (const node of document.querySelectorAll(".card, .card :is(a, button)")) node.tabIndex = -1;
select(items.find(isOpen) ?? items[0]);
draw();
current.card.focus({ preventScroll: true });
if (items.some((item) => !isOpen(item))) notify("Your earlier decisions on this page were restored.");
