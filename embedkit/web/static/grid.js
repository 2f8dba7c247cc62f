// A grid of any number of photos, of which only those near the view are elements.
//
// Cells have a fixed size, so their places are arithmetic. Browsers limit the height of elements:
// the scroller has at most MAX_HEIGHT, and large moves of the scroll bar are scaled. Small moves,
// by wheel or touch, are not.

import { html, Component, announce, counted, createRef, nameOf } from "./ui.js";
import { address, get } from "./api.js";

const MAX_HEIGHT = 8_000_000;
const RANGE = 240; // photos of one request for details
const KEPT_RANGES = 60;
const KEPT_SHEETS = 40;
const SETTLED = 90; // ms without scrolling, after which pictures far from the last place are loaded

// The photos of a list of the server: details by position, and sheets of thumbnails.
export class ListSource {
  constructor(list, side = 128) {
    this.count = list.count;
    this.sections = list.sections;
    this.columns = list.sheet_columns;
    this.perSheet = list.sheet_photos;
    this.side = side;
    this.key = list.key;
    this.ranges = new Map();
    this.sheets = new Map();
  }

  photo(index) {
    return this.ranges.get(Math.floor(index / RANGE))?.photos?.[index % RANGE];
  }

  // The place of a thumbnail in its sheet; null until the sheet is there.
  picture(index) {
    const sheet = this.sheets.get(Math.floor(index / this.perSheet));
    if (!sheet?.isLoaded) return null;
    const place = index % this.perSheet;
    return {
      url: sheet.image.src,
      column: place % this.columns,
      row: Math.floor(place / this.columns),
      columns: this.columns,
      rows: Math.ceil(Math.min(this.perSheet, this.count - (index - place)) / this.columns),
    };
  }

  // Load what positions first to last need, and stop loading what they do not.
  load(first, last, onLoad, onError) {
    const wanted = new Set(steps(first, last, RANGE));
    for (const [number, range] of this.ranges) {
      if (!range.photos && !wanted.has(number)) {
        range.abort.abort();
        this.ranges.delete(number);
      }
    }
    for (const number of wanted) this.#loadRange(number, onLoad, onError);
    const sheets = new Set(steps(first, last, this.perSheet));
    for (const [number, sheet] of this.sheets) {
      if (!sheet.isLoaded && !sheets.has(number)) {
        sheet.image.src = "";
        this.sheets.delete(number);
      }
    }
    for (const number of sheets) this.#loadSheet(number, onLoad);
    forget(this.ranges, KEPT_RANGES);
    forget(this.sheets, KEPT_SHEETS);
  }

  // Load the details of these positions, wherever they are.
  async loadAll(indices) {
    const numbers = [...new Set(indices.map((index) => Math.floor(index / RANGE)))];
    for (const number of numbers) {
      const path = `/lists/${this.key}?first=${number * RANGE}&count=${RANGE}`;
      const { photos } = await get(path);
      this.ranges.set(number, { abort: new AbortController(), photos });
    }
  }

  // Read photos again that another page or program may have changed; null for one that has gone.
  async reread(photos) {
    const wanted = new Set(photos);
    for (const [number, range] of this.ranges) {
      if (!range.photos?.some((photo) => wanted.has(photo))) continue;
      const now = (await get(`/lists/${this.key}?first=${number * RANGE}&count=${RANGE}`)).photos;
      range.photos = range.photos.map((photo, place) => photo && now[place] && Object.assign(photo, now[place]));
    }
  }

  async #loadRange(number, onLoad, onError) {
    if (touch(this.ranges, number)) return;
    const abort = new AbortController();
    const range = { abort, photos: null };
    this.ranges.set(number, range);
    try {
      const path = `/lists/${this.key}?first=${number * RANGE}&count=${RANGE}`;
      range.photos = (await get(path, { signal: abort.signal })).photos;
      onLoad();
    } catch (error) {
      if (this.ranges.get(number) === range) this.ranges.delete(number);
      if (error.name !== "AbortError") onError(error);
    }
  }

  #loadSheet(number, onLoad) {
    if (touch(this.sheets, number)) return;
    const image = new Image();
    const sheet = { image, isLoaded: false };
    this.sheets.set(number, sheet);
    image.src = address(`/lists/${this.key}/sheets/${number}?side=${this.side}`);
    image.decode().then(() => {
      sheet.isLoaded = true;
      onLoad();
    }, () => {
      if (this.sheets.get(number) === sheet) this.sheets.delete(number);
    });
  }
}

function steps(first, last, size) {
  const numbers = [];
  for (let number = Math.floor(first / size); number * size <= last; number += 1) numbers.push(number);
  return numbers;
}

// Make an entry the latest; false if it is not there.
function touch(entries, key) {
  if (!entries.has(key)) return false;
  const entry = entries.get(key);
  entries.delete(key);
  entries.set(key, entry);
  return true;
}

function forget(entries, kept) {
  for (const key of entries.keys()) {
    if (entries.size <= kept) return;
    entries.delete(key);
  }
}

// Draws a placeholder once; the canvas is 8 x 8 pixels, and the browser enlarges it.
function paint(canvas, placeholder) {
  if (!canvas || canvas.dataset.drawn === placeholder) return;
  canvas.dataset.drawn = placeholder;
  const luma = atob(placeholder);
  const pixels = new ImageData(8, 8);
  for (let place = 0; place < luma.length && place < 64; place += 1) {
    pixels.data.fill(luma.charCodeAt(place), place * 4, place * 4 + 3);
    pixels.data[place * 4 + 3] = 255;
  }
  canvas.getContext("2d").putImageData(pixels, 0, 0);
}

function Cell({ index, count, size, left, top, photo, picture, tag, isActive, isSelected }) {
  const style = { width: `${size}px`, height: `${size}px`, transform: `translate(${left}px, ${top}px)` };
  const labels = photo?.labels?.length ? `, ${photo.labels.join(", ")}` : "";
  const name = photo ? `${nameOf(photo.path)}${labels}${tag ? `, ${tag}` : ""}` : photo === null ? "gone" : "loading";
  return html`<div class=${photo === null ? "cell is-gone" : "cell"} role="option" data-index=${index}
    id=${`cell-${index}`} tabindex=${isActive ? 0 : -1} aria-label=${name} title=${photo ? nameOf(photo.path) : ""}
    aria-selected=${isSelected} aria-posinset=${index + 1} aria-setsize=${count} style=${style}>
    ${picture
      ? html`<div class="picture" style=${{
          backgroundImage: `url("${picture.url}")`,
          ...(picture.columns && {
            backgroundSize: `${size * picture.columns}px ${size * picture.rows}px`,
            backgroundPosition: `${-size * picture.column}px ${-size * picture.row}px`,
          }),
        }}></div>`
      : photo?.placeholder && html`<canvas width="8" height="8" aria-hidden="true"
          ref=${(canvas) => paint(canvas, photo.placeholder)}></canvas>`}
    <span class="tick" aria-hidden="true">✓</span>
    ${tag && html`<span class="tag" aria-hidden="true">${tag}</span>`}
  </div>`;
}

// Properties: source, cellSize, label (name of the list), tagOf(photo, index), onActive(index, photo),
// onOpen(index, photo), onSelect(selection), onError(error). Methods: goTo(index), reload(), select(indices),
// chosen().
export class Grid extends Component {
  scroller = createRef();
  layer = createRef();
  state = { top: 0, width: 0, height: 0, active: 0, selection: new Set() };
  anchor = 0;
  lastScroll = 0;

  componentDidMount() {
    this.observer = new ResizeObserver(() => this.#measure());
    this.observer.observe(this.scroller.current);
    this.#measure();
  }

  componentWillUnmount() {
    this.observer.disconnect();
    clearTimeout(this.settling);
  }

  componentDidUpdate(before) {
    if (before.source !== this.props.source) {
      this.anchor = 0;
      this.setState({ active: 0, selection: new Set() });
      this.#show(0);
      return;
    }
    if (this.wantsFocus) {
      const cell = this.layer.current?.querySelector(`[data-index="${this.state.active}"]`);
      if (cell) {
        this.wantsFocus = false;
        cell.focus({ preventScroll: true });
      }
    }
  }

  // -- geometry --------------------------------------------------------------------------------

  get columns() {
    const least = this.state.width < 300 ? 1 : 3;
    return Math.max(least, Math.floor((this.state.width - 24 + this.gap) / (this.props.cellSize + this.gap)));
  }

  get gap() { return 6; }

  // Cells fill the width.
  get size() {
    return Math.floor((this.state.width - 24 + this.gap) / this.columns) - this.gap;
  }

  get pitch() { return this.size + this.gap; }

  get rows() { return Math.ceil(this.props.source.count / this.columns); }

  get total() { return this.rows * this.pitch + 24; }

  get spacer() { return Math.min(this.total, MAX_HEIGHT); }

  // Pixels of the whole list for one pixel of the scroll bar.
  get scale() {
    const range = this.spacer - this.state.height;
    return range > 0 ? (this.total - this.state.height) / range : 1;
  }

  #measure() {
    const { clientWidth: width, clientHeight: height } = this.scroller.current;
    if (width === this.state.width && height === this.state.height) return;
    const first = this.#firstVisible();
    this.setState({ width, height }, () => this.#show(Math.floor(first / this.columns) * this.pitch));
  }

  #firstVisible() {
    return this.state.width ? Math.floor(this.state.top / this.pitch) * this.columns : 0;
  }

  // Show the list from a place, pixels of the whole list.
  #show(top) {
    const limited = Math.max(0, Math.min(top, this.total - this.state.height));
    this.lastScroll = limited / this.scale;
    this.scroller.current.scrollTop = this.lastScroll;
    this.lastScroll = this.scroller.current.scrollTop;
    this.#moved(limited);
  }

  #scrolled = () => {
    const place = this.scroller.current.scrollTop;
    const moved = place - this.lastScroll;
    if (moved === 0) return;
    this.lastScroll = place;
    const end = this.spacer - this.state.height;
    const isSmall = Math.abs(moved) < 2 * this.state.height && place > 0 && place < end - 1;
    this.#moved(isSmall ? this.state.top + moved : place * this.scale);
  };

  #moved(place) {
    const top = Math.max(0, Math.min(place, this.total - this.state.height));
    const isFar = Math.abs(top - this.state.top) > this.state.height;
    this.setState({ top });
    clearTimeout(this.settling);
    this.settling = setTimeout(() => this.#settle(), SETTLED);
    if (!isFar) this.#load(top);
  }

  #settle() {
    this.#load(this.state.top);
    // Unscaled moves let the scroll bar drift; put it where it belongs.
    const place = this.state.top / this.scale;
    if (Math.abs(place - this.scroller.current.scrollTop) > 1) {
      this.scroller.current.scrollTop = place;
      this.lastScroll = this.scroller.current.scrollTop;
      this.forceUpdate();
    }
  }

  #load(top) {
    if (!this.state.width || !this.props.source.count) return;
    const [first, last] = this.#range(top, 0.5);
    this.props.source.load(first, last, this.#loaded, this.props.onError);
  }

  #loaded = () => {
    if (this.drawing) return;
    this.drawing = requestAnimationFrame(() => {
      this.drawing = 0;
      this.forceUpdate();
      const photo = this.props.source.photo(this.state.active);
      if (photo && this.reported !== photo) this.#report();
    });
  };

  // Load again after a change of the source.
  reload() {
    this.forceUpdate();
    this.#load(this.state.top);
  }

  // Positions in view, and those within some heights of the view.
  #range(top, margin) {
    const first = Math.floor((top - margin * this.state.height) / this.pitch) * this.columns;
    const last = Math.ceil((top + (1 + margin) * this.state.height) / this.pitch) * this.columns - 1;
    return [Math.max(0, first), Math.min(this.props.source.count - 1, last)];
  }

  // -- the active photo and the selection ------------------------------------------------------

  goTo(index, focus = true) {
    const active = Math.max(0, Math.min(index, this.props.source.count - 1));
    this.anchor = active;
    this.wantsFocus = focus;
    this.setState({ active }, () => {
      const row = Math.floor(active / this.columns) * this.pitch + 12;
      if (row < this.state.top + 12) this.#show(row - 12);
      else if (row + this.pitch > this.state.top + this.state.height) {
        this.#show(row + this.pitch + 12 - this.state.height);
      }
      this.#report();
    });
  }

  #report() {
    const photo = this.props.source.photo(this.state.active);
    this.reported = photo;
    this.props.onActive?.(this.state.active, photo);
  }

  select(indices) {
    const selection = new Set(indices);
    this.setState({ selection });
    announce(selection.size ? `${counted(selection.size, "photo")} selected.` : "Nothing selected.");
    this.props.onSelect?.(selection);
  }

  // The selected photos, or the active one; photos that have gone are left out.
  async chosen() {
    const { source } = this.props;
    const { selection, active } = this.state;
    const indices = selection.size ? [...selection] : [active];
    const missing = indices.filter((index) => source.photo(index) === undefined);
    if (missing.length) await source.loadAll(missing);
    return indices.map((index) => source.photo(index)).filter(Boolean);
  }

  // Select a photo, or take it out of the selection.
  toggle(index) {
    const selection = new Set(this.state.selection);
    if (!selection.delete(index)) selection.add(index);
    this.anchor = index;
    this.select(selection);
  }

  // Select from the place of the last move or click without Shift, and go there.
  #selectTo(index) {
    const { anchor } = this;
    const [first, last] = [Math.min(anchor, index), Math.max(anchor, index)];
    this.select(Array.from({ length: last - first + 1 }, (_, place) => first + place));
    this.goTo(index);
    this.anchor = anchor;
  }

  #clicked = (event) => {
    const cell = event.target.closest("[data-index]");
    if (!cell) return;
    const index = Number(cell.dataset.index);
    if (event.shiftKey) {
      this.#selectTo(index);
      return;
    }
    if (event.ctrlKey || event.metaKey || this.state.selection.size) this.toggle(index);
    else this.props.onClick?.(index, this.props.source.photo(index));
    this.goTo(index);
  };

  #doubleClicked = (event) => {
    const cell = event.target.closest("[data-index]");
    if (cell && !this.state.selection.size) this.#open(Number(cell.dataset.index));
  };

  #open(index) {
    const photo = this.props.source.photo(index);
    if (photo) this.props.onOpen?.(index, photo);
  }

  // Act on a key: the grid's own, and that of a page on which nothing else has the focus.
  pressed = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { active } = this.state;
    const page = Math.max(1, Math.floor(this.state.height / this.pitch)) * this.columns;
    const target = {
      ArrowRight: active + 1,
      ArrowLeft: active - 1,
      ArrowDown: active + this.columns < this.props.source.count ? active + this.columns : active,
      ArrowUp: active - this.columns >= 0 ? active - this.columns : active,
      PageDown: active + page,
      PageUp: active - page,
      Home: 0,
      End: this.props.source.count - 1,
    }[event.key];
    if (target !== undefined) {
      const index = Math.max(0, Math.min(target, this.props.source.count - 1));
      if (event.shiftKey) this.#selectTo(index);
      else this.goTo(index);
    } else if (event.key === " ") this.toggle(active);
    else if (event.key === "Enter") this.#open(active);
    else if (event.key === "Escape" && this.state.selection.size) {
      this.anchor = active;
      this.select([]);
    } else return;
    event.preventDefault();
    event.stopPropagation();
  };

  render({ source, label, tagOf }, { top, width, active, selection }) {
    const cells = [];
    let offset = 0;
    if (width && source.count) {
      const [first, last] = this.#range(top, 0.4);
      const indices = Array.from({ length: last - first + 1 }, (_, place) => first + place);
      if (active < first || active > last) indices.push(active); // keeps the focus
      offset = Math.floor(first / this.columns) * this.pitch;
      for (const index of indices) {
        const photo = source.photo(index);
        cells.push(html`<${Cell} key=${index} index=${index} count=${source.count} size=${this.size}
          left=${12 + (index % this.columns) * this.pitch}
          top=${index < first || index > last ? -3 * this.pitch
            : 12 + Math.floor(index / this.columns) * this.pitch - offset}
          photo=${photo} picture=${source.picture(index)} tag=${photo && tagOf?.(photo, index)}
          isActive=${index === active} isSelected=${selection.has(index)} />`);
      }
    }
    const place = (this.scroller.current?.scrollTop ?? 0) + offset - top;
    return html`<div class="scroller" ref=${this.scroller} onScroll=${this.#scrolled}>
      <div class="spacer" style=${{ height: `${width ? this.spacer : 0}px` }}>
        ${cells.length > 0 && html`<div class="layer" ref=${this.layer} role="listbox" aria-label=${label}
          aria-multiselectable="true" style=${{ top: `${place}px` }} onClick=${this.#clicked}
          onDblClick=${this.#doubleClicked} onKeyDown=${this.pressed}>${cells}</div>`}
      </div></div>`;
  }
}
