/**
 * Plays Rally with the agent of a daemon, and shows how it learns. The game never waits: where the
 * answer to the last row is not there in time, the newest one before it is played, and that is said.
 */

import { AGENT, connect, FIRST, PERSON, SessionLost, TERMINATED, TRUNCATED } from "/agentd.js";
import { Court, readPaint } from "/court.mjs";
import { drawCurve, mean } from "/curve.mjs";
import { Hands } from "/hands.mjs";
import { FRAME_MS, MOST_HITS, Rally, SCHEMA, STAY } from "/rally.mjs";

const LONGEST_MS = 250; // behind which the page was hidden, and nothing is made up for
const SHOWN = 100; // newest answers that the median is of
const AVERAGED = 10;
const at = (id) => document.getElementById(id);
const show = (id, text) => { if (at(id).textContent !== text) at(id).textContent = text; };
const number = (n) => n.toLocaleString("en");

const game = new Rally();
const court = new Court(at("court"));
const hands = new Hands(at("court"), at("take"), game);
const rallies = []; // {at, hits, person}
const waits = []; // milliseconds from a row to its answer
const sent = new Map(); // seq -> when
let [agent, due, frames, late, mine] = [null, 0, 0, 0, false];
let [sentSeq, answer] = [0, null]; // of the newest row; the newest there is

function takeAnswers() {
  for (let next = agent.poll(); next; next = agent.poll()) {
    answer = next;
    waits.push(performance.now() - sent.get(next.seq));
    sent.delete(next.seq);
  }
  waits.splice(0, waits.length - SHOWN);
}

/** Return what to play, and what the next row must say of it. */
function choose() {
  const own = hands.action();
  if (own !== null) return { action: own, facts: { taken: own, by: PERSON } };
  const action = typeof answer?.action === "object" ? answer.action.at(-1) : answer?.action;
  if (answer?.seq === sentSeq) return { action, facts: {} };
  late += 1;
  const old = action ?? STAY;
  return { action: old, facts: { taken: old, by: AGENT } };
}

function send(rows) {
  sentSeq = agent.send(rows);
  sent.set(sentSeq, performance.now());
}

function tick() {
  if (!agent) return;
  try {
    takeAnswers();
    if (!agent.ready) return; // the daemon is away, or far behind: the game pauses
    if (sentSeq === 0) {
      send({ obs: game.observation() });
      return;
    }
    const { action, facts } = choose();
    const hits = game.hits;
    const reward = game.step(action);
    frames += 1;
    mine ||= facts.by === PERSON;
    court.advance(game);
    if (game.hits > hits || (game.over && !game.won)) court.mark(game.hits - hits, game.ball);
    if (game.over) endRally(reward, facts);
    else send({ obs: game.observation(), reward, ...facts });
  } catch (error) {
    if (!(error instanceof SessionLost)) throw error;
    begin();
    [sentSeq, answer] = [0, null];
  }
}

/** Send the ended row, and with it the first one of the next rally. */
function endRally(reward, facts) {
  rallies.push({ at: frames / 60, hits: game.hits, person: mine });
  const [last, success] = [game.observation(), [game.won, false]];
  const kind = [game.won ? TRUNCATED : TERMINATED, FIRST];
  begin();
  const said = "taken" in facts ? { taken: [facts.taken, STAY], by: [facts.by, AGENT] } : {};
  const obs = [last, game.observation()];
  send({ stream: [0, 0], kind, reward: [reward, 0], obs, success, ...said });
}

function begin() {
  game.serve();
  mine = false;
}

function frame(now) {
  requestAnimationFrame(frame);
  if (now - due > LONGEST_MS) due = now - FRAME_MS;
  for (; now - due >= 0.9 * FRAME_MS; due += FRAME_MS) tick();
  court.draw(game, hands.taken);
  show("hits", String(game.hits));
}

function showFacts() {
  const last = rallies.slice(-AVERAGED).map(({ hits }) => hits);
  show("frames", number(frames));
  show("rallies", number(rallies.length));
  show("late", number(late));
  if (last.length) {
    show("mean", mean(last).toFixed(1));
    show("best", String(Math.max(...rallies.map(({ hits }) => hits))));
  }
  if (waits.length) {
    show("median", `${[...waits].sort((a, b) => a - b)[waits.length >> 1].toFixed(1)} ms`);
  }
  drawCurve(at("curve"), rallies, MOST_HITS, court.paint);
  const words = `${rallies.length} rallies, mean of the last ten ${at("mean").textContent} hits`;
  at("curve").setAttribute("aria-label", words);
}

/** Show the values of the three moves, the best of them as a full bar. */
function showValues() {
  const values = answer?.q?.slice(-3);
  if (!values) return;
  const [low, high] = [Math.min(...values), Math.max(...values)];
  values.forEach((value, i) => { at(`value${i}`).value = (value - low) / (high - low || 1); });
}

function tell(state, words) {
  at("state").dataset.state = state;
  show("state", words);
}

async function askFacts() {
  try {
    const facts = await (await fetch("/facts")).json();
    show("updates", number(facts.updates ?? 0));
    if (facts.updates_per_row != null) show("each", facts.updates_per_row.toFixed(1));
    if (facts.epsilon != null) show("chance", `${(100 * facts.epsilon).toFixed(0)} %`);
    return facts;
  } catch {
    tell("gone", "the demo has ended");
    return null;
  }
}

async function main() {
  const { port, agent: name } = await askFacts();
  const options = { agent: name, ...SCHEMA, explain: true, client: "demo-web", waitS: 10, retryS: 600 };
  agent = await connect(`ws://127.0.0.1:${port}`, options);
  tell("learning", "learning");
  agent.addEventListener("disconnect", () => tell("waiting", "the daemon is away"));
  agent.addEventListener("reconnect", () => tell("learning", "learning"));
  agent.addEventListener("close", ({ error }) => tell("gone", `ended: ${error.message}`));
  addEventListener("pagehide", () => agent.close());
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    court.paint = readPaint();
  });
  setInterval(askFacts, 1000);
}

due = performance.now();
requestAnimationFrame(frame);
setInterval(showFacts, 500);
setInterval(showValues, 100);
showFacts();
main().catch((error) => tell("gone", error.message));
