// Many points drawn by WebGL 2: the view of them, and which of them are at a place.

const VERTEX = `#version 300 es
in vec2 place;
in uint code;
in float chosen;
uniform vec2 centre, zoom;
uniform float size;
uniform bool fades;
uniform sampler2D palette;
out vec4 colour;
void main() {
  colour = texelFetch(palette, ivec2(int(code & 255u), int(code >> 8u)), 0);
  if (fades && chosen == 0.0) colour.a *= 0.12;
  gl_Position = colour.a == 0.0 ? vec4(2.0, 2.0, 0.0, 1.0) : vec4((place - centre) * zoom, 0.0, 1.0);
  gl_PointSize = size;
}`;
const FRAGMENT = `#version 300 es
precision mediump float;
in vec4 colour;
uniform float softness;
out vec4 pixel;
void main() {
  float edge = length(gl_PointCoord * 2.0 - 1.0);
  float alpha = colour.a * (1.0 - smoothstep(1.0 - softness, 1.0, edge));
  pixel = vec4(colour.rgb * alpha, alpha);
}`;
const MAX_ZOOM = 4000;

export class Plot {
  // Points: Float32Array of x and y in [-1, 1]; codes: Uint32Array.
  constructor(canvas, points, codes) {
    this.canvas = canvas;
    this.points = points;
    this.codes = codes;
    this.count = codes.length;
    this.chosen = new Uint8Array(this.count);
    this.hasChosen = false;
    this.opacities = new Float32Array(1);
    this.cells = new Cells(points, this.count);
    this.reach = [1e-3, 1e-3]; // largest coordinates
    points.forEach((value, at) => { this.reach[at % 2] = Math.max(this.reach[at % 2], Math.abs(value)); });
    this.view = { x: 0, y: 0, zoom: 1 };
    this.width = this.height = this.ratio = 1;
    this.gl = canvas.getContext("webgl2", { antialias: false, premultipliedAlpha: true });
    if (!this.gl) throw new Error("no WebGL");
    canvas.addEventListener("webglcontextlost", (event) => event.preventDefault());
    canvas.addEventListener("webglcontextrestored", () => { this.#prepare(); this.draw(); });
    this.#prepare();
  }

  #prepare() {
    const { gl } = this;
    const program = gl.createProgram();
    for (const [kind, text] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, text);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS) && !gl.isContextLost()) {
      throw new Error(gl.getProgramInfoLog(program));
    }
    gl.useProgram(program);
    this.uniform = (name) => gl.getUniformLocation(program, name);
    this.buffers = {};
    const fill = (name, content) => {
      this.buffers[name] = gl.createBuffer();
      this.#upload(name, content);
      const at = gl.getAttribLocation(program, name);
      gl.enableVertexAttribArray(at);
      return at;
    };
    gl.vertexAttribPointer(fill("place", this.points), 2, gl.FLOAT, false, 0, 0);
    gl.vertexAttribIPointer(fill("code", this.codes), 1, gl.UNSIGNED_INT, 0, 0);
    gl.vertexAttribPointer(fill("chosen", this.chosen), 1, gl.UNSIGNED_BYTE, false, 0, 0);
    gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.NEAREST);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, gl.NEAREST);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    if (this.colours) this.paint(this.colours);
  }

  // Bind the buffer of an attribute, and fill it.
  #upload(name, content) {
    const { gl } = this;
    gl.bindBuffer(gl.ARRAY_BUFFER, this.buffers[name]);
    gl.bufferData(gl.ARRAY_BUFFER, content, gl.STATIC_DRAW);
  }

  // Replace the codes; `paint` follows.
  recode(codes) {
    this.codes = codes;
    this.#upload("code", codes);
  }

  // Set the colour of each code: [red, green, blue, opacity], 0 to 255. Opacity 0 hides.
  paint(colours) {
    const { gl } = this;
    this.colours = colours;
    this.opacities = Float32Array.from(colours, (colour) => colour[3]);
    const rows = Math.max(1, Math.ceil(colours.length / 256));
    const texels = new Uint8Array(rows * 1024);
    colours.forEach((colour, code) => texels.set(colour, code * 4));
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, 256, rows, 0, gl.RGBA, gl.UNSIGNED_BYTE, texels);
  }

  choose(indices) {
    this.chosen.fill(0);
    for (const index of indices) this.chosen[index] = 1;
    this.hasChosen = indices.length > 0;
    this.#upload("chosen", this.chosen);
  }

  resize(width, height, ratio) {
    Object.assign(this, { width, height, ratio });
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(height * ratio);
  }

  draw() {
    const { gl, view, width, height, ratio } = this;
    const size = this.diameter * ratio;
    gl.viewport(0, 0, this.canvas.width, this.canvas.height);
    gl.clear(gl.COLOR_BUFFER_BIT);
    gl.uniform2f(this.uniform("centre"), view.x, view.y);
    gl.uniform2f(this.uniform("zoom"), (2 * this.scale) / width, (2 * this.scale) / height);
    gl.uniform1f(this.uniform("size"), size);
    gl.uniform1f(this.uniform("softness"), Math.min(1, 2.2 / size));
    gl.uniform1i(this.uniform("fades"), this.hasChosen ? 1 : 0);
    gl.drawArrays(gl.POINTS, 0, this.count);
  }

  // -- the view ----------------------------------------------------------------------------------

  // Pixels of one unit.
  get scale() {
    return this.view.zoom * 0.46 * Math.min(this.width / this.reach[0], this.height / this.reach[1]);
  }

  get diameter() {
    const base = Math.max(2.2, 11.5 - 1.75 * Math.log10(this.count + 1));
    return Math.min(14, base * this.view.zoom ** 0.35);
  }

  toScreen(index) {
    return [
      (this.points[2 * index] - this.view.x) * this.scale + this.width / 2,
      this.height / 2 - (this.points[2 * index + 1] - this.view.y) * this.scale,
    ];
  }

  toPlane(left, top) {
    return [
      (left - this.width / 2) / this.scale + this.view.x,
      (this.height / 2 - top) / this.scale + this.view.y,
    ];
  }

  show(view) {
    const limit = (value) => Math.max(-1.2, Math.min(1.2, value));
    this.view = { x: limit(view.x), y: limit(view.y), zoom: Math.max(0.5, Math.min(MAX_ZOOM, view.zoom)) };
  }

  pan(right, down) {
    this.show({ ...this.view, x: this.view.x - right / this.scale, y: this.view.y + down / this.scale });
  }

  // Zoom so that the place under a pixel stays there.
  zoom(factor, left = this.width / 2, top = this.height / 2) {
    const [x, y] = this.toPlane(left, top);
    this.show({ ...this.view, zoom: this.view.zoom * factor });
    const [newX, newY] = this.toPlane(left, top);
    this.show({ ...this.view, x: this.view.x + x - newX, y: this.view.y + y - newY });
  }

  // -- points at a place -------------------------------------------------------------------------

  isShown(index) { return this.opacities[this.codes[index]] > 0; }

  // The visible points in a rectangle of pixels; null if there are many more than `most`.
  inside(left, top, right, bottom, most = Infinity) {
    const [x0, y1] = this.toPlane(left, top);
    const [x1, y0] = this.toPlane(right, bottom);
    const found = [];
    return this.cells.visit(x0, y0, x1, y1, (index) => {
      const x = this.points[2 * index], y = this.points[2 * index + 1];
      if (x >= x0 && x <= x1 && y >= y0 && y <= y1 && this.isShown(index)) found.push(index);
      return found.length <= most;
    }) ? found : null;
  }

  inView(most) { return this.inside(0, 0, this.width, this.height, most); }

  // The visible point nearest to a pixel; -1 if none is within `reach` pixels.
  at(left, top, reach) {
    let best = -1, least = reach * reach;
    for (const index of this.inside(left - reach, top - reach, left + reach, top + reach)) {
      const [x, y] = this.toScreen(index);
      const square = (x - left) ** 2 + (y - top) ** 2;
      if (square <= least) [best, least] = [index, square];
    }
    return best;
  }

  // The visible points inside a polygon of pixels.
  enclosed(polygon) {
    const xs = polygon.map((corner) => corner[0]), ys = polygon.map((corner) => corner[1]);
    const bounds = [Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)];
    return this.inside(...bounds).filter((index) => isEnclosed(this.toScreen(index), polygon));
  }
}

function isEnclosed([x, y], polygon) {
  let isInside = false;
  for (let at = 0, before = polygon.length - 1; at < polygon.length; before = at, at += 1) {
    const [x0, y0] = polygon[at], [x1, y1] = polygon[before];
    if (y0 > y !== y1 > y && x < ((x1 - x0) * (y - y0)) / (y1 - y0) + x0) isInside = !isInside;
  }
  return isInside;
}

// Points by the cell of a square lattice over [-1, 1].
class Cells {
  constructor(points, count) {
    this.side = Math.max(1, Math.min(512, Math.round(Math.sqrt(count) / 2)));
    this.starts = new Uint32Array(this.side ** 2 + 1);
    this.order = new Uint32Array(count);
    const cells = new Uint32Array(count);
    for (let index = 0; index < count; index += 1) {
      cells[index] = this.#row(points[2 * index + 1]) * this.side + this.#row(points[2 * index]);
      this.starts[cells[index] + 1] += 1;
    }
    for (let cell = 0; cell < this.side ** 2; cell += 1) this.starts[cell + 1] += this.starts[cell];
    const next = this.starts.slice();
    for (let index = 0; index < count; index += 1) this.order[next[cells[index]]++] = index;
  }

  #row(value) { return Math.max(0, Math.min(this.side - 1, Math.floor(((value + 1) / 2) * this.side))); }

  // Call `take` with each point in the cells of a rectangle until it returns false; return whether it never did.
  visit(x0, y0, x1, y1, take) {
    const [first, last] = [this.#row(x0), this.#row(x1)];
    for (let row = this.#row(y0); row <= this.#row(y1); row += 1) {
      const stop = this.starts[row * this.side + last + 1];
      for (let at = this.starts[row * this.side + first]; at < stop; at += 1) {
        if (!take(this.order[at])) return false;
      }
    }
    return true;
  }
}
