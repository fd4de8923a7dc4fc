// Plays against a daemon: node session.mjs CASE SCHEME PORT; prints what happened as JSON.
import assert from "node:assert/strict";
import net from "node:net";

const {
  connect, DataRefused, FIRST, MID, PERSON, TERMINATED, TRUNCATED,
} = await import(process.env.AGENTD_CLIENT);
const [, , name, scheme, port] = process.argv;
const schema = { observation: { dtype: "float32", shape: [2] }, action: 3 };
const names = { agent: `${name}-${scheme}` };
const sleep = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

async function until(fact, within = 30_000) {
  for (const end = Date.now() + within; !fact(); await sleep(5)) assert(Date.now() < end, `${fact}`);
}

function heard(target, event) {
  return new Promise((resolve) => { target.addEventListener(event, resolve, { once: true }); });
}

/** A wire between the game and the daemon that can be cut. */
async function makeWire() {
  const ends = new Set();
  const wire = { swallow: false, dead: false };
  const server = net.createServer((game) => {
    const daemon = net.connect(Number(port), "127.0.0.1");
    if (wire.dead) return game.destroy();
    for (const [from, to] of [[game, daemon], [daemon, game]]) {
      ends.add(from);
      from.on("data", (data) => { if (!(wire.swallow && from === daemon)) to.write(data); });
      from.on("error", () => {});
      from.on("close", () => { ends.delete(from); to.destroy(); });
    }
    return undefined;
  });
  await new Promise((resolve) => { server.listen(0, "127.0.0.1", resolve); });
  wire.cut = () => { for (const end of ends) end.destroy(); };
  wire.address = `${scheme}://127.0.0.1:${server.address().port}`;
  wire.close = () => { wire.cut(); server.close(); };
  return wire;
}

const CASES = {
  async rows() {
    const open = { ...names, ...schema, explain: true, dtMs: 16.7 };
    const agent = await connect(`${scheme}://127.0.0.1:${port}`, open);
    const first = await agent.step({ obs: [0.5, 1] }); // the kind is known: nothing is open
    assert(first.action >= 0 && first.action < 3);
    assert.equal(first.q.length, 3);
    assert.equal(typeof first.explored, "boolean");
    const masked = await agent.step({ obs: [0.5, 1], reward: 1, mask: [0, 1, 0] });
    assert.equal(masked.action, 1);
    await agent.step({ obs: [1, 1], taken: 1, by: PERSON, elapsed: 2.5 });
    await assert.rejects(agent.step({ obs: [1, 1], mask: [false, false, false] }), (error) => {
      assert(error instanceof DataRefused);
      assert.deepEqual([error.code, error.field, error.fatal], ["BAD_MASK", "mask", false]);
      return true;
    });
    await assert.rejects(agent.step({ obs: [1, 1], kind: FIRST }), { code: "BAD_KIND" });
    const ended = await agent.step({ obs: [1, 1], reward: -1, kind: TERMINATED, success: true });
    assert.equal(ended.action, -1);
    await assert.rejects(agent.step({ obs: [1] }), /^RangeError: obs.obs: want 2 numbers/);
    await assert.rejects(agent.step({ obs: ["1", 2] }), /^TypeError: obs.obs\[0\]: want a number/);
    assert.equal(agent.pending, 0); // of these nothing was sent
    agent.log({ "race/lap_s": 41.5, fuel: 1 });
    const refused = heard(agent, "refused");
    agent.log({ fuel: NaN });
    assert.equal((await refused).error.code, "BAD_LOG");
    await agent.step({ obs: [0, 0] });
    await agent.abandon(); // the open episode ends, and a new session begins
    assert.equal((await agent.step({ obs: [0, 0] })).seq, 1);
    await agent.close();
    assert.throws(() => agent.send({ obs: [0, 0] }), { name: "Closed" });
    return agent.welcome.protocol;
  },

  async streams() {
    const open = { ...names, streams: 2, action: [3, 2] };
    open.observation = { view: { dtype: "uint8", shape: [2, 2] }, ammo: { dtype: "int32", shape: [] } };
    const agent = await connect(`${scheme}://127.0.0.1:${port}`, open);
    const view = [[[0, 1], [2, 3]], [[4, 5], [6, 255]]];
    const both = await agent.step({ obs: { view, ammo: [7, -7] } });
    assert.equal(both.action.length, 4);
    const ends = await agent.step({ // stream 1 ends and begins anew in one frame
      stream: [1, 1, 0], kind: [TRUNCATED, FIRST, MID], reward: [1, 0, 0.5],
      obs: { view: [view[0], view[1], view[0]], ammo: Int32Array.of(1, 2, 3) },
    });
    assert.deepEqual([...ends.action.slice(0, 2)], [-1, -1]);
    const alone = await agent.step({ stream: 1, obs: { view: view[0], ammo: 1 }, taken: [2, 1] });
    assert.equal(alone.action.length, 2);
    await assert.rejects(agent.step({ obs: { view, ammo: [256.5, 1] } }), /ammo\[0\]: want a whole/);
    await assert.rejects(agent.step({ obs: { view } }), /obs.ammo: want 2 numbers/);
    await agent.close();
    return both.seq;
  },

  async frames() { // a loop that never waits, with the window full at times
    const agent = await connect(`${scheme}://127.0.0.1:${port}`, { ...names, ...schema });
    let [sent, answered, full] = [0, 0, 0];
    while (answered < 200) {
      for (let answer = agent.poll(); answer; answer = agent.poll()) {
        answered += 1;
        assert.equal(answer.seq, answered);
      }
      if (agent.ready && sent < 200) sent = agent.send({ obs: [sent, 1], reward: 0.1 });
      else if (sent < 200) {
        assert.throws(() => agent.send({ obs: [0, 0] }), { name: "WindowFull" });
        full += 1;
      }
      if (!agent.ready || sent === 200) await sleep(1);
    }
    await agent.close();
    return { sent, full: full > 0 };
  },

  async resume() { // cut while answers are on their way, again and again
    const wire = await makeWire();
    const agent = await connect(wire.address, { ...names, ...schema });
    const seqs = [];
    for (let round = 0; round < 4; round += 1) {
      for (let i = 0; i < 10; i += 1) seqs.push((await agent.step({ obs: [i, round] })).seq);
      wire.swallow = round % 2 === 0; // the daemon takes the frames, or never sees them
      const waiting = [1, 2, 3].map((x) => agent.step({ obs: [x, x] }));
      if (wire.swallow) await sleep(300);
      wire.cut();
      wire.swallow = false;
      for (const { seq } of await Promise.all(waiting)) seqs.push(seq);
    }
    assert.deepEqual(seqs, seqs.map((_, i) => i + 1));
    await agent.close();
    wire.close();
    return { steps: seqs.length, reconnects: agent.reconnects, resumed: agent.welcome.resumed };
  },

  async lost() { // two that are away for longer than a session lives
    const wire = await makeWire();
    const waits = await connect(wire.address, { ...names, ...schema });
    const idle = await connect(wire.address, { ...names, ...schema });
    await Promise.all([waits, idle].map((agent) => agent.step({ obs: [0, 0] })));
    wire.dead = true;
    wire.cut();
    await until(() => !waits.connected && !idle.connected);
    const told = assert.rejects(waits.step({ obs: [1, 1] }), { name: "SessionLost" });
    const lost = heard(idle, "lost");
    await sleep(3_000);
    wire.dead = false;
    await Promise.all([told, lost]);
    const { seq } = await waits.step({ obs: [2, 2] }); // a first row, of itself
    assert.throws(() => idle.send({ obs: [3, 3] }), { name: "SessionLost" }); // nobody knew yet
    assert.equal(idle.send({ obs: [3, 3] }), 1);
    await Promise.all([waits.close(), idle.close()]);
    wire.close();
    return seq;
  },

  async refusals() {
    const place = `${scheme}://127.0.0.1:${port}`;
    const agent = await connect(place, { ...names, ...schema });
    const other = { ...names, ...schema, action: 4 };
    await assert.rejects(connect(place, other), { name: "Refused", code: "SCHEMA_MISMATCH" });
    const box = { ...schema, agent: "box", action: { kind: "box", low: [-1], high: [1] } };
    const wide = { ...box, action: { kind: "box", low: [1], high: [1] } };
    await assert.rejects(connect(place, wide), { code: "BAD_HELLO", field: "action.high[0]" });
    const heads = [{ n: 3 }, { low: 0, high: 1 }];
    const mixed = { ...box, agent: "mixture", action: { kind: "mixed", heads } };
    for (const [numbers, width] of [[box, 1], [mixed, 2]]) {
      const player = await connect(place, numbers);
      const { action } = await player.step({ obs: [0, 1] });
      assert.equal(action.length, width);
      assert.ok(action.every((number) => number >= -1 && number <= 2));
      await player.close();
    }
    await assert.rejects(connect(`${scheme}://127.0.0.1:1`, other), { name: "Unreachable" });
    await agent.close();
    const game = await connect(place, { ...schema, agent: "curriculum", role: "play" });
    assert.deepEqual(game.settings, { level: 3 });
    await game.close();
    const wrong = { ...schema, agent: "curriculum", role: "play" };
    for (const level of [0, 40, null]) {
      const weaker = await connect(place, { ...wrong, level });
      assert((await weaker.step({ obs: [1, 1] })).action >= 0);
      await weaker.close();
    }
    const unfit = { code: "BAD_HELLO", field: "level" };
    await assert.rejects(connect(place, { ...wrong, level: 100.5 }), { ...unfit, got: "100.5" });
    await assert.rejects(connect(place, { ...wrong, level: NaN }), { ...unfit, got: "nan" });
    const train = { ...wrong, role: "train", level: 0 };
    await assert.rejects(connect(place, train), { ...unfit, expected: "role eval or play" });
    const old = await connect(place, { ...names, ...schema, protocol: [1, 1] });
    await assert.rejects(old.step({ obs: [1, 1], elapsed: 2 }), { name: "ServerTooOld" });
    assert.throws(() => old.log({ x: 1 }), { name: "ServerTooOld" });
    await old.step({ obs: [1, 1] });
    await old.close();
    return true;
  },
};

console.log(JSON.stringify(await CASES[name]()));
