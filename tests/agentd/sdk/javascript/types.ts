// Not run: what a game of TypeScript says, checked against index.d.ts with `tsc --strict`.
import {
  type Act, type ActionSpace, Agent, connect, DataRefused, PERSON, TERMINATED, type Tensor,
} from "agentd";

const board: Tensor = { dtype: "float32", shape: [10, 5] };
const spaces: ActionSpace[] = [
  3, [3, 2], { kind: "box", low: [-1], high: [1] }, { kind: "mixed", heads: [{ n: 3 }, { low: 0, high: 1 }] },
];

export async function play(): Promise<number> {
  const agent: Agent = await connect("ws://127.0.0.1:7331", {
    agent: "catch", observation: { board }, action: spaces[0], streams: 2, explain: true, dtMs: 20,
  });
  const act: Act = await agent.step({
    stream: 0, obs: { board: new Float32Array(50) }, reward: 1, kind: TERMINATED, success: true,
    mask: [true, false, true], taken: 2, by: PERSON, elapsed: 1.5,
  });
  agent.addEventListener("settings", () => agent.log({ level: agent.settings.level }));
  try {
    if (agent.ready) agent.send({ obs: [[1, 2], new Float32Array(3)], kind: [0, 1] });
    agent.poll();
  } catch (error) {
    if (error instanceof DataRefused) return error.seq ?? 0;
  }
  // @ts-expect-error: no such option
  await connect("127.0.0.1:7331", { agent: "a", observation: board, action: 2, window: 3 });
  await agent.close();
  return act.version;
}
