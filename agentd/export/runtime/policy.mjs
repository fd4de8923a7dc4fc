// @HEAD@
// One file, no dependency: browsers and Node >= 16.
//
//     import { Policy } from "./@NAME@.mjs";
//     const policy = new Policy();
//     policy.reset();                          // an episode begins
//     const action = policy.act(observation);  // and `policy.values` has what the network said

/** What the policy is: tensors of a row, actions, frame stack, versions, licence. */
export const facts = @FACTS@;

const shape = @SHAPE@;
const program = @PROGRAM@;
const data = "@DATA@";

function decode() {
  const text = atob(data);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  const floats = new Float32Array(bytes.buffer, 0, shape.floats);
  return [floats, shape.small ? new Int8Array(bytes.buffer, 4 * shape.floats) : floats];
}

const [floats, ints] = decode();

export class Policy {
  constructor() {
    this.rows = new Float32Array(shape.stack * shape.row);
    this.played = new Int32Array(shape.last_actions * shape.branches.length);
    /** What the network said of the last row: a value for each action. */
    this.values = new Float32Array(shape.outputs);
    this.buffers = [new Float32Array(shape.buffer), new Float32Array(shape.buffer)];
    this.aside = shape.aside.map((size) => new Float32Array(size));
    this.reset();
  }

  /** Begin an episode. */
  reset() {
    this.begun = false;
    this.played.fill(-1);
  }

  /**
   * Choose the best legal action for a row. `observation`: its numbers in an array, or an object of
   * arrays by tensor name; `mask`: 1 = legal for each action of all branches. Returns a number, or
   * an array of one for each branch.
   */
  act(observation, mask = null) {
    this.evaluate(observation);
    const best = [];
    let at = 0;
    for (const width of shape.branches) {
      let first = -1;
      for (let i = 0; i < width; i++) {
        if (mask !== null && !mask[at + i]) continue;
        if (first < 0 || this.values[at + i] > this.values[at + first]) first = i;
      }
      best.push(Math.max(first, 0));
      at += width;
    }
    if (shape.last_actions) {
      this.played.copyWithin(0, best.length);
      this.tell(best);
    }
    return best.length === 1 ? best[0] : best;
  }

  /** The numbers that an action of `act` stands for, as the game takes them; it is one of bins. */
  numbers(action) {
    const all = typeof action === "number" ? [action] : action;
    if (all.length === 1) return shape.numbers[all[0]];
    return all.map((number, head) => shape.numbers[head][number]);
  }

  /** Say what was played after the last row where that was another action. */
  tell(action) {
    if (shape.last_actions) {
      const all = typeof action === "number" ? [action] : action;
      this.played.set(all, this.played.length - all.length);
    }
  }

  /** Take in a row; return what the network says of it, valid until the next one. */
  evaluate(observation) {
    const row = flat(observation);
    if (row.length !== shape.row) {
      throw new RangeError(`observation: want ${shape.row} numbers, got ${row.length}`);
    }
    if (this.begun) this.rows.copyWithin(0, shape.row);
    for (let k = this.begun ? shape.stack - 1 : 0; k < shape.stack; k++) {
      this.rows.set(row, k * shape.row);
    }
    this.begun = true;
    this.assemble(this.buffers[0]);
    let now = 0;
    for (const step of program) {
      const x = this.buffers[now];
      const y = this.buffers[1 - now];
      if (!inPlace(step, x, this.aside)) {
        outOf[step.op](step, x, y);
        now = 1 - now;
      }
    }
    this.values.set(this.buffers[now].subarray(0, shape.outputs));
    return this.values;
  }

  assemble(x) {
    const channels = shape.row / shape.places;
    const n = shape.branches.length;
    let at = 0;
    for (let place = 0; place < shape.places; place++) {
      for (let k = 0; k < shape.stack; k++) {
        for (let i = 0; i < channels; i++) x[at++] = this.rows[k * shape.row + place * channels + i];
      }
      for (let k = 0; k < shape.last_actions; k++) {
        for (let b = 0; b < n; b++) {
          for (let i = 0; i < shape.branches[b]; i++) x[at++] = this.played[k * n + b] === i ? 1 : 0;
        }
      }
    }
  }
}

function flat(observation) {
  if (typeof observation.length === "number") return observation;
  const row = new Float32Array(shape.row);
  for (const tensor of shape.tensors) {
    const values = observation[tensor.name];
    if (values === undefined || (values.length ?? 1) !== tensor.size) {
      const got = values === undefined ? "none" : (values.length ?? 1);
      throw new RangeError(`observation.${tensor.name}: want ${tensor.size} numbers, got ${got}`);
    }
    row.set(values.length === undefined ? [values] : values, tensor.at);
  }
  return row;
}

const curves = {
  relu: (v) => (v > 0 ? v : 0),
  leaky_relu: (v, slope) => (v > 0 ? v : slope * v),
  sigmoid: (v) => 0.5 + 0.5 * Math.tanh(0.5 * v),
  tanh: (v) => Math.tanh(v),
  softplus: (v) => Math.max(v, 0) + Math.log1p(Math.exp(-Math.abs(v))),
  gelu: (v) => 0.5 * v * (1 + Math.tanh(0.7978845608028654 * (v + 0.044715 * v * v * v))),
  exp: (v) => Math.exp(Math.min(Math.max(v, -10), 10)),
};

function inPlace(step, x, aside) {
  const n = step.n;
  switch (step.op) {
    case "act": {
      const curve = curves[step.act];
      for (let i = 0; i < step.out; i++) x[i] = curve(x[i], step.slope);
      return true;
    }
    case "rescale":
      for (let i = 0; i < step.out; i++) {
        const j = i % n;
        const v = (x[i] - floats[step.shift + j]) * floats[step.scale + j] + floats[step.bias + j];
        x[i] = step.limit < 0 ? v : Math.min(Math.max(v, -step.limit), step.limit);
      }
      return true;
    case "norm":
      for (let at = 0; at < step.out; at += n) standardize(x.subarray(at, at + n), step);
      return true;
    case "keep":
      aside[step.at].set(x.subarray(0, step.out));
      return true;
    case "plus":
      for (let i = 0; i < step.out; i++) x[i] += aside[step.at][i];
      return true;
  }
  return false;
}

function standardize(x, step) {
  const n = x.length;
  let mean = 0;
  let variance = 0;
  for (let i = 0; i < n; i++) mean += x[i];
  mean /= n;
  for (let i = 0; i < n; i++) variance += (x[i] - mean) ** 2;
  const scale = 1 / Math.sqrt(variance / n + step.eps);
  for (let i = 0; i < n; i++) {
    x[i] = (x[i] - mean) * scale * floats[step.gain + i] + floats[step.bias + i];
  }
}

function addRows(step, x, from, count, width, w, y, to) {
  const weights = step.scale < 0 ? floats : ints;
  for (let i = 0; i < count; i++) {
    const v = x[from + i];
    if (v === 0) continue;
    const row = w + i * width;
    for (let j = 0; j < width; j++) y[to + j] += v * weights[row + j];
  }
}

function finish(step, width, y, to) {
  if (step.scale >= 0) for (let j = 0; j < width; j++) y[to + j] *= floats[step.scale + j];
  if (step.b >= 0) for (let j = 0; j < width; j++) y[to + j] += floats[step.b + j];
}

// Calls visit(from, tap) for every place under the window at (i, j) that is not padding.
function under(step, i, j, visit) {
  const [rows, columns] = step.kernel;
  for (let u = 0; u < rows; u++) {
    for (let v = 0; v < columns; v++) {
      const down = i * step.stride[0] - step.padding[0] + u;
      const across = j * step.stride[1] - step.padding[1] + v;
      if (down < 0 || across < 0 || down >= step.height || across >= step.width) continue;
      visit((down * step.width + across) * step.depth, u * columns + v);
    }
  }
}

function pool(step, x, y, largest) {
  let to = 0;
  for (let i = 0; i < step.out_height; i++) {
    for (let j = 0; j < step.out_width; j++, to += step.depth) {
      let seen = 0;
      y.fill(0, to, to + step.depth);
      under(step, i, j, (from) => {
        for (let c = 0; c < step.depth; c++) {
          if (!largest) y[to + c] += x[from + c];
          else if (seen === 0 || x[from + c] > y[to + c]) y[to + c] = x[from + c];
        }
        seen++;
      });
      if (!largest) for (let c = 0; c < step.depth; c++) y[to + c] /= seen;
    }
  }
}

const outOf = {
  dense(step, x, y) {
    y.fill(0, 0, step.out);
    addRows(step, x, 0, step.in, step.out, step.w, y, 0);
    finish(step, step.out, y, 0);
  },
  lookup(step, x, y) {
    y.fill(0, 0, step.out);
    for (let i = 0; i < step.in; i++) {
      if (x[i] >= 0) addRows(step, [1], 0, 1, step.out, step.w + x[i] * step.out, y, 0);
    }
    finish(step, step.out, y, 0);
  },
  conv(step, x, y) {
    let to = 0;
    y.fill(0, 0, step.out);
    for (let i = 0; i < step.out_height; i++) {
      for (let j = 0; j < step.out_width; j++, to += step.channels) {
        under(step, i, j, (from, tap) => {
          const w = step.w + tap * step.depth * step.channels;
          addRows(step, x, from, step.depth, step.channels, w, y, to);
        });
        finish(step, step.channels, y, to);
      }
    }
  },
  max_pool: (step, x, y) => pool(step, x, y, true),
  avg_pool: (step, x, y) => pool(step, x, y, false),
  merge(step, x, y) {
    let from = 0;
    let to = 0;
    for (let z = 0; z < step.atoms; z++) {
      const value = x[from++];
      for (const width of step.branches) {
        let mean = 0;
        for (let i = 0; i < width; i++) mean += x[from + i];
        mean /= width;
        for (let i = 0; i < width; i++) y[to++] = x[from++] - mean + value;
      }
    }
  },
  expect(step, x, y) {
    const actions = step.out;
    for (let a = 0; a < actions; a++) {
      let most = x[a];
      let total = 0;
      let sum = 0;
      for (let z = 1; z < step.atoms; z++) most = Math.max(most, x[z * actions + a]);
      for (let z = 0; z < step.atoms; z++) {
        const v = x[z * actions + a];
        const share = step.returns < 0 ? 1 : Math.exp(v - most);
        total += share;
        sum += share * (step.returns < 0 ? v : floats[step.returns + z]);
      }
      y[a] = sum / total;
    }
  },
};
