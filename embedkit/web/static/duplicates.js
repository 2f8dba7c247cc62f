// The page of duplicates: one group at a time, decided by at most two keys.

import { Component, createRef, Dialog, Help, announce, complain, counted, html, isTyping, nameOf, say, start } from "./ui.js";
import { Compare, MODES, large, small } from "./compare.js";
import { Badge, Facts, WORDS } from "./filefacts.js";
import { Grid } from "./grid.js";
import { GroupSource, tagOf, wordsOf } from "./groups.js";
import { Confirm, Report, Restore, resultOf } from "./quarantine.js";
import { RunProgress } from "./runs.js";
import { Start, Totals } from "./totals.js";
import { get, post } from "./api.js";

const KEYS = [
  ["Enter", "Accept the proposal of the group, and go to the next group"],
  ["k", "Keep this file"],
  ["r x", "Remove this file"],
  ["1 … 9", "Keep only this file, and remove the others of the group"],
  ["l", "Leave this file for review"],
  ["n", "Not duplicates: keep all, and go to the next group"],
  ["u", "Undo the last decision"],
  ["← →", "Previous, next file"],
  ["↑ ↓", "Previous, next group"],
  ["s w f d", "Side by side, slider, swap, difference"],
  ["z", "Enlarge the file"],
  ["a", "Move the files to quarantine"],
  ["?", "These keys"],
];
const MODE_OF_KEY = Object.fromEntries(MODES.map(([mode, , key]) => [key, mode]));
const AHEAD = 3; // groups whose files are loaded before they are shown

const folderOf = (path) => path.slice(0, path.length - nameOf(path).length);

class Duplicates extends Component {
  grid = createRef();
  state = {
    server: null, found: null, run: null, source: null, totals: null, position: 0, group: null,
    current: 0, other: 0, mode: "side", isSwapped: false, dialog: null, report: null, quarantines: [],
  };

  async componentDidMount() {
    document.addEventListener("keydown", this.pressed, true);
    document.addEventListener("visibilitychange", this.look);
    addEventListener("focus", this.look);
    try {
      const server = await get("/server");
      this.setState({ server });
      if (!server.is_empty) await this.readQuarantines();
      await this.open();
    } catch (error) {
      complain(error);
    }
  }

  // Quarantines with files to put back, also interrupted ones.
  async readQuarantines() {
    this.setState({ quarantines: (await get("/quarantines")).filter((one) => one.files > 0) });
  }

  // Show the groups of the last search, from the first open one.
  async open(note) {
    const found = await get("/duplicates");
    const source = found.totals?.groups ? new GroupSource(found) : null;
    await new Promise((done) => this.setState({ found, source, totals: found.totals, group: null }, done));
    if (source) await this.show(found.first_open, note);
    else if (note) announce("No duplicates found.");
  }

  // Take over what another process or page has changed while this page was in the background.
  look = async () => {
    const { server, found: before } = this.state;
    if (document.hidden || this.isLooking || !before || server.is_empty || this.state.run) return;
    this.isLooking = true;
    try {
      const { source } = this.state;
      await this.readQuarantines();
      const found = await (source ? source.read() : get("/duplicates"));
      if (this.state.run || this.state.found !== before || this.isReading) return;
      const isChanged = source && found.totals?.revision !== source.revision;
      if (found.key !== before.key) await this.open();
      else if (isChanged) await this.refresh();
      if (isChanged) say("Another tab or program has changed the decisions. This is the present state.");
    } catch (error) {
      complain(error);
    } finally {
      this.isLooking = false;
    }
  };

  search = async () => {
    try {
      this.setState({ run: await post("/duplicates", {}), report: null }, this.focus);
    } catch (error) {
      complain(error);
    }
  };

  finished = (run) => {
    const isMove = run.kind !== "duplicates";
    this.setState({ run: null });
    if (run.state === "failed") say(run.error, true);
    if (isMove && run.state === "done") {
      announce(`${resultOf(run)}.`);
      this.setState({ report: run, dialog: "report" });
    }
    if (isMove && run.state === "stopped") say("Stopped. Files that were moved before stay moved.");
    if (isMove) this.readQuarantines().catch(complain);
    const load = isMove && this.state.source ? this.refresh() : this.open(run.state === "done" ? "The search has ended." : "");
    load.then(this.focus).catch(complain);
  };

  // Give the focus to the title of the page, after the element that had it is gone.
  focus = () => {
    if (document.activeElement === document.body) document.getElementById("place")?.focus({ preventScroll: true });
  };

  // Read the decisions again; meanwhile, nothing is decided.
  async refresh(position) {
    const { source } = this.state;
    this.isReading = true;
    try {
      const { key, totals } = await source.read();
      if (key !== source.key) return await this.open();
      source.revision = totals.revision;
      this.changed(totals);
      await this.show(position ?? this.wanted);
    } finally {
      this.isReading = false;
    }
  }

  // Load the groups again, after many have changed.
  changed(totals) {
    this.state.source.reset();
    this.setState({ totals });
    this.grid.current?.reload();
  }

  // The server has refused a request about the group at a position, perhaps because of a change in another tab.
  refused = (error, position) => {
    if (!this.isReading) this.refresh(position).then(() => complain(error)).catch(complain);
  };

  // Show a group; if the page shows another one or has a note about the last decision, both are read out.
  async show(position, note = "") {
    const { source } = this.state;
    if (!source || position < 0 || position >= source.count) return;
    const call = this.latest = Symbol();
    const isOther = position !== this.state.group?.position;
    this.wanted = position;
    this.setState({ position });
    const group = await source.group(position);
    if (this.latest !== call) return;
    const kept = group.members.findIndex((member) => member.action === "keep");
    const left = Math.max(0, kept);
    const asked = group.members.findIndex((member, place) => place !== kept && member.action === "review");
    const right = asked >= 0 && asked !== left ? asked : left === 0 ? Math.min(1, group.members.length - 1) : 0;
    this.setState({ group, other: right, current: kept < 0 ? left : right, isSwapped: false });
    this.grid.current?.goTo(position, false);
    if (isOther || note) announce([note, `${wordsOf(group, source.count)}.`].filter(Boolean).join(" "));
    this.prefetch(position);
  }

  // The next groups are loaded while a person looks at this one.
  async prefetch(position) {
    const { source } = this.state;
    for (let next = position + 1; next <= position + AHEAD && next < source.count; next += 1) {
      const group = await source.group(next).catch(() => null);
      if (this.wanted !== position || !group) return;
      if (next === position + 1) {
        for (const member of group.members.slice(0, 2)) new Image().src = large(member.sha256);
      }
    }
  }

  go = (position, note) => this.show(position, note).catch(complain);

  // -- decisions -------------------------------------------------------------------------------

  get canDecide() {
    const { server, group, run } = this.state;
    if (!group || this.isReading) return false;
    if (server.read_only) say("The server was started with --read-only.", true);
    else if (group.applied) say("Files of this group were moved. Put them back first.", true);
    else if (run) say("Wait until the files are moved.", true);
    else return true;
    return false;
  }

  // Store the decision about the group in view; the page does not wait for it.
  store(state) {
    const { source, group } = this.state;
    group.state = state;
    source.change(group);
    this.redraw();
    source.decide(group).then((totals) => this.setState({ totals }), (error) => this.refused(error, group.position));
  }

  redraw() {
    this.forceUpdate();
    this.grid.current?.forceUpdate();
  }

  // Change actions of files; a group without files for review is decided.
  set(changes) {
    if (!this.canDecide) return false;
    const { members, files } = this.state.group;
    if (changes.some(([place, action]) => members[place].moved && action !== "remove")) {
      say("This file was moved. Put it back first.", true);
      return false;
    }
    const before = members.map((member) => member.action);
    if (this.state.group.state === "different") for (const member of members) member.action = member.proposal;
    for (const [place, action] of changes) members[place].action = action;
    const isLost = members.length === files && members.some((one) => one.action === "remove")
      && !members.some((one) => one.action === "keep" && one.kind !== "damaged");
    if (isLost) {
      members.forEach((member, place) => { member.action = before[place]; });
      say("One file has to stay: keep another one first.", true);
      return false;
    }
    const isDecided = members.every((member) => member.action !== "review");
    this.store(isDecided ? "accepted" : "open");
    const words = changes.length > 2 ? [`Keep only ${nameOf(members[changes.find(([, action]) => action === "keep")[0]].path)}`]
      : changes.map(([place, action]) => `${WORDS[action]} ${nameOf(members[place].path)}`);
    announce(`${words.join(", ")}.${isDecided ? " The group is decided." : ""}`);
    return true;
  }

  keep = () => {
    if (this.set([[this.state.current, "keep"]])) this.nextAsked();
  };

  // Of two files, removing one keeps the other.
  remove = () => {
    const { group: { members, files }, current } = this.state;
    const changes = [[current, "remove"]];
    if (files === 2 && members[1 - current].kind !== "damaged") changes.push([1 - current, "keep"]);
    if (this.set(changes)) this.nextAsked();
  };

  leave = () => this.set([[this.state.current, "review"]]);

  only = (place) => {
    const { members, files } = this.state.group;
    if (place >= members.length) return;
    if (members.length < files) return say("Show all files of the group first.", true);
    if (this.set(members.map((_, other) => [other, other === place ? "keep" : "remove"]))) this.select(place);
  };

  nextAsked() {
    const { members } = this.state.group;
    const next = members.findIndex((member) => member.action === "review");
    if (next >= 0) this.select(next);
  }

  accept = () => {
    if (this.state.group?.applied) return this.next();
    if (!this.canDecide) return;
    if (this.state.group.state !== "accepted") this.store("accepted");
    this.next("Accepted.");
  };

  reject = () => {
    if (!this.canDecide) return;
    const { group } = this.state;
    if (new Set(group.members.map((member) => member.sha256)).size < 2) {
      return say("These files have the same bytes; they cannot be different photos.", true);
    }
    for (const member of group.members) member.action = "keep";
    this.store("different");
    this.next("Not duplicates.");
  };

  next(note) {
    const { source, group } = this.state;
    const next = source.nextOpen(group.position);
    if (next !== null) this.go(next, note);
    else this.end(note);
  }

  // After the last group: the first one that was passed over, if there is one.
  async end(note) {
    const { totals, first_open: first } = await this.state.source.read().catch(complain) ?? {};
    if (!totals || this.isReading) return;
    if (totals.open) this.go(first, note);
    else say("All groups are decided.");
  }

  undo = async () => {
    const { source } = this.state;
    if (!source || this.isReading || this.state.server.read_only) return;
    try {
      const { group, totals } = await source.send("/undo", {});
      if (group === null) return say("Nothing to undo.");
      this.changed(totals);
      await this.show(group);
      say(`Undone: group ${(group + 1).toLocaleString("en")}.`);
    } catch (error) {
      this.refused(error);
    }
  };

  acceptSure = async () => {
    const { source } = this.state;
    try {
      const { accepted, totals } = await source.send("/accept", {});
      this.changed(totals);
      await this.show(this.wanted);
      say(`${counted(accepted, "group")} accepted. u undoes it.`);
    } catch (error) {
      this.refused(error);
    }
  };

  apply = async () => {
    const { source } = this.state;
    this.setState({ dialog: null });
    try {
      this.setState({ run: await source.send("/apply", {}) }, this.focus);
    } catch (error) {
      this.refused(error);
    }
  };

  restore = async (id) => {
    this.setState({ dialog: null });
    try {
      this.setState({ run: await post(`/quarantines/${id}/undo`, {}) }, this.focus);
    } catch (error) {
      complain(error);
    }
  };

  // -- moving ----------------------------------------------------------------------------------

  // Places of the two files in view: the kept one, and the one that was chosen last.
  get places() {
    const { group: { members, state }, current, other } = this.state;
    const kept = state === "different" ? 0 : Math.max(0, members.findIndex((member) => member.action === "keep"));
    const right = [other, current, 0, 1].find((place) => place !== kept && members[place]) ?? kept;
    return [kept, right];
  }

  select = (place) => {
    const { group, other } = this.state;
    if (!group.members[place]) return;
    this.setState({ current: place, other: place === this.places[0] ? other : place }, () => {
      document.getElementById(`file-${place}`)?.scrollIntoView({ block: "nearest", inline: "nearest" });
    });
  };

  step(by) {
    const { group, current } = this.state;
    const places = group.members.length;
    const next = (current + by + places) % places;
    this.select(next);
    announce(`${nameOf(group.members[next].path)}: ${WORDS[group.members[next].action]}.`);
  }

  compare(mode) {
    const { mode: before, isSwapped } = this.state;
    this.setState({ mode, isSwapped: mode === "swap" && before === "swap" ? !isSwapped : mode === "swap" });
  }

  openApply = async () => {
    if (this.state.server.read_only) return say("The server was started with --read-only.", true);
    await this.state.source.queue; // the last decision may still be on its way
    this.setState({}, () => {
      const { totals, dialog, run } = this.state;
      if (dialog || run) return;
      if (totals?.files) this.setState({ dialog: "apply" });
      else say("No file to move yet: accept groups first.");
    });
  };

  pressed = (event) => {
    const { group, dialog, run } = this.state;
    const isControl = event.target.closest?.("button, a, input") && ["Enter", " "].includes(event.key);
    if (isTyping(event) || dialog || isControl) return;
    if (event.key === "?") this.setState({ dialog: "help" });
    else if (!group) return;
    else {
      const act = {
        k: this.keep, r: this.remove, x: this.remove, l: this.leave, n: this.reject, u: this.undo,
        Enter: this.accept, a: this.openApply, z: () => this.setState({ dialog: "large" }),
        ArrowRight: () => this.step(1), ArrowLeft: () => this.step(-1),
        ArrowDown: () => this.go(this.wanted + 1), ArrowUp: () => this.go(this.wanted - 1),
      }[event.key] ?? (MODE_OF_KEY[event.key] && (() => this.compare(MODE_OF_KEY[event.key])))
        ?? (/^[1-9]$/.test(event.key) && (() => this.only(Number(event.key) - 1)));
      if (!act || run) return;
      // A key that is held down decides once, and none decides about a group that is not in view yet.
      const isInView = group.position === this.wanted && !event.repeat;
      if (isInView || event.key.startsWith("Arrow")) act();
    }
    event.preventDefault();
    event.stopPropagation();
  };

  // -- drawing ---------------------------------------------------------------------------------

  render(_, state) {
    const { server, found, run, source, totals, group, dialog, report, quarantines, position } = state;
    if (!server || !found) return html`<p class="notice">Loading…</p>`;
    if (server.is_empty) return html`<div class="empty"><h2 class="title">No photos yet</h2>
      <p>Add a folder of photos, then reload this page.</p><p><kbd>embedkit add photos</kbd></p></div>`;
    const close = () => this.setState({ dialog: null }, this.focus);
    const choose = (index) => { close(); this.go(index); };
    const openRestore = () => this.setState({ dialog: "restore" });
    const dialogs = html`
      ${dialog === "help" && html`<${Help} keys=${KEYS} onClose=${close} />`}
      ${dialog === "apply" && html`<${Confirm} totals=${totals} onApply=${this.apply} onClose=${close} />`}
      ${dialog === "report" && html`<${Report} run=${report} canUndo=${report.kind === "apply"}
        onUndo=${() => this.restore(report.result.quarantine)} onClose=${close} />`}
      ${dialog === "restore" && html`<${Restore} quarantines=${quarantines} onRestore=${this.restore} onClose=${close} />`}
      ${dialog === "groups" && html`<${Dialog} className="group-list" title="Groups" onClose=${close}>
        <${Grid} source=${source} cellSize=${84} label="Groups" tagOf=${tagOf} onError=${complain}
          onClick=${choose} onOpen=${choose} /><button class="button" onClick=${close}>Close</button><//>`}
      ${dialog === "large" && html`<${Large} file=${group.members[state.current]} onClose=${close} />`}`;
    if (run) return html`<div class="empty"><h2 class="title" id="place" tabindex="-1">${run.title}</h2>
      <${RunProgress} key=${run.id} id=${run.id} onDone=${this.finished} onError=${complain} /></div>`;
    if (!source) return html`<${Start} found=${found} server=${server} canRestore=${quarantines.length > 0}
      onSearch=${this.search} onRestore=${openRestore} />${dialogs}`;
    return html`
      <nav class="rail groups" aria-label="Groups">
        <${Grid} ref=${this.grid} source=${source} cellSize=${84} label="Groups" tagOf=${tagOf} onError=${complain}
          onClick=${(index) => this.go(index)} /></nav>
      <section class="stage group-view" aria-label="Group">
        ${group ? this.renderGroup(state) : html`<p class="notice">Loading…</p>`}
        <${Totals} totals=${totals} canRestore=${quarantines.length > 0} isReadOnly=${server.read_only} onSure=${this.acceptSure}
          onApply=${this.openApply} onRestore=${openRestore} onSearch=${this.search}
          onHelp=${() => this.setState({ dialog: "help" })} />
      </section>${dialogs}`;
  }

  renderGroup({ group, source, position, current, mode, isSwapped }) {
    const { places } = this;
    const [one, another] = places.map((place) => ({
      ...group.members[place], place, isCurrent: place === current, onChoose: () => this.select(place),
    }));
    const reasons = new Set(group.members.map((member) => member.reason));
    const states = { open: "", accepted: "Decided", different: "Not duplicates" };
    const file = group.members[current];
    return html`
      <header class="summary">
        <button class="button icon" aria-label="Previous group" disabled=${position === 0} onClick=${() => this.go(position - 1)}>↑</button>
        <button class="button icon" aria-label="Next group" disabled=${position >= source.count - 1} onClick=${() => this.go(position + 1)}>↓</button>
        <strong class="place" id="place" tabindex="-1">Group ${(group.position + 1).toLocaleString("en")} of ${source.count.toLocaleString("en")}</strong>
        <button class="button narrow" onClick=${() => this.setState({ dialog: "groups" })}>All groups</button>
        ${group.conflict && html`<span class="mark review">labels differ</span>`}
        ${(group.applied || group.state !== "open") && html`<span class="mark done">${group.applied ? "Moved" : states[group.state]}</span>`}
        <div class="modes" role="group" aria-label="How to compare">${MODES.map(([name, words, key]) => html`
          <button class="button" aria-pressed=${mode === name} onClick=${() => this.compare(name)}>${words} <kbd aria-hidden="true">${key}</kbd></button>`)}</div>
      </header>
      <${Compare} left=${one} right=${another} mode=${mode} isSwapped=${isSwapped}
        caption=${(member) => html`<figcaption><${Badge} file=${member} />
          <b>${nameOf(member.path)}</b>${member.label !== null && html` <span class="label">${member.label}</span>`}
          <span class="folder">${folderOf(member.path)}</span></figcaption>`} />
      <div class="below">
        <div class="why">
          <p class="reason">${reasons.size === 1 ? file.reason : (another.isCurrent ? another : file).reason}</p>
          <${Facts} group=${group} places=${places} />
        </div>
        <div class="decide">
          <div class="actions" role="group" aria-label=${`Decide about ${nameOf(file.path)}`}>
            <button class="button" aria-pressed=${file.action === "keep"} onClick=${this.keep}>Keep <kbd aria-hidden="true">k</kbd></button>
            <button class="button" aria-pressed=${file.action === "remove"} onClick=${this.remove}>Remove <kbd aria-hidden="true">r</kbd></button>
            <button class="button" aria-pressed=${file.action === "review"} onClick=${this.leave}>Leave <kbd aria-hidden="true">l</kbd></button>
          </div>
          <div class="actions">
            <button class="button" onClick=${this.reject}>Not duplicates <kbd aria-hidden="true">n</kbd></button>
            <button class="button" onClick=${this.undo}>Undo <kbd aria-hidden="true">u</kbd></button>
            <button class="button primary" onClick=${this.accept}>Accept <kbd aria-hidden="true">Enter</kbd></button>
          </div>
        </div>
      </div>
      <ul class="strip" aria-label="Files of the group">${group.members.map((member, place) => html`
        <li key=${place}><button id=${`file-${place}`} class="member" aria-pressed=${place === current} title=${member.path}
          onClick=${() => this.select(place)}>
          <img src=${small(member.sha256)} alt="" loading="lazy" />
          <${Badge} file=${member} short />
          <span class="name">${place < 9 && html`<kbd aria-hidden="true">${place + 1}</kbd> `}${nameOf(member.path)}</span></button></li>`)}
        ${group.members.length < group.files && html`<li><button class="button" onClick=${() => source.more(group).then(() => this.forceUpdate(), complain)}>
          ${(group.files - group.members.length).toLocaleString("en")} more</button></li>`}
      </ul>`;
  }
}

const Large = ({ file, onClose }) => html`
  <${Dialog} className="viewer" title=${nameOf(file.path)} onClose=${onClose}>
    <img src=${large(file.sha256)} alt=${nameOf(file.path)} />
    <p class="caption">${file.path}</p>
    <button class="button close" onClick=${onClose}>Close</button>
  <//>`;

start(html`<${Duplicates} />`);
