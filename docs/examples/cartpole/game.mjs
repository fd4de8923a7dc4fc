// CartPole as Gymnasium's CartPole-v1 has it: Euler steps of 20 ms, at most 500 of them.
export const LONGEST = 500;

export class CartPole {
  constructor(random = Math.random) {
    this.random = random;
    this.reset();
  }

  /** Begin an episode; return [x, v, angle, angular velocity]. */
  reset() {
    this.state = Array.from({ length: 4 }, () => 0.1 * this.random() - 0.05);
    this.steps = 0;
    return this.state;
  }

  /** Push left (0) or right (1); return whether the episode is over. */
  step(action) {
    let [x, v, angle, spin] = this.state;
    const force = action === 1 ? 10 : -10;
    const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
    const push = (force + 0.05 * spin * spin * sin) / 1.1;
    const turn = (9.8 * sin - cos * push) / (0.5 * (4 / 3 - (0.1 * cos * cos) / 1.1));
    const pull = push - (0.05 * turn * cos) / 1.1;
    x += 0.02 * v;
    v += 0.02 * pull;
    angle += 0.02 * spin;
    spin += 0.02 * turn;
    this.state = [x, v, angle, spin];
    this.steps += 1;
    const fallen = Math.abs(x) > 2.4 || Math.abs(angle) > (12 * Math.PI) / 180;
    return fallen || this.steps >= LONGEST;
  }
}
