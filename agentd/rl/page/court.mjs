/** Draws a game of Rally on a canvas, with what gives it life: a trail, sparks, a paddle's glow. */

import { HALF_PADDLE, PADDLE_Y, RADIUS, WIDTH } from "/rally.mjs";

const [TRAIL, SPARKS] = [16, 14];
const calm = globalThis.matchMedia("(prefers-reduced-motion: reduce)");
const names = ["agent", "person", "ball", "mean", "dim", "line", "bad", "court-top", "court-bottom"];

/** The colours of the page as it looks now. */
export function readPaint() {
  const style = getComputedStyle(document.documentElement);
  return Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
}

export class Court {
  #trail = []; #sparks = []; #flash = 0; #bump = 0;

  constructor(canvas) {
    this.canvas = canvas;
    this.paint = readPaint();
  }

  /** Show that the ball was hit (`hits` 1) or missed (0) at its place. */
  mark(hits, { x, y }) {
    this.#flash = hits ? 0 : 1;
    this.#bump = hits;
    if (!hits) this.#trail = [];
    if (calm.matches) return;
    for (let i = 0; i < SPARKS; i += 1) {
      const [angle, speed] = [Math.PI * (1 + Math.random()), 0.004 + 0.012 * Math.random()];
      this.#sparks.push({
        x, y, dx: speed * Math.cos(angle), dy: speed * Math.sin(angle), life: 1, bad: !hits,
      });
    }
  }

  /** Let a frame go by. */
  advance({ ball }) {
    this.#trail.push({ x: ball.x, y: ball.y });
    this.#trail.splice(0, Math.max(0, this.#trail.length - TRAIL));
    this.#flash *= 0.9;
    this.#bump *= 0.85;
    for (const spark of this.#sparks) {
      spark.x += spark.dx;
      spark.y += spark.dy;
      spark.dy += 0.0006;
      spark.life -= 0.035;
    }
    this.#sparks = this.#sparks.filter(({ life }) => life > 0);
  }

  draw({ ball, paddle }, person) {
    const { canvas, paint } = this;
    const scale = globalThis.devicePixelRatio || 1;
    const [width, height] = [canvas.clientWidth * scale, canvas.clientHeight * scale];
    if (canvas.width !== Math.round(width)) canvas.width = Math.round(width);
    if (canvas.height !== Math.round(height)) canvas.height = Math.round(height);
    const g = canvas.getContext("2d");
    const unit = width / WIDTH;
    g.setTransform(unit, 0, 0, unit, 0, 0);
    const back = g.createLinearGradient(0, 0, 0, 1);
    back.addColorStop(0, paint["court-top"]);
    back.addColorStop(1, paint["court-bottom"]);
    g.fillStyle = back;
    g.fillRect(0, 0, WIDTH, 1);
    g.strokeStyle = paint.line;
    g.lineWidth = 0.003;
    g.setLineDash([0.012, 0.018]);
    g.beginPath();
    g.moveTo(0.03, PADDLE_Y + 0.012);
    g.lineTo(WIDTH - 0.03, PADDLE_Y + 0.012);
    g.stroke();
    g.setLineDash([]);
    if (!calm.matches) this.#drawTrail(g);
    for (const { x, y, life, bad } of this.#sparks) {
      g.globalAlpha = life;
      g.fillStyle = bad ? paint.bad : paint.ball;
      this.#disc(g, x, y, 0.006 * life + 0.002);
    }
    g.globalAlpha = 1;
    this.#drawPaddle(g, paddle, person ? paint.person : paint.agent, unit);
    g.shadowColor = paint.ball;
    g.shadowBlur = 0.05 * unit;
    g.fillStyle = paint.ball;
    this.#disc(g, ball.x, ball.y, RADIUS);
    g.shadowBlur = 0;
    if (this.#flash > 0.02) {
      g.globalAlpha = 0.25 * this.#flash;
      g.fillStyle = paint.bad;
      g.fillRect(0, 0, WIDTH, 1);
      g.globalAlpha = 1;
    }
  }

  #drawTrail(g) {
    g.fillStyle = this.paint.ball;
    this.#trail.forEach(({ x, y }, i) => {
      const age = (i + 1) / TRAIL;
      g.globalAlpha = 0.28 * age * age;
      this.#disc(g, x, y, RADIUS * (0.35 + 0.6 * age));
    });
    g.globalAlpha = 1;
  }

  #drawPaddle(g, x, colour, unit) {
    g.shadowColor = colour;
    g.shadowBlur = (0.04 + 0.08 * this.#bump) * unit;
    g.fillStyle = colour;
    g.beginPath();
    g.roundRect(x - HALF_PADDLE, PADDLE_Y + 0.012 * this.#bump, 2 * HALF_PADDLE, 0.026, 0.013);
    g.fill();
    g.shadowBlur = 0;
  }

  #disc(g, x, y, radius) {
    g.beginPath();
    g.arc(x, y, radius, 0, 2 * Math.PI);
    g.fill();
  }
}
