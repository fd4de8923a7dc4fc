"""``agentd rl train``: an agent learns a game, over TCP, and shows how."""

import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from agentd.cli.cluster.options import RayFlags
from agentd.cli.rl.environment import EnvArg, MaxEpisodeSteps, read_arguments
from agentd.cli.rl.live_view import RunView
from agentd.cli.screen.curve import draw_curve
from agentd.cli.screen.flags import read_settings
from agentd.cli.screen.options import JsonScreen
from agentd.cli.screen.terminal import Terminal
from agentd.config import Preset, load_preset
from agentd.errors import UsageError
from agentd.rl.run import RunOutcome, TrainingPlan, run_plan
from agentd.rl.settings import change_settings
from agentd.rl.sweep import SeedRun, parse_seeds, run_sweep, summary, sweep_table

Name = Annotated[
    str | None,
    typer.Option("--preset", help="A bundled preset.", show_default="gym, where --env is given"),
]
Steps = Annotated[
    int | None, typer.Option(min=1, help="Environment steps.", show_default="the preset's")
]
Streams = Annotated[
    int | None,
    typer.Option(min=1, help="Environments per client.", show_default="the preset's"),
]
Clients = Annotated[
    int | None, typer.Option(min=1, help="Processes that play.", show_default="the preset's")
]
Game = Annotated[
    str | None,
    typer.Option(
        "--env", help="Another game, gym:<id> or module:<id>.", show_default="the preset's"
    ),
]
KeepGoing = Annotated[bool, typer.Option("--keep-going", help="Play all steps, solved or not.")]
KeepDir = Annotated[
    Path | None,
    typer.Option("--data-dir", help="Keep the agent there.", show_default="a temporary one"),
]
AgentSet = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="A value of the agent, e.g. dqn.prioritized=true."
    ),
]
ANY = "gym"  # the preset for any environment
Seed = Annotated[
    int | None, typer.Option(min=0, help="Of the agent and the games.", show_default="0")
]
Seeds = Annotated[
    str | None,
    typer.Option(help="One run a seed: 1..5 or 1,4,9.", show_default=False),
]


def train(
    out: JsonScreen,
    cluster: RayFlags,
    preset: Name = None,
    seed: Seed = None,
    seeds: Seeds = None,
    steps: Steps = None,
    streams: Streams = None,
    clients: Clients = None,
    game: Game = None,
    env_arg: EnvArg = None,
    max_episode_steps: MaxEpisodeSteps = None,
    settings: AgentSet = None,
    keep_going: KeepGoing = False,
    data_dir: KeepDir = None,
    agent: Annotated[
        str | None, typer.Option(help="The agent's name.", show_default="the preset's")
    ] = None,
    tensorboard: Annotated[
        Path | None,
        typer.Option(help="Write TensorBoard's event files there.", show_default=False),
    ] = None,
) -> None:
    """Train an agent with Q-learning, then play it greedily.

    Runs the daemon and its clients over TCP, as a user would. Ctrl-C saves and evaluates. With
    --seeds each seed is an agent of its own, <name>-<seed>, and the result is a summary; with
    --ray the seeds are tasks on a cluster, and their agents come home.
    """
    if preset is None and game is None:
        raise UsageError("name what to learn: --preset NAME or --env GAME")
    if seeds is not None and seed is not None:
        raise UsageError("name --seed or --seeds, not both")
    if cluster.ray is not None and (seeds is None or tensorboard is not None):
        raise UsageError("--ray wants --seeds, and goes without --tensorboard")
    changes = {"steps": steps, "streams": streams, "clients": clients, "game": game}
    flags = read_settings([f"agent.{setting}" for setting in settings or ()])
    asked = [key.removeprefix("agent.") for key in flags]
    asked += ["seed"] if seed is not None or seeds is not None else []
    plan_preset = change_play(load_preset(preset or ANY, flags), changes)
    arguments = read_arguments(env_arg or ())

    def run(folder: Path, name: str, seed: int) -> RunOutcome:
        plan = TrainingPlan(
            plan_preset,
            name,
            folder,
            seed,
            stop_when_solved=not keep_going,
            arguments=arguments,
            max_episode_steps=max_episode_steps,
            tensorboard=tensorboard,
        )
        with RunView(out, f"agentd · {preset or game} · seed {seed}") as view:
            wanted = msgspec.structs.replace(plan_preset.agent, seed=seed)
            change_settings(folder, name, wanted, asked, view.tell)
            return run_plan(plan, view)

    name = agent or preset or agent_name(game or "")
    if seeds is None:
        with kept_or_temporary(data_dir) as folder:
            tell_outcome(run(folder, name, seed or 0), out, data_dir)
        return
    listed = parse_seeds(seeds)
    outcomes: Sequence[SeedRun]
    with kept_or_temporary(data_dir) as folder:
        if cluster.ray is None:
            outcomes = run_sweep(listed, lambda one: run(folder, f"{name}-{one}", one))
        else:
            from agentd.cli.rl.seeds import train_seeds
            from agentd.cluster.seeds import SeedTask

            words = command_words(
                preset=preset,
                env=game,
                steps=steps,
                streams=streams,
                clients=clients,
                max_episode_steps=max_episode_steps,
                env_arg=env_arg,
                set=settings,
                keep_going=keep_going,
            )
            tasks = [SeedTask(one, f"{name}-{one}", words) for one in listed]
            outcomes = train_seeds(out, cluster, tasks, folder, plan_preset.play.clients)
    record = summary(outcomes)
    record["interrupted"] |= len(outcomes) < len(listed)
    out.report({"preset": preset or ANY, **record}, sweep_table(outcomes))


def command_words(**options: Any) -> tuple[str, ...]:
    """Options by name as words of a command line; None, False and no values are left out."""
    words: list[str] = []
    for name, value in options.items():
        flag = f"--{name.replace('_', '-')}"
        if value is True:
            words.append(flag)
        elif value not in (None, False):
            for one in value if isinstance(value, list) else [value]:
                words += [flag, str(one)]
    return tuple(words)


def agent_name(game: str) -> str:
    """The name of an agent for ``game`` where nobody gave it one, as R2 wants names."""
    plain = re.sub(r"[^a-z0-9._-]", "-", game.rpartition(":")[2].lower()).strip("._-")
    return plain[:50] or ANY


def change_play(preset: Preset, changes: dict[str, int | str | None]) -> Preset:
    """``preset`` with those of its play's values that are not None in ``changes``."""
    given: dict[str, Any] = {key: value for key, value in changes.items() if value is not None}
    if given.get("game", preset.play.game) != preset.play.game:
        given |= {"solved": None, "evaluation": None}  # those were for the other game
    return msgspec.structs.replace(preset, play=msgspec.structs.replace(preset.play, **given))


@contextmanager
def kept_or_temporary(folder: Path | None) -> Iterator[Path]:
    """``folder``, or one that goes away after the block."""
    if folder is not None:
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="agentd-", ignore_cleanup_errors=True) as temporary:
        yield Path(temporary)


def tell_outcome(outcome: RunOutcome, out: Terminal, data_dir: Path | None) -> None:
    """Print the learning curve, where a person reads it, and the result."""
    record = outcome.record
    speed = f"{record['env_steps_per_second']:,.0f} steps/s"
    lines = [
        *draw_curve(outcome.history.curve, x_label="environment steps"),
        "",
        f"greedy return {outcome.greedy}",
        outcome.greedy.explain(),
        f"{outcome.env_steps:,} environment steps in {outcome.elapsed_s:.1f} s, {speed}",
    ]
    if outcome.solved is not None:
        lines.append(("solved: " if outcome.solved else "not solved: ") + _mark(outcome))
    if data_dir is not None:
        lines.append(f"kept in {data_dir}: checkpoint {outcome.checkpoint}")
    out.report(record, "\n".join(lines))


def _mark(outcome: RunOutcome) -> str:
    return f"the mark is {outcome.history.solved:g}"
