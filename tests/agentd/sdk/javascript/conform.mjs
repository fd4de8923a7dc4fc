// A game that uses all of the client, to be driven by `agentd check-client`.
const {
  AGENT, connect, DataRefused, MID, PERSON, SessionLost, TERMINATED, TRUNCATED,
} = await import(process.env.AGENTD_CLIENT);
const [, , address] = process.argv;
const agent = await connect(address, {
  agent: "conform", streams: 3, explain: true, dtMs: 20, deadlineMs: 500, action: [3, 2],
  observation: { board: { dtype: "float32", shape: [2] }, ammo: { dtype: "uint8", shape: [] } },
});
const steps = [0, 0, 0];
for (let frame = 0; !agent.error && frame < 400; frame += 1) {
  const rows = { obs: { board: [], ammo: [] }, kind: [], reward: [], mask: [] };
  const ends = steps.map((n) => n === 9);
  for (const [id, n] of steps.entries()) {
    rows.obs.board.push([n / 10, id]);
    rows.obs.ammo.push(10 - n);
    rows.kind.push(ends[id] ? [TERMINATED, TRUNCATED][frame % 2] : n && MID);
    rows.reward.push(n / 5);
    rows.mask.push(ends[id] ? [1, 1, 1, 1, 1] : [1, 1, 0, 1, 1]);
  }
  if (frame % 5 === 4) Object.assign(rows, { taken: [[0, 1], [1, 0], [1, 1]], by: [PERSON, AGENT, 2] });
  if (frame % 3 === 2) Object.assign(rows, { elapsed: [1, 2, 0.5], success: ends });
  try {
    await agent.step(rows);
    steps.forEach((n, id) => { steps[id] = ends[id] ? 0 : n + 1; });
    if (frame % 100 === 0) agent.log({ "game/frame": frame });
  } catch (error) {
    if (error instanceof DataRefused) await agent.abandon();
    else if (!(error instanceof SessionLost)) {
      console.error(String(error));
      process.exitCode = 1;
      break;
    }
    steps.fill(0);
  }
}
await agent.close();
