/** Numbers and states in words. */

const HEADS = {
  learning: "It learns.",
  paused: "Learning has paused by itself.",
  starved: "Games train it, but too few rows come for an update.",
  frozen: "Learning is switched off. It goes on playing.",
  degraded: "Something is broken.",
  idle: "Nothing is to be learned now.",
};

/** How an agent is, and why; how fast, where it learns. */
export function describeState({ state, state_reason: reason }, updatesPerRow, rowsPerSecond) {
  if (state === "learning" && !reason && updatesPerRow > 0 && rowsPerSecond > 0) {
    return `It learns: ${show(updatesPerRow, 2)} updates for each of ${show(rowsPerSecond, 3)} rows a second.`;
  }
  const head = HEADS[state] ?? "It is on disk, not in memory.";
  return reason ? `${head} ${reason[0].toUpperCase()}${reason.slice(1)}.` : head;
}

/** A number for people: 1,234 or 0.01235; a dash for none. */
export function show(value, digits = 4) {
  if (typeof value !== "number" || !Number.isFinite(value)) return "–";
  if (Number.isInteger(value) || Math.abs(value) >= 1000) return Math.round(value).toLocaleString("en");
  return Number(value.toPrecision(digits)).toLocaleString("en", { maximumSignificantDigits: digits });
}

/** A share in percent. */
export const percent = (value) => (typeof value === "number" ? `${show(100 * value, 3)} %` : "–");

/** A time span: 40 s, 12 min, 3.2 h, 5 d. */
export function span(seconds) {
  if (!(seconds >= 0)) return "–";
  if (seconds < 100) return `${Math.round(seconds)} s`;
  if (seconds < 6000) return `${Math.round(seconds / 60)} min`;
  return seconds < 172_800 ? `${show(seconds / 3600, 2)} h` : `${Math.round(seconds / 86_400)} d`;
}

/** Milliseconds with their unit. */
export const ms = (value) => (typeof value === "number" ? `${show(value, 3)} ms` : "–");

/** The episodes of summaries `{ended, mean, std}`, taken together. */
export function pool(summaries) {
  const ended = summaries.reduce((sum, each) => sum + each.ended, 0);
  if (!ended) return { ended: 0, mean: NaN, std: NaN };
  const mean = summaries.reduce((sum, each) => sum + each.ended * each.mean, 0) / ended;
  const squares = summaries.reduce((sum, each) => sum + each.ended * (each.std ** 2 + (each.mean - mean) ** 2), 0);
  return { ended, mean, std: Math.sqrt(squares / ended) };
}

/** Whether the return grows: the newest tenth of the episodes against those before, in words. */
export function describeTrend(summaries) {
  const all = summaries.filter((each) => each.ended > 0);
  const total = all.reduce((sum, each) => sum + each.ended, 0);
  if (!total) return "No training episode has ended yet.";
  const wanted = Math.max(20, total / 10);
  const take = (end) => {
    let start = end;
    for (let n = 0; start > 0 && n < wanted; start -= 1) n += all[start - 1].ended;
    return start;
  };
  const middle = take(all.length);
  const now = pool(all.slice(middle));
  const before = pool(all.slice(take(middle), middle));
  const lately = `Return ${show(now.mean, 3)} ± ${show(now.std, 2)} in the last ${show(now.ended)} episodes`;
  if (before.ended < 10) return `${lately}.`;
  const error = Math.sqrt(now.std ** 2 / now.ended + before.std ** 2 / before.ended);
  const gained = now.mean - before.mean;
  if (Math.abs(gained) <= 2 * error) return `${lately}, as in the ${show(before.ended)} before.`;
  return `${lately}, ${gained > 0 ? "up" : "down"} from ${show(before.mean, 3)} in the ${show(before.ended)} before.`;
}
