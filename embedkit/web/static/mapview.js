// A map that was made: its points, their colours, and the selection.

import { Component, createRef, Help, Viewer, announce, complain, counted, html, isTyping, nameOf, say } from "./ui.js";
import { ColourBy, byLabel, colouring, nextChoice, rgb, swatch } from "./colouring.js";
import { address, get, post } from "./api.js";
import { Plot } from "./plot.js";

const MOST_POINTS = 900; // in view, at which thumbnails appear
const KEPT_SHEETS = 60;
const KEYS = [
  ["← ↑ → ↓", "Move"],
  ["+ -", "Zoom"],
  ["0", "Show all"],
  ["p", "Choose the photo nearest to the middle"],
  ["v", "Select what is in view"],
  ["l", "Draw a lasso; or Shift and drag"],
  ["c", "Colour by label, suspicion or group"],
  ["Enter", "Open the selection in the grid, or enlarge the chosen photo"],
  ["s", "Search for photos similar to the chosen one"],
  ["Esc", "Clear the selection"],
  ["?", "These keys"],
];

// The backbone, the view and the colouring of this tab, so that coming back shows the same place.
export const remembered = () => JSON.parse(sessionStorage.getItem("map") ?? "{}");
export const remember = (change) => sessionStorage.setItem("map", JSON.stringify({ ...remembered(), ...change }));

// Properties: map, backbones (a field), progress (of a run), problem, onMake.
export class View extends Component {
  box = createRef();
  canvas = createRef();
  layer = createRef();
  state = { colouring: byLabel(this.props.map), hidden: new Set(), lit: null, selection: [], isLasso: false, photo: null, dialog: null, fails: false };
  sheets = new Map();
  details = new Map();
  pointers = new Map();

  componentDidMount() {
    const { points, codes } = this.props.map;
    try {
      this.plot = new Plot(this.canvas.current, points, codes);
    } catch {
      this.setState({ fails: true });
      return;
    }
    const { backbone, view, by } = remembered();
    if (view && backbone === this.props.map.backbone) this.plot.show(view);
    this.scheme = matchMedia("(prefers-color-scheme: dark)");
    this.scheme.addEventListener("change", this.recolour);
    document.addEventListener("keydown", this.pressed);
    const canvas = this.canvas.current;
    canvas.addEventListener("wheel", this.wheeled, { passive: false });
    this.observer = new ResizeObserver(this.resized);
    this.observer.observe(this.box.current);
    this.recolour();
    this.resized();
    if (by && by !== "label") this.colourBy(by);
  }

  componentWillUnmount() {
    this.observer?.disconnect();
    this.scheme?.removeEventListener("change", this.recolour);
    document.removeEventListener("keydown", this.pressed);
    cancelAnimationFrame(this.frame);
    clearTimeout(this.looking);
  }

  // -- drawing -----------------------------------------------------------------------------------

  resized = () => {
    const { clientWidth: width, clientHeight: height } = this.box.current;
    const ratio = Math.min(devicePixelRatio, 2);
    this.plot.resize(width, height, ratio);
    this.layer.current.width = this.canvas.current.width;
    this.layer.current.height = this.canvas.current.height;
    this.redraw();
  };

  redraw = () => {
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      this.plot.draw();
      this.#drawLayer();
    });
  };

  // Read the colours, which the style sheet defines for light and dark.
  recolour = () => {
    const style = getComputedStyle(document.documentElement);
    const token = (name) => style.getPropertyValue(name).trim();
    this.colours = this.state.colouring.colours(token);
    this.accent = token("--accent");
    this.repaint();
    this.forceUpdate();
  };

  repaint({ colouring: { entries }, hidden, lit } = this.state) {
    const opacities = new Uint8Array(this.colours.length);
    entries.forEach(({ codes }, number) => {
      const opacity = hidden.has(number) ? 0 : lit !== null && lit !== number ? 26 : 215;
      for (const code of codes) opacities[code] = opacity;
    });
    this.plot.paint(this.colours.map((colour, code) => [...rgb(colour), opacities[code]]));
    this.redraw();
  }

  colourBy = async (by) => {
    this.wanted = by;
    try {
      const found = await colouring(this.props.map, by);
      if (this.wanted !== by) return;
      if (!found) return say("The server has started anew, and has these values no more.", true);
      remember({ by });
      this.plot?.recode(found.codes);
      this.setState({ colouring: found, hidden: new Set(), lit: null }, this.plot && this.recolour);
      announce(`${found.title}: ${found.text}`);
    } catch (error) {
      complain(error);
    }
  };

  #drawLayer() {
    const { plot } = this;
    const context = this.layer.current.getContext("2d");
    context.setTransform(plot.ratio, 0, 0, plot.ratio, 0, 0);
    context.clearRect(0, 0, plot.width, plot.height);
    this.#drawPictures(context);
    const { photo } = this.state;
    if (photo) {
      const [left, top] = plot.toScreen(photo.index);
      context.beginPath();
      context.arc(left, top, Math.max(9, this.pictureSide * 0.72 || 0), 0, 2 * Math.PI);
      context.lineWidth = 2.5;
      context.strokeStyle = this.accent;
      context.stroke();
    }
    if (this.lasso) {
      context.beginPath();
      this.lasso.forEach(([left, top]) => context.lineTo(left, top));
      context.closePath();
      context.fillStyle = context.strokeStyle = this.accent;
      context.globalAlpha = 0.14;
      context.fill();
      context.globalAlpha = 1;
      context.lineWidth = 2;
      context.stroke();
    }
  }

  // When few points are in view, those that do not overlap are drawn as thumbnails.
  #drawPictures(context) {
    const { plot } = this;
    const found = plot.inView(MOST_POINTS) ?? [];
    const space = Math.sqrt((plot.width * plot.height) / Math.max(1, Math.min(found.length, 200)));
    const side = Math.round(Math.max(32, Math.min(96, space * 0.6)));
    const pictures = this.#apart(found, side + 8);
    this.pictureSide = pictures.length ? side : 0;
    const { sheet_photos: perSheet, sheet_columns: columns } = this.props.map.photos;
    this.#wantSheets(new Set(pictures.map(({ index }) => Math.floor(index / perSheet))));
    for (const { index, x, y } of pictures) {
      const sheet = this.sheets.get(Math.floor(index / perSheet));
      if (!sheet?.isLoaded) continue;
      const left = x - side / 2, top = y - side / 2;
      const place = index % perSheet;
      context.globalAlpha = plot.hasChosen && !plot.chosen[index] ? 0.25 : 1;
      context.fillStyle = this.colours[plot.codes[index]];
      context.beginPath();
      context.roundRect(left - 3, top - 3, side + 6, side + 6, 6);
      context.fill();
      context.save();
      context.beginPath();
      context.roundRect(left, top, side, side, 4);
      context.clip();
      context.fillStyle = "#808080";
      context.fillRect(left, top, side, side);
      context.drawImage(sheet.image, (place % columns) * 128, Math.floor(place / columns) * 128, 128, 128, left, top, side, side);
      context.restore();
    }
    context.globalAlpha = 1;
  }

  // Points at least a distance apart, and their pixels; an earlier position in the list wins.
  #apart(indices, distance) {
    const kept = [];
    const taken = new Map();
    const key = (column, row) => column * 4096 + row;
    for (const index of indices.sort((one, other) => one - other)) {
      const [x, y] = this.plot.toScreen(index);
      const column = Math.floor(x / distance), row = Math.floor(y / distance);
      let isFree = true;
      for (let near = 0; near < 9 && isFree; near += 1) {
        const other = taken.get(key(column + (near % 3) - 1, row + Math.floor(near / 3) - 1));
        isFree = !other || Math.max(Math.abs(other.x - x), Math.abs(other.y - y)) >= distance;
      }
      if (!isFree) continue;
      taken.set(key(column, row), { x, y });
      kept.push({ index, x, y });
    }
    return kept;
  }

  #wantSheets(wanted) {
    for (const [number, sheet] of this.sheets) {
      const isUnused = !wanted.has(number) && (!sheet.isLoaded || this.sheets.size > KEPT_SHEETS);
      if (!isUnused) continue;
      if (!sheet.isLoaded) sheet.image.src = "";
      this.sheets.delete(number);
    }
    for (const number of wanted) {
      if (this.sheets.has(number)) continue;
      const image = new Image();
      const sheet = { image, isLoaded: false };
      this.sheets.set(number, sheet);
      image.src = address(`/lists/${this.props.map.photos.key}/sheets/${number}?side=128`);
      image.decode().then(() => { sheet.isLoaded = true; this.redraw(); }, () => {});
    }
  }

  moved() {
    if (this.state.photo && !this.state.photo.isPinned) this.setState({ photo: null });
    remember({ backbone: this.props.map.backbone, view: this.plot.view });
    this.redraw();
  }

  // -- pointer and keys --------------------------------------------------------------------------

  #place(event) {
    const { left, top } = this.canvas.current.getBoundingClientRect();
    return [event.clientX - left, event.clientY - top];
  }

  wheeled = (event) => {
    event.preventDefault();
    const pixels = event.deltaY * (event.deltaMode === 1 ? 30 : 1);
    this.plot.zoom(Math.exp(-Math.max(-240, Math.min(240, pixels)) * 0.0022), ...this.#place(event));
    this.moved();
  };

  down = (event) => {
    if (event.button !== 0) return;
    this.canvas.current.setPointerCapture(event.pointerId);
    const place = this.#place(event);
    clearTimeout(this.looking);
    if (!this.state.photo?.isPinned) this.setState({ photo: null });
    this.pointers.set(event.pointerId, place);
    this.wasDragged = this.pointers.size > 1;
    if (this.pointers.size > 1) this.lasso = null;
    else if (event.shiftKey || this.state.isLasso) this.lasso = [place];
  };

  move = (event) => {
    const place = this.#place(event);
    const before = this.pointers.get(event.pointerId);
    if (!before) return event.pointerType === "mouse" ? this.look(place) : undefined;
    const [right, down] = [place[0] - before[0], place[1] - before[1]];
    if (!this.wasDragged && Math.hypot(right, down) < 4) return undefined;
    this.wasDragged = true;
    if (this.lasso) {
      this.lasso.push(place);
      this.redraw();
    } else if (this.pointers.size === 1) {
      this.plot.pan(right, down);
      this.moved();
    } else {
      const [other] = [...this.pointers].filter(([id]) => id !== event.pointerId).map(([, one]) => one);
      const [old, now] = [before, place].map((one) => Math.hypot(one[0] - other[0], one[1] - other[1]));
      this.plot.zoom(now / Math.max(old, 1), (place[0] + other[0]) / 2, (place[1] + other[1]) / 2);
      this.plot.pan(right / 2, down / 2);
      this.moved();
    }
    this.pointers.set(event.pointerId, place);
    return undefined;
  };

  up = (event) => {
    if (!this.pointers.delete(event.pointerId)) return;
    const { lasso } = this;
    this.lasso = null;
    if (lasso && lasso.length > 2) {
      this.select(this.plot.enclosed(lasso));
      this.setState({ isLasso: false });
    } else if (!this.wasDragged && event.type === "pointerup") {
      this.pin(this.#pointAt(this.#place(event)));
    }
    this.redraw();
  };

  #pointAt(place) { return this.plot.at(...place, Math.max(10, this.pictureSide / 2)); }

  // Show the photo under the pointer when it rests.
  look(place) {
    clearTimeout(this.looking);
    const index = this.#pointAt(place);
    if (this.state.photo?.isPinned || index === this.state.photo?.index) return;
    if (index < 0) this.setState({ photo: null }, this.redraw);
    else this.looking = setTimeout(() => this.#showPhoto(index, false), 70);
  }

  pin(index) {
    clearTimeout(this.looking);
    if (index < 0) this.setState({ photo: null }, this.redraw);
    else this.#showPhoto(index, true);
  }

  // Choose the photo nearest to the middle of the view.
  pinMiddle() {
    const { width, height } = this.plot;
    this.pin(this.plot.at(width / 2, height / 2, Math.max(width, height) / 2));
  }

  async #showPhoto(index, isPinned) {
    try {
      if (!this.details.has(index)) {
        const { photos } = await get(`/lists/${this.props.map.photos.key}?first=${index}&count=1`);
        this.details.set(index, photos[0]);
      }
      const photo = this.details.get(index);
      if (photo) {
        this.setState({ photo: { ...photo, index, isPinned } }, this.redraw);
        if (isPinned) announce([nameOf(photo.path), ...photo.labels].join(", "));
      } else say("This photo is gone.");
    } catch (error) {
      complain(error);
    }
  }

  pressed = (event) => {
    if (isTyping(event) || this.state.dialog) return;
    const { plot } = this;
    const { photo, selection, isLasso } = this.state;
    const step = 0.12 * Math.min(plot.width, plot.height);
    const moves = { ArrowLeft: [step, 0], ArrowRight: [-step, 0], ArrowUp: [0, step], ArrowDown: [0, -step] };
    const isOnButton = event.target.closest("button, a, select") !== null;
    if (moves[event.key]) { plot.pan(...moves[event.key]); this.moved(); }
    else if (event.key === "+" || event.key === "=") this.zoom(1.5);
    else if (event.key === "-") this.zoom(1 / 1.5);
    else if (event.key === "0") this.reset();
    else if (event.key === "p") this.pinMiddle();
    else if (event.key === "v") this.selectView();
    else if (event.key === "l") this.setState({ isLasso: !isLasso });
    else if (event.key === "c") this.colourBy(nextChoice(this.props.map, this.state.colouring.by));
    else if (event.key === "?") this.setState({ dialog: "help" });
    else if (event.key === "s" && photo) location.href = `/search?sha256=${photo.sha256}`;
    else if (event.key === "Enter" && !isOnButton && selection.length) this.open();
    else if (event.key === "Enter" && !isOnButton && photo) this.setState({ dialog: "large" });
    else if (event.key === "Escape") this.clear();
    else return;
    event.preventDefault();
  };

  zoom(factor) {
    this.plot.zoom(factor);
    this.moved();
  }

  reset = () => {
    this.plot.show({ x: 0, y: 0, zoom: 1 });
    this.moved();
  };

  // -- selection ---------------------------------------------------------------------------------

  select(selection) {
    this.plot.choose(selection);
    this.setState({ selection });
    say(selection.length ? `${counted(selection.length, "photo")} selected. Enter opens them.` : "No photo there.");
    this.redraw();
  }

  selectView = () => this.select(this.plot.inView());

  clear() {
    this.plot.choose([]);
    this.lasso = null;
    this.setState({ selection: [], isLasso: false, photo: null }, this.redraw);
  }

  open = async () => {
    try {
      const list = await post(`/lists/${this.props.map.photos.key}/selection`, { positions: this.state.selection });
      location.href = `/?list=${list.key}`;
    } catch (error) {
      complain(error);
    }
  };

  // Show or hide an entry of the legend.
  toggle(number, isOnly) {
    const { colouring: { entries }, hidden: before } = this.state;
    const hidden = new Set(isOnly ? entries.keys() : before);
    if (!hidden.delete(number)) hidden.add(number);
    this.setState({ hidden });
    this.repaint({ ...this.state, hidden });
  }

  showAll = () => {
    this.setState({ hidden: new Set() });
    this.repaint({ ...this.state, hidden: new Set() });
  };

  light(lit) {
    if (lit === this.state.lit) return;
    this.setState({ lit });
    this.repaint({ ...this.state, lit });
  }

  render({ map, backbones, progress, problem, onMake }, state) {
    const { colouring: { by, title, entries, ends, note, text: words }, hidden, selection, isLasso, photo, dialog, fails } = state;
    const { photos } = map;
    const text = `${counted(photos.count, "photo")}: ${words}`;
    const close = () => this.setState({ dialog: null });
    return html`<div class="map">
      <nav class="rail legend" aria-label=${title}><h2>${title}</h2>
        ${ends && html`<div class="scale"><span class="ramp" aria-hidden="true"></span><span>${ends[0]}</span><span>${ends[1]}</span></div>`}
        <button aria-pressed=${hidden.size === 0} onClick=${this.showAll}>
          <span class="name">All photos</span><span class="count">${photos.count.toLocaleString("en")}</span></button>
        ${entries.map((one, number) => html`<button aria-pressed=${!hidden.has(number)} title="Show or hide; with Shift, only this"
          onClick=${(event) => this.toggle(number, event.shiftKey)}
          onMouseEnter=${() => this.light(number)} onMouseLeave=${() => this.light(null)}
          onFocus=${() => this.light(number)} onBlur=${() => this.light(null)}>
          <span class="swatch" aria-hidden="true" style=${{ background: this.colours ? swatch(one, this.colours) : "" }}></span>
          <span class="name">${one.name}</span><span class="count">${one.count.toLocaleString("en")}</span></button>`)}
        ${note && html`<p class="soft">${note}</p>`}
      </nav>
      <section class="stage" aria-label="Map">
        <div class="summary">
          <span><strong>${counted(photos.count, "photo")}</strong>${selection.length > 0
            && html` · ${selection.length.toLocaleString("en")} selected`}</span>
          ${backbones}<${ColourBy} map=${map} by=${by} onChoose=${this.colourBy} />
          ${selection.length > 0 ? html`<button class="button primary" onClick=${this.open}>Open the selection</button>
            <button class="button" onClick=${() => this.clear()}>Clear</button>`
            : html`<button class="button" onClick=${this.selectView}>Select what is in view</button>`}
          ${progress || (!map.is_current && html`<span>Photos have changed since the map was made.
            ${onMake && html` <button class="button" onClick=${onMake}>Make it again</button>`}</span>`)}
          ${problem && html`<span class="bad" role="alert">${problem}</span>`}
          <button class="button icon" aria-label="Keys" onClick=${() => this.setState({ dialog: "help" })}>?</button>
        </div>
        ${fails ? html`<div class="empty"><h2 class="title">This browser cannot draw the map</h2>
            <p>The map needs WebGL 2. Turn on hardware acceleration, or use another browser.</p><p>${text}.</p></div>`
          : html`<div class="plot" ref=${this.box}>
          <canvas ref=${this.canvas} class=${isLasso ? "is-lasso" : ""} tabindex="0" role="application"
            aria-label=${`Map of ${counted(photos.count, "photo")}`} aria-describedby="map-text"
            onPointerDown=${this.down} onPointerMove=${this.move} onPointerUp=${this.up} onPointerCancel=${this.up}
            onPointerLeave=${() => clearTimeout(this.looking)}
            onDblClick=${(event) => { this.plot.zoom(2, ...this.#place(event)); this.moved(); }}></canvas>
          <canvas ref=${this.layer} class="layer" aria-hidden="true"></canvas>
          <p id="map-text" class="visually-hidden">${text}. Keys: ? lists them.</p>
          <div class="map-tools" role="group" aria-label="View">
            <button class="button icon" aria-label="Zoom in" onClick=${() => this.zoom(1.5)}>+</button>
            <button class="button icon" aria-label="Zoom out" onClick=${() => this.zoom(1 / 1.5)}>−</button>
            <button class="button icon" aria-label="Show all" onClick=${this.reset}>⤢</button>
            <button class="button icon" aria-label="Lasso" aria-pressed=${isLasso}
              onClick=${() => this.setState({ isLasso: !isLasso })}>◌</button>
          </div>
          ${photo && this.#card(photo)}
        </div>`}
      </section>
      ${dialog === "help" && html`<${Help} keys=${KEYS} onClose=${close} />`}
      ${dialog === "large" && photo && html`<${Viewer} photo=${photo} onClose=${close} onMove=${() => {}} />`}
    </div>`;
  }

  // The photo beside its point.
  #card(photo) {
    const { plot } = this;
    const [x, y] = plot.toScreen(photo.index);
    const [width, height] = [244, photo.isPinned ? 286 : 236];
    const gap = Math.max(14, this.pictureSide / 2 + 12);
    const left = x + gap + width < plot.width ? x + gap : x - gap - width;
    const clamp = (value, most) => Math.max(8, Math.min(value, most - 8));
    const style = { left: `${clamp(left, plot.width - width)}px`, top: `${clamp(y - height / 2, plot.height - height)}px` };
    return html`<div class=${photo.isPinned ? "card is-pinned" : "card"} style=${style}>
      <img src=${address(`/photos/${photo.sha256}/picture?side=256`)} alt=${nameOf(photo.path)} />
      <p class="name">${nameOf(photo.path)}</p>
      <p class="soft">${[photo.labels.join(", ") || "without a label", this.state.colouring.detail?.(photo.index)]
        .filter(Boolean).join(" · ")}</p>
      ${photo.isPinned && html`<div class="actions">
        <a class="button primary" href=${`/search?sha256=${photo.sha256}`}>Find similar</a>
        <button class="button" onClick=${() => this.setState({ dialog: "large" })}>Enlarge</button></div>`}
    </div>`;
  }
}
