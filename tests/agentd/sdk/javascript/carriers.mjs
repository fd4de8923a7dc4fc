// node carriers.mjs CERTIFICATE HTTP ADDRESS...: plays a little over each carrier.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";

const { connect } = await import(process.env.AGENTD_CLIENT);
const [, , certificate, http, ...addresses] = process.argv;
const game = { agent: "carriers", observation: { dtype: "float32", shape: [20_000] }, action: 3 };
const trusting = { ...game, tls: { ca: readFileSync(certificate) } };
const versions = [];
for (const address of addresses) {
  const agent = await connect(address, trusting);
  for (let row = 0; row < 3; row += 1) { // of 80 kB: longer than a small WebSocket frame may be
    const { action } = await agent.step({ obs: new Float32Array(20_000).fill(row), reward: row });
    assert(action >= 0 && action < 3);
  }
  versions.push(agent.welcome.protocol);
  await agent.close();
}
for (const address of addresses.filter((each) => /^(tls|wss):/.test(each))) {
  await assert.rejects(connect(address, game), /^Unreachable: .*self[- ]signed certificate/);
}
const plain = addresses.find((each) => each.startsWith("tls:")).replace("tls:", "tcp:");
await assert.rejects(connect(plain, game), { name: /Unreachable|ProtocolError/ });
await assert.rejects(connect(`wss://${http}`, trusting), /^ProtocolError: no WebSocket there/);
await assert.rejects(connect(`tls://${http}`, trusting), /^ProtocolError: that is an HTTP port/);
console.log(JSON.stringify(versions));
