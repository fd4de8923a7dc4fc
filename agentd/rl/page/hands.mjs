/** The person's hands: keys, a finger, a button; who holds the paddle, and where it shall go. */

import { LEFT, RIGHT, STAY, WIDTH } from "/rally.mjs";

const KEYS = { ArrowLeft: LEFT, a: LEFT, ArrowRight: RIGHT, d: RIGHT };
const NEAR = 0.016; // where a paddle that follows a finger rests

export class Hands {
  taken = false;
  #held = []; // keys that are down, the newest last
  #finger = null; // where it is on the court, while it is down

  constructor(canvas, button, game) {
    this.game = game;
    this.button = button;
    button.addEventListener("click", () => this.take(!this.taken));
    addEventListener("keydown", (event) => this.#down(event));
    addEventListener("keyup", ({ key }) => { this.#held = this.#held.filter((k) => k !== key); });
    addEventListener("blur", () => { this.#held = []; });
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.take(true);
      this.#follow(event);
    });
    canvas.addEventListener("pointermove", (event) => { if (event.buttons) this.#follow(event); });
    for (const end of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(end, () => { this.#finger = null; });
    }
  }

  take(taken) {
    this.taken = taken;
    this.button.textContent = taken ? "Hand it back" : "Take the paddle";
    this.button.setAttribute("aria-pressed", String(taken));
    const player = document.getElementById("player");
    player.dataset.player = taken ? "person" : "agent";
    player.textContent = taken ? "you play, agentd learns" : "agentd plays";
  }

  /** Return what the person plays now, null while the agent plays. */
  action() {
    if (!this.taken) return null;
    if (this.#held.length) return KEYS[this.#held.at(-1)];
    if (this.#finger === null) return STAY;
    const way = this.#finger - this.game.paddle;
    return Math.abs(way) < NEAR ? STAY : way < 0 ? LEFT : RIGHT;
  }

  #down(event) {
    const { key, target } = event;
    if (key in KEYS && !event.ctrlKey && !event.metaKey && !event.altKey) {
      if (!this.#held.includes(key)) this.#held.push(key);
      if (!this.taken) this.take(true);
    } else if (key === " " && this.taken && target !== this.button) this.take(false);
    else return;
    event.preventDefault();
  }

  #follow(event) {
    const box = event.currentTarget.getBoundingClientRect();
    this.#finger = ((event.clientX - box.left) / box.width) * WIDTH;
  }
}
