/**
 * Rally: keep a ball in the air with a paddle. The rules alone: no page, no agent.
 *
 * The court is WIDTH by 1, y grows downwards, and a step is a frame at 60 a second. Actions: 0 left,
 * 1 stay, 2 right. A hit is worth 1, a miss -1, and a frame under the ball UNDER: what takes half a
 * second to tell good moves from bad ones is learned slowly. A rally ends with a miss, or after
 * MOST_HITS.
 */

export const [WIDTH, RADIUS, HALF_PADDLE, PADDLE_Y] = [1.6, 0.025, 0.125, 0.93];
export const [LEFT, STAY, RIGHT] = [0, 1, 2];
export const MOST_HITS = 15;
export const FRAME_MS = 1000 / 60;
const UNDER = 0.05;
const PADDLE_SPEED = 0.03; // of the court's height, a frame
const [SERVE_SPEED, FASTER, FASTEST] = [0.018, 1.04, 0.026];
const [MOST_SLANT, CURVE] = [0.02, 0.012]; // sideways, a frame; and what the paddle's edge adds

export class Rally {
  constructor(random = Math.random) {
    this.random = random;
    this.paddle = WIDTH / 2;
    this.serve();
  }

  /** Begin a rally: the ball falls from anywhere, the paddle stays where it is. */
  serve() {
    const slant = (2 * this.random() - 1) * 0.012;
    this.ball = { x: RADIUS + this.random() * (WIDTH - 2 * RADIUS), y: 0.1, dx: slant, dy: SERVE_SPEED };
    this.hits = 0;
    this.over = false;
    this.won = false;
  }

  /** Play one frame; return its reward. */
  step(action) {
    const { ball } = this;
    const moved = this.paddle + (action - STAY) * PADDLE_SPEED;
    this.paddle = Math.min(Math.max(moved, HALF_PADDLE), WIDTH - HALF_PADDLE);
    ball.x += ball.dx;
    ball.y += ball.dy;
    if (ball.x < RADIUS || ball.x > WIDTH - RADIUS) {
      ball.dx = -ball.dx;
      ball.x = Math.min(Math.max(ball.x, RADIUS), WIDTH - RADIUS);
    }
    if (ball.y < RADIUS && ball.dy < 0) ball.dy = -ball.dy;
    const off = (ball.x - this.paddle) / (HALF_PADDLE + RADIUS);
    const under = Math.abs(off) < 1 ? UNDER : 0;
    if (ball.dy < 0 || ball.y < PADDLE_Y - RADIUS) return under;
    if (Math.abs(off) > 1) {
      this.over = true;
      return -1;
    }
    ball.y = PADDLE_Y - RADIUS;
    ball.dy = -Math.min(ball.dy * FASTER, FASTEST);
    const slant = ball.dx + off * CURVE + (2 * this.random() - 1) * 0.003;
    ball.dx = Math.min(Math.max(slant, -MOST_SLANT), MOST_SLANT);
    this.hits += 1;
    this.won = this.hits >= MOST_HITS;
    this.over = this.won;
    return 1 + under;
  }

  /** What the agent sees: six numbers around -1..1. */
  observation() {
    const { x, y, dx, dy } = this.ball;
    const middle = WIDTH / 2;
    return [
      (x - middle) / middle, 2 * y - 1, dx / MOST_SLANT, dy / FASTEST,
      (this.paddle - middle) / middle, (x - this.paddle) / middle,
    ];
  }
}

/** The first words of a client that plays it. */
export const SCHEMA = {
  observation: { court: { dtype: "float32", shape: [6] } }, action: 3, dtMs: FRAME_MS,
};
