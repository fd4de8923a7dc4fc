// CartPole, eight of them side by side: many streams on one connection.
//   agentd serve --set 'agents.cartpole={preset: cartpole}'   node cartpole.mjs [ADDRESS] [STEPS]
import { connect, FIRST, MID, TERMINATED, TRUNCATED } from "../node.mjs";

const [address = "127.0.0.1:7331", steps = "50000"] = process.argv.slice(2);
const schema = { observation: { state: { dtype: "float32", shape: [4] } }, action: 2 };
const [STREAMS, MAX_STEPS, TAU] = [8, 500, 0.02];

class CartPole { // the equations and constants of Gymnasium's CartPole-v1
  reset() {
    this.state = Array.from({ length: 4 }, () => 0.1 * Math.random() - 0.05);
    this.steps = 0;
    return { obs: this.state, reward: 0, kind: FIRST };
  }

  step(action) {
    const [x, v, angle, spin] = this.state;
    const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
    const push = ((action === 1 ? 10 : -10) + 0.05 * spin * spin * sin) / 1.1;
    const spinUp = (9.8 * sin - cos * push) / (0.5 * (4 / 3 - (0.1 * cos * cos) / 1.1));
    const speedUp = push - (0.05 * spinUp * cos) / 1.1;
    this.state = [x + TAU * v, v + TAU * speedUp, angle + TAU * spin, spin + TAU * spinUp];
    this.steps += 1;
    const fell = Math.abs(this.state[0]) > 2.4 || Math.abs(this.state[2]) > Math.PI / 15;
    const kind = fell ? TERMINATED : this.steps >= MAX_STEPS ? TRUNCATED : MID;
    return { obs: this.state, reward: 1, kind };
  }
}

/** Play until `enough` says so; return the lengths of the episodes that ended. */
async function play(role, enough) {
  const agent = await connect(address, { agent: "cartpole", role, streams: STREAMS, ...schema });
  const games = Array.from({ length: STREAMS }, () => new CartPole());
  const ended = [];
  let rows = games.map((game, stream) => ({ stream, ...game.reset() }));
  for (let played = 0; !enough(played, ended.length); played += STREAMS) {
    const column = (name) => rows.map((row) => row[name]);
    const { action } = await agent.step({
      stream: column("stream"), kind: column("kind"), reward: column("reward"), obs: column("obs"),
    });
    rows = rows.flatMap(({ stream, kind }, i) => {
      if (kind >= TERMINATED) return []; // its next episode begins in the row behind it
      const row = { stream, ...games[stream].step(action[i]) };
      if (row.kind < TERMINATED) return [row];
      ended.push(games[stream].steps);
      return [row, { stream, ...games[stream].reset() }];
    });
  }
  await agent.close();
  return ended;
}

await play("train", (played) => played >= Number(steps));
const ended = await play("eval", (_, episodes) => episodes >= 40);
const mean = ended.reduce((sum, n) => sum + n, 0) / ended.length;
console.log(`greedy, ${ended.length} episodes: mean return ${mean.toFixed(1)} of 500`);
