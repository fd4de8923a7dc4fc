// Reads examples of PROTOCOL.md, {who, name, fields, body}, and checks the client against each.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";

const { Float, Session, decode, encode } = await import(process.env.AGENTD_CLIENT);
const { examples, numbers } = JSON.parse(readFileSync(0, "utf8"));
const hex = (bytes) => Buffer.from(bytes).toString("hex");
const bin = (text) => new Uint8Array(Buffer.from(text, "hex"));
const as = (kind, bytes) => bytes && new kind(new Uint8Array(bytes).buffer);

/** Fields as they go into `encode`: {float} and {bin} say what JSON cannot. */
function typed(value, float = (x) => new Float(x)) {
  if (Array.isArray(value)) return value.map((each) => typed(each, float));
  if (value === null || typeof value !== "object") return value;
  if ("float" in value) return float(value.float);
  if ("bin" in value) return bin(value.bin);
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, typed(each, float)]));
}

const schema = { agent: "catch", action: 3, streams: 2 };
schema.observation = { board: { dtype: "float32", shape: [2] } };

function hello(fields) {
  const { deadline_ms: deadlineMs, dt_ms: dtMs, resume, ...rest } = fields;
  const session = new Session({ ...rest, deadlineMs, dtMs });
  session.resume = resume;
  return session.hello();
}

function step({ seq, stream, kind, reward, obs, mask, taken, by, elapsed, success }) {
  const session = new Session(schema);
  session.seq = seq - 1;
  return session.step({
    stream: as(Uint32Array, stream), kind, reward: as(Float32Array, reward),
    obs: { board: as(Float32Array, obs.board) }, mask, by, success,
    taken: as(Int32Array, taken), elapsed: as(Float32Array, elapsed),
  }).body;
}

function takeAct(fields, body) {
  const two = fields.q?.length === 20; // the first example with `explain` has two branches
  const branches = two ? [3, 2] : 3;
  const n = fields.action.length / (two ? 8 : 4);
  const session = new Session({ ...schema, action: branches });
  session.waiting = [{ seq: fields.seq, n, one: false }];
  const { act } = session.receive(body);
  assert.deepEqual(act.action, as(Int32Array, fields.action));
  assert.equal(act.late, fields.late ?? false);
  assert.deepEqual(act.q, as(Float32Array, fields.q));
  assert.deepEqual(act.explored, fields.explored);
  assert.deepEqual(act.novelty, as(Float32Array, fields.novelty));
}

function takeError(fields, body) {
  const session = new Session(schema);
  session.waiting = [{ seq: fields.seq, before: new Set() }];
  const { error } = session.receive(body);
  for (const name of ["code", "field", "expected", "got", "seq", "fatal"]) {
    assert.equal(error[name], fields[name], name);
  }
  assert.equal(error.retryMs, fields.retry_ms);
}

function takeWelcome(fields, body) {
  const session = new Session({ ...schema, protocol: [1, 2] });
  const said = session.receive(body);
  assert.deepEqual([said.lost, session.welcome, session.settings], [false, fields, fields.game ?? {}]);
  assert.equal(hex(decode(session.hello()).resume), hex(fields.session));
}

function takeSettings(fields, body) {
  const session = new Session(schema);
  session.receive(body);
  assert.deepEqual(session.settings, fields.values);
}

let spoken = 0;
for (const { who, name, fields, body } of examples) {
  const [words, plain] = [typed(fields), typed(fields, (x) => x)];
  assert.equal(hex(encode(words)), body, name);
  assert.deepEqual(decode(bin(body)), plain, name);
  assert.throws(() => decode(bin(body).subarray(0, -1)), { name: "ProtocolError" }, name);
  spoken += 1;
  if (words.type === "hello" && words.observation) assert.equal(hex(hello(plain)), body, name);
  else if (words.type === "step") assert.equal(hex(step(plain)), body, name);
  else if (words.type === "log") assert.equal(hex(new Session(schema).log(plain.values)), body);
  else if (words.type === "act") takeAct(plain, bin(body));
  else if (words.type === "error") takeError(plain, bin(body));
  else if (words.type === "welcome") takeWelcome(plain, bin(body));
  else if (words.type === "settings" && who === "server") takeSettings(plain, bin(body));
  else spoken -= 1;
}

for (const { dtype, values, bytes } of numbers) {
  const observation = { x: { dtype, shape: [values.length] } };
  const session = new Session({ agent: "a", observation, action: 2 });
  const sent = decode(session.step({ obs: values }).body);
  assert.equal(hex(sent.obs.x), bytes, dtype);
}

const run = new Uint8Array(16);
const unsaid = new Session({ ...schema, run, level: null, dtMs: null }); // not level 0
assert.deepEqual(unsaid.hello(), new Session({ ...schema, run }).hello());

for (const t of ["cb4028000000000000", "0c", "cf17979cfe362a0001", "d3ffffffffffffff85", "ca41400000"]) {
  const ping = bin(`82a474797065a470696e67a174${t}`);
  const [pong] = new Session(schema).receive(ping).reply;
  const same = t.startsWith("ca") ? "cb4028000000000000" : t; // a float of any width
  assert.equal(hex(pong), `82a474797065a4706f6e67a174${same}`);
}
console.log(JSON.stringify({ examples: examples.length, spoken }));
