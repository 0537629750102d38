/* V's decoder, M, C and the dream on plain arrays, in the paper's symbols.

No page, no network and no clock are known here, and all noise comes from outside: the same file
runs in a Worker, and under Node for the tests that hold it against the Python dream. Everything
stands in one function, so that a page can hand its text to a Worker without a second file.

The names in `model` are those that world_models/browser/weights.py writes. Weights are float16 in
one array, widened once; every matrix lies in panels of eight columns as kernel.wat takes them. */
function dreamCore() {
  "use strict";
  const PANEL = 8;
  const LOGSIGMA_MIN = -8, LOGSIGMA_MAX = 8; // memory/mixture.py
  const sigmoid = (x) => 1 / (1 + Math.exp(-x));

  /** float16 numbers, as Uint16Array, into a Float32Array. */
  function widen(halves, out) {
    const table = new Float32Array(1 << 16);
    for (let bits = 0; bits < table.length; bits++) {
      const exponent = (bits >> 10) & 31, fraction = bits & 1023;
      const size = exponent ? (1 + fraction / 1024) * 2 ** (exponent - 15) : fraction * 2 ** -24;
      table[bits] = bits >> 15 ? -size : size; // exported weights are finite
    }
    for (let i = 0; i < halves.length; i++) out[i] = table[halves[i]];
  }

  /** All numbers in one memory, and the one product. Addresses count float32 numbers. */
  class Arithmetic {
    constructor(model, bytes) {
      this.halves = new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 2);
      this.arrays = model.arrays; // by name: start and shape
      this.size = (this.halves.length + 3) & ~3;
    }

    /** Reserve n numbers of work space; before `start`. */
    reserve(n) {
      this.size += (n + 3) & ~3;
      return this.size - ((n + 3) & ~3);
    }

    /** Make the memory and fill in the weights. Without a kernel JavaScript does the product. */
    start(kernel) {
      if (kernel) {
        const { memory, product } = new WebAssembly.Instance(new WebAssembly.Module(kernel)).exports;
        memory.grow(Math.ceil((this.size * 4) / 65536));
        this.numbers = new Float32Array(memory.buffer);
        this.product = (x, rows, depth, w, panels, out) =>
          product(4 * x, rows, depth, 4 * w, panels, 4 * out);
      } else {
        this.numbers = new Float32Array(this.size);
        this.product = this.plainProduct;
      }
      widen(this.halves, this.numbers);
      this.halves = null;
    }

    view(address, n) {
      return this.numbers.subarray(address, address + n);
    }

    /** An exported array by name. */
    array(name) {
      const { start, shape } = this.arrays[name];
      return this.view(start, shape.reduce((n, m) => n * m, 1));
    }

    /** out (rows, 8·panels) = x (rows, depth) · the matrix of this name (panels, depth, 8). */
    times(x, rows, name, out) {
      const { start, shape } = this.arrays[name];
      this.product(x, rows, shape[1], start, shape[0], out);
    }

    /** Columns of a matrix, a multiple of eight. */
    columns(name) {
      return PANEL * this.arrays[name].shape[0];
    }

    plainProduct(x, rows, depth, w, panels, out) {
      const a = this.numbers;
      for (let panel = 0; panel < panels; panel++, w += PANEL * depth) {
        for (let row = 0; row < rows; row++) {
          let s0 = 0, s1 = 0, s2 = 0, s3 = 0, s4 = 0, s5 = 0, s6 = 0, s7 = 0;
          for (let k = 0, at = w, from = x + row * depth; k < depth; k++, at += PANEL) {
            const v = a[from + k];
            s0 += v * a[at]; s1 += v * a[at + 1]; s2 += v * a[at + 2]; s3 += v * a[at + 3];
            s4 += v * a[at + 4]; s5 += v * a[at + 5]; s6 += v * a[at + 6]; s7 += v * a[at + 7];
          }
          const to = out + PANEL * (row * panels + panel);
          a[to] = s0; a[to + 1] = s1; a[to + 2] = s2; a[to + 3] = s3;
          a[to + 4] = s4; a[to + 5] = s5; a[to + 6] = s6; a[to + 7] = s7;
        }
      }
    }
  }

  /** V's decoder: z to a picture (App. A.1). */
  class Vision {
    constructor(model, arithmetic) {
      this.math = arithmetic;
      this.z = arithmetic.reserve(model.z_size);
      this.first = arithmetic.reserve(arithmetic.columns("v.first"));
      let side = 5; // v.first is V's linear map and its first transposed convolution in one
      this.layers = model.deconvolutions.map(({ name, kernel, channels }) => {
        const before = side;
        side = 2 * (side - 1) + kernel; // stride 2
        return {
          name, kernel, channels, before, side,
          products: arithmetic.reserve(before * before * arithmetic.columns(name)),
          out: arithmetic.reserve(side * side * channels),
        };
      });
      this.side = side;
    }

    /** RGBA, Uint8ClampedArray (64·64·4), of z (Z,). */
    decode(z) {
      const { math } = this;
      math.numbers.set(z, this.z);
      math.times(this.z, 1, "v.first", this.first);
      const start = math.view(this.first, math.columns("v.first")), bias = math.array("v.first.bias");
      for (let i = 0; i < start.length; i++) start[i] = Math.max(0, start[i] + bias[i]);
      let x = this.first;
      for (const layer of this.layers) x = this.deconvolve(x, layer);
      return this.picture(x);
    }

    /** One transposed convolution: a product for each pixel, whose patches are then laid down. */
    deconvolve(x, { name, kernel, channels, before, side, products, out }) {
      const { math } = this, columns = math.columns(name), line = kernel * channels;
      math.times(x, before * before, name, products);
      const a = math.numbers, bias = math.array(`${name}.bias`), end = out + side * side * channels;
      for (let at = out; at < end; at += channels) a.set(bias, at);
      for (let y = 0; y < before; y++) {
        for (let c = 0; c < before; c++) {
          let from = products + (y * before + c) * columns; // a patch (kernel, kernel, channels)
          for (let k = 0; k < kernel; k++) {
            const to = out + ((2 * y + k) * side + 2 * c) * channels;
            for (let i = 0; i < line; i++) a[to + i] += a[from + i];
            from += line;
          }
        }
      }
      if (channels !== 3) for (let i = out; i < end; i++) if (a[i] < 0) a[i] = 0; // ReLU
      return out;
    }

    picture(x) {
      const rgba = new Uint8ClampedArray(4 * this.side * this.side), a = this.math.numbers;
      for (let i = 0; i < rgba.length; x += 3) {
        for (let c = 0; c < 3; c++) rgba[i++] = 255 * sigmoid(a[x + c]); // rounds by itself
        rgba[i++] = 255;
      }
      return rgba;
    }
  }

  /** M: what it remembers of one dream, and what it expects (App. A.2, D.2). */
  class Memory {
    constructor(model, arithmetic) {
      this.model = model;
      this.math = arithmetic;
      this.inputs = arithmetic.reserve(arithmetic.arrays["m.w_x"].shape[1]);
      this.h = arithmetic.reserve(model.hidden_size);
      this.fromX = arithmetic.reserve(arithmetic.columns("m.w_x"));
      this.fromH = arithmetic.reserve(arithmetic.columns("m.w_h"));
      this.out = arithmetic.reserve(arithmetic.columns("m.heads"));
    }

    /** Forget, as before an episode's first frame. */
    start() {
      this.parts = { h: this.math.view(this.h, this.model.hidden_size).fill(0) };
      if (this.model.cell === "lstm") this.parts.c = new Float32Array(this.model.hidden_size);
    }

    /** Remember what was seen and done. `first`: whether this is an episode's first frame. */
    step(z, action, first) {
      const { math, model } = this, x = math.view(this.inputs, math.arrays["m.w_x"].shape[1]);
      x.set(z);
      x.set(action, z.length);
      if (model.restart) x[z.length + action.length] = first ? 1 : 0;
      math.times(this.inputs, 1, "m.w_x", this.fromX);
      math.times(this.h, 1, "m.w_h", this.fromH);
      const n = model.hidden_size, bias = math.array("m.bias"), { h, c } = this.parts;
      const fromX = math.view(this.fromX, bias.length), fromH = math.view(this.fromH, bias.length);
      for (let j = 0; j < bias.length; j++) fromX[j] += bias[j];
      if (model.cell === "lstm") {
        for (let j = 0; j < n; j++) { // gates in the order i, f, u, o
          const [i, f, u, o] = [j, j + n, j + 2 * n, j + 3 * n].map((g) => fromX[g] + fromH[g]);
          c[j] = sigmoid(f) * c[j] + sigmoid(i) * Math.tanh(u);
          h[j] = sigmoid(o) * Math.tanh(c[j]);
        }
      } else {
        for (let j = 0; j < n; j++) { // gates in the order r, k, u
          const r = sigmoid(fromX[j] + fromH[j]), keep = sigmoid(fromX[j + n] + fromH[j + n]);
          const u = Math.tanh(fromX[j + 2 * n] + r * fromH[j + 2 * n]);
          h[j] = keep * h[j] + (1 - keep) * u;
        }
      }
    }

    /** What M expects of the next step: the mixture, and the end's logit and reward or null. */
    predict() {
      const { math, model } = this, bias = math.array("m.heads.bias");
      math.times(this.h, 1, "m.heads", this.out);
      const out = math.view(this.out, bias.length);
      for (let i = 0; i < out.length; i++) out[i] += bias[i];
      const scalar = (name) => (model.columns[name] == null ? null : out[model.columns[name]]);
      return { mixture: out, end: scalar("end"), reward: scalar("reward") };
    }

    /** The probability that the episode ends: training counted ends `end_weight` times. */
    risk(end) {
      return sigmoid(end - Math.log(this.model.end_weight));
    }

    /** Draw z (Z,) at temperature τ: logits / τ, noise × √τ. u uniform, eps normal, (Z,) each. */
    sample(mixture, u, eps, tau, z) {
      const Z = z.length, K = this.model.mixtures, pi = new Float64Array(K);
      for (let d = 0; d < Z; d++) {
        let largest = -Infinity, sum = 0;
        for (let k = 0; k < K; k++) largest = Math.max(largest, mixture[k * Z + d] / tau);
        for (let k = 0; k < K; k++) sum += pi[k] = Math.exp(mixture[k * Z + d] / tau - largest);
        let chosen = 0;
        for (let k = 0, cumulative = 0; k < K - 1; k++) {
          cumulative += pi[k] / sum;
          if (cumulative <= u[d]) chosen = k + 1;
        }
        const mu = mixture[(K + chosen) * Z + d], said = mixture[(2 * K + chosen) * Z + d];
        const logsigma = Math.min(LOGSIGMA_MAX, Math.max(LOGSIGMA_MIN, said));
        z[d] = mu + Math.exp(logsigma) * eps[d] * Math.sqrt(tau);
      }
    }
  }

  /** C: features to an action, Float32Array (A,) (App. A.3). */
  class Controller {
    constructor(model, arithmetic) {
      this.model = model;
      this.math = arithmetic;
    }

    act(features) {
      let x = features;
      this.model.controller.forEach(({ name, outputs, bias }, layer) => {
        if (layer) x = x.map(Math.tanh);
        const w = this.math.array(name), b = bias ? this.math.array(`${name}.bias`) : null;
        const y = new Float32Array(outputs);
        for (let o = 0; o < outputs; o++) { // w is (outputs, inputs)
          let sum = b ? b[o] : 0;
          for (let i = 0; i < x.length; i++) sum += w[o * x.length + i] * x[i];
          y[o] = sum;
        }
        x = y;
      });
      return this.squash(x);
    }

    /** C's outputs as an action: one-hot of the largest, or tanh scaled and clipped. */
    squash(raw) {
      const { squash } = this.model;
      if (squash === "argmax") {
        const largest = raw.indexOf(Math.max(...raw));
        return raw.map((_, i) => (i === largest ? 1 : 0));
      }
      return raw.map((value, i) => {
        const { scale, offset, low, high } = squash[i];
        return Math.min(high, Math.max(low, offset + scale * Math.tanh(value)));
      });
    }
  }

  /** V, M and C of an export. bytes: Uint8Array of the weights; kernel: kernel.wasm or null. */
  function open(model, bytes, kernel) {
    const math = new Arithmetic(model, bytes);
    const vision = new Vision(model, math), memory = new Memory(model, math);
    math.start(kernel);
    return { model, vision, memory, controller: new Controller(model, math), math };
  }

  /** One dream, as worlds/dream.py has it. `tau` and `ends` may be changed at any time. */
  class Dream {
    constructor(models, tau, ends) {
      Object.assign(this, models, { tau, ends });
      this.z = new Float32Array(this.model.z_size);
    }

    /** Begin at z drawn from the stored first frame number `frame`; eps normal (Z,). */
    begin(frame, eps) {
      const mu = this.math.array("first.mu"), logvar = this.math.array("first.logvar");
      for (let d = 0, at = frame * this.z.length; d < this.z.length; d++, at++) {
        this.z[d] = mu[at] + Math.exp(0.5 * logvar[at]) * eps[d];
      }
      this.memory.start();
      this.age = 0;
      this.total = 0;
      this.risk = null;
    }

    /** What C sees: z, then M's parts. */
    features() {
      const seen = [this.z, ...this.model.seen.map((part) => this.memory.parts[part])];
      const out = new Float32Array(seen.reduce((n, part) => n + part.length, 0));
      let at = 0;
      for (const part of seen) {
        out.set(part, at);
        at += part.length;
      }
      return out;
    }

    /** What C would do. */
    policy() {
      return this.controller.act(this.features());
    }

    /** Act; noise { u, eps, v }, (Z,), (Z,) and a number. Returns whether the dream has ended. */
    step(action, { u, eps, v }) {
      this.memory.step(this.z, action, this.age === 0);
      const { mixture, end, reward } = this.memory.predict();
      this.memory.sample(mixture, u, eps, this.tau, this.z);
      this.age += 1;
      this.total += reward ?? 1;
      if (end === null) return false;
      this.risk = this.memory.risk(end);
      return this.ends === "drawn" ? v < this.risk : end > 0;
    }
  }

  /** Noise from a seed: Chris Doty-Humphrey's sfc32, and Box and Muller's normal numbers. */
  class Noise {
    constructor(seed, z_size) {
      this.state = [seed >>> 0, 0x9e3779b9, 0x243f6a88, 1];
      this.z_size = z_size;
      for (let i = 0; i < 15; i++) this.uniform();
    }

    uniform() {
      let [a, b, c, d] = this.state;
      const t = (a + b + d) | 0;
      d = (d + 1) | 0;
      a = b ^ (b >>> 9);
      b = (c + (c << 3)) | 0;
      c = ((c << 21) | (c >>> 11)) + t | 0;
      this.state = [a, b, c, d];
      return (t >>> 0) / 2 ** 32;
    }

    normal() {
      const radius = Math.sqrt(-2 * Math.log(1 - this.uniform()));
      return radius * Math.cos(2 * Math.PI * this.uniform());
    }

    /** A first frame's number below `choices`, and its eps. */
    begin(choices) {
      return { frame: Math.floor(this.uniform() * choices), eps: this.many(() => this.normal()) };
    }

    /** The noise of a step. */
    step() {
      const u = this.many(() => this.uniform()), eps = this.many(() => this.normal());
      return { u, eps, v: this.uniform() };
    }

    many(draw) {
      return Float32Array.from({ length: this.z_size }, draw);
    }
  }

  return { open, Dream, Noise };
}

if (typeof module !== "undefined") module.exports = dreamCore;
