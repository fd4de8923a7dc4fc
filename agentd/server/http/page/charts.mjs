/** Charts as SVG: lines with a band, and bars. Read with a pointer or the arrow keys. */

import { show } from "./words.mjs";

const SVG = "http://www.w3.org/2000/svg";
const [LEFT, RIGHT, TOP, BOTTOM] = [46, 10, 8, 22];
const MOST_SPAN = 1e300;

function make(tag, attributes, ...children) {
  const found = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) found.setAttribute(name, value);
  found.append(...children);
  return found;
}

/** About `n` round numbers from `low` to `high`. */
function ticks(low, high, n) {
  const rough = (high - low) / n;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((each) => each * power).find((each) => each >= rough);
  const found = [];
  for (let at = Math.ceil(low / step); at * step <= high + step * 1e-9; at += 1) found.push(at * step || 0);
  return found;
}

/** A tick in few letters: 12k, 1.5M. */
function short(value) {
  const size = Math.abs(value);
  if (size >= 1e6) return `${show(value / 1e6, 3)}M`;
  return size >= 1e4 ? `${show(value / 1e3, 3)}k` : show(value, 3);
}

/** One chart in a figure, with its name, its legend and a line that reads a point out. */
export class Chart {
  #figure;
  #svg = make("svg", { role: "img", tabindex: "0" });
  #read = document.createElement("output");
  #legend = document.createElement("p");
  #drawn = null;
  #at = null;
  #showX = short;

  /** `notes` explains what is shown; `series` are `[class, name]`s for the legend. */
  constructor(figure, name, notes, series) {
    this.#figure = figure;
    this.name = name;
    this.series = series;
    const head = document.createElement("figcaption");
    head.textContent = name;
    head.title = notes;
    this.#legend.className = "legend";
    for (const [kind, text] of series.length > 1 ? series : []) {
      const each = document.createElement("span");
      each.className = kind;
      each.textContent = text;
      this.#legend.append(each);
    }
    head.append(this.#read);
    figure.replaceChildren(head, this.#svg, this.#legend);
    this.#svg.addEventListener("pointermove", (event) => this.#point(event));
    this.#svg.addEventListener("pointerleave", () => this.#mark(null));
    this.#svg.addEventListener("keydown", (event) => this.#step(event));
    this.#svg.addEventListener("blur", () => this.#mark(null));
    new ResizeObserver(() => this.#draw()).observe(this.#svg);
  }

  /**
   * Show `x` and the columns of `lines`, as many as the series, NaN where there is nothing.
   * `band` is `[low, high]`, `dots` a column of faint marks, `range` what the y axis holds at least.
   */
  show({ x, lines, band = null, dots = null, range = [Infinity, -Infinity], showX = short }) {
    this.#drawn = { x, lines, band, dots, range };
    this.#showX = showX;
    [...this.#legend.children].forEach((each, i) => {
      each.hidden = !lines[i].some(Number.isFinite);
    });
    this.#draw();
  }

  #draw() {
    const { clientWidth: width, clientHeight: height } = this.#svg;
    if (this.#drawn === null || !width) return;
    const { x, lines, band, dots, range } = this.#drawn;
    const known = [...lines, ...(band ?? []), ...(dots ? [dots] : [])].flat().filter(Number.isFinite);
    this.#figure.classList.toggle("blank", !known.length || x.length < 2);
    this.#svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.#svg.setAttribute("aria-label", this.#label());
    if (!known.length) return this.#blank(width, height);
    let low = known.reduce((a, b) => Math.min(a, b), range[0]);
    let high = known.reduce((a, b) => Math.max(a, b), range[1]);
    if (!(high - low < MOST_SPAN)) [low, high] = [-1, 1];
    if (high - low <= 1e-12 * Math.max(1, Math.abs(high))) [low, high] = [low - 0.5, high + 0.5];
    const [first, last] = [x[0], Math.max(x.at(-1), x[0] + 1e-9)];
    this.X = (value) => LEFT + ((value - first) / (last - first)) * (width - LEFT - RIGHT);
    this.Y = (value) => height - BOTTOM - ((value - low) / (high - low)) * (height - TOP - BOTTOM);
    const parts = this.#axes(width, height, low, high, first, last);
    if (band) parts.push(make("path", { class: "band", d: this.#area(x, ...band) }));
    if (dots) parts.push(make("path", { class: "dots", d: this.#dots(x, dots) }));
    lines.forEach((line, i) => {
      parts.push(make("path", { class: `line ${this.series[i][0]}`, d: this.#line(x, line) }));
    });
    this.#svg.replaceChildren(...parts);
    if (this.#at !== null) this.#mark(Math.min(this.#at, x.length - 1));
  }

  #blank(width, height) {
    const text = make("text", { x: width / 2, y: height / 2, class: "middle" }, "nothing yet");
    this.#svg.replaceChildren(text);
  }

  #axes(width, height, low, high, first, last) {
    const parts = [];
    for (const value of ticks(low, high, height < 180 ? 3 : 5)) {
      const y = this.Y(value);
      parts.push(make("path", { class: "grid", d: `M${LEFT} ${y}H${width - RIGHT}` }));
      parts.push(make("text", { x: LEFT - 7, y: y + 4, class: "end" }, short(value)));
    }
    parts.push(make("text", { x: LEFT, y: height - 5 }, this.#showX(first)));
    parts.push(make("text", { x: width - RIGHT, y: height - 5, class: "end" }, this.#showX(last)));
    return parts;
  }

  #line(x, y) {
    let [path, pen] = ["", "M"];
    y.forEach((value, i) => {
      if (!Number.isFinite(value)) return;
      path += `${pen}${this.X(x[i]).toFixed(1)} ${this.Y(value).toFixed(1)}`;
      pen = "L";
    });
    return path;
  }

  #area(x, low, high) {
    const kept = x.map((_, i) => i).filter((i) => Number.isFinite(low[i]) && Number.isFinite(high[i]));
    if (kept.length < 2) return "";
    const place = (column) => (i) => `${this.X(x[i]).toFixed(1)} ${this.Y(column[i]).toFixed(1)}`;
    return `M${kept.map(place(high)).join("L")}L${kept.reverse().map(place(low)).join("L")}Z`;
  }

  #dots(x, y) {
    const kept = x.map((_, i) => i).filter((i) => Number.isFinite(y[i]));
    return kept.map((i) => `M${this.X(x[i]).toFixed(1)} ${this.Y(y[i]).toFixed(1)}h.01`).join("");
  }

  #values(i) {
    return this.series
      .map(([, name], k) => [name, this.#drawn.lines[k][i]])
      .filter(([, value]) => Number.isFinite(value))
      .map(([name, value]) => (this.series.length > 1 ? `${name} ${show(value)}` : show(value)))
      .join(", ");
  }

  /** What the chart shows, for who does not see it. */
  #label() {
    const { lines } = this.#drawn;
    const said = this.series.map(([, name], k) => {
      const known = lines[k].filter(Number.isFinite);
      if (!known.length) return `${name}: nothing yet`;
      const [low, high] = [known.reduce((a, b) => Math.min(a, b)), known.reduce((a, b) => Math.max(a, b))];
      return `${name}: ${show(known[0])} at first, ${show(known.at(-1))} now, between ${show(low)} and ${show(high)}`;
    });
    return `${this.name}. ${said.join(". ")}. Arrow keys read single points.`;
  }

  #point(event) {
    if (!this.#drawn?.x.length || !this.X) return;
    const at = event.clientX - this.#svg.getBoundingClientRect().left;
    const gaps = this.#drawn.x.map((value) => Math.abs(this.X(value) - at));
    this.#mark(gaps.indexOf(Math.min(...gaps)));
  }

  #step(event) {
    const last = (this.#drawn?.x.length ?? 0) - 1;
    const from = this.#at ?? last;
    const to = { ArrowLeft: from - 1, ArrowRight: from + 1, Home: 0, End: last }[event.key];
    if (to === undefined || last < 0) return;
    event.preventDefault();
    this.#mark(Math.max(0, Math.min(last, to)));
  }

  #mark(at) {
    this.#at = at;
    this.#svg.querySelector(".cursor")?.remove();
    if (at === null || !this.X) {
      this.#read.textContent = "";
      return;
    }
    const x = this.X(this.#drawn.x[at]);
    this.#svg.append(make("path", { class: "cursor", d: `M${x} ${TOP}V${this.#svg.clientHeight - BOTTOM}` }));
    this.#read.textContent = `${this.#values(at) || "nothing"} at ${this.#showX(this.#drawn.x[at])}`;
  }
}

/** Bars of counts, each named. `marks` are `[name, share of the width]`. */
export function drawBars(figure, name, bars, said) {
  let svg = figure.querySelector("svg");
  if (!svg) {
    const head = document.createElement("figcaption");
    head.textContent = name;
    svg = make("svg", { role: "img" });
    const legend = document.createElement("p");
    legend.className = "legend";
    figure.replaceChildren(head, svg, legend);
  }
  figure.querySelector(".legend").textContent = said;
  const { clientWidth: width, clientHeight: height } = svg;
  if (!width) return;
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.setAttribute("aria-label", `${name}. ${said}`);
  const most = Math.max(1, ...bars.map(([, count]) => count));
  const each = width / bars.length;
  const parts = bars.flatMap(([label, count], i) => {
    const tall = count ? Math.max(2, (count / most) * (height - TOP - BOTTOM)) : 0;
    const place = { x: i * each + 1, y: height - BOTTOM - tall, width: Math.max(1, each - 2), height: tall, rx: 2 };
    const bar = make("rect", { class: "column", ...place });
    bar.append(make("title", {}, `${label}: ${show(count)}`));
    const room = i % Math.ceil((bars.length * 44) / width) === 0;
    return room ? [bar, make("text", { x: (i + 0.5) * each, y: height - 5, class: "middle" }, label)] : [bar];
  });
  svg.replaceChildren(make("path", { class: "grid", d: `M0 ${height - BOTTOM}H${width}` }), ...parts);
}
