/** The page: it hears of the daemon each second, draws one agent, and asks what its buttons say. */

import { Chart, drawBars } from "./charts.mjs";
import { Link, Refused } from "./link.mjs";
import { Past } from "./past.mjs";
import { describeState, describeTrend, ms, percent, show, span } from "./words.mjs";

const at = (id) => document.getElementById(id);
const LINKS = {
  live: "live",
  gone: "the daemon does not answer",
  locked: "a token is wanted",
  full: "too many pages look",
};
const CURVES = [
  ["Success rate", "Share of won episodes among the last 100 whose game said so", [["agent", "training", "success_rate"], ["eval", "evaluation", "eval_success_rate"]], [0, 1]],
  ["ε, moves by chance", "Share of actions that are drawn, not chosen", [["agent", "ε", "epsilon"]], [0, 0]],
  ["Updates a row", "Updates that were made for each new row", [["agent", "updates a row", (past) => past.rate("updates", "steps")]], [0, 0]],
  ["Q, mean of the batches", "Growing without end, the network diverges", [["agent", "Q", "q_mean"]]],
  ["Loss", "What an update makes smaller; only its course tells something", [["agent", "loss", "loss"]], [0, 0]],
  ["Q, and the return that followed", "What the network expected of its actions, and the discounted return that came, in the same rows", [["agent", "Q", (past) => past.column("q_followed")], ["eval", "return that followed", "return_followed"]]],
  ["Episode length", "Rows of an episode, mean of the last 100", [["agent", "rows", "length_mean"]], [0, 0]],
  ["Rows a second", "Rows that games sent to learn from", [["agent", "rows a second", (past) => past.rate("steps", "time")]], [0, 0]],
  ["Gap to held-out rows", "Error on rows that are never learned less that on learned ones: growing, it fits too closely", [["agent", "gap", "held_out_gap"]]],
];

let chosen = null;
let state = { agents: {}, stored: [], server: {} };
let facts = {};
let past = new Past();
let axis = "steps";

function element(tag, text = "", kind = "") {
  const found = document.createElement(tag);
  found.textContent = text;
  if (kind) found.className = kind;
  return found;
}

function figure(parent) {
  return parent.appendChild(element("figure"));
}

const returnChart = new Chart(at("return"), "Return", "Sum of the rewards of an episode: mean, and one standard deviation around it", [
  ["agent", "training"],
  ["eval", "evaluation"],
]);
const curves = CURVES.map(([name, notes, series, range]) => ({
  columns: series.map(([, , key]) => (typeof key === "function" ? key : (past) => past.column(key))),
  range,
  place: figure(at("charts")),
  series,
  name,
  notes,
}));
for (const curve of curves) curve.chart = new Chart(curve.place, curve.name, curve.notes, curve.series);
const logCharts = new Map();

// -- what is heard --------------------------------------------------------------------------------

const link = new Link(
  (kind, told) => {
    if (kind === "state") takeState(told);
    else if (told.agent !== chosen) return;
    else if (kind === "agent") takeFacts(told);
    else takePoints(told);
  },
  (became) => {
    at("link").dataset.state = became;
    at("link").textContent = LINKS[became];
    document.body.classList.toggle("stale", became !== "live");
    if (became === "locked") askToken();
  },
);

function names() {
  return [...new Set([...Object.keys(state.agents), ...state.stored])].sort();
}

function takeState(told) {
  state = told;
  const { server } = told;
  at("server").textContent =
    `${told.version} · up ${span(told.uptime_s)} · ${show(server.connections)} connection${server.connections === 1 ? "" : "s"}` +
    ` · answers ${ms(server.act_p50_ms)}, p99 ${ms(server.act_p99_ms)} · loop late ${ms(server.loop_lag_p99_ms)}`;
  at("token").hidden = told.may_operate;
  drawTabs();
  const all = names();
  at("empty").hidden = all.length > 0;
  at("agent").hidden = !all.length;
  if (!all.length) return;
  if (chosen === null || !all.includes(chosen)) {
    const wanted = new URLSearchParams(location.hash.slice(1)).get("agent");
    choose(all.includes(wanted) ? wanted : Object.keys(told.agents).sort()[0] ?? all[0]);
    return;
  }
  drawFigures();
}

function takeFacts(told) {
  facts = told;
  drawCheckpoints();
  const rows = (told.clients ?? []).map((each) => [
    each.client || "?", each.role, show(each.streams), show(each.frames), each.connected ? "connected" : "away",
  ]);
  fill("clients", rows.map((cells) => cells.map((cell) => element("td", cell))));
  at("config").textContent = JSON.stringify({ schema: told.schema, config: told.config }, null, 1);
}

function takePoints(told) {
  past.take(told);
  drawCurves();
  drawCheckpoints();
}

function choose(name) {
  chosen = name;
  facts = {};
  past = new Past();
  logCharts.clear();
  at("logcharts").replaceChildren();
  at("said").textContent = "";
  const words = new URLSearchParams(location.hash.slice(1));
  words.set("agent", name);
  history.replaceState(null, "", `#${words}`);
  drawTabs();
  drawFigures();
  drawCurves();
  fill("checkpoints", []);
  fill("clients", []);
  link.follow(name);
}

// -- what is drawn --------------------------------------------------------------------------------

function drawTabs() {
  const nav = at("agents");
  const all = names();
  if (all.join("\n") !== [...nav.children].map((tab) => tab.dataset.name).join("\n")) {
    nav.replaceChildren(...all.map((name) => {
      const tab = element("button");
      tab.type = "button";
      tab.dataset.name = name;
      tab.append(element("span", name), element("small"));
      tab.addEventListener("click", () => choose(name));
      return tab;
    }));
  }
  for (const tab of nav.children) {
    const agent = state.agents[tab.dataset.name];
    tab.dataset.state = agent?.state ?? "stored";
    tab.lastChild.textContent = agent ? `${agent.state} · ${show(agent.return_mean, 3)}` : "on disk";
    if (tab.dataset.name === chosen) tab.setAttribute("aria-current", "true");
    else tab.removeAttribute("aria-current");
  }
}

/** Set a text only where it changes, so that a screen reader is told once. */
function say(id, text) {
  if (at(id).textContent !== text) at(id).textContent = text;
}

function drawFigures() {
  const agent = state.agents[chosen] ?? {};
  say("name", chosen);
  document.title = `${chosen} · agentd`;
  say("state", agent.state ?? "on disk");
  at("state").dataset.state = agent.state ?? "stored";
  const updatesPerRow = agent.updates_per_row ?? newest(past.rate("updates", "steps"));
  const rowsPerSecond = agent.rows_per_second ?? newest(past.rate("steps", "time"));
  say("words", describeState(agent, updatesPerRow, rowsPerSecond));
  const shown = [
    ["return, last 100", show(agent.return_mean)],
    ["evaluation", show(agent.eval_return_mean), agent.eval_episodes],
    ["success", percent(agent.success_rate), agent.success_rate != null],
    ["ε", percent(agent.epsilon), agent.epsilon != null],
    ["episodes", show(agent.episodes)],
    ["steps", show(agent.env_steps)],
    ["updates", show(agent.updates)],
    ["updates a row", show(updatesPerRow, 3)],
    ["rows a second", show(rowsPerSecond, 3)],
    ["updates behind", show(agent.policy_lag)],
    ["rows kept", show(agent.rows_kept)],
    ["answer, p50", ms(agent.act_p50_ms)],
    ["answer, p99", ms(agent.act_p99_ms)],
    ["batch, p50", show(agent.batch_p50)],
  ].filter(([, , when = true]) => when);
  at("figures").replaceChildren(...shown.map(([name, value], i) => {
    const pair = element("div", "", i ? "" : "wide");
    pair.append(element("dt", name), element("dd", value));
    return pair;
  }));
  drawLatency();
  drawButtons(agent);
}

/** The mean of the last few numbers of a column. */
function newest(column) {
  const last = column.filter(Number.isFinite).slice(-5);
  return last.reduce((sum, value) => sum + value / last.length, last.length ? 0 : NaN);
}

function drawLatency() {
  const { at_most_ms: bounds, frames } = state.latency ?? {};
  if (!bounds) return;
  const counts = frames.map((count, i) => count - (i ? frames[i - 1] : 0));
  const bars = counts.map((count, i) => [i < bounds.length ? `≤ ${bounds[i]}` : `> ${bounds.at(-1)}`, count]);
  const first = Math.max(0, counts.findIndex((count) => count) - 1);
  const last = counts.findLastIndex((count) => count) + 2;
  const agent = state.agents[chosen] ?? {};
  const said = `${show(frames.at(-1))} frames, in milliseconds from a frame's arrival to its answer: half within ${ms(agent.act_p50_ms)}, 99 % within ${ms(agent.act_p99_ms)}`;
  drawBars(at("latency"), "How long an answer takes", last > 1 ? bars.slice(first, last) : bars, said);
}

function drawCurves() {
  const x = past.axis(axis);
  const showX = axis === "time" ? span : undefined;
  const [train, evaluated] = [past.returns("train"), past.returns("eval")];
  const dots = past.column("train.mean");
  returnChart.show({ x, lines: [train.mean, evaluated.mean], band: [train.low, train.high], dots, showX });
  say("trend", describeTrend(past.summaries("train")));
  for (const { chart, columns, range, place } of curves) {
    const lines = columns.map((column) => column(past));
    place.hidden = !lines.flat().some(Number.isFinite);
    if (!place.hidden) chart.show({ x, lines, range, showX });
  }
  for (const name of past.logged) {
    if (!logCharts.has(name)) {
      const shown = name.slice("log.".length);
      logCharts.set(name, new Chart(figure(at("logcharts")), shown, "A number of the game's own", [["agent", shown]]));
    }
    logCharts.get(name).show({ x, lines: [past.column(name)], showX });
  }
  at("logged").hidden = !logCharts.size;
}

function fill(id, rows) {
  at(id).tBodies[0].replaceChildren(...rows.map((cells) => {
    const row = element("tr");
    row.append(...cells);
    return row;
  }));
  at(id).hidden = !rows.length;
  at(id).nextElementSibling.hidden = rows.length > 0;
}

function drawCheckpoints() {
  const { checkpoints = [] } = facts;
  const shown = checkpoints.map((each) => `${each.name} ${show(past.returnAt(each.step))}`).join() + state.may_operate;
  const table = at("checkpoints");
  if (table.dataset.shown === shown && table.tBodies[0].rows.length === checkpoints.length) return;
  table.dataset.shown = shown;
  fill("checkpoints", checkpoints.map((each) => {
    const button = element("button", "Load", "quiet");
    button.type = "button";
    button.disabled = !state.may_operate;
    button.setAttribute("aria-label", `Load ${each.name} …`);
    button.addEventListener("click", () => askLoad(each));
    const [name, last] = [element("td", each.name), element("td")];
    if (each.kept) name.append(element("span", "kept", "tag"));
    last.append(button);
    const written = new Date(1000 * each.time).toLocaleString([], { dateStyle: "short", timeStyle: "short" });
    return [name, element("td", show(each.step)), element("td", show(past.returnAt(each.step), 3)), element("td", written), last];
  }));
}

// -- what is asked --------------------------------------------------------------------------------

function drawButtons(agent) {
  const frozen = agent.frozen ?? facts.frozen ?? false;
  at("freeze").textContent = frozen ? "Let it learn" : "Freeze";
  const why = state.may_operate ? "" : "a token with grant admin is wanted";
  for (const id of ["save", "freeze", "explore", "reset"]) {
    at(id).disabled = !state.may_operate;
    at(id).title = why;
  }
}

/** Do an operation on the agent, and say what came of it. */
async function operate(operation, describe) {
  const said = at("said");
  said.className = "";
  said.textContent = "asked …";
  try {
    said.textContent = describe(await link.operate({ ...operation, agent: chosen }));
    said.className = "good";
  } catch (fault) {
    if (!(fault instanceof Refused)) throw fault;
    said.textContent = `Refused: ${fault.message}`;
    said.className = "bad";
    return;
  }
  link.follow(chosen);
}

/** Ask in a dialog; `answers` are `[text, kind, value => …]`. The first field has the focus. */
function ask(head, text, fields, answers) {
  const dialog = at("ask");
  say("ask-head", head);
  say("ask-text", text);
  at("ask-fields").replaceChildren(...fields);
  const cancel = element("button", "Cancel", "quiet");
  at("ask-buttons").replaceChildren(cancel, ...answers.map(([name, kind, act]) => {
    const button = element("button", name, kind);
    button.addEventListener("click", act);
    return button;
  }));
  dialog.showModal();
  dialog.querySelector("input")?.focus();
}

function field(label, input) {
  const found = element("label", label);
  found.append(input);
  return found;
}

function input(type, properties = {}) {
  return Object.assign(element("input"), { type, ...properties });
}

function askLoad({ name, step }) {
  ask(`Load ${name}?`, `${chosen} goes back to ${show(step)} updates and forgets what it learned since its newest checkpoint. Its rows stay.`, [], [
    ["Load", "danger", () => operate({ type: "load", checkpoint: name }, (done) => `${chosen} goes on from ${name} (${show(done.step)} updates)`)],
  ]);
}

function askExplore() {
  const value = input("number", { min: 0, step: "any", value: state.agents[chosen]?.epsilon ?? "" });
  const done = ({ kind, value: now }) => `${chosen} explores: ${kind} ${show(now, 3)}`;
  ask("How much to explore", "A number (ε, or the temperature) holds until you say otherwise, over restarts too.", [field("value", value)], [
    ["Schedule anew", "quiet", () => operate({ type: "explore", again: true }, done)],
    ["By its schedule", "quiet", () => operate({ type: "explore" }, done)],
    ["Set", "", () => operate({ type: "explore", value: value.value === "" ? null : Number(value.value) }, done)],
  ]);
}

function askReset() {
  const weights = input("radio", { name: "keep", checked: true });
  const nothing = input("radio", { name: "keep" });
  const done = ({ checkpoint }) => `${chosen} begins anew${checkpoint ? `; ${checkpoint} holds what it knew` : ""}`;
  ask(`Reset ${chosen}?`, "A checkpoint keeps what it knows now.", [field("forget its rows, keep its weights", weights), field("forget everything", nothing)], [
    ["Reset", "danger", () => operate({ type: "reset", keep: nothing.checked ? "nothing" : "weights" }, done)],
  ]);
}

function askToken() {
  if (at("ask").open) return;
  const token = input("password", { autocomplete: "off" });
  ask("A token, please", "It is kept for this tab only. One with grant admin may press the buttons.", [field("token", token)], [
    ["Use it", "", () => { link.setToken(token.value); link.follow(chosen); }],
  ]);
}

at("save").addEventListener("click", () => operate({ type: "save" }, (done) => `saved ${done.checkpoint} (${show(done.step)} updates)`));
at("freeze").addEventListener("click", () => {
  const on = !(state.agents[chosen]?.frozen ?? facts.frozen ?? false);
  operate({ type: "freeze", on }, () => (on ? `${chosen} learns no more` : `${chosen} learns again`));
});
at("explore").addEventListener("click", askExplore);
at("reset").addEventListener("click", askReset);
at("token").addEventListener("click", askToken);
at("axis").addEventListener("change", (event) => {
  axis = event.target.value;
  drawCurves();
});
addEventListener("resize", drawLatency);
link.follow(null);
