/** An agent's past as columns, and what the charts draw of it. */

import { pool } from "./words.mjs";

const number = (value) => (value === null || value === undefined ? NaN : value);

/** Columns by name, all of one length; null where a point has no number. */
export class Past {
  columns = {};
  length = 0;

  /** Take what an event `points` told. */
  take({ whole, columns }) {
    if (whole) [this.columns, this.length] = [{}, 0];
    const more = columns.time?.length ?? 0;
    for (const name of new Set([...Object.keys(this.columns), ...Object.keys(columns)])) {
      this.columns[name] ??= Array(this.length).fill(null);
      this.columns[name].push(...(columns[name] ?? Array(more).fill(null)));
    }
    this.length += more;
  }

  /** One column, NaN where a point has no number. */
  column(name) {
    return (this.columns[name] ?? Array(this.length).fill(null)).map(number);
  }

  /** How much one count grew for each of another, between neighbouring points. */
  rate(name, each) {
    const [count, base] = [this.column(name), this.column(each)];
    return count.map((value, i) => (base[i] > base[i - 1] && value >= count[i - 1] ? (value - count[i - 1]) / (base[i] - base[i - 1]) : NaN));
  }

  /** The names that games logged under. */
  get logged() {
    return Object.keys(this.columns).filter((name) => name.startsWith("log."));
  }

  /** The x axis: steps, episodes, or seconds since the first point. */
  axis(kind) {
    if (kind !== "time") return this.column(kind);
    return this.column("time").map((value, _, all) => value - all[0]);
  }

  /** The episodes of each point, `{ended, mean, std}`, `ended` 0 where none did. */
  summaries(role) {
    const [ended, mean, std] = ["ended", "mean", "std"].map((each) => this.column(`${role}.${each}`));
    return ended.map((n, i) => ({ ended: n || 0, mean: n ? mean[i] : 0, std: n ? std[i] : 0 }));
  }

  /** Mean and spread of the return at each point, over enough of the episodes before it, within what came. */
  returns(role) {
    const all = this.summaries(role);
    const wanted = Math.max(10, pool(all).ended / 40);
    const [least, most] = [this.column(`${role}.low`), this.column(`${role}.high`)];
    const [floor, roof] = [Math.min, Math.max].map((pick, i) => [least, most][i].filter(Number.isFinite).reduce((a, b) => pick(a, b), [Infinity, -Infinity][i]));
    const [mean, low, high] = [[], [], []];
    let [from, inside] = [0, 0];
    all.forEach(({ ended }, i) => {
      inside += ended;
      while (inside - all[from].ended >= wanted) inside -= all[from++].ended;
      const here = ended ? pool(all.slice(from, i + 1)) : { mean: NaN, std: NaN };
      mean.push(here.mean);
      low.push(Math.max(floor, here.mean - here.std));
      high.push(Math.min(roof, here.mean + here.std));
    });
    return { mean, low, high };
  }

  /** The newest mean return of when `updates` had been made; NaN before the first. */
  returnAt(updates) {
    const made = this.column("updates");
    const found = this.column("return_mean").filter((value, i) => made[i] <= updates && Number.isFinite(value));
    return found.at(-1) ?? NaN;
  }
}
