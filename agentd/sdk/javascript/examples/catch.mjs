// Catch: a ball falls, a paddle at the bottom is to be under it. agentd learns to play it.
//   agentd serve --set 'agents.catch={preset: catch}'      node catch.mjs [ADDRESS] [EPISODES]
import { connect, DataRefused, FIRST, MID, SessionLost, TERMINATED } from "../node.mjs";

const [address = "127.0.0.1:7331", episodes = "2000"] = process.argv.slice(2);
const [ROWS, COLUMNS] = [10, 5];
const schema = { observation: { board: { dtype: "float32", shape: [ROWS, COLUMNS] } }, action: 3 };

class Catch {
  reset() {
    [this.row, this.ball, this.paddle] = [0, Math.floor(Math.random() * COLUMNS), 2];
    return { obs: this.board(), kind: FIRST };
  }

  step(action) { // 0 left, 1 stay, 2 right
    this.paddle = Math.min(Math.max(this.paddle + action - 1, 0), COLUMNS - 1);
    this.row += 1;
    if (this.row < ROWS - 1) return { obs: this.board(), reward: 0, kind: MID };
    return { obs: this.board(), reward: this.ball === this.paddle ? 1 : -1, kind: TERMINATED };
  }

  board() {
    const board = new Float32Array(ROWS * COLUMNS);
    board[this.row * COLUMNS + this.ball] = 1;
    board[(ROWS - 1) * COLUMNS + this.paddle] = 1;
    return board;
  }
}

/** Play whole episodes; return their mean reward. */
async function play(role, many) {
  const agent = await connect(address, { agent: "catch", role, ...schema });
  const game = new Catch();
  let total = 0;
  for (let played = 0; played < many;) {
    try {
      let rows = game.reset();
      while (rows.kind !== TERMINATED) rows = game.step((await agent.step(rows)).action);
      await agent.step(rows); // the ended row, with the last reward
      total += rows.reward;
      played += 1;
    } catch (error) {
      if (error instanceof DataRefused) await agent.abandon(); // and begin a new session
      else if (!(error instanceof SessionLost)) throw error; // the daemon began one
    }
  }
  await agent.close();
  return total / many;
}

console.log(`while it learned: mean return ${(await play("train", Number(episodes))).toFixed(2)}`);
console.log(`greedy, 200 episodes: mean return ${(await play("eval", 200)).toFixed(2)}`);
