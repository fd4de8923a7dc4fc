"""``agentd demo``: see it learn, in under a minute."""

import shlex
from pathlib import Path

import msgspec

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
from agentd.cli.screen.flags import Device
from agentd.cli.screen.options import JsonScreen
from agentd.config import ServerConfig, load_preset
from agentd.errors import JobFailed
from agentd.protocol.address import host_port
from agentd.rl.run import TrainingPlan, run_plan
from agentd.rl.settings import change_settings

PRESET = "cartpole-demo"
AGENT = "demo"


def demo(
    out: JsonScreen,
    seed: Seed = None,
    steps: Steps = None,
    clients: Clients = None,
    data_dir: KeepDir = None,
    device: Device = None,
) -> None:
    """Start a daemon, play CartPole against it with real clients, and watch it learn.

    Ends by itself when the greedy mean return over 20 new episodes says solved; exit 1 if it is
    not solved at the step limit.
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
    config = ServerConfig()
    page = f"http://{host_port(config.host, config.http_port or 0)}/"
    if data_dir is None:
        kept = (
            "the agent was in a temporary folder and is gone; `agentd demo --data-dir DIR` keeps it"
        )
        again, where = "agentd rl train --preset snake", ""
    else:
        place, where = shlex.quote(str(data_dir)), f" --data-dir {shlex.quote(str(data_dir))}"
        kept = f"the agent is kept in {data_dir / 'agents' / AGENT}"
        again = f"agentd rl eval --data-dir {place} --agent {AGENT} --preset {PRESET}"
    return "\n".join(
        [
            f"\n{kept}. Next:",
            f"  {again}",
            f"  agentd serve{where}: games connect to {host_port(config.host, config.port)}, "
            f"and {page} shows them",
            "  agentd top: the same in the terminal",
        ]
    )
