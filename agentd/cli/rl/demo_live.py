"""The demo as the claim says it: a game at 60 frames a second, learned while a person watches.

And with the person in it: who plays Duel or Snake, hands over, and takes back.
"""

import shlex
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from agentd.cli.rl.live_screen import LiveView, binned
from agentd.cli.rl.train import kept_or_temporary
from agentd.cli.rl.what_next import GONE, next_lines
from agentd.cli.screen.curve import draw_curve
from agentd.cli.screen.keys import Keys
from agentd.cli.screen.numbers import clock
from agentd.cli.screen.terminal import Terminal, in_foreground
from agentd.config import agent_config_from_wire
from agentd.errors import UsageError
from agentd.rl.games import check_game, is_foreign
from agentd.rl.live import LiveOutcome, LivePlan, LiveProgress, play_live
from agentd.rl.scores import Scores
from agentd.rl.tasks import GameSource, Steer

FPS = 60.0
SECONDS = 180.0
GAME = "cartpole"
HANDS_ON = "duel"
AGAINST = {"duel": "duel-script"}
"""Games that are played against a player of ours: against itself an agent's return says nothing."""


class Hand(NamedTuple):
    """How a person plays a game."""

    fps: float  # frames a second that a person can follow
    keys: dict[str, int]  # key -> action
    idle: int | None  # the action while no key is pressed; None: the last one again
    hint: str


HANDS = {
    "duel-script": Hand(
        12.0,
        {"left": 1, "right": 2, "up": 3, "down": 4, " ": 5, "b": 6},
        0,
        "you are the thick plane: ← → turn  ↑ ↓ speed  space fires  b boosts",
    ),
    "snake": Hand(5.0, {"up": 0, "right": 1, "down": 2, "left": 3}, None, "← ↑ ↓ → steer"),
}
BY_HAND: dict[str, Any] = {
    "pace": {"learn_start": 200},
    "exploration": {"start": 0.1, "end": 0.02, "steps": 2_000},
}
"""What is not the default where a person shows how: little is left to chance, and soon learned."""
CONTROLS = "a the agent plays  p you play  f faster  q ends"


@dataclass
class Asked:
    """What the person asked for on the command line."""

    game: str | None = None
    seconds: float | None = None
    seed: int | None = None
    data_dir: Path | None = None
    device: str | None = None


class Pilot(LiveView):
    """A view whose keys also play: an arrow is an action, a and p say who plays."""

    def __init__(self, terminal: Terminal, title: str, keys: Keys, hand: Hand) -> None:
        super().__init__(terminal, title, keys, f"{hand.hint}\n{CONTROLS}")
        self._hand = hand
        self._plays = True
        self._fast = False

    def steers(self) -> Iterable[Steer] | None:
        """What the keys since the last look mean; None once q is among them."""
        found: list[Steer] = []
        for key in self.pressed():
            if key == "q":
                return None
            if key in ("a", "p"):
                self._plays, self._fast = key == "p", False
                found.append(Steer(taken=self._plays, fps=self._hand.fps))
            elif key == "f" and not self._plays:
                self._fast = not self._fast
                found.append(Steer(fps=FPS if self._fast else self._hand.fps))
            elif key in self._hand.keys:
                found.append(Steer(action=self._hand.keys[key]))
        return found


def watch(out: Terminal, asked: Asked) -> None:
    """Show how a fresh agent learns a game that does not wait; print what came of it."""
    game = known_game(asked.game or GAME)
    seconds = asked.seconds or SECONDS
    out.note(f"one game client plays {game} over TCP, {FPS:g} frames a second; an agent learns")
    with kept_or_temporary(asked.data_dir) as folder:
        plan = _plan(asked, game, folder, fps=FPS, seconds=seconds)
        limit = f"it ends after {seconds:g} s"
        out.note(f"{limit}, or solved: {plan.mark}" if plan.mark else limit)
        title = f"agentd demo · {game} at {FPS:g} frames a second"
        with Keys() as keys, LiveView(out, title, keys, "q ends") as view:
            outcome = play_live(plan, view)
    out.report(outcome.record, "\n".join(sum_up(outcome)))
    if not out.json:
        out.note(next_steps(plan, asked.data_dir))


def take_part(out: Terminal, asked: Asked) -> None:
    """Let the person play, hand over to the agent, and take back.

    Raises UsageError for a game that has no keys, and without a terminal.
    """
    game = known_game(asked.game or HANDS_ON)
    hand = HANDS.get(game)
    if hand is None:
        raise UsageError(f"--game {asked.game}: there are no keys for it; --play has duel, snake")
    if not out.live or not in_foreground(sys.stdin):
        raise UsageError("--play: want a terminal with a keyboard")
    out.note(f"you play {game}; the agent learns from you, and goes on where you stop")
    with kept_or_temporary(asked.data_dir) as folder:
        plan = _plan(asked, game, folder, fps=hand.fps, seconds=asked.seconds)
        config = agent_config_from_wire(BY_HAND)
        plan = replace(plan, idle=hand.idle, by_hand=True, config=config)
        title = f"agentd demo · {game}: you and the agent"
        with Keys() as keys, Pilot(out, title, keys, hand) as view:
            outcome = play_live(plan, view)
    out.report(outcome.record, "\n".join(sum_up_play(outcome)))
    out.note(next_steps(plan, asked.data_dir))


def known_game(name: str) -> str:
    """The game of ours that the demo plays for ``name``. Raises MissingInput, UsageError."""
    if is_foreign(name):
        raise UsageError(f"--game {name}: want a game of agentd: only these have a picture in text")
    check_game(GameSource(name))
    return AGAINST.get(name, name)


def _plan(asked: Asked, game: str, folder: Path, fps: float, seconds: float | None) -> LivePlan:
    return LivePlan(
        game=game,
        agent=f"demo-{game}",
        data_dir=folder,
        seed=asked.seed or 0,
        fps=fps,
        seconds=seconds,
        device=asked.device,
    )


def sum_up(outcome: LiveOutcome) -> list[str]:
    """The learning curve, and what came of the run, in lines."""
    now = outcome.progress
    lines = [*draw_curve(binned(now.curve), x_label="seconds"), ""]
    lines.append(f"greedy return before: {_scores(outcome.before)}")
    lines.append(f"greedy return after {clock(now.elapsed_s)}: {_scores(outcome.after)}")
    if now.plan.mark is not None:
        lines.append(f"{'solved' if now.solved else 'not solved'}: {now.plan.mark}")
    return [*lines, _frames(now), _updates(now)]


def sum_up_play(outcome: LiveOutcome) -> list[str]:
    """Who played how, in lines."""
    now = outcome.progress
    steps = now.scene.taken_steps if now.scene else 0
    lines = [f"you played {steps:,} of {now.steps:,} steps, and the agent learned from all of them"]
    for who, totals in (("you", now.person), ("the agent", now.agent)):
        if totals:
            mean = sum(totals) / len(totals)
            ended = f"{len(totals)} episode{'s' if len(totals) > 1 else ''}"
            lines.append(f"{who} ended {ended}: mean return {mean:.2f}, best {max(totals):.2f}")
    return [*lines, _frames(now), _updates(now)]


def _scores(scores: Scores) -> str:
    return str(scores) if scores.values else "not played"


def _frames(now: LiveProgress) -> str:
    scene = now.scene
    if scene is None:
        return "no frame was played"
    late = f"{scene.late:,} late" if scene.late else "none late"
    return (
        f"{scene.frames:,} frames, {late}; answers p99 {scene.p99_s * 1e3:.1f} ms, "
        f"longest {scene.longest_s * 1e3:.1f} ms"
    )


def _updates(now: LiveProgress) -> str:
    each = now.updates / now.steps if now.steps else 0.0
    return f"{now.updates:,} updates, {each:.1f} a row, while the game went on"


def next_steps(plan: LivePlan, data_dir: Path | None) -> str:
    """Where the agent is, and what to do with it and without it."""
    if data_dir is None:
        kept, again = GONE, "agentd demo --play"
    else:
        kept = f"the agent is kept in {data_dir / 'agents' / plan.agent}"
        place = shlex.quote(str(data_dir))
        again = f"agentd rl eval --data-dir {place} --agent {plan.agent} --env {plan.game}"
    return next_lines(kept, data_dir, again)
