"""``agentd demo``: see it learn, in under a minute."""

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
from agentd.config import load_preset
from agentd.errors import JobFailed
from agentd.rl.run import TrainingPlan, run_plan

PRESET = "cartpole-demo"


def demo(
    out: JsonScreen,
    seed: Seed = 0,
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
        plan = TrainingPlan(preset, "demo", folder, seed, device=device)
        with RunView(out, "agentd demo · CartPole over TCP") as view:
            outcome = run_plan(plan, view)
    tell_outcome(outcome, out, data_dir)
    if not outcome.solved and not outcome.interrupted:
        raise JobFailed("not solved within the step limit", hint="try another --seed")
