"""``agentd demo``: see it learn. ``--fast`` is over in under a minute."""

import shlex
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from agentd.cli.rl.demo_live import Asked, take_part, watch
from agentd.cli.rl.demo_web import show_page
from agentd.cli.rl.live_view import RunView
from agentd.cli.rl.train import (
    Clients,
    KeepDir,
    Seed,
    Steps,
    change_play,
    kept_or_temporary,
    tell_outcome,
)
from agentd.cli.rl.what_next import GONE, next_lines
from agentd.cli.screen.flags import Device
from agentd.cli.screen.options import JsonScreen
from agentd.cli.screen.terminal import Terminal
from agentd.config import load_preset
from agentd.errors import JobFailed, UsageError
from agentd.rl.run import TrainingPlan, run_plan
from agentd.rl.settings import change_settings

PRESET = "cartpole-demo"
AGENT = "demo"


Fast = Annotated[
    bool,
    typer.Option(
        "--fast", help="As fast as the machine can: four clients, CartPole, and it is solved."
    ),
]
Play = Annotated[
    bool, typer.Option("--play", help="Play Duel or Snake yourself, and hand over to the agent.")
]
Web = Annotated[
    bool, typer.Option("--web", help="The game is a page: watch it in a browser, take the paddle.")
]
Game = Annotated[
    str | None, typer.Option("--game", help="A game of agentd.", show_default="cartpole")
]
Seconds = Annotated[
    float | None,
    typer.Option(
        min=1.0, max=86_400.0, help="It ends after so long.", show_default="180; --play, --web: never"
    ),
]


def demo(
    out: JsonScreen,
    fast: Fast = False,
    play: Play = False,
    web: Web = False,
    game: Game = None,
    seconds: Seconds = None,
    seed: Seed = None,
    steps: Steps = None,
    clients: Clients = None,
    data_dir: KeepDir = None,
    device: Device = None,
) -> None:
    """Watch an agent learn a game that runs at 60 frames a second and never waits.

    Starts a daemon and a game client. Ends by itself after three minutes, or once it is solved;
    q and Ctrl-C end it earlier. --play lets you play, and hand over, and so does --web, in a browser;
    --fast is the demo whose game waits for the learner, and exits 1 if CartPole is not solved at the
    step limit.
    """
    if fast and (play or web or game is not None or seconds is not None):
        raise UsageError("--fast goes with none of --play, --web, --game and --seconds")
    if web and (play or game is not None):
        raise UsageError("--web has a game of its own: it goes with neither --play nor --game")
    if not fast and (steps is not None or clients is not None):
        raise UsageError("--steps and --clients go with --fast only")
    if fast:
        run_fast(out, seed, steps, clients, data_dir, device)
        return
    asked = Asked(game, seconds, seed, data_dir, device)
    if web:
        show_page(out, asked)
        return
    (take_part if play else watch)(out, asked)


def run_fast(
    out: Terminal,
    seed: int | None,
    steps: int | None,
    clients: int | None,
    data_dir: Path | None,
    device: str | None,
) -> None:
    """Start a daemon, play CartPole against it with real clients, and watch it learn.

    Ends by itself when the greedy mean return over 20 new episodes says solved. Raises JobFailed
    if it is not solved at the step limit.
    """
    preset = change_play(load_preset(PRESET), {"steps": steps, "clients": clients})
    play = preset.play
    out.note(
        f"{play.clients} game clients play {play.game} over TCP, {play.streams} at a time each; "
        "one agent learns from all of them"
    )
    with kept_or_temporary(data_dir) as folder:
        plan = TrainingPlan(preset, AGENT, folder, seed or 0, device=device)
        wanted = msgspec.structs.replace(preset.agent, seed=plan.seed)
        asked = ["seed"] if seed is not None else []
        with RunView(out, "agentd demo · CartPole over TCP") as view:
            change_settings(folder, AGENT, wanted, asked, view.tell)
            outcome = run_plan(plan, view)
    tell_outcome(outcome, out, data_dir)
    if not out.json:
        out.note(what_next(data_dir))
    if not outcome.solved and not outcome.interrupted:
        raise JobFailed("not solved within the step limit", hint="try another --seed")


def what_next(data_dir: Path | None) -> str:
    """Where the agent is, and what to do with it and without it."""
    if data_dir is None:
        return next_lines(GONE, None, "agentd rl train --preset snake")
    place = shlex.quote(str(data_dir))
    again = f"agentd rl eval --data-dir {place} --agent {AGENT} --preset {PRESET}"
    return next_lines(f"the agent is kept in {data_dir / 'agents' / AGENT}", data_dir, again)
