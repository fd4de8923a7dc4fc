/**
 * agentd for JavaScript: connects a game to a daemon that plays it and learns while it runs.
 *
 * This file alone is the client for browsers, and a daemon serves it as /agentd.js; node.mjs adds
 * TCP for Node. index.d.ts says what each word means, README.md shows a first game.
 * msgpack → Session (what to say, without I/O) → Agent (when: timers, reconnects, promises).
 * Licence: Apache-2.0, see LICENSE.
 */

export const VERSION = "0.1.0";
export const [FIRST, MID, TERMINATED, TRUNCATED] = [0, 1, 2, 3]; // kinds of rows
export const [AGENT, PERSON, SCRIPT] = [0, 1, 2]; // who chose an action

const [CONNECT_MS, FAREWELL_MS] = [10_000, 1_000]; // patience with one try, and with a goodbye
const [FIRST_DELAY_MS, LONGEST_DELAY_MS] = [50, 5_000]; // between two tries

export class AgentdError extends Error {
  get name() { return this.constructor.name; }
}
export class Unreachable extends AgentdError {}
export class SessionLost extends AgentdError {}
export class WindowFull extends AgentdError {}
export class ServerTooOld extends AgentdError {}
export class ProtocolError extends AgentdError {}
export class Closed extends AgentdError {}
export class Refused extends AgentdError {
  constructor({ code, message, fatal, seq, field, expected, got, retry_ms: retryMs }) {
    super(`${code}: ${message}`);
    Object.assign(this, { code, fatal, seq, field, expected, got, retryMs });
  }
}
export class DataRefused extends Refused {}

// -- msgpack: the part of it that the protocol uses -----------------------------------------------

/** A number that goes out as a float even where it is whole. */
export class Float {
  constructor(value) { this.value = value; }
}

const utf8 = new TextEncoder();
const fromUtf8 = new TextDecoder("utf-8", { fatal: true });
const MOST_DEEP = 64;

/** Return `value` as msgpack; keys that are undefined are left out. */
export function encode(value) {
  let bytes = new Uint8Array(512);
  let view = new DataView(bytes.buffer);
  let end = 0;
  const room = (n) => {
    const at = end;
    end += n;
    if (end > bytes.length) {
      const shorter = bytes;
      bytes = new Uint8Array(Math.max(end, 2 * bytes.length));
      bytes.set(shorter);
      view = new DataView(bytes.buffer);
    }
    return at;
  };
  const byte = (value) => { const at = room(1); bytes[at] = value; };
  const put = (tag, kind, n, size) => {
    byte(tag);
    const at = room(size);
    view[`set${kind}`](at, n);
  };
  const head = (n, fixed, most, [tag8, tag16, tag32]) => { // of something `n` long
    if (n < most) byte(fixed | n);
    else if (n < 256 && tag8) put(tag8, "Uint8", n, 1);
    else if (n < 65_536) put(tag16, "Uint16", n, 2);
    else put(tag32, "Uint32", n, 4);
  };
  const raw = (data) => { const at = room(data.length); bytes.set(data, at); };
  const whole = (n) => {
    if (n < 0) put(0xd3, "BigInt64", BigInt(n), 8);
    else if (n > 0xffff_ffff) put(0xcf, "BigUint64", BigInt(n), 8);
    else head(Number(n), 0, 128, [0xcc, 0xcd, 0xce]);
  };
  const write = (v) => {
    if (v === null || v === undefined) byte(0xc0);
    else if (typeof v === "boolean") byte(v ? 0xc3 : 0xc2);
    else if (typeof v === "bigint" || Number.isSafeInteger(v)) whole(v);
    else if (typeof v === "number") put(0xcb, "Float64", v, 8);
    else if (v instanceof Float) put(0xcb, "Float64", v.value, 8);
    else if (typeof v === "string") {
      const text = utf8.encode(v);
      head(text.length, 0xa0, 32, [0xd9, 0xda, 0xdb]);
      raw(text);
    } else if (v instanceof Uint8Array) {
      head(v.length, 0, 0, [0xc4, 0xc5, 0xc6]);
      raw(v);
    } else if (Array.isArray(v)) {
      head(v.length, 0x90, 16, [0, 0xdc, 0xdd]);
      v.forEach(write);
    } else {
      const pairs = Object.entries(v).filter(([, each]) => each !== undefined);
      head(pairs.length, 0x80, 16, [0, 0xde, 0xdf]);
      for (const pair of pairs) pair.forEach(write);
    }
  };
  write(value);
  return bytes.subarray(0, end);
}

/** Return the one msgpack map in `bytes`; `asFloat` makes values of its floats. */
export function decode(bytes, asFloat = (x) => x) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;
  const take = (n) => {
    at += n;
    if (at > bytes.length) throw new RangeError("cut short");
    return at - n;
  };
  const get = (kind, size) => view[`get${kind}`](take(size));
  const uint = (power) => get(["Uint8", "Uint16", "Uint32"][power], 1 << power);
  const int = (power) => get(["Int8", "Int16", "Int32"][power], 1 << power);
  const safe = (n) => (Number.isSafeInteger(Number(n)) ? Number(n) : n);
  const bin = (n) => bytes.subarray(take(n), at);
  const text = (n) => fromUtf8.decode(bin(n));
  const several = (length, each) => Array.from({ length }, each);
  const list = (n, deep) => several(n, () => read(deep + 1));
  const pair = (deep) => {
    const key = read(deep);
    if (typeof key !== "string") throw new TypeError("a key is no string");
    return [key, read(deep)];
  };
  const map = (n, deep) => Object.fromEntries(several(n, () => pair(deep + 1))); // as own keys
  const read = (deep) => {
    if (deep > MOST_DEEP) throw new RangeError("nested without end");
    const tag = uint(0);
    if (tag < 0x80) return tag;
    if (tag < 0x90) return map(tag & 15, deep);
    if (tag < 0xa0) return list(tag & 15, deep);
    if (tag < 0xc0) return text(tag & 31);
    if (tag >= 0xe0) return tag - 256;
    switch (tag) {
      case 0xc0: return null;
      case 0xc2: case 0xc3: return tag === 0xc3;
      case 0xc4: case 0xc5: case 0xc6: return bin(uint(tag - 0xc4));
      case 0xca: case 0xcb: return asFloat(tag === 0xca ? get("Float32", 4) : get("Float64", 8));
      case 0xcc: case 0xcd: case 0xce: return uint(tag - 0xcc);
      case 0xd0: case 0xd1: case 0xd2: return int(tag - 0xd0);
      case 0xcf: case 0xd3: return safe(get(tag === 0xcf ? "BigUint64" : "BigInt64", 8));
      case 0xd9: case 0xda: case 0xdb: return text(uint(tag - 0xd9));
      case 0xdc: case 0xdd: return list(uint(tag - 0xdb), deep);
      case 0xde: case 0xdf: return map(uint(tag - 0xdd), deep);
      default: throw new TypeError(`msgpack type 0x${tag.toString(16)}`);
    }
  };
  try {
    const value = read(0);
    if (at === bytes.length && typeof value?.type === "string") return value;
    throw new TypeError("no map with a type");
  } catch (fault) {
    throw new ProtocolError(`the server sent what is no message: ${fault.message}`);
  }
}

// -- tensors --------------------------------------------------------------------------------------

if (new Uint8Array(new Uint16Array([1]).buffer)[0] === 0) {
  throw new AgentdError("this client needs a little-endian machine");
}
const KINDS = {
  uint8: Uint8Array, int8: Int8Array, uint32: Uint32Array, int32: Int32Array,
  float16: Uint16Array, float32: Float32Array, // of a half the bits
};
const DTYPES = Object.keys(KINDS).filter((dtype) => dtype !== "uint32");
const RANGES = { uint8: [0, 255], int8: [-128, 127], uint32: [0, 2 ** 32 - 1] };
const scratch = new DataView(new ArrayBuffer(4));
const isList = (v) => Array.isArray(v) || ArrayBuffer.isView(v);
const flat = (v) => (Array.isArray(v) && v.some(isList) ? v.flatMap((x) => [...flat(x)]) : v);

/** Return the bits of `x` as an IEEE half, rounded to the nearest, ties to even. */
function half(x) {
  scratch.setFloat32(0, x);
  const bits = scratch.getUint32(0);
  const [sign, size] = [(bits >>> 16) & 0x8000, bits & 0x7fff_ffff];
  if (size > 0x7f80_0000) return 0x7e00; // NaN
  if (size >= 0x477f_f000) return sign | 0x7c00; // 65520 and more
  const [rest, odd] = [size - 0x3800_0000, (size >>> 13) & 1];
  if (size >= 0x3880_0000) return sign | ((rest + 0xfff + odd) >>> 13);
  const steps = Math.abs(x) * 2 ** 24; // below the smallest normal half
  const [below, part] = [Math.floor(steps), steps % 1];
  return sign | (below + Number(part > 0.5 || (part === 0.5 && below % 2 === 1)));
}

/** Return `count` numbers as bytes. Throws RangeError and TypeError that begin with `name`. */
function pack(name, dtype, values, count) {
  const kind = KINDS[dtype];
  const numbers = isList(values) ? flat(values) : [values];
  if (numbers.length !== count) {
    throw new RangeError(`${name}: want ${count} numbers (${dtype}), got ${numbers.length}`);
  }
  const [low, high] = RANGES[dtype] ?? [-(2 ** 31), 2 ** 31 - 1];
  const whole = !dtype.startsWith("float");
  const exact = numbers instanceof kind && dtype !== "float16";
  for (let i = 0; !exact && i < count; i += 1) {
    const n = typeof numbers[i] === "boolean" ? Number(numbers[i]) : numbers[i];
    if (typeof n !== "number" || (whole && !(Number.isInteger(n) && n >= low && n <= high))) {
      const want = whole ? `a whole number in ${low}..${high}` : "a number";
      throw new TypeError(`${name}[${i}]: want ${want}, got ${String(numbers[i])}`);
    }
  }
  const typed = exact ? numbers : kind.from(numbers, dtype === "float16" ? half : undefined);
  return new Uint8Array(typed.buffer, typed.byteOffset, typed.byteLength);
}

/** Return `bytes` as `count` numbers. Throws ProtocolError. */
function unpack(name, dtype, bytes, count) {
  if (bytes?.length !== count * KINDS[dtype].BYTES_PER_ELEMENT) {
    throw new ProtocolError(`${name}: want ${count} numbers (${dtype})`);
  }
  return new KINDS[dtype](new Uint8Array(bytes).buffer); // a copy, and aligned
}

// -- the session: what to say ---------------------------------------------------------------------

const each = (map, change) => (
  Object.fromEntries(Object.entries(map).map(([key, value]) => [key, change(value, key)]))
);
const float = (x) => (x == null ? undefined : new Float(x));
const bounded = (head) => ({ ...head, low: float(head.low), high: float(head.high) });

/** Return an action space as hello has it, its numbers and its mask bytes a row. */
function readAction(action) {
  if (typeof action === "number") return readAction({ kind: "discrete", n: action });
  if (Array.isArray(action)) return readAction({ kind: "multi_discrete", n: action });
  const { kind, n, low, high, heads } = action;
  const wire = {
    discrete: () => ({ kind, n }),
    multi_discrete: () => ({ kind, n }),
    box: () => ({ kind, low: low.map(float), high: high.map(float) }),
    mixed: () => ({ kind, heads: heads.map(bounded) }),
  }[kind]?.();
  if (!wire) throw new TypeError(`action: want a number, a list or a map with kind, got ${kind}`);
  const whole = [n ?? heads?.map((head) => head.n ?? 0) ?? []].flat();
  const width = (low ?? heads ?? whole).length;
  const mask = whole.reduce((all, many) => all + many, 0);
  return { kind, wire, width, mask, dtype: n === undefined ? "float32" : "int32" };
}

/** The conversation of one agent over all its connections: rows in, bodies of frames out. */
export class Session {
  constructor(options) {
    const given = options.observation;
    this.observation = typeof given.dtype === "string" ? { obs: given } : given;
    this.tensors = each(this.observation, ({ dtype, shape }, name) => {
      if (DTYPES.includes(dtype)) return { dtype, size: shape.reduce((n, side) => n * side, 1) };
      throw new TypeError(`observation.${name}.dtype: want ${DTYPES.join(", ")}; got ${dtype}`);
    });
    this.action = readAction(options.action);
    this.said = { client: `agentd-javascript/${VERSION}`, role: "train", streams: 1, ...options };
    this.run = options.run ?? globalThis.crypto.getRandomValues(new Uint8Array(16));
    const newer = (options.dtMs ?? options.level) != null || this.action.dtype === "float32";
    this.protocol = options.protocol ?? [newer ? 2 : 1, 2]; // a hello fits the lowest it offers
    [this.welcome, this.settings] = [null, {}];
    this.abandon();
  }

  /** Begin anew with the next hello; return the frames that nobody will answer any more. */
  abandon() {
    const dropped = this.waiting ?? [];
    this.seq = 0;
    this.waiting = []; // frames without an answer, oldest first
    this.open = new Set(); // streams that have an episode
    this.resume = undefined;
    return dropped;
  }

  hello() {
    const { client, role, agent, streams, token, explain, priority, ...o } = this.said;
    return encode({
      type: "hello", protocol: this.protocol, client, role, run: this.run, agent,
      observation: this.observation, action: this.action.wire, streams, token, resume: this.resume,
      explain, deadline_ms: o.deadlineMs, priority, dt_ms: float(o.dtMs), level: float(o.level),
    });
  }

  needs2(what) {
    if (this.welcome?.protocol < 2) throw new ServerTooOld(`${what}: needs protocol 2`);
  }

  /** Number a step; return the frame that waits. What it throws was not numbered. */
  step(rows) {
    const { streams } = this.said;
    const one = !isList(rows.stream) && !isList(rows.kind) && (streams === 1 || "stream" in rows);
    const n = one ? 1 : (rows.stream ?? rows.kind ?? { length: streams }).length;
    const stream = one ? [rows.stream ?? 0] : (rows.stream ?? [...Array(n).keys()]);
    const open = new Set(this.open);
    const kind = Array.from(stream, (id, row) => {
      const own = (one ? rows.kind : rows.kind?.[row]) ?? (open.has(id) ? MID : FIRST);
      open[own < TERMINATED ? "add" : "delete"](id);
      return own;
    });
    const named = !isList(rows.obs) && typeof rows.obs === "object";
    const obs = each(this.tensors, ({ dtype, size }, name) => (
      pack(`obs.${name}`, dtype, named ? rows.obs[name] : rows.obs, n * size)
    ));
    const column = (name, dtype, width = 1) => (
      rows[name] == null ? undefined : pack(name, dtype, rows[name], n * width)
    );
    const facts = {
      taken: column("taken", this.action.dtype, this.action.width), by: column("by", "uint8"),
      elapsed: column("elapsed", "float32"), success: column("success", "uint8"),
    };
    for (const name of Object.keys(facts)) if (facts[name]) this.needs2(name);
    const body = encode({
      type: "step", seq: this.seq + 1, stream: pack("stream", "uint32", stream, n),
      kind: pack("kind", "uint8", kind, n),
      reward: column("reward", "float32") ?? new Uint8Array(4 * n),
      obs, mask: column("mask", "uint8", this.action.mask), ...facts,
    });
    const { max_rows: rowsAtMost, max_frame: bytesAtMost } = this.welcome ?? {};
    if (n > rowsAtMost || body.length > bytesAtMost) {
      throw new RangeError(`want at most ${rowsAtMost} rows, ${bytesAtMost} bytes; got ${n} rows`);
    }
    const frame = { seq: this.seq += 1, body, n, one, before: this.open };
    this.open = open;
    this.waiting.push(frame);
    return frame;
  }

  log(values) {
    this.needs2("log");
    return encode({ type: "log", values: each(values, float) });
  }

  /** Take the body of a frame; return what it says, with `reply`, the bodies to send for it. */
  receive(body) {
    const said = decode(body);
    const { type, seq } = said;
    if (type === "act") return { type, ...this.answered(this.next(seq), said) };
    if (type === "welcome") return this.welcomed(said);
    if (type === "ping") { // what came as an int or a float goes back as that
      return { type, reply: [encode({ ...decode(body, float), type: "pong" })] };
    }
    if (type === "error") {
      if (said.fatal || seq == null) return { type, error: new Refused(said) };
      const frame = this.next(seq);
      this.open = frame.before; // nothing of it moved a stream
      return { type: "refused", frame, error: new DataRefused(said) };
    }
    if (type === "settings") this.settings = said.values;
    else if (type !== "pong" && type !== "goodbye") throw new ProtocolError(`unasked: ${type}`);
    return said;
  }

  next(seq) {
    const frame = this.waiting.shift();
    if (frame?.seq !== seq) throw new ProtocolError(`an answer out of order: seq ${seq}`);
    return frame;
  }

  answered(frame, { seq, version, late, action, q, explored, novelty }) {
    const { kind, mask, width, dtype } = this.action;
    const numbers = unpack("action", dtype, action, frame.n * width);
    const act = { seq, action: numbers, version, late: late === true };
    if (frame.one && kind === "discrete") act.action = numbers[0];
    if (q) act.q = unpack("q", "float32", q, frame.n * mask);
    if (novelty) act.novelty = unpack("novelty", "float32", novelty, frame.n);
    if (explored) act.explored = frame.one ? explored[0] === 1 : new Uint8Array(explored);
    return { frame, act };
  }

  welcomed(welcome) {
    const [low, high] = this.protocol;
    if (!(welcome.protocol >= low && welcome.protocol <= high)) {
      throw new ProtocolError(`the server chose protocol ${welcome.protocol}, not offered`);
    }
    const answered = (this.waiting[0]?.seq ?? this.seq + 1) - 1;
    const stale = welcome.resumed && welcome.last_seq < answered; // it lost what it had answered
    const lost = this.seq > 0 && (stale || !welcome.resumed);
    const dropped = lost ? this.abandon() : [];
    this.welcome = welcome;
    this.resume = welcome.session;
    this.settings = welcome.game ?? {};
    return { type: "welcome", reply: this.waiting.map((f) => f.body), lost, dropped, stale };
  }
}

// -- the agent: when to say it --------------------------------------------------------------------

const PASSING = "HELLO_TIMEOUT IDLE_TIMEOUT SLOW_READER LIMIT SHUTTING_DOWN INTERNAL".split(" ");
const PASSING_GOODBYES = ["shutdown", "idle", "slow_reader", "limit", "error"];
const GOODBYE = encode({ type: "goodbye", reason: "client_done" });

/** A session over whatever connections it takes. Events: settings, disconnect, reconnect, ... */
export class Agent extends EventTarget {
  #session; #dial; #link = null; #welcomed = false; #timer; #heard = 0; #inbox = []; #lost = null;
  #until = null; #delay = FIRST_DELAY_MS; #retryMs; #opening; #left; #closed = null;
  version = 0; reconnects = 0; error = null;

  constructor(address, options, dial) {
    super();
    this.address = address;
    this.#session = new Session(options);
    this.#dial = dial;
    this.#until = Date.now() + 1000 * (options.waitS ?? 0);
    this.#retryMs = 1000 * (options.retryS ?? 60);
    this.#connect();
  }

  get welcome() { return this.#session.welcome; }
  get settings() { return this.#session.settings; }
  get connected() { return this.#welcomed; }
  get pending() { return this.#session.waiting.length + this.#inbox.length; }
  get ready() { return this.#welcomed && !this.error && this.pending < this.welcome.window; }

  /** Resolve with this agent once the server has said welcome. */
  opened() {
    if (this.#welcomed) return Promise.resolve(this);
    return new Promise((resolve, reject) => { this.#opening = { resolve, reject }; });
  }

  send(rows) { return this.#put(rows).seq; }

  step(rows) {
    return new Promise((resolve, reject) => Object.assign(this.#put(rows), { resolve, reject }));
  }

  poll() {
    if (!this.#inbox.length) this.#check();
    const answer = this.#inbox.shift();
    if (answer instanceof Error) throw answer;
    return answer ?? null;
  }

  log(values) {
    const body = this.#session.log(values);
    if (this.#welcomed) this.#link.send(body);
  }

  abandon() {
    this.#check();
    this.#drop(this.#session.abandon(), new SessionLost("the session was abandoned"));
    this.#lost = null; // whoever abandons it knows
    if (this.#welcomed) this.#link.send(GOODBYE);
    this.#hangUp();
    this.#connect();
    return this.opened();
  }

  close() {
    this.#closed ??= new Promise((resolve) => {
      const link = this.#link;
      if (this.#welcomed) link.send(GOODBYE);
      if (!this.error) this.#fail(new Closed("the client was closed"), link);
      const leave = () => { clearTimeout(late); link?.end(); resolve(undefined); };
      const late = setTimeout(leave, FAREWELL_MS);
      this.#left = leave;
      if (!link) leave();
    });
    return this.#closed;
  }

  #check() {
    const lost = this.#lost;
    this.#lost = null;
    if (this.error ?? lost) throw this.error ?? lost;
  }

  #put(rows) {
    this.#check();
    const { window } = this.welcome;
    if (this.pending >= window) throw new WindowFull(`${window} frames are unanswered`);
    const frame = this.#session.step(rows);
    if (this.#welcomed) this.#link.send(frame.body); // else after the next welcome
    return frame;
  }

  #connect() {
    const link = this.#dial(this.address, {
      open: () => link.send(this.#session.hello()),
      heard: () => { this.#heard = Date.now(); },
      body: (bytes) => { if (link === this.#link) this.#take(bytes); },
      end: (why, cause) => {
        if (link === this.#link) this.#broken(why, cause);
        else if (!this.#link) this.#left?.();
      },
    });
    this.#link = link;
    this.#timer = setTimeout(() => this.#broken("no welcome in time"), CONNECT_MS);
  }

  #take(bytes) {
    this.#heard = Date.now();
    try {
      const said = this.#session.receive(bytes);
      for (const body of said.reply ?? []) this.#link.send(body);
      if (said.type === "act") this.#answer(said.frame, said.act);
      else if (said.type === "refused") this.#answer(said.frame, said.error);
      else if (said.type === "welcome") this.#open(said);
      else if (said.type === "settings") this.#tell("settings", { settings: said.values });
      else if (said.type === "goodbye") this.#broken(`goodbye: ${said.reason}`, said.reason);
      else if (said.error?.fatal) this.#broken(said.error.message, said.error);
      else if (said.error) this.#tell("refused", { error: said.error });
    } catch (fault) {
      if (!(fault instanceof ProtocolError)) throw fault;
      this.#fail(fault);
    }
  }

  #answer(frame, answer) {
    [this.#until, this.#delay] = [null, FIRST_DELAY_MS];
    this.version = answer.version ?? this.version;
    if (!frame.resolve) this.#inbox.push(answer);
    else (answer instanceof Error ? frame.reject : frame.resolve)(answer);
  }

  #open({ lost, dropped, stale }) {
    if (lost) this.#drop(dropped, new SessionLost("the server began a new session"));
    if (stale) {
      this.#session.abandon();
      this.#link.send(GOODBYE);
      this.#broken("the server had lost what it answered");
      return;
    }
    clearTimeout(this.#timer);
    const beat = 1000 * this.welcome.heartbeat_s;
    this.#timer = setInterval(() => {
      const silent = Date.now() - this.#heard;
      this.#until = null; // it has lived for a while: the next trouble is met with full patience
      if (silent > 2 * beat) this.#broken("the server was silent");
      else if (silent > beat) this.#link.send(encode({ type: "ping", t: Date.now() }));
    }, beat / 2);
    [this.#welcomed, this.version] = [true, this.welcome.version];
    if (this.#opening) {
      this.#until = null;
      this.#opening.resolve(this);
    } else {
      this.#tell("reconnect", { resumed: this.welcome.resumed, count: this.reconnects += 1 });
      this.#tell("settings", { settings: this.settings });
    }
    this.#opening = null;
  }

  #drop(frames, error) {
    this.#inbox = [];
    this.#lost = frames.some((frame) => frame.reject) ? null : error; // told there, or here later
    for (const frame of frames) frame.reject?.(error);
    this.#tell("lost", { error });
  }

  #hangUp() {
    const link = this.#link;
    [this.#link, this.#welcomed] = [null, false];
    clearTimeout(this.#timer);
    link?.end();
  }

  #broken(why, cause = null) {
    const was = this.#welcomed;
    this.#hangUp();
    const final = cause instanceof ProtocolError || (cause?.code && !PASSING.includes(cause.code));
    if (final) return this.#fail(cause);
    if (typeof cause === "string" && !PASSING_GOODBYES.includes(cause)) {
      return this.#fail(new Closed(`the server ended the session: ${cause}`));
    }
    if (was) this.#tell("disconnect", { reason: why });
    const [now, away] = [Date.now(), cause?.retryMs ?? 0];
    this.#until ??= now + this.#retryMs;
    if (now >= this.#until || now + away > this.#until) {
      return this.#fail(cause?.code ? cause : new Unreachable(`${this.address}: ${why}`));
    }
    const delay = Math.max(away, Math.random() * this.#delay); // jitter: no crowd forms
    this.#delay = Math.min(LONGEST_DELAY_MS, 2 * this.#delay);
    this.#timer = setTimeout(() => this.#connect(), Math.min(delay, this.#until - now));
    return undefined;
  }

  /** End for good; `leaving` is a connection that still waits for the server's goodbye. */
  #fail(error, leaving = null) {
    this.error = error;
    if (leaving) this.#link = null;
    this.#hangUp();
    for (const frame of this.#session.abandon()) frame.reject?.(error);
    this.#opening?.reject(error);
    this.#opening = null;
    this.#tell("close", { error });
  }

  #tell(name, facts) { this.dispatchEvent(Object.assign(new Event(name), facts)); }
}

/** A connection over the browser's WebSocket. */
function dialWeb(address, on) {
  const socket = new WebSocket(address);
  socket.binaryType = "arraybuffer";
  socket.onopen = on.open;
  socket.onmessage = ({ data }) => on.body(new Uint8Array(data));
  socket.onclose = ({ code, reason }) => on.end(reason || `the connection closed (${code})`);
  return { send: (body) => socket.send(body), end: () => socket.close(1000) };
}

/** Connect a game; resolves with its Agent once the server has said welcome. */
export function connect(address, options) {
  const url = address.includes("://") ? address : `ws://${address}`;
  return new Agent(url, options, dialWeb).opened();
}
